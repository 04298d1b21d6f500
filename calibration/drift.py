"""Gauge balls in the season: is a lane still where its calibration left it?"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from citrus_grade.calibration.errors import refuse
from citrus_grade.words import _

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
LEAST_BALLS = 4
WITHIN, DRIFTED, UNSURE = "within", "drifted", "unsure"


@dataclass(frozen=True, slots=True)
class Drift:
    """How much too large balls of one size measure in one lane: the mean of ``n``, and the interval it lies in."""

    lane: int
    size_mm: float
    n: int
    mean_mm: float
    low_mm: float
    high_mm: float
    verdict: str


def drifts(lane: NDArray[np.int64], known_mm: Floats, measured_mm: Floats, within_mm: float, n_lanes: int) -> list[Drift]:
    """Judge every lane and size.

    Within: the whole interval lies inside ``within_mm`` of zero; drifted: all of it lies beyond; unsure: neither, and more balls
    would tell. The spread of a lane's balls is taken from all its sizes.

    Raises
    ------
    CalibrationError : lanes with too few balls.
    """
    text = _("lane {lane}: {n} balls were seen; at least {least} in every lane are needed")
    counts = [int((lane == k).sum()) for k in range(n_lanes)]
    refuse(text.format(lane=k, n=n, least=LEAST_BALLS) for k, n in enumerate(counts) if n < LEAST_BALLS)
    found = []
    for k in range(n_lanes):
        error, sizes = (measured_mm - known_mm)[lane == k], known_mm[lane == k]
        own = [error[sizes == size] for size in np.unique(sizes)]
        freedom = len(error) - len(own)
        spread = np.sqrt(sum(float(np.square(part - part.mean()).sum()) for part in own) / freedom) if freedom else np.inf
        for size, part in zip(np.unique(sizes), own, strict=True):
            half = float(student.ppf((1 + CONFIDENCE) / 2, max(freedom, 1)) * spread / np.sqrt(len(part)))
            mean = float(part.mean())
            found.append(Drift(k, float(size), len(part), mean, mean - half, mean + half, _verdict(mean, half, within_mm)))
    return found


def _verdict(mean_mm: float, half_mm: float, within_mm: float) -> str:
    if abs(mean_mm) + half_mm <= within_mm:
        return WITHIN
    return DRIFTED if abs(mean_mm) - half_mm > within_mm else UNSURE


def of_lane(found: list[Drift], lane: int) -> str:
    """Return a lane's verdict: drifted if any of its sizes is, within if all are."""
    own = {drift.verdict for drift in found if drift.lane == lane}
    return DRIFTED if DRIFTED in own else UNSURE if UNSURE in own else WITHIN
