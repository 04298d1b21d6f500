"""Spots of all views fused on the fruit: each defect once, one stem end, one stylar end opposite to it."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

MOST = 96
"""Marks a fruit can have."""
SAME_RAD = 0.12
"""Two spots of different views whose centres lie closer than this, beside their own sizes, are one mark."""
VISIBLE_COS = 0.5
"""A mark that lies this much towards the camera should have been seen."""
ABSENCE = 0.2
"""Weight of a view that should show a mark and does not, against one that does."""
CERTAIN_END, CERTAIN_BLEMISH = 0.30, 0.36
"""Mean chance over the views from which a mark is an end, or a blemish."""
OPPOSITE_COS = -0.5
"""The stem end and the stylar end lie further apart than the angle with this cosine."""
BESIDE_COS = 0.95
"""Marks closer to an end than the angle with this cosine may be a part of it, or the end itself again."""
NOTHING, STEM, STYLAR, BLEMISH = range(4)


class Marks(NamedTuple):
    """Marks of one fruit, filled by `fuse`.

    ``where`` (most, 3) unit directions; ``kind`` (most,); ``area`` (most,) steradians; ``tally`` (most, 6): sums of weight, of
    the three chances, of weighted areas, and of the weights of views that should have shown it; ``of`` (n_views, n_spots + 1):
    the mark of each view's spot, -1 where there is none.
    """

    where: NDArray[np.float64]
    kind: NDArray[np.int64]
    area: NDArray[np.float64]
    tally: NDArray[np.float64]
    of: NDArray[np.int64]


def marks(n_views: int) -> Marks:
    """Return room for the marks of one fruit."""
    return Marks(
        np.zeros((MOST, 3)),
        np.zeros(MOST, np.int64),
        np.zeros(MOST),
        np.zeros((MOST, 6)),
        np.zeros((n_views, N_SPOTS + 1), np.int64),
    )


@njit(cache=True, nogil=True)
def fuse(spots: NDArray[np.int64], spot: NDArray[np.float32], turns: NDArray[np.float64], n_views: int, found: Marks) -> int:
    """Fuse the spots of a fruit's views; return the number of marks.

    Parameters
    ----------
    spots : (n_views,) how many. spot : (n_views, n_spots, 6) as `tables.VIEW`. turns : (n_views, 3, 3) rotations, fruit to view.
    """
    n = 0
    found.tally[:] = 0.0
    found.of[:] = -1
    for v in range(n_views):
        known = n
        for s in range(spots[v]):
            one = spot[v, s]
            z = np.sqrt(max(1.0 - one[SPOT_X] * one[SPOT_X] - one[SPOT_Y] * one[SPOT_Y], 0.01))
            towards = turns[v].T.copy()
            d = (
                towards[0, 0] * one[SPOT_X] + towards[0, 1] * one[SPOT_Y] + towards[0, 2] * z,
                towards[1, 0] * one[SPOT_X] + towards[1, 1] * one[SPOT_Y] + towards[1, 2] * z,
                towards[2, 0] * one[SPOT_X] + towards[2, 1] * one[SPOT_Y] + towards[2, 2] * z,
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
    _name(found, n)
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


@njit(cache=True, nogil=True)
def _name(found: Marks, n: int) -> None:
    """Decide what each mark is: the most certain pair of opposite ends first, then blemishes among the rest."""
    tally, best, stem, stylar = found.tally, 2 * CERTAIN_END, -1, -1
    for k in range(n):
        total = tally[k, 0] + ABSENCE * tally[k, 5]
        for c in range(3):
            tally[k, 1 + c] /= total
    for i in range(-1, n):
        a = tally[i, 1] if i >= 0 else CERTAIN_END
        for j in range(-1, n):
            b = tally[j, 2] if j >= 0 else CERTAIN_END
            if a + b <= best or (i >= 0 and i == j):
                continue
            if i >= 0 and j >= 0:
                p, q = found.where[i], found.where[j]
                if p[0] * q[0] + p[1] * q[1] + p[2] * q[2] > OPPOSITE_COS:
                    continue
            best, stem, stylar = a + b, i, j
    for k in range(n):
        found.kind[k] = STEM if k == stem else STYLAR if k == stylar else NOTHING
        other = found.kind[k] == NOTHING and not _part_of(found, k, stem) and not _part_of(found, k, stylar)
        # Knowing that it is no end: what looks like a stylar scar and lies elsewhere is a dark spot.
        if other and tally[k, 3] > CERTAIN_BLEMISH * (1.0 - tally[k, 1] - tally[k, 2]):
            found.kind[k] = BLEMISH


@njit(cache=True, nogil=True)
def _part_of(found: Marks, k: int, end: int) -> bool:
    """Say whether a mark that looks more like an end than like a blemish lies beside the end found."""
    if end < 0:
        return False
    p, q, tally = found.where[k], found.where[end], found.tally[k]
    return bool(p[0] * q[0] + p[1] * q[1] + p[2] * q[2] > BESIDE_COS and max(tally[1], tally[2]) > tally[3])
