"""The level of an interval that follows the fruit: it keeps its promise whatever drifts, lane by lane."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.calibration.level import STEP, ends, follow, start
from citrus_grade.spectra.interval import interval

RESIDUALS = np.sort(np.random.default_rng(1).standard_normal(300))


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=300), st.floats(0.6, 0.95), st.floats(0.01, 0.2))
def test_the_share_outside_comes_to_the_promise_whatever_the_fruit(deviations, share, step):
    n = len(deviations)
    levels, inside = follow(start(1, share, step), RESIDUALS, np.zeros(n, np.int64), np.array(deviations))
    assert levels.missed[0] == n - inside.sum()
    assert abs(levels.missed[0] / n - (1 - share)) <= (1 + step) / (n * step) + 1e-9


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(-4, 4) | st.just(math.nan)), max_size=60), st.integers(0, 60))
def test_batches_and_lanes_change_nothing(fruit, cut):
    lane, deviation = np.array([k for k, _ in fruit], np.int64), np.array([d for _, d in fruit], np.float64)
    whole, inside = follow(start(3), RESIDUALS, lane, deviation)
    first, before = follow(start(3), RESIDUALS, lane[:cut], deviation[:cut])
    second, after = follow(first, RESIDUALS, lane[cut:], deviation[cut:])
    assert second.outside.tobytes() == whole.outside.tobytes()
    assert np.array_equal(np.r_[before, after], inside)
    for k in range(3):
        own = lane == k
        alone, _ = follow(start(1), RESIDUALS, np.zeros(own.sum(), np.int64), deviation[own])
        assert (alone.outside[0], alone.seen[0], alone.missed[0]) == (whole.outside[k], whole.seen[k], whole.missed[k])


@given(st.floats(-0.2, 1.2), st.floats(-0.2, 1.2))
def test_a_lower_level_is_a_wider_interval(one, other):
    (low, high), (narrow_low, narrow_high) = ends(RESIDUALS, min(one, other)), ends(RESIDUALS, max(one, other))
    assert low <= narrow_low
    assert narrow_high <= high


def test_a_level_beyond_its_ends_bounds_nothing_or_holds_nothing():
    assert ends(RESIDUALS, 0.0) == (-math.inf, math.inf)
    assert ends(RESIDUALS, 1.0) == (math.inf, -math.inf)
    assert ends(RESIDUALS, 0.1) == pytest.approx(interval(RESIDUALS, 0.9))


def test_a_lane_whose_fruit_are_all_outside_has_no_bound_after_six():
    levels, inside = follow(start(2), RESIDUALS, np.zeros(6, np.int64), np.full(6, 40.0))
    assert not inside.any()
    assert levels.outside[0] < 0 < levels.outside[1]


def test_errors_that_double_are_held_again_where_a_fixed_level_fails():
    """SIMULATED: from the 300th fruit on the errors are twice as wide; a fixed interval then holds 59 in 100."""
    rng = np.random.default_rng(3)
    deviation = rng.standard_normal(3000) * np.where(np.arange(3000) < 300, 1.0, 2.0)
    lane = np.zeros(3000, np.int64)
    _levels, inside = follow(start(1), RESIDUALS, lane, deviation)
    low, high = interval(RESIDUALS)
    fixed = (low <= deviation) & (deviation <= high)
    assert abs(inside[500:].mean() - 0.9) < 0.02
    assert fixed[500:].mean() < 0.65


def test_a_step_of_nothing_is_a_fixed_level():
    levels, _ = follow(start(1, step=0.0), RESIDUALS, np.zeros(9, np.int64), np.full(9, 40.0))
    assert levels.outside[0] == pytest.approx(0.1)
    assert STEP > 0
