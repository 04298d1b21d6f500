"""Corrections from sample fruit: what is wrong is found, what is not is left alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.calibration.correction import correct, shared_and_own, shrunk, suspicious
from citrus_grade.calibration.errors import CalibrationError

LANES = 6


def sample(seed, bias=0.0, slope=1.0, own=None, per_lane=20, sigma=0.3, spread=1.2):
    """Predictions, references that a slope, a bias and lanes' own biases turn them into, and lanes."""
    rng = np.random.default_rng(seed)
    lane = np.tile(np.arange(LANES), per_lane)
    predicted = rng.normal(11, spread, len(lane))
    true = 11 + slope * (predicted - 11) + bias + (np.zeros(LANES) if own is None else np.asarray(own))[lane]
    return predicted, true + rng.normal(0, sigma, len(lane)), lane


def test_nothing_wrong_is_mostly_left_alone_and_never_made_worse_by_much():
    found = [correct(*sample(seed), LANES) for seed in range(40)]
    assert sum(c.chosen == "none" for c in found) >= 26
    assert np.mean([np.sqrt(np.mean(c.line.bias**2)) for c in found if c.line.slope == 1]) < 0.02


def test_exact_predictions_are_left_exactly_alone():
    predicted, _reference, lane = sample(1)
    found = correct(predicted, predicted.copy(), lane, LANES)
    assert found.chosen == "none"
    assert np.array_equal(found.line(predicted, lane), predicted)


@pytest.mark.parametrize("seed", range(5))
def test_a_common_bias_is_found(seed):
    found = correct(*sample(seed, bias=0.5), LANES)
    assert found.chosen == "bias"
    assert found.line.common == pytest.approx(0.5, abs=0.1)
    assert found.line.bias == pytest.approx(0.5, abs=0.25)
    assert found.rmse["bias"] < found.rmse["none"]


@pytest.mark.parametrize("seed", range(5))
def test_lanes_own_biases_are_found(seed):
    own = np.array([-0.6, 0.5, 0.0, 0.1, 0.7, -0.4])
    found = correct(*sample(seed, own=own), LANES)
    assert found.chosen == "bias"
    assert np.sqrt(np.mean((found.line.bias - own) ** 2)) < 0.12


@pytest.mark.parametrize("seed", range(5))
def test_a_slope_is_found(seed):
    found = correct(*sample(seed, bias=0.3, slope=0.75), LANES)
    assert found.chosen == "slope"
    assert found.line.slope == pytest.approx(0.75, abs=0.07)
    assert found.line(np.array([11.0]), np.array([2]))[0] == pytest.approx(11.3, abs=0.15)


def test_shrinking_beats_plain_lane_means_where_samples_are_few():
    rng, plain, ours = np.random.default_rng(5), [], []
    for seed in range(60):
        own = rng.normal(0, 0.1, LANES)
        predicted, reference, lane = sample(seed, own=own, per_lane=4)
        shared, part = shared_and_own(reference - predicted, lane, LANES)
        means = np.array([(reference - predicted)[lane == k].mean() for k in range(LANES)])
        plain.append(np.mean((means - own) ** 2))
        ours.append(np.mean((shared + part - own) ** 2))
    assert np.mean(ours) < 0.8 * np.mean(plain)


def test_a_lane_without_samples_gets_the_common_part():
    predicted, reference, lane = sample(3, bias=0.6, own=[0.3, -0.3, 0.2, 0, 0, 0])
    seen = lane != 5
    found = correct(predicted[seen], reference[seen], lane[seen], LANES)
    assert found.n.tolist() == [20] * 5 + [0]
    assert found.line.bias[5] == found.line.common


def test_no_slope_from_few_fruit_or_from_fruit_that_are_all_alike():
    few = correct(*sample(2, slope=0.5, per_lane=3), LANES)
    alike = correct(*sample(2, slope=0.5, spread=0.05), LANES)
    assert "slope" not in few.loo
    assert "slope" not in alike.loo


def test_a_gross_mistake_is_named_and_changes_nothing():
    predicted, reference, lane = sample(4, bias=0.4, slope=0.9)
    clean = correct(predicted, reference, lane, LANES)
    wrong = reference.copy()
    wrong[37] += 6.0
    found = correct(predicted, wrong, lane, LANES)
    assert found.suspicious == (37,)
    assert np.isnan(found.loo[found.chosen][37])
    assert found.chosen == clean.chosen
    assert found.line.bias == pytest.approx(clean.line.bias, abs=0.1)


def test_good_references_are_rarely_suspected():
    odd = [suspicious(*sample(seed, slope=0.8)).sum() for seed in range(40)]
    assert sum(odd) <= 2


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_order_of_the_fruit_makes_no_difference(seed):
    data = sample(seed % 7, bias=0.3, slope=0.9, own=[0.2, 0, -0.2, 0.1, 0, 0])
    order = np.random.default_rng(seed).permutation(len(data[0]))
    found, other = correct(*data, LANES), correct(*(column[order] for column in data), LANES)
    assert other.chosen == found.chosen
    assert other.line.bias == pytest.approx(found.line.bias, abs=1e-9)
    assert other.line.slope == pytest.approx(found.line.slope, abs=1e-9)


def test_names_of_lanes_make_no_difference():
    predicted, reference, lane = sample(6, own=[0.5, -0.4, 0.2, 0, 0, 0])
    names = np.array([3, 5, 1, 0, 2, 4])
    found, other = correct(predicted, reference, lane, LANES), correct(predicted, reference, names[lane], LANES)
    assert other.line.bias[names] == pytest.approx(found.line.bias, abs=1e-12)


def test_one_lane_alone_is_corrected_too():
    predicted, reference, lane = sample(7, bias=0.5)
    own = lane == 2
    found = correct(predicted[own], reference[own], np.zeros(20, int), 1)
    assert found.chosen == "bias"
    assert found.line.bias[0] == found.line.common == pytest.approx(0.5, abs=0.2)


def test_a_candidate_from_elsewhere_can_win():
    predicted, reference, lane = sample(8, bias=0.5)
    refit = reference + np.random.default_rng(1).normal(0, 0.1, len(reference))
    found = correct(predicted, reference, lane, LANES, {"refit": refit})
    assert found.chosen == "refit"
    assert np.array_equal(found.line(predicted, lane), predicted)
    assert list(found.rmse) == ["none", "bias", "slope", "refit"]


def test_a_shrunk_value_is_kept_if_sure_and_lost_if_not():
    assert shrunk(0.5, 1e-9) == pytest.approx(0.5)
    assert shrunk(-0.5, 0.25) == -0.25
    assert shrunk(0.0, 0.0) == 0.0


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"reference": (17, np.nan)}, "sample row 17"),
        ({"predicted": (3, np.inf)}, "sample row 3"),
        ({"lane": (9, 6)}, "sample row 9: .* lane 6: no pair of values of a lane 0 to 5"),
    ],
)
def test_bad_values_are_named(change, told):
    data = dict(zip(("predicted", "reference", "lane"), sample(0), strict=True))
    for name, (row, value) in change.items():
        data[name][row] = value
    with pytest.raises(CalibrationError, match=told):
        correct(**data, n_lanes=LANES)


def test_too_few_fruit_and_references_that_are_none_are_refused():
    predicted, reference, lane = sample(0)
    with pytest.raises(CalibrationError, match="4 sample fruit"):
        correct(predicted[:4], reference[:4], lane[:4], LANES)
    with pytest.raises(CalibrationError, match="all references are 11;"):
        correct(predicted, np.full(len(lane), 11.0), lane, LANES)
    reference[::3] += np.random.default_rng(3).normal(0, 8, len(reference[::3]))
    with pytest.raises(CalibrationError, match="belong to the same fruit"):
        correct(predicted, reference, lane, LANES)


def test_errors_of_what_was_chosen_by_them_look_small_and_the_honest_ones_do_not():
    rng, looks, honest = np.random.default_rng(6), [], []
    for seed in range(60):
        predicted, reference, lane = sample(seed, per_lane=5, sigma=0.6)
        others = {f"other {k}": reference + rng.normal(0, 0.3, len(reference)) for k in range(12)}
        found = correct(predicted, reference, lane, LANES, others)
        assert found.chosen.startswith("other")
        looks.append(np.nanmean((found.loo[found.chosen] - reference) ** 2))
        honest.append(np.mean((found.honest - reference) ** 2))
    assert np.sqrt(np.mean(looks)) < 0.27
    assert np.sqrt(np.mean(looks)) < 0.26
    assert np.sqrt(np.mean(honest)) == pytest.approx(0.3, abs=0.012)


def test_a_suspicious_fruit_has_an_honest_value_too():
    predicted, reference, lane = sample(8, bias=0.5)
    reference[7] += 5.0
    found = correct(predicted, reference, lane, LANES)
    assert found.suspicious == (7,)
    assert np.isnan(found.loo["bias"][7])
    assert found.honest[7] == pytest.approx(found.line(predicted[7:8], lane[7:8])[0])
    assert np.isfinite(found.honest).all()
