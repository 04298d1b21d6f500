"""Where skin stands out against its own neighbourhood, quad by quad, and which of those quads are one spot.

A quad stands out when it is darker or bluer than the skin around it: pale scars are bluer, not darker, and natural shades of
green and red are as wide as the neighbourhood.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.disc import BLUE, DARK, GREEN
from citrus_grade.imaging.skin import VECTOR, part_of
from citrus_grade.tables import N_SPOTS

COARSE = 24
"""Points a side at which the skin's own level is taken, over the square around the disc."""
AROUND = 2
"""Points to either side that the neighbourhood reaches, five in all: a fifth of the radius."""
CLIP = 9 * 15
"""A point of the neighbourhood counts as standing out no further than this."""
_FINER = np.float32(8.0)
"""Levels along rows are held in eighths, in 16 bits."""
_ONE_TO_FOUR = tuple(np.uint64(k) for k in (1, 2, 3, 4))
MOST_RUNS = 512
COUNT, X, Y, XX, YY, XY, FAR, PEAK, D, B, G, D_LEAST, B_MOST, DD, FX, FY, FF = range(17)
"""Columns of ``stat``: the number of quads, sums of their places, how far they stand out in all and at most, sums and extremes of
darkness, blue and green, and places weighted by the square of how far they stand out."""


class SpotRoom(NamedTuple):
    """Room for the spots of a view of ``n`` quads a side.

    ``apart`` (n + 2, n + 2) how dark and blue each quad is, in a border of zeros; ``sums``, ``far`` (n, n) the sums of 3 x 3 of
    them, and how far those stand out; ``most`` (n,) how far at most in a row; ``column`` (coarse,), ``point``, ``known`` (both
    sides coarse + 2 around, in a border of zeros), ``value``, ``seen`` (coarse + 2 around,), ``level`` (coarse, coarse) and
    ``wide`` (coarse, n): the neighbourhood at coarse points and, along rows, at quads; ``place``, ``part`` (2, n): between which
    points; ``run``, ``parent``, ``stat``: runs of quads, the first run of each one's spot, sums over spots; ``node`` (n_trees,);
    ``feature`` (n_spots, n_features).
    """

    apart: NDArray[np.int16]
    sums: NDArray[np.int16]
    far: NDArray[np.int16]
    most: NDArray[np.int16]
    column: NDArray[np.int16]
    point: NDArray[np.int16]
    known: NDArray[np.int16]
    value: NDArray[np.int16]
    seen: NDArray[np.int16]
    level: NDArray[np.float32]
    wide: NDArray[np.int16]
    place: NDArray[np.uint32]
    part: NDArray[np.float32]
    run: NDArray[np.int32]
    parent: NDArray[np.int32]
    stat: NDArray[np.float64]
    node: NDArray[np.uint32]
    feature: NDArray[np.float32]


@njit(cache=True, nogil=True)
def stand_out_room(n: int, n_trees: int, n_features: int) -> SpotRoom:
    """Return room for views of ``n`` quads a side, and for what is asked of spots."""
    return SpotRoom(
        np.zeros((n + 2, n + 2), np.int16),
        np.zeros((n, n), np.int16),
        np.zeros((n, n), np.int16),
        np.zeros(n, np.int16),
        np.zeros(COARSE, np.int16),
        np.zeros((COARSE + 2 * AROUND, COARSE + 2 * AROUND), np.int16),
        np.zeros((COARSE + 2 * AROUND, COARSE + 2 * AROUND), np.int16),
        np.zeros(COARSE + 2 * AROUND, np.int16),
        np.zeros(COARSE + 2 * AROUND, np.int16),
        np.zeros((COARSE, COARSE), np.float32),
        np.zeros((COARSE, n), np.int16),
        np.zeros((2, n), np.uint32),
        np.zeros((2, n), np.float32),
        np.zeros((MOST_RUNS, 3), np.int32),
        np.zeros(MOST_RUNS, np.int32),
        np.zeros((MOST_RUNS, 17)),
        np.zeros(n_trees, np.uint32),
        np.zeros((N_SPOTS, n_features), np.float32),
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
def _sums(box: Any, span: NDArray[np.int64], skin: NDArray[np.uint32], room: SpotRoom) -> None:
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
    point, known, value, seen, column = room.point, room.known, room.value, room.seen, room.column
    one, two, three, four = _ONE_TO_FOUR
    for p in range(COARSE):
        column[p] = min(max(int(x + wide * ((2 * p + 1) / COARSE - 1) + 0.5), 0), n - 1)
    for q in range(COARSE):
        j = int(y + tall * ((2 * q + 1) / COARSE - 1) + 0.5)
        first, end = (span[j, 0], span[j, 1]) if 0 <= j < n else (0, 0)
        _take_points(first, end, np.uint64(min(max(j, 0), n - 1)), np.uint64(q + AROUND), room)
    for b in range(np.uint64(COARSE)):
        for a in range(np.uint64(COARSE + 2 * AROUND)):
            value[a] = np.int16(point[b, a] + point[b + one, a] + point[b + two, a] + point[b + three, a] + point[b + four, a])
            seen[a] = np.int16(known[b, a] + known[b + one, a] + known[b + two, a] + known[b + three, a] + known[b + four, a])
        for a in range(np.uint64(COARSE)):
            total = np.int16(value[a] + value[a + one] + value[a + two] + value[a + three] + value[a + four])
            among = np.int16(seen[a] + seen[a + one] + seen[a + two] + seen[a + three] + seen[a + four])
            room.level[b, a] = np.float32(total) / np.float32(max(among, np.int16(1)))


@njit(cache=True, nogil=True)
def _take_points(first: int, end: int, row: Any, down: Any, room: SpotRoom) -> None:
    """Fill a row of coarse points, and which of them lie inside."""
    point, known, column, sums = room.point, room.known, room.column, room.sums
    low, high, edge, left, right = np.int16(-2 * CLIP), np.int16(CLIP), np.uint64(AROUND), np.int16(first), np.int16(end)
    for a in range(np.uint64(COARSE)):
        point[down, a + edge] = sums[row, np.uint64(column[a])]
    for a in range(np.uint64(COARSE)):
        inside = np.int16((left <= column[a]) & (column[a] < right))
        known[down, a + edge] = inside
        point[down, a + edge] = inside * min(max(point[down, a + edge], low), high)


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
    """Fill ``far``: how far quads stand out beside their neighbourhood, and ``most`` of each row."""
    level, along, far, sums, one = room.level, room.wide, room.far, room.sums, np.uint64(1)
    per_x, per_y = COARSE / (2 * wide), COARSE / (2 * tall)
    _between((wide - x) * per_x - 0.5, per_x, room.place[0], room.part[0])
    _between((tall - y) * per_y - 0.5, per_y, room.place[1], room.part[1])
    left, right, place, part = np.uint64(box[2]), np.uint64(box[3]), room.place, room.part
    for b in range(np.uint64(COARSE)):
        for k in range(left, right):
            p = np.uint64(place[0, k])
            along[b, k] = np.int16(_FINER * (level[b, p] + part[0, k] * (level[b, p + one] - level[b, p])))
    for j in range(np.uint64(box[0]), np.uint64(box[1])):
        q, down, most = np.uint64(place[1, j]), np.int16(np.float32(32767.0) * part[1, j]), np.int16(-32768)
        for k in range(left, right):
            more = np.int16((np.int32(np.int16(along[q + one, k] - along[q, k])) * np.int32(down)) >> np.int32(15))
            own = np.int16(np.int16(along[q, k] + more + np.int16(7)) >> np.int16(3))
            value = np.int16(sums[j, k] - own)
            far[j, k] = value
            most = max(most, value)
        room.most[j] = most


@njit(cache=True, nogil=True)
def _runs(box: Any, span: NDArray[np.int64], least: int, room: SpotRoom) -> int:
    """Find the runs of quads that stand out, row by row, where skin is judged."""
    n = 0
    for j in range(np.uint64(box[0]), np.uint64(box[1])):
        left, end, inside = span[j, 2], span[j, 3], False
        if room.most[j] <= least:
            continue
        for i in range(np.uint64(left), np.uint64(end)):
            if room.far[j, i] <= least:
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
def first_run(parent: NDArray[np.int32], a: int) -> int:
    """Return the first run of the spot that a run belongs to."""
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
                p, q = first_run(parent, a), first_run(parent, b)
                if p != q:
                    parent[max(p, q)] = min(p, q)


@njit(cache=True, nogil=True)
def _sum_up(k: int, skin: NDArray[np.uint32], room: SpotRoom) -> None:
    """Sum over the quads of each spot, at its first run."""
    for a in range(k):
        first = first_run(room.parent, a)
        s = room.stat[first]
        if first == a:
            s[:] = 0.0
            s[D_LEAST], s[B_MOST] = 127.0, -127.0
        j, left, end = room.run[a, 0], np.uint64(room.run[a, 1]), np.uint64(room.run[a, 2])
        _add_run(np.uint64(j), left, end, skin, room.far, s)
        m, i = float(end - left), float(left)
        s[COUNT] += m
        s[X] += m * (i + 0.5 * (m - 1))
        s[Y] += m * j
        s[XX] += m * i * i + m * (m - 1) * (i + (2 * m - 1) / 6)
        s[YY] += m * j * j
        s[XY] += m * (i + 0.5 * (m - 1)) * j


@njit(cache=True, nogil=True)
def _add_run(j: Any, left: Any, end: Any, skin: NDArray[np.uint32], far: NDArray[np.int16], s: NDArray[np.float64]) -> None:
    """Add what the quads of a run are like; sums in whole numbers wait for nothing."""
    all_far, peak, square, by_place, dark, dark_square, blue, green = 0, 0, 0, 0, 0, 0, 0, 0
    d_least, b_most = 127, -127
    for i in range(left, end):
        word, own = skin[j, i], int(far[j, i])
        d, b, own_square = part_of(word, DARK), part_of(word, BLUE), own * own
        all_far += own
        peak = max(peak, own)
        square += own_square
        by_place += own_square * int(i)
        dark += d
        dark_square += d * d
        blue += b
        green += part_of(word, GREEN)
        d_least, b_most = min(d_least, d), max(b_most, b)
    s[FAR] += all_far / 9.0
    s[FX] += by_place / 81.0
    s[FY] += square * int(j) / 81.0
    s[FF] += square / 81.0
    s[PEAK] = max(s[PEAK], peak / 9.0)
    s[D] += dark
    s[DD] += dark_square
    s[B] += blue
    s[G] += green
    s[D_LEAST], s[B_MOST] = min(s[D_LEAST], d_least), max(s[B_MOST], b_most)


@njit(cache=True, nogil=True)
def stand_out(
    n: int, x: float, y: float, root: Any, span: NDArray[np.int64], skin: NDArray[np.uint32], least: int, room: SpotRoom
) -> int:
    """Find the quads whose 3 x 3 stand out further than ``least`` and what touches; return how many runs of them there are.

    Their first runs in ``parent`` and sums over each spot in ``stat`` are filled. Other parameters as `spots.find_spots`.
    """
    wide, tall = np.sqrt(root[0] ** 2 + root[1] ** 2), np.sqrt(root[2] ** 2 + root[3] ** 2)
    box = _box(n, span)
    _sums(box, span, skin, room)
    _levels(n, x, y, wide, tall, span, room)
    _beside(x, y, wide, tall, box, room)
    k = _runs(box, span, least, room)
    _join_runs(k, room)
    _sum_up(k, skin, room)
    return k
