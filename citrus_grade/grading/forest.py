"""Trees laid out for the compiled walk: in blocks of like depth, each proved to end."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.grading.walk import BLOCK, NODE, Floats


class Trees(NamedTuple):
    """The tree arrays of `walk.Walk`."""

    node: NDArray[Any]
    value: Floats
    root: NDArray[np.uint32]
    output: NDArray[np.uint32]
    depth: NDArray[np.int64]


def laid_out(
    threshold: Floats,
    child: NDArray[np.int32],
    feature: NDArray[np.int32],
    value: Floats,
    root: NDArray[np.int64],
    output: NDArray[np.int64],
    n_features: int,
) -> Trees:
    """Sort trees by depth and fill the last block with trees of one leaf that adds nothing.

    Raises
    ------
    ValueError : a node that leads out of the arrays or in a circle, or looks at a feature that is not there.
    """
    depth = _depths(child, root)
    if len(feature) and not (feature.min() >= 0 and feature.max() < 2 * n_features):
        raise ValueError(f"a tree looks at feature {feature.max()} of {n_features}")
    leaf = child == np.arange(len(child))
    if (feature[leaf] >= n_features).any() or (threshold[leaf] != np.inf).any():
        raise ValueError("a leaf is left again")
    if not len(root):
        return Trees(np.empty(0, NODE), value, root.astype(np.uint32), output.astype(np.uint32), np.empty(0, np.int64))
    node = np.empty(len(child) + 1, NODE)
    node["threshold"], node["child"], node["feature"] = [*threshold, np.inf], [*child, len(child)], [*feature, 0]
    order = np.argsort(depth, kind="stable")
    spare = -len(root) % BLOCK
    blocks = np.concatenate([depth[order], np.zeros(spare, np.int64)]).reshape(-1, BLOCK)
    return Trees(
        node=node,
        value=np.vstack([value, np.zeros((1, value.shape[1]))]),
        root=np.concatenate([root[order], np.full(spare, len(child))]).astype(np.uint32),
        output=np.concatenate([output[order], np.zeros(spare, np.int64)]).astype(np.uint32),
        depth=blocks.max(axis=1),
    )


def _depths(child: NDArray[np.int32], root: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many steps lead to each tree's farthest leaf, level by level through all trees at once."""
    n = len(child)
    if len(root) and not (root.min() >= 0 and root.max() < n):
        raise ValueError("a tree begins outside the arrays")
    depth = np.zeros(len(root), np.int64)
    tree, at, seen = np.arange(len(root)), root, len(root)
    while True:
        inner = child[at] != at
        tree, at = np.repeat(tree[inner], 2), np.repeat(child[at[inner]].astype(np.int64), 2)
        if not len(at):
            return depth
        at[1::2] += 1
        seen += len(at)
        if at.min() < 0 or at.max() >= n or seen > n:
            raise ValueError("a tree leads outside the arrays or in a circle")
        depth[np.unique(tree)] += 1
