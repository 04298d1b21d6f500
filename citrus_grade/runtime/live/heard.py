"""What comes of a triggered device, one after the other, until it is silent for too long; and what of it never came."""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Protocol, TypeVar

from citrus_grade.ports import DeviceGone, Dropping, Exposure, Spectrum
from citrus_grade.runtime.live.clock import SECOND_NS
from citrus_grade.runtime.live.work import Work
from citrus_grade.words import _

GRAB_S = 0.1
STANDS_CUPS_PER_S = 0.1
"""A belt slower than that stands, whatever an encoder's jitter says."""
STALE_NS = SECOND_NS // 4
"""A look at the belt that is older says nothing: it may have stopped since."""
Taken = TypeVar("Taken", Exposure, Spectrum)
Made_co = TypeVar("Made_co", Exposure, Spectrum, covariant=True)


class Triggered(Protocol[Made_co]):
    """A camera or a spectrometer."""

    def grab(self, timeout_s: float) -> Made_co | None: ...


def heard(work: Work, device: Triggered[Taken], name: str, latency_ms: float, going: Callable[[], bool]) -> Iterator[Taken]:
    """Yield what a device takes until the line stops, and count what it lost.

    ``latency_ms`` is how long what was triggered may be on its way; ``name`` what messages call the device.

    Raises
    ------
    DeviceGone : if it does not answer, or is silent while the belt moves.
    """
    silence, lost = Silence(work, latency_ms), Lost(work, device)
    while going():
        taken = device.grab(GRAB_S)
        lost.look(taken)
        if taken is None:
            silence.goes_on(name)
        else:
            silence.ends()
            yield taken


def belt_now(work: Work) -> tuple[int, int, float] | None:
    """Return where the belt is and how fast, as `Board.belt`; None where nobody has looked lately."""
    belt = work.board.belt()
    return belt if belt is not None and work.now_ns() - belt[1] <= STALE_NS else None


class Silence:
    """Tells how long a triggered device has been silent while the belt moved: one that stands triggers nothing."""

    def __init__(self, work: Work, latency_ms: float) -> None:
        self._work, self._since_ns = work, time.monotonic_ns()
        self._stall_s = work.config.live.stall_s + latency_ms / 1000

    def ends(self) -> None:
        """Take in that something came."""
        self._since_ns = time.monotonic_ns()

    def goes_on(self, name: str) -> None:
        """Take in that nothing came.

        Raises
        ------
        DeviceGone : if nothing has come for `live.stall_s` and the latency, or for three pitches of a slow belt.
        """
        patience_s = _patience_s(belt_now(self._work), self._work.config.encoder.ratio, self._stall_s)
        if patience_s is None:
            self.ends()
        elif time.monotonic_ns() - self._since_ns > patience_s * SECOND_NS:
            raise DeviceGone(_("{name}: the belt moves, and nothing has come for {s:.1f} s").format(name=name, s=patience_s))


def _patience_s(belt: tuple[int, int, float] | None, ratio: Fraction, stall_s: float) -> float | None:
    """Return how long a triggered device may be silent, some pitches at the present speed; None while the belt stands."""
    if belt is None or abs(belt[2]) < STANDS_CUPS_PER_S * ratio:
        return None
    return max(stall_s, 3.0 * float(ratio) / abs(belt[2]))


class Lost:
    """Counts frames that a camera took and that never came, by the gaps in its own numbers, and what a driver had to drop.

    Gaps in a spectrometer's numbers the core tells.
    """

    def __init__(self, work: Work, device: object) -> None:
        self._work, self._device = work, device
        self._newest: int | None = None
        self._dropped = 0

    def look(self, taken: Exposure | Spectrum | None) -> None:
        """Look at what has come, if anything, and at what the driver has dropped by now."""
        dropped = self._device.dropped if isinstance(self._device, Dropping) else 0
        self._work.count("bad_messages", dropped - self._dropped)
        self._dropped = dropped
        if isinstance(taken, Exposure):
            newest = taken.count - 1 if self._newest is None else self._newest
            self._work.count("frames_lost", max(taken.count - newest - 1, 0))
            self._newest = max(taken.count, newest)
