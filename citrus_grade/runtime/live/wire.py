"""What goes from process to process: datagrams over socket pairs, whole or not at all.

A Unix socket of sequenced packets keeps the borders of messages, holds a bounded number of bytes and lives on when the process at
one end dies. Messages travel as the bytes of the run log; frames stay in their ring, and only where they lie is sent.
"""

import errno
import select
import socket
import struct
from collections.abc import Iterator

from citrus_grade.messages import Ejection, Message, Scans
from citrus_grade.runlog.records import Batch, unpack

BUFFER_BYTES = 1 << 20
"""What a socket is asked to hold; the kernel may allow less."""
PART_BYTES = 60_000
"""Longest datagram: more would not fit into the smallest buffer a kernel gives."""
_FRAME = struct.Struct("<ciqqqq")
_WHEN = struct.Struct("<q")
_EJECT = struct.Struct("<iqiq")
_PART = struct.Struct("<BBiqq")
_FIRST, _LAST = 1, 2


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a new connection, neither of which ever blocks."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setblocking(False)
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            end.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
    return ends


def end_of(fd: int) -> socket.socket:
    """Return the end that was handed down as a descriptor."""
    end = socket.socket(fileno=fd)
    end.setblocking(False)
    return end


def send(end: socket.socket, data: bytes) -> bool:
    """Send a datagram; False if the other end has fallen too far behind, or is gone."""
    try:
        end.send(data)
    except OSError as error:
        if error.errno in (errno.EMSGSIZE, errno.ENOBUFS, errno.EAGAIN) or isinstance(error, ConnectionError):
            return False
        raise
    return True


def receive(end: socket.socket, most: int = 256) -> Iterator[bytes]:
    """Yield the datagrams that lie ready, at most so many."""
    for _ in range(most):
        try:
            data = end.recv(1 << 20)
        except (BlockingIOError, ConnectionError):
            return
        if not data:
            return
        yield data


def wait(end: socket.socket, seconds: float) -> bool:
    """Wait until something lies ready, at most so long."""
    poller = select.poll()
    poller.register(end, select.POLLIN)
    return bool(poller.poll(1000 * seconds))


def of_frame(camera: int, number: int, seq: int, tick: int, t_ns: int) -> bytes:
    """Return where a frame lies in its camera's ring, and what it is."""
    return _FRAME.pack(b"F", camera, number, seq, tick, t_ns)


def of_messages(messages: list[Message], n_pixels: int) -> list[bytes]:
    """Return messages without pixels as datagrams."""
    batch, out = Batch(n_pixels), []
    for message in messages:
        batch.add(message)
        if len(batch) >= 16 or isinstance(message, Scans):
            out.append(b"M" + batch.pack())
    if len(batch):
        out.append(b"M" + batch.pack())
    return out


def is_frame(data: bytes) -> bool:
    """Say whether a datagram is `of_frame`."""
    return data[:1] == b"F"


def frame_of(data: bytes) -> tuple[int, int, int, int, int]:
    """Return camera, number, seq, tick and t_ns of a frame."""
    return _FRAME.unpack(data)[1:]


def messages_of(data: bytes, n_pixels: int) -> Iterator[Message]:
    """Yield the messages of a datagram of `of_messages`."""
    return unpack(data[1:], n_pixels)


def of_ejections(t_ns: int, ejections: list[Ejection]) -> bytes:
    """Return ejections as a datagram, and when what decided them was received."""
    return _WHEN.pack(t_ns) + b"".join(_EJECT.pack(e.lane, e.cup, e.outlet, e.fire_tick) for e in ejections)


def ejections_of(data: bytes) -> tuple[int, list[Ejection]]:
    """Return what `of_ejections` was given."""
    return _WHEN.unpack_from(data)[0], [Ejection(*fields) for fields in _EJECT.iter_unpack(data[_WHEN.size :])]


def parts(topic: int, t_ns: int, number: int, data: bytes) -> Iterator[bytes]:
    """Yield something for the recorder as datagrams: a log record of a topic, however long."""
    starts = range(0, max(len(data), 1), PART_BYTES)
    for start in starts:
        ends = (_FIRST if start == 0 else 0) | (_LAST if start + PART_BYTES >= len(data) else 0)
        yield _PART.pack(ends, topic, 0, t_ns, number) + data[start : start + PART_BYTES]


def ends_record(part: bytes) -> int | None:
    """Return the topic of the record that a datagram of `parts` is the last of; None of any other."""
    ends, topic, *_ = _PART.unpack_from(part)
    return topic if ends & _LAST else None


class Joiner:
    """Puts `parts` together again; a record whose beginning went to a process that died is left out."""

    def __init__(self) -> None:
        self._held: list[bytes] | None = None

    def __call__(self, data: bytes) -> tuple[int, int, int, bytes] | None:
        """Take a datagram; return (topic, t_ns, number, data) of the record it completes."""
        ends, topic, _, t_ns, number = _PART.unpack_from(data)
        if ends & _FIRST:
            self._held = []
        if self._held is None:
            return None
        self._held.append(data[_PART.size :])
        if not ends & _LAST:
            return None
        whole, self._held = b"".join(self._held), None
        return topic, t_ns, number, whole
