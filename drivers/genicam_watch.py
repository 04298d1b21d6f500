"""What the frames of any GenICam camera need: a number that goes on, and somebody who notices that none come any more."""

import threading
import time
from collections.abc import Callable

from citrus_grade.ports import DeviceGone
from citrus_grade.words import _

LAST_ID = 0xFFFF
"""After this block id comes 1: a stream of 16-bit ids does not use 0 (GigE Vision 2.0, part 3: GVSP)."""
FURTHEST = LAST_ID // 2
"""More frames are not lost between two; a number that seems to have gone on so far has gone back."""
LATE_BY, LATE_AT_MOST = 16, 2
"""A frame that is so far behind was sent twice, or overtaken while its packets were sent again; so many may be in a row."""


class FrameNumber:
    """Counts frames on where the camera's own number begins anew. ``late`` : how many came twice, or after a later one."""

    def __init__(self, wraps: bool) -> None:
        self._period = LAST_ID if wraps else None
        self._last: int | None = None
        self._count = 0
        self._late_in_a_row = 0
        self.late = 0

    def __call__(self, number: int) -> int | None:
        """Return the number unwrapped; None of a frame that came twice, or after a later one: its place is taken.

        Raises
        ------
        DeviceGone : if it went backwards: the camera has begun anew, and nobody knows what was lost.
        """
        if number == 0 or number > LAST_ID:
            # Not by the standard's older rule: Aravis' fake camera counts through 0, cameras with extended ids past 16 bit.
            self._period = LAST_ID + 1 if number == 0 and self._period else None
        step = number - (self._last or 0)
        if self._last is not None and self._period:
            step = (step - 1) % self._period + 1  # from 1 to the period: no frame comes twice
        if self._last is not None and not 0 < step <= FURTHEST:
            if self._is_late(number):
                return None
            raise DeviceGone(_("the camera numbers its frames anew: {last}, then {now}").format(last=self._last, now=number))
        self._late_in_a_row = 0
        self._last = number
        self._count += step
        return self._count

    def _is_late(self, number: int) -> bool:
        """Say whether a frame is only late: a little behind, and the next ones are not."""
        behind = (self._last or 0) - number
        self._late_in_a_row += 1
        late = (behind % self._period if self._period else behind) in range(LATE_BY) and self._late_in_a_row <= LATE_AT_MOST
        self.late += late
        return late


class Watch:
    """Asks a silent camera whether it is still there, without ever waiting for the answer."""

    def __init__(self, ask: Callable[[], bool], answer_s: float) -> None:
        self._ask, self._answer_s = ask, answer_s
        self._thread: threading.Thread | None = None
        self._asked_s = 0.0
        self._answers = True

    def silent(self) -> bool:
        """Ask, if no question is open; return False once one was answered with no, or not within ``answer_s``."""
        if self._thread is not None and self._thread.is_alive():
            return time.monotonic() - self._asked_s <= self._answer_s
        if self._answers:
            self._asked_s = time.monotonic()
            self._thread = threading.Thread(target=self._run, daemon=True, name="camera there?")
            self._thread.start()
        return self._answers

    def _run(self) -> None:
        self._answers = self._ask()
