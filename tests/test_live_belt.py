"""A live line whose encoder stands while its cups move on, and then counts again."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.drivers.sim.fault_plan import Fault
from citrus_grade.geometry import Ruler
from citrus_grade.messages import Reason
from citrus_grade.runtime.live.belt import Belt
from tests.test_live_faults import CUPS_PER_S, Failed

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

BEGINS, STANDS_S = 20.0, 4.0
"""Cups from when everything works: by then the first have come to where they are decided."""


def _believed(*pitches: float) -> list[float | None]:
    """Return what is made of flags that pass where the counter says the belt is at so many pitches."""
    belt = Belt(32, Ruler.of(Fraction(4096)))
    belt.tick(0)
    ticks = [(belt.tick(round(4096 * at)), belt.flag(0, round(4096 * at)))[1] for at in pitches]
    return [None if tick is None else round(tick / 4096, 2) for tick in ticks]


def test_flags_of_a_count_that_stood_or_ran_backwards_correct_nothing() -> None:
    assert _believed(1, 2, 3.02, 4) == [1, 2, 3.02, 4]
    assert _believed(1, 1.77, 1.77, 1.77, 5, 6) == [1, None, None, None, None, 6]
    assert _believed(1, 2, 2.54, 1.54, 0.54, 6, 7) == [1, 2, None, None, None, None, 7]


def test_a_count_that_has_slipped_is_corrected_by_the_next_flag_that_agrees() -> None:
    assert _believed(1, 2, 3.3, 4.3) == [1, 2, None, 4.3]
    assert _believed(1, 2.2, 3.4, 4.6, 5.8, 7.0, 8.2) == [1, None, None, 4.6, None, None, 8.2]


@pytest.mark.fault
def test_an_encoder_that_stands_while_cups_move_is_told_and_nothing_falls_wrong(
    line_toml: Path, loop: Path, tmp_path: Path
) -> None:
    ends = BEGINS + STANDS_S * CUPS_PER_S
    failed = Failed(line_toml, loop, tmp_path, [Fault("encoder_stops", BEGINS, ends)])
    assert any("the encoder stands still" in words for words in failed.told)
    station = failed.config.line.decision_station
    passed = failed.rows["cup"] + failed.shift + station  # where the belt was when each should have been decided
    began, ended = failed.faults[0].from_cup, failed.faults[0].until_cup
    stood = failed.rows[(passed > began + 1) & (passed < ended - 3)]
    assert len(stood) >= 15 * failed.config.line.lanes
    assert np.any(stood["reason"] != Reason.EMPTY)
    late = stood[stood["reason"] == Reason.LATE]
    assert np.all(late["outlet"] == len(failed.config.outlet))
    sound = failed.rows[passed > ended + station + 3]
    assert np.any(sound["reason"] == Reason.GRADED)
