"""What each mark of a fruit is: the likeliest pair of opposite ends first, then blemishes among the rest."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.marks import BLEMISH, NOTHING, STEM, STYLAR, Marks

ABSENCE = 0.2
"""Weight of a view that should show a mark and does not, against one that does."""
FLOOR = 0.01
"""Added to a mean chance before its logarithm is taken: no forest is surer than this."""
ALONE_STEM, ALONE_STYLAR = 0.5, 2.0
"""Logarithm of odds that an end found costs where the other one should have been seen and was not, and a little for either."""
ASKEW = 2.0
"""The same, times one plus the cosine between both: ends that are not quite opposite."""
LEAST_ODDS = 0.0
"""Logarithm of odds from which there is an end at all."""
CERTAIN_BLEMISH = 0.45
"""Share of what is left of a mark's chances, once it is no end, from which it is a blemish."""
LIKELY_BLEMISH = 0.3
"""Chance from which a mark that was weighed is a blemish."""
OPPOSITE_COS = -0.5
"""The stem end and the stylar end lie further apart than the angle with this cosine."""
BESIDE_COS = 0.95
"""Marks closer to an end than the angle with this cosine may be a part of it, or the end itself again."""
FACED_FROM, FACED_WHOLLY = 0.35, 0.65
"""Cosines to the view that faces it most from which a place may be seen, and from which it is."""


@njit(cache=True, nogil=True)
def name(found: Marks, n: int, turns: NDArray[np.float64], n_views: int, weighed: bool) -> None:
    """Fill ``kind`` of the first ``n`` marks by their chances: means over the views, or what these ``weighed`` together."""
    stem, stylar = _ends(found, n, turns, n_views)
    tally = found.tally
    for k in range(n):
        found.kind[k] = STEM if k == stem else STYLAR if k == stylar else NOTHING
        other = found.kind[k] == NOTHING and not _part_of(found, k, stem) and not _part_of(found, k, stylar)
        # Knowing that it is no end: what looks like a stylar scar and lies elsewhere is a dark spot.
        least = LIKELY_BLEMISH if weighed else CERTAIN_BLEMISH * (1.0 - tally[k, 1] - tally[k, 2])
        if other and tally[k, 3] > least:
            found.kind[k] = BLEMISH


@njit(cache=True, nogil=True)
def average(found: Marks, n: int) -> None:
    """Make the chances of the first ``n`` marks means over the views."""
    for k in range(n):
        tally = found.tally[k]
        total = tally[0] + ABSENCE * tally[5]
        for c in range(1, 4):
            tally[c] /= total


@njit(cache=True, nogil=True)
def fill_odds(found: Marks, n: int) -> None:
    """Fill ``odds``: how much likelier a mark is stem or stylar end than anything but an end, as logarithms."""
    for k in range(n):
        tally = found.tally[k]
        other = np.log(max(1.0 - tally[1] - tally[2], 0.0) + FLOOR)
        for c in range(2):
            found.odds[k, c] = np.log(tally[1 + c] + FLOOR) - other


@njit(cache=True, nogil=True)
def _ends(found: Marks, n: int, turns: NDArray[np.float64], n_views: int) -> tuple[int, int]:
    """Return which marks are stem and stylar end, -1 for none."""
    best, stem, stylar = LEAST_ODDS, -1, -1
    for i in range(n):
        odds = found.odds[i]
        if max(odds[0], odds[1]) > best:
            missing = _faced(found, i, turns, n_views)
            if odds[0] - ALONE_STEM * missing > best:
                best, stem, stylar = odds[0] - ALONE_STEM * missing, i, -1
            if odds[1] - ALONE_STYLAR * missing > best:
                best, stem, stylar = odds[1] - ALONE_STYLAR * missing, -1, i
        for j in range(n):
            both = odds[0] + found.odds[j, 1]
            if i == j or both <= best:
                continue
            p, q = found.where[i], found.where[j]
            cos = p[0] * q[0] + p[1] * q[1] + p[2] * q[2]
            if cos < OPPOSITE_COS and both - ASKEW * (1.0 + cos) > best:
                best, stem, stylar = both - ASKEW * (1.0 + cos), i, j
    return stem, stylar


@njit(cache=True, nogil=True)
def _faced(found: Marks, k: int, turns: NDArray[np.float64], n_views: int) -> float:
    """Return how surely, 0..1, the place opposite to a mark was seen."""
    most, p = 0.0, found.where[k]
    for v in range(n_views):
        most = max(most, -(turns[v, 2, 0] * p[0] + turns[v, 2, 1] * p[1] + turns[v, 2, 2] * p[2]))
    return min(max((most - FACED_FROM) / (FACED_WHOLLY - FACED_FROM), 0.0), 1.0)


@njit(cache=True, nogil=True)
def _part_of(found: Marks, k: int, end: int) -> bool:
    """Say whether a mark that looks more like an end than like a blemish lies beside the end found."""
    if end < 0:
        return False
    p, q, tally = found.where[k], found.where[end], found.tally[k]
    return bool(p[0] * q[0] + p[1] * q[1] + p[2] * q[2] > BESIDE_COS and max(tally[1], tally[2]) > tally[3])
