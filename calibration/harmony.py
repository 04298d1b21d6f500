"""Lanes against each other without any reference: they see the same lot, so their predictions must agree.

A lane's offset is how far its fruit lie off the mean of all lanes. It is told by a robust regression on lanes and, where the
cameras give them, on covariates that go with the trait (colour, size): the part of the fruit's spread that they explain no longer
hides the offset.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import t as student

from citrus_grade.calibration.drift import DRIFTED, UNSURE, WITHIN
from citrus_grade.calibration.errors import refuse
from citrus_grade.words import _

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.90
LEAST_FRUIT: Final = 30
HUBER: Final = 1.5
"""In standard deviations: beyond it a fruit pulls no harder. Costs 4 % of the fruit if they are normal; Huber 1964."""
TURNS: Final = 30


@dataclass(frozen=True, slots=True, eq=False)
class Harmony:
    """How far each lane lies off the mean of all: ``offset``, ``low``, ``high`` (n_lanes,), in the unit of the trait.

    ``verdict`` (n_lanes) says whether the whole interval lies beyond the tolerance (drifted), inside it (within) or neither
    (unsure); ``explained`` is the share of the fruit's variance the covariates account for; ``n`` (n_lanes,) fruit.
    """

    offset: Floats
    low: Floats
    high: Floats
    verdict: tuple[str, ...]
    explained: float
    n: NDArray[np.int64]

    @property
    def proposed(self) -> Floats:
        """(n_lanes,) what to add to each lane's predictions: the offset taken back where a lane drifted, else nothing."""
        return np.where(np.array(self.verdict) == DRIFTED, -self.offset, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class _Lot:
    """One lot's ``offset`` (n_lanes,), the ``variance`` of each, and the ``freedom`` of its estimate."""

    offset: Floats
    variance: Floats
    freedom: float
    explained: float
    n: NDArray[np.int64]


def harmonise(
    predicted: Floats,
    lane: NDArray[np.int_],
    n_lanes: int,
    tolerance: float,
    covariates: ArrayLike | None = None,
    lot: ArrayLike | None = None,
) -> Harmony:
    """Estimate every lane's offset with its interval of 90 %.

    Several lots are put together by random effects: an offset may differ from lot to lot, and that counts in the interval.

    Parameters
    ----------
    predicted : (n,) of all fruit of one or more lots that was spread over the lanes without regard to quality; rows with NaN in
        it or in a covariate are left out. lane : (n,).
    tolerance : offset that is still good, in the unit of the trait.
    covariates : (n, n_covariates) of each fruit, measured by what lanes have in common: a camera that itself sees lanes
        differently makes an offset of its own. lot : (n,) of each fruit; one lot by default.

    Raises
    ------
    CalibrationError : fewer than two lanes, or lanes and lots with too few fruit; all of them.
    """
    n = len(predicted)
    extra = np.empty((n, 0)) if covariates is None else np.asarray(covariates, np.float64).reshape(n, -1)
    lots = np.zeros(n, np.int64) if lot is None else np.asarray(lot)
    good = np.isfinite(predicted) & np.isfinite(extra).all(1)
    names = np.unique(lots)
    _check(lane[good], lots[good], names, n_lanes)
    found = [_lot(predicted[own], lane[own], n_lanes, extra[own]) for own in (good & (lots == name) for name in names)]
    offset, half = _together(found)
    verdict = tuple(_verdict(o, h, tolerance) for o, h in zip(offset, half, strict=True))
    counts = np.array([own.n for own in found])
    explained = float(np.average([own.explained for own in found], weights=counts.sum(1)))
    return Harmony(offset, offset - half, offset + half, verdict, explained, counts.sum(0))


def _check(lane: NDArray[np.int_], lots: NDArray[np.generic], names: NDArray[np.generic], n_lanes: int) -> None:
    if n_lanes < 2:
        refuse([_("one lane has no others to agree with; take sample fruit instead")])
    text = _("lot {lot}, lane {lane}: {n} graded fruit; at least {least} are needed, 600 are good: leave the lot or the lane out")
    counts = {name: np.bincount(lane[lots == name], minlength=n_lanes) for name in names}
    refuse(
        text.format(lot=name, lane=k, n=n, least=LEAST_FRUIT)
        for name, own in counts.items()
        for k, n in enumerate(own)
        if n < LEAST_FRUIT
    )


def _lot(predicted: Floats, lane: NDArray[np.int_], n_lanes: int, covariates: Floats) -> _Lot:
    n = np.bincount(lane, minlength=n_lanes)
    lanes = np.eye(n_lanes)[lane]
    centred = covariates - covariates.mean(0)
    plain = predicted - (np.bincount(lane, predicted) / n)[lane]
    level, covariance, residual = _huber(predicted, np.hstack([lanes, centred]), n_lanes)
    contrast = np.eye(n_lanes) - 1 / n_lanes
    variance = np.diag(contrast @ covariance @ contrast)
    explained = max(1 - float(residual @ residual) / float(plain @ plain), 0.0) if plain.any() else 0.0
    return _Lot(contrast @ level, variance, len(predicted) - n_lanes - covariates.shape[1], explained, n)


def _huber(y: Floats, design: Floats, n_lanes: int) -> tuple[Floats, Floats, Floats]:
    """Levels of the lanes (n_lanes,), their covariance and the residuals (n,): Huber's proposal 1 by re-weighting, MAD scale.

    Covariance: tau^2 (X'X)^-1 with tau^2 = scale^2 mean(psi^2) / mean(psi')^2 and his small-sample factor
    (Huber and Ronchetti 2009, Robust Statistics, 7.6).
    """
    beta = np.asarray(np.linalg.lstsq(design, y, rcond=None)[0], np.float64)
    scale = 0.0
    for _turn in range(TURNS):
        residual = y - design @ beta
        scale = 1.4826 * float(np.median(np.abs(residual)))
        if scale <= 1e-12 * max(float(np.abs(y).max()), 1e-300):
            break
        weight = np.minimum(1.0, HUBER * scale / np.maximum(np.abs(residual), 1e-300))
        weighted = design * weight[:, None]
        step = np.linalg.lstsq(weighted.T @ design, weighted.T @ residual, rcond=None)[0]
        beta = np.asarray(beta + step, np.float64)
        if np.abs(step).max() <= 1e-10 * scale:
            break
    residual = y - design @ beta
    inside = np.abs(residual) <= HUBER * scale
    share = max(float(inside.mean()), 0.5)
    clipped = np.clip(residual, -HUBER * scale, HUBER * scale)
    n, p = design.shape
    factor = 1 + p / n * (1 - share) / share
    tau2 = factor**2 * float(clipped @ clipped) / (n - p) / share**2
    covariance = np.asarray(tau2 * np.linalg.pinv(design.T @ design), np.float64)
    return beta[:n_lanes], covariance[:n_lanes, :n_lanes], residual


def _together(lots: list[_Lot]) -> tuple[Floats, Floats]:
    """Offset (n_lanes,) over lots and half of its interval: DerSimonian and Laird's mean, Hartung and Knapp's interval.

    That interval (2001, Statistics in Medicine 20, 1771) is never let to be narrower than the lots' own errors make it.
    """
    if len(lots) == 1:
        only = lots[0]
        return only.offset, student.ppf((1 + CONFIDENCE) / 2, only.freedom) * np.sqrt(only.variance)
    offset, variance = np.array([lot.offset for lot in lots]), np.array([lot.variance for lot in lots])
    own = 1 / variance
    fixed = (own * offset).sum(0) / own.sum(0)
    beyond = (own * np.square(offset - fixed)).sum(0) - (len(lots) - 1)
    between = np.maximum(beyond / (own.sum(0) - np.square(own).sum(0) / own.sum(0)), 0.0)
    weight = 1 / (variance + between)
    mean = (weight * offset).sum(0) / weight.sum(0)
    spread = (weight * np.square(offset - mean)).sum(0) / (len(lots) - 1)
    sigma = np.sqrt(np.maximum(spread, 1.0) / weight.sum(0))
    narrow = student.ppf((1 + CONFIDENCE) / 2, sum(lot.freedom for lot in lots)) / np.sqrt(own.sum(0))
    return mean, np.where(between > 0, student.ppf((1 + CONFIDENCE) / 2, len(lots) - 1) * sigma, narrow)


def _verdict(offset: float, half: float, tolerance: float) -> str:
    if abs(offset) + half <= tolerance:
        return WITHIN
    return DRIFTED if abs(offset) - half > tolerance else UNSURE


def say(harmony: Harmony, unit: str, lanes: Sequence[int] | None = None) -> list[str]:
    """Return a sentence for every lane that drifted; ``lanes`` (n_lanes,) are their numbers where some are missing."""
    text = _(
        "lane {lane}: predicts {offset:+.2f} {unit} ({low:+.2f} to {high:+.2f}) off the mean of all lanes over {n} fruit of the"
        " same lots; check its white and dark references; adding {proposed:+.2f} {unit} would bring it back"
    )
    return [
        text.format(
            lane=k if lanes is None else lanes[k],
            offset=harmony.offset[k],
            low=harmony.low[k],
            high=harmony.high[k],
            n=harmony.n[k],
            proposed=harmony.proposed[k],
            unit=unit,
        )
        for k, verdict in enumerate(harmony.verdict)
        if verdict == DRIFTED
    ]
