"""Where sensor data waits for its cup: rings indexed ``[cup % ring, lane]``, filled by position, read as one batch a cup."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.geometry import MILLI, locate
from citrus_grade.imaging.join import join
from citrus_grade.imaging.surface import Room


@njit(cache=True, nogil=True)
def place_views(rows: Any, next_cup: int, views: Any, seen: NDArray[np.bool_]) -> int:
    """Put views into the ring, the first of a kind wins; return how many came too late or too early."""
    ring, missed = len(seen), 0
    for i in range(len(rows)):
        row = rows[i]
        if not 0 <= row.lane < seen.shape[1] or not 0 <= row.view_index < seen.shape[2]:
            missed += 1
            continue
        if row.cup < next_cup or row.cup >= next_cup + ring:
            missed += row.cup >= 0
            continue
        slot = row.cup & (ring - 1)
        if not seen[slot, row.lane, row.view_index]:
            views[slot, row.lane, row.view_index] = row
            seen[slot, row.lane, row.view_index] = True
    return missed


@njit(cache=True, nogil=True)
def place_scans(
    lane: NDArray[np.int32],
    seq: NDArray[np.int32],
    tick: NDArray[np.int64],
    counts: NDArray[np.uint16],
    next_cup: int,
    offset: int,
    station_milli: NDArray[np.int64],
    chord_milli: int,
    num: int,
    den: int,
    light_from: NDArray[np.int64],
    last_seq: NDArray[np.int64],
    ring_counts: NDArray[np.uint16],
    seen: NDArray[np.bool_],
) -> tuple[int, int]:
    """Put scans into the ring by their place in the passage, the first of a bin wins.

    A scan outside the chord sees the gap between two cups and is passed over, and so is one from before its lane's
    ``light_from``, which saw a shutter. Returns how many came too late or too early,
    and how many numbers the lanes' counters have skipped.
    """
    ring, bins, missed, gap = len(seen), seen.shape[2], 0, 0
    for i in range(len(lane)):
        if not 0 <= lane[i] < len(last_seq) or counts.shape[1] != ring_counts.shape[3]:
            missed += 1
            continue
        last = last_seq[lane[i]]
        if last >= 0 and seq[i] > last + 1:
            gap += seq[i] - last - 1
        last_seq[lane[i]] = max(last, seq[i])
        cup, ahead, unit = locate(tick[i], offset, station_milli[lane[i]], num, den)
        inside, whole = 2 * MILLI * ahead + chord_milli * unit, 2 * chord_milli * unit
        if inside < 0 or inside >= whole or cup < 0 or tick[i] < light_from[lane[i]]:
            continue
        if cup < next_cup or cup >= next_cup + ring:
            missed += 1
            continue
        slot, place = cup & (ring - 1), inside * bins // whole
        if not seen[slot, lane[i], place]:
            ring_counts[slot, lane[i], place] = counts[i]
            seen[slot, lane[i], place] = True
    return missed, gap


@njit(cache=True, nogil=True)
def join_lanes(
    views: Any,
    seen: NDArray[np.bool_],
    fruit: Any,
    joined: NDArray[np.bool_],
    pitch_px: float,
    travel: NDArray[np.float64],
    turn_px: float,
    room: Room,
    cup: int,
    work: NDArray[np.float64],
    out: Any,
) -> None:
    """Join the views of one cup on every lane, or take the ``fruit`` that was fed joined."""
    for lane in range(len(out)):
        if joined[lane]:
            out[lane] = fruit[lane]
        else:
            out[lane].lane, out[lane].cup = lane, cup
            join(views[lane], seen[lane], pitch_px, travel, turn_px, room, work, out[lane])
