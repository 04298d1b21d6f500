"""Labelled spectra -> a spectral model: search, choice, intervals, domain, and the story of it."""

import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy
import sklearn
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from citrus_grade import __version__
from citrus_grade.calibration import pls
from citrus_grade.calibration.pls import Fold
from citrus_grade.models import fingerprints, recipes, temperature
from citrus_grade.models.assemble import Fitted, Part, assemble, domain_limits
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.score_models import MOST_POINTS, representative
from citrus_grade.models.search import (
    MARGIN,
    SHORTLIST,
    Prepared,
    Samples,
    Step,
    Tried,
    basis_of,
    choose,
    prepare,
    score_model,
    search_pls,
    search_scores,
)
from citrus_grade.models.temperature import Warmth, projected, steadied
from citrus_grade.spectra.model import Rows, SpectralModel
from citrus_grade.spectra.traits import MAX_TARGETS
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

UNITS: Final = {"brix": "Brix", "°brix": "Brix", "°bx": "Brix", "pct": "%", "g": "g", "mm": "mm"}
IN_BRACKETS: Final = re.compile(r"[(\[（]([^()\[\]（）]+)[)\]）]$")
LEAST: Final = 20
"""Fruit below which no model is made."""
MORE_COMPONENTS, LEAST_COMPONENTS, MOST_COMPONENTS = 4, 8, 25
"""The nonlinear families take so many components more than PLS, within bounds: their lengths switch off what is noise."""
MOST_KEPT: Final = 1_000_000
"""Absorbances of the training that a bundle keeps at most."""
NOTHING: Final = np.zeros((0, 0))
"""No directions taken out of the features."""
SUSPECT: Final = 4.5
"""A reference so many robust standard deviations off what the other fruit say is named in the story."""


class TrainError(Refused):
    """A batch that cannot make a model; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Trained:
    """A model with what it was chosen from: per target all that was ``tried`` and what was ``chosen``; ``said`` (n, n_targets)
    predictions of fruit left out, ``suspects`` rows whose reference looks wrong."""

    model: SpectralModel
    tried: list[list[Tried]]
    chosen: list[Tried]
    said: Floats
    suspects: list[int]


def train(
    batch: Samples,
    names: Sequence[str],
    *,
    range_nm: tuple[float, float] | None = None,
    families: Sequence[str] = ("pls", "gpr", "svr", "mean"),
    reference_error: Sequence[float] | None = None,
    warmth: Warmth | None = None,
    story: dict[str, Any] | None = None,
    step: Step = lambda what: None,
) -> Trained:
    """Fit one or two targets on one preprocessing.

    Parameters
    ----------
    batch : labelled spectra. names : of the targets, ending in their unit where it is Brix or %.
    range_nm : wavelengths to use, by default found. families : which to try; PLS always is.
    reference_error : sd of the laboratory's value, per target. warmth : the fruit's temperatures, to be made harmless.
    story : more to keep in the model's card. step : told of every step, for a progress bar.

    Raises
    ------
    TrainError : NaN, too few fruit, one lot, a constant reference, a range without spectra. TemperatureError : all but alike.
    """
    _check(batch, names)
    with threadpool_limits(1):  # the matrices are small: a second thread waits for the first, and on a busy machine for long
        return _train(batch, names, range_nm, families, reference_error, warmth, story or {}, step)


def _train(
    batch: Samples,
    names: Sequence[str],
    range_nm: tuple[float, float] | None,
    families: Sequence[str],
    reference_error: Sequence[float] | None,
    warmth: Warmth | None,
    story: dict[str, Any],
    step: Step,
) -> Trained:
    folds = batch.folds()
    worth = recipes.recipes(batch.wavelength_nm, range_nm)
    if not worth:
        raise TrainError(
            _("the range holds fewer than {least} wavelengths of the table; widen it").format(least=recipes.LEAST_POINTS)
        )
    tried = search_pls(batch, worth, step)
    if set(families) - {"pls"}:
        tried = [found + _nonlinear(batch, folds, found, target, families, step) for target, found in enumerate(tried)]
    chosen = _together(tried, batch.reference)
    removed = NOTHING
    if warmth is not None:
        step(_("temperature"))
        steady = steadied(batch, names, folds, chosen, warmth)
        chosen, removed = steady.chosen, steady.removed
        story = story | {temperature.KEY: steady.told}
    ready = projected(prepare(batch, chosen[0].recipe, folds), removed)
    fitted = [_fit(batch, folds, batch.reference[:, j], names[j], one, removed) for j, one in enumerate(chosen)]
    k = min(_domain_components(tried[0], chosen[0]), chosen[0].components)
    used = recipes.window(batch.wavelength_nm, chosen[0].recipe)
    limits = domain_limits(ready.narrow, batch.reference[:, 0], batch.absorbance[:, used].mean(1), folds, k)
    made = recipes.preprocessing(chosen[0].recipe, batch.wavelength_nm, batch.absorbance)
    said = np.column_stack([one.said for one in chosen])
    suspects = _suspects(batch.reference - said)
    told = _story(batch, names, tried, chosen, reference_error, suspects) | story
    told = fingerprints.remember(told, batch.wavelength_nm[used], batch.absorbance[:, used])
    model = assemble(made, removed.reshape(-1, ready.features.shape[1]), fitted, k, limits, told, rows_of(batch, said[:, 0]))
    return Trained(model, tried, chosen, said, suspects)


def rows_of(batch: Samples, order: Floats) -> Rows:
    """Return the batch to be kept in a bundle, or as many representative fruit of it as `MOST_KEPT` allows."""
    most = min(MOST_POINTS, MOST_KEPT // batch.absorbance.shape[1])
    rows = representative(order, most)
    groups = None if batch.groups is None else np.asarray(batch.groups).astype(np.str_)[rows]
    return Rows(np.array(batch.wavelength_nm), batch.absorbance[rows].astype(np.float32), np.array(batch.reference[rows]), groups)


def _check(batch: Samples, names: Sequence[str]) -> None:
    n, n_targets = batch.reference.shape
    if n_targets != len(names) or not 1 <= n_targets <= MAX_TARGETS:
        raise TrainError(
            _("{n} columns of references for {names}; give 1 or {most} of each").format(
                n=n_targets, names=", ".join(names), most=MAX_TARGETS
            )
        )
    if n < LEAST:
        raise TrainError(
            _("{n} fruit with a reference; bring {least} or more, better 120 from several lots").format(n=n, least=LEAST)
        )
    bad = np.flatnonzero(~(np.isfinite(batch.absorbance).all(1) & np.isfinite(batch.reference).all(1)))
    if len(bad):
        raise TrainError(
            _("row {row}: NaN or infinity in spectrum or reference ({n} such rows); leave them out").format(
                row=bad[0] + 1, n=len(bad)
            )
        )
    if batch.groups is not None and len(np.unique(batch.groups)) < 2:
        raise TrainError(
            _("all fruit are of one lot, so no error for a new lot can be told; bring a second lot, or name no group")
        )
    for name, y in zip(names, batch.reference.T, strict=True):
        if y.std() <= 1e-9 * max(abs(float(y.mean())), 1.0):
            raise TrainError(
                _("{name}: the reference is {value:g} for every fruit; there is nothing to learn").format(name=name, value=y[0])
            )


def _nonlinear(
    batch: Samples, folds: Sequence[Fold], found: Sequence[Tried], target: int, families: Sequence[str], step: Step
) -> list[Tried]:
    tried: list[Tried] = []
    for one in _shortlist(found):
        k = int(np.clip(one.components + MORE_COMPONENTS, LEAST_COMPONENTS, MOST_COMPONENTS))
        tried += search_scores(prepare(batch, one.recipe, folds), batch.reference[:, target], folds, k)
        step(f"{one.recipe}: {', '.join(families)}")
    return [one for one in tried if one.family in families]


def _shortlist(found: Sequence[Tried]) -> list[Tried]:
    """The best recipe of each range, then the best of the others, of different derivatives: kinds, not neighbours.

    Of neighbours that are as good the widest filter is taken: what bends with noise suits no line.
    """
    best = sorted((one for one in found if not one.beside), key=lambda one: one.rmse)
    kept: list[Tried] = []
    for kind in (_range_of, _treatment_of):
        for one in best:
            if len(kept) < SHORTLIST and kind(one.recipe) not in {kind(other.recipe) for other in kept}:
                kept.append(_widest(one, best))
    return kept


def _widest(one: Tried, found: Sequence[Tried]) -> Tried:
    same = (_range_of(one.recipe), _treatment_of(one.recipe))
    alike = [own for own in found if (_range_of(own.recipe), _treatment_of(own.recipe)) == same and own.rmse <= MARGIN * one.rmse]
    return max(alike, key=lambda own: own.recipe.points)


def _range_of(recipe: Recipe) -> tuple[float, float]:
    return recipe.low_nm, recipe.high_nm


def _treatment_of(recipe: Recipe) -> tuple[str, int]:
    return recipe.scatter, recipe.derivative


def _together(tried: Sequence[Sequence[Tried]], reference: Floats) -> list[Tried]:
    """Choose per target; two targets share wavelengths and normalisation, those that cost them least."""
    if len(tried) == 1:
        return [choose(tried[0], reference[:, 0])]
    shared = set.intersection(*({basis_of(one.recipe) for one in found} for found in tried))
    least = [min(one.rmse for one in found) for found in tried]

    def cost(basis: Any) -> float:
        best = [min(one.rmse for one in found if basis_of(one.recipe) == basis) for found in tried]
        return sum(own / low for own, low in zip(best, least, strict=True))

    best = min(sorted(shared), key=cost)
    shared_by = [[one for one in found if basis_of(one.recipe) == best] for found in tried]
    return [choose(own, y) for own, y in zip(shared_by, reference.T, strict=True)]


def _domain_components(found: Sequence[Tried], chosen: Tried) -> int:
    """The domain lives in as many scores as PLS needs on the same recipe."""
    return next(one.components for one in found if one.recipe == chosen.recipe and one.family == "pls")


def _fit(batch: Samples, folds: Sequence[Fold], y: Floats, name: str, one: Tried, removed: Floats = NOTHING) -> Fitted:
    ready = projected(prepare(batch, one.recipe, folds), removed)
    narrow = pls.fit(ready.narrow, y, one.components)
    model = None
    if one.dials is not None:
        model = score_model(one.family, narrow, narrow.scores(ready.narrow, one.components), y, one.dials)
    unit = unit_of(name)
    beside = [_part(prepare(batch, recipe, folds), y, k) for recipe, k in one.beside]
    return Fitted(name, unit, _part(ready, y, one.components), model, one.rmse, y - one.said, beside)


def unit_of(name: str) -> str:
    """Return the unit that a target's name ends in, behind "_" or in brackets; empty where it names none."""
    bracketed = IN_BRACKETS.search(name)
    word = bracketed[1].strip() if bracketed else name.rpartition("_")[2]
    return UNITS.get(word.casefold(), word if bracketed else "")


def _part(ready: Prepared, y: Floats, components: int) -> Part:
    fit = pls.fit(ready.narrow, y, components).turned(ready.features.mean(0), ready.turn)
    recipe = ready.recipe
    return Part(recipes.savitzky_golay(ready.features.shape[1], recipe.points, recipe.derivative), fit, len(fit.answers))


def _suspects(errors: Floats) -> list[int]:
    spread = 1.4826 * np.median(np.abs(errors - np.median(errors, 0)), 0)
    far = np.abs(errors - np.median(errors, 0)) > SUSPECT * np.maximum(spread, 1e-12)
    return [int(row) for row in np.flatnonzero(far.any(1))]


def _story(
    batch: Samples,
    names: Sequence[str],
    tried: Sequence[Sequence[Tried]],
    chosen: Sequence[Tried],
    reference_error: Sequence[float] | None,
    suspects: Sequence[int],
) -> dict[str, Any]:
    per_target = {
        name: {
            "recipe": str(one.recipe),
            "preparation": one.recipe.to_dict(),
            "family": one.family,
            "components": one.components,
            "beside": [[recipe.to_dict(), k] for recipe, k in one.beside],
            "dials": None if one.dials is None else one.dials.to_dict(),
            "rmsecv": one.rmse,
            "r2cv": float(1.0 - one.rmse**2 / y.var()),
            "best": _best_of(found),
            "range": [float(y.min()), float(y.max())],
            "mean": float(y.mean()),
            "sd": float(y.std(ddof=1)),
            "sd_within": _within(y, batch.groups),
            "reference_error": None if reference_error is None else float(reference_error[i]),
        }
        for i, (name, one, found, y) in enumerate(zip(names, chosen, tried, batch.reference.T, strict=True))
    }
    groups = {} if batch.groups is None else dict(zip(*np.unique(batch.groups, return_counts=True), strict=True))
    return {
        "n": len(batch.reference),
        "groups": {str(name): int(size) for name, size in groups.items()},
        "left_out": "whole groups" if groups else "a tenth at random, for no groups were named",
        "targets": per_target,
        "suspect_rows": list(suspects),
        "versions": {
            "citrus-grade": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }


def _within(y: Floats, groups: NDArray[Any] | None) -> float:
    """Standard deviation inside lots: what saying the lot's mean would be off by."""
    if groups is None:
        return float(y.std(ddof=1))
    names, which = np.unique(groups, return_inverse=True)
    means = np.bincount(which, y) / np.bincount(which)
    return float(np.sqrt(((y - means[which]) ** 2).sum() / max(len(y) - len(names), 1)))


def _best_of(found: Sequence[Tried]) -> dict[str, float]:
    """RMSECV of the best of each family."""
    best: dict[str, float] = {}
    for one in found:
        best[one.family] = min(one.rmse, best.get(one.family, np.inf))
    return best
