"""What the benchmark of a live line counts as a missed fruit."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.live import LOST, lost, missed
from citrus_grade.alarms import Alarms
from citrus_grade.messages import Alarm, Reason
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.memory import reserve
from citrus_grade.tables import DECISION, empty

ROLES = ("core", "plc", "camera0")


@pytest.fixture
def supervisor() -> Any:
    """The parts of a supervisor at which the benchmark looks."""
    fd = reserve("board", Board.n_bytes(len(ROLES), 64))
    board = Board(fd, ROLES, 64)
    os.close(fd)
    return SimpleNamespace(roles=ROLES, board=board, observer=SimpleNamespace(counted=Alarms()))


@pytest.mark.parametrize(("role", "what"), [("plc", "ejections_late"), ("plc", "ejections_refused"), ("camera0", "shed_frames")])
def test_what_was_decided_in_time_and_lost_afterwards_is_missed(role: str, what: str, supervisor: Any) -> None:
    rows = empty(DECISION, 6)
    rows["reason"] = Reason.GRADED
    assert missed(rows, lost(supervisor)) == {"missed": 0, "late": 0, "missing": 0, "lost": {}}
    supervisor.board.station(role).count(what, 2)
    assert missed(rows, lost(supervisor)) == {"missed": 2, "late": 0, "missing": 0, "lost": {what: 2}}


def test_an_outlet_that_was_asked_late_and_fruit_without_data_are_missed(supervisor: Any) -> None:
    rows = empty(DECISION, 6)
    rows["reason"] = [Reason.GRADED, Reason.LATE, Reason.MISSING_VIEW, Reason.MISSING_SPECTRUM, Reason.EMPTY, Reason.LATE]
    supervisor.observer.counted.add(Alarm(0, "outlet_late", "lane 0 outlet 1", 3))
    found = missed(rows, lost(supervisor))
    assert (found["missed"], found["late"], found["missing"]) == (7, 2, 2)


def test_a_slow_look_costs_no_fruit(supervisor: Any) -> None:
    supervisor.board.station("plc").count("slow_polls")
    assert not any(lost(supervisor).values())
    assert "slow_polls" not in LOST
