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
_WIDE, _TIGHT = 0.30, 0.12
"""How far off the shading a sample may lie, of it, to have a say: after the first fit, and in the end."""
_ONE, _HALF, _LEAST, _PER_LOG, _PER_LOG_CUBED = (np.float32(v) for v in (1.0, 0.5, 4.0, 200.0, 200 / 3))
_MOST = np.int32(127)
_COUNT_BITS, _IN_A_WORD = 12, 5
_FEW, _REST = (np.array([1 << _COUNT_BITS * (k % 5) if k // 5 == half else 0 for k in range(16)], np.uint64) for half in (0, 1))
"""What a colour adds to two words in which colours are counted: counters in memory would wait for each other."""


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
    solve(SHADE_INVERSE, value, coef)
    if _replace(SHADE, coef, own, _TIGHT, value) > 0:
        _replace(SHADE, coef, own, _WIDE, value)
        for _ in range(_SHADE_ROUNDS - 1):
            solve(SHADE_INVERSE, value, coef)
            _replace(SHADE, coef, own, _TIGHT, value)
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
) -> int:
    """Fill ``value`` with the samples' own where they lie within the limit, else with the fit; return how many do not."""
    a, b, c, d, e, f, g, outliers = coef[0], coef[1], coef[2], coef[3], coef[4], coef[5], coef[6], np.int64(0)
    for s in range(len(value)):
        fitted = (
            a + b * design[1, s] + c * design[2, s] + d * design[3, s] + e * design[4, s] + f * design[5, s] + g * design[6, s]
        )
        off = not abs(own[s] - fitted) < limit * fitted
        outliers += np.int64(off)
        value[s] = fitted if off else own[s]
    return int(outliers)


@njit(cache=True, nogil=True, error_model="numpy")
def _log_ratio(a: Any, b: Any) -> Any:
    """Return 100 ln(a / b), for a vector unit: two terms of its series in (a - b) / (a + b), good to 2 % down to a third."""
    z = (a - b) / (a + b)
    return min(max(np.int32(z * (_PER_LOG + z * z * _PER_LOG_CUBED)), -_MOST), _MOST)


@njit(cache=True, nogil=True)
def _inside(per_aa: float, aa: float, bb: float, cc: float, x: float, n: int) -> tuple[int, int]:
    """Return first column and end of the quads of a row with ``aa dx**2 + 2 bb dx + cc <= 0``; equal if there are none."""
    disc = bb * bb - aa * cc
    if disc <= 0.0:
        return 0, 0
    reach = np.sqrt(disc)
    left, end = max(int(np.ceil(x - (bb + reach) * per_aa)), 0), min(int(np.floor(x + (reach - bb) * per_aa)) + 1, n)
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
    # u = pu dx + pv dy, v = qu dx + qv dy, and aa dx^2 + 2 ab dx dy + bb dy^2 their squares' sum.
    aa, ab, bb = pu * pu + qu * qu, pu * pv + qu * qv, pv * pv + qv * qv
    per_aa = 1.0 / aa
    b, c, d, e, f, g = coef[1], coef[2], coef[3], coef[4], coef[5], coef[6]
    # The shading's powers of dx, each of powers of dy.
    a01, a02, a04 = b * pv + c * qv, d * pv * pv + e * pv * qv + f * qv * qv, g * bb * bb
    a10, a11, a13 = b * pu + c * qu, 2 * d * pu * pv + e * (pu * qv + qu * pv) + 2 * f * qu * qv, 4 * g * ab * bb
    a20, a22 = d * pu * pu + e * pu * qu + f * qu * qu, g * (4 * ab * ab + 2 * aa * bb)
    a31, a40 = 4 * g * aa * ab, g * aa * aa
    for j in range(n):
        dy = j - y
        square = dy * dy
        span[j, 0], span[j, 1] = _inside(per_aa, aa, ab * dy, bb * square - limit, x, n)
        span[j, 2], span[j, 3] = _inside(per_aa, aa, ab * dy, bb * square - INNER, x, n)
        if span[j, 0] == span[j, 1]:
            continue
        # Whole vectors: the columns beyond are filled too, nobody reads them.
        width = min((span[j, 1] - span[j, 0] + VECTOR - 1) // VECTOR * VECTOR, n)
        left = min(span[j, 0], n - width)
        shade = (
            np.float32(coef[0] + dy * (a01 + dy * (a02 + square * a04))),
            np.float32(a10 + dy * (a11 + square * a13)),
            np.float32(a20 + square * a22),
            np.float32(a31 * dy),
            np.float32(a40),
        )
        row = 2 * (at[1] + j)
        with_blue, with_red = words[np.uint64(row + blue_at[0])], words[np.uint64(row + 1 - blue_at[0])]
        if blue_at[1]:
            _plane_row(with_blue, with_red, True, at[0], left, left + width, x, shade, own, skin[np.uint64(j)])
        else:
            _plane_row(with_blue, with_red, False, at[0], left, left + width, x, shade, own, skin[np.uint64(j)])


@njit(cache=True, nogil=True, error_model="numpy")
def _plane_row(
    with_blue: NDArray[np.uint16],
    with_red: NDArray[np.uint16],
    high: bool,
    origin: int,
    left: int,
    end: int,
    x: float,
    shade: tuple[Any, Any, Any, Any, Any],
    own: tuple[float, float],
    skin: NDArray[np.uint32],
) -> None:
    """Fill the planes of a row of quads; ``high``: blue is the second pixel of its row; ``shade``: powers of the shading."""
    s0, s1, s2, s3, s4 = shade
    blue_over_total, green_over_red = np.float32(own[0]), np.float32(own[1])
    middle, first, low, eight = np.float32(x), np.uint64(origin), np.uint16(255), np.uint16(8)
    for k in range(np.uint64(left), np.uint64(end)):
        b, r = with_blue[first + k], with_red[first + k]
        b0, b1, r0, r1 = np.int32(b & low), np.int32(b >> eight), np.int32(r & low), np.int32(r >> eight)
        bluest, reddest = (b1, r0) if high else (b0, r1)
        green_sum = np.int32(b0 + r1) if high else np.int32(b1 + r0)
        blues, reds, greens = np.float32(bluest), np.float32(reddest), np.float32(green_sum)
        total = greens + reds + _ONE
        t = np.float32(np.int32(k)) - middle
        expected = max(s0 + t * (s1 + t * (s2 + t * (s3 + t * s4))), _LEAST)
        dark = _log_ratio(total, expected)
        blue = _log_ratio(blues + _HALF, blue_over_total * total)
        green = _log_ratio(greens + _HALF, green_over_red * reds + _HALF)
        skin[k] = (dark & np.int32(255)) | (blue & np.int32(255)) << np.int32(8) | (green & np.int32(255)) << np.int32(16)


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
    sum_r, sum_g, sum_b, few, rest, three = 0, 0, 0, np.uint64(0), np.uint64(0), np.uint64(3)
    low, eight, high = np.uint64(255), np.uint64(8), blue_at[1] != 0
    for c in range(np.uint64(N_COLOUR_CELLS)):
        k = np.uint64(COLOUR_CELL[c])
        i, j = np.uint64(origin[0]) + np.uint64(at[0, k]), np.uint64(2) * (np.uint64(origin[1]) + np.uint64(at[1, k]))
        b, r = np.uint64(words[j + np.uint64(blue_at[0]), i]), np.uint64(words[j + np.uint64(1 - blue_at[0]), i])
        blue, red = (b >> eight, r & low) if high else (b & low, r >> eight)
        green = ((b & low) + (b >> eight) + (r & low) + (r >> eight) - blue - red) >> np.uint64(1)
        found = np.uint64(lut[((red >> three) << np.uint64(10)) | ((green >> three) << np.uint64(5)) | (blue >> three)])
        name = found & np.uint64(15)
        v, u = CELL_ROW[k] >> np.uint32(1), CELL_COLUMN[k] >> np.uint32(1)
        colour[v, u] = name
        hue[v, u] = found >> eight
        few += _FEW[name]
        rest += _REST[name]
        sum_r += int(red)
        sum_g += int(green)
        sum_b += int(blue)
    for c in range(len(count)):
        half = few if c < _IN_A_WORD else rest
        count[c] = (half >> np.uint64(_COUNT_BITS * (c % _IN_A_WORD))) & np.uint64((1 << _COUNT_BITS) - 1)
    return sum_r, sum_g, sum_b
