"""Which turns a fruit's views are joined by: the rollers', those its own skin shows, or none where it did not turn."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.surface import Room, rolled
from citrus_grade.imaging.turn import look, measure_turns
from citrus_grade.tables import CHANCE_BLEMISH, DID_NOT_TURN, SPOT_RADIUS, SPOT_X, SPOT_Y, TURN_UNSURE

WORTH = 0.25
"""A fruit with a spot that is blemish with this chance has its turns measured: there is something to count once."""
SURE = 0.5
"""Mean correlation of neighbouring views below which a measured turn is unsure."""
STILL = 0.10
"""A spot that moved less than this between two views, in radii, stood still."""
STILL_PAIRS = 0.6
"""Share of neighbouring views with a spot that stood still from which a fruit did not turn."""


@njit(cache=True, nogil=True)
def settle_turns(views: Any, room: Room, n: int, out: Any) -> None:
    """Settle ``room.turns`` of a fruit's ``n`` views, as the rollers gave them; fill ``turn_score`` and flags."""
    if _stood_still(views, room.order, n):
        out.flags |= DID_NOT_TURN
        for k in range(n):
            view = views[room.order[k]]
            rolled(0.0, view.sight_x, view.sight_y, room.turns[k])
        return
    if n < 2 or not _worth(views, room.order, n):
        return
    for k in range(n):
        look(views[room.order[k]].texture, room.skin, k)
    measure_turns(room.skin, n, room.turns, room.score)
    total = 0.0
    for k in range(n - 1):
        total += room.score[k]
    out.turn_score = total / (n - 1)
    if out.turn_score < SURE:
        out.flags |= TURN_UNSURE


@njit(cache=True, nogil=True)
def _worth(views: Any, order: NDArray[np.int64], n: int) -> bool:
    for k in range(n):
        for s in range(views[order[k]].spots):
            if views[order[k]].spot[s, CHANCE_BLEMISH] > WORTH:
                return True
    return False


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
