"""Where is each cup: one formula in whole numbers, from encoder counts to cups and pixels.

Cup ``k`` is at station ``s`` when ``tick == (k + s) * ticks_per_cup``. Ticks a cup are a ratio, stations thousandths of a pitch,
so every position is an exact ratio of integers and nothing drifts in a shift of ten hours.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numba import njit
from numpy.typing import NDArray

MILLI = 1000


def milli(stations: Iterable[float]) -> NDArray[np.int64]:
    """Return stations in thousandths of a pitch."""
    return np.array([round(station * MILLI) for station in stations], np.int64)


@njit(cache=True)
def locate(tick: int, offset: int, station_milli: int, num: int, den: int) -> tuple[int, int, int]:
    """Return the cup nearest to a station, how far downstream of it the cup is, and the unit of that distance.

    ``offset`` is what an index sensor has corrected, in ``1/den`` ticks. The distance is an integer number of ``1/unit`` pitches,
    in ``[-unit/2, unit/2)``.
    """
    unit = MILLI * num
    x = (tick * den + offset) * MILLI - station_milli * num
    cup = (2 * x + unit) // (2 * unit)
    return cup, x - cup * unit, unit


@njit(cache=True, nogil=True)
def bent(away_x: float, away_y: float, optics: NDArray[np.float64]) -> tuple[float, float]:
    """Return what a lens does to a place ``away`` px off its axis: how much further out it is seen, and how much longer a sphere
    is drawn along that direction than across it.

    ``optics[4:7]``: focal length in px, k1, k2. The seen radius is ``r (1 + k1 r^2 + k2 r^4)`` focal lengths (Brown,
    Photogrammetric Engineering 32, 444, 1966); a sphere off the axis is an ellipse, longer by ``sqrt(1 + r^2)``.
    """
    square = (away_x * away_x + away_y * away_y) / (optics[4] * optics[4])
    bend = 1.0 + square * (optics[5] + optics[6] * square)
    along = 1.0 + square * (3.0 * optics[5] + 5.0 * optics[6] * square)
    return bend, np.sqrt(1.0 + square) * along / bend


@dataclass(frozen=True, slots=True)
class Ruler:
    """The belt's ruler: ``num / den`` ticks a cup."""

    num: int
    den: int

    @classmethod
    def of(cls, ticks_per_cup: Fraction) -> "Ruler":
        return cls(ticks_per_cup.numerator, ticks_per_cup.denominator)

    def passed(self, tick: int, station: int, offset: int = 0) -> int:
        """Return the last cup that has reached a whole-pitch station by ``tick``."""
        return (tick * self.den + offset) // self.num - station

    def tick_at(self, cup: int, station_milli: int, offset: int = 0) -> int:
        """Return the encoder count, rounded up, at which ``cup`` reaches a station."""
        return -((offset * MILLI - (cup * MILLI + station_milli) * self.num) // (self.den * MILLI))

    def slip(self, tick: int, offset: int = 0) -> int:
        """Return how far, in ``1/den`` ticks, the count is from the nearest cup boundary: what an index sensor's flag reveals."""
        position = tick * self.den + offset
        return position - (2 * position + self.num) // (2 * self.num) * self.num

    def ticks(self, cups: float) -> int:
        """Return a length in ticks, rounded."""
        return round(cups * self.num / self.den)


@dataclass(slots=True)
class Unwrapper:
    """Makes one rising count of a counter that wraps at ``bits``; short reverse motion passes through."""

    bits: int
    last: int | None = None

    def __call__(self, raw: int) -> int:
        """Return the unwrapped count nearest to the one before."""
        if self.last is None:
            self.last = raw
            return raw
        span = 1 << self.bits
        step = (raw - self.last) % span
        self.last += step - span if step >= span // 2 else step
        return self.last
