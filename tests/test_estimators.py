"""Our preprocessing and regressions in scikit-learn's clothes: its own checks, and the same numbers as without the clothes."""

import numpy as np
import pytest
from scipy.signal import savgol_filter
from sklearn.base import clone
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

from citrus_grade.models.estimators import (
    ExtendedMultiplicativeScatter,
    MultiplicativeScatter,
    PartialLeastSquares,
    SavitzkyGolay,
    ScoreGaussianProcess,
    ScoreSupportVectors,
    StandardNormalVariate,
)

TRANSFORMERS = [StandardNormalVariate(), MultiplicativeScatter(), ExtendedMultiplicativeScatter(), SavitzkyGolay()]
REGRESSORS = [PartialLeastSquares(), ScoreGaussianProcess(), ScoreSupportVectors()]


@parametrize_with_checks([*TRANSFORMERS, *REGRESSORS])
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


def fruit(n=80, p=60, seed=1):
    rng = np.random.default_rng(seed)
    across = np.linspace(0, 1, p)
    sugar = rng.normal(11.0, 1.0, n)
    spectra = 1.0 + across + np.exp(-20 * (across - 0.6) ** 2) + 0.02 * sugar[:, None] * np.exp(-80 * (across - 0.4) ** 2)
    return rng.uniform(0.8, 1.2, (n, 1)) * spectra + rng.normal(0, 0.05, (n, 1)) + 1e-3 * rng.standard_normal((n, p)), sugar


SPECTRA, SUGAR = fruit()


@pytest.mark.parametrize("order", [0, 1, 2])
def test_emsc_is_least_squares_done_the_long_way(order):
    across = np.linspace(-1, 1, 60)
    columns = np.column_stack([SPECTRA.mean(0), *(across**power for power in range(order + 1))])
    share = np.linalg.lstsq(columns, SPECTRA.T, rcond=None)[0]
    long_way = (SPECTRA - (columns[:, 1:] @ share[1:]).T) / share[0][:, None]
    np.testing.assert_allclose(ExtendedMultiplicativeScatter(order).fit_transform(SPECTRA), long_way, atol=1e-10)
    if order == 0:
        np.testing.assert_allclose(MultiplicativeScatter().fit_transform(SPECTRA), long_way, atol=1e-10)


def test_a_reference_of_ones_own_is_kept_and_one_of_another_length_refused():
    own = SPECTRA[3]
    np.testing.assert_allclose(MultiplicativeScatter(own).fit(SPECTRA).transform(2.0 * own[None] + 0.3), own[None], atol=1e-10)
    with pytest.raises(ValueError, match="60"):
        MultiplicativeScatter(own[:10]).fit(SPECTRA)


@pytest.mark.parametrize(("points", "derivative", "order"), [(13, 1, 2), (7, 2, 3), (5, 0, 2)])
def test_savitzky_golay_is_scipys(points, derivative, order):
    peer = savgol_filter(SPECTRA, points, order, deriv=derivative, mode="interp")
    np.testing.assert_allclose(SavitzkyGolay(points, derivative, order).fit_transform(SPECTRA), peer, atol=1e-12)


def test_an_even_window_is_refused():
    with pytest.raises(ValueError, match="odd"):
        SavitzkyGolay(12).fit(SPECTRA)


def test_partial_least_squares_is_scikit_learns():
    peer = PLSRegression(4, scale=False).fit(SPECTRA, SUGAR)
    own = PartialLeastSquares(4).fit(SPECTRA, SUGAR)
    np.testing.assert_allclose(own.predict(SPECTRA), peer.predict(SPECTRA), atol=1e-8)
    scores = peer.transform(SPECTRA)
    np.testing.assert_allclose(np.abs(own.transform(SPECTRA)), np.abs(scores / scores.std(0, ddof=1)), atol=1e-6)


@pytest.mark.parametrize("regressor", REGRESSORS, ids=lambda one: type(one).__name__)
def test_a_pipeline_is_cloned_searched_and_learns(regressor):
    made = make_pipeline(StandardNormalVariate(), SavitzkyGolay(9), clone(regressor))
    said = cross_val_predict(made, SPECTRA, SUGAR, cv=4)
    assert np.sqrt(((said - SUGAR) ** 2).mean()) < 0.5 * SUGAR.std()
    name = type(regressor).__name__.lower()
    search = GridSearchCV(made, {"savitzkygolay__points": [5, 9], f"{name}__n_components": [2, 4]}, cv=2).fit(SPECTRA, SUGAR)
    assert search.best_params_[f"{name}__n_components"] in (2, 4)


@pytest.mark.parametrize("regressor", REGRESSORS, ids=lambda one: type(one).__name__)
def test_references_all_alike_give_their_mean(regressor):
    np.testing.assert_allclose(clone(regressor).fit(SPECTRA, np.full(80, 11.5)).predict(SPECTRA), 11.5)
