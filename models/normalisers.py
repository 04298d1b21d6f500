"""Which steps of a pipeline normalise each spectrum by itself, in the one form that a spectral model knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models import estimators
from citrus_grade.spectra import scatter

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Normaliser:
    """A kind of `spectra.scatter` with its ``shapes`` (m, n), each wavelength of a fit counted by ``weight`` (n,)."""

    kind: int
    shapes: Floats
    weight: Floats

    def forgets(self, offset: Floats, tiny: float) -> bool:
        """Whether adding an offset (n,) to every spectrum changes nothing."""
        if self.kind == scatter.SNV:
            return float(np.ptp(offset)) <= tiny
        others, own = (self.shapes[1:] * self.weight).T, offset * self.weight
        share = np.linalg.lstsq(others, own, rcond=None)[0]
        return float(np.abs(own - others @ share).max()) <= tiny


def steps_of(estimator: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the steps of a pipeline with their names, of pipelines inside it too; frozen ones thawed, idle ones left out."""
    if hasattr(estimator, "steps"):
        for own, step in estimator.steps:
            yield from steps_of(step, own)
    elif estimator is not None and estimator != "passthrough":
        yield name, estimator.estimator if type(estimator).__name__ == "FrozenEstimator" else estimator


def normaliser_of(step: Any) -> Normaliser | None:
    """Return a fitted step as a normaliser, ours or one of chemotools; None if it is something else.

    Raises
    ------
    ValueError : wavelengths without weight in a fit.
    """
    if isinstance(step, estimators.StandardNormalVariate):
        return _snv(step.n_features_in_)
    if isinstance(step, estimators.ExtendedMultiplicativeScatter):
        return _fitted(step.shapes_)
    return _chemotools(step) if type(step).__module__.startswith("chemotools.") else None


def _chemotools(step: Any) -> Normaliser | None:
    name = type(step).__name__
    if name == "StandardNormalVariate":
        return _snv(step.n_features_in_)
    if name == "MultiplicativeScatterCorrection":
        return _fitted(step.A_.T, step.weights_)
    if name == "ExtendedMultiplicativeScatterCorrection":
        reference = step.order + 1  # stands after the polynomial
        return _fitted(np.vstack([step.A_[:, reference], np.delete(step.A_, reference, axis=1).T]), step.weights_[:, 0])
    if name == "PointScaler":
        return _fitted(np.eye(step.n_features_in_)[step.point_index_][None])
    return None


def _snv(n: int) -> Normaliser:
    return Normaliser(scatter.SNV, np.zeros((0, n)), np.ones(n))


def _fitted(shapes: Floats, weight: Floats | None = None) -> Normaliser:
    own = np.ones(shapes.shape[1]) if weight is None else np.asarray(weight, np.float64)
    if not (own > 0).all():
        raise ValueError
    return Normaliser(scatter.FITTED, np.ascontiguousarray(shapes, np.float64), own)
