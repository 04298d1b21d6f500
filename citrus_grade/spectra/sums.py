"""Long sums in a fixed order, as eight partial sums side by side: one sum alone waits for every addition."""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PARTS: Final = 8
STEP: Final = 16
"""As many numbers as a loop takes at a time, for what can be rounded up to it: the last few are taken one by one."""


@njit(cache=True, nogil=True)
def total(values: Floats) -> Any:
    """Return the sum of the values."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = len(values) // PARTS * PARTS
    for i in range(0, whole, PARTS):
        a += values[i]
        b += values[i + 1]
        c += values[i + 2]
        d += values[i + 3]
        e += values[i + 4]
        f += values[i + 5]
        g += values[i + 6]
        h += values[i + 7]
    rest = 0.0
    for i in range(whole, len(values)):
        rest += values[i]
    return (((a + b) + (c + d)) + ((e + f) + (g + h))) + rest


@njit(cache=True, nogil=True)
def dot(left: Floats, right: Floats) -> Any:
    """Return the sum of the products."""
    a, b, c, d, e, f, g, h = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    whole = len(left) // PARTS * PARTS
    for i in range(0, whole, PARTS):
        a += left[i] * right[i]
        b += left[i + 1] * right[i + 1]
        c += left[i + 2] * right[i + 2]
        d += left[i + 3] * right[i + 3]
        e += left[i + 4] * right[i + 4]
        f += left[i + 5] * right[i + 5]
        g += left[i + 6] * right[i + 6]
        h += left[i + 7] * right[i + 7]
    rest = 0.0
    for i in range(whole, len(left)):
        rest += left[i] * right[i]
    return (((a + b) + (c + d)) + ((e + f) + (g + h))) + rest


@njit(cache=True, nogil=True)
def add_rows(shares: Floats, rows: Floats, out: Floats) -> None:
    """``out += shares @ rows``, four rows a step: each output's sum stays in order, the memory is walked once."""
    whole = len(rows) // 4 * 4
    for k in range(0, whole, 4):
        a, b, c, d = shares[k], shares[k + 1], shares[k + 2], shares[k + 3]
        for j in range(len(out)):
            out[j] += (a * rows[k, j] + b * rows[k + 1, j]) + (c * rows[k + 2, j] + d * rows[k + 3, j])
    for k in range(whole, len(rows)):
        for j in range(len(out)):
            out[j] += shares[k] * rows[k, j]
