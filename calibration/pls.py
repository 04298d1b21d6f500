"""Partial least squares for one target, all numbers of components at once, folded to coefficients; NumPy alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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

    Where the data carry fewer components the last model is repeated. Algorithm: Dayal and MacGregor 1997, Journal of Chemometrics
    11, 73, improved kernel algorithm 1.
    """
    centre, mean = x.mean(0), float(y.mean())
    coefs = _coefs(x - centre, y - mean, n_components)
    return Path(coefs, mean - coefs @ centre)


def _coefs(x: Floats, y: Floats, n_components: int) -> Floats:
    """(n_components, n_wavelengths) of centred data."""
    rotations, loadings = np.zeros((2, n_components, x.shape[1]))
    coefs = np.zeros((n_components, x.shape[1]))
    covariance = x.T @ y
    least = 1e-10 * float(np.linalg.norm(covariance))
    for k in range(n_components):
        length = float(np.linalg.norm(covariance))
        if length <= least:
            coefs[k:] = coefs[k - 1] if k else 0.0
            break
        rotation = covariance / length
        for loading, earlier in zip(loadings[:k], rotations[:k], strict=True):
            rotation = rotation - (loading @ (covariance / length)) * earlier
        scores = x @ rotation
        size = float(scores @ scores)
        answer = float(scores @ y) / size
        rotations[k], loadings[k] = rotation, x.T @ scores / size
        covariance = covariance - loadings[k] * (answer * size)
        coefs[k] = (coefs[k - 1] if k else 0.0) + answer * rotation
    return coefs
