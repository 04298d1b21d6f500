"""Which turns a fruit's views are joined by: the rollers', put right by its spots and its skin, or none if it stood still."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.marks import BLEMISH
from citrus_grade.imaging.size import LEAST_VIEWS, ellipsoid_misfit, fill_height
from citrus_grade.imaging.skin_match import look
from citrus_grade.imaging.surface import Room, rolled, tilt
from citrus_grade.imaging.turn import measure_turns
from citrus_grade.tables import CHANCE_BLEMISH, CHANCE_STEM, CHANCE_STYLAR, DID_NOT_TURN, SPOT_RADIUS, SPOT_X, SPOT_Y, TURN_UNSURE

WORTH = 0.25
"""A fruit with a spot that is blemish with this chance has its turns settled: there is something to count once."""
CROWDED = 4
"""A fruit with as many blemishes as this, by its spots, has them counted again with turns measured on its skin."""
SLIPS = np.array([0.02 * k for k in range(-6, 7)])
"""Parts by which a fruit may turn more or less than its rollers give it: where the search begins."""
YAWS = np.array([[0.0, 0.0], [0.03, 0.12], [-0.03, -0.12]])
"""What a fruit may be yawed in the picture, rad: a pitch, and by its first view, which leaves its rollers askew."""
SPREAD = np.array([0.045, 0.03, 0.12])
"""Standard deviations of slip, of yaw a pitch and of yaw by the first view."""
STEPS, NARROWER, ROUNDS = np.array([0.012, 0.015, 0.06]), 0.7, 4
"""First steps of the search in each of the three, what they shrink by every round, and rounds."""
OUTLINE = 0.012
"""Standard deviation of an outline from the ellipsoid's, in squared diameters: fruit are not quite ellipsoids."""
MATCH, PER_MATCH = 0.12, 2.0
"""Distance on the unit sphere from which spots of two views do not match, and what a perfect match adds to the logarithm of
odds."""
MOST, LEAST_CHANCE = 6, 0.3
"""Spots of a view that take part: the first of those that are something with this chance."""
SURE = 0.5
"""Mean correlation of neighbouring views below which turns measured on the skin are unsure."""
STILL = 0.10
"""A spot that moved less than this between two views, in radii, stood still."""
STILL_PAIRS = 0.6
"""Share of neighbouring views with a spot that stood still from which a fruit did not turn."""


class _Seen(NamedTuple):
    """What tells how a fruit turned: ``sight`` (n, 2) and ``travel`` (n,) of its views, ``outline`` (n, 3) their ellipses as xx,
    yy, xy in squared diameters; ``place`` (m, 3) of spots, ``of`` (m,) the view of each."""

    sight: NDArray[np.float64]
    travel: NDArray[np.float64]
    outline: NDArray[np.float64]
    place: NDArray[np.float64]
    of: NDArray[np.int64]


@njit(cache=True, nogil=True)
def settle_turns(views: Any, room: Room, n: int, travel: NDArray[np.float64], per_pitch_rad: float, out: Any) -> None:
    """Settle ``room.turns`` of a fruit's ``n`` views, given as the rollers have them; fill ``turn_score`` and flags."""
    if _stood_still(views, room.order, n):
        out.flags |= DID_NOT_TURN
        for k in range(n):
            view = views[room.order[k]]
            rolled(0.0, view.sight_x, view.sight_y, room.turns[k])
        return
    if n < 2 or not _worth(views, room.order, n):
        return
    _settle_steadily(views, room, n, travel, per_pitch_rad, out)
    if _blemishes(views, room, n, out.diameter_px / 4.0) >= CROWDED:
        _settle_by_skin(views, room, n, out)


@njit(cache=True, nogil=True)
def _worth(views: Any, order: NDArray[np.int64], n: int) -> bool:
    for k in range(n):
        for s in range(views[order[k]].spots):
            if views[order[k]].spot[s, CHANCE_BLEMISH] > WORTH:
                return True
    return False


@njit(cache=True, nogil=True)
def _seen(views: Any, order: NDArray[np.int64], n: int, travel: NDArray[np.float64], diameter: float) -> _Seen:
    sight, far, outline = np.empty((n, 2)), np.empty(n), np.empty((n, 3))
    place, of, count = np.empty((n * MOST, 3)), np.empty(n * MOST, np.int64), 0
    for k in range(n):
        view = views[order[k]]
        sight[k, 0], sight[k, 1], far[k] = view.sight_x, view.sight_y, travel[order[k]] - travel[order[0]]
        c, s = np.cos(view.angle_rad), np.sin(view.angle_rad)
        aa, bb = (view.major_px / diameter) ** 2, (view.minor_px / diameter) ** 2
        outline[k, 0], outline[k, 1], outline[k, 2] = aa * c * c + bb * s * s, aa * s * s + bb * c * c, (aa - bb) * c * s
        first = count
        for s in range(view.spots):
            one = view.spot[s]
            if one[CHANCE_STEM] + one[CHANCE_STYLAR] + one[CHANCE_BLEMISH] > LEAST_CHANCE and count < first + MOST:
                x, y = one[SPOT_X], one[SPOT_Y]
                place[count, 0], place[count, 1], place[count, 2] = x, y, np.sqrt(max(1.0 - x * x - y * y, 0.0))
                of[count] = k
                count += 1
    return _Seen(sight, far, outline, place[:count], of[:count])


@njit(cache=True, nogil=True)
def _settle_steadily(views: Any, room: Room, n: int, travel: NDArray[np.float64], per_pitch_rad: float, out: Any) -> None:
    """Turn a fruit by the slip and the yaw at which one ellipsoid throws its outlines and its spots come to one place."""
    seen = _seen(views, room.order, n, travel, out.diameter_px)
    turns, there = room.turns[:n], np.empty((len(seen.place), 3))
    how, best, least = np.zeros(3), np.zeros(3), np.inf
    for slip in SLIPS:
        for yaw in YAWS:
            how[0], how[1], how[2] = slip, yaw[0], yaw[1]
            cost = _cost(how, seen, per_pitch_rad, turns, there)
            if cost < least:
                least, best[:] = cost, how
    if not least < np.inf:  # no outlines
        _turned(best, seen, per_pitch_rad, turns)
        return
    step = STEPS.copy()
    for _ in range(ROUNDS):
        for axis in range(3):
            least = _step(axis, step[axis], best, least, seen, per_pitch_rad, turns, there)
            step[axis] *= NARROWER
    _turned(best, seen, per_pitch_rad, turns)
    fill_height(views, room.order, n, room.turns, out)


@njit(cache=True, nogil=True)
def _step(
    axis: int, step: float, best: NDArray[np.float64], least: float, seen: _Seen, per_pitch_rad: float,
    turns: NDArray[np.float64], there: NDArray[np.float64],
) -> float:  # fmt: skip
    """Move ``best`` along one axis to the least of a parabola through it and a step to either side; return its cost."""
    middle = best[axis]
    best[axis] = middle + step
    up = _cost(best, seen, per_pitch_rad, turns, there)
    best[axis] = middle - step
    down = _cost(best, seen, per_pitch_rad, turns, there)
    bend = up + down - 2.0 * least
    aside = 0.5 * (down - up) / bend if bend > 0 else np.sign(down - up)
    vertex = middle + step * min(max(aside, -2.0), 2.0)
    best[axis] = vertex
    lowest = _cost(best, seen, per_pitch_rad, turns, there)
    best[axis] = middle
    for place, cost in ((middle + step, up), (middle - step, down), (vertex, lowest)):
        if cost < least:
            best[axis], least = place, cost
    return least


@njit(cache=True, nogil=True)
def _cost(
    how: NDArray[np.float64], seen: _Seen, per_pitch_rad: float, turns: NDArray[np.float64], there: NDArray[np.float64]
) -> float:
    """Return how unlikely a slip and a yaw are, a negative logarithm of odds; fill ``turns`` with what they give."""
    _turned(how, seen, per_pitch_rad, turns)
    cost = -PER_MATCH * _matches(seen, turns, there)
    for axis in range(3):
        cost += 0.5 * (how[axis] / SPREAD[axis]) ** 2
    if len(turns) >= LEAST_VIEWS:
        cost += 0.5 * ellipsoid_misfit(seen.outline, turns) / (OUTLINE * OUTLINE)
    return cost


@njit(cache=True, nogil=True)
def _turned(how: NDArray[np.float64], seen: _Seen, per_pitch_rad: float, turns: NDArray[np.float64]) -> None:
    """Fill the turns, fruit to view: by rollers that stand askew about z, yawed further every pitch, seen along the sight."""
    c, s = np.cos(how[2]), np.sin(how[2])
    for k in range(len(turns)):
        turn, far = turns[k], seen.travel[k]
        rolled(far * per_pitch_rad * (1.0 + how[0]), 0.0, 0.0, turn)
        for i in range(3):
            x, y = turn[i, 0], turn[i, 1]
            turn[i, 0], turn[i, 1] = c * x - s * y, s * x + c * y
        yaw = how[2] + far * how[1]
        d, e = np.cos(yaw), np.sin(yaw)
        for i in range(3):
            x, y = turn[0, i], turn[1, i]
            turn[0, i], turn[1, i] = d * x - e * y, e * x + d * y
        tilt(seen.sight[k, 0], seen.sight[k, 1], turn)


@njit(cache=True, nogil=True)
def _matches(seen: _Seen, turns: NDArray[np.float64], there: NDArray[np.float64]) -> float:
    """Return how many pairs of spots of different views lie at one place of the fruit; nearer pairs count more."""
    for i in range(len(there)):
        t, q = turns[seen.of[i]], seen.place[i]
        for c in range(3):
            there[i, c] = t[0, c] * q[0] + t[1, c] * q[1] + t[2, c] * q[2]
    total = 0.0
    for i in range(len(there)):
        for j in range(i + 1, len(there)):
            if seen.of[i] == seen.of[j]:
                continue
            dx, dy, dz = there[i, 0] - there[j, 0], there[i, 1] - there[j, 1], there[i, 2] - there[j, 2]
            total += max(0.0, 1.0 - (dx * dx + dy * dy + dz * dz) / (MATCH * MATCH))
    return total


@njit(cache=True, nogil=True)
def _blemishes(views: Any, room: Room, n: int, radius: float) -> int:
    for k in range(n):
        room.spots[k] = views[room.order[k]].spots
        room.spot[k] = views[room.order[k]].spot
    count = 0
    for mark in range(fuse(room.spots, room.spot, room.turns, n, radius, room.marks)):
        count += room.marks.kind[mark] == BLEMISH
    return count


@njit(cache=True, nogil=True)
def _settle_by_skin(views: Any, room: Room, n: int, out: Any) -> None:
    for k in range(n):
        look(views[room.order[k]].skin, room.skin, k)
    measure_turns(room.skin, n, room.turns, room.score)
    total = 0.0
    for k in range(n - 1):
        total += room.score[k]
    out.turn_score = total / (n - 1)
    if out.turn_score < SURE:
        out.flags |= TURN_UNSURE


@njit(cache=True, nogil=True)
def _stood_still(views: Any, order: NDArray[np.int64], n: int) -> bool:
    """Say whether spots stay where they are in most of the neighbouring views, the changing line of sight taken out: no turning
    fruit shows that."""
    still, one, two = 0, np.empty(3), np.empty(3)
    for k in range(n - 1):
        a, b = views[order[k]], views[order[k + 1]]
        found = False
        for s in range(a.spots):
            _on_belt(a, s, one)
            for t in range(b.spots):
                _on_belt(b, t, two)
                square = (one[0] - two[0]) ** 2 + (one[1] - two[1]) ** 2 + (one[2] - two[2]) ** 2
                same = abs(a.spot[s, SPOT_RADIUS] - b.spot[t, SPOT_RADIUS]) < 0.5 * a.spot[s, SPOT_RADIUS]
                found |= same and square < STILL * STILL
        still += found
    return n > 2 and still >= STILL_PAIRS * (n - 1)


@njit(cache=True, nogil=True)
def _on_belt(view: Any, s: int, out: NDArray[np.float64]) -> None:
    """Fill the direction of a spot from the fruit's centre, seen straight from above."""
    x, y = view.spot[s, SPOT_X], view.spot[s, SPOT_Y]
    z = np.sqrt(max(1.0 - x * x - y * y, 0.0))
    turn = np.empty((3, 3))
    rolled(0.0, view.sight_x, view.sight_y, turn)
    for k in range(3):
        out[k] = turn[0, k] * x + turn[1, k] * y + turn[2, k] * z
