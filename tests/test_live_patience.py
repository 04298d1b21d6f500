"""How long a process may stand still: as long as its line is configured to wait for a device, and no longer."""

from typing import Any

import pytest

from citrus_grade.config import LineConfig, parse
from citrus_grade.runtime.live.board import Board, Station
from citrus_grade.runtime.live.memory import reserve
from citrus_grade.runtime.live.patience import OPENING_S, SILENT_S, START_S, patience_s
from citrus_grade.runtime.live.work import CORE, PLC
from citrus_grade.templates import LINE


@pytest.fixture
def station() -> Station:
    return Board(reserve("board", Board.n_bytes(1, 64)), ("plc",), 64).station("plc")


def _line(**plc: Any) -> LineConfig:
    return parse(LINE.read_text(encoding="utf-8")).model_copy(update={"plc": {"driver": "modbus"} | plc})


def test_a_plc_that_may_answer_late_is_waited_for(station: Station) -> None:
    station.ready()
    assert patience_s(PLC, station, _line()) == patience_s(PLC, station, _line(timeout_ms=200)) == SILENT_S[PLC]
    timeout_s = 5.0
    assert patience_s(PLC, station, _line(timeout_ms=1000 * timeout_s)) >= 2 * timeout_s
    assert patience_s(CORE, station, _line(timeout_ms=1000 * timeout_s)) == SILENT_S[CORE]
    assert patience_s(PLC, station, _line(timeout_ms="soon")) == SILENT_S[PLC]


def test_a_process_that_opens_its_device_may_take_longer_than_one_at_work(station: Station) -> None:
    assert patience_s("camera0", station, _line()) == START_S
    station.ready()
    at_work_s = patience_s("camera0", station, _line())
    station.set_gone(0, True)
    most_s = 10.0  # discover_s, at most
    assert patience_s("camera0", station, _line()) == OPENING_S > 2 * most_s > at_work_s
