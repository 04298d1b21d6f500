"""The PLC over Modbus: the client against the emulated PLC, over a real connection and a clock that moves when told."""

import signal
import socket
import struct
import subprocess
import sys
import threading
from fractions import Fraction

import numpy as np
import pytest
from pymodbus.constants import ExcCodes

from citrus_grade import templates
from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import open_at
from citrus_grade.drivers.modbus.server import DrivenBelt
from citrus_grade.geometry import Unwrapper
from citrus_grade.grading.outlets import take
from citrus_grade.messages import Ejection, OutletReport
from citrus_grade.ports import DeviceError, DeviceGone
from tests.modbus_line import CONFIG, CUPS_PER_S, START_NS, TICKS, ahead, emulated, with_encoder


def said(reports: tuple[OutletReport, ...]) -> list[tuple[str, int, int, int]]:
    return [(r.state, r.lane, r.outlet, r.cup) for r in reports]


STANDING = [("clear", -1, outlet, -1) for outlet in range(len(CONFIG.outlet))]


def test_a_look_says_where_the_belt_is() -> None:
    with emulated() as line:
        plc = line.open()
        line.go(2.5)
        state = plc.poll()
    assert state.count == 2.5 * TICKS
    assert state.running
    assert state.heartbeat_ok


def test_the_first_look_says_how_every_outlet_stands_and_the_next_nothing() -> None:
    with emulated() as line:
        line.plc.set_full(1, True)
        line.plc.set_jammed(4, 2, True)
        plc = line.open()
        first, second = said(plc.poll().reports), said(plc.poll().reports)
    assert set(first) == {*STANDING, ("full", -1, 1, -1), ("jammed", 4, 2, -1)}
    assert first.index(("clear", -1, 1, -1)) < first.index(("full", -1, 1, -1))
    assert second == []


def test_a_fruit_falls_where_it_was_sent() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        order = ahead(line, 5, lane=3, outlet=2, cup=41)
        assert plc.eject([order]) == 1
        line.go(6)
        reports = plc.poll().reports
    assert said(reports) == [("fired", 3, 2, 41)]
    [(lane, outlet, tick, cup)] = line.fell
    assert (lane, outlet, cup) == (3, 2, 41)
    assert abs(tick - order.fire_tick) <= 1


def test_the_coil_goes_on_its_latency_before_the_fruit_whatever_the_speed() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        for cups_per_s in (CUPS_PER_S, 3):
            line.clock.speed(cups_per_s)
            line.go(1)
            order = ahead(line, 4)
            plc.eject([order])
            line.go(5)
            [report] = [r for r in plc.poll().reports if r.state == "fired"]
            latency_ticks = CONFIG.outlet[0].latency_ms / 1000 * cups_per_s * TICKS
            assert abs(order.fire_tick - report.tick - latency_ticks) <= 2
            assert abs(line.fell[-1][2] - order.fire_tick) <= 2


def test_more_ejections_than_a_block_holds_arrive_in_order() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        orders = [ahead(line, 3 + k / 4, lane=k % 6, outlet=k % 5, cup=k) for k in range(2 * m.QUEUE_ENTRIES + 4)]
        assert plc.eject(orders) == len(orders)
        line.go(len(orders) / 4 + 4)
        fired = [r.cup for r in plc.poll().reports if r.state == "fired"]
    assert fired == list(range(len(orders)))
    assert [row[3] for row in line.fell] == fired


def test_a_full_queue_says_how_many_it_took() -> None:
    with emulated(queue_room=20) as line:
        plc = line.open()
        plc.poll()
        orders = [ahead(line, 3 + k, cup=k) for k in range(40)]
        assert plc.eject(orders) == 20
        assert plc.eject(orders[20:]) == 0
        line.go(6)
        assert plc.eject(orders[20:]) == 4


def test_what_comes_too_late_is_reported_and_does_not_fall() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        assert plc.eject([ahead(line, 0.1, cup=5), ahead(line, -3, cup=6)]) == 2
        line.go(2)
        reports = plc.poll().reports
    assert said(reports) == [("late", 0, 0, 5), ("late", 0, 0, 6)]
    assert line.fell == []


def test_a_jammed_outlet_lets_nothing_fall_until_it_is_free() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        line.plc.set_jammed(1, 3, True)
        plc.eject([ahead(line, 2, lane=1, outlet=3, cup=8), ahead(line, 6, lane=1, outlet=3, cup=9)])
        line.go(4)
        line.plc.set_jammed(1, 3, False)
        line.go(4)
        reports = plc.poll().reports
    assert said(reports) == [("jammed", 1, 3, -1), ("jammed", 1, 3, 8), ("clear", 1, 3, -1), ("fired", 1, 3, 9)]
    assert [row[3] for row in line.fell] == [9]


def taken_in(reports: tuple[OutletReport, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which outlets take fruit and which work, after the core has taken in all reports."""
    is_open = np.ones((CONFIG.line.lanes, len(CONFIG.outlet)), bool)
    sound = is_open.copy()
    for report in reports:
        take(report, is_open, sound)
    return is_open, sound


def test_a_jam_outlasts_the_emptying_of_its_outlet_and_a_full_place_the_clearing_of_a_jam() -> None:
    with emulated() as line:
        line.plc.set_jammed(3, 2, True)
        line.plc.set_full(2, True)
        line.plc.set_jammed(4, 1, True)
        line.plc.set_full(1, True)
        plc = line.open()
        reports = plc.poll().reports
        line.plc.set_full(2, False)
        line.plc.set_jammed(4, 1, False)
        is_open, sound = taken_in(reports + plc.poll().reports)
        assert np.argwhere(~sound).tolist() == [[3, 2]]
        assert np.argwhere(~is_open).tolist() == [[lane, 1] for lane in range(CONFIG.line.lanes)]
        line.plc.set_jammed(3, 2, False)
        line.plc.set_full(1, False)
        is_open, sound = taken_in(plc.poll().reports)
        assert is_open.all()
        assert sound.all()


def test_an_outlet_held_too_long_takes_the_fruit_behind() -> None:
    with emulated() as line:
        line.open().poll()
        entry = m.pack(m.ENTRY, lane=0, outlet=0, fire_count=line.tick() + 2 * TICKS, hold_ticks=TICKS, cup=3)
        line.plc.write(line.clock(), m.QUEUE.address, [1, 1, *entry, 1])
        line.go(3)
    assert [(cup, round(tick / TICKS)) for _lane, _outlet, tick, cup in line.fell] == [(3, 2), (-1, 3)]


def test_every_flag_of_the_index_sensor_arrives_once() -> None:
    with emulated() as line:
        plc = line.open()
        seen = list(plc.poll().index_counts)
        for _cup in range(300):
            line.go(1)
            line.plc.pass_flag(2, line.clock())
            if line.tick() // TICKS % 7 == 0:
                seen += plc.poll().index_counts
        seen += plc.poll().index_counts
    assert seen == [(2, cup * TICKS) for cup in range(1, 301)]


def test_reports_that_were_written_over_are_counted_and_the_outlets_stated_anew() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        line.plc.set_full(0, True)
        for _flag in range(m.REPORT_RING):
            line.plc.pass_flag(0, line.clock())
        state, after = plc.poll(), plc.poll()
    assert (plc.lost, state.lost, after.lost) == (1, 1, 0)
    assert len(state.index_counts) == m.REPORT_RING
    assert said(state.reports) == [STANDING[0], ("full", -1, 0, -1), *STANDING[1:]]


def test_a_new_connection_goes_on_with_the_reports_where_the_one_before_ended() -> None:
    with emulated() as line:
        plc = line.open()
        state = plc.poll()
        plc.eject([ahead(line, 2, cup=1), ahead(line, 3, cup=2)])
        line.plc.pass_flag(0, line.clock())
        line.go(4)
        plc.close()
        again = line.open()
        again.resume(state.boot, state.report)
        found = again.poll()
        fired = [r.cup for r in found.reports if r.state == "fired"]
        assert (fired, len(found.index_counts), again.lost) == ([1, 2], 1, 0)
        assert found.report == state.report + 3
        for _flag in range(m.REPORT_RING + 5):
            line.plc.pass_flag(0, line.clock())
        third = line.open()
        third.resume(found.boot, found.report)
        assert third.poll().lost == 5


def test_after_a_restart_every_report_since_is_read() -> None:
    with emulated() as line:
        plc = line.open()
        for _flag in range(40):
            line.plc.pass_flag(0, line.clock())
        state = plc.poll()
        line.plc.restart(line.clock())
        line.plc.pass_flag(3, line.clock())
        again = line.open()
        again.resume(state.boot, state.report)
        assert [lane for lane, _count in again.poll().index_counts] == [3]
        assert again.lost == 0


@pytest.mark.parametrize("bits", [16, 32])
def test_a_counter_that_wraps_is_followed(bits: int) -> None:
    config = with_encoder(500, bits)
    with emulated(config, first_count=(1 << bits) - 1300) as line:
        plc = line.open()
        unwrap, start = Unwrapper(bits), (1 << bits) - 1300
        assert unwrap(plc.poll().count) == start
        order = Ejection(0, 1, 0, start + 4 * 500)
        assert plc.eject([order]) == 1
        line.go(6)
        state = plc.poll()
    assert state.count == (start + 6 * 500) % (1 << bits)
    assert unwrap(state.count) == start + 6 * 500
    assert said(state.reports) == [("fired", 0, 0, 1)]
    assert abs(line.fell[0][2] - 4 * 500) <= 1


def test_ticks_a_cup_may_be_a_ratio() -> None:
    with emulated(with_encoder("4096/7", 32)) as line:
        plc = line.open()
        line.go(7)
        assert plc.poll().count == 4096


def test_a_silent_pc_empties_the_queue() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        plc.eject([ahead(line, 5, cup=1), ahead(line, 60, cup=2)])
        line.go(40)
        assert [row[3] for row in line.fell] == [1]
        line.go(40)
        reports = plc.poll().reports
    assert said(reports) == [("fired", 0, 0, 1), ("late", 0, 0, 2)]
    assert [row[3] for row in line.fell] == [1]


def test_closing_leaves_in_the_queue_what_is_in_it() -> None:
    with emulated() as line:
        plc = line.open()
        plc.eject([ahead(line, 5, cup=1)])
        plc.close()
        plc.close()
        line.go(6)
    assert [row[3] for row in line.fell] == [1]


class Swallowing:
    """Hands a connection on to a PLC, but swallows the answer to the first queue block."""

    def __init__(self, port: int) -> None:
        self._port, self.swallowed = port, 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as server:
            while request := client.recv(4096):
                server.sendall(request)
                answer = server.recv(4096)
                address, words = struct.unpack(">HH", request[8:12])
                if request[7] == 16 and address == m.QUEUE.address and words > m.QUEUE.words and not self.swallowed:
                    self.swallowed += 1
                    continue
                client.sendall(answer)

    def close(self) -> None:
        self._listener.close()


def test_a_lost_answer_fires_nothing_twice() -> None:
    with emulated() as line:
        proxy = Swallowing(int(line.server.url.rpartition(":")[2]))
        plc = line.open_at(proxy.url)
        plc.poll()
        assert plc.eject([ahead(line, 5, cup=1)]) == 1
        assert plc.eject([ahead(line, 6, cup=2)]) == 1
        proxy.close()
        line.go(8)
        reports = plc.poll().reports
    assert proxy.swallowed == 1
    assert said(reports) == [("fired", 0, 0, 1), ("fired", 0, 0, 2)]
    assert [row[3] for row in line.fell] == [1, 2]


def test_a_block_that_comes_twice_is_taken_once() -> None:
    with emulated() as line:
        line.open().poll()
        entry = m.pack(m.ENTRY, lane=0, outlet=0, fire_count=line.tick() + 2 * TICKS, hold_ticks=9, cup=3)
        for _time in range(2):
            line.plc.write(line.clock(), m.QUEUE.address, [1, 1, *entry, 1])
        line.go(3)
    assert [row[3] for row in line.fell] == [3]


@pytest.mark.parametrize("taken_after_all", [False, True])
def test_a_block_that_was_given_up_is_not_taken_for_the_next(monkeypatch: pytest.MonkeyPatch, taken_after_all: bool) -> None:
    """A PLC whose server answers while its program stands still: the block lies in its registers when the program goes on."""
    with emulated() as line:
        plc = line.open()
        plc.poll()
        with monkeypatch.context() as stands:
            stands.setattr(line.plc, "_take_block", lambda now_ns: None)
            with pytest.raises(DeviceGone, match="takes no ejections"):
                plc.eject([ahead(line, 9, cup=1)])
            again = line.open()
        line.plc._take_block(line.clock())
        if taken_after_all:  # by a program that had copied its registers before
            line.plc._memory.ack += 1
        again.poll()
        assert again.eject([ahead(line, 5, cup=2)]) == 1
        line.go(12)
    assert [row[3] for row in line.fell] == [2]


def test_a_block_that_is_only_half_there_is_not_taken() -> None:
    with emulated() as line:
        line.open().poll()
        entry = m.pack(m.ENTRY, lane=0, outlet=0, fire_count=line.tick() + 2 * TICKS, hold_ticks=9, cup=3)
        line.plc.write(line.clock(), m.QUEUE.address, [1, 1, *entry, 0])
        assert line.plc.words[m.STATUS.at("queue_ack")] == 0
        line.go(3)
    assert line.fell == []


def test_a_plc_that_restarted_is_gone_and_found_again() -> None:
    with emulated() as line:
        plc = line.open()
        plc.eject([ahead(line, 9, cup=1)])
        line.go(2)
        line.plc.restart(line.clock())
        with pytest.raises(DeviceGone, match="restarted"):
            plc.poll()
        with pytest.raises(DeviceGone):
            plc.eject([ahead(line, 9)])
        again = line.open()
        assert again.poll().count == 0
        line.go(9)
        assert again.poll().count == 9 * TICKS
    assert line.fell == []


def test_a_block_from_before_a_restart_is_not_taken() -> None:
    with emulated() as line:
        plc = line.open()
        order = ahead(line, 9, cup=1)
        line.plc.restart(line.clock())
        with pytest.raises(DeviceGone):
            plc.eject([order])
        line.open()
        line.go(12)
    assert line.fell == []


def test_a_plc_that_vanishes_is_gone_and_found_again_at_its_place() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        line.server.stop()
        with pytest.raises(DeviceGone):
            plc.poll()
        with pytest.raises(DeviceGone):
            plc.eject([ahead(line, 5)])
        with pytest.raises(DeviceGone, match="nothing can be reached"):
            line.open()
        line.server.start()
        assert line.open().poll().running


def test_answers_that_are_too_slow_end_the_connection() -> None:
    with emulated() as line:
        plc = line.open(timeout_ms=50)
        line.server.delay_s = 0.3
        with pytest.raises(DeviceGone):
            plc.poll()


@pytest.mark.parametrize(
    ("code", "error"),
    [(ExcCodes.ILLEGAL_ADDRESS, DeviceError), (ExcCodes.DEVICE_BUSY, DeviceGone), (ExcCodes.DEVICE_FAILURE, DeviceGone)],
)
def test_modbus_exceptions_are_told_apart(code: ExcCodes, error: type[Exception]) -> None:
    with emulated() as line:
        plc = line.open()
        line.server.refuse = code
        with pytest.raises(error, match=str(int(code))):
            plc.poll()


def test_a_plc_whose_program_stands_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated() as line:
        plc = line.open()
        monkeypatch.setattr(line.plc, "_write_status", lambda now_ns: None)
        with pytest.raises(DeviceGone, match="takes no ejections"):
            plc.eject([ahead(line, 5)])
        again = line.open()
        again._watchdog_ns = 0
        assert not again.poll().heartbeat_ok


def test_the_heartbeat_rises_often_enough_and_no_oftener() -> None:
    with emulated() as line:
        plc, at = line.open(), m.COMMAND.at("heartbeat")
        plc._beats_apart_ns = 10**18
        before = line.plc.words[at]
        plc.poll()
        assert line.plc.words[at] == before
        plc._beats_apart_ns = 0
        plc.poll()
        assert line.plc.words[at] == before + 1
        other = open_at({"url": line.server.url}, line.config)
        assert 0 < other._beats_apart_ns < other._watchdog_ns / 2
        other.close()


def test_an_encoder_that_counts_down_is_an_error_that_says_what_to_swap() -> None:
    with emulated(backwards=True) as line, pytest.raises(DeviceError, match="swap tracks A and B"):
        line.open()


def test_an_encoder_that_begins_to_count_down_is_found_at_a_look() -> None:
    with emulated(first_count=100 * TICKS) as line:
        plc = line.open()
        plc.poll()
        line.clock.speed(-1)
        line.go(1.5)
        assert plc.poll().running
        line.go(1.5)
        with pytest.raises(DeviceError, match="counts down"):
            plc.poll()


def test_a_belt_that_stops_and_rolls_back_is_no_error() -> None:
    with emulated(first_count=100 * TICKS) as line:
        plc = line.open()
        line.go(3)
        plc.poll()
        line.clock.speed(0)
        line.clock.moved -= Fraction(1, 4)
        line.go(1)
        assert not plc.poll().running


def wrong(part: str, **update: object) -> LineConfig:
    section = getattr(CONFIG, part).model_copy(update=update)
    return CONFIG.model_copy(update={part: section})


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (wrong("line", lanes=4), "line.lanes: it has 6, line.toml 4"),
        (wrong("line", name="other"), "it drives the line 'line 1', line.toml is of 'other'"),
        (wrong("encoder", ticks_per_cup="4096/7"), "encoder.ticks_per_cup: it has 4096, line.toml 4096/7"),
        (wrong("encoder", bits=16), "encoder.bits: it has 32, line.toml 16"),
        (wrong("encoder", bits=64), "let the PLC give the low 32"),
        (CONFIG.model_copy(update={"outlet": CONFIG.outlet[:2]}), r"\[\[outlet\]\]: it has 6, line.toml 2"),
        (
            CONFIG.model_copy(
                update={"outlet": (CONFIG.outlet[0].model_copy(update={"latency_ms": 7000.0}), *CONFIG.outlet[1:])}
            ),
            "outlet 1: latency_ms = 7000",
        ),
    ],
)
def test_a_plc_of_another_line_is_refused(config: LineConfig, told: str) -> None:
    with emulated() as line:
        line.config = config
        with pytest.raises(DeviceError, match=told):
            line.open()


def test_a_counter_too_short_for_the_way_to_the_outlets_is_refused() -> None:
    with emulated(with_encoder(4096, 16)) as line, pytest.raises(DeviceError, match="extend its counter to 32 bits"):
        line.open()


@pytest.mark.parametrize(
    ("at", "words", "told"),
    [
        ("magic", [0, 0], "has no register map of ours"),
        ("magic", list(reversed(m.split(m.MAGIC, 2))), "send the high word first"),
        ("map_version", [2], "version 2 of the register map, this program speaks version 1"),
        ("ticks_per_cup_divisor", [0], "encoder.ticks_per_cup: it has 0"),
    ],
)
def test_a_plc_without_our_map_is_refused(at: str, words: list[int], told: str) -> None:
    with emulated() as line:
        address = m.IDENTITY.at(at)
        line.plc.words[address : address + len(words)] = words
        with pytest.raises(DeviceError, match=told):
            line.open()


def test_a_map_that_begins_elsewhere_is_found_at_its_base() -> None:
    with emulated(base=4096) as line:
        assert line.open(base=4096).poll().running
        with pytest.raises(DeviceError, match="correct base"):
            line.open()


def test_reports_of_what_the_line_does_not_have_are_an_error() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        line.plc._report(m.FIRED, 0, 0, 17)
        with pytest.raises(DeviceError, match="outlet 17"):
            plc.poll()


def test_a_torn_reading_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with emulated() as line:
        plc = line.open()
        read, torn = plc._wire.read, iter([True, True])

        def tearing(address: int, words: int) -> list[int]:
            got = read(address, words)
            if address == m.STATUS.address and next(torn, False):
                got[1] ^= 1
            return got

        monkeypatch.setattr(plc._wire, "read", tearing)
        assert plc.poll().count == line.tick()
        torn = iter([True] * 9)
        with pytest.raises(DeviceGone, match="torn"):
            plc.poll()


def test_the_pc_starts_stops_and_sets_the_speed() -> None:
    with emulated() as line:
        belt = DrivenBelt(0.0, CONFIG.encoder.ratio, START_NS)
        line.plc._belt, line.plc._drive = belt, belt.drive
        plc = line.open()
        assert not plc.poll().running
        plc.drive(run=True, cups_per_s=10.0)
        line.clock.now_ns += 500_000_000
        state = plc.poll()
        assert state.running
        assert state.count == 5 * TICKS
        plc.drive(run=False, cups_per_s=10.0)
        line.clock.now_ns += 500_000_000
        state = plc.poll()
        assert not state.running
        assert state.count == 5 * TICKS


def test_an_emergency_stop_stops_the_belt_and_is_told() -> None:
    with emulated() as line:
        belt = DrivenBelt(0.0, CONFIG.encoder.ratio, START_NS)
        line.plc._belt, line.plc._drive = belt, belt.drive
        plc = line.open()
        plc.drive(run=True, cups_per_s=10.0)
        line.go(1)
        assert not plc.poll().emergency
        line.plc.emergency_stop = True
        line.go(1)
        state = plc.poll()
        assert state.emergency
        assert not state.running
        line.go(5)
        assert plc.poll().count == state.count
        line.plc.emergency_stop = False
        line.go(1)
        state = plc.poll()
        assert state.running
        assert not state.emergency


def test_nothing_is_fired_under_an_emergency_stop_nor_said_to_be() -> None:
    with emulated() as line:
        plc = line.open()
        plc.poll()
        plc.eject([ahead(line, 3, lane=2, outlet=1, cup=4)])
        line.plc.emergency_stop = True
        line.go(5)  # as a belt runs out
        assert said(plc.poll().reports) == [("late", 2, 1, 4)]
        assert line.fell == []


@pytest.mark.parametrize("watchdog_ms", [0, 50])
def test_a_plc_that_waits_no_longer_than_a_few_looks_is_refused(watchdog_ms: int) -> None:
    with emulated(watchdog_ms=watchdog_ms) as line, pytest.raises(DeviceError, match=f"watchdog_ms: it has {watchdog_ms}, which"):
        line.open()


def test_a_belt_stands_while_the_pc_is_silent_and_goes_on_when_it_is_back() -> None:
    with emulated() as line:
        belt = DrivenBelt(0.0, CONFIG.encoder.ratio, START_NS)
        line.plc._belt, line.plc._drive = belt, belt.drive
        plc = line.open()
        plc.drive(run=True, cups_per_s=10.0)
        line.go(30)
        assert line.plc.words[m.COMMAND.at("run")] == 0
        stood = line.plc.words[m.STATUS.at("count") : m.STATUS.at("count") + 2]
        assert m.join(stood) == pytest.approx(20 * TICKS, abs=TICKS)
        other = open_at({"url": line.server.url}, line.config)  # it shows that it lives, and permits nothing
        assert not other.poll().running
        other.close()
        plc.poll()
        line.go(1)
        assert plc.poll().running


@pytest.mark.parametrize(
    ("section", "told"),
    [
        ({}, "url: is missing"),
        ({"url": "192.168.1.10"}, "names no PLC; write tcp"),
        ({"url": "tcp://host:99999"}, "Port out of range"),
        ({"url": "rtu:///dev/ttyUSB0?speed=9600"}, "names no PLC"),
        ({"url": "rtu:///dev/ttyUSB0?baud=fast"}, "baud"),
        ({"url": "tcp://a:502", "unit": 300}, "unit: 300"),
        ({"url": "tcp://a:502", "timeout": 300}, "timeout.*unknown key"),
    ],
)
def test_a_bad_section_says_what_is_wrong(section: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        open_at(section, CONFIG)


def test_a_serial_line_that_is_not_there_is_gone() -> None:
    with pytest.raises(DeviceGone, match="nothing can be reached"):
        open_at({"url": "rtu:///dev/no_such_device?baud=9600&parity=E&stopbits=2"}, CONFIG)


def test_the_queue_is_executed_though_nobody_asks() -> None:
    with emulated() as line:
        plc = line.open()
        plc.eject([ahead(line, 2, cup=1)])
        line.clock.now_ns += 400_000_000
        fallen = threading.Event()
        line.plc._fell = lambda *row: fallen.set()
        assert fallen.wait(10)


def test_the_emulated_plc_is_a_program_that_says_what_fell() -> None:
    command = [sys.executable, "-m", "citrus_grade.drivers.modbus.server", str(templates.LINE), "--url", "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            marked, _plc, url = server.stdout.readline().split()
            plc = open_at({"url": url}, CONFIG)
            assert not plc.poll().running
            plc.drive(run=True, cups_per_s=12.0)
            plc.eject([Ejection(3, 77, 1, plc.poll().count + 4 * TICKS)])
            fell = server.stdout.readline().split()
            plc.close()
        finally:
            server.send_signal(signal.SIGINT)
    assert marked == "SIMULATED"
    assert (fell[0], fell[1], fell[2], fell[4]) == ("fell", "3", "1", "77")
    assert server.returncode == 0
    assert "SIMULATED" in plc.identity
