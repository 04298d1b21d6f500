"""What the processes of a live line share, each part alone."""

import mmap
import os
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.config import load, parse
from citrus_grade.geometry import Ruler
from citrus_grade.line import Line
from citrus_grade.messages import Alarm, Command, Ejection, OutletReport, Pulse, Scans
from citrus_grade.rundir import Loaded, create, load_line
from citrus_grade.runtime.live import store, wire
from citrus_grade.runtime.live.belt import Belt
from citrus_grade.runtime.live.board import BIN_0_US, Board, least_us, quantile_us
from citrus_grade.runtime.live.carry import Carrier, _bytes, _references, resumed
from citrus_grade.runtime.live.clock import BeltClock, DeviceClock, nearest_trigger, tick_at
from citrus_grade.runtime.live.memory import DECIDED_CUPS, Decided, FrameRing, Shape, reserve
from citrus_grade.runtime.live.outbox import CLOSE, END
from citrus_grade.runtime.live.work import RECORDER, Spec, ring_shape, roles_of, room_to_carry
from citrus_grade.state import initial
from citrus_grade.tables import DECISION, empty
from citrus_grade.templates import LINE

RULER = Ruler.of(Fraction(4096))
SHAPE = Shape(4, 6, 8)
CARRY = 4096


Ends = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = wire.pair()
    with ours, theirs:
        yield ours, theirs


def _rows(cup: int, lanes: int = 3) -> np.ndarray:
    rows = empty(DECISION, lanes)
    rows["cup"], rows["lane"], rows["mass_g"] = cup, np.arange(lanes), 100.0
    return rows


def test_a_frame_is_seen_by_another_process_to_the_byte() -> None:
    fd = reserve("ring", SHAPE.n_bytes)
    mosaic = np.arange(48, dtype=np.uint8).reshape(6, 8)
    FrameRing(fd, SHAPE).put(7, mosaic)
    code = (
        "import sys; from citrus_grade.runtime.live.memory import FrameRing, Shape\n"
        f"ring = FrameRing({fd}, Shape(4, 6, 8)); sys.stdout.buffer.write(ring.look(7).tobytes()); assert ring.look(3) is None"
    )
    told = subprocess.run([sys.executable, "-c", code], pass_fds=[fd], capture_output=True, check=True)
    assert told.stdout == mosaic.tobytes()


def test_a_frame_written_over_is_not_taken_for_the_one_before() -> None:
    ring = FrameRing(reserve("ring", SHAPE.n_bytes), SHAPE)
    ring.put(1, np.zeros((6, 8), np.uint8))
    assert ring.holds(1)
    ring.put(5, np.ones((6, 8), np.uint8))
    assert not ring.holds(1)
    assert ring.look(1) is None
    assert ring.newest() == 5


def test_a_frame_begun_and_not_done_is_not_whole() -> None:
    fd = reserve("ring", SHAPE.n_bytes)
    ring = FrameRing(fd, SHAPE)
    ring.put(2, np.zeros((6, 8), np.uint8))
    slot = 2 * (64 + SHAPE.frame_bytes)
    with mmap.mmap(fd, SHAPE.n_bytes) as raw:
        raw[slot : slot + 8] = (6).to_bytes(8, "little")  # as a writer killed half-way leaves it
    assert not ring.holds(2)
    assert ring.look(6) is None


def test_a_core_killed_while_it_writes_leaves_what_it_carried_before() -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("core",), CARRY)
    assert board.carried() is None
    board.carry(b"first")
    board._carried[0, :6] = np.frombuffer(b"second", np.uint8)  # the other half, its number not yet moved on
    assert board.carried() == b"first"
    board.carry(b"second")
    assert board.carried() == b"second"
    with pytest.raises(ValueError, match="there is room for"):
        board.carry(b"x" * (CARRY + 1))


def test_the_clock_on_the_board_is_never_seen_half_written() -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("core",), CARRY)
    assert board.belt() is None
    board.set_clock(1, 10, 3.0)
    done = threading.Event()

    def write() -> None:
        for k in range(2, 20_000):
            board.set_clock(k, 10 * k, 3.0 * k)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        seen = board.belt()
        assert seen is not None
        assert (seen[1], seen[2]) == (10 * seen[0], 3.0 * seen[0])
    writer.join()
    assert board.belt() == (19_999, 199_990, 59_997.0)


@pytest.mark.parametrize("fields", [("tick",), ("tick", "t_ns"), ("tick", "t_ns", "ticks_per_s")])
def test_a_process_that_stands_or_dies_as_it_writes_the_clock_leaves_the_look_before(fields: tuple[str, ...]) -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("core",), CARRY)
    for k in (1, 2, 3):
        board.set_clock(k, 10 * k, 3.0 * k)
    for name in fields:
        board.clock[name][0, 4 % 2] = 99
    assert board.belt() == (3, 30, 9.0)
    board.set_clock(4, 40, 12.0)
    assert board.belt() == (4, 40, 12.0)


def test_decisions_lie_ready_until_they_are_written_over() -> None:
    decided = Decided(reserve("decided", Decided.n_bytes(3)), 3)
    assert decided.get(5) is None
    decided.put(np.concatenate([_rows(5), _rows(6)]))
    for cup in (5, 6):
        found = decided.get(cup)
        assert found is not None
        np.testing.assert_array_equal(found["cup"], cup)
    decided.put(_rows(5 + DECIDED_CUPS))
    assert decided.get(5) is None


def test_decisions_written_over_while_they_are_copied_are_not_taken() -> None:
    decided = Decided(reserve("decided", Decided.n_bytes(3)), 3)
    decided.clear()
    assert decided.cups(0, 100) == []
    decided.put(np.concatenate([_rows(5), _rows(6)]))
    assert decided.cups(6, 100) == [6]
    decided._rows[5]["cup"][2] = 5 + DECIDED_CUPS  # the core is half-way through the row
    assert decided.get(5) is None


def test_a_histogram_tells_quantiles_to_an_eighth_of_an_octave() -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("core",), CARRY)
    station = board.station("core")
    for us in range(1, 1001):
        station.took("decide", us * 1000)
    found = station.times("decide")
    assert found.sum() == 1000
    assert least_us(found) == 0.0
    for share in (0.5, 0.99):
        assert share * 1000 <= quantile_us(found, share) <= share * 1000 * 2 ** (1 / 8) * 1.001
    assert np.isnan(quantile_us(found * 0, 0.5))
    station.took("decide", 10**12)  # longer than the last bin is long
    assert quantile_us(station.times("decide"), 1.0) > BIN_0_US


def test_messages_pass_through_a_socket_unchanged(ends: Ends) -> None:
    ours, theirs = ends
    counts = np.arange(12, dtype=np.uint16).reshape(2, 6)
    scans = Scans(5, np.array([0, 3], np.int32), np.array([7, 8], np.int32), np.array([100, 200]), counts)
    for data in wire.of_messages([scans, Pulse(1, 2, 3)], 6):
        assert wire.send(ours, data)
    got = [message for data in wire.receive(theirs) for message in wire.messages_of(data, 6)]
    assert isinstance(got[0], Scans)
    np.testing.assert_array_equal(got[0].counts, counts)
    np.testing.assert_array_equal(got[0].tick, scans.tick)
    assert got[1] == Pulse(1, 2, 3)


def test_a_socket_whose_other_end_sleeps_fills_and_says_so(ends: Ends) -> None:
    ours, theirs = ends
    sent = 0
    while wire.send(ours, b"x" * 50_000):
        sent += 1
        assert sent < 10_000
    assert len(list(wire.receive(theirs, 10_000))) == sent
    theirs.close()
    assert not wire.send(ours, b"x")


def test_ejections_keep_when_what_decided_them_came() -> None:
    ejections = [Ejection(1, 10**12, 2, -5), Ejection(0, 3, 0, 99)]
    assert wire.ejections_of(wire.of_ejections(77, ejections)) == (77, ejections)


@given(st.lists(st.binary(max_size=3 * wire.PART_BYTES), min_size=1, max_size=4), st.integers(0, 5))
def test_records_are_joined_again_and_one_without_its_beginning_is_left_out(records: list[bytes], lost: int) -> None:
    parts = [part for number, data in enumerate(records) for part in wire.parts(3, 9, number, data)]
    lost = min(lost, len(parts) - 1)
    join = wire.Joiner()
    got = [whole for part in parts[lost:] if (whole := join(part)) is not None]
    whole = [(3, 9, number, data) for number, data in enumerate(records)]
    assert got == whole[len(whole) - len(got) :]
    if lost == 0:
        assert got == whole


def test_a_device_clock_is_read_by_its_quickest_messages() -> None:
    clock, rng = DeviceClock(), np.random.default_rng(1)
    apart_ns, least_ns = 123_456_789_012, 400_000
    for k in range(500):
        device_ns = k * 4_000_000
        arrival_ns = device_ns + apart_ns + least_ns + int(rng.exponential(2e6))
        host_ns = clock.host_ns(device_ns, arrival_ns)
        assert host_ns <= arrival_ns
    assert abs(host_ns - (device_ns + apart_ns + least_ns)) < 100_000
    again = clock.host_ns(0, arrival_ns + 1_000_000)  # the device was started again
    assert again == arrival_ns + 1_000_000


def _learnt(line: Line) -> list[np.ndarray]:
    state = line.state
    return [state.watched, state.watch_told, *state.spectra_watched, *state.spectra_step]


def test_a_core_goes_on_where_the_one_before_had_come_to(loaded: Loaded) -> None:
    line, successor = loaded.line(), loaded.line()
    carrier = Carrier(line)
    line.feed(Command(0, 0, "lot", "7"))
    line.feed(Command(0, 0, "lane_off", "3"))
    line.feed(OutletReport(0, 0, 2, 1, "full"))
    line.state.next_cup, line.state.offset = 41, -12
    line.state.references.dark[1] += 5.0
    learnt = _learnt(line)
    for k, array in enumerate(learnt):
        array[...] = k % 2 if array.dtype == np.bool_ else k + 1
    line.feed(Pulse(4096, 4096, 1))
    assert resumed(successor, carrier.pack(line.state, 77), 44) == 77
    assert successor.state.next_cup == 45
    for name in ("offset", "plan_id", "model_id"):
        assert getattr(successor.state, name) == getattr(line.state, name)
    for name in ("lane_on", "outlet_open", "lot", "lot_from"):
        np.testing.assert_array_equal(getattr(successor.state, name), getattr(line.state, name))
    np.testing.assert_array_equal(successor.state.references.dark, line.state.references.dark)
    for said, carried in zip(learnt, _learnt(successor), strict=True):
        np.testing.assert_array_equal(carried, said)
    sound = line.state.references.dark.copy()
    line.feed(Command(4096, 1, "dark_refresh", ""))
    line.state.references.dark[:] = 0.0  # half-way
    again = loaded.line()
    resumed(again, carrier.pack(line.state, 77), 44)
    np.testing.assert_array_equal(again.state.references.dark, sound)
    assert not again.state.references.lanes["asked"].any()


@pytest.mark.parametrize(("lanes", "pixels", "windows"), [(1, 16, 1), (6, 2048, 4), (32, 8192, 16)])
def test_what_a_core_leaves_finds_room_on_every_line_that_may_be_configured(lanes: int, pixels: int, windows: int) -> None:
    spectrometer = {"pixels": pixels, "scans": 1, "bins": 1, "station": 14, "wavelength_nm": (650.0, 1010.0)}
    text = LINE.read_text(encoding="utf-8")
    config = parse(text)
    assert config.spectrometer is not None
    camera = config.camera[0].model_copy(update={"lane_y_px": (64.0,) * lanes, "windows": windows})
    config = config.model_copy(
        update={
            "line": config.line.model_copy(update={"lanes": lanes}),
            "camera": (camera, camera),
            "spectrometer": config.spectrometer.model_copy(update=spectrometer),
        }
    )
    state = initial(config, "p" * 16, "m" * 16, "c" * 16, "")
    carrier = Carrier.__new__(Carrier)
    carrier._references = _bytes(_references(state))
    assert len(carrier.pack(state, 1 << 62)) <= room_to_carry(config)


def test_the_belt_is_followed_through_a_late_look() -> None:
    clock = BeltClock()
    for k in range(200):
        clock.look(k * 200, k * 4_000_000)
    assert clock.ticks_per_s == pytest.approx(50_000)
    clock.look(200 * 200, 200 * 4_000_000 + 3_000_000)
    assert clock.ticks_per_s == pytest.approx(50_000, rel=0.02)
    assert tick_at((1000, 0, 50_000.0), 2_000_000) == 1100


@given(st.integers(-100, 10_000), st.integers(-200, 200))
def test_a_triggered_frame_belongs_to_the_nearest_pitch(pitch: int, off: int) -> None:
    ratio = Fraction(4096, 7)
    assert nearest_trigger(round(pitch * ratio) + off, ratio) == round(pitch * ratio)


@given(st.sampled_from([16, 32]), st.integers(0, 2**32 - 1), st.lists(st.integers(0, 4000), min_size=1, max_size=30))
def test_counts_become_ticks_and_ticks_counts_again_through_a_wrap(bits: int, start: int, steps: list[int]) -> None:
    mask = (1 << bits) - 1
    belt = Belt(bits, RULER)
    true = start & mask
    first = belt.tick(true)
    assert 0 <= first < 4096
    moved = 0
    for step in steps:
        moved += step
        tick = belt.tick((true + moved) & mask)
        assert tick == first + moved
        assert belt.count(tick) == (true + moved) & mask
        assert belt.near((true + moved + 100) & mask) == tick + 100
    successor = Belt(bits, RULER, belt.origin, tick + (belt.origin or 0))
    assert successor.tick((true + moved + 7) & mask) == tick + 7


@given(st.integers(0, 4095), st.integers(-4000, 0))
def test_the_first_flag_after_a_start_says_where_pitches_begin(start: int, back: int) -> None:
    belt = Belt(32, RULER)
    belt.tick(start)
    flag = start + back & 0xFFFFFFFF
    lay = belt.near(flag)
    assert belt.in_step(flag) == (lay % 4096 == 0)
    assert belt.near(flag) % 4096 == 0
    before = belt.near(flag)
    assert belt.in_step(flag + 4100 & 0xFFFFFFFF)  # from then on a slip is the line's affair
    assert belt.near(flag) == before
    belt.begin_anew(77, 60)
    assert belt.tick(77) >= before + 60 * 4096 - 4096
    belt.in_step(1000)
    assert belt.near(1000) % 4096 == 0


def test_flags_that_pass_while_the_encoder_stands_say_nothing() -> None:
    belt = Belt(16, RULER)
    belt.tick(8192)
    assert belt.flag(0, 8192) == 0
    assert belt.flag(0, 8192 + 100) is None
    assert belt.flag(1, 8192 + 100) == 100
    assert belt.flag(0, 8192 + 4096) == 4096
    assert belt.flag(0, 8192) is None


def test_a_committed_row_is_kept_and_an_uncommitted_one_is_not(tmp_path: Path) -> None:
    code = (
        "import os, sys, numpy as np\nfrom pathlib import Path\nfrom citrus_grade.runtime.live.store import Store\n"
        "from citrus_grade.tables import DECISION, empty\n"
        f"s = Store(Path({str(tmp_path)!r}))\n"
        "for cup in range(3):\n    rows = empty(DECISION, 2); rows['cup'] = cup; rows['lane'] = [0, 1]; s.add(rows)\n"
        "    if cup == 1: print(s.commit(), flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert told.stdout.strip() == "1"
    rows = np.concatenate(list(store.decisions(tmp_path)))
    assert rows["cup"].tolist() == [0, 0, 1, 1]
    assert store.Store(tmp_path).committed == 1


def test_a_cup_is_decided_once_however_often_it_is_added(tmp_path: Path) -> None:
    table = store.Store(tmp_path)
    first, second = _rows(4), _rows(4)
    second["mass_g"] = 999.0
    table.add(first)
    table.add(second)
    table.event(1.5, Alarm(1, "scan_gap", "sensors", 3))
    assert table.commit() == 4
    table.close()
    rows = np.concatenate(list(store.decisions(tmp_path)))
    assert rows.tobytes() == first.tobytes()
    assert [(told["at_utc_s"], told["kind"], told["count"]) for told in store.events(tmp_path)] == [(1.5, "scan_gap", 3)]
    with sqlite3.connect(tmp_path / store.NAME) as db:
        assert db.execute("SELECT sum(n), sum(kg) FROM packout").fetchone() == (3, pytest.approx(0.3))


def test_a_database_that_takes_no_more_gives_back_what_it_did_not_keep(tmp_path: Path) -> None:
    table = store.Store(tmp_path)
    table.add(_rows(0))
    assert table.commit() == 0
    pages = table._db.execute("PRAGMA page_count").fetchone()[0]
    table._db.execute(f"PRAGMA max_page_count = {pages}")
    many = np.concatenate([_rows(cup) for cup in range(1, 500)])
    with pytest.raises(sqlite3.OperationalError, match="full"):
        table.add(many)
    table.rollback()
    assert table.committed == 0
    table._db.execute("PRAGMA max_page_count = 1000000")
    table.add(_rows(1))
    assert table.commit() == 1
    table.close()


def test_a_table_that_is_there_is_opened_without_writing_and_another_versions_is_refused(tmp_path: Path) -> None:
    table = store.Store(tmp_path)
    table.add(_rows(0))
    table.close()
    before = table.path.read_bytes()
    again = store.Store(tmp_path)
    wal = Path(f"{table.path}-wal")
    assert (wal.stat().st_size if wal.exists() else 0, table.path.read_bytes() == before) == (0, True)
    again._db.execute("PRAGMA user_version = 99")
    again.close()
    with pytest.raises(sqlite3.DatabaseError, match="version 99 of the table"):
        store.Store(tmp_path)


def test_reasons_are_counted_as_they_are_kept(tmp_path: Path) -> None:
    table = store.Store(tmp_path)
    rows = _rows(0)
    rows["reason"] = [0, 5, 5]
    table.add(rows)
    assert table.reasons() == {0: 1, 5: 2}
    table.rollback()
    assert table.reasons() == {}
    table.close()


def test_a_device_that_is_gone_is_told_from_the_others() -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("spectra",), CARRY)
    station = board.station("spectra")
    station.ready()
    for lane in (2, 31, 31):
        station.set_gone(lane, True)
    assert [lane for lane in range(32) if station.is_gone(lane)] == [2, 31]
    assert (station.levels()["devices_gone"], station.works) == (2, False)
    station.set_gone(2, False)
    assert not station.is_gone(2)
    station.set_gone(31, False)
    assert station.works


def test_the_core_tells_how_far_it_is_behind_a_camera() -> None:
    board = Board(reserve("board", Board.n_bytes(1, CARRY)), ("camera0",), CARRY)
    camera = board.station("camera0")
    for newest, number in ((5, 5), (9, 6), (10, 10)):
        camera.set("ring_newest", newest)
        camera.looked(number)
    levels = camera.levels()
    assert (levels["ring_looked"], levels["ring_lag_most"]) == (10, 3)


def test_memory_without_a_name_is_gone_with_its_last_descriptor() -> None:
    fd = reserve("board", 4096)
    assert "memfd:board" in str(Path(f"/proc/self/fd/{fd}").readlink())
    os.close(fd)
    assert not any(path.name.startswith("citrus") for path in Path("/dev/shm").iterdir())


def test_ends_never_block(ends: Ends) -> None:
    ours, theirs = ends
    assert list(wire.receive(theirs)) == []
    with wire.end_of(os.dup(ours.fileno())) as handed:
        assert wire.send(handed, b"x")
    assert wire.wait(theirs, 0.0)


def test_a_recorder_that_is_sent_something_all_the_time_shows_that_it_lives(line_toml: Path, tmp_path: Path, ends: Ends) -> None:
    run, config = tmp_path / "run", load(line_toml)
    loaded = load_line(line_toml)
    create(run, loaded, seed=None, profile="normal", config_text=line_toml.read_text(encoding="utf-8"))
    roles, room = roles_of(config), room_to_carry(config)
    fds = {"board": reserve("board", Board.n_bytes(len(roles), room))}
    fds["decided"] = reserve("decided", Decided.n_bytes(config.line.lanes))
    fds |= {f"ring{k}": reserve(f"ring {k}", ring_shape(config, k).n_bytes) for k in range(len(config.camera))}
    board = Board(fds["board"], roles, room)
    board.shared["committed_cup"] = board.shared["decided_cup"] = -1
    parent, theirs = wire.pair()
    core, own = ends
    fds |= {"parent": theirs.fileno(), "core": own.fileno()}
    spec = Spec(RECORDER, str(run), roles, time.monotonic_ns(), "normal", fds)
    station, beats = board.station(RECORDER), set()
    with parent, theirs, _worker(spec) as recorder:
        while not station.is_ready:
            assert recorder.poll() is None
            time.sleep(0.01)
        for number in range(100):
            for part in wire.parts(CLOSE, 0, number, b""):
                wire.send(core, part)
            time.sleep(0.005)
            beats.add(int(board.stations[roles.index(RECORDER)]["beat_ns"]))
        for part in wire.parts(END, 0, 100, b""):
            wire.send(core, part)
        assert recorder.wait(30.0) == 0
    for fd in (value for name, value in fds.items() if name not in ("parent", "core")):
        os.close(fd)
    assert len(beats) > 10


@contextmanager
def _worker(spec: Spec) -> Iterator[subprocess.Popen[bytes]]:
    """A process of a live line, alone."""
    command = [sys.executable, "-m", "citrus_grade.runtime.live.worker", spec.to_json()]
    with subprocess.Popen(command, pass_fds=sorted(spec.fds.values())) as process:
        try:
            yield process
        finally:
            process.kill()
