"""Do the spectra belong to the fruit they are joined to? A cup that lets more light through must hold a smaller fruit, or none.

A wrong distance in the configuration, a spectrometer that hands over the spectrum before last, a trigger counted twice, two
cables exchanged: each joins every fruit to another's spectrum, and no spectrum looks wrong. Lane by lane the darkness of a cup's
darkest scan is correlated with what the cameras saw in that cup, in the cup before, in the cup behind, and in the other lanes'
cups. Where another explains the light better than the cup itself does, the lane's spectra are believed no more until the cup
does again.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.messages import Alarm, over
from citrus_grade.tables import EMPTY, FRUIT_SEEN

Floats = NDArray[np.float64]

KINDS: Final = ("lanes_crossed", "spectra_out_of_step")
"""Kinds of alarm: the light fits another lane's fruit, or that of a cup beside."""
BEFORE, BEHIND = -2, -1
"""The cup that passed before a lane's own, the one behind; where they stand behind the cups of all lanes."""
PAIRS, MEAN_SIZE, MEAN_DARK, VAR_SIZE, VAR_DARK, BOTH = range(6)
AVERAGED: Final = 48
"""Cups over which a correlation forgets; before as many it says nothing."""
CLEAR: Final = 0.6
"""By chance no other cup correlates so well: it is six standard errors of cups that have nothing to do with each other."""
BETTER: Final = 0.25
"""So much better than its own cup another must explain the light."""
EVERY_PX: Final = 8
"""Every so many pixels are enough to tell bright from dark."""


class Step(NamedTuple):
    """``memory`` (n_lanes, n_lanes + 2, 6): running moments of each lane's darkness with the sizes in the cups of all lanes, its
    own among them, then with `BEFORE` and `BEHIND`; ``last`` (n_lanes, 2): size and darkness of the cup before; ``fits``
    (n_lanes,): which of those sizes the light fits, a lane's own number where all is well."""

    memory: Floats
    last: Floats
    fits: NDArray[np.int64]

    @property
    def out(self) -> NDArray[np.bool_]:
        """Lanes whose spectra are not believed, (n_lanes,)."""
        return np.not_equal(self.fits, np.arange(len(self.fits)))


def nothing_yet(n_lanes: int) -> Step:
    """Return the memory of a line that has seen nothing."""
    return Step(np.zeros((n_lanes, n_lanes + 2, 6)), np.full((n_lanes, 2), np.nan), np.arange(n_lanes))


def watch(step: Step, rows: NDArray[Any], counts: Any, received: Any, dark: Floats, tick: int) -> list[Alarm]:
    """Take in a pitch; return the alarms that begin and those that end: which of both a lane was told of, its end does not say.

    Parameters
    ----------
    rows : (n_lanes,) of `tables.DECISION`. counts, received : (n_lanes, n_bins, n_pixels) and (n_lanes, n_bins), their scans.
    dark : (n_lanes, n_pixels).
    """
    n, was_out = len(step.fits), step.out
    if not take(step, rows, counts, received, dark):
        return []
    new = np.flatnonzero(step.out & ~was_out).tolist()
    crossed = [Alarm(tick, "lanes_crossed", f"lane {lane} other {step.fits[lane]}") for lane in new if step.fits[lane] < n]
    beside = [Alarm(tick, "spectra_out_of_step", f"lane {lane}") for lane in new if step.fits[lane] >= n]
    back = np.flatnonzero(was_out & ~step.out).tolist()
    return crossed + beside + [over(tick, kind, f"lane {lane}") for lane in back for kind in KINDS]


@njit(cache=True, nogil=True)
def take(step: Step, rows: Any, counts: Any, received: Any, dark: Floats) -> bool:
    """Take a pitch into the memory; say whether the light of a lane fits another cup than before."""
    n = len(rows)
    size, darkness = np.empty(n), np.empty(n)
    for lane in range(n):
        size[lane], darkness[lane] = _size(rows[lane]), _darkness(counts[lane], received[lane], dark[lane])
    changed = False
    for lane in range(n):
        memory, last = step.memory[lane], step.last[lane]
        for other in range(n):
            _remember(memory[other], size[other], darkness[lane])
        _remember(memory[BEFORE], last[0], darkness[lane])
        _remember(memory[BEHIND], size[lane], last[1])
        last[0], last[1] = size[lane], darkness[lane]
        fits = _fits(memory, lane, step.fits[lane] != lane)
        changed |= fits != step.fits[lane]
        step.fits[lane] = fits
    return changed


@njit(cache=True, nogil=True)
def _fits(memory: Floats, lane: int, was_out: bool) -> int:
    """Return whose cup a lane's light fits: its own until another explains it clearly better, then that until its own is best."""
    own, best, which = _correlation(memory[lane]), -np.inf, lane
    for place in range(len(memory)):
        found = _correlation(memory[place])
        if place != lane and found > best:
            best, which = found, place
    # Where larger fruit are brighter, as where light is reflected, this knows nothing.
    out = best > own if was_out else best > CLEAR and best - BETTER > own > -CLEAR
    return which if out else lane


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
    return own[BOTH] / np.sqrt(spread) if own[PAIRS] >= AVERAGED and spread > 0.0 else 0.0
