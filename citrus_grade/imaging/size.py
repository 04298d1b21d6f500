"""How large a fruit is: its equatorial diameter and its height from the outlines of all its views."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

LEAST_VIEWS = 4
"""Fewer views than these leave an ellipsoid's six numbers open; the flattest view alone tells the height then."""
_NO_ELLIPSOID = 0.006
"""Standard deviation of the height's error in diameters where both heights agree (SIMULATED fruit, 8 views)."""
_UNSURE = 0.5
"""Share of the difference between the two heights that is taken for the error of the smaller."""


@njit(cache=True, nogil=True)
def sort(values: NDArray[np.float64], n: int) -> None:
    """Sort the first ``n`` values in place."""
    for i in range(1, n):
        v, j = values[i], i
        while j > 0 and values[j - 1] > v:
            values[j] = values[j - 1]
            j -= 1
        values[j] = v


@njit(cache=True, nogil=True)
def middle(values: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Sort the first ``n`` values; return their median and the standard error of it from their spread (MAD)."""
    sort(values, n)
    median = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    for i in range(n):
        values[i] = abs(values[i] - median)
    sort(values, n)
    mad = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    return median, 1.2533 * 1.4826 * mad / np.sqrt(n)


@njit(cache=True, nogil=True)
def fill_diameter(views: Any, order: NDArray[np.int64], n: int, work: NDArray[np.float64], out: Any) -> None:
    """Fill the equatorial diameter: the median major axis, which an oblate fruit shows from every side."""
    for k in range(n):
        work[k] = views[order[k]].major_px
    out.diameter_px, out.diameter_sigma_px = middle(work, n)


@njit(cache=True, nogil=True)
def fill_height(views: Any, order: NDArray[np.int64], n: int, turns: NDArray[np.float64], out: Any) -> None:
    """Fill the height: the shortest axis of the ellipsoid that throws the views' outlines, at most the flattest outline's.

    An outline's minor axis is never shorter than the fruit's own; so is the ellipsoid's where the rollers' turn is not quite
    what was assumed. Both err upwards, the smaller is the better one.
    """
    flattest, second = np.inf, np.inf
    for k in range(n):
        minor = views[order[k]].minor_px
        flattest, second = min(flattest, minor), min(second, max(flattest, minor))
    other = ellipsoid_height(views, order, n, turns) if n >= LEAST_VIEWS else second
    if not other > 0.5 * flattest:
        other = second
    out.height_px = min(flattest, other, out.diameter_px)
    apart = _UNSURE * abs(flattest - other) if n > 1 else 0.0
    # A single outline tells of a height anywhere between its own minor and major axis.
    alone = 0.3 * (out.diameter_px - flattest) if n == 1 else 0.0
    own = _NO_ELLIPSOID * out.diameter_px
    out.height_sigma_px = np.sqrt(apart**2 + alone**2 + own**2 + out.diameter_sigma_px**2)


@njit(cache=True, nogil=True)
def ellipsoid_height(views: Any, order: NDArray[np.int64], n: int, turns: NDArray[np.float64]) -> float:
    """Return the shortest axis, in px, of the ellipsoid whose outlines fit the views best; NaN where they leave it open.

    The outline of ``x' M^-1 x = 1`` turned by R is the upper left of ``R M R'``: linear in the six numbers of M, each view gives
    three equations. ``turns`` (n_views, 3, 3): fruit to view.
    """
    normal = np.zeros((6, 7))
    row = np.empty(7)
    for k in range(n):
        view, turn = views[order[k]], turns[k]
        c, s = np.cos(view.angle_rad), np.sin(view.angle_rad)
        aa, bb = 0.25 * view.major_px * view.major_px, 0.25 * view.minor_px * view.minor_px
        for which in range(3):
            p, q = turn[int(which == 1)], turn[int(which > 0)]
            row[6] = (aa * c * c + bb * s * s, aa * s * s + bb * c * c, (aa - bb) * c * s)[which]
            row[0], row[1], row[2] = p[0] * q[0], p[1] * q[1], p[2] * q[2]
            row[3], row[4], row[5] = p[0] * q[1] + p[1] * q[0], p[0] * q[2] + p[2] * q[0], p[1] * q[2] + p[2] * q[1]
            for i in range(6):
                for j in range(7):
                    normal[i, j] += row[i] * row[j]
    if not _eliminate(normal):
        return np.nan
    m = normal[:, 6]
    least = _least_eigenvalue(m[0], m[1], m[2], m[3], m[4], m[5])
    return 2.0 * np.sqrt(least) if least > 0 else np.nan


@njit(cache=True, nogil=True)
def _eliminate(a: NDArray[np.float64]) -> bool:
    """Solve a positive definite system (6, 7) in place, in a fixed order; say whether it has one solution."""
    for k in range(6):
        if not a[k, k] > 1e-3:
            return False
        for j in range(6, k - 1, -1):
            a[k, j] /= a[k, k]
        for i in range(6):
            if i != k:
                factor = a[i, k]
                for j in range(k, 7):
                    a[i, j] -= factor * a[k, j]
    return True


@njit(cache=True, nogil=True)
def _least_eigenvalue(xx: float, yy: float, zz: float, xy: float, xz: float, yz: float) -> float:
    """Return the least eigenvalue of a symmetric matrix (Smith, Comm. ACM 4, 168, 1961)."""
    mean = (xx + yy + zz) / 3.0
    off = xy * xy + xz * xz + yz * yz
    a, b, c = xx - mean, yy - mean, zz - mean
    p = np.sqrt((a * a + b * b + c * c + 2.0 * off) / 6.0)
    if p == 0.0:
        return mean
    half_det = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / (2.0 * p * p * p)
    turn = np.arccos(min(max(half_det, -1.0), 1.0)) / 3.0
    return float(mean + 2.0 * p * np.cos(turn + 2.0 * np.pi / 3.0))
