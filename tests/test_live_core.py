"""The core of a live line alone, its ends in our hands: what it asks for, what it counts, what it leaves."""

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.messages import Alarm, OutletReport, Pulse
from citrus_grade.rundir import create, load_line
from citrus_grade.runlog.writer import Topic
from citrus_grade.runtime.live import core, outbox, wire
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.carry import outlook
from citrus_grade.runtime.live.core import Core
from citrus_grade.runtime.live.memory import DECIDED_CUPS, Decided, reserve
from citrus_grade.runtime.live.outbox import OPEN, STARTED, TORN
from citrus_grade.runtime.live.work import ALARM, CORE, METRICS, RECORDER, Spec, Work, ring_shape, roles_of, room_to_carry
from citrus_grade.tables import DECISION, empty


class Desk:
    """A core's place; cores may follow one another at it."""

    def __init__(self, run_dir: Path) -> None:
        self.config = load_line(run_dir / "line.toml").config
        roles, room, lanes = roles_of(self.config), room_to_carry(self.config), self.config.line.lanes
        self._memory = {
            "board": reserve("board", Board.n_bytes(len(roles), room)),
            "decided": reserve("decided", Decided.n_bytes(lanes)),
        }
        self._memory |= {f"ring{k}": reserve("ring", ring_shape(self.config, k).n_bytes) for k in range(len(self.config.camera))}
        self.ends = {role: wire.pair() for role in (*(role for role in roles if role not in (CORE, METRICS)), "parent")}
        self.board, self.decided = Board(self._memory["board"], roles, room), Decided(self._memory["decided"], lanes)
        self.decided.clear()
        for cup in ("decided_cup", "committed_cup", "lost_cup"):
            self.board.shared[cup] = -1
        self._parents: list[socket.socket] = []
        fds = self._memory | {role: ours.fileno() for role, (ours, _theirs) in self.ends.items()}
        self._spec = Spec(CORE, str(run_dir), roles, time.monotonic_ns(), "normal", fds)

    def core(self) -> Core:
        """Begin a core, a successor of one that was here before."""
        fds = self._spec.fds | {"parent": os.dup(self._spec.fds["parent"])}
        work = Work(replace(self._spec, fds=fds))
        work.end = lambda name: self.ends[name][0]  # type: ignore[method-assign]  # a process leaves its ends open
        self._parents.append(work._parent)
        return Core(work)

    def pulse(self, made: Core, cup: int, t_ns: int) -> None:
        """Feed a core the pulse with which a cup is decided."""
        tick = round((cup + self.config.line.decision_station) * self.config.encoder.ratio)
        for data in wire.of_messages([Pulse(tick, tick, t_ns)], 1):
            assert wire.send(self.ends["plc"][1], data)
        made._turn(0.0)

    def told(self) -> list[Alarm]:
        """Return the alarms that the core has told the supervisor."""
        said = wire.receive(self.ends["parent"][1])
        return [Alarm(*json.loads(data[len(ALARM) :])) for data in said if data.startswith(ALARM)]

    def close(self) -> None:
        for ours, theirs in self.ends.values():
            ours.close()
            theirs.close()
        for parent in self._parents:
            parent.close()
        for fd in self._memory.values():
            os.close(fd)


COMMANDS = """
[[command]]
at_min = 0.0
kind = "lot"
value = "5"

[[command]]
at_min = 0.001
kind = "lot"
value = "7"
"""


@pytest.fixture
def desk(line_toml: Path, tmp_path: Path) -> Iterator[Desk]:
    run = tmp_path / "run"
    create(run, load_line(line_toml), seed=None, profile="normal", config_text=line_toml.read_text(encoding="utf-8"))
    with (run / "line.toml").open("a", encoding="utf-8") as file:
        file.write(COMMANDS)
    made = Desk(run)
    yield made
    made.close()


def test_a_core_whose_decisions_are_not_kept_asks_for_the_belt_to_stand_until_they_are(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core, "LOOK_S", 0.0)
    made = desk.core()

    def decide(cups: range) -> None:
        for cup in cups:
            rows = empty(DECISION, desk.config.line.lanes)
            rows["cup"] = cup
            desk.decided.put(rows)
            desk.board.shared["decided_cup"] = cup
        made._turn(0.0)

    far = 100 * DECIDED_CUPS + core.UNKEPT_CUPS
    decide(range(core.UNKEPT_CUPS - 1))
    decide(range(far, far + 1))  # a jump of the count leaves nothing to be kept
    assert (desk.board.wants_stop, desk.told()) == (False, [])
    decide(range(far + 1, far + 2))
    assert desk.board.wants_stop
    assert [(alarm.kind, alarm.where) for alarm in desk.told()] == [("decisions_unkept", "recorder")]
    desk.board.shared["committed_cup"] = far + 1
    made._turn(0.0)  # without a pulse: the belt stands
    assert not desk.board.wants_stop


def test_a_command_due_while_a_core_is_replaced_is_given_by_its_successor_and_none_twice(desk: Desk) -> None:
    first = desk.core()
    desk.pulse(first, 0, 10_000_000)
    assert np.count_nonzero(first.line.state.lot) == 1
    time.sleep(0.1)  # the second command is due before its successor begins
    successor = desk.core()
    desk.pulse(successor, 1, 90_000_000)
    lots = successor.line.state.lot
    assert sorted(lots[lots > 0].tolist()) == [5, 7]


def test_what_the_plc_says_of_an_outlet_is_kept_though_the_belt_stands(desk: Desk) -> None:
    first = desk.core()
    for state in ("jammed", "full"):
        for data in wire.of_messages([OutletReport(0, 1, -1, 2, state)], 1):
            assert wire.send(desk.ends["plc"][1], data)
    first._turn(0.0)
    carried = desk.board.carried()
    assert carried is not None
    known = outlook(desk.config, carried)
    assert (known.outlet_open[:, 2].any(), known.outlet_sound[:, 2].any(), known.outlet_open[:, 1].all()) == (False, False, True)
    second = desk.core()
    np.testing.assert_array_equal(second.line.state.outlet_open, known.outlet_open)


def test_what_waited_for_a_recorder_that_died_is_counted_and_its_alarms_go_to_the_next(desk: Desk) -> None:
    made = desk.core()
    made._begin_file()
    for topic in (Topic.MESSAGES, Topic.FRAMES, Topic.ALARMS, Topic.DECISIONS):
        made._outbox.put(topic, 0, bytes(2 * wire.PART_BYTES if topic == Topic.MESSAGES else 8))
    desk.board.station(RECORDER).begin()
    assert made._outbox.again()
    counted = desk.board.station(CORE).counted()
    assert (counted["shed_messages"], counted["shed_frames"]) == (2, 1)
    made._outbox.flush()
    join = wire.Joiner()
    came = [record for part in wire.receive(desk.ends["recorder"][1]) if (record := join(part))]
    assert [topic for topic, *_ in came] == [Topic.ALARMS]
    assert made._outbox._bytes == 0


def test_a_file_says_why_another_had_to_follow_it(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    made = desk.core()
    made._begin_file()
    monkeypatch.setattr(outbox, "WAITING_BYTES", 0)
    made._outbox.put(Topic.MESSAGES, 0, b"too much")
    made._begin_file()
    made._outbox.flush()
    join = wire.Joiner()
    came = [record for part in wire.receive(desk.ends["recorder"][1]) if (record := join(part))]
    assert [data for topic, _, _, data in came if topic == OPEN] == [STARTED, TORN]
