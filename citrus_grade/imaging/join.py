"""Views of one fruit joined: the whole fruit from all the times it was seen."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.lend import lend
from citrus_grade.imaging.settle import settle_turns
from citrus_grade.imaging.size import fill_diameter, fill_height, middle
from citrus_grade.imaging.surface import Room, roll, surface
from citrus_grade.tables import BRIDGING, DOUBLE, EMPTY, FRUIT_SEEN, UNSEEN

BRIDGING_CUPS = 0.30
"""A fruit whose centre lies further than this from its cup's, in pitches, rides on two cups."""
PART_CUPS = 0.20
"""The same for what is not one round fruit: a part that a window shows of a fruit seems nearer, and two fruit in a cup lie about
its middle."""


@njit(cache=True, nogil=True)
def join(
    views: Any,
    seen: NDArray[np.bool_],
    pitch_px: float,
    travel: NDArray[np.float64],
    turn_px: float,
    room: Room,
    work: NDArray[np.float64],
    out: Any,
) -> None:
    """Join the views of one cup into ``out`` (one `tables.FRUIT`).

    Parameters
    ----------
    views : (n_views,) `tables.VIEW`. seen : (n_views,) which of them arrived. pitch_px : from cup to cup.
    travel : (n_views,) where each view is taken, in pitches. turn_px : how much of a fruit's skin the rollers turn in a pitch.
    room : the fruit's map afterwards. work : (2, n_views).
    """
    views, room = lend(views), lend(room)
    received, fruit, double = 0, 0, 0
    for v in range(len(seen)):
        if seen[v]:
            received += 1
            fruit += views[v].state == FRUIT_SEEN
            double += views[v].state == DOUBLE
    out.views, out.fruit_views = received, fruit
    if received == 0:
        out.state = UNSEEN
        return
    if 2 * (fruit + double) <= received:
        out.state = EMPTY
        return
    _centre(views, seen, work, out)
    not_round = 2 * double > received or fruit == 0
    if abs(out.x_px) > (PART_CUPS if not_round else BRIDGING_CUPS) * pitch_px:
        out.state = BRIDGING
    elif not_round:
        out.state = DOUBLE
    else:
        out.state = FRUIT_SEEN
    if fruit:
        n = _fruit_views(views, seen, room.order)
        fill_diameter(views, room.order, n, work[0], out)
        roll(views, room, n, travel, turn_px / out.diameter_px)
        fill_height(views, room.order, n, room.turns, out)
        settle_turns(views, room, n, travel, 2.0 * turn_px / out.diameter_px, out)
        surface(views, room, n, out)


@njit(cache=True, nogil=True)
def _fruit_views(views: Any, seen: NDArray[np.bool_], order: NDArray[np.int64]) -> int:
    n = 0
    for v in range(len(seen)):
        if seen[v] and views[v].state == FRUIT_SEEN:
            order[n] = v
            n += 1
    return n


@njit(cache=True, nogil=True)
def _centre(views: Any, seen: NDArray[np.bool_], work: NDArray[np.float64], out: Any) -> None:
    n = 0
    for v in range(len(seen)):
        if seen[v] and views[v].state >= FRUIT_SEEN:
            work[0, n], work[1, n] = views[v].x_px, views[v].y_px
            n += 1
    out.x_px, out.y_px = middle(work[0], n)[0], middle(work[1], n)[0]
