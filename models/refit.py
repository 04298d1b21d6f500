"""A model fitted anew as its bundle says, with other rows: heavier new fruit, or one of them left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration import pls
from citrus_grade.calibration.standardise import Projection
from citrus_grade.models import recipes
from citrus_grade.models.assemble import Fitted, Part, assemble, domain_limits
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.score_models import ScoreModel
from citrus_grade.models.search import Dials, Samples, score_model
from citrus_grade.spectra.bands import Band, interpolation, matrix_of
from citrus_grade.spectra.model import Rows, SpectralModel, Target
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

OLD_FRUIT: Final = 60.0
"""What the spread of a model's own residuals counts for beside errors at sample fruit: seasons differ less than small samples."""
WILDEST: Final = 3.0
"""Errors count as no more robust standard deviations: a mistyped reference must not stretch everybody's interval."""
SURE: Final = 2.0
"""Standard errors off which the samples' spread is believed against the old one."""
FOLDS: Final = 10
MOST_FITS: Final = 100


class RefitError(Refused):
    """A bundle that cannot be fitted anew."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one target of a bundle was made: its ``recipe`` with a number of components, and the recipes averaged ``beside`` it."""

    family: str
    recipe: Recipe
    components: int
    dials: Dials | None
    beside: tuple[tuple[Recipe, int], ...]


def way_of(model: SpectralModel, target: int) -> Way:
    """Return how a target was made."""
    told = _told(model)[target]
    beside = tuple((Recipe(**recipe), int(k)) for recipe, k in told["beside"])
    dials = Dials.of(told["dials"]) if told["dials"] else None
    return Way(told["family"], Recipe(**told["preparation"]), int(told["components"]), dials, beside)


def rows_of(model: SpectralModel) -> Rows:
    """Return the training rows a bundle holds.

    Raises
    ------
    RefitError : it holds none.
    """
    if model.rows is None:
        raise RefitError(hindrance(model))
    return model.rows


def hindrance(model: SpectralModel) -> str:
    """Return why a model cannot be fitted anew as its bundle says, "" if it can."""
    if model.graph is not None:
        return _("this bundle runs an ONNX graph; only the program that made the graph can fit it anew")
    if model.rows is None:
        return _("this bundle holds none of the spectra it was made from; train it again to keep them")
    if any("preparation" not in told for told in _told(model)):
        return _("this bundle was compiled from a pipeline, which it does not keep; fit that anew and compile it")
    return ""


def _told(model: SpectralModel) -> list[dict[str, Any]]:
    targets = model.training["targets"]
    return [targets[name] for name in model.names]


def removed_of(model: SpectralModel) -> Floats:
    """Return the directions (d, n_out) that were taken out of a model's features."""
    return model.domain.loadings[model.domain.n_scores :]


def own_absorbance(model: SpectralModel) -> Floats:
    """Return the training rows' absorbance at the model's own wavelengths, (n, n_in)."""
    rows = rows_of(model)
    made = interpolation(rows.wavelength_nm, model.wavelength_nm)
    return np.asarray(rows.absorbance, np.float64) @ matrix_of(made, len(rows.wavelength_nm))


@dataclass(frozen=True, slots=True, eq=False)
class Turned:
    """Features (n, n_out) of one recipe, turned ``narrow``, and the band that makes them of the normalised spectrum."""

    after: Band
    centre: Floats
    narrow: Floats
    turn: Floats
    components: int


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A model's training rows and new fruit together, the new ones last, prepared as one target's ``way`` says.

    ``parts``: features of the way's own recipe, then of those beside it; ``reference``, ``weight`` (n + n_new,).
    """

    way: Way
    parts: tuple[Turned, ...]
    reference: Floats
    weight: Floats
    n_new: int

    def fit(self, kept: NDArray[np.bool_]) -> "Refitted":
        """Fit on the rows kept."""
        y, weight = self.reference[kept], self.weight[kept]
        fits = [pls.fit(part.narrow[kept], y, part.components, weight) for part in self.parts]
        model = None
        if self.way.dials is not None:
            scores = fits[0].scores(self.parts[0].narrow[kept], len(fits[0].answers))
            model = score_model(self.way.family, fits[0], scores, y, self.way.dials, weight)
        return Refitted(fits, model)


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """Fits on narrow features, and what is on the scores of the first."""

    fits: Sequence[pls.Pls]
    score_model: ScoreModel | None

    def predict(self, mixed: Mixture, row: int) -> float:
        """Return the value of one row."""
        first, *rest = zip(self.fits, mixed.parts, strict=True)
        narrow = first[1].narrow[row : row + 1]
        if self.score_model is not None:
            said = [float(self.score_model.predict(first[0].scores(narrow, len(first[0].answers)))[0])]
        else:
            said = [float(first[0].predict_all(narrow)[-1, 0])]
        said += [float(fit.predict_all(part.narrow[row : row + 1])[-1, 0]) for fit, part in rest]
        return float(np.mean(said))


def mixture(model: SpectralModel, target: int, absorbance: Floats, reference: Floats, weight: float) -> Mixture:
    """Return training rows and new fruit together.

    Parameters
    ----------
    absorbance : (m, n_in) of the new fruit at the model's wavelengths. reference : (m,). weight : how many old rows one is worth.
    """
    old, way = own_absorbance(model), way_of(model, target)
    z = recipes.normal(model.preprocessing, np.vstack([old, absorbance]))
    away = Projection(removed_of(model))
    parts = tuple(_turned(z, recipe, k, away) for recipe, k in ((way.recipe, way.components), *way.beside))
    y = np.r_[rows_of(model).reference[:, target], reference]
    return Mixture(way, parts, y, np.r_[np.ones(len(old)), np.full(len(reference), weight)], len(reference))


def _turned(z: Floats, recipe: Recipe, components: int, away: Projection) -> Turned:
    after = recipes.savitzky_golay(z.shape[1], recipe.points, recipe.derivative)
    features = away(z @ matrix_of(after, z.shape[1]))
    narrow, turn = pls.compress(features)
    return Turned(after, features.mean(0), narrow, turn, components)


def leave_one_out(mixed: Mixture, believed: NDArray[np.bool_]) -> Floats:
    """Return predictions (m,) of the new fruit, each by a fit without it and without those not ``believed`` (m,).

    Of more than `MOST_FITS` fruit so many parts are left out in turn.
    """
    n, parts = len(mixed.reference) - mixed.n_new, min(mixed.n_new, MOST_FITS)
    said = np.empty(mixed.n_new)
    for first in range(parts):
        rows = np.arange(first, mixed.n_new, parts)
        kept = np.r_[np.ones(n, np.bool_), believed]
        kept[n + rows] = False
        fitted = mixed.fit(kept)
        said[rows] = [fitted.predict(mixed, n + row) for row in rows.tolist()]
    return said


def refitted(
    model: SpectralModel,
    absorbance: Floats,
    reference: Sequence[Floats],
    weights: Sequence[float],
    residuals: Sequence[Floats],
    training: dict[str, Any],
) -> SpectralModel:
    """Return the model fitted anew with new fruit, which its bundle keeps too.

    Parameters
    ----------
    absorbance : (m, n_in) of the new fruit. reference : (m,) of each target. weights : of the new fruit, for each target.
    residuals : (n,) of each target, what its interval is read from. training : the story.
    """
    targets: list[Fitted] = []
    mixed = [mixture(model, j, absorbance, reference[j], weights[j]) for j in range(len(model.targets))]
    for own, target, rest in zip(mixed, model.targets, residuals, strict=True):
        made = own.fit(np.ones(len(own.reference), np.bool_))
        first, *beside = [
            Part(part.after, fit.turned(part.centre, part.turn), len(fit.answers))
            for fit, part in zip(made.fits, own.parts, strict=True)
        ]
        sigma = float(np.sqrt(np.mean(rest**2)))
        targets.append(Fitted(target.name, target.unit, first, made.score_model, sigma, rest, beside))
    narrow, y = mixed[0].parts[0].narrow, mixed[0].reference
    dark = np.vstack([own_absorbance(model), absorbance]).mean(1)
    k = min(model.domain.n_scores, targets[0].part.components)
    rows = grown(model, absorbance, reference)
    limits = domain_limits(narrow, y, dark, _folds(rows), k)
    return assemble(model.preprocessing, removed_of(model), targets, k, limits, training, rows)


def _folds(rows: Rows) -> list[pls.Fold]:
    """Whole groups, as in training: fruit of a lot that is in the model lie nearer than those of the next."""
    if rows.groups is None:
        return [np.arange(fold, len(rows.reference), FOLDS) for fold in range(FOLDS)]
    return Samples(rows.wavelength_nm, rows.absorbance.astype(np.float64), rows.reference, rows.groups).folds()


def grown(model: SpectralModel, absorbance: Floats, reference: Sequence[Floats]) -> Rows:
    """Return a bundle's rows and the new ones, at the model's own wavelengths: beyond them the new are not known."""
    rows = rows_of(model)
    groups = None if rows.groups is None else np.r_[rows.groups, np.full(len(absorbance), "upkeep")]
    both = np.vstack([own_absorbance(model), absorbance]).astype(np.float32)
    return Rows(model.wavelength_nm, both, np.vstack([rows.reference, np.column_stack(reference)]), groups)


def with_residuals(target: Target, residuals: Floats) -> Target:
    """Return a target whose interval and sigma are read from other residuals."""
    return replace(target, residuals=np.sort(residuals), sigma=float(np.sqrt(np.mean(residuals**2))))


def resized(old: Floats, errors: Floats) -> Floats:
    """Return residuals of the kind a model had, as wide as the errors at sample fruit say.

    ``old`` (n,) residuals, ``errors`` (m,) of fruit the correction was made without, those that look wrong among them: most of
    these are fruit. The old spread counts as `OLD_FRUIT` fruit beside the new ones, for a handful of samples does not tell a
    spread, but the result is never below what the new ones are sure of.
    """
    centred, m = old - np.median(old), len(errors)
    before, now = _mean_square(centred), _mean_square(errors)
    if before == 0:
        return errors
    both = (OLD_FRUIT * before + m * now) / (OLD_FRUIT + m)
    return np.asarray(centred * np.sqrt(max(both, now * (1 - SURE * np.sqrt(2 / m))) / before), np.float64)


def _mean_square(errors: Floats) -> float:
    most = WILDEST * 1.4826 * float(np.median(np.abs(errors)))
    return float(np.square(np.clip(errors, -most, most)).mean())
