"""The watch over lamps and spectra, lane by lane: has the light changed since the white was taken, are fruit or instrument no
longer those the model was made from?

- An empty cup shows the lamp itself: its light over the white's, and how that differs between the shorter and the longer half of
  the wavelengths. Both are averaged and held against their own first averages; a new white brings them back, if it was the lamp.
  Where an empty cup clips, nothing is known of the lamp.
- T2 and Q of fruit, each at most its limit, are averaged and held against their mean over the model's own training rows.
"""

from math import fsum
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.config.references import ReferencesSection
from citrus_grade.spectra.bands import interpolation, pass_through
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.tables import EMPTY, FRUIT_SEEN

Floats = NDArray[np.float64]

KINDS: Final = ("lamp_level", "lamp_colour", "fruit_unlike", "spectra_unlike")
"""Kinds of alarm, and what is watched: light, its colour, T2, Q."""
LEVEL, COLOUR, T2, Q = range(4)
MEAN, REFERENCE, SAMPLES = range(3)
"""What is remembered of each."""
LEARNT: Final = np.array([64, 64, 0, 0])
"""Samples that make a reference; T2 and Q have theirs from the model."""
AVERAGED: Final = np.array([64, 64, 512, 512])
"""Samples over which a mean forgets; before half as many it says nothing."""


class Watched(NamedTuple):
    """``memory`` (n_lanes, 4, 3) `MEAN`, `REFERENCE`, `SAMPLES` of what `KINDS` watch; ``told`` (n_lanes, 4) which stand."""

    memory: Floats
    told: NDArray[np.bool_]


def nothing_yet(n_lanes: int) -> Watched:
    """Return the memory of a line that has seen nothing."""
    memory = np.full((n_lanes, len(KINDS), 3), np.nan)
    memory[..., SAMPLES] = 0
    return Watched(memory, np.zeros((n_lanes, len(KINDS)), np.bool_))


def begin_lamps(watched: Watched) -> None:
    """Learn anew what light empty cups let through."""
    watched.memory[:, :T2, REFERENCE] = np.nan
    watched.memory[:, :T2, SAMPLES] = 0


def begin_model(watched: Watched, model: SpectralModel | None) -> None:
    """Hold fruit against what a model was made from; without a model against nothing."""
    watched.memory[:, T2:, REFERENCE] = training(model) if model else np.nan
    watched.memory[:, T2:, SAMPLES] = 0


def average_anew(watched: Watched, lane: int) -> None:
    """Begin the averages of a lane anew, for it has new references."""
    watched.memory[lane, :, SAMPLES] = 0


def training(model: SpectralModel) -> tuple[float, float]:
    """Return the means of T2 and Q, each at most its limit, over the rows a model was made from; NaN where it holds none."""
    rows, domain = model.rows, model.domain
    if rows is None or not len(rows.absorbance):
        return np.nan, np.nan
    made = interpolation(rows.wavelength_nm, model.wavelength_nm)
    given = np.empty((len(rows.absorbance), len(model.wavelength_nm)))
    for row, out in zip(rows.absorbance.astype(np.float64), given, strict=True):
        pass_through(made.taps, made.first, made.run, row, out)
    traits = predict_absorbance(model, given)
    t2, q = np.minimum(traits["t2"], domain.t2_limit), np.minimum(traits["q"], domain.q_limit)
    return fsum(t2.tolist()) / len(given), fsum(q.tolist()) / len(given)


def change_pct(watched: Watched, lane: int, kind: int) -> float:
    """Return how far a mean of a lane lies from its reference."""
    mean, reference, _ = watched.memory[lane, kind].tolist()
    return float(100 * (mean / reference - 1))


def limits_of(section: ReferencesSection) -> Floats:
    """Return the relative change from which on each of `KINDS` is told, (4,)."""
    unlike = section.unlike_times - 1
    return np.array([section.lamp_level_pct / 100, section.lamp_colour_pct / 100, unlike, unlike])


def most(model: SpectralModel | None) -> Floats:
    """Return the most that T2 and Q of one fruit count for, (2,): the limits of the model's domain."""
    return np.array([model.domain.t2_limit, model.domain.q_limit] if model else [0.0, 0.0])


@njit(cache=True, nogil=True)
def watch(
    memory: Floats, told: NDArray[np.bool_], rows: Any, counts: Any, received: Any, dark: Floats, white: Floats, full_scale: int,
    limits: Floats, most: Floats, turned: NDArray[np.int8],
) -> int:  # fmt: skip
    """Take a pitch into the memory of `Watched`; fill ``turned`` (n_lanes, 4) with 1 of `KINDS` that begin to stand, -1 that end.

    Parameters
    ----------
    rows : (n_lanes,) of `tables.DECISION`. counts, received : (n_lanes, n_bins, n_pixels) and (n_lanes, n_bins), their scans.
    dark, white : (n_lanes, n_pixels). limits : `limits_of`. most : `most`.

    Returns
    -------
    How many begin or end.
    """
    n_turned = 0
    for lane in range(len(rows)):
        turned[lane] = 0
        row = rows[lane]
        if row.state == EMPTY:
            level, colour = _light(counts[lane], received[lane], dark[lane], white[lane], full_scale)
            if not np.isnan(level):
                n_turned += _remember(memory[lane], told[lane], LEVEL, level, limits, turned[lane])
                n_turned += _remember(memory[lane], told[lane], COLOUR, colour, limits, turned[lane])
        elif row.state == FRUIT_SEEN and not np.isnan(row.t2):
            n_turned += _remember(memory[lane], told[lane], T2, min(row.t2, most[0]), limits, turned[lane])
            n_turned += _remember(memory[lane], told[lane], Q, min(row.q, most[1]), limits, turned[lane])
    return n_turned


@njit(cache=True, nogil=True)
def _light(counts: Any, received: Any, dark: Floats, white: Floats, full_scale: int) -> tuple[float, float]:
    """Return the light of an empty cup over the white's, and that of the longer half over that of the shorter; NaN where a scan
    clips or none came."""
    half = counts.shape[1] // 2
    n, short, long = 0, np.int64(0), np.int64(0)
    for b in range(len(received)):
        if not received[b]:
            continue
        n += 1
        for p in range(half):
            if counts[b, p] >= full_scale or counts[b, p + half] >= full_scale:
                return np.nan, np.nan
            short += np.int64(counts[b, p])
            long += np.int64(counts[b, p + half])
    own_short, own_long, lamp_short, lamp_long = float(short), float(long), 0.0, 0.0
    for p in range(half):
        own_short -= n * dark[p]
        own_long -= n * dark[p + half]
        lamp_short += n * (white[p] - dark[p])
        lamp_long += n * (white[p + half] - dark[p + half])
    if n == 0 or own_short <= 0.0 or lamp_short <= 0.0 or lamp_long <= 0.0:
        return np.nan, np.nan
    return (own_short + own_long) / (lamp_short + lamp_long), (own_long / lamp_long) / (own_short / lamp_short)


@njit(cache=True, nogil=True)
def _remember(memory: Floats, told: NDArray[np.bool_], kind: int, value: float, limits: Floats, turned: NDArray[np.int8]) -> int:
    """Move one mean of a lane towards what was seen; say whether its alarm begins to stand, or ends.

    An alarm ends, and may be told again, when half of the change has gone. T2 and Q are watched for rising only.
    """
    own = memory[kind]
    if own[SAMPLES] == 0:
        own[MEAN] = 0.0
    own[SAMPLES] = min(own[SAMPLES] + 1, AVERAGED[kind])
    own[MEAN] += (value - own[MEAN]) / own[SAMPLES]
    if np.isnan(own[REFERENCE]) and own[SAMPLES] == LEARNT[kind]:
        own[REFERENCE] = own[MEAN]
    if 2 * own[SAMPLES] < AVERAGED[kind]:
        return 0
    change = own[MEAN] / own[REFERENCE] - 1.0
    if kind < T2:
        change = abs(change)
    stands = change > (0.5 * limits[kind] if told[kind] else limits[kind])
    turned[kind] = np.int8(stands) - np.int8(told[kind])
    told[kind] = stands
    return int(turned[kind] != 0)
