"""The probability that the truth clears a rule's cut: what may be asked, what it comes to, and that it is true."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.config import ConfigError
from citrus_grade.grading.chance import Chance, bind, most_likely, probability_within, readings, weigh
from citrus_grade.grading.classifier import nobody
from citrus_grade.grading.decide import OutletBooks, Routes, Rules, Scale, decide
from citrus_grade.grading.plan import parse
from citrus_grade.messages import Reason
from citrus_grade.spectra.traits import OUT_OF_DOMAIN
from citrus_grade.tables import DECISION, FRUIT_SEEN, empty

TARGETS, OUTLETS = ("ssc_brix", "ta_pct"), ("1", "2", "3")
RNG = np.random.default_rng(20)
RESIDUALS = {"ssc_brix": np.sort(0.5 * RNG.standard_normal(200)), "ta_pct": np.sort(0.1 * RNG.standard_normal(200))}
SWEET = 'grade = "gift"\noutlets = ["1"]\nssc_brix = { min = 12, probability = 0.8 }'
REST = 'grade = "rest"\noutlets = ["2"]'
residual_sets = st.lists(st.floats(-5, 5), min_size=1, max_size=60).map(lambda values: np.sort(np.array(values)))
cuts = st.floats(-8, 8) | st.sampled_from([-math.inf, math.inf])


def plan_of(*rules, targets=TARGETS, residuals=RESIDUALS):
    text = 'name = "test"\n' + "".join(f"[[rule]]\n{rule}\n" for rule in rules)
    return parse(text, targets, OUTLETS, residuals=residuals)


def problem_of(*rules, **given):
    with pytest.raises(ConfigError) as error:
        plan_of(*rules, **given)
    (problem,) = error.value.problems
    return problem


def decided(plan, trait, residuals=RESIDUALS, status=0, lanes=None):
    """Decide fruit of these values, each on a cup of its own."""
    n = len(trait)
    rows = empty(DECISION, n)
    rows["lane"], rows["cup"] = np.zeros(n) if lanes is None else lanes, 100 + np.arange(n)
    rows["state"], rows["views"], rows["fruit_views"], rows["trait"] = FRUIT_SEEN, 8, 8, trait
    rows["diameter_px"], rows["height_px"] = 76.8, 70.0
    rules = Rules(plan.low, plan.high, plan.allowed, plan.needs_spectrum(None), bind(plan.chances, residuals))
    scale = Scale(np.array([1.28, 1200.0, 31.0]), np.tile([0.0, 1.0], (6, 1)), np.full(6, 0.5), np.array([0.90, 0.03]))
    routes = Routes(np.tile([24000, 28000, 32000], (6, 1)), np.zeros(3, np.int64), np.zeros(3, np.int64), 4096, 1, 2458)
    books = OutletBooks(
        np.zeros(3, np.int64), np.ones((6, 3), bool), np.ones((6, 3), bool), np.full((6, 3), -(1 << 40), np.int64)
    )
    codes, tick = np.full(n, status, np.uint8), 117 * 4096
    decide(rows, codes, np.ones(6, bool), 8, scale, rules, routes, books, nobody(), tick, tick, 0)
    return rows


def sugar(*values):
    return np.column_stack([values, np.full(len(values), 0.9)])


@given(residual_sets, st.floats(-5, 5), cuts, cuts)
def test_a_probability_is_the_share_of_errors_that_keep_the_truth_between_the_cuts(residuals, value, one, other):
    def above(cut):
        if math.isinf(cut):
            return float(cut < 0)
        return (np.sum(residuals >= cut - value) + 0.5) / (len(residuals) + 1)

    low, high = min(one, other), max(one, other)
    assert probability_within(residuals, value, low, high) == pytest.approx(above(low) - above(high), abs=1e-12)


@given(residual_sets, st.lists(st.floats(-6, 6), min_size=2, max_size=20), st.floats(-3, 3))
def test_a_sweeter_fruit_is_never_less_likely_to_be_sweet_enough(residuals, values, cut):
    said = [probability_within(residuals, value, cut, math.inf) for value in sorted(values)]
    assert said == sorted(said)
    assert all(0 < p < 1 for p in said)


@given(residual_sets, st.floats(-6, 6), st.lists(st.floats(-6, 6), min_size=2, max_size=20))
def test_a_higher_cut_is_never_more_likely_cleared(residuals, value, at):
    said = [probability_within(residuals, value, cut, math.inf) for cut in sorted(at)]
    assert said == sorted(said, reverse=True)


@given(residual_sets, st.floats(-6, 6), st.floats(-6, 6))
def test_what_is_not_above_a_cut_is_below_it(residuals, value, cut):
    both = probability_within(residuals, value, cut, math.inf) + probability_within(residuals, value, -math.inf, cut)
    assert both == pytest.approx(1.0)


@given(residual_sets, cuts, cuts, st.floats(0.05, 0.95), st.floats(-12, 12))
def test_the_readings_that_meet_a_condition_are_those_likely_enough(residuals, one, other, probability, value):
    low, high = min(one, other), max(one, other)
    if (math.isinf(low) and math.isinf(high)) or low == high:
        return
    least, most = readings(Chance(0, "ssc_brix", low, high, probability), residuals)
    likely = probability_within(residuals, value, low, high) >= probability
    if likely and abs(value - least) > 1e-9:  # at an edge the last bit decides
        assert least <= value < most
    if math.isinf(low) or math.isinf(high):
        assert likely == (least <= value < most) or min(abs(value - least), abs(value - most)) < 1e-9


@given(residual_sets, st.floats(-6, 6), st.floats(0.01, 4))
def test_no_fruit_is_likelier_than_the_most_that_can_be_asked(residuals, value, width):
    assert probability_within(residuals, value, 0.0, width) <= most_likely(residuals, 0.0, width) + 1e-12


def test_a_value_nobody_measured_has_no_probability():
    assert math.isnan(probability_within(RESIDUALS["ssc_brix"], math.nan, 12.0, math.inf))


def test_stated_probabilities_come_true_as_often_as_they_say():
    """Made-up fruit, read at any value alike, whose errors are skewed and heavy-tailed; the residuals are of 400 others."""
    rng, cut = np.random.default_rng(4), 12.0

    def errors(n):
        return 0.4 * (rng.gamma(2.0, 1.0, n) - 2.0) + 0.05 * rng.standard_t(4, n)

    residuals, values = np.sort(errors(400)), cut + rng.uniform(-1.5, 1.5, 20_000)
    asked, one = bind((Chance(0, "ssc_brix", cut, math.inf, 0.8),), {"ssc_brix": residuals}), np.empty(1)
    said = np.empty(len(values))
    for i, value in enumerate(values.tolist()):
        weigh(np.array([value, np.nan]), asked, one)
        said[i] = one[0]
    came = values + errors(len(values)) >= cut
    for low in np.arange(0.05, 0.95, 0.1):
        own = (said >= low) & (said < low + 0.1)
        p = float(said[own].mean())
        # The residuals that the probability is read from are a sample, and so are the fruit it is tried on.
        margin = 4 * math.sqrt(p * (1 - p) * (1 / len(residuals) + 1 / own.sum()))
        assert own.sum() > 200
        assert abs(came[own].mean() - p) < margin


def test_a_rule_takes_the_fruit_that_are_as_likely_as_it_asks():
    plan = plan_of(SWEET, REST)
    least, _most = readings(plan.chances[0], RESIDUALS["ssc_brix"])
    rows = decided(plan, sugar(least - 0.01, least + 0.01, 11.0, 14.0))
    assert rows["rule"].tolist() == [1, 0, 1, 0]
    assert (rows["reason"] == Reason.GRADED).all()
    assert 12.2 < least < 12.7


def test_a_fruit_says_what_it_missed_and_how_likely_it_was():
    rows = decided(plan_of(SWEET, REST), sugar(12.0, 13.5))
    assert rows["missed_rule"].tolist() == [0, -1]
    assert rows["missed_probability"][0] == probability_within(RESIDUALS["ssc_brix"], 12.0, 12.0, math.inf)
    assert np.isnan(rows["rule_probability"][0])
    assert rows["rule_probability"][1] == probability_within(RESIDUALS["ssc_brix"], 13.5, 12.0, math.inf) >= 0.8
    assert np.isnan(rows["missed_probability"][1])


def test_a_fruit_that_a_measurement_kept_out_has_missed_nothing_by_chance():
    rows = decided(plan_of(SWEET + "\ndiameter_mm = { min = 70 }", REST), sugar(12.0, 14.0))
    assert rows["rule"].tolist() == [1, 1]
    assert rows["missed_rule"].tolist() == [-1, -1]


def test_a_fruit_that_no_rule_takes_says_which_it_missed():
    (row,) = decided(plan_of(SWEET), sugar(12.0))
    assert (row["rule"], row["missed_rule"], row["reason"]) == (-1, 0, Reason.NO_RULE)


def test_of_two_probabilities_the_one_that_fails_is_told():
    rule = SWEET + "\nta_pct = { max = 1.0, probability = 0.6 }"
    (row,) = decided(plan_of(rule, REST), np.array([[14.0, 1.0]]))
    assert row["missed_probability"] == probability_within(RESIDUALS["ta_pct"], 1.0, -math.inf, 1.0) < 0.6


def test_a_fruit_out_of_domain_is_not_weighed_by_errors_at_others():
    (row,) = decided(plan_of(SWEET, REST), sugar(14.0), status=OUT_OF_DOMAIN)
    assert (row["reason"], row["rule"], row["missed_rule"]) == (Reason.OUT_OF_DOMAIN, -1, -1)
    assert np.isnan(row["rule_probability"])


@given(st.lists(st.floats(8, 16), min_size=1, max_size=6))
def test_a_fruit_alone_is_decided_as_in_the_batch(values):
    plan = plan_of(SWEET, 'grade = "fresh"\noutlets = ["2"]\nssc_brix = { min = 10, max = 12, probability = 0.5 }', REST)
    names = ("rule", "rule_probability", "missed_rule", "missed_probability", "reason")
    lanes = np.arange(len(values))
    whole = decided(plan, sugar(*values), lanes=lanes)
    for i, value in enumerate(values):
        alone = decided(plan, sugar(value), lanes=lanes[i : i + 1])
        for name in names:
            assert alone[name].tobytes() == whole[name][i : i + 1].tobytes()


def test_a_probability_makes_the_spectrum_necessary():
    assert plan_of(SWEET, REST).needs_spectrum(None)
    assert not plan_of(REST).needs_spectrum(None)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("ssc_brix = { min = 12, probability = 1.0 }", ("probability", "below 1")),
        ("ssc_brix = { min = 12, probability = 0 }", ("probability", "above 0")),
        ('ssc_brix = { min = 12, probability = "0.8" }', ("probability", "quotes")),
        ("ssc_brix = { min = 12, probablity = 0.8 }", ("probablity", "did you mean 'probability'?")),
        ("ssc_brix = { probability = 0.8 }", ("ssc_brix.probability", "min or a max")),
        ("ssc_brix = { min = 12, probability = 0.8 }\nguard = { ssc_brix = 0.3 }", ("guard band", "leave one out")),
        ("diameter_mm = { min = 55, probability = 0.8 }", ("diameter_mm.probability", "ssc_brix, ta_pct")),
        ("maturity_index = { min = 10, probability = 0.8 }", ("maturity_index.probability", "model predicts")),
        ("ssc_brix = { min = 12, probability = 0.999 }", ("0.999", "200 fruit", "0.997")),
        ("ssc_brix = { min = 12, max = 12.1, probability = 0.5 }", ("no fruit can be that likely",)),
    ],
)
def test_what_cannot_be_asked_is_refused(condition, words):
    problem = problem_of('grade = "a"\noutlets = ["1"]\n' + condition)
    for word in ("rule.0 (a)", *words):
        assert word in problem


@pytest.mark.parametrize("residuals", [{}, {"ssc_brix": np.zeros(0)}, {"ta_pct": np.zeros(9)}, None])
def test_a_bundle_without_residuals_answers_no_probability(residuals):
    problem = problem_of(SWEET, residuals=residuals)
    assert "rule.0 (gift).ssc_brix.probability: 0.8: the model's bundle holds no residuals of ssc_brix" in problem
    assert "train the model again" in problem


def test_a_plan_without_probabilities_asks_for_no_residuals():
    assert plan_of('grade = "a"\noutlets = ["1"]\nssc_brix = { min = 12 }', residuals=None).chances == ()
