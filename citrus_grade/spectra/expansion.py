"""Sums of Gaussians over the scores: what a Gaussian process or a support vector machine adds to a straight line.

``sum_i weight_i * exp(-gamma_i * |t - point_i|^2)``, many points at a time, summed in a fixed order.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.elementary import exponential
from citrus_grade.spectra.sums import STEP, add_rows, dot

Floats = NDArray[np.float64]


class Expansion(NamedTuple):
    """``column``: where the k scores begin among the found values; ``slope`` (k, N) 2 * gamma * point; ``start`` (N,)
    -gamma * |point|^2; ``gamma``, ``weight`` (N,); N is a multiple of `STEP`."""

    column: int
    slope: Floats
    start: Floats
    gamma: Floats
    weight: Floats


def expansion(column: int, points: Floats, gamma: Floats, weight: Floats) -> Expansion:
    """Lay points (N, k), gamma and weight (N,) out for the kernel."""
    n, k = points.shape
    padded = -n % STEP
    points = np.vstack([points, np.zeros((padded, k))])
    gamma, weight = np.r_[gamma, np.zeros(padded)], np.r_[weight, np.zeros(padded)]
    parts = (np.ascontiguousarray(2.0 * (gamma[:, None] * points).T), -gamma * (points**2).sum(1), gamma, weight)
    for part in parts:
        part.setflags(write=False)
    return Expansion(column, *parts)


@njit(cache=True, nogil=True)
def expand(made: Expansion, found: Floats, work: Floats) -> Any:
    """Sum of one fruit; ``found`` holds its scores from ``made.column`` on, ``work`` (N or more,) is written."""
    k, n = made.slope.shape
    if n == 0:
        return 0.0
    values, scores = work[:n], found[made.column : made.column + k]
    square = dot(scores, scores)
    for i in range(n):
        values[i] = made.start[i] - made.gamma[i] * square
    add_rows(scores, made.slope, values)
    for i in range(n):
        values[i] = exponential(values[i])
    return dot(made.weight, values)
