"""Any regression as a spectral model: what this program's families cannot say runs as an ONNX graph, proved against its original.

Preprocessing, T2, Q, intervals and corrections of lanes are the bundle's own; the graph says the value, of the features.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline

from citrus_grade.models import recipes
from citrus_grade.models.affine import Affine
from citrus_grade.models.assemble import Limits, limits_of
from citrus_grade.models.compile import (
    CompileError,
    Folded,
    Scores,
    check,
    domain_of,
    fold,
    left_out,
    preprocessing_of,
    scores_of,
)
from citrus_grade.models.compiled_story import lots_of, story_of, told_of
from citrus_grade.models.fingerprints import remember
from citrus_grade.models.normalisers import steps_of
from citrus_grade.models.search import Samples
from citrus_grade.models.train import unit_of
from citrus_grade.spectra.bands import matrix_of
from citrus_grade.spectra.graph import Graph, opened, prove
from citrus_grade.spectra.model import Preprocessing, SpectralModel, Target, no_corrections
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

GOLDEN: Final = 16
"""Fruit a bundle keeps with what the original said of them."""


class PlugError(Refused):
    """A model that cannot be taken in as an ONNX graph; the message says why and what to do."""


def plug(
    onnx: bytes,
    made: Preprocessing,
    samples: Samples,
    names: Sequence[str],
    original: Floats | None = None,
    story: Mapping[str, Any] | None = None,
) -> SpectralModel:
    """Return a graph of any make as a spectral model, its error and intervals from fruit that it was not made from.

    Parameters
    ----------
    onnx : takes features (n, n_out), float or double, and gives (n,) or (n, n_targets). made : what makes the features.
    samples : labelled fruit at the wavelengths of ``made``. names : of the targets, ending in their unit where it is Brix or %.
    original : (n, n_targets), what the original model says of the samples; without it the graph is proved against itself.
    story : more to keep in the model's card.

    Raises
    ------
    PlugError : a graph that does not run or does not fit, or that says something else than its original.
    CompileError : samples that do not fit together.
    """
    check(made.wavelength_nm, samples.absorbance, samples.reference, names)
    features = recipes.features(made, samples.absorbance)
    offset = np.zeros(features.shape[1])
    said = original if original is not None else _own(onnx, features, len(names))
    graph = _golden(onnx, offset, features, said)
    scores = scores_of(None, features, samples.reference[:, 0])
    t2, q = _far(features, samples)
    lift = Affine(matrix_of(made.after, len(made.before.first)), offset)
    way = {"recipe": "given", "family": "ONNX", "components": len(scores.loadings)}
    told = told_of(way, names, samples.reference, said, lots_of(samples.groups)) | dict(story or {})
    told = remember(told, made.wavelength_nm, samples.absorbance)
    limits = limits_of(t2, q, samples.absorbance.mean(1))
    model = _model(made, lift, graph, scores, limits, samples.reference - said, names, told)
    _prove(model, samples.absorbance, said)
    return model


def plug_pipeline(
    pipeline: Any,
    wavelength_nm: Floats,
    X: Floats,
    y: Floats,
    groups: NDArray[Any] | None = None,
    names: Sequence[str] = ("value",),
) -> SpectralModel:
    """Return a fitted pipeline that `compile.compile_pipeline` refuses as a spectral model with an ONNX graph.

    The steps that can be are folded, as there; what is left is converted by skl2onnx, in double precision where its runtime has
    that. Error and intervals come from the pipeline refitted without each group in turn, and what the model says is compared
    with the pipeline on all fruit.

    Parameters
    ----------
    pipeline, wavelength_nm, X, y, groups, names : as `compile.compile_pipeline` has them.

    Raises
    ------
    PlugError : a step or regression that cannot be converted, or values that differ.
    CompileError : rows that do not fit together.
    """
    spectra, wanted = np.asarray(X, np.float64), np.asarray(y, np.float64)
    check(wavelength_nm, spectra, wanted, names)
    steps = list(steps_of(pipeline))
    n_steps, folded, features = _foldable(steps, spectra)
    made, lift, window = preprocessing_of(folded, wavelength_nm)
    reference = wanted.reshape(len(wanted), -1)
    own = np.asarray(pipeline.predict(spectra), np.float64).reshape(reference.shape)
    onnx = _converted([step for _name, step in steps[n_steps:]], features, own)
    graph = _golden(onnx, lift.offset, features - lift.offset, own)  # which it adds itself
    scores = scores_of(steps[-1][1], features, reference[:, 0])
    said, t2, q = left_out(pipeline, spectra, wanted, groups, n_steps)
    told = story_of(pipeline, names, reference, said, groups, len(scores.loadings))
    told = remember(told, made.wavelength_nm, spectra[:, window])
    limits = limits_of(t2, q, spectra[:, window].mean(1))
    model = _model(made, lift, graph, scores, limits, reference - said, names, told)
    _prove(model, spectra[:, window], own)
    return model


def _foldable(steps: Sequence[tuple[str, Any]], spectra: Floats) -> tuple[int, Folded, Floats]:
    """Return how many of the first steps fold, what they fold to, and the features they make."""
    for n_steps in range(len(steps) - 1, 0, -1):
        try:
            return n_steps, *fold(steps[:n_steps], spectra)
        except CompileError:
            continue
    return 0, *fold((), spectra)


def _converted(steps: Sequence[Any], features: Floats, wanted: Floats) -> bytes:
    """Return fitted steps as a graph that says what they say, in double precision or, where that does not run, in single."""
    try:
        from skl2onnx import to_onnx  # optional, and only for such models
    except ImportError as error:
        text = _("this needs the package {name}, which is not installed: pip install 'citrus-grade[onnx]'")
        raise PlugError(text.format(name=error.name)) from error
    reason = ""
    for kind in (np.float64, np.float32):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about shapes it guesses; what comes of it is compared
                onnx = bytes(to_onnx(make_pipeline(*steps), features[:1].astype(kind)).SerializeToString())
            prove(_own(onnx, features, wanted.shape[1]), wanted)
        except Exception as error:  # it raises whatever went wrong inside
            reason = str(error).strip().partition("\n")[0]
            continue
        return onnx
    text = _("{kind} cannot be converted to ONNX: {reason}; take another regression")
    raise PlugError(text.format(kind=type(steps[-1]).__name__, reason=reason))


def _own(onnx: bytes, features: Floats, n_targets: int) -> Floats:
    """Return what a graph says of features."""
    try:
        run = opened(onnx, features.shape[1], n_targets)
        return np.array([run(row) for row in features]).reshape(-1, n_targets)
    except ValueError as error:
        raise PlugError(str(error)) from error


def _golden(onnx: bytes, offset: Floats, features: Floats, said: Floats) -> Graph:
    """Return a graph with fruit from all over the range of values."""
    n = len(said)
    rows = np.argsort(said[:, 0], kind="stable")[np.linspace(0, n - 1, min(GOLDEN, n)).round().astype(np.int64)]
    try:
        return Graph(
            np.frombuffer(onnx, np.uint8), offset, np.ascontiguousarray(features[rows]), np.ascontiguousarray(said[rows])
        )
    except ValueError as error:
        raise PlugError(str(error)) from error


def _far(features: Floats, samples: Samples) -> tuple[Floats, Floats]:
    """Return T2 and Q (n,) of fruit from scores made without their group."""
    t2, q = np.empty((2, len(features)))
    for rows in samples.folds():
        rest = np.setdiff1d(np.arange(len(features)), rows)
        t2[rows], q[rows] = scores_of(None, features[rest], samples.reference[rest, 0]).distances(features[rows])
    return t2, q


def _model(
    made: Preprocessing,
    lift: Affine,
    graph: Graph,
    scores: Scores,
    limits: Limits,
    residuals: Floats,
    names: Sequence[str],
    story: Mapping[str, Any],
) -> SpectralModel:
    nothing, domain = np.zeros(len(lift.matrix)), domain_of(scores, lift, limits)
    targets = tuple(
        Target(name, unit_of(name), nothing, 0.0, float(np.sqrt((own**2).mean())), np.sort(own))
        for name, own in zip(names, residuals.T, strict=True)
    )
    return SpectralModel(made, targets, domain, (), no_corrections(len(names)), story, graph=graph)


def _prove(model: SpectralModel, absorbance: Floats, wanted: Floats) -> None:
    """Refuse a model that differs on any fruit from its original, preprocessing and all."""
    try:
        prove(predict_absorbance(model, absorbance)["value"][:, : wanted.shape[1]], wanted)
    except ValueError as error:
        raise PlugError(str(error)) from error
