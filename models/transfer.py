"""A bundle for one spectrometer -> a bundle for another, from samples measured on both.

The ways are `calibration.transfer`'s; here the choice is made on samples left out, and folded into a bundle.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from citrus_grade.calibration import pls
from citrus_grade.calibration.axis import overlap
from citrus_grade.calibration.transfer import Spectra, Transferred, Values, transfer
from citrus_grade.models import recipes, refit
from citrus_grade.models.assemble import Fitted, Part, assemble, domain_limits
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.temperature import KEY as TEMPERATURE
from citrus_grade.spectra.bands import Band, interpolation, matrix_of
from citrus_grade.spectra.model import Preprocessing, Rows, SpectralModel, Target
from citrus_grade.spectra.predict import predict_absorbance

Floats = NDArray[np.float64]

WIDTHS: Final = (7, 13)
FOLDS: Final = 10
METHODS: Final = ("joint", "none", "bias", "slope")
"""The joint regression is the best on every real set tried, so what is to take its place must be better beyond chance."""
FURTHER: Final = ("projection", "direct standardisation")
"""Ways that may be asked for. Not piecewise standardisation: it needs neighbouring channels, and here they are turned narrow."""
MOST_OF_IT: Final = 0.6
"""The model's own range is kept where it is so much of what both spectrometers measure."""
FEW: Final = 19
SAME: Final = 1e-5
"""Absorbance within which a sample's master spectrum is one of the training's."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Samples on both spectrometers: ``master`` (m, p) at ``master_nm``, ``slave`` (m, q) at ``slave_nm``, absorbance;
    ``reference`` (m,) of each target, None where the laboratory did not measure it."""

    master_nm: Floats
    master: Floats
    slave_nm: Floats
    slave: Floats
    reference: Sequence[Floats | None]


@dataclass(frozen=True, slots=True, eq=False)
class _Option:
    """One preprocessing: ``spectra`` as features, ``narrow`` the same in as few numbers as there are rows, about ``centre``."""

    made: Preprocessing
    spectra: Spectra
    narrow: Spectra
    centre: Floats
    turn: Floats


def move(model: SpectralModel, pairs: Pairs, also: Sequence[str] = ()) -> tuple[SpectralModel, list[Transferred]]:
    """Return a model for the slave, and how each target was come by; all share the preprocessing the first one chooses.

    Parameters
    ----------
    also : further ways of `FURTHER` to choose among.

    Raises
    ------
    CalibrationError : too few samples, or spectrometers that have too little in common. RefitError : no rows in the bundle.
    """
    with threadpool_limits(1):
        return _move(model, pairs, (*METHODS, *also))


def _move(model: SpectralModel, pairs: Pairs, methods: tuple[str, ...]) -> tuple[SpectralModel, list[Transferred]]:
    rows = refit.rows_of(model)
    shared = overlap(rows.wavelength_nm, pairs.slave_nm)
    shared &= (rows.wavelength_nm >= pairs.master_nm[0]) & (rows.wavelength_nm <= pairs.master_nm[-1])
    nm = _within(rows.wavelength_nm[shared], model.wavelength_nm)
    train = _on(rows.wavelength_nm, np.asarray(rows.absorbance, np.float64), nm)
    master, slave = _on(pairs.master_nm, pairs.master, nm), _on(pairs.slave_nm, pairs.slave, nm)
    same = _same(train, master)
    options = {str(recipe): _prepared(recipe, nm, train, master, slave) for recipe in _ways(nm)}
    found: list[Transferred] = []
    answers = []
    for j in range(len(model.targets)):
        chosen = [found[0].option] if found else list(options)
        y = _reference(model, j, pairs)
        found.append(transfer({name: options[name].narrow for name in chosen}, Values(rows.reference[:, j], y, same), methods))
        answers.append(y)
    moved = (train - master.mean(0) + slave.mean(0)).astype(np.float32)
    dark = np.r_[train.mean(1) - master.mean() + slave.mean(), slave.mean(1)]
    return _bundle(model, options[found[0].option], found, answers, dark, Rows(nm, moved, rows.reference, rows.groups)), found


def _within(nm: Floats, own_nm: Floats) -> Floats:
    """The model's own range, if the slave has most of it; else all that both measure."""
    inside = nm[(nm >= own_nm[0]) & (nm <= own_nm[-1])]
    return inside if len(inside) >= MOST_OF_IT * len(nm) else nm


def _ways(nm: Floats) -> list[Recipe]:
    """First derivatives, of plain and of standardised spectra."""
    low, high = float(nm[0]), float(nm[-1])
    return [Recipe(low, high, kind, 1, width) for kind in ("none", "snv") for width in WIDTHS if width < len(nm)]


def _on(have_nm: Floats, absorbance: Floats, want_nm: Floats) -> Floats:
    return np.asarray(absorbance @ matrix_of(interpolation(have_nm, want_nm), len(have_nm)), np.float64)


def _reference(model: SpectralModel, target: int, pairs: Pairs) -> Floats:
    """The laboratory's values, or what the model says of the samples on the master."""
    known = pairs.reference[target]
    if known is not None:
        return known
    return np.array(predict_absorbance(model, _on(pairs.master_nm, pairs.master, model.wavelength_nm))["value"][:, target])


def _prepared(recipe: Recipe, nm: Floats, train: Floats, master: Floats, slave: Floats) -> _Option:
    made = recipes.preprocessing(recipe, nm, train)
    parts = [recipes.features(made, own) for own in (train, master, slave)]
    together = np.vstack(parts)
    narrow, turn = pls.compress(together)
    n, m = len(train), len(master)
    return _Option(made, Spectra(*parts), Spectra(narrow[:n], narrow[n : n + m], narrow[n + m :]), together.mean(0), turn)


def _same(train: Floats, master: Floats) -> NDArray[np.int64]:
    """Which training row each sample is, -1 for none."""
    far = np.array([np.abs(train - row).max(1) for row in master])
    return np.where(far.min(1) < SAME, far.argmin(1), -1).astype(np.int64)


def _bundle(
    model: SpectralModel,
    option: _Option,
    found: Sequence[Transferred],
    answers: Sequence[Floats],
    dark: Floats,
    rows: Rows,
) -> SpectralModel:
    """The slave's model: its values are the transfer's; in domain is what the training is, moved to where the slave sees it."""
    made, spectra = option.made, option.spectra
    features = np.vstack([spectra.train - spectra.master.mean(0) + spectra.slave.mean(0), spectra.slave])
    narrow, turn = pls.compress(features)
    y = np.r_[rows.reference[:, 0], answers[0]]
    inner = pls.fit(narrow, y, min(found[0].n_components, narrow.shape[1]))
    k = len(inner.answers)
    fit = inner.turned(features.mean(0), turn)
    folds = [np.arange(fold, len(y), FOLDS) for fold in range(FOLDS)]
    limits = domain_limits(narrow, y, dark, folds, k, slice(-len(answers[0]), None))
    fitted = [_fitted(target, made.after, fit, one, own) for target, one, own in zip(model.targets, found, answers, strict=True)]
    kept = {name: told for name, told in model.training.items() if name != TEMPERATURE}  # learnt anew, without its directions
    story = kept | {"transfer": [_story(one, len(own)) for one, own in zip(found, answers, strict=True)]}
    base = assemble(made, np.zeros((0, features.shape[1])), fitted, k, limits, story, rows)
    after = matrix_of(made.after, len(made.before.first))
    targets = []
    for target, one in zip(base.targets, found, strict=True):
        coefs = option.turn @ one.coefs
        targets.append(replace(target, coefs=after @ coefs, intercept=float(one.intercept - option.centre @ coefs)))
    return replace(base, targets=tuple(targets))


def _fitted(target: Target, after: Band, fit: pls.Pls, found: Transferred, reference: Floats) -> Fitted:
    residuals = _residuals(reference - found.honest)
    part = Part(after, fit, len(fit.answers))
    return Fitted(target.name, target.unit, part, None, float(np.sqrt(np.mean(residuals**2))), residuals)


def _residuals(errors: Floats) -> Floats:
    """Errors at samples left out, for an interval: of the master's residuals nothing is known here, not even their size.

    Of fewer than `FEW` the widest to either side hold less than promised; with both signs they do.
    """
    return errors if len(errors) >= FEW else np.r_[errors, -errors]


def _story(found: Transferred, n: int) -> dict[str, Any]:
    return {
        "samples": n,
        "method": found.method,
        "preprocessing": found.option,
        "components": found.n_components,
        "rmse": dict(found.rmse),
    }
