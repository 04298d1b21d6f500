"""The level of an interval that keeps its promise while a line runs: adaptive conformal inference, a lane.

A sample fruit outside its interval widens the next ones, one inside narrows them a little; in the long run the promised share
lies inside, whatever drifts. Gibbs and Candes 2021, Advances in Neural Information Processing Systems 34, 1660.
"""

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra.interval import interval

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SHARE: Final = 0.9
STEP: Final = 0.02
"""How far one fruit moves the level: a lane whose every fruit lies outside has no bound on its interval after six of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """The levels of all lanes between two batches of sample fruit.

    ``outside`` (n_lanes,) the share that the next interval of a lane leaves outside; ``seen``, ``missed`` (n_lanes,) fruit so
    far; ``share`` promised; ``step`` of the level.
    """

    outside: Floats
    seen: Ints
    missed: Ints
    share: float = SHARE
    step: float = STEP


def start(n_lanes: int, share: float = SHARE, step: float = STEP) -> Levels:
    """Return the levels of lanes of which no sample fruit was seen: what is promised."""
    none = np.zeros(n_lanes, np.int64)
    return Levels(np.full(n_lanes, 1.0 - share), none, none, share, step)


def ends(residuals: Floats, outside: float) -> tuple[float, float]:
    """Return what to add to a value for the ends of its interval; no bound at a level of 0 and below, nothing at 1 and above."""
    if outside <= 0:
        return -math.inf, math.inf
    return interval(residuals, 1.0 - outside) if outside < 1 else (math.inf, -math.inf)


def follow(levels: Levels, residuals: Floats, lane: NDArray[np.int_], deviation: Floats) -> tuple[Levels, NDArray[np.bool_]]:
    """Add a batch of sample fruit, in the order they were taken.

    Parameters
    ----------
    residuals : (n,) sorted, of the model. lane : (m,) of each fruit. deviation : (m,) reference minus value; NaN is passed over.

    Returns
    -------
    The levels after them, and (m,) whether each lay inside the interval of its moment; a fruit passed over did.

    After T fruit of a lane the share outside differs from the promise by (1 + step) / (T step) at most, whatever the fruit.
    """
    outside, seen, missed = levels.outside.copy(), levels.seen.copy(), levels.missed.copy()
    inside = np.ones(len(deviation), np.bool_)
    for row, (k, error) in enumerate(zip(lane.tolist(), deviation.tolist(), strict=True)):
        if math.isnan(error):
            continue
        low, high = ends(residuals, float(outside[k]))
        inside[row] = low <= error <= high
        seen[k] += 1
        missed[k] += not inside[row]
        outside[k] += levels.step * (1.0 - levels.share - (not inside[row]))
    return replace(levels, outside=outside, seen=seen, missed=missed), inside
