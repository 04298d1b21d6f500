"""Shutters of a line: simulated ones that processes share, and what the PLC process does about any."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from citrus_grade import templates
from citrus_grade.config import ConfigError, LineConfig, parse
from citrus_grade.drivers.sim.shutters import MOVE_NS, Behind, Shutters
from citrus_grade.messages import Ejection, Position, Reading, Shutter
from citrus_grade.ports import DeviceError, Plc, PlcState
from citrus_grade.runtime.live import memory
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.clock import BeltClock
from citrus_grade.runtime.live.shutters import Mover, positions, refused
from citrus_grade.runtime.live.work import CORE, PLC

OPEN, CLOSED, ATTENUATOR, BETWEEN = Position
START_NS = 10**15
LANES = 6
SILENT = PlcState(0, 0, (), (), running=True, heartbeat_ok=True)
COMMANDS = '[[command]]\nkind = "dark_refresh"\nat_min = 1\n\n[[command]]\nkind = "white_refresh"\nat_min = 1\n'
PLC_TOML = '[plc]\ndriver = "modbus"\nurl = "tcp://127.0.0.1:1"\n'


def test_a_shutter_is_between_until_it_has_moved() -> None:
    shutters = Shutters(LANES)
    shutters.move(2, CLOSED, START_NS)
    assert [shutters.at(2, START_NS + t) for t in (-1, 0, MOVE_NS - 1, MOVE_NS)] == [OPEN, BETWEEN, BETWEEN, CLOSED]
    assert shutters.at(3, START_NS) == OPEN
    assert shutters.goes_to(2) == CLOSED
    shutters.move(2, ATTENUATOR, START_NS + 5 * MOVE_NS)
    assert [shutters.at(2, START_NS + k * MOVE_NS) for k in (4, 5, 6)] == [CLOSED, BETWEEN, ATTENUATOR]


def test_what_has_changed_is_told_once() -> None:
    shutters = Shutters(2)
    assert [row[:2] for row in shutters.changed(START_NS)] == [(0, OPEN), (1, OPEN)]
    shutters.move(1, CLOSED, START_NS)
    assert shutters.changed(START_NS + 1) == [(1, BETWEEN, START_NS)]
    assert shutters.changed(START_NS + 2) == []
    assert shutters.changed(START_NS + 2 * MOVE_NS) == [(1, CLOSED, START_NS + MOVE_NS)]


def test_a_file_of_shutters_is_one_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "shutters"
    Shutters.make(path, LANES)
    ours, theirs = Shutters(LANES, path), Shutters(LANES, path)
    scans = np.arange(2 * 3 * 4, dtype=np.uint16).reshape(2, 3, 4)
    seen = Behind(path, LANES, 5, scans)
    light = np.full(4, 1000, np.uint16)
    ours.move(5, ATTENUATOR, START_NS)
    assert theirs.at(5, START_NS + MOVE_NS) == ATTENUATOR
    np.testing.assert_array_equal(seen(light, 7, START_NS - 1), light)
    np.testing.assert_array_equal(seen(light, 7, START_NS), light // 2 + scans[0, 1] // 2)
    np.testing.assert_array_equal(seen(light, 7, START_NS + MOVE_NS), scans[1, 1])


@dataclass
class Bare:
    """A PLC without shutters."""

    identity: str = "bare"

    def poll(self) -> PlcState:
        return SILENT

    def eject(self, ejections: list[Ejection]) -> int:
        return len(ejections)

    def close(self) -> None:
        """Nothing to let go of."""


@dataclass
class Moving(Bare):
    """A PLC that remembers where it was asked to move shutters."""

    positions: frozenset[Position] = frozenset((OPEN, CLOSED, ATTENUATOR))
    asked: list[list[tuple[int, Position]]] = field(default_factory=list)

    def move(self, shutters: list[Shutter]) -> None:
        self.asked.append([(shutter.lane, shutter.position) for shutter in shutters])


def live(extra: str = "") -> LineConfig:
    """The template's line with a PLC; its devices are not looked at."""
    config = parse(templates.LINE.read_text(encoding="utf-8") + extra)
    return config.model_copy(update={"plc": {"driver": "modbus"}})


@pytest.fixture
def board() -> Iterator[Board]:
    fd = memory.reserve("board", Board.n_bytes(2, 64))
    yield Board(fd, (CORE, PLC), 64)
    os.close(fd)


def told(mover: Mover, *shutters: tuple[int, Position, int], count: int = 0) -> list[Reading]:
    state = PlcState(0, count, (), (), running=True, heartbeat_ok=True, shutters=shutters)
    return list(mover.told(state, lambda raw: raw - 100, clock(), 5))


def clock() -> BeltClock:
    """A belt of 1000 ticks a second."""
    looked = BeltClock()
    looked.look(0, 0)
    looked.look(100, 100_000_000)
    return looked


def test_a_plc_is_told_where_all_shutters_are_to_stand_and_then_only_what_changes(board: Board) -> None:
    mover, plc = Mover(live(), board), Moving()
    mover.opened(plc)
    mover.move(plc)
    mover.move(plc)
    board.shared["shutter"][0, 2] = CLOSED
    mover.move(plc)
    assert plc.asked == [[(lane, OPEN) for lane in range(LANES)], [(2, CLOSED)]]
    again = Moving()
    mover.opened(again)
    mover.move(again)
    assert again.asked == [[(lane, CLOSED if lane == 2 else OPEN) for lane in range(LANES)]]
    mover.let_go(again)
    assert again.asked[1:] == [[(2, OPEN)]]


def test_where_a_shutter_stands_is_told_until_the_core_has_it_and_dated_after_the_last_scan_that_saw_it_move(
    board: Board,
) -> None:
    config = live()
    assert config.spectrometer is not None
    mover = Mover(config, board)
    mover.opened(Moving())
    late = round(config.spectrometer.latency_ms)  # ms at a tick each
    wanted = [Reading(600 + late, 5, 3, "shutter", 1.0)]
    assert told(mover, (3, CLOSED, 700)) == wanted
    assert told(mover) == wanted
    mover.heard()
    assert told(mover) == []


def test_a_new_core_is_told_of_all_shutters(board: Board) -> None:
    mover = Mover(live(), board)
    mover.opened(Moving())
    told(mover, *((lane, OPEN, 0) for lane in range(LANES)))
    mover.heard()
    board.station(CORE).begin()
    again = told(mover, (1, CLOSED, 1050), count=1000)
    assert [(r.lane, r.value, r.tick) for r in again] == [*((lane, 0.0, 920) for lane in range(LANES)), (1, 1.0, 970)]
    mover.heard()
    assert told(mover) == []


def test_a_plc_without_shutters_moves_none_and_is_refused_where_the_line_asks(board: Board) -> None:
    mover, plc = Mover(live(), board), Bare()
    mover.opened(plc)
    mover.move(plc)
    mover.let_go(plc)
    assert not board.shared["moves_shutters"][0]
    with pytest.raises(DeviceError, match=r"command\.0: 'dark_refresh' needs shutters, and this PLC moves none"):
        Mover(live(COMMANDS), board).opened(plc)


@pytest.mark.parametrize(
    ("plc", "kinds"),
    [
        (Moving(), []),
        (Moving(positions=frozenset((OPEN, CLOSED))), ["'white_refresh' needs white att"]),
        (Bare(), ["'dark", "'white"]),
    ],
)
def test_what_a_plc_cannot_do_is_said_of_each_command(plc: Plc, kinds: list[str]) -> None:
    said = list(refused(live(COMMANDS), positions(plc)))
    assert len(said) == len(kinds)
    assert all(kind in words for kind, words in zip(kinds, said, strict=True))


def test_a_live_line_without_spectrometers_has_nothing_to_refresh() -> None:
    text = templates.LINE.read_text(encoding="utf-8")
    head, _, tail = text.partition("[spectrometer]")
    with pytest.raises(ConfigError, match=r"command\.1: 'white_refresh' needs spectrometers, and the line has none"):
        parse(head + tail[tail.index("# Fired outlets") :] + PLC_TOML + COMMANDS)
