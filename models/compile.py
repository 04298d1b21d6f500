"""scikit-learn pipelines compiled to a spectral model: everything affine folded, agreement proved on the fruit it was made from.

What a step does is found by asking it: an affine step (any filter, cut, baseline, projection, scaling) is known by what it makes
of zeros and of the identity. Only the row-wise normalisations are known by name (`models.normalisers`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from citrus_grade.calibration import pls
from citrus_grade.models.affine import Affine, probe, then, unit
from citrus_grade.models.assemble import Limits, limits_of
from citrus_grade.models.compiled_story import story_of
from citrus_grade.models.estimators import OnScores
from citrus_grade.models.fingerprints import remember
from citrus_grade.models.normalisers import Normaliser, normaliser_of, steps_of
from citrus_grade.models.search import Samples
from citrus_grade.models.train import rows_of, unit_of
from citrus_grade.spectra import scatter
from citrus_grade.spectra.bands import from_matrix
from citrus_grade.spectra.model import Domain, Gaussians, Preprocessing, SpectralModel, Target, no_corrections
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

AGREE: Final = 1e-9
"""How far a compiled value may be from the pipeline's, in the size of the largest."""
FORGOTTEN: Final = 1e-12
DOMAIN_SCORES: Final = 8
"""Of a PLS that says what is in domain, where the regression has no scores of its own."""


class CompileError(Refused):
    """A pipeline that cannot be expressed as a spectral model; the message names the step and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Folded:
    """The steps before a regression: ``before`` on absorbance, a normaliser or none, ``after`` on what is normalised."""

    before: Affine
    normaliser: Normaliser | None
    after: Affine


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Scores of unit variance ``features @ weights + offsets`` about ``centre`` (p,), with ``loadings`` (k, p)."""

    weights: Floats
    offsets: Floats
    centre: Floats
    loadings: Floats

    def distances(self, features: Floats) -> tuple[Floats, Floats]:
        """Return T2 and Q (n,) of features (n, p)."""
        t = features @ self.weights + self.offsets
        return (t**2).sum(1), ((features - self.centre - t @ self.loadings) ** 2).sum(1)


def compile_pipeline(
    pipeline: Any,
    wavelength_nm: Floats,
    X: Floats,
    y: Floats,
    groups: NDArray[Any] | None = None,
    names: Sequence[str] = ("value",),
) -> SpectralModel:
    """Return a fitted pipeline as a spectral model that tells the same values.

    The error and the intervals come from the pipeline refitted without each group in turn (a tenth at random without groups);
    wrap a step that was fitted elsewhere in scikit-learn's ``FrozenEstimator``, so that it is not fitted again.

    Parameters
    ----------
    pipeline : steps of ours, of scikit-learn or of chemotools, then a regression: affine, or one of `models.estimators`.
    wavelength_nm : (p,) rising. X : (n, p) absorbance it was fitted to. y : (n,) or (n, n_targets). groups : (n,) lots.
    names : of the targets, ending in their unit where it is Brix or %.

    Raises
    ------
    CompileError : a step or a regression that is not affine, two normalisations, an offset before a normalisation that does not
        forget it, or values that do not agree to `AGREE`.
    """
    spectra, wanted = np.asarray(X, np.float64), np.asarray(y, np.float64)
    check(wavelength_nm, spectra, wanted, names)
    *steps, (name, regression) = steps_of(pipeline)
    folded, features = fold(steps, spectra)
    made, lift, window = preprocessing_of(folded, wavelength_nm)
    reference = wanted.reshape(len(wanted), -1)
    said, t2, q = left_out(pipeline, spectra, wanted, groups)
    scores = scores_of(regression, features, reference[:, 0])
    values = _values(name, regression, features)
    targets = tuple(_target(names[j], values, j, lift, reference[:, j] - said[:, j]) for j in range(len(names)))
    told = story_of(pipeline, names, reference, said, groups, scores.weights.shape[1])
    told = remember(told, made.wavelength_nm, spectra[:, window])
    domain = domain_of(scores, lift, limits_of(t2, q, spectra[:, window].mean(1)))
    rows = rows_of(Samples(wavelength_nm, spectra, reference, groups), said[:, 0])
    model = SpectralModel(made, targets, domain, (), no_corrections(len(names)), told, rows)
    _prove(model, pipeline, spectra, window, features)
    return model


def check(wavelength_nm: Floats, spectra: Floats, reference: Floats, names: Sequence[str]) -> None:
    """Refuse spectra, references, wavelengths and names that do not fit together."""
    n_targets = 1 if reference.ndim == 1 else reference.shape[1]
    if spectra.shape != (len(reference), len(wavelength_nm)) or not (np.diff(wavelength_nm) > 0).all():
        text = _("spectra are {x}, references {y}, wavelengths {nm}; give a row a fruit and a column a wavelength, rising")
        raise CompileError(text.format(x=spectra.shape, y=reference.shape, nm=np.shape(wavelength_nm)))
    if n_targets != len(names):
        text = _("{n} columns of references, but names {names}; name each")
        raise CompileError(text.format(n=n_targets, names=", ".join(names)))


def fold(steps: Sequence[tuple[str, Any]], spectra: Floats) -> tuple[Folded, Floats]:
    """Return fitted steps folded, and what they make of spectra (n, p)."""
    before, normaliser, after, rows = unit(spectra.shape[1]), None, None, spectra
    for name, step in steps:
        own = _normaliser(name, step)
        if own is None:
            made = probe(step.transform, rows)
            if made is None:
                text = _("step {name!r} ({kind}) is neither affine nor a normalisation this program knows; take another step")
                raise CompileError(text.format(name=name, kind=type(step).__name__))
            before, after = (then(before, made), None) if after is None else (before, then(after, made))
        elif normaliser is not None:
            text = _("step {name!r} ({kind}) is a second row-wise normalisation; a model has one, take the other out")
            raise CompileError(text.format(name=name, kind=type(step).__name__))
        else:
            _forgotten(name, own, before.offset, rows)
            normaliser, after = own, unit(rows.shape[1])
        rows = np.asarray(step.transform(rows), np.float64)
    return Folded(before, normaliser, unit(before.matrix.shape[1]) if after is None else after), rows


def _normaliser(name: str, step: Any) -> Normaliser | None:
    try:
        return normaliser_of(step)
    except ValueError:
        text = _("step {name!r} ({kind}) gives some wavelengths no weight; cut them before instead")
        raise CompileError(text.format(name=name, kind=type(step).__name__)) from None


def _forgotten(name: str, own: Normaliser, offset: Floats, rows: Floats) -> None:
    if not own.forgets(offset, FORGOTTEN * float(np.abs(rows).max())):
        text = _(
            "a step before {name!r} adds the same spectrum to all, which a model cannot do before it normalises; centre after it"
        )
        raise CompileError(text.format(name=name))


def preprocessing_of(folded: Folded, wavelength_nm: Floats) -> tuple[Preprocessing, Affine, slice]:
    """Return the preprocessing, how what it normalises becomes features, and the columns of the spectra that it needs."""
    matrix = folded.before.matrix
    used = np.flatnonzero((matrix != 0).any(1))
    window = slice(int(used[0]), int(used[-1]) + 1)
    nm = np.array(wavelength_nm[window], np.float64)
    own = folded.normaliser
    n = matrix.shape[1]
    if own is None:  # then the offset before is one of the features
        after = Affine(np.eye(n), folded.before.offset)
        return (
            Preprocessing(nm, from_matrix(matrix[window]), scatter.NONE, np.zeros((0, n)), from_matrix(np.eye(n))),
            after,
            window,
        )
    after = Affine(folded.after.matrix / own.weight[:, None], folded.after.offset)
    before = from_matrix(matrix[window] * own.weight)
    return Preprocessing(nm, before, own.kind, own.shapes * own.weight, from_matrix(after.matrix)), after, window


def scores_of(regression: Any, features: Floats, reference: Floats) -> Scores:
    """Return the scores of a regression, whitened; of a PLS of our own where it has none.

    Parameters
    ----------
    features : (n, p) it was fitted to. reference : (n,) of its first target.
    """
    found = probe(regression.transform, features) if hasattr(regression, "transform") else None
    if found is None:
        fit = pls.fit(features, reference, _domain_scores(*features.shape))
        found = Affine(fit.rotations, -(fit.centre @ fit.rotations))
    t = found.of(features)
    left, sizes, right = np.linalg.svd(t - t.mean(0), full_matrices=False)
    kept = sizes > FORGOTTEN * sizes[0]
    white = right[kept].T / sizes[kept] * np.sqrt(len(t) - 1.0)
    centre = features.mean(0)
    loadings = (left[:, kept].T @ (features - centre)) / np.sqrt(len(t) - 1.0)
    return Scores(found.matrix @ white, (found.offset - t.mean(0)) @ white, centre, loadings)


def _domain_scores(n: int, n_features: int) -> int:
    """At least one direction is left to Q, or it would hold rounding errors only."""
    return max(min(DOMAIN_SCORES, n // 3, n_features - 1), 1)


def left_out(
    pipeline: Any, spectra: Floats, reference: Floats, groups: NDArray[Any] | None, n_steps: int | None = None
) -> tuple[Floats, Floats, Floats]:
    """Return values (n, n_targets), T2 and Q (n,) of fruit by a pipeline refitted without their group.

    Parameters
    ----------
    n_steps : how many of the pipeline's steps make the features T2 and Q are taken of, by default all before the regression.
    """
    table = reference.reshape(len(reference), -1)
    said, t2, q = np.empty_like(table), np.empty(len(table)), np.empty(len(table))
    for rows in Samples(np.zeros(0), spectra, table, groups).folds():
        rest = np.setdiff1d(np.arange(len(table)), rows)
        made = clone(pipeline).fit(spectra[rest], reference[rest])
        said[rows] = np.asarray(made.predict(spectra[rows])).reshape(len(rows), -1)
        *steps, (_name, regression) = steps_of(made)
        features = spectra
        for _name, step in steps[:n_steps]:
            features = np.asarray(step.transform(features), np.float64)
        own = scores_of(regression, features[rest], table[rest, 0])
        t2[rows], q[rows] = own.distances(features[rows])
    return said, t2, q


def domain_of(scores: Scores, lift: Affine, limits: Limits) -> Domain:
    """Return scores of features as a domain over what is normalised, which ``lift`` makes into the features."""
    return Domain(
        n_scores=len(scores.loadings),
        weights=np.ascontiguousarray((lift.matrix @ scores.weights).T),
        offsets=lift.offset @ scores.weights + scores.offsets,
        centre=scores.centre - lift.offset,
        loadings=scores.loadings,
        t2_limit=limits.t2,
        q_limit=limits.q,
        darkness=limits.darkness,
        stretch=limits.stretch,
    )


def _values(name: str, regression: Any, features: Floats) -> Affine | OnScores:
    """Return what a regression says of features: an affine map, or itself if it is a model on scores."""
    if isinstance(regression, OnScores):
        return regression
    found = probe(regression.predict, features)
    if found is None:
        text = _("the regression {name!r} ({kind}) is no straight line; take PLS, or a regression on scores of this program")
        raise CompileError(text.format(name=name, kind=type(regression).__name__))
    return found


def _target(name: str, values: Affine | OnScores, j: int, lift: Affine, residual: Floats) -> Target:
    line, gaussians = (values, None) if isinstance(values, Affine) else _on_scores(values, lift)
    coefs = lift.matrix @ line.matrix[:, j]
    intercept = float(lift.offset @ line.matrix[:, j] + line.offset[j])
    unit_ = unit_of(name)
    return Target(name, unit_, coefs, intercept, float(np.sqrt((residual**2).mean())), np.sort(residual), gaussians)


def _on_scores(regression: OnScores, lift: Affine) -> tuple[Affine, Gaussians | None]:
    """Return the straight part of a model on scores, over features, and its Gaussians over what is normalised."""
    fit, model = regression.pls_, regression.score_model_
    rotations = fit.rotations[:, : regression.n_scores_] / fit.sd[: regression.n_scores_]
    line = rotations @ model.linear
    straight = Affine(line[:, None], np.array([model.intercept - fit.centre @ line]))
    if not len(model.points):
        return straight, None
    stretched = rotations * model.stretch
    weights, offsets = np.ascontiguousarray((lift.matrix @ stretched).T), (lift.offset - fit.centre) @ stretched
    return straight, Gaussians(weights, offsets, model.points, model.gamma, model.heights)


def _prove(model: SpectralModel, pipeline: Any, spectra: Floats, window: slice, features: Floats) -> None:
    wanted = np.asarray(pipeline.predict(spectra), np.float64).reshape(len(spectra), -1)
    own = predict_absorbance(model, np.ascontiguousarray(spectra[:, window]))["value"][:, : wanted.shape[1]]
    off = float(np.abs(own - wanted).max())
    if off <= AGREE * max(1.0, float(np.abs(wanted).max())):
        return
    spread = features.std(0)
    dead = int(((spread > 0) & (spread <= FORGOTTEN * np.abs(features).max())).sum())
    if dead:
        text = _(
            "{n} features are alike in all fruit but for rounding, and are scaled up; cut them, or do not scale"
            " (values differ by {off:.2g})"
        )
        raise CompileError(text.format(n=dead, off=off))
    text = _("compiled values are off by up to {off:.2g}; the pipeline does something that depends on more than the spectrum")
    raise CompileError(text.format(off=off))
