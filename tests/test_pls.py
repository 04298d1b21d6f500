"""Partial least squares: equal to scikit-learn's for every number of components."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from citrus_grade.calibration.pls import fit_path

RNG = np.random.default_rng(3)


@pytest.mark.parametrize("shape", [(40, 12), (15, 60)])
def test_every_number_of_components_agrees_with_scikit_learn(shape):
    x, y, new = RNG.normal(3, 1, shape), RNG.normal(10, 2, shape[0]), RNG.normal(3, 1, (5, shape[1]))
    found = fit_path(x, y, 8).predict(new)
    for k in range(1, 9):
        theirs = PLSRegression(k, scale=False, tol=1e-12, max_iter=5000).fit(x, y).predict(new).ravel()
        assert found[:, k - 1] == pytest.approx(theirs, abs=1e-8)


def test_as_many_components_as_channels_are_least_squares():
    x, y = RNG.normal(0, 1, (50, 6)), RNG.normal(0, 1, 50)
    plain = np.linalg.lstsq(np.column_stack([x, np.ones(50)]), y, rcond=None)[0]
    path = fit_path(x, y, 6)
    assert np.append(path.coefs[-1], path.intercepts[-1]) == pytest.approx(plain, abs=1e-10)


def test_components_beyond_the_data_change_nothing():
    x = np.outer(RNG.normal(0, 1, 20), RNG.normal(0, 1, 9))
    path = fit_path(x, 3 * x[:, 0] + 1, 5)
    assert np.ptp(path.coefs, axis=0) == pytest.approx(0, abs=1e-12)
    assert path.predict(x)[:, 4] == pytest.approx(3 * x[:, 0] + 1)


def test_equal_references_give_their_value():
    assert fit_path(RNG.normal(0, 1, (10, 4)), np.full(10, 7.0), 3).predict(np.zeros((2, 4))) == pytest.approx(7.0)
