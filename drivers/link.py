"""Bytes to and from a device on a network or a serial line, bounded in time; a URL as pyserial's `serial_for_url` takes it."""

import os
import socket
from contextlib import suppress
from typing import Final, Protocol

import serial

from citrus_grade.ports import DeviceGone
from citrus_grade.words import _

WRITE_TIMEOUT_S: Final = 1.0
SILENT_S: Final = 1
"""A TCP peer that is quiet for so long is asked whether it is there, so a pulled cable is found where a device may be silent."""
ASKED: Final = 3


class Port(Protocol):
    """What a `Link` needs of pyserial: ``read`` returns fewer bytes than asked when ``timeout`` seconds have passed."""

    timeout: float | None

    def read(self, size: int) -> bytes: ...

    def write(self, data: bytes) -> int | None: ...

    def close(self) -> None: ...


class Link:
    """An open connection; ``name`` is how messages call the device.

    Raises
    ------
    DeviceGone : by every verb but `close`, where the other end has gone.
    """

    def __init__(self, port: Port, name: str) -> None:
        self._port, self.name = port, name

    def read(self, most: int, timeout_s: float) -> bytes:
        """Return ``most`` bytes, or those that came within ``timeout_s``."""
        try:
            self._port.timeout = max(timeout_s, 0.0)
            return self._port.read(most)
        except OSError as error:
            raise self.gone(str(error)) from error

    def write(self, data: bytes) -> None:
        """Send all of ``data``."""
        try:
            self._port.write(data)
        except OSError as error:
            raise self.gone(str(error)) from error

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        socket_ = getattr(self._port, "_socket", None)
        # A serial adapter that was pulled out raises where it is closed.
        with suppress(OSError):
            self._port.close()
        if socket_ is not None:
            socket_.close()  # pyserial forgets a socket that it could not shut down, and leaves it open

    def gone(self, why: str) -> DeviceGone:
        """Return the error that says so."""
        return DeviceGone(_("{name} does not answer: {why}").format(name=self.name, why=why))


def dial(url: str, baud: int, name: str, *, bits: int = 8, parity: str = "N") -> Link:
    """Open ``socket://HOST:PORT``, a serial device, or another of pyserial's URLs.

    Raises
    ------
    DeviceGone : if nothing can be opened there now.
    """
    try:
        port = serial.serial_for_url(url, baudrate=baud, bytesize=bits, parity=parity, timeout=0, write_timeout=WRITE_TIMEOUT_S)
    # pyserial raises ValueError for a URL it cannot read, and for a speed that the adapter does not know.
    except (OSError, ValueError) as error:
        said = _("{name} does not answer: {why}; see to its power and cable, and that url is its address")
        raise DeviceGone(said.format(name=name, why=error)) from error
    if url.startswith("socket://"):
        _watch_peer(port.fileno())
    return Link(port, name)


def transfer_ns(url: str, baud: int, n_bytes: int) -> int:
    """Return how long so many bytes take at least: over a serial line 10 bits each, over a network next to nothing."""
    return 0 if "://" in url else round(n_bytes * 10 * 1e9 / baud)


def _watch_peer(fd: int) -> None:
    """Let the system notice a peer that vanished without a word (tcp(7))."""
    with socket.socket(fileno=os.dup(fd)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for option, value in (("TCP_KEEPIDLE", SILENT_S), ("TCP_KEEPINTVL", SILENT_S), ("TCP_KEEPCNT", ASKED)):
            if hasattr(socket, option):
                same.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
