"""What an emulated spectrometer sees: numbered spectra, and when the trigger of each comes."""

import bisect
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.shutters import Behind


class Spectra(Protocol):
    """A source of spectra; it goes to another process, so it can be pickled."""

    def next_trigger(self, t_ns: int) -> tuple[int, int]:
        """Return number and host time of the first trigger at or after ``t_ns``."""
        ...

    def counts(self, number: int) -> NDArray[np.uint16]:
        """Return the spectrum of a trigger, (n_pixels,)."""
        ...


@dataclass(frozen=True, eq=False)
class Rows:
    """A loop of spectra ``rows`` (n, n_pixels), triggered ``per_s`` times a second."""

    rows: NDArray[np.uint16]
    per_s: float = 100.0

    def next_trigger(self, t_ns: int) -> tuple[int, int]:
        apart_ns = round(1e9 / self.per_s)
        number = -(-t_ns // apart_ns)
        return number, number * apart_ns

    def counts(self, number: int) -> NDArray[np.uint16]:
        row: NDArray[np.uint16] = self.rows[number % len(self.rows)]
        return row


@dataclass(frozen=True, eq=False)
class TapeSpectra:
    """A lane's scans of a tape, from `taped.of_tape`, each triggered where the belt has brought its cup.

    ``rows`` (cups * scans, n_pixels); ``places`` pitches past the loading point, in order; ``t0_ns`` when the belt began to move;
    ``behind`` the lane's shutter, where it has one.
    """

    rows: NDArray[np.uint16]
    places: tuple[float, ...]
    t0_ns: int
    cups_per_s: float
    behind: Behind | None = None

    def next_trigger(self, t_ns: int) -> tuple[int, int]:
        cups = (t_ns - self.t0_ns) * self.cups_per_s / 1e9
        cup = math.ceil(cups - self.places[-1])
        number = cup * len(self.places) + bisect.bisect_left(self.places, cups - cup)
        while (at_ns := self._at_ns(number)) < t_ns:
            number += 1
        return number, at_ns

    def _at_ns(self, number: int) -> int:
        cup, scan = divmod(number, len(self.places))
        return self.t0_ns + int((cup + self.places[scan]) * 1e9 / self.cups_per_s)

    def counts(self, number: int) -> NDArray[np.uint16]:
        light: NDArray[np.uint16] = self.rows[number % len(self.rows)]
        return self.behind(light, number, self._at_ns(number)) if self.behind else light
