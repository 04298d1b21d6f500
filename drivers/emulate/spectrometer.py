"""Serves an emulated spectrometer over TCP or a pseudo-terminal, from a process of its own that ends with its parent."""

import multiprocessing
import os
import select
import socket
import time
import tty
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final, Literal, Protocol, Self

from citrus_grade.drivers.emulate.acquisition import Acquisition, Fault
from citrus_grade.drivers.emulate.spectra import Spectra

READ_BYTES: Final = 4096
START_S: Final = 60.0
CLOSE_S: Final = 5.0


class Device(Protocol):
    """An emulated spectrometer that is switched on, whatever its protocol."""

    acquisition: Acquisition
    closed: bool

    def connected(self) -> None: ...

    def take(self, data: bytes, t_ns: int) -> None: ...

    @property
    def next_ns(self) -> int | None: ...

    def due(self, t_ns: int) -> bytes: ...


class Made(Protocol):
    """What can be switched on; it goes to another process, so it can be pickled."""

    def device(self, spectra: Spectra, t_ns: int) -> Device: ...


class Served:
    """An emulated spectrometer that is being served; ``url`` is where."""

    def __init__(self, process: multiprocessing.process.BaseProcess, control: Connection, url: str) -> None:
        self._process, self._control, self.url = process, control, url

    @property
    def pid(self) -> int:
        """The process that serves it."""
        return self._process.pid or 0

    def inject(self, fault: Fault, spectra: int = 1) -> None:
        """Let the next spectra that are asked for suffer a fault, and no other that was to come."""
        self._control.send([fault] * spectra)

    def close(self) -> None:
        """Stop serving; a second call does nothing."""
        self._control.close()
        self._process.join(CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def serve_spectrometer(made: Made, spectra: Spectra, over: Literal["tcp", "pty"] = "tcp", port: int = 0) -> Served:
    """Serve an emulated spectrometer; with port 0 the system picks one.

    Raises
    ------
    OSError : if nothing can be served there.
    """
    # A fresh interpreter: threads and descriptors of the parent stay out of it, and it sees at once when the parent is gone.
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(made, spectra, over, port, theirs), daemon=True)
    process.start()
    theirs.close()
    said = ours.recv() if ours.poll(START_S) else OSError("the emulated spectrometer did not start")
    if isinstance(said, OSError):
        ours.close()
        raise said
    return Served(process, ours, said)


class _Tcp:
    """One client at a time; a new one takes the place of the last."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", port))
        self.url = f"socket://127.0.0.1:{self._listener.getsockname()[1]}"
        self._client: socket.socket | None = None

    def ends(self) -> list[socket.socket | int]:
        """Return what to wait for."""
        return [self._listener, self._client] if self._client else [self._listener]

    def receive(self, ready: list[Any], device: Device) -> bytes:
        """Return what came; tell the device of a new client."""
        if self._listener in ready:
            self.drop()
            self._client, _address = self._listener.accept()
            self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            device.connected()
            return b""
        if self._client is None or self._client not in ready:
            return b""
        data = b""
        with suppress(OSError):
            data = self._client.recv(READ_BYTES)
        if not data:
            self.drop()
        return data

    def send(self, data: bytes) -> None:
        """Send to the client, if there is one."""
        try:
            if self._client:
                self._client.sendall(data)
        except OSError:
            self.drop()

    def drop(self) -> None:
        """End the connection."""
        if self._client:
            self._client.close()
            self._client = None


class _Pty:
    """A pseudo-terminal; its other end stays open here, so clients may come and go."""

    def __init__(self) -> None:
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        self.url = os.ttyname(self._slave)

    def ends(self) -> list[socket.socket | int]:
        """Return what to wait for."""
        return [self._master]

    def receive(self, ready: list[Any], _device: Device) -> bytes:
        """Return what came."""
        return os.read(self._master, READ_BYTES) if self._master in ready else b""

    def send(self, data: bytes) -> None:
        """Send to whoever listens."""
        while data:
            data = data[os.write(self._master, data) :]

    def drop(self) -> None:
        """A serial line has no connection to end."""


def _serve(made: Made, spectra: Spectra, over: str, port: int, control: Connection) -> None:
    """Serve until the parent closes its end of ``control``, or is gone."""
    try:
        host = _Tcp(port) if over == "tcp" else _Pty()
    except OSError as error:
        control.send(error)
        return
    device = made.device(spectra, time.monotonic_ns())
    control.send(host.url)
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            ready, _, _ = select.select([control, *host.ends()], [], [], _wait_s(device))
            if control in ready:
                device.acquisition.faults = deque(control.recv())
            device.take(host.receive(ready, device), time.monotonic_ns())
            if out := device.due(time.monotonic_ns()):
                host.send(out)
            if device.closed:
                host.drop()
                device.closed = False


def _wait_s(device: Device) -> float | None:
    next_ns = device.next_ns
    return None if next_ns is None else max(next_ns - time.monotonic_ns(), 0) / 1e9
