"""How well the skin of two views agrees if one of them is turned.

Shading and gloss stand still while the fruit turns, and would pull towards no turn at all. So skin is compared in a band
between pores and shading, in the middle of the disc, and not by lightness alone: green over red knows nothing of either.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import DARK, GREEN, INNER
from citrus_grade.imaging.rotation import multiply, rotation_by
from citrus_grade.imaging.skin import VECTOR, part_of
from citrus_grade.tables import GRID

LIMIT = 0.72
"""Share of the squared radius inside which skin is compared."""
STEP_RAD = 0.09
"""Spacing of the survey, about a cell of the half grid."""
REACH = (6, 5, 3)
"""Steps that the survey goes to either side: about x, about y as the fruit turns, about z."""
_PLANES, _WEIGHTS, _MOST = (DARK, GREEN), (np.float32(3.0), np.float32(4.0)), (np.float32(30.0), np.float32(40.0))
_FINE_CELLS, _BROAD_CELLS, _TAPS = 0.8, 2.5, 6
_PER_WEIGHT, _PER_CELL = 0.10, 0.15
"""Independent samples in a unit of a survey's weight, and in a cell of a refinement."""
_HALF = GRID // 2
_LEAST_Z = float(np.sqrt(1 - LIMIT))


def _inside(n: int, limit: float) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Return the cells (m,) of a grid of ``n`` a side inside a limit, and where on the sphere they lie, (3, m)."""
    axis = (2 * np.arange(n) + 1) / n - 1
    row, column = np.nonzero(axis[:, None] ** 2 + axis**2 <= limit)
    x, y = axis[column], axis[row]
    return (row * n + column).astype(np.int32), np.array([x, y, np.sqrt(1 - x * x - y * y)])


def _taps(sigma_cells: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return a Gaussian's taps, and by what a patch blurred by it is to be multiplied, as it is blank outside `INNER`."""
    tap = np.exp(-0.5 * (np.arange(-_TAPS, _TAPS + 1) / sigma_cells) ** 2)
    tap /= tap.sum()
    patch = np.zeros((GRID, GRID))
    patch.flat[_inside(GRID, INNER)[0]] = 1.0
    blur = np.array([np.convolve(row, tap, "same") for row in patch])
    blur = np.array([np.convolve(column, tap, "same") for column in blur.T]).T
    return tap.astype(np.float32), (patch / np.maximum(blur, 1e-3)).astype(np.float32)


_FINE_TAPS, _FINE_SCALE = _taps(_FINE_CELLS)
_BROAD_TAPS, _BROAD_SCALE = _taps(_BROAD_CELLS)
_CELL, _POINT = _inside(GRID, LIMIT)
_HALF_CELL, _half_point = _inside(_HALF, LIMIT)
_HALF_POINT: NDArray[np.float32] = _half_point.astype(np.float32)
SURVEY = (2 * REACH[0] + 1, 2 * REACH[1] + 1, 2 * REACH[2] + 1)
_NODE: NDArray[np.float64] = np.array([rotation_by(STEP_RAD * (np.array(at) - REACH)) for at in np.ndindex(SURVEY)]).reshape(
    *SURVEY, 3, 3
)
"""Rotations of the survey's grid."""


class Skin(NamedTuple):
    """Skin of a fruit's views, made to be compared by `look`.

    ``fine`` (n_views, 2, grid, grid) weighted band of each plane. ``half`` (n_views, (grid / 2)**2) the same, both planes in a
    word. ``chances`` (n_views, *shape) evidence of each survey. ``blur`` (3, grid, grid), ``word`` (m,) and ``point`` (3, m) are
    scratch.
    """

    fine: NDArray[np.float32]
    half: NDArray[np.int32]
    chances: NDArray[np.float64]
    blur: NDArray[np.float32]
    word: NDArray[np.int32]
    point: NDArray[np.float32]


def blank_skin(n_views: int) -> Skin:
    """Return room for the skin of up to ``n_views`` views."""
    most = len(_HALF_CELL) + VECTOR
    return Skin(
        fine=np.zeros((n_views, 2, GRID, GRID), np.float32),
        half=np.zeros((n_views, _HALF * _HALF), np.int32),
        chances=np.zeros((n_views, *SURVEY)),
        blur=np.zeros((3, GRID, GRID), np.float32),
        word=np.zeros(most, np.int32),
        point=np.zeros((3, most), np.float32),
    )


@njit(cache=True, nogil=True)
def _blur(patch: NDArray[np.float32], tap: NDArray[np.float32], across: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Blur a patch, blank beyond its edges, along both axes."""
    across[:] = 0.0
    out[:] = 0.0
    for t in range(2 * _TAPS + 1):
        first, end = max(0, _TAPS - t), min(GRID, GRID + _TAPS - t)
        for j in range(GRID):
            for i in range(first, end):
                across[j, i] += tap[t] * patch[j, i + t - _TAPS]
    for j in range(GRID):
        for t in range(max(0, _TAPS - j), min(2 * _TAPS + 1, GRID + _TAPS - j)):
            for i in range(GRID):
                out[j, i] += tap[t] * across[j + t - _TAPS, i]


@njit(cache=True, nogil=True)
def look(patch_of: NDArray[np.uint32], skin: Skin, v: int) -> None:
    """Take the ``skin`` (grid, grid) of a `tables.VIEW` for view ``v``."""
    across, broad, patch = skin.blur[0], skin.blur[1], skin.blur[2]
    skin.half[v] = 0
    for p in range(2):
        fine, most = skin.fine[v, p], _MOST[p]
        for j in range(GRID):
            for i in range(GRID):
                patch[j, i] = min(max(np.float32(part_of(patch_of[j, i], _PLANES[p])), -most), most)
        _blur(patch, _FINE_TAPS, across, fine)
        _blur(patch, _BROAD_TAPS, across, broad)
        for j in range(GRID):
            for i in range(GRID):
                fine[j, i] = _WEIGHTS[p] * (fine[j, i] * _FINE_SCALE[j, i] - broad[j, i] * _BROAD_SCALE[j, i])
        for j in range(_HALF):
            for i in range(_HALF):
                upper, lower = fine[2 * j, 2 * i : 2 * i + 2], fine[2 * j + 1, 2 * i : 2 * i + 2]
                mean = np.float32(0.25) * (upper[0] + upper[1] + lower[0] + lower[1])
                word = np.int32(min(max(mean, np.float32(-127)), np.float32(127))) & np.int32(255)
                skin.half[v, j * _HALF + i] |= word << np.int32(8 * p)


@njit(cache=True, nogil=True, error_model="numpy")
def _evidence(
    word: NDArray[np.int32], px: NDArray[np.float32], py: NDArray[np.float32], pz: NDArray[np.float32], half: NDArray[np.int32],
    turn: NDArray[np.float64],
) -> float:  # fmt: skip
    """Return how much likelier two views of the same skin are than of two skins if turned so, in natural logarithms.

    Correlation of the two in whole numbers and without a branch: exact in any order, so that it compiles to vector instructions.
    """
    a, b, c = np.float32(turn[0, 0]), np.float32(turn[0, 1]), np.float32(turn[0, 2])
    d, e, f = np.float32(turn[1, 0]), np.float32(turn[1, 1]), np.float32(turn[1, 2])
    g, h, i = np.float32(turn[2, 0]), np.float32(turn[2, 1]), np.float32(turn[2, 2])
    zero, one, scale, last = np.float32(0), np.float32(1), np.float32(_HALF / 2), np.float32(_HALF - 1)
    least = np.float32(_LEAST_Z)
    weight, own, others, both = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
    for k in range(len(word)):
        x, y, z = px[k], py[k], pz[k]
        column = np.int32(min(max((a * x + b * y + c * z + one) * scale, zero), last))
        row = np.int32(min(max((d * x + e * y + f * z + one) * scale, zero), last))
        depth = min(g * x + h * y + i * z, z) - least
        w = np.int32(max(depth, zero) * np.float32(16)) + np.int32(depth > zero)
        mine, other = word[k], half[row * np.int32(_HALF) + column]
        p, q = np.int32(np.int8(mine)), np.int32(np.int8(mine >> np.int32(8)))
        r, s = np.int32(np.int8(other)), np.int32(np.int8(other >> np.int32(8)))
        weight += w
        own += w * (p * p + q * q)
        others += w * (r * r + s * s)
        both += w * (p * r + q * s)
    if both <= 0:
        return 0.0
    square = np.float64(both) * np.float64(both) / (np.float64(own) * np.float64(others))
    return float(-0.5 * _PER_WEIGHT * np.float64(weight) * np.log(1.0 - min(square, 0.999)))


@njit(cache=True, nogil=True)
def _facing(skin: Skin, v: int, turn: NDArray[np.float64], least_z: float) -> int:
    """Fill ``word`` and ``point`` with a view's cells that face the camera when turned so; return how many: whole vectors."""
    word, point, m = skin.word, skin.point, 0
    for k in range(len(_HALF_CELL)):
        if turn[2, 0] * _HALF_POINT[0, k] + turn[2, 1] * _HALF_POINT[1, k] + turn[2, 2] * _HALF_POINT[2, k] > least_z:
            word[m] = skin.half[v, _HALF_CELL[k]]
            point[0, m], point[1, m], point[2, m] = _HALF_POINT[0, k], _HALF_POINT[1, k], _HALF_POINT[2, k]
            m += 1
    while m % VECTOR:
        # Behind the fruit: of no weight.
        word[m], point[0, m], point[1, m], point[2, m] = 0, 0.0, 0.0, -1.0
        m += 1
    return m


@njit(cache=True, nogil=True)
def survey(
    skin: Skin, pair: tuple[int, int], root: NDArray[np.float64], reach: tuple[int, int, int], out: NDArray[np.float64]
) -> None:
    """Fill ``out`` with the evidence for rotations ``root @ node @ root`` within reach; ``root`` is half the expected turn.

    Every second node, as the balls of a closest packing lie: half the work, and no rotation is much further from a node.
    """
    half, right, turn = skin.half[pair[1]], np.empty((3, 3)), np.empty((3, 3))
    multiply(root, root, turn)
    m = _facing(skin, pair[0], turn, _LEAST_Z - STEP_RAD * reach[1])
    word, x, y, z = skin.word[:m], skin.point[0][:m], skin.point[1][:m], skin.point[2][:m]
    for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
        for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
            for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                out[i, j, k] = 0.0
                if (i + j + k) % 2:
                    continue
                multiply(_NODE[i, j, k], root, right)
                multiply(root, right, turn)
                out[i, j, k] = _evidence(word, x, y, z, half, turn)


@njit(cache=True, nogil=True, error_model="numpy")
def compare(
    a: NDArray[np.float32],
    b: NDArray[np.float32],
    turn: NDArray[np.float64],
    firm: NDArray[np.float64],
    pull: NDArray[np.float64],
) -> float:
    """Compare two views cell by cell, turned so: fill what `Tie` says of it; return their correlation (-1..1)."""
    weight, rest, aa, bb, ab = 0.0, 0.0, 0.0, 0.0, 0.0
    h00, h01, h02, h11, h12, h22, g0, g1, g2 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    scale = GRID / 2
    for k in range(len(_CELL)):
        x, y, z = _POINT[0, k], _POINT[1, k], _POINT[2, k]
        qz = turn[2, 0] * x + turn[2, 1] * y + turn[2, 2] * z
        if qz <= _LEAST_Z:
            continue
        qx = turn[0, 0] * x + turn[0, 1] * y + turn[0, 2] * z
        qy = turn[1, 0] * x + turn[1, 1] * y + turn[1, 2] * z
        u, v = (qx + 1.0) * scale - 0.5, (qy + 1.0) * scale - 0.5
        i, j = int(u), int(v)
        u, v = u - i, v - j
        w = min(z, qz) - _LEAST_Z + 0.03
        weight += w
        row, column = _CELL[k] // GRID, _CELL[k] % GRID
        for p in range(2):
            b00, b01, b10, b11 = b[p, j, i], b[p, j, i + 1], b[p, j + 1, i], b[p, j + 1, i + 1]
            top, bottom = b00 + u * (b01 - b00), b10 + u * (b11 - b10)
            there, mine = top + v * (bottom - top), np.float64(a[p, row, column])
            sx, sy = scale * (b01 - b00 + v * (b11 - b10 - b01 + b00)), scale * (bottom - top)
            off = mine - there
            # How the value changes as the point turns about x, y, z.
            t0, t1, t2 = -sy * qz, sx * qz, sy * qx - sx * qy
            h00, h01, h02 = h00 + w * t0 * t0, h01 + w * t0 * t1, h02 + w * t0 * t2
            h11, h12, h22 = h11 + w * t1 * t1, h12 + w * t1 * t2, h22 + w * t2 * t2
            g0, g1, g2 = g0 + w * t0 * off, g1 + w * t1 * off, g2 + w * t2 * off
            rest += w * off * off
            aa, bb, ab = aa + w * mine * mine, bb + w * there * there, ab + w * mine * there
    per = _PER_CELL * 2.0 * weight / (rest + 1e-6)
    firm[0, 0], firm[0, 1], firm[0, 2] = per * h00, per * h01, per * h02
    firm[1, 0], firm[1, 1], firm[1, 2] = per * h01, per * h11, per * h12
    firm[2, 0], firm[2, 1], firm[2, 2] = per * h02, per * h12, per * h22
    pull[0], pull[1], pull[2] = per * g0, per * g1, per * g2
    return float(ab / np.sqrt(aa * bb + 1e-6))
