"""Shutters of simulated spectrometers: where each stands, in a file that all devices of a line share, whatever their process."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from citrus_grade.messages import Position

MOVE_NS = 150_000_000
"""How long a shutter is on its way."""
Counts = NDArray[np.uint16]


class Shutters:
    """Shutters of ``lanes`` lanes, all open at first, in a file of `make`; without one only this process knows of them.

    One word a lane holds when its last move ended or will end, where it came from and where it goes: one store, so that nobody
    reads half of it.
    """

    def __init__(self, lanes: int, path: Path | None = None) -> None:
        self._words: NDArray[np.int64] = np.memmap(path, np.int64, "r+", shape=(lanes,)) if path else np.zeros(lanes, np.int64)
        self._told: list[Position | None] = [None] * lanes

    @staticmethod
    def make(path: Path, lanes: int) -> None:
        """Make the file of a line whose shutters stand open."""
        path.write_bytes(bytes(8 * lanes))

    def move(self, lane: int, to: Position, now_ns: int) -> None:
        """Send one on its way, from wherever it is."""
        self._words[lane] = (now_ns + MOVE_NS) << 4 | self.at(lane, now_ns) << 2 | to

    def goes_to(self, lane: int) -> Position:
        """Return where one was sent last."""
        return Position(int(self._words[lane]) & 3)

    def at(self, lane: int, t_ns: int) -> Position:
        """Return where one stands at a time since its last move but one."""
        return self._since(lane, t_ns)[0]

    def _since(self, lane: int, t_ns: int) -> tuple[Position, int]:
        word = int(self._words[lane])
        ends_ns, before, after = word >> 4, Position(word >> 2 & 3), Position(word & 3)
        if t_ns >= ends_ns:
            return after, ends_ns
        return (Position.BETWEEN, ends_ns - MOVE_NS) if t_ns >= ends_ns - MOVE_NS else (before, 0)

    def changed(self, now_ns: int) -> list[tuple[int, Position, int]]:
        """Return lane, position and since when, of each that stands otherwise than at the last call; of all at the first."""
        changed = []
        for lane, told in enumerate(self._told):
            position, since_ns = self._since(lane, now_ns)
            if position != told:
                self._told[lane] = position
                changed.append((lane, position, since_ns))
        return changed


@dataclass(frozen=True, eq=False)
class Behind:
    """What a shutter in the file ``path`` of ``lanes`` lets a lane's spectrometer see; it goes to another process, so it can be
    pickled. ``scans`` (2, n, n_pixels) behind the closed shutter and the attenuator."""

    path: Path
    lanes: int
    lane: int
    scans: Counts

    @cached_property
    def _shutters(self) -> Shutters:
        return Shutters(self.lanes, self.path)

    def __call__(self, light: Counts, number: int, t_ns: int) -> Counts:
        """Return scan ``number``, taken at ``t_ns``: ``light`` (n_pixels,) if the shutter is open, half of it while it moves."""
        position = self._shutters.at(self.lane, t_ns)
        row = number % self.scans.shape[1]
        if position == Position.OPEN:
            return light
        seen: Counts = self.scans[0, row] // 2 + light // 2 if position == Position.BETWEEN else self.scans[position - 1, row]
        return seen
