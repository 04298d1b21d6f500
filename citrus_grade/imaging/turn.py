"""How a fruit turned between its views, told by its own skin.

Rollers slip, so where a view lies on the fruit is measured, not assumed. On the unit disc of `imaging.disc` two views of a fruit
differ by a rotation. Every two neighbours are surveyed on a grid of rotations around the expected one (Albiol et al., Sensors
21, 2232, 2021, correlate points of a sphere so); what all of a fruit's pairs like best narrows what each of them may be; each
is then refined to a part of a cell, and so are views that meet again after a whole turn. Least squares joins them all. A pair
that shows no texture has no say in it.

Shading and gloss stand still while the fruit turns, and would pull towards no turn at all. So skin is compared in a band
between pores and shading, in the middle of the disc, and not by lightness alone: green over red knows nothing of either.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import DARK, GREEN, INNER
from citrus_grade.imaging.skin import VECTOR, part_of
from citrus_grade.tables import GRID

LIMIT = 0.72
"""Share of the squared radius inside which skin is compared."""
GATE = 4.0
"""Evidence (natural logarithm of odds) that chance reaches somewhere on the survey's grid; a pair needs more to have a say."""
USUAL_GATE = 2.0
"""Evidence by which a usual turn must be likelier than the expected one to replace it; noise gets there in 1 fruit of 100."""
STEP_RAD = 0.09
"""Spacing of the survey, about a cell of the half grid."""
REACH = (6, 5, 3)
"""Steps that the survey goes to either side: about x, about y as the fruit turns, about z."""
FRUIT_SPREAD = ((0.03, 0.25), (0.06, 0.12), (0.03, 0.13))
"""Standard deviation of a fruit's usual turn from the expected one, by axis: in rad, and in parts of the turn."""
PAIR_SPREAD = ((0.06, 0.06), (0.10, 0.06), (0.05, 0.05))
"""Standard deviation of a single turn from the fruit's usual one."""
CLOSE_COS = 0.6
"""Views at least three apart whose axes meet at less than the angle with this cosine show the same skin again."""

USUAL_SCORE = 0.6
"""Pairs that agree this well tell how far the rollers turn fruit, see `usual_turn`."""

_PLANES, _WEIGHTS, _MOST = (DARK, GREEN), (np.float32(3.0), np.float32(4.0)), (np.float32(30.0), np.float32(40.0))
_FINE_CELLS, _BROAD_CELLS, _TAPS = 0.8, 2.5, 6
_PER_WEIGHT, _PER_CELL = 0.10, 0.15
"""Independent samples in a unit of a survey's weight, and in a cell of a refinement."""
_REFINE_ROUNDS, _JOIN_ROUNDS, _LARGEST_RAD = 3, 3, 0.08
_HALF = GRID // 2
_LEAST_Z = float(np.sqrt(1 - LIMIT))


def _rotation(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation by a vector's length about its direction (Rodrigues)."""
    angle = float(np.linalg.norm(w)) or 1.0
    cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]]) / angle
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


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
_SHAPE = (2 * REACH[0] + 1, 2 * REACH[1] + 1, 2 * REACH[2] + 1)
_NODE: NDArray[np.float64] = np.array([_rotation(STEP_RAD * (np.array(at) - REACH)) for at in np.ndindex(_SHAPE)]).reshape(
    *_SHAPE, 3, 3
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
        chances=np.zeros((n_views, *_SHAPE)),
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


@njit(cache=True, nogil=True)
def _mul(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill ``out`` with ``a @ b``; it may be neither of them."""
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]


@njit(cache=True, nogil=True)
def _from(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill ``out`` with ``b @ a.T``, the rotation from ``a`` to ``b``."""
    for i in range(3):
        for j in range(3):
            out[i, j] = b[i, 0] * a[j, 0] + b[i, 1] * a[j, 1] + b[i, 2] * a[j, 2]


@njit(cache=True, nogil=True)
def _exp(x: float, y: float, z: float, out: NDArray[np.float64]) -> None:
    """Fill ``out`` with the rotation by a vector (Rodrigues)."""
    t = np.sqrt(x * x + y * y + z * z)
    s = np.sin(t) / t if t > 1e-9 else 1.0
    d = (1.0 - np.cos(t)) / (t * t) if t > 1e-9 else 0.5
    out[0, 0], out[0, 1], out[0, 2] = 1.0 - d * (y * y + z * z), d * x * y - s * z, d * x * z + s * y
    out[1, 0], out[1, 1], out[1, 2] = d * x * y + s * z, 1.0 - d * (x * x + z * z), d * y * z - s * x
    out[2, 0], out[2, 1], out[2, 2] = d * x * z - s * y, d * y * z + s * x, 1.0 - d * (x * x + y * y)


@njit(cache=True, nogil=True)
def _log(turn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the vector of a rotation by less than pi."""
    x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    s = np.sqrt(x * x + y * y + z * z)
    f = np.arctan2(s, turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0) / s if s > 1e-9 else 0.5
    return f * x, f * y, f * z


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
def _survey(
    skin: Skin, pair: tuple[int, int], root: NDArray[np.float64], reach: tuple[int, int, int], out: NDArray[np.float64]
) -> None:
    """Fill ``out`` with the evidence for rotations ``root @ node @ root`` within reach; ``root`` is half the expected turn.

    Every second node, as the balls of a closest packing lie: half the work, and no rotation is much further from a node.
    """
    half, right, turn = skin.half[pair[1]], np.empty((3, 3)), np.empty((3, 3))
    _mul(root, root, turn)
    m = _facing(skin, pair[0], turn, _LEAST_Z - STEP_RAD * reach[1])
    word, x, y, z = skin.word[:m], skin.point[0][:m], skin.point[1][:m], skin.point[2][:m]
    for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
        for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
            for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                out[i, j, k] = 0.0
                if (i + j + k) % 2:
                    continue
                _mul(_NODE[i, j, k], root, right)
                _mul(root, right, turn)
                out[i, j, k] = _evidence(word, x, y, z, half, turn)


@njit(cache=True, nogil=True)
def _widen(
    chances: NDArray[np.float64], reach: tuple[int, int, int], spread: NDArray[np.float64], total: NDArray[np.float64]
) -> None:
    """Add to ``total`` the evidence for every usual turn, given that of single turns that may deviate from it by ``spread``."""
    now = chances.copy()
    for axis in range(3):
        before, cost = now.copy(), 0.5 * (STEP_RAD / spread[axis]) ** 2
        for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
            for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
                for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                    at = (i, j, k)[axis]
                    best = 0.0
                    for m in range(REACH[axis] - reach[axis], REACH[axis] + reach[axis] + 1):
                        there = before[m, j, k] if axis == 0 else (before[i, m, k] if axis == 1 else before[i, j, m])
                        best = max(best, there - cost * (m - at) * (m - at))
                    now[i, j, k] = best
    total += now


@njit(cache=True, nogil=True)
def _likeliest(
    chances: NDArray[np.float64], reach: tuple[int, int, int], usual: NDArray[np.float64], spread: NDArray[np.float64],
    found: NDArray[np.float64],
) -> float:  # fmt: skip
    """Fill ``found`` with the likeliest deviation from ``usual``, known to within ``spread``; return its odds, in logarithms."""
    best = -np.inf
    for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
        for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
            for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                x, y, z = STEP_RAD * (i - REACH[0]), STEP_RAD * (j - REACH[1]), STEP_RAD * (k - REACH[2])
                off = ((x - usual[0]) / spread[0]) ** 2 + ((y - usual[1]) / spread[1]) ** 2 + ((z - usual[2]) / spread[2]) ** 2
                if chances[i, j, k] - 0.5 * off > best:
                    best = chances[i, j, k] - 0.5 * off
                    found[0], found[1], found[2] = x, y, z
    return best


class Tie(NamedTuple):
    """What ties views ``u`` and ``v``: near rotation ``at`` a turn by e more costs ``e @ firm @ e / 2 - pull @ e``."""

    views: NDArray[np.int64]
    at: NDArray[np.float64]
    firm: NDArray[np.float64]
    pull: NDArray[np.float64]


@njit(cache=True, nogil=True, error_model="numpy")
def _compare(
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


@njit(cache=True, nogil=True)
def _hold(
    root: NDArray[np.float64],
    usual: NDArray[np.float64],
    spread: NDArray[np.float64],
    at: NDArray[np.float64],
    firm: NDArray[np.float64],
) -> None:
    """Fill the tie of what is expected: the turn ``usual`` from ``root @ root`` to within ``spread``."""
    right = np.empty((3, 3))
    _exp(usual[0], usual[1], usual[2], firm)
    _mul(firm, root, right)
    _mul(root, right, at)
    for i in range(3):
        for j in range(3):
            firm[i, j] = 0.0
            for k in range(3):
                firm[i, j] += root[i, k] * root[j, k] / (spread[k] * spread[k])


@njit(cache=True, nogil=True)
def _around(tie: Tie, e: int, turn: NDArray[np.float64], firm: NDArray[np.float64], pull: NDArray[np.float64]) -> None:
    """Fill what a tie costs around another rotation: ``firm`` is the same, the ``pull`` less what it has already given in to."""
    more = np.empty((3, 3))
    _from(tie.at[e], turn, more)
    given = _log(more)
    for i in range(3):
        pull[i] = tie.pull[e, i]
        for j in range(3):
            firm[i, j] = tie.firm[e, i, j]
            pull[i] -= firm[i, j] * given[j]


@njit(cache=True, nogil=True)
def _solve(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Solve a symmetric positive definite system in place (Cholesky), in a fixed order; the answer is left in ``b``."""
    m = len(b)
    for i in range(m):
        for j in range(i + 1):
            value = a[i, j]
            for k in range(j):
                value -= a[i, k] * a[j, k]
            a[i, j] = np.sqrt(value) if i == j else value / a[j, j]
        value = b[i]
        for k in range(i):
            value -= a[i, k] * b[k]
        b[i] = value / a[i, i]
    for i in range(m - 1, -1, -1):
        value = b[i]
        for k in range(i + 1, m):
            value -= a[k, i] * b[k]
        b[i] = value / a[i, i]


@njit(cache=True, nogil=True)
def _further(step: NDArray[np.float64], largest: float, turn: NDArray[np.float64]) -> None:
    """Turn ``turn`` further by a vector, at most by ``largest``."""
    length = np.sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2])
    part, more, before = min(1.0, largest / (length + 1e-12)), np.empty((3, 3)), turn.copy()
    _exp(part * step[0], part * step[1], part * step[2], more)
    _mul(more, before, turn)


@njit(cache=True, nogil=True)
def _refine(skin: Skin, ties: Tie, held: int, e: int) -> None:
    """Refine tie ``e`` from where it is at, held by tie ``held`` (Gauss-Newton), and fill it."""
    u, v = ties.views[e]
    firm, pull, turn = np.empty((3, 3)), np.empty(3), ties.at[e]
    for _ in range(_REFINE_ROUNDS):
        _compare(skin.fine[u], skin.fine[v], turn, ties.firm[e], ties.pull[e])
        _around(ties, held, turn, firm, pull)
        firm += ties.firm[e]
        pull += ties.pull[e]
        _solve(firm, pull)
        _further(pull, _LARGEST_RAD, turn)
    _compare(skin.fine[u], skin.fine[v], turn, ties.firm[e], ties.pull[e])


@njit(cache=True, nogil=True)
def _join(ties: Tie, n_ties: int, turns: NDArray[np.float64], n: int) -> None:
    """Turn all views but the first so that their ties cost least."""
    m = 3 * (n - 1)
    turn, firm, pull, bent = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    for _ in range(_JOIN_ROUNDS):
        a, b = np.zeros((m, m)), np.zeros(m)
        for e in range(n_ties):
            u, v = ties.views[e]
            _from(turns[u], turns[v], turn)
            _around(ties, e, turn, firm, pull)
            _mul(firm, turn, bent)
            for i in range(3):
                at = 3 * (v - 1) + i
                b[at] += pull[i]
                for j in range(3):
                    a[at, 3 * (v - 1) + j] += firm[i, j]
                    if u > 0:
                        a[at, 3 * (u - 1) + j] -= bent[i, j]
                        b[3 * (u - 1) + i] -= turn[j, i] * pull[j]
                        for k in range(3):
                            a[3 * (u - 1) + i, 3 * (u - 1) + j] += turn[k, i] * bent[k, j]
        _solve(a, b)
        for v in range(1, n):
            _further(b[3 * (v - 1) : 3 * v], 4 * _LARGEST_RAD, turns[v])


@njit(cache=True, nogil=True)
def _root(turn: NDArray[np.float64], root: NDArray[np.float64]) -> float:
    """Fill half of a rotation; return by how much it turns about y."""
    x, y, z = _log(turn)
    _exp(0.5 * x, 0.5 * y, 0.5 * z, root)
    return y


@njit(cache=True, nogil=True)
def _spread(by_axis: tuple[tuple[float, float], ...], angle: float) -> NDArray[np.float64]:
    spread = np.empty(3)
    for axis in range(3):
        spread[axis] = by_axis[axis][0] + by_axis[axis][1] * angle
    return spread


@njit(cache=True, nogil=True)
def _reach(x: float, y: float, z: float) -> tuple[int, int, int]:
    """Return the steps to either side that a survey takes for these angles."""
    return min(int(x / STEP_RAD), REACH[0]), min(int(y / STEP_RAD), REACH[1]), min(int(z / STEP_RAD), REACH[2])


@njit(cache=True, nogil=True)
def _start(root: NDArray[np.float64], found: NDArray[np.float64], ties: Tie, views: tuple[int, int], e: int) -> None:
    ties.views[e, 0], ties.views[e, 1] = views
    node, right = np.empty((3, 3)), np.empty((3, 3))
    _exp(found[0], found[1], found[2], node)
    _mul(node, root, right)
    _mul(root, right, ties.at[e])


@njit(cache=True, nogil=True)
def _tie_neighbours(
    skin: Skin,
    n: int,
    roots: NDArray[np.float64],
    times: NDArray[np.float64],
    reach: tuple[int, int, int],
    usual: NDArray[np.float64],
    spread: NDArray[np.float64],
    turns: NDArray[np.float64],
    ties: Tie,
    score: NDArray[np.float64],
) -> int:
    """Tie neighbours by what is expected and, past the gate, by what their skin says; turn them so; return the number of ties.

    ``times`` (n - 1,): how many usual turns lie between two neighbours. ``score`` (n - 1,) is 1 past the gate, else 0.
    """
    n_ties, found = n - 1, np.empty(3)
    for k in range(n - 1):
        likely, width = times[k] * usual, max(abs(times[k]), 1.0) * spread
        ties.views[k, 0], ties.views[k, 1] = k, k + 1
        _hold(roots[k], likely, width, ties.at[k], ties.firm[k])
        tie, score[k] = k, 0.0
        if _likeliest(skin.chances[k], reach, likely, width, found) > GATE:
            tie, score[k] = n_ties, 1.0
            _start(roots[k], found, ties, (k, k + 1), tie)
            _refine(skin, ties, k, tie)
            n_ties += 1
        _mul(ties.at[tie], turns[k], turns[k + 1])
    return n_ties


@njit(cache=True, nogil=True)
def _close(skin: Skin, n: int, turns: NDArray[np.float64], spread: NDArray[np.float64], ties: Tie, n_ties: int) -> int:
    """Tie views that show the same skin again after a whole turn; return the number of ties."""
    turn, root, found, none = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.zeros(3)
    for u in range(n - 3):
        for v in range(u + 3, n):
            _from(turns[u], turns[v], turn)
            if turn[2, 2] < CLOSE_COS:
                continue
            _root(turn, root)
            # Errors of single turns add up on the way round.
            wide = np.sqrt(float(v - u)) * spread
            reach = _reach(2 * wide[0], 2 * wide[1], 2 * wide[2])
            _survey(skin, (u, v), root, reach, skin.chances[n - 1])
            if _likeliest(skin.chances[n - 1], reach, none, wide, found) < GATE:
                continue
            _start(root, found, ties, (u, v), n_ties)
            held = len(ties.views) - 1
            _hold(root, found, 0.5 * wide, ties.at[held], ties.firm[held])
            _refine(skin, ties, held, n_ties)
            n_ties += 1
    return n_ties


@njit(cache=True, nogil=True)
def measure_turns(skin: Skin, n: int, turns: NDArray[np.float64], score: NDArray[np.float64]) -> None:
    """Measure how a fruit's ``n`` views are turned.

    Parameters
    ----------
    skin : as `look` took it.
    turns : (n_views, 3, 3) rotations, fruit to view, by travel: those expected are replaced by those measured; the first stays.
    score : (n_views - 1,) filled with the correlation of each two neighbours' skin (-1..1), 0 where it has no say.
    """
    if n < 2:
        return
    turn, roots, angles = np.empty((3, 3)), np.empty((n - 1, 3, 3)), np.empty(n - 1)
    for k in range(n - 1):
        _from(turns[k], turns[k + 1], turn)
        angles[k] = _root(turn, roots[k])
    angle = np.sort(angles)[(n - 2) // 2]
    # Neighbours further apart, a view missing between them, deviate by as much more; sights differ by less than a half.
    times = np.ones(n - 1)
    for k in range(n - 1):
        if abs(angles[k] - angle) > 0.5 * abs(angle) > 0.0:
            times[k] = angles[k] / angle
    angle = abs(angle)
    reach = _reach(0.12 + 0.35 * angle, np.pi, 0.10 + 0.16 * angle)
    spread, total, usual = _spread(PAIR_SPREAD, angle), np.zeros(_SHAPE), np.empty(3)
    for k in range(n - 1):
        _survey(skin, (k, k + 1), roots[k], reach, skin.chances[k])
        if times[k] == 1.0:
            _widen(skin.chances[k], reach, spread, total)
    if _likeliest(total, reach, np.zeros(3), _spread(FRUIT_SPREAD, angle), usual) < total[REACH] + USUAL_GATE:
        usual[:] = 0.0
    most = 2 * n + n * n // 2
    ties = Tie(np.zeros((most, 2), np.int64), np.zeros((most, 3, 3)), np.zeros((most, 3, 3)), np.zeros((most, 3)))
    n_ties = _tie_neighbours(skin, n, roots, times, reach, usual, spread, turns, ties, score)
    n_ties = _close(skin, n, turns, spread, ties, n_ties)
    _join(ties, n_ties, turns, n)
    for k in range(n - 1):
        if score[k] > 0.0:
            _from(turns[k], turns[k + 1], turn)
            score[k] = _compare(skin.fine[k], skin.fine[k + 1], turn, np.empty((3, 3)), np.empty(3))


def usual_turn(steps: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Return how far fruit usually turns about y from one view to the next, in rad: the median over pairs that agree well.

    ``steps`` (n, 3, 3) rotations between neighbours of any fruit, ``score`` (n,) as `measure_turns` gives it.
    """
    sure = steps[score >= USUAL_SCORE]
    return float(np.median(np.arctan2(sure[:, 0, 2] - sure[:, 2, 0], sure[:, 0, 0] + sure[:, 2, 2])))
