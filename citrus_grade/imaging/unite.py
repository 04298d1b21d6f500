"""Blemishes that overlap on the fruit are one: a view may show a part of it, or two parts that another view shows whole."""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import CELL_COLUMN, CELL_ROW, CELL_X, CELL_Y, N_CELLS, SPOT
from citrus_grade.imaging.forest import COARSE_QUADS
from citrus_grade.imaging.marks import BLEMISH, NOTHING, SIDE, Marks
from citrus_grade.imaging.weigh import are_one

OVERLAP = 0.1
"""Share of the smaller one's places that the other one has too from which two blemishes are one."""
_FACE = np.int64(SIDE * SIDE)


@njit(cache=True, nogil=True)
def start(found: Marks, n: int, n_views: int, radius: float) -> bool:
    """Make room to lay the blemishes among ``n`` marks; say whether two at least are one, or may be if they overlap.

    ``radius`` of the fruit, quads: where it is small, a forest decides now which are one.
    """
    blemishes, ones, coarse = 0, 0, radius < COARSE_QUADS
    found.one[:n, :n] = False
    for b in range(n):
        if found.kind[b] != BLEMISH:
            continue
        blemishes += 1
        for a in range(b if coarse else 0):
            found.one[a, b] = found.kind[a] == BLEMISH and are_one(found, a, b, n_views, radius)
            ones += found.one[a, b]
    if blemishes < 2 or (coarse and ones == 0):
        return False
    found.square[:] = 0
    found.squares[:n] = 0
    found.shared[:n, :n] = 0
    return True


@njit(cache=True, nogil=True)
def lay(skin: NDArray[np.uint32], v: int, turn: NDArray[np.float64], found: Marks) -> None:
    """Lay the blemishes of view ``v`` on the fruit: ``skin`` as a view has it, ``turn`` (3, 3) fruit to view."""
    for k in range(N_CELLS):
        spot = skin[CELL_ROW[k], CELL_COLUMN[k]] >> np.uint32(8 * SPOT)
        if spot == 0:
            continue
        mark = found.of[v, spot]
        if mark < 0 or found.kind[mark] != BLEMISH:
            continue
        x, y = float(CELL_X[k]), float(CELL_Y[k])
        z = np.sqrt(1.0 - x * x - y * y)
        at = _square(
            turn[0, 0] * x + turn[1, 0] * y + turn[2, 0] * z,
            turn[0, 1] * x + turn[1, 1] * y + turn[2, 1] * z,
            turn[0, 2] * x + turn[1, 2] * y + turn[2, 2] * z,
        )
        found.squares[mark] += 1
        owner = np.int64(found.square[at]) - 1
        if owner < 0:
            found.square[at] = mark + 1
        elif owner != mark:
            found.shared[min(owner, mark), max(owner, mark)] += 1


@njit(cache=True, nogil=True)
def _square(x: float, y: float, z: float) -> int:
    """Return in which square of the cube around the fruit a direction lies."""
    far = max(abs(x), abs(y), abs(z))
    if far == abs(x):
        face, p, q = 0, y, z
    elif far == abs(y):
        face, p, q = 2, z, x
    else:
        face, p, q = 4, x, y
    beyond = (x if face == 0 else y if face == 2 else z) < 0
    half, last = 0.5 * SIDE / far, SIDE - 1
    i, j = min(int((p + far) * half), last), min(int((q + far) * half), last)
    return int((face + beyond) * _FACE + j * SIDE + i)


@njit(cache=True, nogil=True)
def unite(found: Marks, n: int, n_views: int, radius: float) -> None:
    """Make one mark of blemishes that overlap, or on a fruit of a small ``radius``, quads, of those that a forest takes for one:
    the first, which takes the others' spots and what of their areas it lacks."""
    coarse = radius < COARSE_QUADS
    for b in range(n):
        for a in range(b):
            if not (found.one[a, b] if coarse else _overlap(found, a, b)):
                continue
            p, q = _whole(found, a), _whole(found, b)
            if p != q:
                _take(found, min(p, q), max(p, q), found.shared[a, b])
    for v in range(n_views):
        for s in range(found.of.shape[1]):
            if found.of[v, s] >= 0:
                found.of[v, s] = _whole(found, found.of[v, s])
    for a in range(n):
        found.kind[a] = max(found.kind[a], NOTHING)


@njit(cache=True, nogil=True)
def _overlap(found: Marks, a: int, b: int) -> bool:
    shared = found.shared[a, b]
    return bool(shared > 0 and shared >= OVERLAP * min(found.squares[a], found.squares[b]))


@njit(cache=True, nogil=True)
def _take(found: Marks, whole: int, part: int, shared: int) -> None:
    """Make ``part`` a part of ``whole``: its kind says of which, counted down from -1."""
    p, q, area = found.where[whole], found.where[part], found.area
    more = area[part] * max(0.0, 1.0 - shared / max(found.squares[part], 1))
    for c in range(3):
        p[c] = area[whole] * p[c] + more * q[c]
    norm = np.sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2])
    for c in range(3):
        p[c] /= norm
    area[whole] += more
    found.kind[part] = -1 - whole


@njit(cache=True, nogil=True)
def _whole(found: Marks, mark: int) -> int:
    """Return the mark that a mark is part of, itself if of none."""
    while found.kind[mark] < 0:
        mark = -1 - int(found.kind[mark])
    return mark
