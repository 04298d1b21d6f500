"""How well two opinions of the same fruit agree, and how far probabilities can be believed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Grades = NDArray[np.int64]

BINS = 10


def confusion_of(one: Grades, other: Grades, k: int) -> NDArray[np.int64]:
    """Count fruit (k, k): rows what ``one`` said, columns what ``other`` said, classes in order."""
    counts = np.zeros((k, k), np.int64)
    np.add.at(counts, (one, other), 1)
    return counts


def steps_off(confusion: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return the shares of fruit called the same grade, the next one, and one farther off."""
    k = len(confusion)
    off = np.abs(np.subtract.outer(np.arange(k), np.arange(k)))
    total = max(int(confusion.sum()), 1)
    same, next_to, far = (float(confusion[where].sum()) / total for where in (off == 0, off == 1, off > 1))
    return same, next_to, far


def weighted_kappa(confusion: NDArray[np.int64]) -> float:
    """Return Cohen's kappa with quadratic weights (Cohen 1968): 1 all alike, 0 as by chance, NaN where both always say one
    class."""
    k, n = len(confusion), confusion.sum()
    weight = np.subtract.outer(np.arange(k), np.arange(k)) ** 2
    by_chance = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / max(n, 1)
    expected = float((weight * by_chance).sum())
    return 1 - float((weight * confusion).sum()) / expected if expected else float("nan")


def log_loss(p: Floats, grade: Grades) -> float:
    """Return the mean of -ln of the probability (n, k) that was given to what each fruit is."""
    own = p[np.arange(len(p)), grade]
    return float(-np.log(np.maximum(own, np.finfo(float).tiny)).mean())


def brier(p: Floats, grade: Grades) -> float:
    """Return the mean squared distance of probabilities (n, k) from what each fruit is, summed over classes (Brier 1950): 0 to
    2."""
    is_it = grade[:, None] == np.arange(p.shape[1])
    return float(((p - is_it) ** 2).sum(axis=1).mean())


@dataclass(frozen=True, slots=True)
class Reliability:
    """Fruit in bins of the probability that one class was given: ``said`` their mean probability, ``seen`` the share of them
    that are of the class, ``n`` how many; bins without fruit are left out."""

    said: tuple[float, ...]
    seen: tuple[float, ...]
    n: tuple[int, ...]


def reliability(p: Floats, is_it: NDArray[np.bool_]) -> Reliability:
    """Return the calibration table of one class from its probabilities (n,) and which fruit are of it (n,)."""
    which = np.minimum((p * BINS).astype(np.int64), BINS - 1)
    n = np.bincount(which, minlength=BINS)
    used = n > 0
    said, seen = (np.bincount(which, weights, BINS)[used] / n[used] for weights in (p, is_it.astype(float)))
    return Reliability(tuple(said.tolist()), tuple(seen.tolist()), tuple(n[used].tolist()))
