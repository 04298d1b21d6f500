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

from citrus_grade.imaging.disc import BLUE, DARK, GREEN, INNER, SPOT
from citrus_grade.imaging.skin import VECTOR, part_of
from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

OUT, PEAK = 9 * 8, 9 * 12
"""How far the sum of 3 x 3 quads must stand out for a quad to belong to a spot, and for a spot to be one, in 1/100 log."""
LEAST_QUADS = 4
COARSE = 24
"""Points a side at which the skin's own level is taken, over the square around the disc."""
AROUND = 2
"""Points to either side that the neighbourhood reaches, five in all: a fifth of the radius."""
CLIP = 9 * 15
"""A point of the neighbourhood counts as standing out no further than this."""
_ONE_TO_FOUR = tuple(np.uint64(k) for k in (1, 2, 3, 4))
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
    """Trees, end to end, asked all at once: of each node the ``feature`` asked, its ``threshold``, and where to go if the feature
    is at most that (``low``; if not, to the node after it); a leaf leads to itself. Of each leaf the ``chance`` (n_nodes, 3) of
    stem, stylar end, blemish. ``root`` (n_trees,). ``depth`` (1,): of the deepest tree."""

    root: NDArray[np.uint32]
    feature: NDArray[np.uint8]
    threshold: NDArray[np.float32]
    low: NDArray[np.uint32]
    chance: NDArray[np.float32]
    depth: NDArray[np.int64]


class SpotRoom(NamedTuple):
    """Room for the spots of a view of ``n`` quads a side.

    ``apart`` (n + 2, n + 2) how dark and blue each quad is, in a border of zeros; ``sums``, ``far`` (n, n) the sums of 3 x 3 of
    them, and how far those stand out; ``column`` (coarse,), ``point``, ``known`` (coarse + 2 around, coarse), ``value``, ``seen``
    (coarse + 2 around,), ``level`` (coarse, coarse) and ``wide`` (coarse, n): the neighbourhood at coarse points and, along rows,
    at quads; ``place``, ``part`` (2, n): between which points; ``run``, ``parent``, ``stat``: runs of quads, the first run of
    each one's spot, sums over spots; ``node`` (n_trees,); ``feature`` (n_spots, n_features).
    """

    apart: NDArray[np.int16]
    sums: NDArray[np.int16]
    far: NDArray[np.int16]
    column: NDArray[np.int64]
    point: NDArray[np.float32]
    known: NDArray[np.float32]
    value: NDArray[np.float32]
    seen: NDArray[np.float32]
    level: NDArray[np.float32]
    wide: NDArray[np.float32]
    place: NDArray[np.uint32]
    part: NDArray[np.float32]
    run: NDArray[np.int32]
    parent: NDArray[np.int32]
    stat: NDArray[np.float64]
    node: NDArray[np.uint32]
    feature: NDArray[np.float32]


@lru_cache(maxsize=1)
def forest() -> Forest:
    """Return the forest that ships with the program (benchmarks/learn_spots.py has grown it)."""
    with (files("citrus_grade.imaging") / "spots.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return Forest(**{name: stored[name] for name in Forest._fields})


@njit(cache=True, nogil=True)
def spot_room(n: int, trees: Forest) -> SpotRoom:
    """Return room for views of ``n`` quads a side."""
    return SpotRoom(
        np.zeros((n + 2, n + 2), np.int16),
        np.zeros((n, n), np.int16),
        np.zeros((n, n), np.int16),
        np.zeros(COARSE, np.int64),
        np.zeros((COARSE + 2 * AROUND, COARSE), np.float32),
        np.zeros((COARSE + 2 * AROUND, COARSE), np.float32),
        np.zeros(COARSE + 2 * AROUND, np.float32),
        np.zeros(COARSE + 2 * AROUND, np.float32),
        np.zeros((COARSE, COARSE), np.float32),
        np.zeros((COARSE, n), np.float32),
        np.zeros((2, n), np.uint32),
        np.zeros((2, n), np.float32),
        np.zeros((MOST_RUNS, 3), np.int32),
        np.zeros(MOST_RUNS, np.int32),
        np.zeros((MOST_RUNS, 17)),
        np.zeros(len(trees.root), np.uint32),
        np.zeros((N_SPOTS, N_FEATURES), np.float32),
    )


@njit(cache=True, nogil=True)
def _box(n: int, span: NDArray[np.int64]) -> tuple[int, int, int, int]:
    """Return first and end of the rows and of the columns that the spans reach, the columns in whole vectors if they fit."""
    top, bottom, left, right = n, 0, n, 0
    for j in range(n):
        if span[j, 0] < span[j, 1]:
            top, bottom = min(top, j), j + 1
            left, right = min(left, span[j, 0]), max(right, span[j, 1])
    width = min((right - left + VECTOR - 1) // VECTOR * VECTOR, n)
    left = max(min(left, n - width), 0)
    return top, bottom, left, left + width


@njit(cache=True, nogil=True)
def _stand_out(box: Any, span: NDArray[np.int64], skin: NDArray[np.uint32], room: SpotRoom) -> None:
    """Fill ``sums``: how far 3 x 3 quads together are dark and blue; what lies beyond the limb counts as sound."""
    apart, sums, one, two = room.apart, room.sums, np.uint64(1), np.uint64(2)
    left, right = np.uint64(box[2]), np.uint64(box[3])
    for j in range(box[0], box[1]):
        row, first, end = np.uint64(j), np.int32(span[j, 0]), np.int32(span[j, 1])
        apart[row + one, left] = apart[row + one, right + one] = 0
        for k in range(left, right):
            word = np.int32(skin[row, k])
            dark, blue = np.int32(np.int8(word)), np.int32(np.int8(word >> np.int32(8)))
            value = ((blue * np.int32(5)) >> np.int32(3)) - dark
            inside = (np.int32(k) >= first) & (np.int32(k) < end)
            apart[row + one, k + one] = np.int16(value) if inside else np.int16(0)
    for k in range(left, right + two):
        apart[np.uint64(box[0]), k] = apart[np.uint64(box[1]) + one, k] = 0
    for top in range(np.uint64(box[0]), np.uint64(box[1])):
        for k in range(left, right):
            above = np.int16(apart[top, k] + apart[top, k + one] + apart[top, k + two])
            own = np.int16(apart[top + one, k] + apart[top + one, k + one] + apart[top + one, k + two])
            below = np.int16(apart[top + two, k] + apart[top + two, k + one] + apart[top + two, k + two])
            sums[top, k] = np.int16(above + own + below)


@njit(cache=True, nogil=True, error_model="numpy")
def _levels(n: int, x: float, y: float, wide: float, tall: float, span: NDArray[np.int64], room: SpotRoom) -> None:
    """Fill ``level``: the mean of the neighbourhood at each coarse point, from points inside only."""
    point, known, value, seen, sums = room.point, room.known, room.value, room.seen, room.sums
    one, two, three, four, low, high = *_ONE_TO_FOUR, np.float32(-2 * CLIP), np.float32(CLIP)
    for p in range(COARSE):
        room.column[p] = min(max(int(x + wide * ((2 * p + 1) / COARSE - 1) + 0.5), 0), n - 1)
    for q in range(COARSE):
        j = int(y + tall * ((2 * q + 1) / COARSE - 1) + 0.5)
        first, end = (span[j, 0], span[j, 1]) if 0 <= j < n else (0, 0)
        row, down = np.uint64(min(max(j, 0), n - 1)), np.uint64(q + AROUND)
        for a in range(np.uint64(COARSE)):
            i = room.column[a]
            inside = np.float32((first <= i) & (i < end))
            known[down, a] = inside
            point[down, a] = inside * min(max(np.float32(sums[row, np.uint64(i)]), low), high)
    for b in range(np.uint64(COARSE)):
        for a in range(np.uint64(COARSE)):
            value[a + two] = point[b, a] + point[b + one, a] + point[b + two, a] + point[b + three, a] + point[b + four, a]
            seen[a + two] = known[b, a] + known[b + one, a] + known[b + two, a] + known[b + three, a] + known[b + four, a]
        for a in range(np.uint64(COARSE)):
            total = value[a] + value[a + one] + value[a + two] + value[a + three] + value[a + four]
            among = seen[a] + seen[a + one] + seen[a + two] + seen[a + three] + seen[a + four]
            room.level[b, a] = total / max(among, np.float32(1))


@njit(cache=True, nogil=True, error_model="numpy")
def _between(first: float, step: float, place: NDArray[np.uint32], part: NDArray[np.float32]) -> None:
    """Fill between which coarse points quads lie: ``place`` the lower, ``part`` how far from it to the next (0..1)."""
    last = np.float32(COARSE - 1.001)
    for i in range(len(place)):
        at = min(max(np.float32(first + i * step), np.float32(0)), last)
        place[i] = np.int32(at)
        part[i] = at - np.float32(np.int32(at))


@njit(cache=True, nogil=True, error_model="numpy")
def _beside(x: float, y: float, wide: float, tall: float, box: Any, room: SpotRoom) -> None:
    """Fill ``far``: how far quads stand out beside their neighbourhood."""
    level, along, far, sums, one = room.level, room.wide, room.far, room.sums, np.uint64(1)
    per_x, per_y = COARSE / (2 * wide), COARSE / (2 * tall)
    _between((wide - x) * per_x - 0.5, per_x, room.place[0], room.part[0])
    _between((tall - y) * per_y - 0.5, per_y, room.place[1], room.part[1])
    left, right, place, part = np.uint64(box[2]), np.uint64(box[3]), room.place, room.part
    for b in range(np.uint64(COARSE)):
        for k in range(left, right):
            p = np.uint64(place[0, k])
            along[b, k] = level[b, p] + part[0, k] * (level[b, p + one] - level[b, p])
    for j in range(np.uint64(box[0]), np.uint64(box[1])):
        q, down = np.uint64(place[1, j]), part[1, j]
        for k in range(left, right):
            own = along[q, k] + down * (along[q + one, k] - along[q, k])
            far[j, k] = np.int16(np.float32(sums[j, k]) - own)


@njit(cache=True, nogil=True)
def _any(far: NDArray[np.int16]) -> bool:
    some = np.int16(0)
    for k in range(len(far)):
        some |= np.int16(far[k] > np.int16(OUT))
    return bool(some)


@njit(cache=True, nogil=True)
def on_disc(root: Any, dx: float, dy: float) -> tuple[float, float]:
    """Return where on the disc a quad lies, given from the fruit's centre."""
    det = root[0] * root[3] - root[1] * root[2]
    return (root[3] * dx - root[1] * dy) / det, (root[0] * dy - root[2] * dx) / det


@njit(cache=True, nogil=True)
def _runs(box: Any, span: NDArray[np.int64], room: SpotRoom) -> int:
    """Find the runs of quads that stand out, row by row, where skin is judged."""
    n = 0
    for j in range(box[0], box[1]):
        left, end, inside = span[j, 2], span[j, 3], False
        far = room.far[j]
        if not _any(far[left:end]):
            continue
        for i in range(left, end):
            if far[i] <= OUT:
                inside = False
                continue
            if not inside:
                if n == MOST_RUNS:
                    return n
                room.run[n, 0], room.run[n, 1] = j, i
                n, inside = n + 1, True
            room.run[n - 1, 2] = i + 1
    return n


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
def _sum_up(k: int, skin: NDArray[np.uint32], room: SpotRoom) -> None:
    """Sum over the quads of each spot, at its first run."""
    for a in range(k):
        first = _find(room.parent, a)
        s = room.stat[first]
        if first == a:
            s[:] = 0.0
            s[_DMIN], s[_BMAX] = 127.0, -127.0
        j = room.run[a, 0]
        for i in range(room.run[a, 1], room.run[a, 2]):
            word = skin[j, i]
            d, b = float(part_of(word, DARK)), float(part_of(word, BLUE))
            far = room.far[j, i] / 9.0
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
            s[_G] += part_of(word, GREEN)
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
    skin: NDArray[np.uint32],
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
                    value = float(part_of(skin[j, i], p))
                    total += value
                    seen += 1
                    least, most = min(least, value), max(most, value)
            out[at] = total / seen if seen else 0.0
            at += 1
            if p == DARK and ring > 0:  # a star and a ring are uneven around, a blot is not
                out[14 + 3 * len(_RINGS) + ring] = most - least if seen else 0.0


@njit(cache=True, nogil=True)
def _ask(trees: Forest, feature: NDArray[np.float32], node: NDArray[np.uint32], out: NDArray[np.float32]) -> None:
    """Fill the chances of stem, stylar end and blemish: the mean over the trees, which are walked side by side."""
    for tree in range(len(node)):
        node[tree] = trees.root[tree]
    for _ in range(trees.depth[0]):
        for tree in range(len(node)):
            at = node[tree]
            node[tree] = trees.low[at] + np.uint32(feature[trees.feature[at]] > trees.threshold[at])
    out[0] = out[1] = out[2] = np.float32(0)
    for tree in range(len(node)):
        for c in range(3):
            out[c] += trees.chance[node[tree], c]
    for c in range(3):
        out[c] /= np.float32(len(node))


@njit(cache=True, nogil=True)
def find_spots(
    n: int,
    x: float,
    y: float,
    root: Any,
    span: NDArray[np.int64],
    skin: NDArray[np.uint32],
    trees: Forest,
    room: SpotRoom,
    spot: NDArray[np.float32],
) -> int:
    """Find the spots of a view; return how many.

    Parameters
    ----------
    n : quads a side. x, y : the fruit's centre, quads. root : takes the unit disc to quads.
    span, skin : as `skin.planes` fills them; the byte for spots of ``skin`` is filled where there are any.
    spot : (n_spots, 6) filled as `tables.VIEW` has it.
    """
    wide, tall = np.sqrt(root[0] ** 2 + root[1] ** 2), np.sqrt(root[2] ** 2 + root[3] ** 2)
    box = _box(n, span)
    _stand_out(box, span, skin, room)
    _levels(n, x, y, wide, tall, span, room)
    _beside(x, y, wide, tall, box, room)
    k = _runs(box, span, room)
    _join_runs(k, room)
    _sum_up(k, skin, room)
    found = 0
    for _ in range(N_SPOTS):
        best = _largest(k, room)
        if best < 0:
            break
        _tell(best, n, x, y, root, span, skin, trees, room, room.feature[found], spot[found])
        found += 1
        room.stat[best, _PEAK] = -1.0 * found
    for a in range(k):
        which = room.stat[_find(room.parent, a), _PEAK]
        if which < 0:
            for i in range(room.run[a, 1], room.run[a, 2]):
                skin[room.run[a, 0], i] |= np.uint32(-which) << np.uint32(8 * SPOT)
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
    a: int, n: int, x: float, y: float, root: Any, span: NDArray[np.int64], skin: NDArray[np.uint32], trees: Forest,
    room: SpotRoom, feature: NDArray[np.float32], spot: NDArray[np.float32],
) -> None:  # fmt: skip
    s = room.stat[a]
    _features(s, n, x, y, root, span, skin, feature)
    # Where it stands out most is its middle: an end's core, not its pleats nor a blemish that touches it.
    u, v = on_disc(root, s[_FX] / s[_FF] - x, s[_FY] / s[_FF] - y)
    far = np.sqrt(u * u + v * v)
    inward = min(1.0, np.sqrt(INNER) / far) if far > 0 else 1.0
    spot[SPOT_X], spot[SPOT_Y], spot[SPOT_RADIUS] = u * inward, v * inward, feature[0]
    _ask(trees, feature, room.node, spot[CHANCE_STEM : CHANCE_STEM + 3])
