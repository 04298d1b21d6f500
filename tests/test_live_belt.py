"""A live line whose encoder stands while its cups move on, and then counts again."""

from pathlib import Path

import numpy as np
import pytest

from citrus_grade.drivers.sim.fault_plan import Fault
from citrus_grade.messages import Reason
from tests.test_live_faults import CUPS_PER_S, Failed

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

BEGINS, STANDS_S = 20.0, 4.0
"""Cups from when everything works: by then the first have come to where they are decided."""


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
