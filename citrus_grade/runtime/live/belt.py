"""The belt as the PLC's counter tells of it, and as the line counts it."""

from citrus_grade.geometry import Ruler, Unwrapper

FURTHEST_BACK_CUPS = 4
"""A belt that is pushed back moves less than that from one look to the next."""
UNSURE_CUPS = 2
"""Pitches that a PLC counts and the ticks of its counter agree to within so much."""
DOUBTED_FLAGS = 2
"""So many flags in a row are doubted; an encoder that disagrees with them for longer has to be told of."""


class Belt:
    """Counts of the PLC as ticks of the line, and back.

    The line's own count begins at a whole pitch near where the counter stood at the start: by the counter itself, until a cup's
    flag tells it better. ``origin``, ``last`` and ``pitches`` are those of a process before this one; ``pitches`` is what the PLC
    itself has counted at the last look, -1 where it counts none.
    """

    def __init__(self, bits: int, ruler: Ruler, origin: int | None = None, last: int | None = None, pitches: int = -1) -> None:
        self._ruler, self._mask = ruler, (1 << bits) - 1
        self._unwrap = Unwrapper(bits, last)
        self.origin, self.pitches = origin, pitches
        self._in_step = origin is not None
        self._flags: dict[int, tuple[int | None, int]] = {}

    def tick(self, count: int) -> int:
        """Return a counter's reading as ticks since the start."""
        unwrapped = self._unwrap(count)
        if self.origin is None:
            self.origin = unwrapped // self._ruler.num * self._ruler.num
        return unwrapped - self.origin

    def may_have_wrapped(self, most_ticks: float) -> bool:
        """Say whether a belt that has moved so far at most may have moved by more than the counter tells: half its range, less
        some reserve."""
        return 3 * most_ticks > self._mask

    def wrapped(self, count: int, pitches: int) -> bool:
        """Go on with a counter that may have wrapped unseen, by the pitches that the PLC has counted meanwhile; False if it
        counts none, or others than the counter: then nobody knows how far the belt has moved."""
        last = self._unwrap.last
        if last is None:
            return True
        if min(self.pitches, pitches) < 0:
            return False
        moved = _signed(pitches - self.pitches) * self._ruler.num / self._ruler.den
        step = (count - last) & self._mask
        step += round((moved - step) / (self._mask + 1)) * (self._mask + 1)
        if abs(step - moved) * self._ruler.den > UNSURE_CUPS * self._ruler.num:
            return False
        self._unwrap.last = last + step
        return True

    def restarted(self, count: int) -> bool:
        """Say whether the counter has begun anew: it lies further back than a belt runs backwards."""
        last = self._unwrap.last
        return (
            last is not None
            and (count - last) & self._mask > self._mask // 2
            and self.near(count) < last - (self.origin or 0) - FURTHEST_BACK_CUPS * self._ruler.num
        )

    def begin_anew(self, count: int, skipped_cups: int) -> None:
        """Go on with a counter that began anew, so many cups further on: none on the belt keeps its number."""
        num = self._ruler.num
        ahead = ((self._unwrap.last or 0) - (self.origin or 0)) // num + skipped_cups
        self.origin = count // num * num - ahead * num
        self._unwrap.last = count
        self._in_step = False
        self._flags.clear()

    def in_step(self, count: int) -> bool:
        """Take the first flag since the counter began as a whole pitch, ``count`` being where it passed; False if that moves
        the line's count. Where a counter begins says nothing of where the cups are."""
        if self._in_step or self.origin is None:
            return True
        self._in_step = True
        off = round(self._ruler.slip(self.near(count)) / self._ruler.den)
        self.origin += off
        return off == 0

    def flag(self, lane: int, count: int) -> int | None:
        """Return the tick at which a flag passed; None of one by which the belt must not be corrected.

        Flags are whole pitches apart. Where the count has not moved on so since the one before, the encoder stood, ran backwards
        or slipped in between, and its next flags tell what to believe.
        """
        tick = self.near(count)
        before, doubted = self._flags.get(lane, (None, 0))
        moved = before is None or 2 * self._ruler.den * (tick - before) >= self._ruler.num
        agrees = before is None or 10 * abs(self._ruler.slip(tick - before)) <= self._ruler.num
        sure = moved and (agrees or doubted == DOUBTED_FLAGS)
        self._flags[lane] = tick, 0 if sure else doubted + moved
        return tick if sure else None

    def near(self, count: int) -> int:
        """Return a reading from a little before or after the last as ticks since the start, without moving on."""
        last = self._unwrap.last or 0
        half = (self._mask + 1) // 2
        return last + (count - last + half) % (self._mask + 1) - half - (self.origin or 0)

    def count(self, tick: int) -> int:
        """Return the counter's reading at a tick."""
        return (tick + (self.origin or 0)) & self._mask


def _signed(difference: int) -> int:
    """Return a difference of two numbers of 32 bits that turn over."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)
