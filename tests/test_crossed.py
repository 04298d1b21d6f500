"""Lanes whose spectrometers were exchanged: told by which cups are empty, and by nothing else."""

import numpy as np
import pytest

from citrus_grade.alarms import severity
from citrus_grade.messages import Alarm
from citrus_grade.report.labels import label, remedy
from citrus_grade.spectra import crossed
from citrus_grade.spectra.crossed import CROSSED, LEAST, STRAIGHT, Votes
from citrus_grade.tables import DECISION, DOUBLE, EMPTY, FRUIT_SEEN, empty

LANES, BINS, PIXELS = 4, 3, 32
LAMP, FRUIT = 60000, 4000


class Watch:
    """A line of some lanes whose spectrometers look at the lanes of ``wiring``."""

    def __init__(self, wiring: tuple[int, ...] = tuple(range(LANES)), seed: int = 1) -> None:
        self.votes: Votes = crossed.nothing_yet(len(wiring))
        self._wiring, self._rng = list(wiring), np.random.default_rng(seed)

    def pitches(self, n: int, empties: float = 0.2, blind: float = 0.0, received: bool = True) -> list[Alarm]:
        """Show pitches; of the cups ``blind`` are seen wrongly by the camera."""
        told = []
        for tick in range(n):
            is_empty = self._rng.random(LANES) < empties
            light = np.where(is_empty, LAMP, FRUIT * (1 + self._rng.random(LANES)))[self._wiring]
            counts = np.broadcast_to(light.astype(np.uint16)[:, None, None], (LANES, BINS, PIXELS)).copy()
            counts[:, 0] = LAMP  # the first scan comes past the fruit
            rows = empty(DECISION, LANES)
            rows["state"] = np.where(is_empty ^ (self._rng.random(LANES) < blind), EMPTY, FRUIT_SEEN)
            told += crossed.watch(self.votes, rows, counts, np.full((LANES, BINS), received), tick)
        return told


def test_two_lanes_crossed_are_told_once_and_by_name() -> None:
    (alarm,) = Watch((0, 2, 1, 3)).pitches(600)
    assert (alarm.kind, alarm.where) == ("lanes_crossed", f"lane 1 other 2 cups {LEAST}")
    assert "lanes 1 and 2:" in remedy(alarm.kind, alarm.where)
    assert label(alarm.kind) != alarm.kind
    assert severity(alarm.kind) == "stop"


def test_three_lanes_in_a_ring_are_told_pair_by_pair() -> None:
    told = {alarm.where.rpartition(" cups ")[0] for alarm in Watch((1, 2, 0, 3)).pitches(2000)}
    assert told == {"lane 0 other 1", "lane 0 other 2", "lane 1 other 2"}


@pytest.mark.parametrize("empties", [0.02, 0.2, 0.5, 0.95])
def test_a_line_wired_right_says_nothing_however_full_it_is(empties: float) -> None:
    watch = Watch(seed=3)
    assert watch.pitches(3000, empties, blind=0.05) == []
    assert watch.votes.pitches[..., STRAIGHT].sum() > 20 * watch.votes.pitches[..., CROSSED].sum()


def test_without_scans_nothing_is_said() -> None:
    watch = Watch((1, 0, 2, 3))
    assert watch.pitches(300, received=False) == []
    assert not watch.votes.pitches.any()


def test_a_crossing_that_was_mended_may_be_told_again() -> None:
    watch = Watch((1, 0, 2, 3))
    assert len(watch.pitches(300)) == 1
    watch._wiring = [0, 1, 2, 3]
    assert watch.pitches(1000) == []
    watch._wiring = [1, 0, 2, 3]
    assert len(watch.pitches(1500)) == 1


def test_two_fruit_in_a_cup_say_nothing() -> None:
    votes, rows = crossed.nothing_yet(2), empty(DECISION, 2)
    rows["state"] = EMPTY, DOUBLE
    counts = np.full((2, BINS, PIXELS), LAMP, np.uint16)
    counts[1] = FRUIT
    for tick in range(3):
        crossed.watch(votes, rows, counts, np.ones((2, BINS), np.bool_), tick)
    assert not votes.pitches.any()
