"""Lanes that see the same lot must agree: offsets and intervals are true over a hundred lots."""

import numpy as np
import pytest

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.harmony import Harmony, harmonise, say

LANES = 6
SD_BRIX = 1.2
TOLERANCE_BRIX = 0.15


def lots(rng, own, per_lane=600, n_lots=1, explained=0.0, wander=0.0, tails=None):
    """NIR values of fruit thrown into lanes at random, their lanes, a covariate and their lots."""
    n = per_lane * LANES
    lane, lot = rng.integers(0, LANES, n * n_lots), np.repeat(np.arange(n_lots), n)
    covariate = rng.standard_normal(n * n_lots)
    rest = rng.standard_normal(n * n_lots) if tails is None else rng.standard_t(tails, n * n_lots) / np.sqrt(tails / (tails - 2))
    level = rng.normal(11, 1, n_lots)[lot] + (own + wander * rng.standard_normal((n_lots, LANES)))[lot, lane]
    return level + SD_BRIX * (np.sqrt(explained) * covariate + np.sqrt(1 - explained) * rest), lane, covariate, lot


def judged(seed, n=100, covariate=False, **kind) -> tuple[float, float]:
    """RMS error of the offsets and share of intervals that hold the true one, over ``n`` simulated cases."""
    rng, errors, held = np.random.default_rng(seed), [], []
    for _ in range(n):
        own = rng.normal(0, 0.15, LANES)
        predicted, lane, z, lot = lots(rng, own, **kind)
        found = harmonise(predicted, lane, LANES, TOLERANCE_BRIX, z if covariate else None, lot)
        true = own - own.mean()
        errors.append(found.offset - true)
        held.append((found.low <= true) & (true <= found.high))
    return float(np.sqrt(np.mean(np.square(errors)))), float(np.mean(held))


@pytest.mark.parametrize("seed", [1, 2])
def test_one_lot_tells_offsets_and_how_sure_they_are(seed):
    error, cover = judged(seed)
    assert error <= 0.05
    assert 0.87 <= cover <= 0.93


def test_a_covariate_makes_the_offsets_surer_and_the_intervals_stay_true():
    error, cover = judged(3, explained=0.5, covariate=True)
    assert error <= 0.036
    assert 0.86 <= cover <= 0.94


def test_fruit_with_heavy_tails_are_no_trouble():
    error, cover = judged(4, tails=3)
    assert error <= 0.04
    assert 0.86 <= cover <= 0.94


@pytest.mark.parametrize(("n_lots", "wander"), [(3, 0.0), (6, 0.1)])
def test_several_lots_are_put_together(n_lots, wander):
    _error, cover = judged(5, per_lane=100, n_lots=n_lots, wander=wander)
    assert 0.86 <= cover <= 0.95


def test_more_lots_are_surer_than_one():
    one, many = judged(6, n=40, per_lane=150), judged(6, n=40, per_lane=150, n_lots=6)
    assert many[0] < 0.6 * one[0]


def one_lane_off(by=0.6, **kind) -> Harmony:
    predicted, lane, *_ = lots(np.random.default_rng(7), np.array([0, 0, by, 0, 0, 0]), **kind)
    return harmonise(predicted, lane, LANES, TOLERANCE_BRIX)


def test_a_lane_that_is_off_is_told_with_what_to_add():
    found = one_lane_off()
    assert found.verdict[2] == "drifted"
    assert found.proposed[2] == -found.offset[2] == pytest.approx(-0.5, abs=0.1)
    assert not np.delete(found.proposed, 2).any()
    (text,) = say(found, "Brix")
    assert text.startswith(f"lane 2: predicts {found.offset[2]:+.2f} Brix")


def test_lanes_that_agree_are_within_and_too_few_fruit_leave_it_open():
    assert set(one_lane_off(0.0, per_lane=3000).verdict) == {"within"}
    assert say(one_lane_off(0.0), "Brix") == []
    assert set(one_lane_off(0.0, per_lane=60).verdict) == {"unsure"}


def test_a_tenth_of_wild_values_hardly_moves_an_offset():
    rng = np.random.default_rng(8)
    predicted, lane, *_ = lots(rng, np.zeros(LANES))
    clean = harmonise(predicted, lane, LANES, TOLERANCE_BRIX)
    wild = (lane == 1) & (rng.random(len(lane)) < 0.1)
    found = harmonise(np.where(wild, predicted + 8, predicted), lane, LANES, TOLERANCE_BRIX)
    plain = np.where(wild, predicted + 8, predicted)[lane == 1].mean() - predicted[lane == 1].mean()
    assert abs(found.offset - clean.offset).max() < 0.3 * plain


def test_offsets_sum_to_zero_and_follow_order_names_and_units():
    rng = np.random.default_rng(9)
    predicted, lane, z, _lot = lots(rng, np.array([0.3, 0, 0, -0.2, 0, 0]), per_lane=100, explained=0.3)
    found = harmonise(predicted, lane, LANES, TOLERANCE_BRIX, z)
    assert found.offset.sum() == pytest.approx(0, abs=1e-9)
    order, names = rng.permutation(len(lane)), np.array([4, 2, 0, 1, 5, 3])
    other = harmonise(predicted[order], names[lane[order]], LANES, TOLERANCE_BRIX, z[order])
    assert other.offset[names] == pytest.approx(found.offset, abs=1e-7)
    scaled = harmonise(10 * predicted + 3, lane, LANES, 10 * TOLERANCE_BRIX, 5 - 2 * z)
    assert scaled.high == pytest.approx(10 * found.high, abs=1e-6)


def test_equal_fruit_in_all_lanes_have_no_offset():
    found = harmonise(np.full(240, 11.0), np.repeat(np.arange(LANES), 40), LANES, TOLERANCE_BRIX)
    assert found.offset == pytest.approx(0, abs=1e-12)
    assert set(found.verdict) == {"within"}


def test_what_a_covariate_explains_is_told_and_rows_without_it_are_left_out():
    predicted, lane, z, _lot = lots(np.random.default_rng(10), np.zeros(LANES), explained=0.5)
    z[:50] = np.nan
    found = harmonise(predicted, lane, LANES, TOLERANCE_BRIX, z)
    assert found.explained == pytest.approx(0.5, abs=0.05)
    assert found.n.sum() == len(lane) - 50


def test_lanes_with_too_few_fruit_are_named():
    predicted, lane, _z, lot = lots(np.random.default_rng(11), np.zeros(LANES), per_lane=100, n_lots=2)
    keep = (lane != 4) | (lot != 1)
    with pytest.raises(CalibrationError, match="lot 1, lane 4: 0 graded fruit"):
        harmonise(predicted[keep], lane[keep], LANES, TOLERANCE_BRIX, lot=lot[keep])
    with pytest.raises(CalibrationError, match="no others"):
        harmonise(predicted, np.zeros(len(lane), int), 1, TOLERANCE_BRIX)
