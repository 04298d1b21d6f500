"""Lent arrays: the same memory, and nobody counted as a holder for good."""

import sys
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.lend import lend


class Room(NamedTuple):
    """Arrays of two kinds and a number, one of them inside a tuple."""

    level: NDArray[np.float64]
    pair: tuple[NDArray[np.int16], int]


@njit
def add_up(room: Any) -> float:
    lent = lend(room)
    lent.level[0] += 1.0
    total = 0.0
    for row in range(2):
        total += lent.level[row:].sum() + lent.pair[0][row]
    return total + lent.pair[1]


def test_what_is_lent_is_the_same_memory() -> None:
    room = Room(np.array([1.0, 2.0]), (np.array([3, 4], np.int16), 5))
    assert add_up(room) == 4.0 + 2.0 + 3 + 4 + 5
    assert room.level.tolist() == [2.0, 2.0]


def test_lending_leaves_the_holders_as_they_were() -> None:
    room = Room(np.ones(2), (np.ones(2, np.int16), 0))
    add_up(room)
    before = sys.getrefcount(room.level), sys.getrefcount(room.pair[0])
    for _ in range(100):
        add_up(room)
    assert (sys.getrefcount(room.level), sys.getrefcount(room.pair[0])) == before
