"""Partial least squares for one target, from cross-products: every number of components at once, folds by subtraction.

Dayal and MacGregor 1997, J. Chemom. 11, 73 (their second algorithm); folds as in Engstrøm and Jensen 2025, J. Chemom. 39, e70008.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Fold = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Pls:
    """``centre`` (p,), ``mean``; ``rotations`` and ``loadings`` (p, k); ``answers`` and ``sd`` (k,) of the scores."""

    centre: Floats
    mean: float
    rotations: Floats
    loadings: Floats
    answers: Floats
    sd: Floats

    def coefs(self, k: int) -> Floats:
        """Return the regression's coefficients with ``k`` components, (p,)."""
        return np.asarray(self.rotations[:, :k] @ self.answers[:k], np.float64)

    def scores(self, features: Floats, k: int) -> Floats:
        """Return the first ``k`` scores, of unit variance in training, (n, k)."""
        return np.asarray((features - self.centre) @ (self.rotations[:, :k] / self.sd[:k]), np.float64)

    def turned(self, centre: Floats, turn: Floats) -> "Pls":
        """Return a fit on narrow features (see `compress`) as one on the features themselves, whose mean is ``centre``."""
        return Pls(centre + turn @ self.centre, self.mean, turn @ self.rotations, turn @ self.loadings, self.answers, self.sd)

    def predict_all(self, features: Floats) -> Floats:
        """Return predictions with 1, 2 .. k components, (k, n)."""
        scores = (features - self.centre) @ self.rotations
        return np.asarray(self.mean + np.cumsum(scores * self.answers, axis=1).T, np.float64)


def fit(features: Floats, reference: Floats, n_components: int, weight: Floats | None = None) -> Pls:
    """Fit on features (n, p) and reference (n,); ``weight`` (n,) counts a row as so many."""
    w = np.ones(len(features)) if weight is None else weight
    total = float(w.sum())
    centre, mean = (w @ features) / total, float(w @ reference / total)
    centred = (features - centre) * np.sqrt(w)[:, None]
    return _from_products(centred.T @ centred, centred.T @ ((reference - mean) * np.sqrt(w)), centre, mean, total, n_components)


def _from_products(xx: Floats, xy: Floats, centre: Floats, mean: float, n: float, n_components: int) -> Pls:
    p = len(xy)
    rotations, loadings = np.zeros((p, n_components)), np.zeros((p, n_components))
    answers, square = np.zeros(n_components), np.zeros(n_components)
    xy, start, made = xy.copy(), float(np.linalg.norm(xy)), 0
    for k in range(n_components):
        size = float(np.linalg.norm(xy))
        if size <= 1e-13 * start:
            break
        r = xy / size
        r = r - rotations[:, :k] @ (loadings[:, :k].T @ r)
        r = r - rotations[:, :k] @ (loadings[:, :k].T @ r)  # twice: keeps many components at right angles
        through = xx @ r
        square[k] = float(r @ through)
        if square[k] <= 0.0:
            break
        rotations[:, k], loadings[:, k], answers[k] = r, through / square[k], float(r @ xy) / square[k]
        xy -= loadings[:, k] * answers[k] * square[k]
        made = k + 1
    sd = np.sqrt(square[:made] / max(n - 1.0, 1.0))
    return Pls(centre, mean, rotations[:, :made], loadings[:, :made], answers[:made], sd)


def compress(features: Floats) -> tuple[Floats, Floats]:
    """Turn wide features (n, p > n) into (n, n) of them that hold the same distances, and the turn (p, n) back.

    PLS sees nothing else of them. Narrow features are only centred.
    """
    n, p = features.shape
    centred = features - features.mean(0)
    if p <= n:
        return centred, np.eye(p)
    left, sizes, right = np.linalg.svd(centred, full_matrices=False)
    return left * sizes, np.ascontiguousarray(right.T)


def fit_folds(features: Floats, reference: Floats, folds: Sequence[Fold], n_components: int) -> list[Pls]:
    """Fit on everything but each fold.

    Parameters
    ----------
    features : (n, p), better narrow (`compress`). folds : the left-out rows of each.
    """
    shift = reference.mean()
    y = reference - shift
    xx, xy, sum_x, sum_y, n = features.T @ features, features.T @ y, features.sum(0), float(y.sum()), len(y)
    fits = []
    for rows in folds:
        out, own, left = features[rows], y[rows], n - len(rows)
        centre, mean = (sum_x - out.sum(0)) / left, (sum_y - float(own.sum())) / left
        products = xx - out.T @ out - left * np.outer(centre, centre)
        answers = xy - out.T @ own - left * mean * centre
        fits.append(_from_products(products, answers, centre, mean + float(shift), left, n_components))
    return fits


def validate(features: Floats, reference: Floats, folds: Sequence[Fold], n_components: int) -> Floats:
    """Return predictions of every row by fits that left its fold out, (n_components, n)."""
    said = np.empty((n_components, len(reference)))
    for model, rows in zip(fit_folds(features, reference, folds, n_components), folds, strict=True):
        own = model.predict_all(features[rows])
        said[: len(own), rows] = own
        said[len(own) :, rows] = own[-1] if len(own) else model.mean
    return said


@dataclass(frozen=True, slots=True, eq=False)
class Path:
    """Linear models of 1, 2, ... components: ``coefs`` (n_components, n_wavelengths), ``intercepts`` (n_components,)."""

    coefs: Floats
    intercepts: Floats

    def predict(self, x: Floats) -> Floats:
        """Return (n, n_components) predictions of spectra (n, n_wavelengths)."""
        return np.asarray(x @ self.coefs.T + self.intercepts, np.float64)

    def moved(self, by: Floats) -> "Path":
        """Return the models with ``by`` (n_components,) added to what they predict."""
        return Path(self.coefs, self.intercepts + by)


def fit_path(x: Floats, y: Floats, n_components: int) -> Path:
    """Fit PLS1 to spectra (n, n_wavelengths) and values (n,); both are centred here.

    Where the data carry fewer components the last model is repeated.
    """
    narrow, turn = compress(x)
    made = fit(narrow, y, n_components)
    coefs = np.zeros((n_components, x.shape[1]))
    found = np.cumsum(made.rotations * made.answers, axis=1).T
    coefs[: len(found)] = found @ turn.T
    coefs[len(found) :] = coefs[len(found) - 1] if len(found) else 0.0
    return Path(coefs, made.mean - coefs @ x.mean(0))
