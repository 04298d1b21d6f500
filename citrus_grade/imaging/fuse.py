"""Spots of all views fused on the fruit: each defect once, one stem end, one stylar end opposite to it."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.forest import COARSE_QUADS
from citrus_grade.imaging.marks import MOST, Marks
from citrus_grade.imaging.name import average, fill_odds, name
from citrus_grade.imaging.weigh import VISIBLE_COS, weigh
from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

SAME_RAD = 0.12
"""Two spots of different views whose centres lie closer than this, beside their own sizes, are one mark."""


@njit(cache=True, nogil=True)
def fuse(
    spots: NDArray[np.int64], spot: NDArray[np.float32], turns: NDArray[np.float64], n_views: int, radius: float, found: Marks
) -> int:
    """Fuse the spots of a fruit's views; return the number of marks.

    Parameters
    ----------
    spots : (n_views,) how many. spot : (n_views, n_spots, 6) as `tables.VIEW`. turns : (n_views, 3, 3) rotations, fruit to view.
    radius : of the fruit, quads.
    """
    n = 0
    found.tally[:] = 0.0
    found.of[:] = -1
    for v in range(n_views):
        known = n
        for s in range(spots[v]):
            one = spot[v, s]
            z = np.sqrt(max(1.0 - one[SPOT_X] * one[SPOT_X] - one[SPOT_Y] * one[SPOT_Y], 0.01))
            turn, x, y = turns[v], float(one[SPOT_X]), float(one[SPOT_Y])
            d = (
                turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * z,
                turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * z,
                turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * z,
            )
            mark = _nearest(found, known, d, one[SPOT_RADIUS])
            if mark < 0:
                if n == MOST:
                    continue
                mark = n
                n += 1
            _add(found, mark, d, z, one)
            found.of[v, s + 1] = mark
    for mark in range(n):
        found.area[mark] = found.tally[mark, 4] / found.tally[mark, 0]
        _expect(found, mark, turns, n_views)
    average(found, n)
    fill_odds(found, n)
    coarse = radius < COARSE_QUADS
    if coarse:
        weigh(spots, spot, turns, n_views, found, n)
        fill_odds(found, n)
    name(found, n, turns, n_views, coarse)
    return n


@njit(cache=True, nogil=True)
def _nearest(found: Marks, n: int, d: tuple[float, float, float], radius: float) -> int:
    """Return the mark at a direction, -1 if there is none."""
    best, mark = -1.0, -1
    for k in range(n):
        cos = found.where[k, 0] * d[0] + found.where[k, 1] * d[1] + found.where[k, 2] * d[2]
        own = np.sqrt(found.tally[k, 4] / found.tally[k, 0] / np.pi)
        reach = SAME_RAD + 0.5 * (own + radius)
        if cos > best and cos > 1.0 - 0.5 * reach * reach:
            best, mark = cos, k
    return mark


@njit(cache=True, nogil=True)
def _add(found: Marks, mark: int, d: tuple[float, float, float], z: float, one: NDArray[np.float32]) -> None:
    w, tally, where = z * z, found.tally[mark], found.where[mark]
    before = tally[0]
    for k in range(3):
        where[k] = (before * where[k] if before > 0 else 0.0) + w * d[k]
    norm = np.sqrt(where[0] * where[0] + where[1] * where[1] + where[2] * where[2])
    for k in range(3):
        where[k] /= norm
        tally[1 + k] += w * one[CHANCE_STEM + k]
    tally[0] += w
    tally[4] += w * np.pi * one[SPOT_RADIUS] * one[SPOT_RADIUS] / z


@njit(cache=True, nogil=True)
def _expect(found: Marks, mark: int, turns: NDArray[np.float64], n_views: int) -> None:
    """Sum the weights of views that look at a mark and do not tell of it."""
    for v in range(n_views):
        told = False
        for s in range(1, N_SPOTS + 1):
            told |= found.of[v, s] == mark
        z = turns[v, 2, 0] * found.where[mark, 0] + turns[v, 2, 1] * found.where[mark, 1] + turns[v, 2, 2] * found.where[mark, 2]
        if not told and z > VISIBLE_COS:
            found.tally[mark, 5] += z * z
