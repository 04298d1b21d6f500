"""Memory that processes share: rings of frames, and the last decisions. `board` is what they tell each other of themselves.

It is anonymous (`memfd_create(2)`): it has a descriptor and no name, and is gone when the last process that holds it is gone.
"""

import mmap
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.tables import DECISION, Table

_HEAD = np.dtype([("begun", "<i8"), ("done", "<i8")])
LINE_BYTES = 64
"""Writers of neighbouring fields must not share a cache line."""


def reserve(name: str, n_bytes: int) -> int:
    """Return the descriptor of ``n_bytes`` of shared memory, all zero."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC)
    os.ftruncate(fd, n_bytes)
    return fd


def mapped(fd: int) -> mmap.mmap:
    """Return the memory of a descriptor, as long as it was reserved."""
    return mmap.mmap(fd, os.fstat(fd).st_size)


@dataclass(frozen=True, slots=True)
class Shape:
    """A ring's size: ``slots`` frames of ``height`` x ``width`` pixels of ``channels`` bytes."""

    slots: int
    height: int
    width: int
    channels: int = 1

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * self.channels

    @property
    def n_bytes(self) -> int:
        return self.slots * (LINE_BYTES + self.frame_bytes)


class FrameRing:
    """Frames from one writer to any number of readers, newest over oldest.

    A slot's number is written before and after its pixels; a reader compares both before and after it looks, so a frame that was
    written over meanwhile is told from a whole one.
    """

    def __init__(self, fd: int, shape: Shape) -> None:
        self.shape = shape
        self._map = mapped(fd)
        self._heads = [np.frombuffer(self._map, _HEAD, 1, slot * (LINE_BYTES + shape.frame_bytes)) for slot in range(shape.slots)]
        size = (shape.height, shape.width) if shape.channels == 1 else (shape.height, shape.width, shape.channels)
        self._pixels = [
            np.frombuffer(self._map, np.uint8, shape.frame_bytes, slot * (LINE_BYTES + shape.frame_bytes) + LINE_BYTES).reshape(
                size
            )
            for slot in range(shape.slots)
        ]

    def put(self, number: int, mosaic: NDArray[np.uint8]) -> None:
        """Write frame ``number`` (1 and up, rising) over the oldest."""
        slot = number % self.shape.slots
        head = self._heads[slot]
        head["begun"] = number
        np.copyto(self._pixels[slot], mosaic)
        head["done"] = number

    def newest(self) -> int:
        """Return the number of the newest whole frame, 0 of an empty ring."""
        return max(int(head["done"][0]) for head in self._heads)

    def look(self, number: int) -> NDArray[np.uint8] | None:
        """Return frame ``number`` where it lies, or None if it is not whole. `holds` says whether it still was afterwards."""
        return self._pixels[number % self.shape.slots] if self.holds(number) else None

    def holds(self, number: int) -> bool:
        """Say whether frame ``number`` lies in the ring and nobody has begun to write over it."""
        head = self._heads[number % self.shape.slots]
        return bool(head["done"][0] == number and head["begun"][0] == number)


DECIDED_CUPS = 4096
"""Cups whose decisions lie ready for the recorder: more than five minutes of a line."""
NEXT_CUPS = 64
"""Cups the core may write over while somebody copies: those are not taken any more."""


class Decided:
    """The decisions of the last `DECIDED_CUPS` cups, where neither a killed core nor a killed recorder takes one along.

    The core writes a cup's rows before it moves the board's ``decided_cup`` on to it.
    """

    def __init__(self, fd: int, lanes: int) -> None:
        self._map = mapped(fd)
        self._rows: NDArray[Any] = np.frombuffer(self._map, DECISION, DECIDED_CUPS * lanes).reshape(DECIDED_CUPS, lanes)
        self._bytes = self._rows.view(np.uint8).reshape(DECIDED_CUPS, -1)

    @staticmethod
    def n_bytes(lanes: int) -> int:
        """Return the size for so many lanes."""
        return DECIDED_CUPS * lanes * DECISION.itemsize

    def put(self, rows: Table) -> None:
        """Write the decisions of one cup or of several, whole cups in order."""
        lanes = self._rows.shape[1]
        for start, whole in zip(range(0, len(rows), lanes), rows.view(np.uint8).reshape(-1, self._bytes.shape[1]), strict=True):
            self._bytes[int(rows["cup"][start]) % DECIDED_CUPS] = whole

    def get(self, cup: int) -> Table | None:
        """Return the decisions of a cup, (lanes,), or None if they are not there, or were written over meanwhile."""
        rows = self._rows[cup % DECIDED_CUPS]
        found = rows.copy()
        return found if np.all(found["cup"] == cup) and np.all(rows["cup"] == cup) else None

    def cups(self, first: int, last: int) -> list[int]:
        """Return the cups from ``first`` to ``last`` whose decisions are there, in order; a jump of the count leaves some out."""
        held = self._rows["cup"][:, 0]
        found: list[int] = np.sort(held[(held >= first) & (held <= last)]).tolist()
        return found

    def clear(self) -> None:
        """Have nothing be there; memory that was just reserved says cup 0 everywhere."""
        self._rows["cup"] = -1
