"""Boosted trees of several kinds at once: each tree asks what is left to explain, each leaf shifts the odds of all kinds."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeRegressor

Floats = NDArray[np.float64]
LEAST = 1.0
"""Added to what a leaf's step is divided by: a leaf of few samples steps less far."""
FURTHEST = 1.0
"""A leaf shifts no logarithm of odds further than this."""


@dataclass(frozen=True, slots=True)
class Growth:
    """How trees are grown: how many and how deep, how far each goes, samples a leaf has at least, and the shares of what can be
    asked at a node and of the samples that a tree sees."""

    trees: int
    depth: int
    rate: float
    least_leaf: int
    asked: float
    seen: float = 0.5


@dataclass(slots=True)
class Boosted:
    """Trees with the shift (n_nodes, n_kinds) that each of their leaves gives; ``start`` (n_kinds,) is where all begin."""

    start: Floats
    trees: list[tuple[DecisionTreeRegressor, Floats]] = field(default_factory=list)

    def chances(self, features: NDArray[np.float32]) -> Floats:
        """Return the chances of all kinds, (n, n_kinds)."""
        odds = np.tile(self.start, (len(features), 1))
        for tree, shift in self.trees:
            odds += shift[tree.apply(features)]
        return _softmax(odds)


def boost(
    features: NDArray[np.float32], kinds: NDArray[Any], weights: Floats, how: Growth, n_kinds: int, seed: int = 0
) -> Boosted:
    """Grow boosted trees that lower the cross entropy of kinds, (n,) whole numbers, by Newton's steps."""
    rng, true = np.random.default_rng(seed), np.eye(n_kinds)[kinds]
    start = np.log(np.maximum(weights @ true, 1e-9) / weights.sum())
    found, odds = Boosted(start), np.tile(start, (len(kinds), 1))
    for _ in range(how.trees):
        chance = _softmax(odds)
        left = true - chance
        seen = rng.random(len(kinds)) < how.seen
        tree = DecisionTreeRegressor(
            max_depth=how.depth, min_samples_leaf=how.least_leaf, max_features=how.asked, random_state=int(rng.integers(1 << 30))
        )
        tree.fit(features[seen], left[seen], sample_weight=weights[seen])
        leaf, n = tree.apply(features), tree.tree_.node_count
        shift = np.zeros((n, n_kinds))
        for k in range(n_kinds):
            slope = np.bincount(leaf, weights * left[:, k], n)
            bend = np.bincount(leaf, weights * chance[:, k] * (1 - chance[:, k]), n)
            shift[:, k] = np.clip(how.rate * slope / (bend + LEAST), -FURTHEST, FURTHEST)
        odds += shift[leaf]
        found.trees.append((tree, shift))
    return found


def _softmax(odds: Floats) -> Floats:
    chance = np.exp(odds - odds.max(axis=1, keepdims=True))
    return np.asarray(chance / chance.sum(axis=1, keepdims=True))
