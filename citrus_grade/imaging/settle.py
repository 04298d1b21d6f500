"""Which turns a fruit's views are joined by: the rollers', put right by its spots and its skin, or none if it stood still."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.fuse import BLEMISH, fuse
from citrus_grade.imaging.surface import Room, rolled
from citrus_grade.imaging.turn import look, measure_turns
from citrus_grade.tables import CHANCE_BLEMISH, DID_NOT_TURN, SPOT_RADIUS, SPOT_X, SPOT_Y, TURN_UNSURE

WORTH = 0.25
"""A fruit with a spot that is blemish with this chance has its turns settled: there is something to count once."""
CROWDED = 4
"""A fruit with as many blemishes as this, by its spots, has them counted again with turns measured on its skin."""
SLIPS = np.array([0.02 * k for k in range(-7, 8)])
"""Parts by which a fruit may turn more or less than its rollers give it."""
YAWS_RAD = np.array([0.02 * k for k in range(-3, 4)])
"""What rollers that are not quite alike may turn a fruit in the picture, a pitch."""
UNLIKELY = (60.0, 60.0)
"""How much a squared slip, and a squared yaw, speak against themselves, in matches of spots."""
MATCH = 0.16
"""Distance on the unit sphere from which spots of two views do not match."""
MOST = 4
"""Spots of a view that take part, those that stand out most."""
SURE = 0.5
"""Mean correlation of neighbouring views below which turns measured on the skin are unsure."""
STILL = 0.10
"""A spot that moved less than this between two views, in radii, stood still."""
STILL_PAIRS = 0.6
"""Share of neighbouring views with a spot that stood still from which a fruit did not turn."""


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
    _settle_by_spots(views, room, n, travel, per_pitch_rad)
    if _blemishes(views, room, n) >= CROWDED:
        _settle_by_skin(views, room, n, out)


@njit(cache=True, nogil=True)
def _worth(views: Any, order: NDArray[np.int64], n: int) -> bool:
    for k in range(n):
        for s in range(views[order[k]].spots):
            if views[order[k]].spot[s, CHANCE_BLEMISH] > WORTH:
                return True
    return False


@njit(cache=True, nogil=True)
def _settle_by_spots(views: Any, room: Room, n: int, travel: NDArray[np.float64], per_pitch_rad: float) -> None:
    """Turn a fruit by the slip and the yaw that bring most spots of different views to one place."""
    place, of, there = np.empty((n * MOST, 3)), np.empty(n * MOST, np.int64), np.empty((n * MOST, 3))
    count = 0
    for k in range(n):
        view = views[room.order[k]]
        for s in range(min(view.spots, MOST)):
            x, y = view.spot[s, SPOT_X], view.spot[s, SPOT_Y]
            place[count, 0], place[count, 1], place[count, 2] = x, y, np.sqrt(max(1.0 - x * x - y * y, 0.0))
            of[count] = k
            count += 1
    best, slip, yaw = -np.inf, 0.0, 0.0
    more = np.empty((n, 3, 3))
    for a in range(len(SLIPS)):
        for b in range(len(YAWS_RAD)):
            score = -UNLIKELY[0] * SLIPS[a] * SLIPS[a] - UNLIKELY[1] * YAWS_RAD[b] * YAWS_RAD[b]
            for k in range(n):
                far = travel[room.order[k]] - travel[room.order[0]]
                _further(room.turns[k], far * per_pitch_rad * SLIPS[a], far * YAWS_RAD[b], more[k])
            score += _matches(place, of, count, more, there)
            if score > best:
                best, slip, yaw = score, SLIPS[a], YAWS_RAD[b]
    for k in range(n):
        far = travel[room.order[k]] - travel[room.order[0]]
        _further(room.turns[k], far * per_pitch_rad * slip, far * yaw, more[k])
        room.turns[k] = more[k]


@njit(cache=True, nogil=True)
def _matches(
    place: NDArray[np.float64], of: NDArray[np.int64], count: int, turns: NDArray[np.float64], there: NDArray[np.float64]
) -> float:
    """Return how many pairs of spots of different views lie at one place of the fruit; nearer pairs count more."""
    for i in range(count):
        t, q = turns[of[i]], place[i]
        for c in range(3):
            there[i, c] = t[0, c] * q[0] + t[1, c] * q[1] + t[2, c] * q[2]
    total = 0.0
    for i in range(count):
        for j in range(i + 1, count):
            if of[i] == of[j]:
                continue
            dx, dy, dz = there[i, 0] - there[j, 0], there[i, 1] - there[j, 1], there[i, 2] - there[j, 2]
            total += max(0.0, 1.0 - (dx * dx + dy * dy + dz * dz) / (MATCH * MATCH))
    return total


@njit(cache=True, nogil=True)
def _further(turn: NDArray[np.float64], roll: float, yaw: float, out: NDArray[np.float64]) -> None:
    """Fill ``out`` with a turn, rolled further about y and then yawed about z, as the view sees it."""
    c, s, d, e = np.cos(roll), np.sin(roll), np.cos(yaw), np.sin(yaw)
    for k in range(3):
        x, y, z = turn[0, k], turn[1, k], turn[2, k]
        x, z = c * x + s * z, c * z - s * x
        out[0, k], out[1, k], out[2, k] = d * x - e * y, e * x + d * y, z


@njit(cache=True, nogil=True)
def _blemishes(views: Any, room: Room, n: int) -> int:
    for k in range(n):
        room.spots[k] = views[room.order[k]].spots
        room.spot[k] = views[room.order[k]].spot
    count = 0
    for mark in range(fuse(room.spots, room.spot, room.turns, n, room.marks)):
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
