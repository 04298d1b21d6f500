"""A lane whose light fits the neighbouring fruit is told of and believed no more, until it fits again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.alarms import severity
from citrus_grade.messages import Alarm
from citrus_grade.report.labels import label, remedy
from citrus_grade.spectra import step
from citrus_grade.tables import DECISION, DOUBLE, EMPTY, FRUIT_SEEN, UNSEEN, empty

PIXELS, BINS, FULL = 64, 4, 65000
DARK = np.full((1, PIXELS), 600.0)


class Lane:
    """One lane, shown one cup after the other."""

    def __init__(self) -> None:
        self.step = step.nothing_yet(1)
        self.ended: list[Alarm] = []

    def show(self, size_mm: float, seen_mm: float, state: int = FRUIT_SEEN, received: bool = True) -> bool:
        """Show a cup whose fruit is ``size_mm`` and whose light passed one of ``seen_mm``; say whether an alarm begins."""
        row = empty(DECISION, 1)
        row["state"], row["diameter_mm"] = (EMPTY, np.nan) if size_mm == 0 else (state, size_mm)
        light = FULL if seen_mm == 0 else 600 + 4000 * np.exp(-seen_mm / 15.0)
        counts = np.full((1, BINS, PIXELS), light).astype(np.uint16)
        told = step.watch(self.step, row, counts, np.full((1, BINS), received), DARK, 0)
        self.ended += [alarm for alarm in told if alarm.is_over]
        return any(not alarm.is_over for alarm in told)

    def run(self, sizes_mm: np.ndarray, late: int = 0) -> list[int]:
        """Show cups whose spectra come ``late`` cups late; return at which of them an alarm began."""
        cups = zip(sizes_mm[abs(late) : len(sizes_mm) - abs(late)], np.roll(sizes_mm, late)[abs(late) :], strict=False)
        return [cup for cup, (size, seen) in enumerate(cups) if self.show(size, seen)]


def fruit(n: int, seed: int, empty_share: float = 0.15) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.where(rng.random(n) < empty_share, 0.0, rng.normal(70.0, 6.0, n))


@pytest.mark.parametrize("late", [1, -1])
@pytest.mark.parametrize("empty_share", [0.0, 0.02, 0.15, 0.6])
def test_spectra_of_the_neighbour_are_told_once_within_200_fruit(late: int, empty_share: float) -> None:
    lane = Lane()
    assert lane.run(fruit(300, 1, empty_share)) == []
    told = lane.run(fruit(600, 2, empty_share), late)
    assert len(told) == 1
    assert told[0] < 200
    assert lane.step.out[0]


def test_a_lane_that_is_in_step_again_is_believed_again() -> None:
    lane = Lane()
    lane.run(fruit(200, 3), late=1)
    assert lane.step.out[0]
    assert not lane.ended
    lane.run(fruit(200, 4))
    assert not lane.step.out[0]
    assert [(alarm.kind, alarm.where) for alarm in lane.ended] == [(kind, "lane 0") for kind in step.KINDS]


@given(st.integers(0, 1000), st.floats(0.0, 1.0))
def test_a_lane_in_step_is_never_told_of(seed: int, empty_share: float) -> None:
    assert Lane().run(fruit(400, seed, empty_share)) == []


def test_light_that_has_nothing_to_do_with_size_says_nothing() -> None:
    lane, sizes, seen = Lane(), fruit(20_000, 5), fruit(20_000, 6)
    assert not any(lane.show(*cup) for cup in zip(sizes.tolist(), seen.tolist(), strict=True))


@pytest.mark.parametrize("pattern", [[70.0], [70.0, 0.0], [70.0] * 9 + [0.0] * 9, [80.0, 60.0], [0.0]])
def test_a_belt_laid_by_a_rule_says_nothing(pattern: list[float]) -> None:
    assert Lane().run(np.array(pattern * (600 // len(pattern)))) == []


@pytest.mark.parametrize("pattern", [[70.0, 0.0], [70.0, 80.0], [70.0, 0.0, 0.0]])
def test_a_line_whose_fruit_reflect_their_light_is_not_spoken_of(pattern: list[float]) -> None:
    lane = Lane()
    assert not any(lane.show(size, 90.0 - size) for size in pattern * 200)


def test_what_was_not_seen_or_is_two_takes_no_part() -> None:
    lane = Lane()
    for size in fruit(200, 7):
        lane.show(size, size)
    before = lane.step.memory.copy()
    for _cup in range(3):
        lane.show(70.0, 0.0, state=DOUBLE)
        lane.show(70.0, 0.0, state=UNSEEN)
        lane.show(70.0, 70.0, received=False)
    np.testing.assert_array_equal(lane.step.memory[0, 0], before[0, 0])


@pytest.mark.parametrize("wiring", [(0, 2, 1, 3), (1, 2, 0, 3)])
def test_lanes_whose_spectrometers_are_exchanged_are_told_with_the_lane_each_sees(wiring: tuple[int, ...]) -> None:
    memory, told = step.nothing_yet(4), []
    lanes = np.stack([fruit(400, seed) for seed in range(4)], axis=1)
    for tick, sizes_mm in enumerate(lanes):
        rows = empty(DECISION, 4)
        rows["state"], rows["diameter_mm"] = np.where(sizes_mm == 0, EMPTY, FRUIT_SEEN), sizes_mm
        seen = sizes_mm[list(wiring)]
        light = np.where(seen == 0, FULL, 600 + 4000 * np.exp(-seen / 15.0)).astype(np.uint16)
        counts = np.broadcast_to(light[:, None, None], (4, BINS, PIXELS)).copy()
        counts[:, 0] = FULL  # the first scan comes past the fruit
        told += step.watch(memory, rows, counts, np.ones((4, BINS), np.bool_), np.repeat(DARK, 4, 0), tick)
    wrong = {(lane, other) for lane, other in enumerate(wiring) if lane != other}
    assert {alarm.kind for alarm in told} == {"lanes_crossed"}
    assert sorted(alarm.where for alarm in told) == [f"lane {lane} other {other}" for lane, other in sorted(wrong)]
    assert {alarm.tick for alarm in told} <= set(range(step.AVERAGED - 1, 120))
    np.testing.assert_array_equal(memory.fits, wiring)


def test_the_alarm_has_words_and_stops() -> None:
    assert "fruit of lane 4" in remedy("lanes_crossed", "lane 1 other 4")
    assert label("spectra_out_of_step") != "spectra_out_of_step"
    assert "lane 3" in remedy("spectra_out_of_step", "lane 3")
    assert severity("spectra_out_of_step") == "stop"
    assert "+3600 s" in remedy("clock_set", "+3600 s")
