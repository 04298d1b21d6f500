"""The skin inside an outline: its shading taken out, three planes of what is left, and the patch that stands for the view."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import (
    BLUE,
    CELL_COLUMN,
    CELL_ROW,
    CELL_X,
    CELL_Y,
    COLOUR_CELL,
    DARK,
    GREEN,
    N_CELLS,
    N_COLOUR_CELLS,
)  # fmt: skip
from citrus_grade.imaging.fit import N_SHADE, SHADE, SHADE_INVERSE, SHADE_X, SHADE_Y
from citrus_grade.imaging.outline import median, solve

Root = tuple[float, float, float, float]
"""(xx, xy, yx, yy): takes a point of the unit disc to quads from the fruit's centre."""
VECTOR = 16
"""Numbers of single precision in the widest vector register."""
_SHADE_ROUNDS = 4
_ONE, _THIRD, _FIFTH, _HALF, _LEAST, _PER_LOG = (np.float32(v) for v in (1.0, 1 / 3, 1 / 5, 0.5, 4.0, 200.0))
_LOW, _HIGH = np.float32(-127.0), np.float32(127.0)


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
    """Fit the fruit's own shading (red + greens on the unit disc) robustly; return its median blue share and green over red.

    ``root`` takes the disc to quads, see `kernel.root_of`.
    """
    own, value, bluish, greenish = work[3], work[4], work[5], work[6]
    for s in range(N_SHADE):
        i = min(max(int(x + SHADE_X[s] * root[0] + SHADE_Y[s] * root[1] + 0.5), 1), n - 2)
        j = min(max(int(y + SHADE_X[s] * root[2] + SHADE_Y[s] * root[3] + 0.5), 1), n - 2)
        total, blue, red = 0, 0, 0
        for dj in range(-1, 2):
            even, odd = words[2 * (at[1] + j + dj), at[0] + i], words[2 * (at[1] + j + dj) + 1, at[0] + i]
            with_blue, with_red = (odd, even) if blue_at[0] else (even, odd)
            b, r = (with_blue >> blue_at[1]) & 255, (with_red >> (8 - blue_at[1])) & 255
            total += (even & 255) + (even >> 8) + (odd & 255) + (odd >> 8) - b
            blue += b
            red += r
        own[s] = value[s] = total / 3.0
        bluish[s] = blue / max(total, 1)
        greenish[s] = (total - red) / max(red, 1)
    for turn in range(_SHADE_ROUNDS):
        solve(SHADE_INVERSE, value, coef)
        limit = 0.30 if turn == 0 else 0.12
        for s in range(N_SHADE):
            fitted = coef[0] + coef[1] * SHADE[1, s] + coef[2] * SHADE[2, s] + coef[3] * SHADE[3, s]
            fitted += coef[4] * SHADE[4, s] + coef[5] * SHADE[5, s] + coef[6] * SHADE[6, s]
            value[s] = own[s] if abs(own[s] - fitted) < limit * fitted else fitted
    return median(bluish[:N_SHADE], value[:N_SHADE]), median(greenish[:N_SHADE], value[:N_SHADE])


@njit(cache=True, nogil=True, error_model="numpy")
def _log_ratio(a: Any, b: Any) -> Any:
    """Return 100 ln(a / b), for a vector unit: three terms of its series in (a - b) / (a + b), good to 2 % down to a fifth."""
    z = (a - b) / (a + b)
    zz = z * z
    return np.int8(min(max(_PER_LOG * z * (_ONE + zz * (_THIRD + zz * _FIFTH)), _LOW), _HIGH))


@njit(cache=True, nogil=True, error_model="numpy")
def _plane_row(
    with_blue: NDArray[np.uint16],
    with_red: NDArray[np.uint16],
    blue_shift: int,
    level: tuple[Any, Any, Any, Any, Any],
    dx: Any,
    own: tuple[Any, Any],
    dark: NDArray[np.int8],
    blue: NDArray[np.int8],
    green: NDArray[np.int8],
) -> None:
    """Fill one row of the planes; ``level`` is the shading there as a quartic in the distance from the centre's column.

    Free of branches and in single precision throughout, so that it compiles to vector instructions.
    """
    red_shift = 8 - blue_shift
    for k in range(len(with_blue)):
        b, r = np.int32(with_blue[k]), np.int32(with_red[k])
        blues = np.float32((b >> blue_shift) & 255)
        reds = np.float32((r >> red_shift) & 255)
        greens = np.float32(((b >> red_shift) & 255) + ((r >> blue_shift) & 255))
        total = greens + reds + _ONE
        t = np.float32(np.int32(k)) + dx
        expected = max(level[0] + t * (level[1] + t * (level[2] + t * (level[3] + t * level[4]))), _LEAST)
        dark[k] = _log_ratio(total, expected)
        blue[k] = _log_ratio(blues + _HALF, own[0] * total)
        green[k] = _log_ratio(greens + _HALF, own[1] * reds + _HALF)


@njit(cache=True, nogil=True)
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
    out: NDArray[np.int8],
) -> None:
    """Fill the planes of every quad whose squared distance on the disc is at most ``limit``.

    ``span`` (n, 2): first column and end of each row's quads, equal where there are none. ``out`` (3, n, n) int8, see `disc`.
    """
    det = root[0] * root[3] - root[1] * root[2]
    pu, pv, qu, qv = root[3] / det, -root[1] / det, -root[2] / det, root[0] / det
    ratios = (np.float32(own[0]), np.float32(own[1]))
    aa = pu * pu + qu * qu
    for j in range(n):
        span[j, 0] = span[j, 1] = 0
        dy = j - y
        # Columns inside the disc: a quadratic in dx.
        bb, cc = (pu * pv + qu * qv) * dy, (pv * pv + qv * qv) * dy * dy
        disc = bb * bb - aa * (cc - limit)
        if disc <= 0.0:
            continue
        reach = np.sqrt(disc)
        left = max(int(np.ceil(x + (-bb - reach) / aa)), 0)
        right = min(int(x + (-bb + reach) / aa) + 1, n)
        if left >= right:
            continue
        span[j, 0], span[j, 1] = left, right
        # Whole vectors: the columns beyond are filled too, nobody reads them.
        left = max(min(left, n - VECTOR), 0)
        right = min(left + (right - left + VECTOR - 1) // VECTOR * VECTOR, n)
        # u = pu dx + u0, v = qu dx + v0: the shading along a row, power by power.
        u0, v0 = pv * dy, qv * dy
        b2 = 2 * bb
        level = (
            np.float32(coef[0] + coef[1] * u0 + coef[2] * v0 + coef[3] * u0 * u0 + coef[4] * u0 * v0 + coef[5] * v0 * v0
                       + coef[6] * cc * cc),
            np.float32(coef[1] * pu + coef[2] * qu + 2 * coef[3] * pu * u0 + coef[4] * (pu * v0 + qu * u0)
                       + 2 * coef[5] * qu * v0 + coef[6] * 2 * b2 * cc),
            np.float32(coef[3] * pu * pu + coef[4] * pu * qu + coef[5] * qu * qu + coef[6] * (b2 * b2 + 2 * aa * cc)),
            np.float32(coef[6] * 2 * aa * b2),
            np.float32(coef[6] * aa * aa),
        )  # fmt: skip
        even, odd = words[2 * (at[1] + j)], words[2 * (at[1] + j) + 1]
        with_blue, with_red = (odd, even) if blue_at[0] else (even, odd)
        first, end = at[0] + left, at[0] + right
        _plane_row(
            with_blue[first:end],
            with_red[first:end],
            blue_at[1],
            level,
            np.float32(left - x),
            ratios,
            out[DARK, j, left:right],
            out[BLUE, j, left:right],
            out[GREEN, j, left:right],
        )


@njit(cache=True, nogil=True, error_model="numpy")
def cells(n: int, x: float, y: float, root: Root, at: NDArray[np.int32]) -> None:
    """Fill ``at`` (2, n_cells) with the column and row of the quad at each cell's centre."""
    a, b, c, d = np.float32(root[0]), np.float32(root[1]), np.float32(root[2]), np.float32(root[3])
    x0, y0, low, high = np.float32(x) + _HALF, np.float32(y) + _HALF, np.float32(0), np.float32(n - 1)
    for k in range(N_CELLS):
        at[0, k] = np.int32(min(max(x0 + CELL_X[k] * a + CELL_Y[k] * b, low), high))
        at[1, k] = np.int32(min(max(y0 + CELL_X[k] * c + CELL_Y[k] * d, low), high))


@njit(cache=True, nogil=True)
def lay_texture(
    at: NDArray[np.int32],
    plane: NDArray[np.int8],
    label: NDArray[np.uint8],
    texture: NDArray[np.int8],
    spot_at: NDArray[np.uint8],
) -> int:
    """Lay planes (3, n, n) and spots (n, n) on the grid, each cell the quad at its centre; return how many cells are spots."""
    bad = 0
    for k in range(N_CELLS):
        i, j, u, v = at[0, k], at[1, k], CELL_COLUMN[k], CELL_ROW[k]
        for p in range(3):
            texture[p, v, u] = plane[p, j, i]
        spot_at[v, u] = label[j, i]
        bad += label[j, i] > 0
    return bad


@njit(cache=True, nogil=True)
def lay_colour(
    words: NDArray[np.uint16],
    origin: tuple[int, int],
    at: NDArray[np.int32],
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
        i, j = origin[0] + at[0, k], 2 * (origin[1] + at[1, k])
        b, r = np.int32(words[j + blue_at[0], i]), np.int32(words[j + 1 - blue_at[0], i])
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
