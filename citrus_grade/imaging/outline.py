"""Where a fruit's outline runs: its mask's moments, edges along rays, and an ellipse fitted to them robustly."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.fit import N_RAYS, OUTLINE, OUTLINE_INVERSE, RAY_COS, RAY_SIN

_REFINE_ROUNDS = 5
_TIGHT = 0.08
"""How far off the fit a ray may lie, of its ``1 / r**2``, to have a say in the last rounds."""
_QUAD_BITS, _ONE_QUAD = np.uint64(32), float(1 << 32)
_MARGIN = 3.0
"""A centre lies at least so many quads inside its tile: rays are followed to two quads behind it."""


@njit(cache=True, nogil=True)
def take(strip: NDArray[np.int16], x0: int, threshold: int, plane: NDArray[np.int16]) -> tuple[int, float, float]:
    """Copy a tile (n, n) out of its lane's strip; return its area above the threshold in quads, and its centroid.

    Every second row is enough for those.
    """
    n, first, limit, count, sum_x, sum_y = np.uint64(len(plane)), np.uint64(x0), np.int16(threshold), 0, 0, 0
    for y in range(n):
        for x in range(n):
            plane[y, x] = strip[y, first + x]
        if y & np.uint64(1):
            continue
        own, places = np.int32(0), np.int32(0)
        for x in range(n):
            above = np.int32(plane[y, x] > limit)
            own = np.int32(own + above)
            places = np.int32(places + above * np.int32(x))
        count += int(own)
        sum_x += int(places)
        sum_y += int(y) * int(own)
    return (2 * count, sum_x / count, sum_y / count) if count else (0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _near(plane: NDArray[np.int16], x: float, y: float) -> int:
    """Return the plane at the quad nearest to a place at or inside its border."""
    return int(plane[np.uint64(int(y + 0.5)), np.uint64(int(x + 0.5))])


@njit(cache=True, nogil=True)
def _between(plane: NDArray[np.int16], x: float, y: float) -> float:
    """Return the plane between its quads; the place lies a quad or more inside its border."""
    i, j, one = np.uint64(int(x)), np.uint64(int(y)), np.uint64(1)
    u, v = x - int(x), y - int(y)
    a, b, c, d = plane[j, i], plane[j, i + one], plane[j + one, i], plane[j + one, i + one]
    top, bottom = a + u * (b - a), c + u * (d - c)
    return float(top + v * (bottom - top))


@njit(cache=True, nogil=True)
def edge(plane: NDArray[np.int16], x: float, y: float, vx: float, vy: float, start: float, threshold: int) -> float:
    """Return where a ray from outside inward crosses half way between the local outside and inside level; -1 if it never does."""
    room, most = start, plane.shape[0] - 1.5
    if not (0.5 <= x + start * vx <= most and 0.5 <= y + start * vy <= most):
        # As far as the ray stays on the plane, a quad from its border.
        room_x = (most - x) / vx if vx > 0 else (0.5 - x) / vx if vx < 0 else start
        room_y = (most - y) / vy if vy > 0 else (0.5 - y) / vy if vy < 0 else start
        room = min(start, room_x, room_y)
    # Every quad counts: of a blemish at the limb only the rim may be lit. Whole numbers: of a step, the next waits for less.
    t, one, level = room, _ONE_QUAD, np.int16(threshold)
    px, py, dx, dy = int(one * (x + t * vx + 0.5)), int(one * (y + t * vy + 0.5)), int(one * vx), int(one * vy)
    while t > 2.0 and plane[np.uint64(py) >> _QUAD_BITS, np.uint64(px) >> _QUAD_BITS] <= level:
        t, px, py = t - 1.0, px - dx, py - dy
    if t <= 2.0:
        return -1.0
    out = min(t + 3.0, room)
    outside = _near(plane, x + out * vx, y + out * vy)
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
def fit_outline(
    middle: float, radius: NDArray[np.float64], coef: NDArray[np.float64], value: NDArray[np.float64], own: NDArray[np.float64]
) -> float:
    """Fit ``1 / r**2`` robustly to the first rays, all or a quarter of them; return the share of those that lie off.

    Rays that do are replaced by the fit itself, at first by what is near ``middle``, a radius. ``radius``, ``value`` and ``own``
    (scratch) are of one length, ``coef`` (8,).
    """
    n, outliers, other = len(radius), 0, np.int64(0)
    scale = N_RAYS / n
    for ray in range(n):
        r = radius[ray]
        own[ray] = scale / (r * r)
        r = min(max(r, 0.72 * middle), 1.38 * middle) if r > 0 else middle
        value[ray] = scale / (r * r)
        other += np.int64(value[ray] != own[ray])
    for turn in range(_REFINE_ROUNDS):
        solve(OUTLINE_INVERSE, value, coef)
        if turn == 0 and other == 0 and _replace(OUTLINE, coef, own, scale, _TIGHT, value) == 0:
            return 0.0  # all belong already
        # Wide at first: a few short rays bend the first fit, and good rays must not be taken for bad ones because of that.
        outliers = _replace(OUTLINE, coef, own, scale, max(0.32 * 0.5**turn, _TIGHT), value)
    return outliers / n


@njit(cache=True, nogil=True, error_model="numpy")
def _replace(
    design: NDArray[np.float64], coef: NDArray[np.float64], own: NDArray[np.float64], scale: float, limit: float,
    value: NDArray[np.float64],
) -> int:  # fmt: skip
    """Fill ``value`` with the rays' own where they lie within the limit of the fit, else with the fit; return how many do not."""
    a, b, c, d, e, outliers = coef[0], coef[1], coef[2], coef[3], coef[4], np.int64(0)
    for ray in range(len(value)):
        fitted = scale * (a + b * design[1, ray] + c * design[2, ray] + d * design[3, ray] + e * design[4, ray])
        off = not abs(own[ray] - fitted) <= limit * fitted
        outliers += np.int64(off)
        value[ray] = fitted if off else own[ray]
    return int(outliers)


@njit(cache=True, nogil=True)
def solve(inverse: NDArray[np.float64], value: NDArray[np.float64], coef: NDArray[np.float64]) -> None:
    """Fill ``coef`` (8,) with ``value`` (n,) times the first rows of ``inverse`` (most, 8): eight sums side by side, in order."""
    a = b = c = d = e = f = g = h = 0.0
    for i in range(np.uint64(len(value))):
        v = value[i]
        a += inverse[i, 0] * v
        b += inverse[i, 1] * v
        c += inverse[i, 2] * v
        d += inverse[i, 3] * v
        e += inverse[i, 4] * v
        f += inverse[i, 5] * v
        g += inverse[i, 6] * v
        h += inverse[i, 7] * v
    coef[0], coef[1], coef[2], coef[3], coef[4], coef[5], coef[6], coef[7] = a, b, c, d, e, f, g, h


@njit(cache=True, nogil=True)
def _median(values: NDArray[np.float64], room: NDArray[np.float64]) -> float:
    """Return the upper median of a few values by sorting them into ``room``, at least as long."""
    for n in range(len(values)):
        at = n
        while at > 0 and room[at - 1] > values[n]:
            room[at] = room[at - 1]
            at -= 1
        room[at] = values[n]
    return float(room[len(values) // 2])


@njit(cache=True, nogil=True)
def outline(
    plane: NDArray[np.int16],
    x: float,
    y: float,
    radius: float,
    shape: NDArray[np.float64],
    threshold: int,
    work: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Fit the outline around ``(x, y)``, then again around its own centre; return that and the share of outlying rays.

    ``radius`` is that of a disc of the mask's area: rays begin a third further out. ``shape`` is ``(ex, ey, stretch)``: the
    direction away from the optical axis and how much the lens stretches along it, taken out of the rays so that a sphere is a
    circle wherever it lies. ``work`` holds (4, n_rays): radii, values, coefficients and scratch. Every fourth ray is enough to
    find the centre.
    """
    ex, ey, stretch, most = shape[0], shape[1], shape[2] - 1.0, len(plane) - 1.0 - _MARGIN
    coef, outliers, middle, reach = work[2], 1.0, radius, min(1.3 * radius + 3.0, 0.72 * len(plane))
    for n in (N_RAYS // 4, N_RAYS):
        x, y = min(max(x, _MARGIN), most), min(max(y, _MARGIN), most)
        for ray in range(n):
            ux, uy = RAY_COS[ray], RAY_SIN[ray]
            along = stretch * (ux * ex + uy * ey)
            work[0, ray] = edge(plane, x, y, ux + along * ex, uy + along * ey, reach, threshold)
        if n < N_RAYS:  # not the mask's radius: a second fruit that reaches in, or a part of one, has no say in the median
            middle = _median(work[0, :n], work[1])
        outliers = fit_outline(middle, work[0, :n], coef, work[1, :n], work[3, :n])
        if coef[0] <= 0.0:
            return x, y, 1.0
        middle = 1.0 / np.sqrt(coef[0])
        half_cube = 0.5 * middle * middle * middle
        x, y = x - coef[1] * half_cube, y - coef[2] * half_cube
    return x, y, outliers
