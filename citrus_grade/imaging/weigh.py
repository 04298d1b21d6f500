"""What all views of a fruit together say of a mark: what it may be, and whether it is one with another.

A spot's chances come from one view. What a mark is lies as much in how many views tell of it and how many should, whether they
agree, and where it lies; a large pale blemish falls apart in some views, and its parts give themselves away by where they lie.
Two forests learnt from SIMULATED fruit (benchmarks/learn_marks.py) are asked for both.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.forest import ask
from citrus_grade.imaging.marks import Marks
from citrus_grade.imaging.name import FLOOR
from citrus_grade.tables import CHANCE_STEM, SPOT_RADIUS, SPOT_X, SPOT_Y

VISIBLE_COS = 0.5
"""A mark that lies this much towards the camera should have been seen."""
WORTH = 0.05
"""Chance that a spot must have of being something for its mark to be weighed: half of all marks have none, and are nothing."""
MARK, PAIR = 0, 1
"""The two forests: what a mark is, and whether two are one."""
NEAR_COS = 0.35
"""Marks further apart than the angle with this cosine are two."""
ONE = 0.5
"""Chance from which two blemishes are one."""
SHOWN, UNSHOWN, SHARE, MEAN, LOG, MOST, TOLD, EXPECTED, FACED, FACING, RADIUS, LARGEST, SPREAD, ASIDE, STEM, STYLAR, NEAREST = (
    0, 1, 2, 3, 6, 9, 12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24,
)  # fmt: skip
"""Places, among what is asked of a mark, of the weights of views that tell of it and of those that should and do not, and the
share of the former; mean, mean logarithm against none, and most of the three chances; how many spots tell of it, and how many
views should; cosines to the view that faces it most and, in the mean, to those that tell; mean and largest radius; how far its
spots lie apart; how far it lies from the middle of the views; odds of the other mark most like a stem, and cosine to it; the
same of a stylar end; cosine to the nearest mark."""


@njit(cache=True, nogil=True)
def weigh(
    spots: NDArray[np.int64], spot: NDArray[np.float32], turns: NDArray[np.float64], n_views: int, found: Marks, n: int
) -> None:
    """Replace the chances in ``tally`` of the first ``n`` marks by what the forest says of all that is known of each.

    Parameters as `fuse.fuse`; ``tally`` and ``odds`` hold means over the views. What was asked is left in ``feature``.
    """
    feature = found.feature
    feature[:n] = 0
    for k in range(n):
        shown, unshown = found.tally[k, 0], found.tally[k, 5]
        feature[k, SHOWN], feature[k, UNSHOWN], feature[k, SHARE] = shown, unshown, shown / (shown + unshown)
        feature[k, RADIUS], feature[k, ASIDE] = np.sqrt(found.area[k] / np.pi), abs(found.where[k, 1])
        _face(found, k, turns, n_views)
        _beside(found, k, n)
    _add_spots(spots, spot, turns, n_views, found, n)
    for k in range(n):
        if max(feature[k, MOST], feature[k, MOST + 1], feature[k, MOST + 2]) < WORTH:
            continue
        ask(found.trees, MARK, feature[k], found.node, found.chance)
        for c in range(3):
            found.tally[k, 1 + c] = found.chance[c]


@njit(cache=True, nogil=True)
def _face(found: Marks, k: int, turns: NDArray[np.float64], n_views: int) -> None:
    """Fill how views face a mark."""
    expected, most, p = 0, -1.0, found.where[k]
    for v in range(n_views):
        z = turns[v, 2, 0] * p[0] + turns[v, 2, 1] * p[1] + turns[v, 2, 2] * p[2]
        expected += z > VISIBLE_COS
        most = max(most, z)
    found.feature[k, EXPECTED], found.feature[k, FACED] = expected, most


@njit(cache=True, nogil=True)
def _beside(found: Marks, k: int, n: int) -> None:
    """Fill what lies where beside a mark: the likeliest other ends, and the nearest."""
    stem, stylar, nearest, f = -9.0, -9.0, -1.0, found.feature[k]
    f[STEM + 1] = f[STYLAR + 1] = 0.0
    for b in range(n):
        if b == k:
            continue
        cos = _cos(found, k, b)
        nearest = max(nearest, cos)
        if found.odds[b, 0] > stem:
            stem, f[STEM + 1] = found.odds[b, 0], cos
        if found.odds[b, 1] > stylar:
            stylar, f[STYLAR + 1] = found.odds[b, 1], cos
    f[STEM], f[STYLAR], f[NEAREST] = stem, stylar, nearest


@njit(cache=True, nogil=True)
def _add_spots(
    spots: NDArray[np.int64], spot: NDArray[np.float32], turns: NDArray[np.float64], n_views: int, found: Marks, n: int
) -> None:
    """Fill what the spots of each mark are like, and how far they lie apart."""
    sums = found.sums
    sums[:n] = 0.0
    for v in range(n_views):
        for s in range(spots[v]):
            k = found.of[v, s + 1]
            if k < 0:
                continue
            one, f, turn = spot[v, s], found.feature[k], turns[v]
            x, y = float(one[SPOT_X]), float(one[SPOT_Y])
            square = max(1.0 - x * x - y * y, 0.01)
            z = np.sqrt(square)
            for c in range(3):
                sums[k, c] += square * (turn[0, c] * x + turn[1, c] * y + turn[2, c] * z)
            sums[k, 3] += square
            none = max(1.0 - one[CHANCE_STEM] - one[CHANCE_STEM + 1] - one[CHANCE_STEM + 2], 0.0) + FLOOR
            for c in range(3):
                chance = one[CHANCE_STEM + c]
                f[MEAN + c] += square * chance
                f[LOG + c] += square * np.log((chance + FLOOR) / none)
                f[MOST + c] = max(f[MOST + c], chance)
            f[TOLD] += 1
            f[FACING] += z
            f[LARGEST] = max(f[LARGEST], one[SPOT_RADIUS])
    for k in range(n):
        f, weight = found.feature[k], sums[k, 3]
        for c in range(3):
            f[MEAN + c] /= weight
            f[LOG + c] /= weight
        f[FACING] /= f[TOLD]
        f[SPREAD] = 1.0 - np.sqrt(sums[k, 0] ** 2 + sums[k, 1] ** 2 + sums[k, 2] ** 2) / weight


@njit(cache=True, nogil=True)
def _cos(found: Marks, a: int, b: int) -> float:
    p, q = found.where[a], found.where[b]
    return float(p[0] * q[0] + p[1] * q[1] + p[2] * q[2])


@njit(cache=True, nogil=True)
def are_one(found: Marks, a: int, b: int, n_views: int, radius: float) -> bool:
    """Say whether two marks of a fruit are one, by the features that `weigh` left; ``radius`` of the fruit, quads."""
    if _cos(found, a, b) < NEAR_COS:
        return False
    pair(found, a, b, n_views, radius, found.both)
    ask(found.trees, PAIR, found.both, found.node, found.chance)
    return bool(found.chance[2] > ONE)


@njit(cache=True, nogil=True)
def pair(found: Marks, a: int, b: int, n_views: int, radius: float, out: NDArray[np.float32]) -> None:
    """Fill what is asked of two marks, the larger one first: how far apart, how large, how well and often seen, and how often
    one view tells of both."""
    first, second = (
        (found.feature[a], found.feature[b]) if found.area[a] >= found.area[b] else (found.feature[b], found.feature[a])
    )
    both = 0
    for v in range(n_views):
        one, two = False, False
        for s in range(1, found.of.shape[1]):
            one |= found.of[v, s] == a
            two |= found.of[v, s] == b
        both += one and two
    apart = np.arccos(min(max(_cos(found, a, b), -1.0), 1.0))
    out[0], out[1] = apart, apart - first[RADIUS] - second[RADIUS]
    out[2], out[3], out[4], out[5] = first[RADIUS], second[RADIUS], first[TOLD], second[TOLD]
    out[6], out[7], out[8], out[9] = first[FACED], second[FACED], first[MEAN + 2], second[MEAN + 2]
    out[10], out[11], out[12], out[13] = both, first[SHOWN], second[SHOWN], radius
