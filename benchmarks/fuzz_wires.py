"""PLCs and scales that say what they are told to, and what sound PLCs say."""

import socket
import threading
from contextlib import suppress
from typing import Self

from citrus_grade.drivers.modbus.client import connect
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.fuzz import OPTIONS, fuzz_line
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.drivers.modbus.wire import Wire
from citrus_grade.drivers.snap7 import open_at
from citrus_grade.messages import Ejection
from citrus_grade.ports import DeviceGone

DB = 1
LISTENS_S = 0.2
EJECTING = 4
"""Answers that an ejection gets; those that come after repeat the last."""


class Answering:
    """A device at a port of this machine that says given bytes to whoever connects, whatever it is asked."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(LISTENS_S)
        self._said: tuple[bytes, bool] = (b"", False)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._listener.close()

    def says(self, data: bytes, silent: bool) -> None:
        """Say this from now on, and then nothing more if ``silent``; otherwise the connection ends."""
        self._said = data, silent

    def _serve(self) -> None:
        while not self._stop.is_set():
            with suppress(TimeoutError):
                client, _address = self._listener.accept()
                data, silent = self._said
                with client, suppress(OSError):
                    client.sendall(data)
                    if not silent:
                        client.shutdown(socket.SHUT_WR)
                    while client.recv(4096):
                        pass


class Tap:
    """Passes one connection on to ``port`` and keeps what comes back."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.answers: list[bytes] = []
        self._to = port
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Wait for the connection's end."""
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        with self._listener.accept()[0] as client, socket.create_connection(("127.0.0.1", self._to)) as device:
            back = threading.Thread(target=self._back, args=(device, client), daemon=True)
            back.start()
            with suppress(ConnectionResetError):
                while data := client.recv(4096):
                    device.sendall(data)
            device.shutdown(socket.SHUT_WR)
            back.join()

    def _back(self, device: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while data := device.recv(65536):
                self.answers.append(data)
                client.sendall(data)


def modbus_answers() -> list[bytes]:
    """Return what a sound PLC answers over Modbus to all that `modbus.fuzz.fuzz` asks."""
    got: list[bytes] = []
    with PlcServer(EmulatedPlc(fuzz_line(), lambda _ns: 0), "tcp://127.0.0.1:0") as server:
        wire = Wire(OPTIONS.model_copy(update={"url": server.url, "timeout_ms": 2000.0}))
        wire.client.transaction.trace_packet = lambda sending, data: data if sending else (got.append(data), data)[1]
        wire.connect()
        plc = connect(wire, OPTIONS, fuzz_line())
        plc.poll()
        plc.eject([Ejection(0, 0, 0, 0)])
        plc.close()
    return got


def s7_answers() -> list[bytes]:
    """Return what an S7 answers to the same questions; the program of this one stands still, and takes no ejection."""
    from snap7.server import Server
    from snap7.type import SrvArea

    plc = EmulatedPlc(fuzz_line(), lambda _ns: 0)
    plc.advance(0)
    server = Server(log=False)
    server.register_area(SrvArea.DB, DB, bytearray(b"".join(word.to_bytes(2, "big") for word in plc.words)))
    server.host = "127.0.0.1"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    server.start(tcp_port=port)
    try:
        tap = Tap(port)
        section = {"driver": "s7", "host": "127.0.0.1", "port": tap.port, "db": DB, "timeout_ms": 2000}
        s7 = open_at(section, fuzz_line())
        s7.poll()
        looked = len(tap.answers)
        with suppress(DeviceGone):
            s7.eject([Ejection(0, 0, 0, 0)])
        s7.close()
        tap.close()
    finally:
        server.stop()
    return tap.answers[: looked + EJECTING]
