"""How likely the truth lies between a rule's cuts, read from the errors a model made at fruit it had not seen.

The truth is the value plus one of the residuals, each as likely as the next, and a share of one more lies beyond them: a
conformal predictive distribution (Vovk, Shen, Manokhin and Xie 2017, Proc. Machine Learning Research 60, 82).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.grading.walk import below
from citrus_grade.words import _

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Chance:
    """A rule's condition on the truth: ``low <= target < high``, at least as likely as ``probability``."""

    rule: int
    target: str
    low: float
    high: float
    probability: float


class Chances(NamedTuple):
    """A plan's conditions with the residuals of the model in use, as the loop wants them.

    ``trait`` (n,) which value each asks for, ``cut`` (n, 2); ``residuals`` sorted, value ``k``'s from ``first[k]`` on.
    """

    trait: NDArray[np.int64]
    cut: Floats
    residuals: Floats
    first: NDArray[np.int64]


def bind(asked: Sequence[Chance], residuals: Mapping[str, Floats]) -> Chances:
    """Lay out a plan's conditions with the sorted residuals (n,) of each of the model's targets, in their order.

    Raises
    ------
    ValueError : residuals that cannot answer a condition, see `objection`.
    """
    for chance in asked:
        if problem := objection(chance, residuals):
            raise ValueError(problem)
    told, names = list(residuals.values()), list(residuals)
    bound = Chances(
        trait=np.array([names.index(chance.target) for chance in asked], np.int64),
        cut=np.array([(chance.low, chance.high) for chance in asked], np.float64).reshape(-1, 2),
        residuals=np.concatenate([np.zeros(0), *told]),
        first=np.cumsum([0, *map(len, told)]),
    )
    for array in bound:
        array.setflags(write=False)
    return bound


def objection(chance: Chance, residuals: Mapping[str, Floats]) -> str:
    """Return why a model's residuals cannot answer a condition and what to do, "" if they can."""
    known = residuals.get(chance.target, np.zeros(0))
    if not len(known):
        return _(
            "the model's bundle holds no residuals of {target}, so nothing can be said of its errors; train the model again, or"
            " give a guard band instead"
        ).format(target=chance.target)
    most = most_likely(known, chance.low, chance.high)
    if most < chance.probability:
        return _(
            "no fruit can be that likely: with the errors at {n} fruit the model was tested on {most:.3f} is the most;"
            " ask for less, or use a model tested on more fruit"
        ).format(n=len(known), most=math.floor(1000 * most) / 1000)
    return ""


def most_likely(residuals: Floats, low: float, high: float) -> float:
    """Return the probability that no fruit exceeds, whatever its value."""
    n = len(residuals)
    if math.isinf(high - low):
        return (n + 0.5) / (n + 1)
    inside = np.searchsorted(residuals, residuals + (high - low)) - np.arange(n)
    return float(inside.max()) / (n + 1)


@njit(cache=True, nogil=True)
def _above(residuals: Floats, distance: float) -> float:
    """Return how likely an error is at least ``distance``."""
    if distance == -np.inf:
        return 1.0
    if distance == np.inf:
        return 0.0
    n = len(residuals)
    return (n - below(distance, residuals, 0, n) + 0.5) / (n + 1.0)


@njit(cache=True, nogil=True)
def probability_within(residuals: Floats, value: float, low: float, high: float) -> float:
    """Return how likely the truth lies in ``low <= x < high``; NaN of an unmeasured value."""
    if value != value:
        return np.nan
    return _above(residuals, low - value) - _above(residuals, high - value)


@njit(cache=True, nogil=True)
def weigh(trait: Any, chances: Chances, out: Floats) -> None:
    """Fill the probability of each condition (n,) of one fruit, given the values of its traits."""
    for k in range(len(chances.trait)):
        j = chances.trait[k]
        known = chances.residuals[chances.first[j] : chances.first[j + 1]]
        out[k] = probability_within(known, trait[j], chances.cut[k, 0], chances.cut[k, 1])


def readings(chance: Chance, residuals: Floats) -> tuple[float, float]:
    """Return the least and the greatest value that meet a condition, half-open: the guard bands that the errors set."""
    # Between two edges no error comes in or drops out, so the probability is the same.
    edges = np.unique(np.concatenate([chance.low - residuals, chance.high - residuals]))
    edges = edges[np.isfinite(edges)]
    between = np.concatenate([edges[:1] - 1.0, (edges[:-1] + edges[1:]) / 2, edges[-1:] + 1.0])
    ends = np.concatenate([[-np.inf], edges, [np.inf]])
    met = [probability_within(residuals, value, chance.low, chance.high) >= chance.probability for value in between]
    at = np.flatnonzero(met)
    return (float(ends[at[0]]), float(ends[at[-1] + 1])) if len(at) else (math.nan, math.nan)
