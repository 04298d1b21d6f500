"""Trees laid out for the compiled walk: in blocks of like depth, small, and each proved to end."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.grading.walk import BLOCK, NODE, Floats, Trees

FARTHEST: Final = np.iinfo(NODE["step"]).max


def laid_out(arrays: Mapping[str, NDArray[Any]], n_features: int, *, single: bool) -> Trees:
    """Sort trees by depth, fill the last block with trees of one leaf that adds nothing, and make their nodes small.

    Parameters
    ----------
    arrays : ``threshold``, ``child``, ``feature`` (n_nodes,), ``value`` (n_nodes, width), ``root``, ``output`` (n_trees,): a
        node's left child, its right one behind it, a leaf its own child; features count twice as in `walk.NODE`.
    single : whether features are compared as float32.

    Raises
    ------
    ValueError : a node that leads out of the arrays or in a circle, looks at a feature that is not there, or a tree so large
        that its nodes lie too far apart.
    """
    child, feature, root = arrays["child"], arrays["feature"], arrays["root"]
    depth = _depths(child, root)
    if len(feature) and not (feature.min() >= 0 and feature.max() < 2 * n_features):
        raise ValueError(f"a tree looks at feature {feature.max()} of {n_features}")
    n, order, spare = len(child), np.argsort(depth, kind="stable"), -len(root) % BLOCK
    blocks = np.concatenate([depth[order], np.zeros(spare, np.int64)]).reshape(-1, BLOCK)
    output = np.concatenate([arrays["output"][order], np.zeros(spare, np.int64)])
    cut, first_cut = _cuts(arrays["threshold"], feature, child, n_features, single=single)
    value, row = np.unique(np.vstack([arrays["value"], np.zeros((1, arrays["value"].shape[1]))]), axis=0, return_inverse=True)
    node = np.empty(n + 1, NODE)
    step = np.append(child - np.arange(n), 0)
    if step.max() > FARTHEST or 2 * n_features > FARTHEST or len(value) >= 1 << 24:
        raise ValueError(f"a tree has more than {FARTHEST} nodes; let it grow larger leaves")
    leaf = step == 0
    node["step"], node["feature"] = step, np.where(leaf, 2 * n_features, np.append(feature, 0))
    coded = _coded(arrays["threshold"], feature % max(n_features, 1), cut, first_cut, single=single)
    node["threshold"] = np.where(leaf, row.ravel(), np.append(coded, 0))
    return Trees(
        node=node,
        value=value,
        root=np.concatenate([root[order], np.full(spare, n)]).astype(np.uint32),
        output=output.astype(np.uint32),
        depth=blocks.max(axis=1, initial=0),
        cut=cut,
        first_cut=first_cut,
    )


def _cuts(
    threshold: Floats, feature: NDArray[np.int32], child: NDArray[np.int32], n_features: int, *, single: bool
) -> tuple[Floats, NDArray[np.int64]]:
    """Return each feature's different thresholds, rising: a float64 compares with one as its rank among them does."""
    if single or not len(threshold):
        return np.empty(0), np.zeros(n_features + 1, np.int64)
    inner = child != np.arange(len(child))
    cuts = [np.unique(threshold[inner & (feature % n_features == k)]) for k in range(n_features)]
    return np.concatenate(cuts), np.cumsum([0, *map(len, cuts)])


def _coded(
    threshold: Floats, feature: NDArray[np.int32], cut: Floats, first_cut: NDArray[np.int64], *, single: bool
) -> NDArray[np.float32]:
    """Return thresholds as float32: a float32 is at most a number exactly if it is at most the float32 next below it."""
    if not single:
        rank = np.zeros(len(threshold), np.int64)
        for k in range(len(first_cut) - 1):
            own = feature == k
            rank[own] = np.searchsorted(cut[first_cut[k] : first_cut[k + 1]], threshold[own])
        return rank.astype(np.float32)
    near = threshold.astype(np.float32)
    return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _depths(child: NDArray[np.int32], root: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many steps lead to each tree's farthest leaf, level by level through all trees at once."""
    n = len(child)
    if len(root) and not (root.min() >= 0 and root.max() < n):
        raise ValueError("a tree begins outside the arrays")
    if (child < np.arange(n)).any():
        raise ValueError("a tree leads backwards, in a circle")
    depth = np.zeros(len(root), np.int64)
    tree, at, seen = np.arange(len(root)), root, len(root)
    while True:
        inner = child[at] != at
        tree, at = np.repeat(tree[inner], 2), np.repeat(child[at[inner]].astype(np.int64), 2)
        if not len(at):
            return depth
        at[1::2] += 1
        seen += len(at)
        if at.max() >= n or seen > n:
            raise ValueError("a tree leads outside the arrays, or two ways lead to one node")
        depth[np.unique(tree)] += 1
