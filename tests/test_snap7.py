"""The register map in a data block of an S7: the same client against snap7's own server, whose block an emulated PLC scans."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from citrus_grade.config import ConfigError
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import ModbusPlc
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.drivers.snap7 import CONNECT_S, look, open_at
from citrus_grade.messages import Ejection, Position, Shutter
from citrus_grade.ports import DeviceError, DeviceGone
from tests.modbus_line import CONFIG, TICKS, Clock, Row

snap7_error = pytest.importorskip("snap7.error", reason="pip install python-snap7")
snap7_server = pytest.importorskip("snap7.server", reason="pip install python-snap7")
snap7_type = pytest.importorskip("snap7.type", reason="pip install python-snap7")
DB = 7
PC_BLOCKS = (m.COMMAND, m.LATENCY, m.SHUTTER, m.QUEUE)


class ScannedPlc:
    """An S7 whose program is the emulated PLC: scan by scan it copies what the PC wrote, goes on, and shows how things are."""

    def __init__(self, plc: EmulatedPlc, clock: Clock, words: int) -> None:
        self.plc, self.clock, self.lock = plc, clock, threading.Lock()
        self.block = bytearray(2 * words)
        self.server = snap7_server.Server(log=False)
        self.server.register_area(snap7_type.SrvArea.DB, DB, self.block)
        self._stop = threading.Event()
        self._seen: dict[str, list[int]] = {}

    def start(self, port: int) -> None:
        self.server.host = "127.0.0.1"
        self.server.start(tcp_port=port)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()
        self.server.stop()

    def scan(self) -> None:
        with self.lock:
            self.plc.advance(self.clock())
            for block in PC_BLOCKS:
                end = m.REPORT.address if block is m.QUEUE else block.address + block.repeat * block.words
                words = [int.from_bytes(self.block[2 * at : 2 * at + 2], "big") for at in range(block.address, end)]
                if words != self._seen.get(block.name, [0] * len(words)):
                    self._seen[block.name] = words
                    self.plc.write(self.clock(), block.address, words)
            shown = b"".join(word.to_bytes(2, "big") for word in self.plc.words)
            for first, last in ((0, m.COMMAND.address), (m.REPORT.address, len(self.block) // 2)):
                self.block[2 * first : 2 * last] = shown[2 * first : 2 * last]

    def _run(self) -> None:
        while not self._stop.is_set():
            self.scan()
            time.sleep(0.002)


@contextmanager
def s7(words: int = m.MAP_WORDS) -> Iterator[tuple[ScannedPlc, dict[str, Any], list[Row]]]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    clock, fell = Clock(), list[Row]()
    plc = ScannedPlc(
        EmulatedPlc(CONFIG, clock.belt, fell=lambda *row: fell.append(row), shutters=Shutters(CONFIG.line.lanes)), clock, words
    )
    plc.scan()
    plc.start(port)
    try:
        yield plc, {"driver": "s7", "host": "127.0.0.1", "port": port, "db": DB, "timeout_ms": 1000}, fell
    finally:
        plc.stop()


def opened(section: dict[str, Any]) -> ModbusPlc:
    return open_at(section, CONFIG)


def test_fruit_fall_where_they_were_sent() -> None:
    with s7() as (plc, section, fell):
        client = opened(section)
        start = client.poll()
        orders = [Ejection(k % 6, k, k % 5, start.count + round((3 + k / 4) * TICKS)) for k in range(40)]
        assert client.eject(orders) == 40
        for _step in range(70):
            plc.clock.now_ns += 20_000_000
            plc.scan()
        reports = client.poll().reports
        client.close()
    assert [r.cup for r in reports if r.state == "fired"] == [row[3] for row in fell] == list(range(40))


def test_shutters_go_where_they_are_sent() -> None:
    with s7() as (plc, section, _fell):
        client = opened(section)
        assert [row[1] for row in client.poll().shutters] == [Position.OPEN] * CONFIG.line.lanes
        client.move([Shutter(3, Position.CLOSED)])
        for _step in range(20):
            plc.scan()
            plc.clock.now_ns += 20_000_000
        assert client.poll().shutters[-1][:2] == (3, Position.CLOSED)
        client.close()


def test_a_look_says_who_is_there_and_writes_nothing() -> None:
    with s7() as (plc, section, _fell):
        found = look(CONFIG.model_copy(update={"plc": section}))
        written = bytes(plc.block[2 * m.COMMAND.address : 2 * m.REPORT.address])
    assert found.identity.startswith(f"line 1, s7://127.0.0.1:{section['port']}/DB{DB}, map 1, SIMULATED")
    assert not any(written)


def test_a_data_block_that_is_not_there_is_an_error_that_says_so() -> None:
    with s7() as (_plc, section, _fell), pytest.raises(DeviceError, match="permit PUT/GET"):
        opened(section | {"db": DB + 1})


def test_a_data_block_that_is_too_short_is_an_error_that_says_so() -> None:
    with s7(words=m.REPORT.address + 8) as (_plc, section, _fell), pytest.raises(DeviceError, match="all 3072 bytes"):
        opened(section)


def test_a_data_block_that_takes_nothing_is_an_error_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> int:
        raise snap7_error.S7ProtocolError("access denied")

    with s7() as (_plc, section, _fell):
        monkeypatch.setattr("snap7.Client.db_write", refuse)
        with pytest.raises(DeviceError, match=r"refuses bytes 448 to 459.*not write-protected"):
            opened(section)


def test_what_was_served_once_and_is_refused_later_is_a_plc_gone_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_given: object) -> int:
        raise snap7_error.S7ProtocolError("in STOP")

    with s7() as (_plc, section, _fell):
        client = opened(section)
        client.poll()
        monkeypatch.setattr("snap7.Client.db_read", refuse)
        with pytest.raises(DeviceGone, match="in STOP"):
            client.poll()


def test_connecting_is_given_up_before_the_process_counts_as_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    def connect(_connection: object, timeout: float = 5.0) -> None:
        waited.append(timeout)
        raise snap7_error.S7ConnectionError("no answer")

    monkeypatch.setattr("snap7.connection.ISOTCPConnection.connect", connect)
    with pytest.raises(DeviceGone, match="no answer"):
        opened({"driver": "s7", "host": "127.0.0.1", "db": DB})
    assert waited == [CONNECT_S]


def test_the_belt_runs_while_it_is_permitted() -> None:
    with s7() as (plc, section, _fell):
        told: list[tuple[bool, int]] = []
        plc.plc._drive = lambda _now_ns, run, ticks_per_s: told.append((run, ticks_per_s))
        client = opened(section)
        client.drive(run=True, cups_per_s=8.0)
        plc.scan()
        client.drive(run=False, cups_per_s=8.0)
        plc.scan()
        client.close()
    assert told == [(True, 8 * TICKS), (False, 8 * TICKS)]


def test_an_s7_that_vanishes_is_gone() -> None:
    with s7() as (plc, section, _fell):
        client = opened(section)
        client.poll()
        plc.server.stop()
        with pytest.raises(DeviceGone):
            client.poll()
        with pytest.raises(DeviceGone):
            opened(section)


def test_a_bad_section_says_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="db: is missing"):
        opened({"driver": "s7", "host": "127.0.0.1"})
