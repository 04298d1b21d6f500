"""Master and slave in one regression: differences of the instruments stop mattering, and equal instruments change nothing."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression

from citrus_grade.calibration.joint import fit_joint, joint_rows, stand_ins
from citrus_grade.calibration.pls import fit_path

RNG = np.random.default_rng(9)
N, M, CHANNELS = 60, 20, 40
BANDS = np.exp(-0.5 * ((np.arange(CHANNELS)[None, :] - RNG.uniform(0, 40, 6)[:, None]) / 4) ** 2)
AMOUNTS = RNG.normal(0, 1, (N, 6))
X, Y = AMOUNTS @ BANDS + 0.01 * RNG.standard_normal((N, CHANNELS)), 10 + AMOUNTS[:, 0]
ARTEFACT = 0.5 * BANDS[0] + np.linspace(-1, 1, CHANNELS) ** 2


def slave(x, wander):
    """The other instrument: an offset, and a shape that comes with ``wander`` (n,)."""
    return x + 0.4 * BANDS[2] + wander[:, None] * ARTEFACT


def test_rows_are_three_blocks_each_centred():
    other = slave(X[:M], RNG.normal(0, 1, M))
    rows = joint_rows(X, Y, X[:M], other, Y[:M], penalty=4.0)
    assert rows.x.shape == (N + 2 * M, CHANNELS)
    for block in (slice(0, N), slice(N, N + M), slice(N + M, None)):
        assert rows.x[block].mean(0) == pytest.approx(0, abs=1e-12)
        assert rows.y[block].mean() == pytest.approx(0, abs=1e-12)
    differences = other - X[:M]
    assert rows.x[N + M :] == pytest.approx(2 * (differences - differences.mean(0)))
    assert not rows.y[N + M :].any()


def test_an_artefact_of_the_slave_stops_mattering():
    other = slave(X[:M], RNG.normal(0, 1, M))
    path, plain = fit_joint(X, Y, X[:M], other, Y[:M], 7), fit_path(X, Y, 7)
    assert abs(path.coefs[-1] @ ARTEFACT) < 0.02 < 0.5 < abs(plain.coefs[-1] @ ARTEFACT)
    fresh = RNG.normal(0, 1, (200, 6))
    seen = slave(fresh @ BANDS + 0.01 * RNG.standard_normal((200, CHANNELS)), RNG.normal(0, 1, 200))
    error = path.predict(seen)[:, -1] - 10 - fresh[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.15


def test_a_higher_penalty_leaves_less_of_the_artefact():
    other = slave(X[:M], RNG.normal(0, 1, M))
    left = [abs(fit_joint(X, Y, X[:M], other, Y[:M], 4, penalty).coefs[-1] @ ARTEFACT) for penalty in (0.1, 1, 10, 1000)]
    assert left[3] < 0.01 * left[1] < left[1]
    assert left[2] < left[0]


def test_equal_instruments_give_the_master_s_model():
    path = fit_joint(X, Y, X[:M], X[:M], Y[:M], 6)
    assert path.coefs[-1] @ BANDS.T == pytest.approx([1, 0, 0, 0, 0, 0], abs=0.1)


def test_an_offset_of_the_slave_alone_costs_nothing():
    other = X[:M] + RNG.normal(0, 5, CHANNELS)
    path, plain = fit_joint(X, Y, X[:M], other, Y[:M], 4), fit_joint(X, Y, X[:M], X[:M], Y[:M], 4)
    assert path.predict(other) == pytest.approx(plain.predict(X[:M]), abs=1e-9)


def kept(k):
    """What a bundle of k components keeps: centre, mean, coefficients, loadings times the scores' deviation."""
    model = PLSRegression(k, scale=False).fit(X, Y)
    spans = (model.x_loadings_ * model.x_scores_.std(0)).T
    return X.mean(0), float(Y.mean()), model.coef_.ravel(), spans


def test_stand_ins_give_the_model_again_for_spectra_of_its_components():
    centre, mean, coefs, spans = kept(5)
    x, y = stand_ins(centre, mean, coefs, spans, N)
    seen = centre + RNG.normal(0, 1, (30, 5)) @ spans
    assert fit_path(x, y, 5).predict(seen)[:, -1] == pytest.approx(mean + (seen - centre) @ coefs, abs=1e-9)


def test_stand_ins_of_all_components_weigh_what_the_training_spectra_do():
    other = slave(X[:M], RNG.normal(0, 1, M))
    x, y = stand_ins(*kept(CHANNELS), N)
    assert (x - x.mean(0)).T @ (x - x.mean(0)) == pytest.approx((X - X.mean(0)).T @ (X - X.mean(0)), abs=1e-6)
    ours, full = (fit_joint(*given, X[:M], other, Y[:M], 6) for given in ((x, y), (X, Y)))
    assert ours.coefs == pytest.approx(full.coefs, abs=1e-6)


def test_a_model_without_its_training_spectra_loses_an_artefact_too():
    other = slave(X[:M], RNG.normal(0, 1, M))
    path = fit_joint(*stand_ins(*kept(7), N), X[:M], other, Y[:M], 7)
    fresh = RNG.normal(0, 1, (200, 6))
    seen = slave(fresh @ BANDS + 0.01 * RNG.standard_normal((200, CHANNELS)), RNG.normal(0, 1, 200))
    error = path.predict(seen)[:, -1] - 10 - fresh[:, 0]
    assert np.sqrt(np.mean(error**2)) < 0.15
