"""The process beside the PLC, alone: against an emulated PLC over its real protocol, with a belt that goes where a test says."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade import templates
from citrus_grade.config import load
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import DrivenBelt, PlcServer
from citrus_grade.drivers.sim.devices import TapeOptions, TapePlc
from citrus_grade.geometry import Ruler
from citrus_grade.grading.outlets import take
from citrus_grade.messages import Ejection, Message, OutletReport
from citrus_grade.ports import Drive
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.belt import Belt
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.memory import reserve
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.runtime.live.plc import watch_plc
from citrus_grade.runtime.live.work import ALARM, CORE, EVENT, FIRE_OUT_S, PLC, STOPS_IN, Spec, Work, roles_of, room_to_carry
from tests.modbus_line import CUPS_PER_S, TICKS

PATIENCE_S = 30.0


class MovedBelt:
    """A belt that a PLC drives, and that can be put further on at once."""

    def __init__(self, belt: DrivenBelt) -> None:
        self.driven, self.further_cups = belt, 0.0

    def __call__(self, at_ns: int) -> float:
        return self.driven(at_ns) + self.further_cups


class Threaded(Work):
    """The work of a process in a thread of this one, which lets go of its ends itself."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        self._ends = [self._parent]

    def end(self, name: str) -> socket.socket:
        self._ends.append(super().end(name))
        return self._ends[-1]

    def let_go(self) -> None:
        """Close the ends."""
        for end in self._ends:
            end.close()


class Watched:
    """A PLC that is watched: what the core and the supervisor are sent, and the board between them."""

    def __init__(
        self, folder: Path, *, live: str = "", encoder: dict[str, Any] | None = None, up: bool = True, **plc: Any
    ) -> None:
        text = templates.LINE.read_text(encoding="utf-8")
        for key, value in (encoder or {}).items():
            text = text.replace(f"{key} = {4096 if key == 'ticks_per_cup' else 32}", f"{key} = {value}")
        line = folder / "line.toml"
        line.write_text(text, encoding="utf-8")
        config = load(line)
        self.belt = MovedBelt(DrivenBelt(0.0, config.encoder.ratio, time.monotonic_ns()))
        self.fell: list[tuple[int, int, int, int]] = []
        self.plc = EmulatedPlc(config, self.belt, drive=self.belt.driven.drive, fell=lambda *row: self.fell.append(row), **plc)
        self.server = PlcServer(self.plc, "tcp://127.0.0.1:0").start()
        devices = Devices(
            [{"driver": "tape"}], [{"driver": "tape"}] * config.line.lanes, {"driver": "modbus", "url": self.server.url}
        )
        line.write_text(with_devices(line, devices, cups_per_s=CUPS_PER_S) + live, encoding="utf-8")
        self.config = load(line)
        roles, room = roles_of(self.config), room_to_carry(self.config)
        board = reserve("board", Board.n_bytes(len(roles), room))
        self.board = Board(board, roles, room)
        self.board.shared["up"] = up
        self._core, core = wire.pair()
        self._parent, parent = wire.pair()
        fds = {"board": board, "core": core.detach(), "parent": parent.detach()}
        self._work = Threaded(Spec(PLC, str(folder), roles, time.monotonic_ns(), "normal", fds))
        self._thread = threading.Thread(target=watch_plc, args=(self._work,))
        self._thread.start()
        self.messages: list[Message] = []
        self.told: list[str] = []
        self.alarms: list[tuple[str, str]] = []

    def look(self) -> None:
        """Take what has been sent so far."""
        for data in wire.receive(self._core):
            self.messages += wire.messages_of(data, 1)
        for data in wire.receive(self._parent):
            if data[:1] == ALARM:
                _tick, kind, where, _count = json.loads(data[1:])
                self.alarms.append((kind, where))
            elif data[:1] != EVENT:
                self.told.append(data.decode())

    def until(self, seen: Callable[[], Any]) -> Any:
        """Wait until something is seen; return it."""
        patience = time.monotonic() + PATIENCE_S
        while not (found := seen()):
            assert time.monotonic() < patience
            assert self._thread.is_alive()
            self.look()
            time.sleep(0.005)
        return found

    def of(self, kind: type[Message]) -> list[Any]:
        """Return the messages of a kind."""
        return [message for message in self.messages if isinstance(message, kind)]

    def reports(self, state: str) -> list[OutletReport]:
        """Return the outlets' reports of a state."""
        return [report for report in self.of(OutletReport) if report.state == state]

    def counted(self, name: str) -> int:
        """Return a counter of the process."""
        return self.board.station(PLC).counted()[name]

    def eject(self, *ejections: Ejection) -> None:
        """Order, as the core does."""
        wire.send(self._core, wire.of_ejections(0, list(ejections)))

    def tick(self) -> int:
        """Return where the belt was at the last look."""
        belt = self.board.belt()
        return belt[0] if belt else 0

    def stop(self) -> None:
        """Stop in good order."""
        self.board.shared["stop"] = STOPS_IN[PLC]
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        self.look()

    def close(self) -> None:
        """End whatever still runs."""
        self.board.shared["stop"] = STOPS_IN[PLC]
        self._thread.join(PATIENCE_S)
        self.server.stop()
        self._work.let_go()
        self._core.close()
        self._parent.close()


@contextmanager
def watched(folder: Path, **given: Any) -> Iterator[Watched]:
    one = Watched(folder, **given)
    try:
        yield one
    finally:
        one.close()


def test_the_belt_runs_while_the_line_is_up_and_stands_after_it(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > 3 * TICKS)
        assert line.plc.words[m.COMMAND.at("run")] == 1
        at = m.COMMAND.at("speed_setpoint")
        assert m.join(line.plc.words[at : at + 2]) == CUPS_PER_S * TICKS
        line.stop()
        assert line.plc.words[m.COMMAND.at("run")] == 0
        stood = line.belt(time.monotonic_ns())
        time.sleep(0.05)
        assert line.belt(time.monotonic_ns()) == stood


def test_the_belt_stands_until_all_of_the_line_works(tmp_path: Path) -> None:
    with watched(tmp_path, up=False) as line:
        line.until(lambda: line.board.station(PLC).is_ready)
        time.sleep(0.3)
        assert line.plc.words[m.COMMAND.at("run")] == 0
        line.board.shared["up"] = 1
        line.until(lambda: line.tick() > 3 * TICKS)


def test_when_the_line_ends_the_belt_goes_on_until_what_is_queued_has_fallen(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > TICKS)
        line.eject(Ejection(2, 5, 1, line.tick() + 8 * TICKS), Ejection(1, 5, 1, line.tick() + 5 * TICKS))
        line.stop()
        assert [row[3] for row in line.fell] == [5, 5]
        assert line.plc.words[m.COMMAND.at("run")] == 0


def test_a_belt_that_stands_is_not_waited_for_when_the_line_ends(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > TICKS)
        line.plc.emergency_stop = True
        line.eject(Ejection(2, 5, 1, line.tick() + 50 * TICKS))
        line.until(lambda: line.counted("ejections") and line.alarms)
        began = time.monotonic()
        line.stop()
        assert time.monotonic() - began < FIRE_OUT_S / 2
        assert line.fell == []


def test_an_ejection_whose_tick_has_passed_is_not_sent(tmp_path: Path) -> None:
    with watched(tmp_path, encoder={"ticks_per_cup": 1100, "bits": 16}) as line:
        line.until(lambda: line.tick() > 5 * 1100)
        fire = line.tick() + 20 * 1100
        line.eject(Ejection(2, 5, 1, fire - (1 << 16)), Ejection(1, 6, 1, fire))
        line.until(lambda: line.fell)
        line.stop()
        assert [(row[0], row[3]) for row in line.fell] == [(1, 6)]
        assert (line.counted("ejections"), line.counted("ejections_late")) == (1, 1)
        assert [(report.lane, report.cup) for report in line.reports("late")] == [(2, 5)]


def test_a_new_core_is_told_how_every_outlet_stands(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.reports("clear"))
        with line.server.lock:
            line.plc.set_jammed(3, 2, True)
        line.until(lambda: line.reports("jammed"))
        line.messages.clear()
        line.board.stations[line.board.roles.index(CORE)]["epoch"] += 1
        line.until(lambda: line.reports("jammed"))
        assert [report.outlet for report in line.reports("clear")] == list(range(len(line.config.outlet)))
        assert not line.reports("fired")


def test_whoever_wants_the_belt_to_stop_stops_it_and_what_is_queued_waits(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > TICKS)
        line.eject(Ejection(2, 5, 1, line.tick() + 6 * TICKS))
        line.until(lambda: line.counted("ejections"))
        line.board.shared["wants_stop"] = 1
        line.until(lambda: line.plc.words[m.STATUS.at("state")] == m.STOPPED)
        assert not line.reports("fired")
        line.board.shared["wants_stop"] = 0
        line.until(lambda: line.fell)
        assert [row[3] for row in line.fell] == [5]


def test_a_line_that_does_not_drive_its_belt_writes_neither_run_nor_speed(tmp_path: Path) -> None:
    with watched(tmp_path, live="\n[live]\ndrives_belt = false\n") as line:
        line.until(lambda: line.counted("pulses"))
        line.stop()
        assert line.plc.words[m.COMMAND.at("run") : m.COMMAND.at("run") + 3] == [0, 0, 0]


def test_reports_made_while_the_plc_was_out_of_reach_arrive(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > TICKS)
        line.eject(Ejection(2, 5, 1, line.tick() + 8 * TICKS))
        line.until(lambda: line.counted("ejections"))
        line.server.stop()
        line.until(lambda: line.counted("reopened"))
        while not line.fell:
            line.server.advance()
            time.sleep(0.01)
        line.server.start()
        line.until(lambda: line.reports("fired"))
        line.stop()
        assert [report.cup for report in line.reports("fired")] == [5]
        assert line.counted("reports_lost") == 0


def test_an_emergency_stop_is_an_alarm(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.tick() > TICKS)
        assert not line.alarms
        line.plc.emergency_stop = True
        line.until(lambda: line.alarms)
        line.stop()
        assert line.alarms == [("emergency_stop", "plc")]


def test_a_jam_outlasts_the_emptying_of_its_outlet(tmp_path: Path) -> None:
    with watched(tmp_path) as line:
        line.until(lambda: line.reports("clear"))
        with line.server.lock:
            line.plc.set_jammed(3, 2, True)
            line.plc.set_full(2, True)
        line.until(lambda: line.reports("full") and line.reports("jammed"))
        line.messages.clear()
        with line.server.lock:
            line.plc.set_full(2, False)
        line.until(lambda: line.reports("jammed"))
        is_open, sound = np.zeros((2, line.config.line.lanes, len(line.config.outlet)), bool)
        for report in line.of(OutletReport):
            take(report, is_open, sound)
        assert np.argwhere(is_open).tolist() == [[lane, 2] for lane in range(line.config.line.lanes)]
        assert np.argwhere(sound).tolist() == [[lane, 2] for lane in (0, 1, 2, 4, 5)]


SHORT = {"ticks_per_cup": 1100, "bits": 16}
AWAY_S = 2.5
"""After so long a counter of 16 bits may have turned over."""


@pytest.mark.parametrize("further_cups", [12, 45, 70, 130])
def test_a_counter_that_turned_over_unseen_numbers_cups_as_before(tmp_path: Path, further_cups: int) -> None:
    with watched(tmp_path, encoder=SHORT) as line:
        line.until(lambda: line.tick() > 2 * 1100)
        apart = line.tick() - _ticks(line)
        line.server.stop()
        time.sleep(AWAY_S)
        line.belt.further_cups += further_cups
        line.server.start()
        line.until(lambda: line.tick() > further_cups * 1100)
        assert abs(line.tick() - _ticks(line) - apart) < 1100
        assert not any("counts" in told for told in line.told)


def _ticks(line: Watched) -> int:
    return int(line.belt(time.monotonic_ns()) * 1100)


def test_where_the_plc_counts_no_pitches_the_line_begins_anew_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status = EmulatedPlc._write_status

    def without(plc: EmulatedPlc, now_ns: int) -> None:
        write_status(plc, now_ns)
        plc.words[m.STATUS.at("pitches") : m.STATUS.at("pitches") + 2] = [0, 0]

    monkeypatch.setattr(EmulatedPlc, "_write_status", without)
    with watched(tmp_path, encoder=SHORT) as line:
        line.until(lambda: line.tick() > 2 * 1100)
        cup = line.tick() // 1100
        line.server.stop()
        time.sleep(AWAY_S)
        line.server.start()
        line.until(lambda: any("counts no pitches" in told for told in line.told))
        line.until(lambda: line.tick() > (cup + 45) * 1100)


@given(st.integers(0, 2**16 - 1), st.integers(0, 500_000), st.integers(0, 2**32 - 1))
def test_pitches_say_how_often_a_counter_turned_over(first: int, moved: int, pitches: int) -> None:
    belt = Belt(16, Ruler.of(Fraction(1100)))
    before = belt.tick(first)
    belt.pitches = pitches
    assert belt.wrapped((first + moved) & 0xFFFF, (pitches + moved // 1100) & 0xFFFFFFFF)
    assert belt.tick((first + moved) & 0xFFFF) == before + moved


def test_pitches_that_do_not_fit_the_counter_say_nothing() -> None:
    belt = Belt(16, Ruler.of(Fraction(1100)))
    belt.tick(0)
    assert not belt.wrapped(5000, 7)
    belt.pitches = 3
    assert not belt.wrapped(5000, 3)


def test_the_belt_of_a_simulated_plc_stands_and_runs_as_told() -> None:
    plc = TapePlc(TapeOptions(tape="", t0_ns=time.monotonic_ns(), cups_per_s=20.0), load(templates.LINE))
    assert isinstance(plc, Drive)
    assert plc.poll().running
    plc.drive(run=False, cups_per_s=20.0)
    stood = plc.poll()
    time.sleep(0.02)
    assert plc.poll().count == stood.count
    assert not stood.running
    plc.drive(run=True, cups_per_s=20.0)
    assert plc.poll().count > stood.count
