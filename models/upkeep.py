"""Sample fruit of known sugar or acid -> the model kept true: left alone, moved, turned, or fitted anew, whichever does best.

The mathematics of each correction is `calibration.correction`'s; here is the choice, and the new bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from citrus_grade.calibration import level
from citrus_grade.calibration.correction import WORST_OUTLIERS, Line, correct, suspicious
from citrus_grade.calibration.level import Levels
from citrus_grade.models import refit
from citrus_grade.models.assemble import limit_of
from citrus_grade.spectra.model import Domain, SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.words import N_

Floats = NDArray[np.float64]

REFIT: Final = N_("refit")
WEIGHTS: Final = (3.0, 10.0)
"""What a new fruit may count against an old one when a model is fitted anew."""


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What upkeep did to one target.

    ``chosen`` one of none, bias, slope, refit; ``reason``; ``before``, ``after`` (m,) predictions of the sample fruit, those
    after by corrections made without the fruit; ``errors`` (m,) reference minus value by choices made without the fruit;
    ``rmse`` of every candidate; ``line`` per lane; ``weight`` of the new fruit if refitted; ``suspicious`` rows of references to
    look at; ``levels`` of each lane's intervals after these fruit, before anything was done.
    """

    target: str
    chosen: str
    reason: str
    before: Floats
    after: Floats
    errors: Floats
    rmse: dict[str, float]
    line: Line
    weight: float
    suspicious: tuple[int, ...]
    levels: Levels


def upkeep(
    model: SpectralModel, absorbance: Floats, reference: Sequence[Floats], lane: Sequence[str] | None
) -> tuple[SpectralModel, list[Kept]]:
    """Return the model that these sample fruit make of another, and what was done to it.

    Parameters
    ----------
    absorbance : (m, n_in) of the sample fruit at the model's wavelengths. reference : (m,) of each target.
    lane : (m,) where each passed, None if lanes do not matter.

    Raises
    ------
    CalibrationError : too few fruit, or references that seem to belong to other fruit.
    """
    with threadpool_limits(1):
        return _upkeep(model, absorbance, reference, lane)


def _upkeep(
    model: SpectralModel, absorbance: Floats, reference: Sequence[Floats], lane: Sequence[str] | None
) -> tuple[SpectralModel, list[Kept]]:
    names = sorted(set(lane)) if lane is not None else []
    which = np.array([names.index(own) for own in lane] if lane is not None else np.zeros(len(absorbance)), np.int64)
    bare = replace(model, lanes=(), corrections=np.tile([0.0, 1.0], (1, len(model.targets), 1)))
    before = predict_absorbance(model, absorbance, lane)["value"]
    plain = predict_absorbance(bare, absorbance)["value"]
    n_lanes = max(len(names), 1)
    doubted = np.array([_doubted(model, j, plain[:, j], absorbance, own, which, n_lanes) for j, own in enumerate(reference)])
    done = [
        _one(model, j, plain[:, j], before[:, j], absorbance, reference[j], doubted, which, n_lanes)
        for j in range(len(model.targets))
    ]
    residuals = [refit.resized(model.targets[j].residuals, kept.errors) for j, kept in enumerate(done)]
    story = dict(model.training) | {"upkeep": [*model.training.get("upkeep", []), _story(done, names, which)]}
    made = _made(bare, absorbance, reference, _believed(doubted), done, residuals, story)
    return replace(made, lanes=tuple(names), corrections=_corrections(done, len(names))), done


def _doubted(
    model: SpectralModel, target: int, plain: Floats, absorbance: Floats, reference: Floats, lane: NDArray[np.int64], n_lanes: int
) -> NDArray[np.bool_]:
    """Which references (m,) look wrong beside the model's values, or beside those of one fitted anew without the first.

    Of a season the model is far off, it sees gross mistakes only; no more than a fifth are left out.
    """
    odd = np.zeros(len(plain), np.bool_)
    odd[list(correct(plain, reference, lane, n_lanes).suspicious)] = True
    if refit.hindrance(model):
        return odd
    said = refit.leave_one_out(refit.mixture(model, target, absorbance, reference, WEIGHTS[0]), ~odd)
    both = odd | suspicious(said, reference, lane)
    return both if both.mean() <= WORST_OUTLIERS else odd


def _believed(doubted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which fruit (m,) a model may be fitted anew with: those all of whose references are, for a bundle's row holds them all."""
    return np.asarray(~doubted.any(0))


def _of_the_season(model: SpectralModel, absorbance: Floats) -> Domain:
    """The domain with limits between the old ones and those the sample fruit tell, as an interval's width is (`refit.resized`).

    A season may lie farther out or nearer than those the limits were made from, all its fruit alike. A model fitted anew has
    limits of its own: it has seen the samples, which lie nearer than other fruit of their season.
    """
    old, told, m = model.domain, predict_absorbance(model, absorbance), len(absorbance)
    share = m / (refit.OLD_FRUIT + m)
    t2, q = limit_of(told["t2"]) / old.t2_limit, limit_of(told["q"]) / old.q_limit
    return replace(old, t2_limit=float(old.t2_limit * t2**share), q_limit=float(old.q_limit * q**share))


def _one(
    model: SpectralModel,
    target: int,
    plain: Floats,
    before: Floats,
    absorbance: Floats,
    reference: Floats,
    doubted: NDArray[np.bool_],
    lane: NDArray[np.int64],
    n_lanes: int,
) -> Kept:
    others: dict[str, Floats] = {}
    best: tuple[float, Floats] | None = None
    if not refit.hindrance(model):
        best = _best_refit(model, target, absorbance, reference, _believed(doubted))
        again = correct(best[1], reference, lane, n_lanes)
        corrected = again.loo[again.chosen]
        others[REFIT] = np.where(np.isfinite(corrected), corrected, best[1])  # a reference that looks wrong is not corrected by
    found = correct(plain, reference, lane, n_lanes, others, doubted[target])
    line, weight = found.line, 0.0
    if found.chosen == REFIT and best is not None:
        weight = best[0]
        line = correct(best[1], reference, lane, n_lanes).line
    known = np.array(reference, np.float64)
    known[list(found.suspicious)] = np.nan
    levels, _inside = level.follow(level.start(n_lanes), model.targets[target].residuals, lane, known - before)
    return Kept(
        model.names[target], found.chosen, found.reason, before, found.loo[found.chosen], reference - found.honest,
        dict(found.rmse), line, weight, found.suspicious, levels,
    )  # fmt: skip


def _best_refit(
    model: SpectralModel, target: int, absorbance: Floats, reference: Floats, believed: NDArray[np.bool_]
) -> tuple[float, Floats]:
    """The weight of the new fruit that does best on those left out, and what it says of them and of those not believed."""
    said = {w: refit.leave_one_out(refit.mixture(model, target, absorbance, reference, w), believed) for w in WEIGHTS}
    weight = min(said, key=lambda w: float(np.mean((said[w] - reference)[believed] ** 2)))
    return weight, said[weight]


def _made(
    bare: SpectralModel,
    absorbance: Floats,
    reference: Sequence[Floats],
    believed: NDArray[np.bool_],
    done: Sequence[Kept],
    residuals: Sequence[Floats],
    story: dict[str, Any],
) -> SpectralModel:
    """The model before its lanes' corrections: fitted anew for the targets that chose so."""
    same = tuple(refit.with_residuals(target, own) for target, own in zip(bare.targets, residuals, strict=True))
    if all(kept.chosen != REFIT for kept in done):
        return replace(bare, targets=same, domain=_of_the_season(bare, absorbance), training=story)
    weights = [max(kept.weight, 1e-6) for kept in done]
    fresh = refit.refitted(bare, absorbance[believed], [known[believed] for known in reference], weights, residuals, story)
    targets = tuple(new if kept.chosen == REFIT else old for new, old, kept in zip(fresh.targets, same, done, strict=True))
    return replace(fresh, targets=targets)


def _corrections(done: Sequence[Kept], n_lanes: int) -> Floats:
    out = np.empty((1 + n_lanes, len(done), 2))
    for j, kept in enumerate(done):
        out[0, j] = kept.line.common, kept.line.slope
        for lane in range(n_lanes):
            out[1 + lane, j] = kept.line.bias[lane], kept.line.slope
    return out


def _story(done: Sequence[Kept], names: Sequence[str], lane: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "fruit": len(lane),
        "lanes": {name: int((lane == k).sum()) for k, name in enumerate(names)},
        "targets": {
            kept.target: {"chosen": kept.chosen, "rmse": kept.rmse, "weight": kept.weight, "suspicious": list(kept.suspicious)}
            for kept in done
        },
    }
