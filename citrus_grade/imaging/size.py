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

    The turns become those of the sphere on which the views are laid, see `onto_sphere`.

    An outline's minor axis is never shorter than the fruit's own; so is the ellipsoid's where the rollers' turn is not quite
    what was assumed. Both err upwards, the smaller is the better one.
    """
    flattest, second = np.inf, np.inf
    for k in range(n):
        minor = views[order[k]].minor_px
        flattest, second = min(flattest, minor), min(second, max(flattest, minor))
    axis, other = np.zeros(3), np.nan
    if n >= LEAST_VIEWS:
        other = ellipsoid_height(views, order, n, turns, axis)
    known = other > 0.5 * flattest
    if not known:
        other = second
    out.height_px = min(flattest, other, out.diameter_px)
    if known:
        onto_sphere(turns, n, axis, out.height_px / out.diameter_px)
    apart = _UNSURE * abs(flattest - other) if n > 1 else 0.0
    # A single outline tells of a height anywhere between its own minor and major axis.
    alone = 0.3 * (out.diameter_px - flattest) if n == 1 else 0.0
    own = _NO_ELLIPSOID * out.diameter_px
    out.height_sigma_px = np.sqrt(apart**2 + alone**2 + own**2 + out.diameter_sigma_px**2)


@njit(cache=True, nogil=True)
def ellipsoid_height(
    views: Any, order: NDArray[np.int64], n: int, turns: NDArray[np.float64], axis: NDArray[np.float64]
) -> float:
    """Return the shortest axis, in px, of the ellipsoid whose outlines fit the views best; NaN where they leave it open.

    Its direction is left in ``axis`` (3,).

    The outline of ``x' M^-1 x = 1`` turned by R is the upper left of ``R M R'``: linear in the six numbers of M, each view gives
    three equations. ``turns`` (n_views, 3, 3): fruit to view.
    """
    normal, outline = np.zeros((6, 7)), np.empty(3)
    for k in range(n):
        view = views[order[k]]
        c, s = np.cos(view.angle_rad), np.sin(view.angle_rad)
        aa, bb = 0.25 * view.major_px * view.major_px, 0.25 * view.minor_px * view.minor_px
        outline[0], outline[1], outline[2] = aa * c * c + bb * s * s, aa * s * s + bb * c * c, (aa - bb) * c * s
        _add_outline(outline, turns[k], normal)
    if not _eliminate(normal):
        return np.nan
    least, most, other = _eigenvalues(normal[:, 6])
    _eigenvector(normal[:, 6], most, other, axis)
    return 2.0 * np.sqrt(least) if least > 0 else np.nan


@njit(cache=True, nogil=True)
def ellipsoid_misfit(outline: NDArray[np.float64], turns: NDArray[np.float64]) -> float:
    """Return the sum of squares that the best ellipsoid leaves of outlines (n_views, 3), each a squared ellipse's xx, yy, xy."""
    normal, total = np.zeros((6, 7)), 0.0
    for k in range(len(outline)):
        _add_outline(outline[k], turns[k], normal)
        total += outline[k, 0] ** 2 + outline[k, 1] ** 2 + outline[k, 2] ** 2
    right = normal[:, 6].copy()
    if not _eliminate(normal):
        return np.inf
    for i in range(6):
        total -= right[i] * normal[i, 6]
    return total


@njit(cache=True, nogil=True)
def _add_outline(outline: NDArray[np.float64], turn: NDArray[np.float64], normal: NDArray[np.float64]) -> None:
    """Add a view's three equations to the normal ones (6, 7)."""
    row = np.empty(7)
    for which in range(3):
        p, q = turn[int(which == 1)], turn[int(which > 0)]
        row[0], row[1], row[2] = p[0] * q[0], p[1] * q[1], p[2] * q[2]
        row[3], row[4], row[5] = p[0] * q[1] + p[1] * q[0], p[0] * q[2] + p[2] * q[0], p[1] * q[2] + p[2] * q[1]
        row[6] = outline[which]
        for i in range(6):
            for j in range(i, 7):
                normal[i, j] += row[i] * row[j]


@njit(cache=True, nogil=True)
def _eliminate(a: NDArray[np.float64]) -> bool:
    """Solve a positive definite system (6, 7), of which the upper half is given, in place; say whether it has one solution."""
    for k in range(6):
        for i in range(k):
            a[k, i] = a[i, k]
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
def _eigenvalues(m: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the eigenvalues of a symmetric matrix (xx, yy, zz, xy, xz, yz), the least first (Smith, Comm. ACM 4, 168, 1961)."""
    xx, yy, zz, xy, xz, yz = m[0], m[1], m[2], m[3], m[4], m[5]
    mean = (xx + yy + zz) / 3.0
    off = xy * xy + xz * xz + yz * yz
    a, b, c = xx - mean, yy - mean, zz - mean
    p = np.sqrt((a * a + b * b + c * c + 2.0 * off) / 6.0)
    if p == 0.0:
        return mean, mean, mean
    half_det = (a * (b * c - yz * yz) - xy * (xy * c - yz * xz) + xz * (xy * yz - b * xz)) / (2.0 * p * p * p)
    turn = np.arccos(min(max(half_det, -1.0), 1.0)) / 3.0
    least, most = mean + 2.0 * p * np.cos(turn + 2.0 * np.pi / 3.0), mean + 2.0 * p * np.cos(turn)
    return least, most, 3.0 * mean - least - most


@njit(cache=True, nogil=True)
def _eigenvector(m: NDArray[np.float64], other: float, another: float, out: NDArray[np.float64]) -> None:
    """Fill the eigenvector that belongs to neither ``other`` nor ``another``: the longest column of (M - other) (M - another)."""
    xx, yy, zz, xy, xz, yz = m[0], m[1], m[2], m[3], m[4], m[5]
    a = np.array([[xx - other, xy, xz], [xy, yy - other, yz], [xz, yz, zz - other]])
    b = np.array([[xx - another, xy, xz], [xy, yy - another, yz], [xz, yz, zz - another]])
    longest = 0.0
    for j in range(3):
        c0 = a[0, 0] * b[0, j] + a[0, 1] * b[1, j] + a[0, 2] * b[2, j]
        c1 = a[1, 0] * b[0, j] + a[1, 1] * b[1, j] + a[1, 2] * b[2, j]
        c2 = a[2, 0] * b[0, j] + a[2, 1] * b[1, j] + a[2, 2] * b[2, j]
        length = np.sqrt(c0 * c0 + c1 * c1 + c2 * c2)
        if length > longest:
            longest = length
            out[0], out[1], out[2] = c0 / length, c1 / length, c2 / length


@njit(cache=True, nogil=True)
def onto_sphere(turns: NDArray[np.float64], n: int, axis: NDArray[np.float64], flat: float) -> None:
    """Make turns of a spheroid those of the sphere that its views are laid on.

    A view of ``S q`` (S = 1 + (flat - 1) axis axis', q on the unit sphere) turned by R shows the upper rows B of ``R S``; laid on
    the disc, it shows ``(B B')^(-1/2) B``, whose rows are orthonormal: a parallel view of the sphere, in another rotation than R.
    """
    for k in range(n):
        t = turns[k]
        dot0 = (flat - 1.0) * (t[0, 0] * axis[0] + t[0, 1] * axis[1] + t[0, 2] * axis[2])
        dot1 = (flat - 1.0) * (t[1, 0] * axis[0] + t[1, 1] * axis[1] + t[1, 2] * axis[2])
        xx = yy = xy = 0.0
        for c in range(3):
            t[0, c] += dot0 * axis[c]
            t[1, c] += dot1 * axis[c]
            xx, yy, xy = xx + t[0, c] * t[0, c], yy + t[1, c] * t[1, c], xy + t[0, c] * t[1, c]
        # The inverse of the root of a symmetric 2 x 2 matrix, from its trace and determinant.
        det = np.sqrt(xx * yy - xy * xy)
        scale = 1.0 / (det * np.sqrt(xx + yy + 2.0 * det))
        for c in range(3):
            x, y = t[0, c], t[1, c]
            t[0, c], t[1, c] = scale * ((yy + det) * x - xy * y), scale * ((xx + det) * y - xy * x)
        t[2, 0] = t[0, 1] * t[1, 2] - t[0, 2] * t[1, 1]
        t[2, 1] = t[0, 2] * t[1, 0] - t[0, 0] * t[1, 2]
        t[2, 2] = t[0, 0] * t[1, 1] - t[0, 1] * t[1, 0]
