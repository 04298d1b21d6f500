"""A fitted classifier as one compiled function: features of a fruit in, calibrated probabilities of its classes out.

A network's layers are summed in a fixed order and trees are walked without a branch, so a fruit alone and in a batch give the
same bits.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NODE: Final = np.dtype([("threshold", "<f4"), ("feature", "<u2"), ("step", "<u2")])
"""A node of a tree, eight bytes so that a forest stays in the processor's cache.

The walk goes ``step`` nodes on, and one more if the feature is not at most ``threshold``. Features count twice, see `_coded`:
0..f-1 take an unmeasured value left, f..2f-1 right; feature 2f is below everything and keeps the walk at a leaf, whose
``threshold`` is the row of its value.
"""
BLOCK: Final = 8
"""Trees walked side by side: the next step of one does not wait for that of another."""
IDENTITY, RELU, TANH, LOGISTIC = range(4)
SHARES, SIGMOID, SOFTMAX = range(3)
RAW, TEMPERATURE, PLATT, ISOTONIC = range(4)
LEAST: Final = 1e-4
"""No probability counts as less when its odds are taken."""


class Trees(NamedTuple):
    """``node`` of `NODE`, ``value`` (n_rows, width), ``root`` and ``output`` (n_trees,), a multiple of `BLOCK` of them, ``depth``
    (n_blocks,); ``cut``, feature ``k``'s from ``first_cut[k]`` on, is what its thresholds count, none where they are numbers
    themselves."""

    node: NDArray[Any]
    value: Floats
    root: NDArray[np.uint32]
    output: NDArray[np.uint32]
    depth: NDArray[np.int64]
    cut: Floats
    first_cut: NDArray[np.int64]


class Walk(NamedTuple):
    """The arrays of `classifier.GradeModel` as the loop wants them.

    ``column`` (f,) where the model's features stand in the vector given; ``fill`` (f,) what stands for an unmeasured one, NaN
    where the trees decide. Layers: ``size`` (n_layers + 1,), ``weight`` and
    ``bias`` one layer after the other, ``activation`` between them. ``base`` (n_raw,) is the start of the sum and ``link`` what
    makes shares of it. ``calibration`` has ``knot_x`` and ``knot_y``, class ``k``'s from ``first[k]`` on.
    """

    n_classes: int
    column: NDArray[np.int64]
    fill: Floats
    size: NDArray[np.int64]
    weight: Floats
    bias: Floats
    activation: int
    trees: Trees
    base: Floats
    link: int
    calibration: int
    knot_x: Floats
    knot_y: Floats
    first: NDArray[np.int64]


class Room(NamedTuple):
    """What the loop works in: ``coded`` (2 f + 1,), ``layer`` (2, widest), ``at`` (BLOCK,), ``raw`` (n_raw,), ``share``
    (n_classes,)."""

    coded: NDArray[np.float32]
    layer: Floats
    at: NDArray[np.uint32]
    raw: Floats
    share: Floats


@njit(cache=True, nogil=True)
def room(w: Walk) -> Room:
    """Return what `classify` works in; it takes any number of fruit, one after the other."""
    widest = len(w.column)
    for k in range(len(w.size)):
        widest = max(widest, w.size[k])
    f = len(w.column)
    coded, layer, at = np.empty(2 * f + 1, np.float32), np.empty((2, widest)), np.empty(BLOCK, np.uint32)
    return Room(coded, layer, at, np.empty(len(w.base)), np.empty(w.n_classes))


@njit(cache=True, nogil=True)
def classify(x: Floats, w: Walk, r: Room, out: Floats) -> int:
    """Fill the probabilities (n_classes,) of one fruit; return its likeliest class, the first of equals."""
    for k in range(len(w.column)):
        value = x[w.column[k]]
        r.layer[0, k] = value if value == value else w.fill[k]
    for k in range(len(w.base)):
        r.raw[k] = w.base[k]
    if len(w.size) > 1:
        _layers(w, r)
    if len(w.trees.depth):
        _coded(w, r)
        _walk(w.trees, r)
    _shares(w, r.raw, out)
    calibrate(w.calibration, w.knot_x, w.knot_y, w.first, r.share, out)
    best = 0
    for k in range(1, w.n_classes):
        if out[k] > out[best]:
            best = k
    return best


@njit(cache=True, nogil=True)
def classify_all(x: Floats, w: Walk, out: Floats) -> None:
    """Fill the probabilities (n, n_classes) of fruit (n, n_features)."""
    r = room(w)
    for i in range(len(x)):
        classify(x[i], w, r, out[i])


@njit(cache=True, nogil=True)
def _coded(w: Walk, r: Room) -> None:
    """Fill the features as trees compare them, twice: an unmeasured one is below every threshold in the first half and, being
    NaN, above all in the second."""
    f, cut, first = len(w.column), w.trees.cut, w.trees.first_cut
    for k in range(f):
        value = r.layer[0, k]
        if first[k + 1] > first[k] and value == value:
            value = float(below(value, cut, first[k], first[k + 1]))
        r.coded[k] = value if value == value else -np.inf
        r.coded[f + k] = value
    r.coded[2 * f] = -np.inf


@njit(cache=True, nogil=True)
def below(value: float, cut: Floats, start: int, stop: int) -> int:
    """Return how many of the rising cuts ``start:stop`` lie below a value; as many steps whatever the value."""
    at, n = start, stop - start
    while n > 1:
        half = n >> 1
        at += half * (cut[at + half - 1] < value)
        n -= half
    return int(at - start + (cut[at] < value))


@njit(cache=True, nogil=True)
def _layers(w: Walk, r: Room) -> None:
    """Add what the network answers to the sum."""
    at, at_bias = 0, 0
    for layer in range(len(w.size) - 1):
        n_in, n_out = w.size[layer], w.size[layer + 1]
        given, made = r.layer[layer % 2], r.layer[(layer + 1) % 2]
        for j in range(n_out):
            made[j] = w.bias[at_bias + j]
        for i in range(n_in):
            for j in range(n_out):
                made[j] += given[i] * w.weight[at + i * n_out + j]
        at += n_in * n_out
        at_bias += n_out
        if layer < len(w.size) - 2:
            for j in range(n_out):
                made[j] = _activated(made[j], w.activation)
        else:
            for j in range(n_out):
                r.raw[j] += made[j]


@njit(cache=True, nogil=True)
def _activated(value: float, activation: int) -> float:
    if activation == RELU:
        return max(value, 0.0)
    if activation == TANH:
        return np.tanh(value)  # type: ignore[no-any-return]  # numba makes it a plain number
    return _sigmoid(value) if activation == LOGISTIC else value


@njit(cache=True, nogil=True)
def _sigmoid(value: float) -> float:
    if value >= 0:
        return 1.0 / (1.0 + np.exp(-value))  # type: ignore[no-any-return]  # as above
    grown = np.exp(value)
    return grown / (1.0 + grown)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _walk(w: Trees, r: Room) -> None:
    """Add the leaves of all trees to the sum, trees of like depth side by side, in one order whatever the fruit."""
    at, coded = r.at, r.coded
    for block in range(len(w.depth)):
        for t in range(BLOCK):
            at[t] = w.root[block * BLOCK + t]
        for _ in range(w.depth[block]):
            for t in range(BLOCK):
                node = w.node[at[t]]
                at[t] = at[t] + node.step + np.uint32(not coded[node.feature] <= node.threshold)
        for t in range(BLOCK):
            row = np.uint32(w.node[at[t]].threshold)
            for c in range(w.value.shape[1]):
                r.raw[w.output[block * BLOCK + t] + c] += w.value[row, c]


@njit(cache=True, nogil=True)
def _shares(w: Walk, raw: Floats, out: Floats) -> None:
    if w.link == SIGMOID:
        out[1] = _sigmoid(raw[0])
        out[0] = 1.0 - out[1]
        return
    for k in range(w.n_classes):
        out[k] = raw[k]
    if w.link == SOFTMAX:
        _softmax(out)


@njit(cache=True, nogil=True)
def _softmax(out: Floats) -> None:
    top, total = out[0], 0.0
    for k in range(1, len(out)):
        top = max(top, out[k])
    for k in range(len(out)):
        out[k] = np.exp(out[k] - top)
        total += out[k]
    for k in range(len(out)):
        out[k] /= total


@njit(cache=True, nogil=True)
def calibrate(kind: int, knot_x: Floats, knot_y: Floats, first: NDArray[np.int64], share: Floats, out: Floats) -> None:
    """Put what was learnt from fruit the model had not seen in place of its own probabilities (n_classes,).

    `TEMPERATURE`: their logarithms times ``knot_x[0]``. `PLATT`: each class's log odds times ``knot_x[k]`` plus ``knot_y[k]``
    (Platt 1999). `ISOTONIC`: each class's line through its knots. The last two are divided by their sum. ``share`` is room.
    """
    n = len(out)
    if kind == RAW:
        return
    if kind == TEMPERATURE:
        for k in range(n):
            out[k] = np.log(max(out[k], LEAST)) * knot_x[0]
        _softmax(out)
        return
    total = 0.0
    for k in range(n):
        if kind == PLATT:
            p = min(max(out[k], LEAST), 1 - LEAST)
            share[k] = _sigmoid(knot_x[k] * np.log(p / (1 - p)) + knot_y[k])
        else:
            share[k] = _between(out[k], knot_x, knot_y, first[k], first[k + 1])
        total += share[k]
    for k in range(n):
        out[k] = share[k] / total if total > 0 else 1.0 / n


@njit(cache=True, nogil=True)
def calibrate_all(kind: int, knot_x: Floats, knot_y: Floats, first: NDArray[np.int64], out: Floats) -> None:
    """Calibrate the probabilities (n, n_classes) of many fruit in place."""
    share = np.empty(out.shape[1])
    for i in range(len(out)):
        calibrate(kind, knot_x, knot_y, first, share, out[i])


@njit(cache=True, nogil=True)
def _between(p: float, x: Floats, y: Floats, start: int, stop: int) -> float:
    """Return ``y`` at ``p`` on the line through the knots ``start:stop``, level beyond them."""
    if p <= x[start]:
        return y[start]  # type: ignore[no-any-return]  # as above
    for k in range(start + 1, stop):
        if p <= x[k]:
            return y[k - 1] + (y[k] - y[k - 1]) * (p - x[k - 1]) / (x[k] - x[k - 1])  # type: ignore[no-any-return]
    return y[stop - 1]  # type: ignore[no-any-return]
