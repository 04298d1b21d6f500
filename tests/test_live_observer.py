"""What the supervisor notices: lanes one by one, what is shed, and the log of events that holds it all."""

import json
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.alarms import QUIET_S
from citrus_grade.messages import Alarm, Command, OutletReport, Pulse, Reason, over
from citrus_grade.rundir import Loaded
from citrus_grade.runtime.live import events
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.carry import Carrier, outlook
from citrus_grade.runtime.live.events import EventLog
from citrus_grade.runtime.live.lanes import LAST_CUPS, Trouble, lanes_of, last_decisions
from citrus_grade.runtime.live.memory import Decided, reserve
from citrus_grade.runtime.live.observer import Observer
from citrus_grade.runtime.live.work import roles_of, room_to_carry
from citrus_grade.tables import DECISION, Table, empty


@pytest.fixture
def board(loaded: Loaded) -> Board:
    """A board on which every process works."""
    roles, room = roles_of(loaded.config), room_to_carry(loaded.config)
    made = Board(reserve("board", Board.n_bytes(len(roles), room)), roles, room)
    for role in roles:
        made.station(role).ready()
    return made


def _graded(lanes: int, cups: int = LAST_CUPS) -> Table:
    rows = empty(DECISION, cups * lanes)
    rows["cup"], rows["lane"] = np.repeat(np.arange(cups), lanes), np.tile(np.arange(lanes), cups)
    rows["reason"], rows["scans_received"] = Reason.GRADED, 8
    return rows


def test_a_line_on_which_all_is_well_is_on(loaded: Loaded, board: Board) -> None:
    lanes = lanes_of(loaded.config, board, _graded(loaded.config.line.lanes), None)
    assert {(lane.state, lane.troubles, lane.graded) for lane in lanes} == {("on", (), LAST_CUPS)}


def test_a_spectrometer_that_is_gone_degrades_its_lane_only(loaded: Loaded, board: Board) -> None:
    board.station("spectra").set_gone(2, True)
    lanes = lanes_of(loaded.config, board, _graded(loaded.config.line.lanes), None)
    assert [lane.lane for lane in lanes if lane.state != "on"] == [2]
    assert lanes[2].troubles == (Trouble("spectrometer_gone", "lane 2"),)


@pytest.mark.parametrize(("role", "kind"), [("camera0", "camera_gone"), ("plc", "plc_gone"), ("core", "core_gone")])
def test_what_all_lanes_share_degrades_them_all(role: str, kind: str, loaded: Loaded, board: Board) -> None:
    board.station(role).count_start()
    lanes = lanes_of(loaded.config, board, _graded(loaded.config.line.lanes), None)
    assert {lane.state for lane in lanes} == {"degraded"}
    assert {trouble.kind for lane in lanes for trouble in lane.troubles} == {kind}


def test_a_device_that_answers_and_sends_nothing_is_seen_by_its_fruit(loaded: Loaded, board: Board) -> None:
    rows = _graded(loaded.config.line.lanes)
    rows["scans_received"][rows["lane"] == 4] = 0
    rows["reason"][rows["lane"] == 1] = Reason.MISSING_VIEW
    lanes = lanes_of(loaded.config, board, rows, None)
    assert lanes[4].troubles == (Trouble("spectra_missing", "lane 4"),)
    assert (lanes[1].troubles, lanes[1].graded) == ((Trouble("views_missing", "lane 1"),), 0)
    assert {lane.state for lane in lanes_of(loaded.config, board, rows, None, range(6))} == {"on"}
    rows["reason"] = Reason.EMPTY
    assert {lane.state for lane in lanes_of(loaded.config, board, rows, None)} == {"on"}


def test_lanes_and_outlets_are_as_the_core_knows_them(loaded: Loaded, board: Board) -> None:
    line = loaded.line()
    carrier = Carrier(line)
    line.feed(Command(0, 0, "lane_off", "3"))
    line.feed(OutletReport(0, 0, 1, 0, "jammed"))
    line.feed(OutletReport(0, 0, -1, 2, "full"))
    line.feed(Pulse(4096, 4096, 1))
    known = outlook(loaded.config, carrier.pack(line.state, 1))
    for name in known._fields:
        np.testing.assert_array_equal(getattr(known, name), getattr(line.state, name))
    lanes = lanes_of(loaded.config, board, _graded(loaded.config.line.lanes), known)
    assert [lane.state for lane in lanes] == ["degraded", "degraded", "degraded", "off", "degraded", "degraded"]
    assert Trouble("outlet_jammed", "lane 1 outlet 0") in lanes[1].troubles
    assert lanes[3].troubles[0] == Trouble("lane_off", "lane 3")


def test_the_last_decisions_are_those_that_are_there(loaded: Loaded) -> None:
    lanes = loaded.config.line.lanes
    decided = Decided(reserve("decided", Decided.n_bytes(lanes)), lanes)
    assert len(last_decisions(decided, -1)) == 0
    decided.put(_graded(lanes, 40))
    assert np.unique(last_decisions(decided, 39)["cup"]).tolist() == list(range(40 - LAST_CUPS, 40))


@pytest.fixture
def watched(loaded: Loaded, board: Board, tmp_path: Path) -> tuple[Observer, list[Alarm]]:
    lanes = loaded.config.line.lanes
    told: list[Alarm] = []
    decided = Decided(reserve("decided", Decided.n_bytes(lanes)), lanes)
    return Observer(tmp_path, loaded.config, board, decided, told.append), told


def _look(observer: Observer) -> None:
    observer._next_s = 0.0
    observer.look()


def test_a_lane_that_degrades_is_an_alarm_and_ends_as_one(
    watched: tuple[Observer, list[Alarm]], board: Board, tmp_path: Path
) -> None:
    observer, told = watched
    _look(observer)
    board.station("spectra").set_gone(2, True)
    _look(observer)
    _look(observer)
    assert [(alarm.kind, alarm.where) for alarm in told] == [("spectrometer_gone", "lane 2")]
    board.station("spectra").set_gone(2, False)
    _look(observer)
    observer.close()
    said = [event["event"] for event in events.read(tmp_path)]
    assert said == ["lane_changed", "alarm_raised", "lane_changed", "alarm_ended"]
    assert not observer.book.active


def test_a_lens_that_is_cleaned_ends_its_alarm_and_is_told_anew_when_it_is_dirty_again(
    watched: tuple[Observer, list[Alarm]], tmp_path: Path
) -> None:
    observer, told = watched
    dirty = Alarm(1, "lens_dirty", "camera 0 lane 2 window 1")
    observer.take(dirty)
    observer.take(over(2, "lens_dirty", "camera 0"))
    assert not observer.book.active
    observer.take(over(2, "lens_dirty", "camera 0"))
    observer.take(dirty)
    observer.close()
    assert told == [dirty, dirty]
    assert observer.counted.times == {"lens_dirty": 2}
    said = [event["event"] for event in events.read(tmp_path)]
    assert said == ["alarm_raised", "alarm_ended", "alarm_raised"]


@pytest.mark.parametrize(("role", "kind"), [("core", "shutter_stuck"), ("plc", "outlet_silent")])
def test_what_a_process_that_died_told_stands_only_if_its_successor_tells_it_too(
    role: str, kind: str, watched: tuple[Observer, list[Alarm]], board: Board
) -> None:
    observer, told = watched
    _look(observer)
    observer.take(Alarm(1, kind, "lane 3 outlet 1"))
    _look(observer)
    assert len(observer.book.active) == 1
    board.station(role).begin()
    board.station(role).ready()
    _look(observer)
    assert not observer.book.active
    observer.take(Alarm(9, kind, "lane 3 outlet 1"))
    assert [alarm.tick for alarm in told] == [1, 9]
    observer.close()


def test_a_box_scale_that_is_gone_is_an_alarm_until_it_is_back(loaded: Loaded, tmp_path: Path) -> None:
    config = loaded.config.model_copy(update={"scale": {"driver": "serial", "url": "loop://"}})
    roles, room = roles_of(config), room_to_carry(config)
    board = Board(reserve("board", Board.n_bytes(len(roles), room)), roles, room)
    for role in roles:
        board.station(role).ready()
    observer = Observer(tmp_path, config, board, Decided(reserve("decided", Decided.n_bytes(6)), 6), None)
    board.station("scale").set_gone(0, True)
    observer.said("scale", "the scale at loop:// is gone: pulled")
    _look(observer)
    assert list(observer.book.active) == [("scale_gone", "scale: the scale at loop:// is gone: pulled")]
    board.station("scale").set_gone(0, False)
    _look(observer)
    observer.close()
    assert not observer.book.active


def test_a_clock_that_is_set_neither_ends_alarms_nor_keeps_them(
    watched: tuple[Observer, list[Alarm]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer, _ = watched
    wall_s, steady_s = 1e9, 100.0
    monkeypatch.setattr("citrus_grade.runtime.live.observer.time.time", lambda: wall_s)
    monkeypatch.setattr("citrus_grade.runtime.live.observer.time.monotonic", lambda: steady_s)
    observer.alarm("scan_gap", "sensors")
    wall_s, steady_s = wall_s + 3600, steady_s + 1
    _look(observer)
    assert [kind for kind, _where in observer.book.active] == ["scan_gap"]
    wall_s, steady_s = wall_s - 7200, steady_s + QUIET_S
    _look(observer)
    observer.close()
    assert not observer.book.active
    (ended,) = [event for event in events.read(tmp_path) if event["event"] == "alarm_ended"]
    assert ended["lasted_s"] == QUIET_S + 1


def test_fruit_that_passed_while_a_device_was_gone_say_nothing_when_it_is_back(
    watched: tuple[Observer, list[Alarm]], loaded: Loaded, board: Board
) -> None:
    observer, told = watched
    rows = _graded(loaded.config.line.lanes, 100)
    rows["scans_received"] = 0
    observer._decided.put(rows)
    board.shared["decided_cup"] = 40
    board.station("spectra").set_gone(2, True)
    _look(observer)
    board.station("spectra").set_gone(2, False)
    for cup in (41, 60):
        board.shared["decided_cup"] = cup
        _look(observer)
    assert ("spectra_missing", "lane 2") not in {(alarm.kind, alarm.where) for alarm in told}
    board.shared["decided_cup"] = 99
    _look(observer)
    assert ("spectra_missing", "lane 2") in {(alarm.kind, alarm.where) for alarm in told}
    observer.close()


def test_a_recorder_that_begins_anew_hides_no_device_that_sends_nothing(
    watched: tuple[Observer, list[Alarm]], loaded: Loaded, board: Board
) -> None:
    observer, told = watched
    rows = _graded(loaded.config.line.lanes, 100)
    rows["scans_received"] = 0
    observer._decided.put(rows)
    _look(observer)
    board.station("recorder").begin()
    board.shared["decided_cup"] = 99
    _look(observer)
    assert ("spectra_missing", "lane 2") in {(alarm.kind, alarm.where) for alarm in told}
    observer.close()


def test_what_is_shed_is_told_once_a_rise(watched: tuple[Observer, list[Alarm]], board: Board, tmp_path: Path) -> None:
    observer, told = watched
    board.station("plc").count("reports_lost", 3)
    _look(observer)
    board.station("plc").count("reports_lost", 2)
    _look(observer)
    observer.close()
    assert [(alarm.kind, alarm.where, alarm.count) for alarm in told] == [("reports_lost", "plc", 3)]
    assert observer.counted.times["reports_lost"] == 5
    counted = [event for event in events.read(tmp_path) if event["event"] == "counted"]
    assert [(event["n"], event["total"], event["process"]) for event in counted] == [(3, 3, "plc"), (2, 5, "plc")]


def test_an_outlet_stays_jammed_until_the_core_says_otherwise(
    watched: tuple[Observer, list[Alarm]], loaded: Loaded, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    observer, _ = watched
    line = loaded.line()
    carrier = Carrier(line)
    for alarm in line.feed(OutletReport(0, 0, 1, 0, "jammed")):
        assert isinstance(alarm, Alarm)
        observer.take(alarm)
    board.carry(carrier.pack(line.state, 1))
    monkeypatch.setattr("citrus_grade.runtime.live.observer.SURE_S", -1.0)
    _look(observer)
    assert [key[0] for key in observer.book.active] == ["outlet_jammed"]
    line.feed(OutletReport(0, 0, 1, 0, "clear"))
    board.carry(carrier.pack(line.state, 1))
    _look(observer)
    assert not observer.book.active
    observer.close()


def test_events_are_lines_of_json_in_files_that_do_not_grow_for_ever(tmp_path: Path) -> None:
    log = EventLog(tmp_path / events.NAME, file_bytes=2000)
    for n in range(100):
        log.write("counted", "plc", "warning", 7, what="果", n=n)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert len(files) == 1 + events.OLD_FILES
    assert all(path.stat().st_size <= 2000 for path in files)
    first = json.loads(files[0].read_text(encoding="utf-8").splitlines()[0])
    assert list(first) == ["time", "tick", "level", "process", "event", "what", "n"]
    assert first["time"].endswith("Z")
    assert [event["n"] for event in events.read(tmp_path)][-1] == 99
    assert log.lost == 0


def test_a_disk_that_takes_no_events_stops_nothing(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "no such folder" / events.NAME)
    for _ in range(3):
        log.write("line_starts", "supervisor")
    log.close()
    assert log.lost == 3


def test_a_line_cut_short_by_a_full_disk_is_left_out(tmp_path: Path) -> None:
    (tmp_path / events.NAME).write_text('{"event": "line_sta\n{"event": "line_ready"}\n', encoding="utf-8")
    assert [event["event"] for event in events.read(tmp_path)] == ["line_ready"]
