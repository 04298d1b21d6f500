"""Where a fruit's outline runs: its mask's moments, edges along rays, and an ellipse fitted to them robustly."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.fit import N_RAYS, OUTLINE, OUTLINE_INVERSE, RAY_COS, RAY_SIN

_REFINE_ROUNDS = 5


@njit(cache=True, nogil=True)
def moments(plane: NDArray[np.int16], threshold: int) -> tuple[int, float, float]:
    """Return the area above the threshold in quads and its centroid, from every second quad both ways."""
    n, count, sum_x, sum_y = plane.shape[0], 0, 0, 0
    for y in range(0, n, 2):
        row, row_count = plane[y], 0
        for x in range(0, n, 2):
            above = row[x] > threshold
            row_count += above
            sum_x += above * x
        count += row_count
        sum_y += y * row_count
    return (4 * count, sum_x / count, sum_y / count) if count else (0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _near(plane: NDArray[np.int16], x: float, y: float) -> int:
    n = plane.shape[0]
    return int(plane[min(max(int(y + 0.5), 0), n - 1), min(max(int(x + 0.5), 0), n - 1)])


@njit(cache=True, nogil=True)
def _between(plane: NDArray[np.int16], x: float, y: float) -> float:
    """Return the plane between its points; no check against its border."""
    i, j = int(x), int(y)
    u, v = x - i, y - j
    top = plane[j, i] + u * (plane[j, i + 1] - plane[j, i])
    bottom = plane[j + 1, i] + u * (plane[j + 1, i + 1] - plane[j + 1, i])
    return float(top + v * (bottom - top))


@njit(cache=True, nogil=True)
def edge(plane: NDArray[np.int16], x: float, y: float, vx: float, vy: float, start: float, threshold: int) -> float:
    """Return where a ray from outside inward crosses half way between the local outside and inside level; -1 if it never does."""
    n = plane.shape[0]
    # As far as the ray stays on the plane, a quad from its border.
    room_x = (n - 1.5 - x) / vx if vx > 0 else (0.5 - x) / vx if vx < 0 else start
    room_y = (n - 1.5 - y) / vy if vy > 0 else (0.5 - y) / vy if vy < 0 else start
    room = min(room_x, room_y)
    t = min(start, room)
    while t > 2.0 and plane[int(y + t * vy + 0.5), int(x + t * vx + 0.5)] <= threshold:
        t -= 1.0
    if t <= 2.0:
        return -1.0
    outside = _near(plane, x + (t + 3.0) * vx, y + (t + 3.0) * vy)
    inside = max(_near(plane, x + (t - 2.0) * vx, y + (t - 2.0) * vy), _near(plane, x + (t - 3.0) * vx, y + (t - 3.0) * vy))
    half = 0.5 * (min(outside, threshold) + inside)
    far = min(t + 2.0, room)
    value_far = _between(plane, x + far * vx, y + far * vy)
    for _ in range(6):
        near = far - 1.0
        value_near = _between(plane, x + near * vx, y + near * vy)
        if value_far < half <= value_near:
            return far - (half - value_far) / (value_near - value_far)
        far, value_far = near, value_near
    return t


@njit(cache=True, nogil=True, error_model="numpy")
def fit_outline(radius: NDArray[np.float64], coef: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Fit ``1 / r**2`` robustly, outlying rays replaced by the fit itself; return their share."""
    middle = median(radius, value)
    for ray in range(N_RAYS):
        r = radius[ray]
        r = min(max(r, 0.72 * middle), 1.38 * middle) if r > 0 else middle
        value[ray] = 1.0 / (r * r)
    outliers = 0
    for turn in range(_REFINE_ROUNDS):
        solve(OUTLINE_INVERSE, value, coef)
        # Wide at first: a few short rays bend the first fit, and good rays must not be taken for bad ones because of that.
        outliers, limit = 0, max(0.32 * 0.5**turn, 0.08)
        for ray in range(N_RAYS):
            fitted = coef[0] + coef[1] * OUTLINE[1, ray] + coef[2] * OUTLINE[2, ray]
            fitted += coef[3] * OUTLINE[3, ray] + coef[4] * OUTLINE[4, ray]
            r = radius[ray]
            own = 1.0 / (r * r)
            off = not abs(own - fitted) <= limit * fitted
            outliers += off
            value[ray] = fitted if off else own
    return outliers / N_RAYS


@njit(cache=True, nogil=True)
def solve(inverse: NDArray[np.float64], value: NDArray[np.float64], coef: NDArray[np.float64]) -> None:
    """Fill ``coef`` (k,) with ``inverse @ value`` (k, n), n a multiple of 4, every sum in the same order."""
    for c in range(len(inverse)):
        row = inverse[c]
        a = b = d = e = 0.0
        for i in range(0, len(row), 4):
            a += row[i] * value[i]
            b += row[i + 1] * value[i + 1]
            d += row[i + 2] * value[i + 2]
            e += row[i + 3] * value[i + 3]
        coef[c] = (a + b) + (d + e)


@njit(cache=True, nogil=True)
def median(values: NDArray[np.float64], scratch: NDArray[np.float64]) -> float:
    """Return the upper median (Hoare's selection); ``scratch`` is at least as long as ``values``."""
    n = len(values)
    for i in range(n):
        scratch[i] = values[i]
    low, high, k = 0, n - 1, n // 2
    while low < high:
        pivot, i, j = scratch[k], low, high
        while i <= j:
            while scratch[i] < pivot:
                i += 1
            while pivot < scratch[j]:
                j -= 1
            if i <= j:
                scratch[i], scratch[j] = scratch[j], scratch[i]
                i, j = i + 1, j - 1
        if j < k:
            low = i
        if k < i:
            high = j
    return float(scratch[k])


@njit(cache=True, nogil=True)
def outline(
    plane: NDArray[np.int16],
    x: float,
    y: float,
    reach: float,
    shape: NDArray[np.float64],
    threshold: int,
    work: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Fit the outline around ``(x, y)``, recentring until it settles; return the centre and the share of outlying rays.

    ``shape`` is ``(ex, ey, stretch)``: the direction away from the optical axis and how much the lens stretches along it,
    taken out of the rays so that a sphere is a circle wherever it lies. ``work`` holds (3, n_rays): radii, values, coefficients.
    """
    radius, value, coef = work[0], work[1], work[2]
    ex, ey, stretch = shape[0], shape[1], shape[2] - 1.0
    outliers = 1.0
    for _ in range(2):
        for ray in range(N_RAYS):
            ux, uy = RAY_COS[ray], RAY_SIN[ray]
            along = stretch * (ux * ex + uy * ey)
            radius[ray] = edge(plane, x, y, ux + along * ex, uy + along * ey, reach, threshold)
        outliers = fit_outline(radius, coef, value)
        if coef[0] <= 0.0:
            return x, y, 1.0
        cube = 0.5 / (coef[0] * np.sqrt(coef[0]))
        dx, dy = -coef[1] * cube, -coef[2] * cube
        x, y = x + dx, y + dy
        if dx * dx + dy * dy < 0.16:
            break
    return x, y, outliers
