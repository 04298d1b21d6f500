"""The skin inside an outline: its shading taken out, three planes of what is left, and the patch that stands for the view.

Loops over quads run over unsigned columns: a column that can't be negative needs no look at where it might wrap around, and the
compiler makes vector instructions of them.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import (
    CELL_COLUMN,
    CELL_ROW,
    CELL_X,
    CELL_Y,
    COLOUR_CELL,
    INNER,
    N_CELLS,
    N_COLOUR_CELLS,
)  # fmt: skip
from citrus_grade.imaging.fit import N_SHADE, SHADE, SHADE_INVERSE, SHADE_X, SHADE_Y
from citrus_grade.imaging.outline import solve

Root = tuple[float, float, float, float]
"""(xx, xy, yx, yy): takes a point of the unit disc to quads from the fruit's centre."""
VECTOR = 16
"""Numbers of single precision in the widest vector register."""
_SHADE_ROUNDS, _USUAL_ROUNDS = 4, 5
_ONE, _THIRD, _HALF, _LEAST, _PER_LOG = (np.float32(v) for v in (1.0, 1 / 3, 0.5, 4.0, 200.0))
_MOST = np.int32(127)


@njit(cache=True, nogil=True)
def shading(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    n: int,
    x: float,
    y: float,
    root: Root,
    blue_at: tuple[int, int],
    coef: NDArray[np.float64],
    work: NDArray[np.float64],
) -> tuple[float, float]:
    """Fit the fruit's own shading (red + greens on the unit disc) robustly; return its usual blue share and green over red.

    ``root`` takes the disc to quads, see `kernel.root_of`. ``coef`` (8,) is filled.
    """
    own, value, bluish, greenish = work[3, :N_SHADE], work[4, :N_SHADE], work[5, :N_SHADE], work[6, :N_SHADE]
    for s in range(N_SHADE):
        i = np.uint64(at[0] + min(max(int(x + SHADE_X[s] * root[0] + SHADE_Y[s] * root[1] + 0.5), 1), n - 2))
        j = at[1] + min(max(int(y + SHADE_X[s] * root[2] + SHADE_Y[s] * root[3] + 0.5), 1), n - 2)
        total, blue, red = 0, 0, 0
        for dj in range(-1, 2):
            row = 2 * (j + dj)
            with_blue = int(words[np.uint64(row + blue_at[0]), i])
            with_red = int(words[np.uint64(row + 1 - blue_at[0]), i])
            b, r = (with_blue >> blue_at[1]) & 255, (with_red >> (8 - blue_at[1])) & 255
            total += (with_blue & 255) + (with_blue >> 8) + (with_red & 255) + (with_red >> 8) - b
            blue += b
            red += r
        own[s] = value[s] = total / 3.0
        bluish[s] = blue / max(total, 1)
        greenish[s] = (total - red) / max(red, 1)
    for turn in range(_SHADE_ROUNDS):
        solve(SHADE_INVERSE, value, coef)
        _replace(SHADE, coef, own, 0.30 if turn == 0 else 0.12, value)
    return _usual(bluish), _usual(greenish)


@njit(cache=True, nogil=True)
def _usual(values: NDArray[np.float64]) -> float:
    """Return the mean of values with those far off drawn in, closer every round: a median's firmness without its branches."""
    middle, low, high = 0.0, -np.inf, np.inf
    for turn in range(_USUAL_ROUNDS):
        total = 0.0
        for k in range(0, len(values), 4):
            a, b = min(max(values[k], low), high), min(max(values[k + 1], low), high)
            c, d = min(max(values[k + 2], low), high), min(max(values[k + 3], low), high)
            total += (a + b) + (c + d)
        middle = total / len(values)
        reach = 0.32 * 0.5**turn
        low, high = (1.0 - reach) * middle, (1.0 + reach) * middle
    return middle


@njit(cache=True, nogil=True)
def _replace(
    design: NDArray[np.float64], coef: NDArray[np.float64], own: NDArray[np.float64], limit: float, value: NDArray[np.float64]
) -> None:
    """Fill ``value`` with the samples' own where they lie within the limit of the fit, else with the fit."""
    a, b, c, d, e, f, g = coef[0], coef[1], coef[2], coef[3], coef[4], coef[5], coef[6]
    for s in range(len(value)):
        fitted = (
            a + b * design[1, s] + c * design[2, s] + d * design[3, s] + e * design[4, s] + f * design[5, s] + g * design[6, s]
        )
        value[s] = own[s] if abs(own[s] - fitted) < limit * fitted else fitted


@njit(cache=True, nogil=True, error_model="numpy")
def _log_ratio(a: Any, b: Any) -> Any:
    """Return 100 ln(a / b), for a vector unit: two terms of its series in (a - b) / (a + b), good to 2 % down to a third."""
    z = (a - b) / (a + b)
    return min(max(np.int32(_PER_LOG * z * (_ONE + z * z * _THIRD)), -_MOST), _MOST)


@njit(cache=True, nogil=True)
def _inside(aa: float, bb: float, cc: float, limit: float, x: float, n: int) -> tuple[int, int]:
    """Return first column and end of the quads of a row with ``aa dx**2 + 2 bb dx + cc <= limit``; equal if there are none."""
    disc = bb * bb - aa * (cc - limit)
    if disc <= 0.0:
        return 0, 0
    reach = np.sqrt(disc)
    left, end = max(int(np.ceil(x + (-bb - reach) / aa)), 0), min(int(np.floor(x + (-bb + reach) / aa)) + 1, n)
    return (left, end) if left < end else (0, 0)


@njit(cache=True, nogil=True, error_model="numpy")
def planes(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    n: int,
    x: float,
    y: float,
    root: Root,
    blue_at: tuple[int, int],
    coef: NDArray[np.float64],
    own: tuple[float, float],
    limit: float,
    span: NDArray[np.int64],
    skin: NDArray[np.uint32],
) -> None:
    """Fill the planes of every quad whose squared distance on the disc is at most ``limit``.

    ``span`` (n, 4): first column and end of each row's quads, and of those within `INNER`; equal where there are none. ``skin``
    (n, n): see `disc`; what lies beyond the spans is anything.
    """
    det = root[0] * root[3] - root[1] * root[2]
    pu, pv, qu, qv = root[3] / det, -root[1] / det, -root[2] / det, root[0] / det
    blue_over_total, green_over_red = np.float32(own[0]), np.float32(own[1])
    blue_shift, red_shift = np.int32(blue_at[1]), np.int32(8 - blue_at[1])
    aa = pu * pu + qu * qu
    for j in range(n):
        dy = j - y
        # Columns inside the disc: a quadratic in dx.
        bb, cc = (pu * pv + qu * qv) * dy, (pv * pv + qv * qv) * dy * dy
        span[j, 0], span[j, 1] = _inside(aa, bb, cc, limit, x, n)
        span[j, 2], span[j, 3] = _inside(aa, bb, cc, INNER, x, n)
        if span[j, 0] == span[j, 1]:
            continue
        # Whole vectors: the columns beyond are filled too, nobody reads them.
        width = min((span[j, 1] - span[j, 0] + VECTOR - 1) // VECTOR * VECTOR, n)
        left = min(span[j, 0], n - width)
        # u = pu dx + u0, v = qu dx + v0: the shading along a row, power by power.
        u0, v0 = pv * dy, qv * dy
        b2 = 2 * bb
        s0 = np.float32(coef[0] + coef[1] * u0 + coef[2] * v0 + coef[3] * u0 * u0 + coef[4] * u0 * v0 + coef[5] * v0 * v0
                        + coef[6] * cc * cc)  # fmt: skip
        s1 = np.float32(coef[1] * pu + coef[2] * qu + 2 * coef[3] * pu * u0 + coef[4] * (pu * v0 + qu * u0)
                        + 2 * coef[5] * qu * v0 + coef[6] * 2 * b2 * cc)  # fmt: skip
        s2 = np.float32(coef[3] * pu * pu + coef[4] * pu * qu + coef[5] * qu * qu + coef[6] * (b2 * b2 + 2 * aa * cc))
        s3, s4 = np.float32(coef[6] * 2 * aa * b2), np.float32(coef[6] * aa * aa)
        middle, row, first = np.float32(x), np.uint64(j), np.uint64(at[0])
        with_blue, with_red = np.uint64(2 * (at[1] + j) + blue_at[0]), np.uint64(2 * (at[1] + j) + 1 - blue_at[0])
        for k in range(np.uint64(left), np.uint64(left + width)):
            b, r = np.int32(words[with_blue, first + k]), np.int32(words[with_red, first + k])
            blues = np.float32((b >> blue_shift) & np.int32(255))
            reds = np.float32((r >> red_shift) & np.int32(255))
            greens = np.float32(((b >> red_shift) & np.int32(255)) + ((r >> blue_shift) & np.int32(255)))
            total = greens + reds + _ONE
            t = np.float32(np.int32(k)) - middle
            expected = max(s0 + t * (s1 + t * (s2 + t * (s3 + t * s4))), _LEAST)
            dark = _log_ratio(total, expected)
            blue = _log_ratio(blues + _HALF, blue_over_total * total)
            green = _log_ratio(greens + _HALF, green_over_red * reds + _HALF)
            skin[row, k] = (
                (dark & np.int32(255)) | (blue & np.int32(255)) << np.int32(8) | (green & np.int32(255)) << np.int32(16)
            )


@njit(cache=True, nogil=True, error_model="numpy")
def cells(n: int, x: float, y: float, root: Root, at: NDArray[np.uint32]) -> None:
    """Fill ``at`` (2, n_cells) with the column and row of the quad at each cell's centre."""
    a, b, c, d = np.float32(root[0]), np.float32(root[1]), np.float32(root[2]), np.float32(root[3])
    x0, y0, low, high = np.float32(x) + _HALF, np.float32(y) + _HALF, np.float32(0), np.float32(n - 1)
    for k in range(N_CELLS):
        at[0, k] = np.int32(min(max(x0 + CELL_X[k] * a + CELL_Y[k] * b, low), high))
        at[1, k] = np.int32(min(max(y0 + CELL_X[k] * c + CELL_Y[k] * d, low), high))


@njit(cache=True, nogil=True)
def part_of(word: Any, plane: int) -> int:
    """Return a plane's value from a word of skin."""
    return int(np.int8(word >> np.uint32(8 * plane)))


@njit(cache=True, nogil=True)
def lay_skin(at: NDArray[np.uint32], skin: NDArray[np.uint32], patch: NDArray[np.uint32]) -> int:
    """Lay the skin (n, n) on the grid, each cell the quad at its centre; return how many cells belong to spots."""
    spotted = 0
    for k in range(N_CELLS):
        word = skin[at[1, k], at[0, k]]
        patch[CELL_ROW[k], CELL_COLUMN[k]] = word
        spotted += word >> np.uint32(24) != 0
    return spotted


@njit(cache=True, nogil=True)
def lay_colour(
    words: NDArray[np.uint16],
    origin: tuple[int, int],
    at: NDArray[np.uint32],
    blue_at: tuple[int, int],
    lut: NDArray[np.uint16],
    colour: NDArray[np.uint8],
    hue: NDArray[np.uint8],
    count: NDArray[np.int32],
) -> tuple[int, int, int]:
    """Lay colour and hue on the grid, one quad for 2 x 2 cells, and count the colours; return the sums of red, green, blue."""
    sum_r, sum_g, sum_b, red_shift = 0, 0, 0, 8 - blue_at[1]
    for c in range(N_COLOUR_CELLS):
        k = COLOUR_CELL[c]
        i, j = np.uint64(origin[0] + np.int64(at[0, k])), 2 * (origin[1] + np.int64(at[1, k]))
        b, r = np.int32(words[np.uint64(j + blue_at[0]), i]), np.int32(words[np.uint64(j + 1 - blue_at[0]), i])
        blue, red = (b >> blue_at[1]) & 255, (r >> red_shift) & 255
        green = (((b >> red_shift) & 255) + ((r >> blue_at[1]) & 255)) >> 1
        found = lut[((red >> 3) << 10) | ((green >> 3) << 5) | (blue >> 3)]
        v, u = CELL_ROW[k] >> 1, CELL_COLUMN[k] >> 1
        colour[v, u] = found & 15
        hue[v, u] = found >> 8
        count[found & 15] += 1
        sum_r += int(red)
        sum_g += int(green)
        sum_b += int(blue)
    return sum_r, sum_g, sum_b
