"""Puts an emulated PLC on a network or a serial line: ``python -m citrus_grade.drivers.modbus.server line.toml``."""

import argparse
import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, Self

from pymodbus.constants import ExcCodes
from pymodbus.server import ModbusSerialServer, ModbusTcpServer
from pymodbus.server.requesthandler import ServerRequestHandler
from pymodbus.simulator import DataType, SimData, SimDevice

from citrus_grade.config import load
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.options import Tcp, endpoint
from citrus_grade.drivers.sim.shutters import Shutters

SCAN_S: Final = 0.02
"""How often the PLC goes on by itself; between two scans it goes on whenever it is asked."""
EVERY_UNIT: Final = 0
Clock = Callable[[], int]


class PlcServer:
    """Serves an emulated PLC from a thread of its own, from `start` to `stop`, and again after the next `start`.

    ``delay_s`` is how long answers take; ``refuse`` the Modbus exception that answers everything. Hold ``lock`` to touch ``plc``.

    Parameters
    ----------
    url : as the client's; with port 0 the system picks one, and ``url`` says which. clock : host time in ns.
    """

    def __init__(self, plc: EmulatedPlc, url: str, clock: Clock = time.monotonic_ns, *, base: int = 0) -> None:
        self.plc, self.url = plc, url
        self.lock = threading.RLock()
        self.delay_s = 0.0
        self.refuse: ExcCodes | None = None
        self._clock, self._base = clock, base
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Serve.

        Raises
        ------
        RuntimeError : if nothing can be served there.
        """
        started: Future[str] = Future()
        self._stop.clear()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        self.url = started.result()
        return self

    def stop(self) -> None:
        """Vanish: end every connection and take no new one."""
        self._stop.set()
        if self._thread:
            self._thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def advance(self) -> None:
        """Let everything happen that is due by now."""
        with self.lock:
            self.plc.advance(self._clock())

    async def _serve(self, started: "Future[str]") -> None:
        try:
            server = self._listener()
            await server.serve_forever(background=True)
        except Exception as error:
            started.set_exception(error)
            return
        started.set_result(_bound(server, self.url))
        while not self._stop.is_set():
            self.advance()
            await asyncio.sleep(SCAN_S)
        await server.shutdown()  # type: ignore[no-untyped-call]  # pymodbus leaves it without types

    def _listener(self) -> ModbusTcpServer | ModbusSerialServer:
        memory = SimData(self._base, count=m.MAP_WORDS, datatype=DataType.REGISTERS)
        device = SimDevice(EVERY_UNIT, memory, action=self._answer)
        at = endpoint(self.url)
        if isinstance(at, Tcp):
            return _TcpServer(device, address=(at.host, at.port))
        return ModbusSerialServer(device, port=at.port, baudrate=at.baud, parity=at.parity, stopbits=at.stopbits)

    async def _answer(
        self, _function: int, start: int, at: int, count: int, registers: list[int], values: list[int] | list[bool] | None
    ) -> ExcCodes | None:
        """Serve one request: pymodbus calls this before it reads ``registers`` or writes to them."""
        address = at - self._base
        if self.refuse is not None:
            return self.refuse
        if values is not None and not m.COMMAND.address <= address <= address + len(values) <= m.REPORT.address:
            return ExcCodes.ILLEGAL_ADDRESS
        with self.lock:
            self.advance()
            if values is not None:
                self.plc.write(self._clock(), address, [int(value) for value in values])
            registers[at - start : at - start + count] = self.plc.words[address : address + count]
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        return None


class _Connection(ServerRequestHandler):
    """Answers from the loop it is in; the library's own way there is through a socket, which costs a fifth of a request."""

    def handle_later(self) -> None:
        self._answering = self.loop.create_task(self.handle_request())  # type: ignore[no-untyped-call]


class _TcpServer(ModbusTcpServer):
    def callback_new_connection(self) -> ServerRequestHandler:
        return _Connection(self, self.trace_packet, self.trace_pdu, self.trace_connect)  # type: ignore[no-untyped-call]


class DrivenBelt:
    """A belt that a PLC starts, stops and sets the speed of: host ns -> pitches moved. It runs at once at the speed told."""

    def __init__(self, cups_per_s: float, ticks_per_cup: Fraction, start_ns: int) -> None:
        self._per_cup = ticks_per_cup
        self._legs: list[tuple[int, float, float]] = [(start_ns, 0.0, cups_per_s)]

    def __call__(self, at_ns: int) -> float:
        for since_ns, moved, cups_per_s in reversed(self._legs):
            if at_ns >= since_ns:
                return moved + cups_per_s * (at_ns - since_ns) / 1e9
        return 0.0

    def drive(self, now_ns: int, run: bool, ticks_per_s: int) -> None:
        """Take a command of the PC."""
        self._legs = [self._legs[-1], (now_ns, self(now_ns), ticks_per_s / float(self._per_cup) if run else 0.0)]


def _bound(server: ModbusTcpServer | ModbusSerialServer, url: str) -> str:
    at = endpoint(url)
    if isinstance(at, Tcp) and at.port == 0:
        listening: Any = server.transport  # an asyncio.Server, which pymodbus types as a transport
        return f"tcp://{at.host}:{listening.sockets[0].getsockname()[1]}"
    return url


def main() -> None:
    """Serve the PLC of a line until interrupted; print where, and every fruit that falls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("line", type=Path, help="line.toml")
    parser.add_argument("--url", default="tcp://127.0.0.1:5020", help="tcp://HOST:PORT or rtu:///dev/pts/3?baud=115200")
    given = parser.parse_args()
    config = load(given.line)
    runs = not config.live.drives_belt
    belt = DrivenBelt(config.line.cups_per_s if runs else 0.0, config.encoder.ratio, time.monotonic_ns())
    shutters = Shutters(config.line.lanes) if config.spectrometer else None
    drive = None if runs else belt.drive
    plc = EmulatedPlc(config, belt, drive=drive, fell=lambda *what: print("fell", *what, flush=True), shutters=shutters)
    with suppress(KeyboardInterrupt), PlcServer(plc, given.url) as server:
        print("SIMULATED PLC", server.url, flush=True)
        threading.Event().wait()


if __name__ == "__main__":
    main()
