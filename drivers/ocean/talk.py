"""Questions and answers over a link: each answer is found by the number of its question, and what a device refuses is said."""

import time
from collections import deque
from typing import Final

from citrus_grade.drivers.link import Link
from citrus_grade.drivers.ocean.protocol import ACK_WANTED, EXCEPTION, NACK, Deframer, Message, frame
from citrus_grade.ports import DeviceError, DeviceGone
from citrus_grade.words import N_, _

REFUSALS: Final = {
    1: N_("the protocol's version is not supported"),
    2: N_("it does not know this message"),
    3: N_("the checksum is bad"),
    4: N_("the message is too large"),
    5: N_("the payload's length does not fit the message"),
    6: N_("the payload's value is invalid"),
    7: N_("it is not ready"),
    8: N_("it does not know this checksum"),
    9: N_("it has been reset unexpectedly"),
    10: N_("several interfaces command it"),
    11: N_("it is out of memory"),
    12: N_("it does not have this information"),
    13: N_("an internal error"),
    255: N_("it needs more time"),
}
"""Error numbers of a refusal, as the data sheets list them."""
FOR_A_WHILE: Final = (3, 7, 9, 10, 11, 13, 255)
"""Refusals that may pass."""
QUESTIONS: Final = 0x8000_0000
"""Numbers of questions begin here; below are those of spectra."""
BROKEN_AT_MOST: Final = 24


class Refused(DeviceError):
    """What was asked for the device does not do."""


class Talk:
    """A link that speaks the protocol. ``timeout_s`` is how long a device may take to answer a question.

    With ``checksum`` frames carry an MD5, and answers must.

    Raises
    ------
    DeviceGone : by every verb, where the device does not answer, or nothing it sends is sound.
    Refused : by `ask`, where it refuses for good.
    """

    def __init__(self, link: Link, timeout_s: float, *, checksum: bool) -> None:
        self._link, self._timeout_s, self._checksum = link, timeout_s, checksum
        self._deframer = Deframer(checked=checksum)
        self._number = QUESTIONS
        self._waiting: deque[Message] = deque(maxlen=4)
        self._broken_since = 0
        self._heard_s = 0.0
        self._ready: deque[Message] = deque()

    @property
    def name(self) -> str:
        """How messages call the device."""
        return self._link.name

    @property
    def broken(self) -> int:
        """How often bytes had to be dropped."""
        return self._deframer.broken

    def ask(self, what: str, kind: int, payload: bytes = b"") -> bytes:
        """Ask a question; return the answer's payload. ``what`` names it where it is refused."""
        return self._exchange(what, kind, payload, 0).payload

    def order(self, what: str, kind: int, payload: bytes = b"") -> None:
        """Ask a device to do something, and wait until it says that it has."""
        self._exchange(what, kind, payload, ACK_WANTED)

    def send(self, kind: int, regarding: int) -> None:
        """Ask without waiting."""
        self._link.write(frame(Message(kind, regarding=regarding), checksum=self._checksum))

    def receive(self, timeout_s: float) -> Message | None:
        """Return the next message that answers no question, or None after ``timeout_s`` without one, or if bytes were broken."""
        return self._waiting.popleft() if self._waiting else self._next(timeout_s)

    def close(self) -> None:
        """Close the link."""
        self._link.close()

    def gone(self, why: str) -> DeviceGone:
        """Return the error that says so."""
        return self._link.gone(why)

    def refusal(self, what: str, message: Message) -> str | None:
        """Return the words for a refusal, or None if a message is none."""
        if not message.flags & (NACK | EXCEPTION):
            return None
        why = _(REFUSALS[message.error]) if message.error in REFUSALS else _("error {n}").format(n=message.error)
        return _("{name} refuses {what}: {why}").format(name=self._link.name, what=what, why=why)

    def _exchange(self, what: str, kind: int, payload: bytes, flags: int) -> Message:
        self._number = QUESTIONS | (self._number + 1)
        number = self._number
        self._link.write(frame(Message(kind, payload, flags, regarding=number), checksum=self._checksum))
        until = time.monotonic() + self._timeout_s
        while (left_s := until - time.monotonic()) > 0:
            message = self._next(left_s)
            if message is None:
                continue
            if message.regarding != number:
                self._waiting.append(message)
                continue
            if (said := self.refusal(what, message)) is not None:
                raise self._link.gone(said) if message.error in FOR_A_WHILE else Refused(said)
            return message
        raise self._link.gone(_("it was asked for {what}").format(what=what))

    def _next(self, timeout_s: float) -> Message | None:
        """Return the next message; None after ``timeout_s``, or as soon as bytes turn out to be broken."""
        now, broken = time.monotonic(), self.broken
        until = now + timeout_s
        while not self._ready:
            left_s = until - now
            data = self._link.read(self._deframer.wanted, min(left_s, self._timeout_s) if self._deframer.begun else left_s)
            now = time.monotonic()
            if data:
                self._ready.extend(self._deframer.feed(data))
                self._heard_s = now
            elif self._deframer.begun and now - self._heard_s >= self._timeout_s:
                self._ready.extend(self._deframer.give_up())
            if self.broken > broken:
                self._count_broken()
            if not self._ready and (self.broken > broken or now >= until):
                return None
        self._broken_since = 0
        return self._ready.popleft()

    def _count_broken(self) -> None:
        self._broken_since += 1
        if self._broken_since >= BROKEN_AT_MOST:
            raise self._link.gone(_("what it sends is not the Ocean Binary Protocol; check url, baud and checksum"))
