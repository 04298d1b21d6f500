"""A model fitted anew as its bundle says, with other rows: heavier new fruit, or one of them left out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration import pls
from citrus_grade.models import recipes
from citrus_grade.models.assemble import Fitted, assemble, domain_limits
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.search import Dials, score_model
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.model import Rows, SpectralModel, Target
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

OLD_FRUIT: Final = 20.0


class RefitError(Refused):
    """A bundle that cannot be fitted anew."""


@dataclass(frozen=True, slots=True)
class Way:
    """How one target of a bundle was made."""

    family: str
    components: int
    dials: Dials | None


def recipe_of(model: SpectralModel) -> Recipe:
    """Return the recipe of a model's preprocessing."""
    return Recipe(**_told(model)[0]["preparation"])


def way_of(model: SpectralModel, target: int) -> Way:
    """Return how a target was made."""
    told = _told(model)[target]
    return Way(told["family"], int(told["components"]), Dials.of(told["dials"]) if told["dials"] else None)


def rows_of(model: SpectralModel) -> Rows:
    """Return the training rows a bundle holds.

    Raises
    ------
    RefitError : it holds none.
    """
    if model.rows is None:
        raise RefitError(_("this bundle holds none of the spectra it was made from; train it again to keep them"))
    return model.rows


def _told(model: SpectralModel) -> list[dict[str, Any]]:
    targets = model.training["targets"]
    return [targets[name] for name in model.names]


def own_absorbance(model: SpectralModel) -> Floats:
    """Return the training rows' absorbance at the model's own wavelengths, (n, n_in)."""
    rows = rows_of(model)
    made = interpolation(rows.wavelength_nm, model.wavelength_nm)
    return np.asarray(rows.absorbance, np.float64) @ matrix_of(made, len(rows.wavelength_nm))


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A model's training rows and new fruit as features of the model's own preprocessing; the new ones come last.

    ``features`` (n + m, n_out), turned narrow with ``turn``; ``reference`` (n + m,) of one target; ``weight`` (n + m,).
    """

    features: Floats
    narrow: Floats
    turn: Floats
    reference: Floats
    weight: Floats
    n_new: int

    def keep(self, kept: NDArray[np.bool_], way: Way) -> "Refitted":
        """Fit on the rows kept."""
        fit = pls.fit(self.narrow[kept], self.reference[kept], way.components, self.weight[kept])
        k = min(way.components, len(fit.answers))
        model = None
        if way.dials is not None:
            scores, weight = fit.scores(self.narrow[kept], k), self.weight[kept]
            model = score_model(way.family, fit, scores, self.reference[kept], way.dials, weight)
        return Refitted(fit, k, model)


@dataclass(frozen=True, slots=True, eq=False)
class Refitted:
    """A fit on narrow features, and what is on its scores."""

    fit: pls.Pls
    components: int
    score_model: Any

    def predict(self, narrow: Floats) -> Floats:
        """Return values (n,) of narrow features (n, r)."""
        if self.score_model is None:
            return np.asarray(self.fit.predict_all(narrow)[self.components - 1], np.float64)
        return np.asarray(self.score_model.predict(self.fit.scores(narrow, self.components)), np.float64)


def mixture(model: SpectralModel, target: int, absorbance: Floats, reference: Floats, weight: float) -> Mixture:
    """Return training rows and new fruit together.

    Parameters
    ----------
    absorbance : (m, n_in) of the new fruit at the model's wavelengths. reference : (m,). weight : how many old rows one is worth.
    """
    old = own_absorbance(model)
    features = recipes.features(model.preprocessing, np.vstack([old, absorbance]))
    narrow, turn = pls.compress(features)
    y = np.r_[rows_of(model).reference[:, target], reference]
    return Mixture(features, narrow, turn, y, np.r_[np.ones(len(old)), np.full(len(reference), weight)], len(reference))


def leave_one_out(mixed: Mixture, way: Way) -> Floats:
    """Return predictions (m,) of the new fruit, each by a fit without it."""
    n = len(mixed.reference) - mixed.n_new
    said = np.empty(mixed.n_new)
    for i in range(mixed.n_new):
        kept = np.ones(len(mixed.reference), np.bool_)
        kept[n + i] = False
        said[i] = mixed.keep(kept, way).predict(mixed.narrow[n + i : n + i + 1])[0]
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
    for j, target in enumerate(model.targets):
        mixed = mixture(model, j, absorbance, reference[j], weights[j])
        way = way_of(model, j)
        made = mixed.keep(np.ones(len(mixed.reference), np.bool_), way)
        fit = made.fit.turned(mixed.features.mean(0), mixed.turn)
        sigma = float(np.sqrt(np.mean(residuals[j] ** 2)))
        targets.append(Fitted(target.name, target.unit, fit, made.components, made.score_model, sigma, residuals[j]))
    mixed = mixture(model, 0, absorbance, reference[0], 1.0)
    folds = [np.arange(k, len(mixed.reference), 10) for k in range(10)]
    k = min(model.domain.n_scores, targets[0].components)
    limits = domain_limits(mixed.narrow, mixed.reference, folds, k)
    nothing = np.zeros((0, mixed.features.shape[1]))
    return assemble(model.preprocessing, nothing, targets, k, limits, training, grown(model, absorbance, reference))


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

    ``old`` (n,) residuals, ``errors`` (m,) of fruit the correction was made without. The old spread counts as `OLD_FRUIT` fruit
    beside the new ones: a handful of samples does not tell a spread.
    """
    centred = old - np.median(old)
    spread = float(np.mean(centred**2))
    both = (OLD_FRUIT * spread + float((errors**2).sum())) / (OLD_FRUIT + len(errors))
    return np.asarray(centred * np.sqrt(both / spread) if spread > 0 else errors, np.float64)
