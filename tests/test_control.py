"""The control chart: published run lengths, change points, and lanes that do not touch each other."""

import numpy as np
import pytest

from citrus_grade.calibration.control import follow, limit_for, run_length, say, start
from citrus_grade.calibration.errors import CalibrationError

RNG = np.random.default_rng(11)
MONTGOMERY = {
    (4.0, 0.0): 168, (4.0, 0.5): 26.6, (4.0, 1.0): 8.38, (4.0, 2.0): 3.34,
    (5.0, 0.0): 465, (5.0, 0.5): 38.0, (5.0, 1.0): 10.4, (5.0, 2.0): 4.01,
}  # fmt: skip
"""Average run lengths of a CUSUM with slack 0.5 by (limit, shift): his table 9.3."""


def first_signals(limit: float, shift: float, n_lanes: int, n: int, rng: np.random.Generator) -> list[int]:
    """Sample number of each lane's first signal, all lanes independent."""
    lane = np.tile(np.arange(n_lanes), n)
    _chart, found = follow(start(np.ones(n_lanes), 0.5, limit), lane, rng.normal(shift, 1, n * n_lanes))
    first: dict[int, int] = {}
    for signal in found:
        first.setdefault(signal.lane, signal.sample)
    assert len(first) == n_lanes
    return list(first.values())


@pytest.mark.parametrize(("case", "published"), MONTGOMERY.items())
def test_run_lengths_are_the_published_ones(case, published):
    assert run_length(0.5, *case) == pytest.approx(published, rel=0.005)


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_the_chart_runs_as_long_as_is_said(shift):
    lengths = first_signals(4.0, shift, 400, int(125 / shift), RNG)
    error = np.std(lengths) / np.sqrt(len(lengths))
    assert np.mean(lengths) == pytest.approx(run_length(0.5, 4.0, shift), abs=3.5 * error)


def test_false_signals_come_as_rarely_as_is_said():
    n_lanes, n = 20, 3000
    lane = np.tile(np.arange(n_lanes), n)
    _chart, found = follow(start(np.ones(n_lanes), 0.5, 4.0), lane, RNG.normal(0, 1, n * n_lanes))
    assert n_lanes * n / len(found) == pytest.approx(run_length(0.5, 4.0), rel=0.15)


def test_the_limit_gives_the_false_signals_asked_for():
    assert limit_for(465) == pytest.approx(5.0, abs=0.01)
    for samples in (10, 2000, 1e6):
        assert run_length(limit=limit_for(samples)) == pytest.approx(samples, rel=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_change_point_and_size_are_found(sign):
    deviation = 0.02 * RNG.standard_normal(60)
    deviation[40:] += sign * 0.6
    _chart, found = follow(start([0.3]), np.zeros(60, int), deviation)
    assert found[0].since == 41
    assert found[0].size == pytest.approx(sign * 0.6, abs=0.03)
    assert 41 <= found[0].sample == found[0].row + 1 <= 46


def test_batches_make_no_difference():
    lane, deviation = RNG.integers(0, 3, 300), RNG.normal(0.4, 1, 300)
    whole_chart, whole = follow(start(np.ones(3)), lane, deviation)
    chart, parts = start(np.ones(3)), []
    for cut in np.split(np.arange(300), [1, 50, 120]):
        chart, found = follow(chart, lane[cut], deviation[cut])
        parts += [(s.lane, s.sample, s.since, s.size) for s in found]
    assert parts == [(s.lane, s.sample, s.since, s.size) for s in whole]
    assert len(parts) > 3
    for name in ("sums", "runs", "seen"):
        assert np.array_equal(getattr(chart, name), getattr(whole_chart, name))


def test_a_lane_does_not_see_the_others():
    lane, deviation = RNG.integers(0, 3, 300), RNG.normal(0.4, 1, 300)
    _chart, found = follow(start(np.ones(3)), lane, deviation)
    _chart, alone = follow(start(np.ones(3)), lane[lane == 1], deviation[lane == 1])
    assert [(s.sample, s.size) for s in alone] == [(s.sample, s.size) for s in found if s.lane == 1]


def test_samples_without_a_reference_are_passed_over():
    deviation = RNG.normal(0.8, 1, 40)
    with_gaps = np.insert(deviation, [3, 20], np.nan)
    chart, found = follow(start([1.0]), np.zeros(42, int), with_gaps)
    plain, same = follow(start([1.0]), np.zeros(40, int), deviation)
    assert chart.seen == plain.seen == 40
    assert [s.sample for s in found] == [s.sample for s in same]


def test_the_chart_given_is_left_as_it_was():
    chart = start([1.0])
    follow(chart, np.zeros(20, int), np.full(20, 2.0))
    assert chart.seen[0] == 0
    assert not chart.sums.any()


def test_a_signal_is_said_with_lane_time_and_size():
    _chart, found = follow(start([0.3, 0.3]), np.ones(20, int), np.full(20, 0.6))
    assert "lane 1: since sample 1 the reference lies +0.60 Brix off" in say(found[0], "Brix")


@pytest.mark.parametrize("sigma", [0.0, -1.0, np.nan])
def test_a_lane_without_a_sigma_is_refused(sigma):
    with pytest.raises(CalibrationError, match="lane 1"):
        start([0.3, sigma])
