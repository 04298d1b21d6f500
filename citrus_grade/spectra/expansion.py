"""Sums of Gaussians over the scores: what a Gaussian process or a support vector machine adds to a straight line.

``sum_i weight_i * exp(-gamma_i * |t - point_i|^2)``, as eight partial sums in a fixed order.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.elementary import exponentials

Floats = NDArray[np.float64]

LANES: Final = 8
"""Partial sums, and what the number of points is rounded up to."""


class Expansion(NamedTuple):
    """``column``: where the k scores begin among the found values; ``slope`` (k, N) 2 * gamma * point; ``start`` (N,)
    -gamma * |point|^2; ``gamma``, ``weight`` (N,); N is a multiple of `LANES`."""

    column: int
    slope: Floats
    start: Floats
    gamma: Floats
    weight: Floats


def expansion(column: int, points: Floats, gamma: Floats, weight: Floats) -> Expansion:
    """Lay points (N, k), gamma and weight (N,) out for the kernel."""
    n, k = points.shape
    padded = -n % LANES
    points = np.vstack([points, np.zeros((padded, k))])
    gamma, weight = np.r_[gamma, np.zeros(padded)], np.r_[weight, np.zeros(padded)]
    parts = (np.ascontiguousarray(2.0 * (gamma[:, None] * points).T), -gamma * (points**2).sum(1), gamma, weight)
    for part in parts:
        part.setflags(write=False)
    return Expansion(column, *parts)


@njit(cache=True, nogil=True)
def expand(made: Expansion, found: Floats, work: Floats) -> float:
    """Sum of one fruit; ``found`` holds its scores from ``made.column`` on, ``work`` (2, N or more) is written."""
    k, n = made.slope.shape
    if n == 0:
        return 0.0
    values, scale = work[0, :n], work[1, :n]
    values[:] = made.start
    square = 0.0
    for s in range(k):
        score = found[made.column + s]
        square += score * score
        for i in range(n):
            values[i] += score * made.slope[s, i]
    for i in range(n):
        values[i] -= made.gamma[i] * square
    exponentials(values, scale)
    sums: Any = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    a, b, c, d, e, f, g, h = sums
    for i in range(0, n, LANES):
        a += made.weight[i] * values[i]
        b += made.weight[i + 1] * values[i + 1]
        c += made.weight[i + 2] * values[i + 2]
        d += made.weight[i + 3] * values[i + 3]
        e += made.weight[i + 4] * values[i + 4]
        f += made.weight[i + 5] * values[i + 5]
        g += made.weight[i + 6] * values[i + 6]
        h += made.weight[i + 7] * values[i + 7]
    total: float = ((a + b) + (c + d)) + ((e + f) + (g + h))
    return total
