"""Spots of a view: where skin stands out against its own neighbourhood, and what each may be.

A quad stands out when it is darker or bluer than the skin around it: pale scars are bluer, not darker, and natural shades of
green and red are as wide as the neighbourhood. Quads that touch are a spot; a forest learnt from labelled views says what it may
be.
"""

from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import BLUE, DARK, GREEN, INNER
from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

OUT, PEAK = 9 * 8, 9 * 12
"""How far the sum of 3 x 3 quads must stand out for a quad to belong to a spot, and for a spot to be one, in 1/100 log."""
LEAST_QUADS = 4
COARSE = 24
"""Points a side at which the skin's own level is taken, over the square around the disc."""
AROUND = 2
"""Points to either side that the neighbourhood reaches: a fifth of the radius."""
CLIP = 9 * 15
"""A point of the neighbourhood counts as standing out no further than this."""
MOST_RUNS = 512
RINGS = (0.0, 0.065, 0.12, 0.185, 0.27)
"""Radii of the rings around a spot's centre on which the planes are taken, in fruit radii."""
SPOKES = 12
N_FEATURES = 15 + 3 * len(RINGS) + len(RINGS) - 1
_COS = [float(np.cos(2 * np.pi * k / SPOKES)) for k in range(SPOKES)]
_SIN = [float(np.sin(2 * np.pi * k / SPOKES)) for k in range(SPOKES)]
SPOKE_X, SPOKE_Y = np.array(_COS), np.array(_SIN)
_RINGS = np.array(RINGS)


class Forest(NamedTuple):
    """Trees, end to end: of each node the ``feature`` asked (-1: a leaf), its ``threshold``, where to go if the feature is at
    most that (``low``) or not (``high``); of each leaf the ``chance`` (n_nodes, 3) of stem, stylar end, blemish. ``root``
    (n_trees,)."""

    root: NDArray[np.int32]
    feature: NDArray[np.int32]
    threshold: NDArray[np.float32]
    low: NDArray[np.int32]
    high: NDArray[np.int32]
    chance: NDArray[np.float32]


class SpotRoom(NamedTuple):
    """Room for the spots of a view of ``n`` quads a side."""

    out: NDArray[np.int16]
    sums: NDArray[np.int16]
    point: NDArray[np.int32]
    column: NDArray[np.int32]
    level: NDArray[np.int32]
    place: NDArray[np.int32]
    part: NDArray[np.float32]
    row: NDArray[np.float32]
    far: NDArray[np.float32]
    run: NDArray[np.int32]
    parent: NDArray[np.int32]
    stat: NDArray[np.float64]
    feature: NDArray[np.float32]


@lru_cache(maxsize=1)
def forest() -> Forest:
    """Return the forest that ships with the program (benchmarks/learn_spots.py has grown it)."""
    with (files("citrus_grade.imaging") / "spots.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return Forest(**{name: stored[name] for name in Forest._fields})


def spot_room(n: int) -> SpotRoom:
    """Return room for views of ``n`` quads a side."""
    return SpotRoom(
        out=np.zeros((n + 2, n + 2), np.int16),
        sums=np.zeros((n, n), np.int16),
        point=np.zeros((2, COARSE + 2 * AROUND, COARSE), np.int32),
        column=np.zeros((2, COARSE + 2 * AROUND), np.int32),
        level=np.zeros((COARSE, COARSE), np.int32),
        place=np.zeros((2, n), np.int32),
        part=np.zeros((2, n), np.float32),
        row=np.zeros(COARSE, np.float32),
        far=np.zeros(n, np.float32),
        run=np.zeros((MOST_RUNS, 3), np.int32),
        parent=np.zeros(MOST_RUNS, np.int32),
        stat=np.zeros((MOST_RUNS, 17)),
        feature=np.zeros((N_SPOTS, N_FEATURES), np.float32),
    )


@njit(cache=True, nogil=True)
def _dark_and_blue(dark: NDArray[np.int8], blue: NDArray[np.int8], out: NDArray[np.int16]) -> None:
    for i in range(len(out)):
        out[i] = ((np.int16(blue[i]) * np.int16(5)) >> np.int16(3)) - np.int16(dark[i])


@njit(cache=True, nogil=True)
def _add_three(above: NDArray[np.int16], own: NDArray[np.int16], below: NDArray[np.int16], out: NDArray[np.int16]) -> None:
    """Fill ``out`` (n,) with sums of 3 x 3; the rows (n + 2,) begin a column before it."""
    for i in range(len(out)):
        total = above[i] + above[i + 1] + above[i + 2] + own[i] + own[i + 1] + own[i + 2]
        out[i] = total + below[i] + below[i + 1] + below[i + 2]


@njit(cache=True, nogil=True)
def _stand_out(n: int, span: NDArray[np.int64], plane: NDArray[np.int8], room: SpotRoom) -> None:
    """Fill ``sums``: how far 3 x 3 quads together are dark and blue; what lies beyond the limb counts as sound.

    Rows lie one lower and one further right than in the planes, in a border of zeros.
    """
    room.out[0], room.out[n + 1] = 0, 0
    for j in range(n):
        left, end, out = span[j, 0], span[j, 1], room.out[j + 1]
        out[: left + 1], out[end + 1 :] = 0, 0
        _dark_and_blue(plane[DARK, j, left:end], plane[BLUE, j, left:end], out[left + 1 : end + 1])
    for j in range(n):
        left, end = span[j, 0], span[j, 1]
        _add_three(
            room.out[j, left : end + 2], room.out[j + 1, left : end + 2], room.out[j + 2, left : end + 2], room.sums[j, left:end]
        )


@njit(cache=True, nogil=True)
def _levels(n: int, x: float, y: float, wide: float, tall: float, span: NDArray[np.int64], room: SpotRoom) -> None:
    """Fill ``level``: the mean of the neighbourhood at each coarse point, from points inside only."""
    point, column, level = room.point, room.column, room.level
    for b in range(COARSE):
        j = int(y + tall * ((2 * b + 1) / COARSE - 1) + 0.5)
        for a in range(COARSE):
            i = int(x + wide * ((2 * a + 1) / COARSE - 1) + 0.5)
            inside = 0 <= j < n and span[j, 0] <= i < span[j, 1]
            point[0, b + AROUND, a] = min(max(room.sums[j, i], -2 * CLIP), CLIP) if inside else 0
            point[1, b + AROUND, a] = inside
    for b in range(COARSE):
        for what in range(2):  # values, then how many of them are inside
            for a in range(COARSE):
                total = 0
                for q in range(2 * AROUND + 1):
                    total += point[what, b + q, a]
                column[what, a + AROUND] = total
        for a in range(COARSE):
            total, count = 0, 0
            for p in range(2 * AROUND + 1):
                total += column[0, a + p]
                count += column[1, a + p]
            level[b, a] = total // max(count, 1)


@njit(cache=True, nogil=True, error_model="numpy")
def _between(first: float, step: float, place: NDArray[np.int32], part: NDArray[np.float32]) -> None:
    """Fill between which coarse points quads lie: ``place`` the lower, ``part`` how far from it to the next (0..1)."""
    last = np.float32(COARSE - 1.001)
    for i in range(len(place)):
        at = min(max(np.float32(first + i * step), np.float32(0)), last)
        place[i] = np.int32(at)
        part[i] = at - np.float32(place[i])


@njit(cache=True, nogil=True, error_model="numpy")
def _beside(
    sums: NDArray[np.int16], low: NDArray[np.int32], high: NDArray[np.int32], part_y: Any, place: NDArray[np.int32],
    part: NDArray[np.float32], level: NDArray[np.float32], far: NDArray[np.float32],
) -> Any:  # fmt: skip
    """Fill how far quads of a row stand out beside their neighbourhood; return the most.

    ``low``, ``high``: the coarse rows around it; ``part_y``: how far it lies from the one to the other.
    """
    for a in range(COARSE):
        level[a] = np.float32(low[a]) + part_y * np.float32(high[a] - low[a])
    most = np.float32(0)
    for i in range(len(sums)):
        p = place[i]
        far[i] = np.float32(sums[i]) - level[p] - part[i] * (level[p + 1] - level[p])
        most = max(most, far[i])
    return most


@njit(cache=True, nogil=True)
def on_disc(root: Any, dx: float, dy: float) -> tuple[float, float]:
    """Return where on the disc a quad lies, given from the fruit's centre."""
    det = root[0] * root[3] - root[1] * root[2]
    return (root[3] * dx - root[1] * dy) / det, (root[0] * dy - root[2] * dx) / det


@njit(cache=True, nogil=True)
def _runs(n: int, x: float, y: float, root: Any, wide: float, tall: float, span: NDArray[np.int64], room: SpotRoom) -> int:
    """Find the runs of quads that stand out, row by row; leave in ``out`` how far each of them does."""
    k, per_x, per_y = 0, COARSE / (2 * wide), COARSE / (2 * tall)
    _between((wide - x) * per_x - 0.5, per_x, room.place[0], room.part[0])
    _between((tall - y) * per_y - 0.5, per_y, room.place[1], room.part[1])
    far = room.far
    for j in range(n):
        left, end, q = span[j, 0], span[j, 1], room.place[1, j]
        columns = room.place[0, left:end], room.part[0, left:end]
        low, high, sums = room.level[q], room.level[q + 1], room.sums[j, left:end]
        if _beside(sums, low, high, room.part[1, j], columns[0], columns[1], room.row, far[left:end]) <= OUT:
            continue
        inside = False
        for i in range(left, end):
            u, v = on_disc(root, i - x, j - y) if far[i] > OUT else (1.0, 1.0)
            if u * u + v * v > INNER:
                inside = False
                continue
            room.out[j, i] = int(far[i])
            if not inside:
                if k == MOST_RUNS:
                    return k
                room.run[k, 0], room.run[k, 1] = j, i
                k, inside = k + 1, True
            room.run[k - 1, 2] = i + 1
    return k


@njit(cache=True, nogil=True)
def _find(parent: NDArray[np.int32], a: int) -> int:
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@njit(cache=True, nogil=True)
def _join_runs(k: int, room: SpotRoom) -> None:
    """Unite runs that touch, corners included."""
    run, parent, low = room.run, room.parent, 0
    for a in range(k):
        parent[a] = a
        while run[low, 0] < run[a, 0] - 1:
            low += 1
        for b in range(low, a):
            if run[b, 0] == run[a, 0] - 1 and run[b, 1] <= run[a, 2] and run[a, 1] <= run[b, 2]:
                p, q = _find(parent, a), _find(parent, b)
                if p != q:
                    parent[max(p, q)] = min(p, q)


_COUNT, _X, _Y, _XX, _YY, _XY, _FAR, _PEAK, _D, _B, _G, _DMIN, _BMAX, _DD, _FX, _FY, _FF = range(17)


@njit(cache=True, nogil=True)
def _sum_up(k: int, plane: NDArray[np.int8], room: SpotRoom) -> None:
    """Sum over the quads of each spot, at its first run."""
    for a in range(k):
        first = _find(room.parent, a)
        s = room.stat[first]
        if first == a:
            s[:] = 0.0
            s[_DMIN], s[_BMAX] = 127.0, -127.0
        j = room.run[a, 0]
        for i in range(room.run[a, 1], room.run[a, 2]):
            d, b = float(plane[DARK, j, i]), float(plane[BLUE, j, i])
            far = room.out[j, i] / 9.0
            s[_COUNT] += 1
            s[_X] += i
            s[_Y] += j
            s[_XX] += i * i
            s[_YY] += j * j
            s[_XY] += i * j
            s[_FAR] += far
            s[_FX] += far * far * i
            s[_FY] += far * far * j
            s[_FF] += far * far
            s[_PEAK] = max(s[_PEAK], far)
            s[_D] += d
            s[_DD] += d * d
            s[_B] += b
            s[_G] += plane[GREEN, j, i]
            s[_DMIN] = min(s[_DMIN], d)
            s[_BMAX] = max(s[_BMAX], b)


@njit(cache=True, nogil=True)
def _features(
    s: NDArray[np.float64],
    n: int,
    x: float,
    y: float,
    root: Any,
    span: NDArray[np.int64],
    plane: NDArray[np.int8],
    out: NDArray[np.float32],
) -> None:
    """Fill what is asked of a spot."""
    count = s[_COUNT]
    cx, cy = s[_X] / count, s[_Y] / count
    radius = np.sqrt(abs(root[0] * root[3] - root[1] * root[2]))
    xx, yy, xy = s[_XX] / count - cx * cx + 1 / 12, s[_YY] / count - cy * cy + 1 / 12, s[_XY] / count - cx * cy
    middle, half = 0.5 * (xx + yy), np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    long, short = middle + half, max(middle - half, 1 / 12)
    u, v = on_disc(root, cx - x, cy - y)
    mean = s[_D] / count
    out[0], out[1] = np.sqrt(count / np.pi) / radius, np.sqrt(long / short)
    out[2], out[3] = np.sqrt(long) / radius, count / (4 * np.pi * np.sqrt(long * short))
    out[4], out[5] = np.sqrt(max(1.0 - u * u - v * v, 0.0)), abs(u)
    out[6], out[7] = s[_FAR] / count, s[_PEAK]
    out[8], out[9], out[10], out[11] = mean, s[_B] / count, s[_G] / count, s[_DMIN]
    out[12], out[13] = s[_BMAX], np.sqrt(max(s[_DD] / count - mean * mean, 0.0))
    out[14] = s[_FAR] / (radius * radius)
    at = 15
    for p in range(3):
        for ring in range(len(_RINGS)):
            total, seen, least, most = 0.0, 0, 127.0, -127.0
            spokes = 1 if ring == 0 else SPOKES
            for k in range(spokes):
                i = int(cx + _RINGS[ring] * radius * SPOKE_X[k] + 0.5)
                j = int(cy + _RINGS[ring] * radius * SPOKE_Y[k] + 0.5)
                if 0 <= j < n and span[j, 0] <= i < span[j, 1]:
                    value = float(plane[p, j, i])
                    total += value
                    seen += 1
                    least, most = min(least, value), max(most, value)
            out[at] = total / seen if seen else 0.0
            at += 1
            if p == DARK and ring > 0:  # a star and a ring are uneven around, a blot is not
                out[14 + 3 * len(_RINGS) + ring] = most - least if seen else 0.0


@njit(cache=True, nogil=True)
def _ask(trees: Forest, feature: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Fill the chances of stem, stylar end and blemish: the mean over the trees."""
    out[0] = out[1] = out[2] = np.float32(0)
    for tree in range(len(trees.root)):
        node = trees.root[tree]
        while trees.feature[node] >= 0:
            node = trees.low[node] if feature[trees.feature[node]] <= trees.threshold[node] else trees.high[node]
        for c in range(3):
            out[c] += trees.chance[node, c]
    for c in range(3):
        out[c] /= np.float32(len(trees.root))


@njit(cache=True, nogil=True)
def find_spots(
    n: int,
    x: float,
    y: float,
    root: Any,
    span: NDArray[np.int64],
    plane: NDArray[np.int8],
    trees: Forest,
    room: SpotRoom,
    label: NDArray[np.uint8],
    spot: NDArray[np.float32],
) -> int:
    """Find the spots of a view; return how many.

    Parameters
    ----------
    n : quads a side. x, y : the fruit's centre, quads. root : takes the unit disc to quads.
    span : (n, 2) columns inside. plane : (3, n, n) as `skin.planes`.
    label : (n, n), filled inside the spans: one more than the spot a quad belongs to, 0 on sound skin.
    spot : (n_spots, 6) filled as `tables.VIEW` has it.
    """
    wide, tall = np.sqrt(root[0] ** 2 + root[1] ** 2), np.sqrt(root[2] ** 2 + root[3] ** 2)
    _stand_out(n, span, plane, room)
    _levels(n, x, y, wide, tall, span, room)
    k = _runs(n, x, y, root, wide, tall, span, room)
    _join_runs(k, room)
    _sum_up(k, plane, room)
    for j in range(n):
        label[j, span[j, 0] : span[j, 1]] = 0
    found = 0
    for _ in range(N_SPOTS):
        best = _largest(k, room)
        if best < 0:
            break
        _tell(best, n, x, y, root, span, plane, trees, room, room.feature[found], spot[found])
        found += 1
        room.stat[best, _PEAK] = -1.0 * found
    for a in range(k):
        which = room.stat[_find(room.parent, a), _PEAK]
        if which < 0:
            label[room.run[a, 0], room.run[a, 1] : room.run[a, 2]] = int(-which)
    return found


@njit(cache=True, nogil=True)
def _largest(k: int, room: SpotRoom) -> int:
    """Return the spot, not told of yet, that stands out most over all its quads; -1 if none is left."""
    best, most = -1, 0.0
    for a in range(k):
        s = room.stat[a]
        if room.parent[a] == a and s[_COUNT] >= LEAST_QUADS and s[_PEAK] > PEAK / 9.0 and s[_FAR] > most:
            best, most = a, s[_FAR]
    return best


@njit(cache=True, nogil=True)
def _tell(
    a: int, n: int, x: float, y: float, root: Any, span: NDArray[np.int64], plane: NDArray[np.int8], trees: Forest,
    room: SpotRoom, feature: NDArray[np.float32], spot: NDArray[np.float32],
) -> None:  # fmt: skip
    s = room.stat[a]
    _features(s, n, x, y, root, span, plane, feature)
    # Where it stands out most is its middle: an end's core, not its pleats nor a blemish that touches it.
    u, v = on_disc(root, s[_FX] / s[_FF] - x, s[_FY] / s[_FF] - y)
    far = np.sqrt(u * u + v * v)
    inward = min(1.0, np.sqrt(INNER) / far) if far > 0 else 1.0
    spot[SPOT_X], spot[SPOT_Y], spot[SPOT_RADIUS] = u * inward, v * inward, feature[0]
    _ask(trees, feature, spot[CHANCE_STEM : CHANCE_STEM + 3])
