"""Serves emulated spectrometers over TCP or pseudo-terminals, from a process of their own that ends with its parent."""

import multiprocessing
import os
import select
import socket
import time
import tty
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, Final, Literal, Protocol, Self

from citrus_grade.drivers.emulate.acquisition import Acquisition, Fault
from citrus_grade.drivers.emulate.failing import SpectrometerPlan
from citrus_grade.drivers.emulate.spectra import Spectra

READ_BYTES: Final = 4096
START_S: Final = 60.0
CLOSE_S: Final = 5.0
REST_S: Final = 0.001
"""What comes within it is worked on together: serving costs a third less. A real device is no quicker to answer."""
Over = Literal["tcp", "pty"]


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


Pair = tuple[Made, Spectra]


class Served:
    """Emulated spectrometers that are being served by one process; ``urls`` is where each is, ``url`` where the first."""

    def __init__(self, process: multiprocessing.process.BaseProcess, control: Connection, urls: list[str]) -> None:
        self._process, self._control = process, control
        self.urls, self.url = urls, urls[0]

    @property
    def pid(self) -> int:
        """The process that serves them."""
        return self._process.pid or 0

    def inject(self, fault: Fault, spectra: int = 1, which: int = 0) -> None:
        """Let the next spectra that one is asked for suffer a fault, and no other that was to come."""
        self._control.send((which, [fault] * spectra))

    def close(self) -> None:
        """Stop serving; a second call does nothing."""
        self._control.close()
        self._process.join(CLOSE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def serve_spectrometer(made: Made, spectra: Spectra, over: Over = "tcp", port: int = 0) -> Served:
    """Serve one emulated spectrometer, as `serve_spectrometers` does; with port 0 the system picks one."""
    return serve_spectrometers([(made, spectra)], over, port)


def serve_spectrometers(
    pairs: Sequence[Pair], over: Over = "tcp", port: int = 0, plans: Sequence[SpectrometerPlan] = ()
) -> Served:
    """Serve emulated spectrometers, at ports from ``port`` on, or at any that are free; ``plans`` is what each is to suffer.

    Raises
    ------
    OSError : if nothing can be served there.
    """
    # A fresh interpreter: threads and descriptors of the parent stay out of it, and it sees at once when the parent is gone.
    context: Any = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(pairs, over, port, plans, theirs), daemon=True)
    process.start()
    theirs.close()
    said = ours.recv() if ours.poll(START_S) else OSError("the emulated spectrometers did not start")
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


def _serve(pairs: Sequence[Pair], over: Over, port: int, plans: Sequence[SpectrometerPlan], control: Connection) -> None:
    """Serve until the parent closes its end of ``control``, or is gone."""
    try:
        hosts = [_Tcp(port and port + index) if over == "tcp" else _Pty() for index in range(len(pairs))]
    except OSError as error:
        control.send(error)
        return
    devices = [made.device(spectra, time.monotonic_ns()) for made, spectra in pairs]
    for device, plan in zip(devices, plans, strict=False):
        device.acquisition.plan = plan
    control.send([host.url for host in hosts])
    with suppress(EOFError, KeyboardInterrupt):
        while True:
            ends = [end for host in hosts for end in host.ends()]
            ready, _, _ = select.select([control, *ends], [], [], _wait_s(devices))
            if control in ready:
                which, faults = control.recv()
                devices[which].acquisition.faults = deque(faults)
            for host, device in zip(hosts, devices, strict=True):
                _go_on(host, device, ready)
            time.sleep(REST_S)


def _go_on(host: "_Tcp | _Pty", device: Device, ready: list[Any]) -> None:
    """Take what came for one device, and send what is due."""
    if data := host.receive(ready, device):
        device.take(data, time.monotonic_ns())
    if (next_ns := device.next_ns) is None or next_ns > time.monotonic_ns():
        return
    host.send(device.due(time.monotonic_ns()))
    if device.closed:
        host.drop()
        device.closed = False


def _wait_s(devices: list[Device]) -> float | None:
    """Return how long nothing is due."""
    due_ns = [next_ns for device in devices if (next_ns := device.next_ns) is not None]
    return max(min(due_ns) - time.monotonic_ns(), 0) / 1e9 if due_ns else None
