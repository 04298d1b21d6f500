"""What a PLC sends must never do more than end the connection: any bytes at all, fed to the client."""

import random
import socket
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.modbus.client import connect
from citrus_grade.drivers.modbus.options import ModbusOptions
from citrus_grade.drivers.modbus.wire import Wire
from citrus_grade.messages import Ejection
from citrus_grade.ports import DeviceError, DeviceGone

OPTIONS = ModbusOptions(url="tcp://127.0.0.1:1", timeout_ms=20)
"""Where nothing listens: after a lost answer the client finds nobody to ask again."""
CHANGES = 4


@cache
def fuzz_line() -> LineConfig:
    """Return the line whose PLC `fuzz` opens: the template."""
    return load(templates.LINE)


def framed(answers: Iterable[bytes]) -> bytes:
    """Return answers as `fuzz` takes them: each behind its length in two bytes."""
    return b"".join(len(answer).to_bytes(2, "big") + answer for answer in answers)


def fuzz(data: bytes, *, silent: bool = False) -> int:
    """Open a PLC, look once and eject once; the pieces of ``data`` are all it answers, then it closes the connection, or is
    ``silent``. Return how far that came.

    0: not opened, 1: opened, 2: looked, 3: ejected. Anything but `DeviceError` and `DeviceGone` escapes, and is a fault.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    reached = 0
    with ours, theirs, suppress(DeviceError, DeviceGone):
        _send(theirs, data)
        if not silent:
            theirs.shutdown(socket.SHUT_WR)
        wire = Wire(OPTIONS)
        wire.client.socket = ours
        plc = connect(wire, OPTIONS, fuzz_line())
        reached = 1
        plc.poll()
        reached = 2
        plc.eject([Ejection(0, 0, 0, 0)])
        reached = 3
    return reached


def _send(to: socket.socket, data: bytes) -> None:
    """Send the pieces, as many as a socket takes that nobody reads yet: the client reads one piece at a time."""
    to.setblocking(False)
    with suppress(BlockingIOError):
        while len(data) > 2:
            end = 2 + int.from_bytes(data[:2], "big")
            to.send(data[2:end])
            data = data[end:]


def fuzz_many(answers: bytes, total: int, seed: int) -> Counter[int]:
    """Feed ``answers``, `framed`, with a few bytes changed, cut out or put in, until ``total`` bytes are fed.

    Returns how many came how far.
    """
    rng = random.Random(seed)
    reached: Counter[int] = Counter()
    fed = 0
    while fed < total:
        data = bytearray(answers)
        for _change in range(rng.randint(1, CHANGES)):
            at = rng.randrange(len(data) + 1)
            data[at : at + rng.randrange(3)] = rng.randbytes(rng.randrange(3))
        reached[fuzz(bytes(data))] += 1
        fed += len(data)
    return reached
