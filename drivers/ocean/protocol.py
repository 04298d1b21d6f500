"""Frames of the Ocean Binary Protocol 0x1100 (STS Data Sheet 030-00000-003, QE Pro Data Sheet 891-00000-000; Ocean Optics).

A frame is a header of 44 bytes, a payload, a checksum of 16 bytes and a footer of 4, all little-endian. A payload of up to 16
bytes lies in the header. ``regarding`` is a number of the host's that the answer carries again.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

START: Final = b"\xc1\xc0"
FOOTER: Final = b"\xc5\xc4\xc3\xc2"
VERSION: Final = 0x1100
_HEADER: Final = struct.Struct("<2sHHHLL6xBB16sL")
HEADER_BYTES: Final = _HEADER.size
TAIL_BYTES: Final = 20
IMMEDIATE_BYTES: Final = 16
MOST_BYTES: Final = 65536
"""No answer that is asked for is longer; a longer length is garbage."""
NO_CHECKSUM, MD5 = 0, 1
RESPONSE, ACK, ACK_WANTED, NACK, EXCEPTION = 0x01, 0x02, 0x04, 0x08, 0x10


class Message(NamedTuple):
    """What a frame carries: ``kind`` is the message type, ``error`` a number of `talk.REFUSALS`."""

    kind: int
    payload: bytes = b""
    flags: int = 0
    error: int = 0
    regarding: int = 0


def frame(message: Message, *, checksum: bool = True) -> bytes:
    """Return the bytes of a message."""
    payload = message.payload
    inside = len(payload) <= IMMEDIATE_BYTES
    header = _HEADER.pack(
        START,
        VERSION,
        message.flags,
        message.error,
        message.kind,
        message.regarding,
        MD5 if checksum else NO_CHECKSUM,
        len(payload) if inside else 0,
        payload if inside else b"",
        TAIL_BYTES + (0 if inside else len(payload)),
    )
    body = header if inside else header + payload
    return body + (hashlib.md5(body, usedforsecurity=False).digest() if checksum else bytes(16)) + FOOTER


class Deframer:
    """Takes bytes as they come and finds the frames; goes on at the next header after anything that is none.

    ``broken`` counts how often bytes had to be dropped. With ``checked`` a frame without a checksum is dropped too.
    """

    def __init__(self, *, checked: bool) -> None:
        self._buffer = bytearray()
        self._checked, self._lost = checked, False
        self.broken = 0

    @property
    def wanted(self) -> int:
        """Bytes to the end of what has begun: of the header, or of the frame."""
        held = len(self._buffer)
        return HEADER_BYTES - held if held < HEADER_BYTES else HEADER_BYTES + self._remaining() - held

    @property
    def begun(self) -> bool:
        """Say whether a frame lies half here."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Message]:
        """Yield the messages that ``data`` completes."""
        self._buffer += data
        self._lost = False
        while self._to_header():
            if len(self._buffer) < HEADER_BYTES + self._remaining():
                return
            message = self._message()
            if message is None:
                self._drop(len(START))
            else:
                self._lost = False
                yield message

    def give_up(self) -> Iterator[Message]:
        """Drop the frame that lies half here; yield those that lie behind its header."""
        self._drop(len(START))
        return self.feed(b"")

    def _to_header(self) -> bool:
        """Drop bytes until a possible header is first; False where more are needed to say."""
        while True:
            at = self._buffer.find(START)
            # The last byte may be the first of a header.
            self._drop(at if at >= 0 else len(self._buffer) - self._buffer.endswith(START[:1]))
            if len(self._buffer) < HEADER_BYTES:
                return False
            _start, version, *_rest, checksum_type, inside, _data, remaining = _HEADER.unpack_from(self._buffer)
            if (
                version == VERSION
                and checksum_type <= MD5
                and inside <= IMMEDIATE_BYTES
                and TAIL_BYTES <= remaining <= MOST_BYTES
            ):
                return True
            self._drop(len(START))

    def _remaining(self) -> int:
        return int.from_bytes(self._buffer[HEADER_BYTES - 4 : HEADER_BYTES], "little")

    def _message(self) -> Message | None:
        """Take the first frame, all of whose bytes are here; None if it is not sound."""
        end = HEADER_BYTES + self._remaining()
        whole = bytes(self._buffer[:end])
        _start, _version, flags, error, kind, regarding, checksum_type, inside, data, _left = _HEADER.unpack_from(whole)
        body, checksum = whole[:-TAIL_BYTES], whole[-TAIL_BYTES:-4]
        if whole[-4:] != FOOTER:
            return None
        if checksum_type == MD5 and checksum != hashlib.md5(body, usedforsecurity=False).digest():
            return None
        if checksum_type == NO_CHECKSUM and self._checked:
            return None
        del self._buffer[:end]
        payload = body[HEADER_BYTES:]
        return Message(kind, payload or data[:inside], flags, error, regarding)

    def _drop(self, n: int) -> None:
        if n and not self._lost:
            self._lost = True
            self.broken += 1
        del self._buffer[:n]
