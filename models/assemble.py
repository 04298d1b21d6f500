"""Fits put together into the arrays of a spectral model: everything linear folded onto the normalised spectrum."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from citrus_grade.calibration.correction import shrunk
from citrus_grade.calibration.pls import Fold, Pls, fit_folds
from citrus_grade.models.score_models import ScoreModel
from citrus_grade.spectra.bands import Band, matrix_of
from citrus_grade.spectra.model import Domain, Gaussians, Preprocessing, Rows, SpectralModel, Target, no_corrections

Floats = NDArray[np.float64]

DOMAIN: float = 0.999
"""Share of the calibration's own kind of fruit that stays inside the T2 and Q limits."""
ENDS: Final = (0.01, 0.99)
"""Quantiles of mean absorbance between which T2 is stretched by a rule that the fruit tell."""
KNOTS: Final = 17


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """A PLS on the features that ``after`` makes of the normalised spectrum; ``components`` of it count."""

    after: Band
    fit: Pls
    components: int


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """One target: a ``part``, with a ``score_model`` on its scores if it is not PLS; the plain PLS ``beside`` it are averaged
    with it."""

    name: str
    unit: str
    part: Part
    score_model: ScoreModel | None
    sigma: float
    residuals: Floats
    beside: Sequence[Part] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Limits:
    """T2 and Q beyond which a fruit is out of domain; ``darkness``, ``stretch`` of a `Domain`, by default none."""

    t2: float
    q: float
    darkness: Floats = field(default_factory=lambda: np.array([0.0, 1.0]))
    stretch: Floats = field(default_factory=lambda: np.ones(2))


def assemble(
    made: Preprocessing,
    removed: Floats,
    targets: Sequence[Fitted],
    components: int,
    limits: Limits,
    training: Mapping[str, Any],
    rows: Rows | None = None,
) -> SpectralModel:
    """Return the spectral model.

    Parameters
    ----------
    removed : (d, n_out) orthonormal directions that were taken off the features before fitting (EPO), d may be 0.
    targets : the first one's scores say what is in domain. components : how many of them.
    """
    kept, first = _kept(made.after, made, removed), targets[0].part.fit
    matrix = matrix_of(made.after, len(made.before.first))
    rotations, loadings = first.rotations[:, :components] / first.sd[:components], first.loadings[:, :components]
    domain = Domain(
        n_scores=components,
        weights=np.vstack([(kept @ rotations).T, (matrix @ removed.T).T]),
        offsets=np.r_[-(first.centre @ rotations), np.zeros(len(removed))],
        centre=first.centre,
        loadings=np.vstack([(loadings * first.sd[:components]).T, removed]),
        t2_limit=limits.t2,
        q_limit=limits.q,
        darkness=limits.darkness,
        stretch=limits.stretch,
    )
    folded = tuple(_target(made, removed, one) for one in targets)
    return SpectralModel(made, folded, domain, (), no_corrections(len(targets)), training, rows)


def _kept(after: Band, made: Preprocessing, removed: Floats) -> Floats:
    """The way from the normalised spectrum to features without the removed directions, as a matrix."""
    matrix = matrix_of(after, len(made.before.first))
    return np.asarray(matrix - (matrix @ removed.T) @ removed, np.float64)


def _target(made: Preprocessing, removed: Floats, one: Fitted) -> Target:
    part, model = one.part, one.score_model
    kept, fit, k = _kept(part.after, made, removed), part.fit, part.components
    rotations = fit.rotations[:, :k] / fit.sd[:k]
    coefs = rotations @ (fit.answers[:k] * fit.sd[:k] if model is None else model.linear)
    straight = [(kept @ coefs, (fit.mean if model is None else model.intercept) - fit.centre @ coefs)]
    for other in one.beside:
        own = other.fit.coefs(other.components)
        straight.append((_kept(other.after, made, removed) @ own, other.fit.mean - other.fit.centre @ own))
    gaussians = None
    if model is not None and len(model.points):
        stretched = rotations * model.stretch
        gaussians = Gaussians((kept @ stretched).T, -(fit.centre @ stretched), model.points, model.gamma, model.heights)
    return Target(
        name=one.name,
        unit=one.unit,
        coefs=np.mean([weights for weights, _ in straight], axis=0),
        intercept=float(np.mean([start for _, start in straight])),
        sigma=one.sigma,
        residuals=np.sort(one.residuals),
        gaussians=gaussians,
    )


def domain_limits(
    narrow: Floats, reference: Floats, dark: Floats, folds: Sequence[Fold], components: int, of: slice = slice(None)
) -> Limits:
    """Return the T2 and Q that nearly all fruit of a lot the model has not seen stay within.

    Parameters
    ----------
    narrow : (n, r) features, turned narrow. reference : (n,). dark : (n,) mean absorbance. folds : the rows left out in turn.
    of : rows that are of the kind to come; the limits hold for them too where they lie farther out than all.
    """
    t2, q = np.empty((2, len(reference)))
    for fit, rows in zip(fit_folds(narrow, reference, folds, components), folds, strict=True):
        scores = fit.scores(narrow[rows], components)
        rest = narrow[rows] - fit.centre - (scores * fit.sd) @ fit.loadings.T
        t2[rows], q[rows] = (scores**2).sum(1), (rest**2).sum(1)
    found = limits_of(t2, q, dark)
    return replace(found, t2=max(found.t2, limit_of(t2[of])), q=max(found.q, limit_of(q[of])))


def limits_of(t2: Floats, q: Floats, dark: Floats) -> Limits:
    """Return the limits that distances (n,) of fruit the model had not seen tell; ``dark`` (n,) is their mean absorbance."""
    return Limits(limit_of(t2), limit_of(q), *stretched(t2, dark))


def stretched(t2: Floats, dark: Floats) -> tuple[Floats, Floats]:
    """Return ``darkness`` and ``stretch`` of a `Domain`: by how much T2's limit for all is above that of fruit as dark.

    A dark fruit's spectrum is noisy, so its T2 is large; a limit wide enough for it lets a strange fruit that is bright pass. The
    logarithm of T2 is taken to rise on a straight line with mean absorbance, shrunk where few fruit tell it; nowhere does T2
    become less.

    Parameters
    ----------
    t2 : (n,) of fruit the model had not seen. dark : (n,) their mean absorbance.
    """
    low, high = np.quantile(dark, ENDS)
    if not low < high:
        return np.array([low, low + 1.0]), np.ones(2)
    logs, place = np.log(np.maximum(t2, 1e-300)), (np.clip(dark, low, high) - low) / (high - low)
    across = place - place.mean()
    slope = float(across @ logs / (across @ across))
    spread = float((logs - logs.mean() - slope * across).std(ddof=2))
    slope = shrunk(slope, spread**2 / float(across @ across))
    knots = np.linspace(0.0, 1.0, KNOTS) - place.mean()
    own = np.exp(logs.mean() + slope * knots + norm.ppf(DOMAIN) * spread)
    return np.array([low, high]), np.maximum(limit_of(t2) / own, 1.0)


def limit_of(distances: Floats) -> float:
    """Log-normal quantile of the distances of fruit the model had not seen; a few extreme fruit do not stretch it."""
    logs = np.log(np.maximum(distances, 1e-300))
    return float(np.exp(logs.mean() + norm.ppf(DOMAIN) * logs.std(ddof=1)))
