"""Do the spectra belong to the fruit they are joined to? A cup that lets more light through must hold a smaller fruit, or none.

A wrong distance in the configuration, a spectrometer that hands over the spectrum before last, a trigger counted twice: each
joins every fruit to its neighbour's spectrum, and no spectrum looks wrong. Lane by lane the darkness of a cup's darkest scan is
correlated with what the cameras saw in that cup, in the cup before and in the cup behind. Where a neighbour explains the light
better than the cup itself does, the lane's spectra are believed no more until the cup does again.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.tables import EMPTY, FRUIT_SEEN

Floats = NDArray[np.float64]

OWN, BEFORE, BEHIND = range(3)
"""The cup itself, the one that passed before it, the one behind."""
PAIRS, MEAN_SIZE, MEAN_DARK, VAR_SIZE, VAR_DARK, BOTH = range(6)
AVERAGED: Final = 48
"""Cups over which a correlation forgets; before half as many it says nothing."""
CLEAR: Final = 0.6
"""By chance no neighbour correlates so well: it is six standard errors of cups that have nothing to do with each other."""
BETTER: Final = 0.25
"""So much better than its own cup a neighbour must explain the light."""
EVERY_PX: Final = 8
"""Every so many pixels are enough to tell bright from dark."""


class Step(NamedTuple):
    """``memory`` (n_lanes, 3, 6): running moments of size and darkness for `OWN`, `BEFORE`, `BEHIND`; ``last`` (n_lanes, 2): both
    of the cup before; ``out`` (n_lanes,): whose spectra are not believed."""

    memory: Floats
    last: Floats
    out: NDArray[np.bool_]


def nothing_yet(n_lanes: int) -> Step:
    """Return the memory of a line that has seen nothing."""
    return Step(np.zeros((n_lanes, 3, 6)), np.full((n_lanes, 2), np.nan), np.zeros(n_lanes, np.bool_))


@njit(cache=True, nogil=True)
def take(step: Step, rows: Any, counts: Any, received: Any, dark: Floats, new: NDArray[np.bool_]) -> int:
    """Take a pitch into the memory; fill ``new`` (n_lanes,) with the lanes that begin to be out of step, return how many.

    Parameters
    ----------
    rows : (n_lanes,) of `tables.DECISION`. counts, received : (n_lanes, n_bins, n_pixels) and (n_lanes, n_bins), their scans.
    dark : (n_lanes, n_pixels).
    """
    n_new = 0
    for lane in range(len(rows)):
        memory, last = step.memory[lane], step.last[lane]
        size, darkness = _size(rows[lane]), _darkness(counts[lane], received[lane], dark[lane])
        _remember(memory[OWN], size, darkness)
        _remember(memory[BEFORE], last[0], darkness)
        _remember(memory[BEHIND], size, last[1])
        last[0], last[1] = size, darkness
        own, other = _correlation(memory[OWN]), max(_correlation(memory[BEFORE]), _correlation(memory[BEHIND]))
        was = step.out[lane]
        # Where larger fruit are brighter, as where light is reflected, this knows nothing.
        step.out[lane] = other > own if was else other > CLEAR and other - BETTER > own > -CLEAR
        new[lane] = step.out[lane] and not was
        n_new += new[lane]
    return n_new


@njit(cache=True, nogil=True)
def _size(row: Any) -> float:
    """Return a single fruit's diameter in mm, 0 of an empty cup; NaN where it is not known."""
    if row.state == EMPTY:
        return 0.0
    return row.diameter_mm if row.state == FRUIT_SEEN else np.nan


@njit(cache=True, nogil=True)
def _darkness(counts: Any, received: Any, dark: Floats) -> float:
    """Return how little light passed at the darkest moment, as minus the logarithm of counts; NaN where no scan came."""
    least = np.inf
    for b in range(len(received)):
        if received[b]:
            light = 0.0
            for p in range(0, counts.shape[1], EVERY_PX):
                light += counts[b, p] - dark[p]
            least = min(least, light)
    return -np.log(max(least, 1.0)) if least < np.inf else np.nan


@njit(cache=True, nogil=True)
def _remember(own: Floats, size: float, darkness: float) -> None:
    """Move the moments of one pairing towards what was seen (exponentially forgetting; West, Comm. ACM 22, 532, 1979)."""
    if np.isnan(size) or np.isnan(darkness):
        return
    own[PAIRS] = min(own[PAIRS] + 1, AVERAGED)
    share = 1.0 / own[PAIRS]
    by_size, by_dark = size - own[MEAN_SIZE], darkness - own[MEAN_DARK]
    own[MEAN_SIZE] += share * by_size
    own[MEAN_DARK] += share * by_dark
    own[VAR_SIZE] = (1.0 - share) * (own[VAR_SIZE] + share * by_size * by_size)
    own[VAR_DARK] = (1.0 - share) * (own[VAR_DARK] + share * by_dark * by_dark)
    own[BOTH] = (1.0 - share) * (own[BOTH] + share * by_size * by_dark)


@njit(cache=True, nogil=True)
def _correlation(own: Floats) -> float:
    """Return Pearson's coefficient; 0 before enough pairs, or where one of both does not vary."""
    spread = own[VAR_SIZE] * own[VAR_DARK]
    return own[BOTH] / np.sqrt(spread) if 2 * own[PAIRS] >= AVERAGED and spread > 0.0 else 0.0
