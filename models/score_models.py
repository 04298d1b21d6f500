"""Nonlinear regressions on PLS scores: a Gaussian process and a support vector machine, both as a line plus Gaussians.

Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, chapters 2 and 5. The support vectors are scikit-learn's.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky
from scipy.optimize import minimize
from sklearn.svm import SVR

Floats = NDArray[np.float64]

MOST_POINTS: Final = 1500
"""A Gaussian process is made from so many representative fruit at most: its cost grows with their cube."""
TUNED_ON: Final = 200
"""Fruit that its lengths and variances are found from."""
GAMMA: Final = 0.5
"""Of every Gaussian: the scores are stretched to fit it."""
_BOUNDS: Final = ((-9.0, 4.0), (-6.0, 3.0), (-9.0, 1.0))
_LENGTHS: Final = (-12.0, 2.0)


@dataclass(frozen=True, slots=True, eq=False)
class ScoreModel:
    """``value(t) = t @ linear + intercept + sum heights * exp(-gamma * |t * stretch - point|^2)``; points (N, k) stretched."""

    linear: Floats
    intercept: float
    stretch: Floats
    points: Floats
    gamma: Floats
    heights: Floats

    def predict(self, scores: Floats) -> Floats:
        """Return values of scores (n, k)."""
        value = scores @ self.linear + self.intercept
        if len(self.points):
            value = value + _bells(scores * self.stretch, self.points, self.gamma) @ self.heights
        return np.asarray(value, np.float64)


def straight(linear: Floats, intercept: float, stretch: Floats) -> ScoreModel:
    """Return a score model without Gaussians."""
    return ScoreModel(linear, intercept, stretch, np.zeros((0, len(linear))), np.zeros(0), np.zeros(0))


def mean_of(models: list[ScoreModel]) -> ScoreModel:
    """Return the plain average of models with the same stretch."""
    n = len(models)
    return ScoreModel(
        np.mean([m.linear for m in models], axis=0),
        float(np.mean([m.intercept for m in models])),
        models[0].stretch,
        np.concatenate([m.points for m in models]),
        np.concatenate([m.gamma for m in models]),
        np.concatenate([m.heights for m in models]) / n,
    )


def _bells(a: Floats, b: Floats, gamma: Floats | float) -> Floats:
    square = (a**2).sum(1)[:, None] - 2.0 * a @ b.T + (b**2).sum(1)
    return np.asarray(np.exp(-gamma * np.maximum(square, 0.0)), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Kernel:
    """Variances of line, Gaussian and noise for a reference of unit variance; ``stretch`` (k,) one over the length per score."""

    line: float
    gauss: float
    noise: float
    stretch: Floats

    @property
    def log_theta(self) -> Floats:
        """The same numbers as `tune` searches them."""
        return np.asarray(np.log(np.r_[self.line, self.gauss, self.noise, np.maximum(self.stretch, 1e-6) ** 2]), np.float64)


def tune(scores: Floats, reference: Floats, start: Kernel | None = None, steps: int = 40) -> Kernel:
    """Find the kernel that makes the references likeliest, from at most `TUNED_ON` of them.

    Parameters
    ----------
    scores : (n, k) of unit variance. reference : (n,). start : where to begin; by default from a short and a long length.
    """
    rows = representative(scores[:, 0], TUNED_ON)
    t, y = scores[rows], reference[rows]
    y = (y - y.mean()) / y.std()
    apart, k = (t[:, None] - t[None]) ** 2, t.shape[1]
    cold = [np.r_[np.log([1.0, 0.3, 0.1]), np.full(k, -2.0 * np.log(length * np.sqrt(k)))] for length in (1.0, 3.0)]
    bounds = [*_BOUNDS, *([_LENGTHS] * k)]
    low, high = np.array(bounds).T
    runs = [
        minimize(_surprise, begin, (t, y, apart), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": steps})
        for begin in (cold if start is None else [np.clip(start.log_theta, low, high)])
    ]
    best = min(runs, key=lambda run: float(run.fun)).x
    line, gauss, noise = (float(v) for v in np.exp(best[:3]))
    return Kernel(line, gauss, noise, np.exp(0.5 * best[3:]))


def _surprise(log_theta: Floats, t: Floats, y: Floats, apart: Floats) -> tuple[float, Floats]:
    """Negative log marginal likelihood and its gradient by the logarithms; ``apart`` (n, n, k) squared differences."""
    line, gauss, noise = np.exp(log_theta[:3])
    square_stretch = np.exp(log_theta[3:])
    stretched = t * np.sqrt(square_stretch)
    products, bell = stretched @ stretched.T, gauss * np.exp(-0.5 * (apart @ square_stretch))
    n = len(y)
    cov = line * products + bell + 1.0
    cov[np.diag_indices(n)] += noise + 1e-8
    try:
        factor = cholesky(cov, lower=True, check_finite=False)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros_like(log_theta)
    alpha = cho_solve((factor, True), y, check_finite=False)
    slope = cho_solve((factor, True), np.eye(n), check_finite=False) - np.outer(alpha, alpha)
    by_variance = (line * np.vdot(slope, products), np.vdot(slope, bell), noise * np.trace(slope))
    along = ((slope @ t) * t).sum(0)
    across = np.tensordot(slope * bell, apart, 2)
    by_length = square_stretch * (line * along - 0.5 * across)
    return float(0.5 * y @ alpha + np.log(np.diag(factor)).sum()), 0.5 * np.r_[by_variance, by_length]


def gaussian_process(scores: Floats, reference: Floats, kernel: Kernel, weight: Floats | None = None) -> ScoreModel:
    """Return the mean of a Gaussian process through at most `MOST_POINTS` fruit; ``weight`` (n,) counts a fruit as so many."""
    rows = representative(scores[:, 0], MOST_POINTS)
    t, y = scores[rows] * kernel.stretch, reference[rows]
    mean, sd = y.mean(), y.std()
    cov = kernel.line * (t @ t.T) + kernel.gauss * _bells(t, t, GAMMA) + 1.0
    noise = np.full(len(t), kernel.noise) if weight is None else kernel.noise / weight[rows]
    cov[np.diag_indices(len(t))] += noise + 1e-8
    alpha = cho_solve((cholesky(cov, lower=True, check_finite=False), True), (y - mean) / sd, check_finite=False)
    return ScoreModel(
        linear=sd * kernel.line * (alpha @ t) * kernel.stretch,
        intercept=float(mean + sd * alpha.sum()),
        stretch=kernel.stretch,
        points=t,
        gamma=np.full(len(t), GAMMA),
        heights=sd * kernel.gauss * alpha,
    )


def support_vectors(
    scores: Floats, reference: Floats, cost: float, stretch: Floats, wider: float, weight: Floats | None = None
) -> ScoreModel:
    """Return a support vector regression on stretched scores, its Gaussians ``wider`` times as long as the stretch says."""
    rows = representative(scores[:, 0], MOST_POINTS)
    t, y = scores[rows] * stretch, reference[rows]
    mean, sd, gamma = y.mean(), y.std(), GAMMA / wider**2
    machine = SVR(C=cost, epsilon=0.05, gamma=gamma).fit(t, (y - mean) / sd, None if weight is None else weight[rows])
    return ScoreModel(
        linear=np.zeros(t.shape[1]),
        intercept=float(mean + sd * machine.intercept_[0]),
        stretch=stretch,
        points=np.asarray(machine.support_vectors_, np.float64),
        gamma=np.full(len(machine.support_), gamma),
        heights=sd * np.asarray(machine.dual_coef_[0], np.float64),
    )


def representative(values: Floats, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` rows, evenly spread over the sorted values: all kinds of fruit, none twice."""
    n = len(values)
    if n <= most:
        return np.arange(n)
    order = np.argsort(values, kind="stable")
    return np.sort(order[np.linspace(0, n - 1, most).round().astype(np.int64)])
