"""The forests that say what a spot may be, and what a mark: trees baked to arrays, two forests in each."""

from functools import lru_cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

COARSE_QUADS = 36.0
"""Radius, in quads, below which a fruit is seen coarsely: a stylar scar or a dark spot is a few quads then, and has no ring."""


class Forest(NamedTuple):
    """Trees, end to end, asked all at once: of each node the ``feature`` asked, its ``threshold``, and where to go if the feature
    is at most that (``low``; if not, to the node after it); a leaf leads to itself. Of each leaf, ``odds`` (n_nodes, 3): how far
    it shifts the logarithms of the odds of stem, stylar end and blemish against sound skin. ``root`` (2, n_trees) and ``start``
    (2, 3), the odds before any tree is asked: of the first forest and of the second. ``depth``
    (1,): of the deepest tree."""

    root: NDArray[np.uint32]
    start: NDArray[np.float32]
    feature: NDArray[np.uint8]
    threshold: NDArray[np.float32]
    low: NDArray[np.uint32]
    odds: NDArray[np.float32]
    depth: NDArray[np.int64]


@lru_cache(maxsize=2)
def forest(of: str = "spots") -> Forest:
    """Return the forests that ship with the program: of ``spots`` on fruit seen coarsely and finely (benchmarks/learn_spots.py
    has grown them), or of ``marks`` and of pairs of them (benchmarks/learn_marks.py)."""
    with (files("citrus_grade.imaging") / f"{of}.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return Forest(**{name: stored[name] for name in Forest._fields})


@njit(cache=True, nogil=True)
def ask(trees: Forest, which: int, feature: NDArray[np.float32], node: NDArray[np.uint32], out: NDArray[np.float32]) -> None:
    """Fill the chances of stem, stylar end and blemish by the first (0) or second (1) forest; trees are walked side by side."""
    root = trees.root[which]
    for tree in range(len(node)):
        node[tree] = root[tree]
    for _ in range(trees.depth[0]):
        for tree in range(len(node)):
            at = node[tree]
            node[tree] = trees.low[at] + np.uint32(feature[trees.feature[at]] > trees.threshold[at])
    stem, stylar, blemish = trees.start[which, 0], trees.start[which, 1], trees.start[which, 2]
    for tree in range(len(node)):
        at = node[tree]
        stem += trees.odds[at, 0]
        stylar += trees.odds[at, 1]
        blemish += trees.odds[at, 2]
    out[0], out[1], out[2] = np.exp(stem), np.exp(stylar), np.exp(blemish)
    total = np.float32(1) + out[0] + out[1] + out[2]
    for c in range(3):
        out[c] /= total
