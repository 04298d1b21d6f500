"""How a live line ends, part by part and without a belt: what the recorder waits for, and what the supervisor saves."""

import json
import os
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.messages import Alarm
from citrus_grade.rundir import create, load_line
from citrus_grade.runlog.writer import Topic
from citrus_grade.runtime.live import events, health, record, store, supervisor, wire
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.memory import DECIDED_CUPS, NEXT_CUPS, Decided, reserve
from citrus_grade.runtime.live.outbox import CLOSE, END, OPEN
from citrus_grade.runtime.live.session import _signals
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import RECORDER, Spec, Work, ring_shape, roles_of, room_to_carry, stops_in
from citrus_grade.tables import DECISION, Table, empty


@pytest.fixture
def run_dir(line_toml: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    create(folder, load_line(line_toml), seed=None, profile="normal", config_text=line_toml.read_text(encoding="utf-8"))
    return folder


def _rows(cup: int, lanes: int = 6) -> Table:
    rows = empty(DECISION, lanes)
    rows["cup"], rows["lane"], rows["mass_g"] = cup, np.arange(lanes), 100.0
    return rows


class Desk:
    """A recorder's place, with the core's and the supervisor's ends in our hands."""

    def __init__(self, run_dir: Path) -> None:
        config = load_line(run_dir / "line.toml").config
        roles, room, lanes = roles_of(config), room_to_carry(config), config.line.lanes
        fds = {"board": reserve("board", Board.n_bytes(len(roles), room)), "decided": reserve("decided", Decided.n_bytes(lanes))}
        fds |= {f"ring{k}": reserve("ring", ring_shape(config, k).n_bytes) for k in range(len(config.camera))}
        self.supervisor, parent = wire.pair()
        self.core, self._end = wire.pair()
        fds["parent"] = parent.detach()
        self.decided = Decided(fds["decided"], lanes)
        self.work = Work(Spec(RECORDER, str(run_dir), roles, time.monotonic_ns(), "normal", fds))
        self.work.end = lambda _name: self._end  # type: ignore[method-assign]  # whoever opens an end in a process leaves it open
        for cup in ("decided_cup", "committed_cup", "lost_cup"):
            self.work.board.shared[cup] = -1
        self._memory = [fd for name, fd in fds.items() if name != "parent"]

    def send(self, topic: int, data: bytes = b"") -> None:
        for part in wire.parts(topic, 0, 0, data):
            assert wire.send(self.core, part)

    def decide(self, cup: int) -> None:
        self.decided.put(_rows(cup))
        self.work.board.shared["decided_cup"] = cup

    def close(self) -> None:
        for end in (self.supervisor, self.core, self._end, self.work._parent):
            end.close()
        for fd in self._memory:
            os.close(fd)


def _while_it_records(desk: Desk, act: Callable[[], None]) -> None:
    core = threading.Thread(target=act)
    core.start()
    try:
        record.run(desk.work)
    finally:
        core.join()
        desk.close()


def test_a_recorder_whose_supervisor_is_gone_waits_for_what_the_core_hands_over(run_dir: Path) -> None:
    desk = Desk(run_dir)

    def hand_over() -> None:
        desk.send(OPEN)
        desk.supervisor.close()
        for cup in range(4):
            time.sleep(0.2)
            desk.decide(cup)
        desk.send(CLOSE)
        desk.send(END)

    _while_it_records(desk, hand_over)
    assert [rows["cup"].tolist() for rows in store.decisions(run_dir)] == [np.repeat(np.arange(4), 6).tolist()]
    assert [path.name for path in (run_dir / "log").iterdir()] == ["000000.mcap"]


def test_a_recorder_that_nobody_tells_of_the_end_ends_by_itself(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "ORPHANED_S", 0.3)
    desk = Desk(run_dir)
    desk.send(OPEN)
    desk.decide(0)
    _while_it_records(desk, desk.supervisor.close)
    assert store.last_cup(run_dir) == 0


def test_a_recorder_whose_core_and_supervisor_are_both_gone_finishes_what_came_and_ends(run_dir: Path) -> None:
    desk = Desk(run_dir)
    desk.send(OPEN)
    desk.decide(0)
    desk.supervisor.close()
    desk.core.close()
    recorder = threading.Thread(target=record.run, args=(desk.work,), daemon=True)
    recorder.start()
    recorder.join(30.0)
    assert not recorder.is_alive()
    desk.close()
    assert store.last_cup(run_dir) == 0
    assert [path.name for path in (run_dir / "log").iterdir()] == ["000000.mcap"]


def test_alarms_that_the_database_did_not_take_are_kept_for_later(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "AGAIN_S", 0.0)
    desk = Desk(run_dir)
    recorder = record.LiveRecorder(desk.work)

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    told = '{"tick": 7, "kind": "scan_gap", "where": "sensors", "count": 2}'
    for part in wire.parts(Topic.ALARMS, 0, 0, told.encode()):
        recorder.take(part)
    desk.decide(0)
    with monkeypatch.context() as patch:
        patch.setattr(recorder._store, "event", full)
        recorder.sync()
    assert int(desk.work.board.shared["committed_cup"][0]) == -1
    assert store.last_cup(run_dir) == -1
    recorder.sync()
    recorder.sync()
    recorder.close()
    desk.close()
    assert store.last_cup(run_dir) == 0
    assert [(event["kind"], event["count"]) for event in store.events(run_dir)] == [("scan_gap", 2)]


def test_what_a_full_database_lets_be_written_over_is_counted_once_by_whichever_recorder(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "AGAIN_S", 0.0)
    desk = Desk(run_dir)
    recorder = record.LiveRecorder(desk.work)
    held, last = DECIDED_CUPS - NEXT_CUPS, DECIDED_CUPS + 99

    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    def shed() -> int:
        return desk.work.station.counted()["shed_decisions"]

    for cup in range(DECIDED_CUPS):
        desk.decide(cup)
    with monkeypatch.context() as patch:
        patch.setattr(recorder._store, "commit", full)
        for _again in range(3):
            recorder.sync()
        assert shed() == DECIDED_CUPS - held
        for cup in range(DECIDED_CUPS, last + 1):
            desk.decide(cup)
        recorder.sync()
        assert shed() == last + 1 - held
    recorder._store._db.close()
    successor = record.LiveRecorder(desk.work)
    successor.sync()
    successor.close()
    desk.close()
    assert shed() == last + 1 - held
    cups = np.concatenate([rows["cup"] for rows in store.decisions(run_dir)])
    np.testing.assert_array_equal(cups, np.repeat(np.arange(last + 1 - held, last + 1), 6))


def test_cups_that_a_jump_of_the_count_has_left_out_are_not_taken_for_lost(run_dir: Path) -> None:
    desk = Desk(run_dir)
    recorder = record.LiveRecorder(desk.work)
    for cup in (0, 1, 50_000, 50_001):
        desk.decide(cup)
    recorder.sync()
    recorder.close()
    desk.close()
    assert desk.work.station.counted()["shed_decisions"] == 0
    cups = np.concatenate([rows["cup"] for rows in store.decisions(run_dir)])
    assert np.unique(cups).tolist() == [0, 1, 50_000, 50_001]


def test_decisions_that_the_disk_takes_no_more_are_counted_when_the_supervisor_saves_the_rest(run_dir: Path) -> None:
    line = _with_processes(run_dir)
    for cup in range(DECIDED_CUPS + 10):
        line._decided.put(_rows(cup))
    line.board.shared["decided_cup"] = DECIDED_CUPS + 9
    line.stop(lambda: True)
    assert line.board.station(RECORDER).counted()["shed_decisions"] == NEXT_CUPS + 10
    assert store.last_cup(run_dir) == DECIDED_CUPS + 9


def test_the_state_of_a_line_that_has_ejected_nothing_is_strict_json(run_dir: Path) -> None:
    line = _with_processes(run_dir)
    state = json.loads(json.dumps(health.state(line), allow_nan=False))
    line.stop(lambda: True)
    assert (state["deadline"]["least_ms"], state["deadline"]["n"]) == (None, 0)


def test_a_disk_that_stands_still_holds_up_nobody_who_tells_the_state(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens a pipe to write into it waits until somebody reads, as on a disk that takes nothing."""
    monkeypatch.setattr(health, "KEEP_S", 0.0)
    line = _with_processes(run_dir)
    os.mkfifo(run_dir / f"{health.NAME}.part")
    keeper = health.Keeper(line)
    for cup in range(10, 20):
        line.board.shared["decided_cup"] = cup
        keeper.keep()
    first = json.loads((run_dir / f"{health.NAME}.part").read_text(encoding="utf-8"))
    line.board.shared["decided_cup"] = 2
    line.stop(lambda: True)
    keeper.close()
    assert first["decided_cup"] < 20
    state = health.read(run_dir)
    assert (state["decided_cup"], state["running"]) == (2, False)


def test_the_oldest_files_of_a_log_go_when_they_are_more_than_it_may_keep(run_dir: Path) -> None:
    text = (run_dir / "line.toml").read_text(encoding="utf-8")
    (run_dir / "line.toml").write_text(text.replace("[log]", "[log]\nkeep_gb = 0.0005"), encoding="utf-8")
    (run_dir / "log" / "000000.mcap.active").write_bytes(bytes(300_000))  # what a recorder that was killed has left
    desk = Desk(run_dir)
    recorder = record.LiveRecorder(desk.work)
    there = []
    for _file in range(4):
        for topic, data in ((OPEN, b""), (Topic.SNAPSHOT, bytes(200_000)), (CLOSE, b"")):
            for part in wire.parts(topic, 0, 0, data):
                recorder.take(part)
        there.append(sorted(path.name[:6] for path in (run_dir / "log").iterdir()))
    recorder.close()
    said = [data for data in wire.receive(desk.supervisor) if b"file_removed" in data]
    desk.close()
    assert there == [
        ["000000", "000001"],
        ["000001", "000002"],
        ["000001", "000002", "000003"],
        ["000002", "000003", "000004"],
    ]
    assert [json.loads(data[1:])[1]["file"] for data in said] == ["000000.mcap.active", "000001.mcap"]


def test_a_file_that_is_cut_says_why(run_dir: Path) -> None:
    desk = Desk(run_dir)
    recorder = record.LiveRecorder(desk.work)
    for why in (b"", b"something was shed"):
        for part in wire.parts(OPEN, 0, 0, why):
            recorder.take(part)
    recorder.close()
    desk.close()
    first = (run_dir / "log" / "000000.mcap").read_bytes()
    assert b"something was shed" in first


def test_decisions_that_the_disk_does_not_take_when_the_line_ends_are_counted(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_store: store.Store) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    line = _with_processes(run_dir)
    monkeypatch.setattr(store.Store, "commit", full)
    line.stop(lambda: True)
    assert line.board.station(RECORDER).counted()["shed_decisions"] == 3
    assert line.observer.counted.times["shed_decisions"] == 3


def _with_processes(run_dir: Path, told: Callable[[Alarm], None] | None = None) -> Supervisor:
    """A supervisor whose processes are there, ready, and end by no word."""
    made = Supervisor(run_dir, "normal", told)
    for role, child in made.children.items():
        child.process = subprocess.Popen(["sleep", "600"])
        made.board.station(role).ready()
    for cup in range(3):
        made._decided.put(_rows(cup))
    made.board.shared["decided_cup"] = 2
    return made


@pytest.mark.parametrize("hurried", [True, False])
def test_whatever_does_not_end_is_killed_step_by_step_and_every_decision_saved(
    hurried: bool, run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hurried:
        monkeypatch.setattr(supervisor, "STOP_S", dict.fromkeys(supervisor.STOP_S, 0.05))
    line = _with_processes(run_dir)
    processes = [child.process for child in line.children.values() if child.process]
    line.stop(lambda: hurried)
    assert [process.returncode for process in processes] == [-signal.SIGKILL] * len(processes)
    assert store.last_cup(run_dir) == 2
    assert int(line.board.shared["committed_cup"][0]) == 2
    ended = [event for event in events.read(run_dir) if event["event"] == "process_ended"]
    assert [stops_in(event["process"]) for event in ended] == sorted(stops_in(role) for role in line.roles)
    assert {event["signal"] for event in ended} == {"SIGKILL"}


def test_the_first_two_signals_are_told_and_the_third_is_as_it_was() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with _signals() as came:
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
            assert came == [signal.SIGTERM, signal.SIGINT]
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _signals() as came:
            os.kill(os.getpid(), signal.SIGHUP)
        assert came == []
    finally:
        signal.signal(signal.SIGHUP, before)
