"""Preprocessing and regressions of this program as scikit-learn estimators, for pipelines, searches and notebooks.

Thin: the mathematics lives in `spectra.scatter`, `models.recipes`, `calibration.pls` and `models.score_models`. What is fitted
here is compiled to a bundle by `models.compile`.
"""

from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, RegressorMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from citrus_grade.calibration import pls
from citrus_grade.models import recipes
from citrus_grade.models.score_models import ScoreModel, gaussian_process, straight, support_vectors, tune
from citrus_grade.spectra import scatter
from citrus_grade.spectra.bands import matrix_of

Floats = NDArray[np.float64]
LEAST_SD = 1e-12
"""References that spread less, in their own size, are all alike: only their mean can be told."""


class _RowWise(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Common to what is done to each spectrum by itself."""

    def fit(self, X: Any, y: Any = None) -> Self:
        """Look at spectra (n, n_wavelengths)."""
        self._learn(_read(self, X, reset=True))
        return self

    def transform(self, X: Any) -> Floats:
        """Return spectra (n, n_wavelengths) prepared."""
        check_is_fitted(self, "n_features_in_")
        return self._apply(_read(self, X, reset=False))

    def _learn(self, spectra: Floats) -> None:
        """Nothing is learned from the spectra but their number of wavelengths."""

    def _apply(self, spectra: Floats) -> Floats:
        raise NotImplementedError


def _read(estimator: BaseEstimator, X: Any, *, reset: bool) -> Floats:
    return cast(Floats, validate_data(estimator, X, reset=reset, dtype=np.float64))


class StandardNormalVariate(_RowWise):
    """SNV: each spectrum to mean 0 and population sd 1; a flat one becomes zeros."""

    def _apply(self, spectra: Floats) -> Floats:
        return scatter.rows(spectra, scatter.SNV, np.zeros((0, spectra.shape[1])))


class ExtendedMultiplicativeScatter(_RowWise):
    """EMSC: the share of a polynomial over the wavelengths is taken off each spectrum, the rest divided by the reference's share.

    Parameters
    ----------
    order : of the polynomial; 0 makes it MSC. reference : (n_wavelengths,), by default the mean spectrum of those fitted.

    Attributes
    ----------
    shapes_ : (2 + order, n_wavelengths), the reference first.
    """

    def __init__(self, order: int = 2, reference: Any = None) -> None:
        self.order = order
        self.reference = reference

    def _learn(self, spectra: Floats) -> None:
        mean = spectra.mean(0) if self.reference is None else np.asarray(self.reference, np.float64)
        if mean.shape != spectra.shape[1:]:
            raise ValueError(f"the reference is {mean.shape}, the spectra need ({spectra.shape[1]},)")
        across = np.linspace(-1.0, 1.0, len(mean))
        self.shapes_ = np.stack([mean, *(across**power for power in range(self.order + 1))])

    def _apply(self, spectra: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            made = scatter.rows(spectra, scatter.FITTED, self.shapes_)
        made[~np.isfinite(made).all(1)] = np.nan  # it holds nothing of the reference: the line's kernel says so too
        return made


class MultiplicativeScatter(ExtendedMultiplicativeScatter):
    """MSC: an offset is taken off each spectrum, the rest divided by its share of ``reference``, by default the mean spectrum."""

    def __init__(self, reference: Any = None) -> None:
        super().__init__(0, reference)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {"reference": self.reference}


class SavitzkyGolay(_RowWise):
    """Savitzky-Golay filter; at the ends the polynomial of the outermost full window.

    Parameters
    ----------
    points : odd width of the window; narrower where there are fewer wavelengths. derivative, order : of the polynomial.
    """

    def __init__(self, points: int = 13, derivative: int = 1, order: int = 2) -> None:
        self.points = points
        self.derivative = derivative
        self.order = order

    def _learn(self, spectra: Floats) -> None:
        if self.points < 1 or self.points % 2 == 0:
            raise ValueError(f"a window has an odd number of points, not {self.points}")
        n = spectra.shape[1]
        points = min(self.points, n - 1 + n % 2)
        order = min(self.order, points - 1)
        filtered = recipes.savitzky_golay(n, points, self.derivative, order) if points > 1 else None
        self.matrix_ = np.eye(n) * (self.derivative == 0) if filtered is None else matrix_of(filtered, n)

    def _apply(self, spectra: Floats) -> Floats:
        return np.asarray(spectra @ self.matrix_, np.float64)


class OnScores(TransformerMixin, RegressorMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Common to regressions on PLS scores.

    Attributes
    ----------
    pls_ : `calibration.pls.Pls`, whose first ``n_scores_`` count. score_model_ : `score_models.ScoreModel` on them.
    """

    n_components: int

    def fit(self, X: Any, y: Any) -> Self:
        """Fit to spectra (n, n_wavelengths) and values (n,)."""
        features, values = validate_data(self, X, y, dtype=np.float64, y_numeric=True, ensure_min_samples=2)
        reference = np.asarray(values, np.float64)
        k = min(self.n_components, features.shape[1], len(features) - 1)
        self.pls_ = pls.fit(features, reference, k)
        self.n_scores_ = self.pls_.rotations.shape[1]
        self.score_model_ = self._model(self._scores(features), reference)
        return self

    def predict(self, X: Any) -> Floats:
        """Return the value (n,) of each spectrum."""
        scores = self.transform(X)
        return self.score_model_.predict(scores)

    def transform(self, X: Any) -> Floats:
        """Return the PLS scores (n, n_scores_), of unit variance among the spectra fitted."""
        check_is_fitted(self, "pls_")
        return self._scores(_read(self, X, reset=False))

    def _scores(self, features: Floats) -> Floats:
        return self.pls_.scores(features, self.n_scores_)

    def _model(self, scores: Floats, reference: Floats) -> ScoreModel:
        """Return the model on scores; where they or the references are all alike, the mean."""
        linear = self.pls_.answers * self.pls_.sd
        flat = self.n_scores_ == 0 or reference.std() <= LEAST_SD * max(float(np.abs(reference).max()), LEAST_SD)
        if flat:
            return straight(np.zeros(self.n_scores_), float(reference.mean()), np.ones(self.n_scores_))
        return self._bent(scores, reference, linear)

    def _bent(self, scores: Floats, reference: Floats, linear: Floats) -> ScoreModel:
        raise NotImplementedError


class PartialLeastSquares(OnScores):
    """PLS1 with ``n_components``, from cross-products; X is centred, not scaled."""

    def __init__(self, n_components: int = 8) -> None:
        self.n_components = n_components

    def _bent(self, scores: Floats, reference: Floats, linear: Floats) -> ScoreModel:
        return straight(linear, self.pls_.mean, np.ones(self.n_scores_))


class ScoreGaussianProcess(OnScores):
    """A Gaussian process on ``n_components`` PLS scores, its lengths and variances the likeliest."""

    def __init__(self, n_components: int = 10) -> None:
        self.n_components = n_components

    def _bent(self, scores: Floats, reference: Floats, linear: Floats) -> ScoreModel:
        return gaussian_process(scores, reference, tune(scores, reference))


class ScoreSupportVectors(OnScores):
    """Support vectors on ``n_components`` PLS scores, stretched as a Gaussian process finds likeliest.

    Parameters
    ----------
    cost : of an error beyond a twentieth of the references' sd. wider : times the Gaussian process's lengths.
    """

    def __init__(self, n_components: int = 10, cost: float = 10.0, wider: float = 3.0) -> None:
        self.n_components = n_components
        self.cost = cost
        self.wider = wider

    def _bent(self, scores: Floats, reference: Floats, linear: Floats) -> ScoreModel:
        return support_vectors(scores, reference, self.cost, tune(scores, reference).stretch, self.wider)
