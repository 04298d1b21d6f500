"""The simplest candidate wins unless a richer one is better by more than chance."""

import numpy as np

from citrus_grade.calibration.choice import choose

RNG = np.random.default_rng(8)
REFERENCE = RNG.normal(11, 1, 40)
NOISE = RNG.normal(0, 0.3, 40)


def test_equals_leave_the_simplest():
    loo = {"simple": REFERENCE + NOISE, "rich": REFERENCE + NOISE}
    choice = choose(loo, REFERENCE, ("simple", "rich"))
    assert choice.name == "simple"
    assert choice.rmse["rich"] == choice.rmse["simple"]


def test_a_little_better_by_chance_is_not_enough():
    rich = REFERENCE + NOISE + RNG.normal(0, 0.2, 40)
    rich += REFERENCE - rich - 0.98 * (REFERENCE - rich) * np.sqrt(np.mean(NOISE**2) / np.mean((rich - REFERENCE) ** 2))
    choice = choose({"simple": REFERENCE + NOISE, "rich": rich}, REFERENCE, ("simple", "rich"))
    assert choice.rmse["rich"] < choice.rmse["simple"]
    assert choice.name == "simple"
    assert choice.reason.startswith("simple, error")


def test_a_small_but_sure_gain_is_taken():
    loo = {"simple": REFERENCE + NOISE, "rich": REFERENCE + 0.98 * NOISE}
    assert choose(loo, REFERENCE, ("simple", "rich")).name == "rich"


def test_much_better_is_taken_and_said():
    choice = choose({"simple": REFERENCE + 0.8 + NOISE, "rich": REFERENCE + NOISE}, REFERENCE, ("simple", "rich"))
    assert choice.name == "rich"
    assert choice.reason == f"rich has the lowest error, {choice.rmse['rich']:.3f}"
