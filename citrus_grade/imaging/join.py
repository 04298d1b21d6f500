"""Views of one fruit joined: the whole fruit from all the times it was seen."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.surface import Room, surface
from citrus_grade.tables import BRIDGING, DOUBLE, EMPTY, FRUIT_SEEN, UNSEEN

BRIDGING_CUPS = 0.30
"""A fruit whose centre lies further than this from its cup's, in pitches, rides on two cups."""


@njit(cache=True, nogil=True)
def _sort(values: NDArray[np.float64], n: int) -> None:
    for i in range(1, n):
        v, j = values[i], i
        while j > 0 and values[j - 1] > v:
            values[j] = values[j - 1]
            j -= 1
        values[j] = v


@njit(cache=True, nogil=True)
def _middle(values: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Sort the first ``n`` values; return their median and the standard error of it from their spread (MAD)."""
    _sort(values, n)
    median = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    for i in range(n):
        values[i] = abs(values[i] - median)
    _sort(values, n)
    mad = 0.5 * (values[(n - 1) // 2] + values[n // 2])
    return median, 1.2533 * 1.4826 * mad / np.sqrt(n)


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

    ``views`` (n_views,) `tables.VIEW` and ``seen`` (n_views,): which of them arrived; ``travel``, ``turn_px``, ``room`` as
    `surface.surface`. The equatorial diameter is the median
    of the
    silhouettes' major axes, which an oblate fruit shows from every side; the height is the mean of the two smallest minor axes,
    seen when the stem axis lies in the picture's plane.
    """
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
    if abs(out.x_px) > BRIDGING_CUPS * pitch_px:
        out.state = BRIDGING
    elif 2 * double > received or fruit == 0:
        out.state = DOUBLE
    else:
        out.state = FRUIT_SEEN
    if fruit:
        _size(views, seen, work, out)
        surface(views, seen, travel, turn_px, room, out)


@njit(cache=True, nogil=True)
def _centre(views: Any, seen: NDArray[np.bool_], work: NDArray[np.float64], out: Any) -> None:
    n = 0
    for v in range(len(seen)):
        if seen[v] and views[v].state >= FRUIT_SEEN:
            work[0, n], work[1, n] = views[v].x_px, views[v].y_px
            n += 1
    out.x_px, out.y_px = _middle(work[0], n)[0], _middle(work[1], n)[0]


@njit(cache=True, nogil=True)
def _size(views: Any, seen: NDArray[np.bool_], work: NDArray[np.float64], out: Any) -> None:
    n = 0
    for v in range(len(seen)):
        if seen[v] and views[v].state == FRUIT_SEEN:
            work[0, n], work[1, n] = views[v].major_px, views[v].minor_px
            n += 1
    _sort(work[1], n)
    second = work[1, min(1, n - 1)]
    out.height_px = 0.5 * (work[1, 0] + second)
    out.diameter_px, out.diameter_sigma_px = _middle(work[0], n)
    out.height_sigma_px = np.sqrt(0.5 * (second - out.height_px) ** 2 + 2 * out.diameter_sigma_px**2)
    out.height_px = min(out.height_px, out.diameter_px)
