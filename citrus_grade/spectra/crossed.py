"""Does each lane's spectrometer look at that lane? Where the camera sees a cup empty, the spectrometer sees the most light.

A pitch says something of two lanes where the camera sees one cup empty and fruit in the other, and one spectrometer much light
and the other little: straight where they agree, crossed where each spectrometer agrees with the other's cup. A spectrometer or
a camera that errs alone makes no crossed pitch, for it takes two lanes that err at once.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.messages import Alarm
from citrus_grade.tables import EMPTY, FRUIT_SEEN

KIND: Final = "lanes_crossed"
STRAIGHT, CROSSED = 0, 1
LEAST: Final = 12
"""Crossed pitches before two lanes are told, most by far of all that said something."""
FORGOTTEN: Final = 256
"""Pitches of two lanes after which half of them are forgotten."""
STRIDE: Final = 4
"""Every so many pixels are enough to tell much light from little."""


class Votes(NamedTuple):
    """``pitches`` (n_lanes, n_lanes, 2) `STRAIGHT` and `CROSSED` of each two lanes, the lower first; ``brightest`` (n_lanes,) the
    most light of late, in counts; ``told`` (n_lanes, n_lanes) which two stand as crossed."""

    pitches: NDArray[np.int32]
    brightest: NDArray[np.int64]
    told: NDArray[np.bool_]


def nothing_yet(n_lanes: int) -> Votes:
    """Return the memory of a line that has seen nothing."""
    square = (n_lanes, n_lanes)
    return Votes(np.zeros((*square, 2), np.int32), np.zeros(n_lanes, np.int64), np.zeros(square, np.bool_))


def watch(votes: Votes, rows: NDArray[Any], counts: Any, received: Any, tick: int) -> list[Alarm]:
    """Take in a pitch; return the alarms that begin.

    Parameters
    ----------
    rows : (n_lanes,) of `tables.DECISION`. counts, received : (n_lanes, n_bins, n_pixels) and (n_lanes, n_bins), their scans.
    """
    new = np.zeros_like(votes.told)
    if not _take(votes.pitches, votes.brightest, votes.told, rows["state"], counts, received, new):
        return []
    return [
        Alarm(tick, KIND, f"lane {lane} other {other} cups {votes.pitches[lane, other, CROSSED]}")
        for lane, other in np.argwhere(new).tolist()
    ]


@njit(cache=True, nogil=True)
def _take(pitches: Any, brightest: Any, told: Any, state: Any, counts: Any, received: Any, new: Any) -> int:
    """Let every two lanes of a pitch vote; mark in ``new`` those that begin to stand as crossed, return how many."""
    n, n_new = len(state), 0
    bright = np.empty(n, np.int8)
    for lane in range(n):
        bright[lane] = _is_bright(brightest, lane, counts[lane], received[lane])
    for lane in range(n):
        for other in range(lane + 1, n):
            if not (_says(state[lane], bright[lane]) and _says(state[other], bright[other])):
                continue
            if state[lane] == state[other] or bright[lane] == bright[other]:
                continue
            own = pitches[lane, other]
            own[CROSSED if (state[lane] == EMPTY) != (bright[lane] == 1) else STRAIGHT] += 1
            if own[STRAIGHT] + own[CROSSED] >= FORGOTTEN:
                own //= 2
            stands = own[CROSSED] >= LEAST and own[CROSSED] > 4 * own[STRAIGHT]
            new[lane, other] = stands and not told[lane, other]
            told[lane, other] = stands
            n_new += new[lane, other]
    return n_new


@njit(cache=True, nogil=True)
def _says(state: int, bright: int) -> bool:
    return bright >= 0 and state in (EMPTY, FRUIT_SEEN)


@njit(cache=True, nogil=True)
def _is_bright(brightest: Any, lane: int, counts: Any, received: Any) -> int:
    """Say whether even the darkest scan of a cup has nearly as much light as this lane ever sees; -1 of a cup without scans."""
    darkest = np.int64(-1)
    for b in range(len(received)):
        if received[b]:
            light = np.int64(0)
            for p in range(0, counts.shape[1], STRIDE):
                light += np.int64(counts[b, p])
            darkest = light if darkest < 0 else min(darkest, light)
    if darkest < 0:
        return -1
    brightest[lane] = max(brightest[lane] - (brightest[lane] >> 11), darkest)
    return 1 if 5 * darkest >= 4 * brightest[lane] else 0
