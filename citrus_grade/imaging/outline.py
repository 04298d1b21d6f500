"""Where a fruit's outline runs: its mask's moments, edges along rays, and an ellipse fitted to them robustly."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.fit import N_RAYS, OUTLINE, OUTLINE_INVERSE, RAY_COS, RAY_SIN

_REFINE_ROUNDS = 5
_TIGHT = 0.08
"""How far off the fit a ray may lie, of its ``1 / r**2``, to have a say in the last rounds."""
_STEPS = 6
"""Quads of a ray between which it may cross the edge, from two outside of where it is lit first."""
_BITS, _PART = 32, 15
_QUAD, _ONE, _LEVEL = float(1 << _BITS), 1 << _PART, 1 << 2 * _PART
"""Places are whole numbers of ``1 / _QUAD`` of a quad, their parts between two quads of ``1 / _ONE``, levels there of
``1 / _LEVEL``: arithmetic on whole numbers has its result at once."""
_MARGIN = 3.0
"""A centre lies at least so many quads inside its tile: rays are followed to two quads behind it."""


@njit(cache=True, nogil=True)
def extent(signal: NDArray[np.int16], x0: int, threshold: int) -> tuple[int, float, float]:
    """Return a tile's area above the threshold in quads, and its centroid; ``signal`` and ``x0`` as `outline`.

    Every second row is enough for those.
    """
    n, first, limit, count, sum_x, sum_y = np.uint64(len(signal)), np.uint64(x0), np.int16(threshold), 0, 0, 0
    for y in range(np.uint64(0), n, np.uint64(2)):
        own, places = np.int32(0), np.int32(0)
        for x in range(n):
            above = np.int32(signal[y, first + x] > limit)
            own = np.int32(own + above)
            places = np.int32(places + above * np.int32(x))
        count += int(own)
        sum_x += int(places)
        sum_y += int(y) * int(own)
    return (2 * count, sum_x / count, sum_y / count) if count else (0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _near(signal: NDArray[np.int16], px: int, py: int) -> int:
    """Return the signal at the quad nearest to a place (in 1 / 2**32 quads) at or inside its border."""
    half = np.int64(1 << (_BITS - 1))
    return int(signal[np.uint64(py + half) >> np.uint64(_BITS), np.uint64(px + half) >> np.uint64(_BITS)])


@njit(cache=True, nogil=True)
def _between(signal: NDArray[np.int16], px: int, py: int) -> int:
    """Return the signal between its quads, times ``_LEVEL``; the place lies a quad or more inside its border."""
    x, y, one, bits, part = np.uint64(px), np.uint64(py), np.uint64(1), np.uint64(_BITS), np.uint64(_BITS - _PART)
    i, j, u, v = x >> bits, y >> bits, int((x >> part) & np.uint64(_ONE - 1)), int((y >> part) & np.uint64(_ONE - 1))
    a, b, c, d = int(signal[j, i]), int(signal[j, i + one]), int(signal[j + one, i]), int(signal[j + one, i + one])
    top, bottom = a * _ONE + u * (b - a), c * _ONE + u * (d - c)
    return top * _ONE + v * (bottom - top)


@njit(cache=True, nogil=True)
def _room(x: float, y: float, vx: float, vy: float, start: float, most: float) -> float:
    """Return as far as a ray stays on the signal, a quad from its border, but no further than ``start``."""
    if 0.5 <= x + start * vx <= most and 0.5 <= y + start * vy <= most:
        return start
    room_x = (most - x) / vx if vx > 0 else (0.5 - x) / vx if vx < 0 else start
    room_y = (most - y) / vy if vy > 0 else (0.5 - y) / vy if vy < 0 else start
    return min(start, room_x, room_y)


@njit(cache=True, nogil=True)
def _first_lit(signal: NDArray[np.int16], px: int, py: int, dx: int, dy: int, steps: int, threshold: int) -> int:
    """Return after how many steps inward a ray first meets a quad above the threshold; ``steps`` if it does not.

    Every quad counts: of a blemish at the limb only the rim may be lit.
    """
    x, y, bits, level = px + np.int64(1 << (_BITS - 1)), py + np.int64(1 << (_BITS - 1)), np.uint64(_BITS), np.int16(threshold)
    for k in range(steps):
        if signal[np.uint64(y) >> bits, np.uint64(x) >> bits] > level:
            return k
        x, y = x - dx, y - dy
    return steps


@njit(cache=True, nogil=True, error_model="numpy")
def _crossing(
    signal: NDArray[np.int16], px: int, py: int, vx: float, vy: float, lit: float, room: float, threshold: int
) -> float:
    """Return where a ray crosses half way between the level outside and that inside of where it is lit first.

    That is nearly always a step before or after, which no branch decides: the processor could not foresee it.
    """
    dx, dy, out, near, deep = _QUAD * vx, _QUAD * vy, min(lit + 3.0, room), lit - 2.0, lit - 3.0
    outside = _near(signal, px + int(out * dx), py + int(out * dy))
    inside = max(_near(signal, px + int(near * dx), py + int(near * dy)), _near(signal, px + int(deep * dx), py + int(deep * dy)))
    half = (min(outside, threshold) + inside) * (_LEVEL // 2)
    at_x, at_y, step_x, step_y = px + int(lit * dx), py + int(lit * dy), int(dx), int(dy)
    middle, inner = _between(signal, at_x, at_y), _between(signal, at_x - step_x, at_y - step_y)
    outer = _between(signal, at_x + step_x, at_y + step_y) if lit + 1.0 <= room else half
    if outer >= half or inner < half:
        return _first_crossing(signal, at_x, at_y, step_x, step_y, half, lit, room)
    before, after, at = (outer, middle, lit + 1.0) if half <= middle else (middle, inner, lit)
    return at - (half - before) / (after - before)


@njit(cache=True, nogil=True, error_model="numpy")
def _first_crossing(
    signal: NDArray[np.int16], at_x: int, at_y: int, step_x: int, step_y: int, half: int, lit: float, room: float
) -> float:
    """Return where a ray first crosses a level from two steps outside of where it is lit first, as `_crossing`; there if not."""
    ahead = min(2.0, room - lit)
    x, y = at_x + int(ahead * step_x), at_y + int(ahead * step_y)
    outer = _between(signal, x, y)
    for k in range(_STEPS):
        x, y = x - step_x, y - step_y
        inner = _between(signal, x, y)
        if outer < half <= inner:
            return lit + ahead - k - (half - outer) / (inner - outer)
        outer = inner
    return lit


@njit(cache=True, nogil=True)
def edges(
    signal: NDArray[np.int16], x0: int, x: float, y: float, shape: NDArray[np.float64], start: float, threshold: int,
    radius: NDArray[np.float64], room: NDArray[np.float64],
) -> None:  # fmt: skip
    """Fill ``radius`` (n,): where the first n rays, from outside inward, cross half way between the local outside and inside
    level; -1 where one never does. ``room`` (n,) is scratch."""
    ex, ey, stretch, most = shape[0], shape[1], shape[2] - 1.0, len(signal) - 1.5
    px, py = int(_QUAD * (x + x0)), int(_QUAD * y)
    for ray in range(len(radius)):
        along = stretch * (RAY_COS[ray] * ex + RAY_SIN[ray] * ey)
        vx, vy = RAY_COS[ray] + along * ex, RAY_SIN[ray] + along * ey
        reach = _room(x, y, vx, vy, start, most)
        dx, dy, steps = _QUAD * vx, _QUAD * vy, max(int(np.ceil(reach - 2.0)), 0)
        k = _first_lit(signal, px + int(reach * dx), py + int(reach * dy), int(dx), int(dy), steps, threshold)
        room[ray], radius[ray] = reach, reach - k if k < steps else -1.0
    for ray in range(len(radius)):
        if radius[ray] > 0.0:
            along = stretch * (RAY_COS[ray] * ex + RAY_SIN[ray] * ey)
            vx, vy = RAY_COS[ray] + along * ex, RAY_SIN[ray] + along * ey
            radius[ray] = _crossing(signal, px, py, vx, vy, radius[ray], room[ray], threshold)


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
    signal: NDArray[np.int16],
    x0: int,
    x: float,
    y: float,
    radius: float,
    shape: NDArray[np.float64],
    threshold: int,
    work: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Fit the outline around ``(x, y)``, then again around its own centre; return that and the share of outlying rays.

    ``signal`` (n, width) is that of a lane; the tile is n columns from ``x0`` on, and places are in it.
    ``radius`` is that of a disc of the mask's area: rays begin a third further out. ``shape`` is ``(ex, ey, stretch)``: the
    direction away from the optical axis and how much the lens stretches along it, taken out of the rays so that a sphere is a
    circle wherever it lies. ``work`` holds (4, n_rays): radii, values, coefficients and scratch. Every fourth ray is enough to
    find the centre.
    """
    most = len(signal) - 1.0 - _MARGIN
    coef, outliers, middle, reach = work[2], 1.0, radius, min(1.3 * radius + 3.0, 0.72 * len(signal))
    for n in (N_RAYS // 4, N_RAYS):
        x, y = min(max(x, _MARGIN), most), min(max(y, _MARGIN), most)
        edges(signal, x0, x, y, shape, reach, threshold, work[0, :n], work[1, :n])
        if n < N_RAYS:  # not the mask's radius: a second fruit that reaches in, or a part of one, has no say in the median
            middle = _median(work[0, :n], work[1])
        outliers = fit_outline(middle, work[0, :n], coef, work[1, :n], work[3, :n])
        if coef[0] <= 0.0:
            return x, y, 1.0
        middle = 1.0 / np.sqrt(coef[0])
        half_cube = 0.5 * middle * middle * middle
        x, y = x - coef[1] * half_cube, y - coef[2] * half_cube
    return x, y, outliers
