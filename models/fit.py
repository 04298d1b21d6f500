"""Labelled spectra -> a spectral model: SNV, Savitzky-Golay derivative, PLS, folded to plain arrays."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import scipy
import sklearn
from numpy.typing import ArrayLike, NDArray
from scipy.signal import savgol_coeffs
from scipy.stats import norm
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import GroupKFold

from citrus_grade.spectra import kernel
from citrus_grade.spectra.model import SpectralModel, empty_traits
from citrus_grade.spectra.traits import MAX_TARGETS, OK

Floats = NDArray[np.float64]

SG_POINTS: Final = 13
SG_ORDER: Final = 2
MAX_COMPONENTS: Final = 20
MAX_FOLDS: Final = 12
MARGIN: Final = 1.03
"""A smaller model wins while its RMSECV is within 3 % of the best."""
DOMAIN: Final = 0.999
"""Share of the calibration's own kind of fruit that stays inside the T2 and Q limits."""
UNITS: Final = {"brix": "Brix", "pct": "%", "g": "g", "mm": "mm"}


def fit_counts(
    counts: NDArray[np.uint16],
    dark: Floats,
    white: Floats,
    reference: ArrayLike,
    groups: ArrayLike,
    wavelength_nm: Floats,
    targets: Sequence[str],
    window_nm: tuple[float, float] = (700.0, 960.0),
    full_scale: int = 65000,
    *,
    received: NDArray[np.bool_] | None = None,
    reference_error: Sequence[float] | None = None,
) -> SpectralModel:
    """Fit from raw scans, chosen and averaged by the very code of the line.

    Parameters
    ----------
    counts : (n, n_scans, n_pixels). dark, white : (n, n_pixels) counts, of each row's lane.
    reference : (n, n_targets), in the unit each target's name ends in.
    groups : (n,), lots or seasons: cross-validation leaves whole groups out.
    wavelength_nm : (n_pixels,). window_nm : what of it is used. full_scale : counts at which a scan is clipped.
    received : (n, n_scans), all by default. reference_error : sd of the laboratory's value, per target.

    Raises
    ------
    ValueError : shapes, targets, groups or window that cannot make a model, or fewer than half of the fruit measurable.
    """
    start, stop = _window(np.asarray(wavelength_nm, np.float64), window_nm)
    traits = empty_traits(len(counts))
    absorbance = np.empty((len(counts), stop - start))
    mask = np.ones(counts.shape[:2], np.bool_) if received is None else received
    kernel.gate(counts, mask, dark, white, start, full_scale, absorbance, traits)
    good = np.asarray(traits["status"] == OK)
    if 2 * good.sum() < len(good):
        raise ValueError(
            f"only {good.sum()} of {len(good)} fruit have {kernel.MIN_SCANS} good scans; look at exposure and timing"
        )
    reference, groups = np.asarray(reference, np.float64), np.asarray(groups)
    batch = _Batch(absorbance[good], reference.reshape(len(counts), -1)[good], groups[good])
    return _fit(batch, wavelength_nm, start, targets, reference_error, n_left_out=int((~good).sum()))


def fit_absorbance(
    absorbance: ArrayLike,
    reference: ArrayLike,
    groups: ArrayLike,
    wavelength_nm: Floats,
    targets: Sequence[str],
    window_nm: tuple[float, float] = (700.0, 960.0),
    *,
    reference_error: Sequence[float] | None = None,
) -> SpectralModel:
    """Fit from finished absorbance (n, n_pixels), for spectra of other instruments; the rest as in `fit_counts`."""
    absorbance = np.asarray(absorbance, np.float64)
    start, stop = _window(np.asarray(wavelength_nm, np.float64), window_nm)
    reference = np.asarray(reference, np.float64).reshape(len(absorbance), -1)
    batch = _Batch(np.ascontiguousarray(absorbance[:, start:stop]), reference, np.asarray(groups))
    return _fit(batch, wavelength_nm, start, targets, reference_error, n_left_out=0)


@dataclass(frozen=True, slots=True)
class _Batch:
    """``absorbance`` (n, n_window), ``reference`` (n, n_targets), ``groups`` (n,)."""

    absorbance: Floats
    reference: Floats
    groups: NDArray[Any]

    def check(self, targets: Sequence[str]) -> None:
        n, n_targets = self.reference.shape
        if n_targets != len(targets) or not 1 <= n_targets <= MAX_TARGETS:
            raise ValueError(f"reference has {n_targets} columns, targets are {tuple(targets)}; give 1 or {MAX_TARGETS} of each")
        if not np.isfinite(self.reference).all() or not np.isfinite(self.absorbance).all():
            raise ValueError("reference or spectra hold NaN or infinity; leave those fruit out")
        if self.groups.shape != (n,) or len(np.unique(self.groups)) < 2:
            raise ValueError("groups must name a lot or season for every fruit, at least two of them, or no error can be told")


def _window(wavelength_nm: Floats, window_nm: tuple[float, float]) -> tuple[int, int]:
    low, high = window_nm
    start, stop = (int(i) for i in np.searchsorted(wavelength_nm, (low, high), "left"))
    stop += int(stop < len(wavelength_nm) and wavelength_nm[stop] == high)
    if stop - start < 2 * SG_POINTS:
        raise ValueError(f"window {low}-{high} nm holds {stop - start} pixels of {wavelength_nm[0]}-{wavelength_nm[-1]} nm; "
                         f"it needs {2 * SG_POINTS}")  # fmt: skip
    return start, stop


def _taps(n: int) -> Floats:
    """(SG_POINTS, n): first-derivative weights per pixel; the ends take the polynomial of the outermost full window."""
    half = SG_POINTS // 2
    middle = savgol_coeffs(SG_POINTS, SG_ORDER, deriv=1, use="dot")
    taps = np.repeat(middle[:, None], n, axis=1)
    for i in range(half):
        taps[:, i] = savgol_coeffs(SG_POINTS, SG_ORDER, deriv=1, pos=i, use="dot")
        taps[:, n - half + i] = savgol_coeffs(SG_POINTS, SG_ORDER, deriv=1, pos=half + 1 + i, use="dot")
    return np.asarray(taps, np.float64)


def _matrix(taps: Floats) -> Floats:
    """The derivative as a matrix S (n, n): derivative = z @ S."""
    n_taps, n = taps.shape
    matrix = np.zeros((n, n))
    first = np.clip(np.arange(n) - n_taps // 2, 0, n - n_taps)
    for j in range(n_taps):
        matrix[first + j, np.arange(n)] = taps[j]
    return matrix


def _snv(absorbance: Floats) -> Floats:
    centred = absorbance - absorbance.mean(1, keepdims=True)
    return np.asarray(centred / centred.std(1, keepdims=True), np.float64)


@dataclass(frozen=True, slots=True)
class _Pls:
    """PLS with all of its components; ``take(k)`` gives the coefficients of the first k."""

    centre: Floats
    mean: float
    rotations: Floats
    loadings: Floats
    answers: Floats

    def coefs(self, k: int) -> Floats:
        return np.asarray(self.rotations[:, :k] @ self.answers[:k], np.float64)

    def predict(self, derivative: Floats, k: int) -> Floats:
        return np.asarray((derivative - self.centre) @ self.coefs(k) + self.mean, np.float64)


def _pls(derivative: Floats, reference: Floats, n_components: int) -> _Pls:
    model = PLSRegression(n_components, scale=False).fit(derivative, reference)
    return _Pls(derivative.mean(0), float(reference.mean()), model.x_rotations_, model.x_loadings_, model.y_loadings_[0])


@dataclass(frozen=True, slots=True)
class _Validation:
    """Leave-groups-out: RMSE per number of components (k_max,), and T2 and Q of fruit the model had not seen (n,)."""

    k: int
    rmse: Floats
    t2: Floats
    q: Floats


def _validate(derivative: Floats, reference: Floats, groups: NDArray[Any]) -> _Validation:
    n_groups = len(np.unique(groups))
    folds = list(GroupKFold(min(n_groups, MAX_FOLDS)).split(derivative, groups=groups))
    k_max = min(MAX_COMPONENTS, min(len(train) for train, _ in folds) // 3, derivative.shape[1] // 2)
    if k_max < 1:
        raise ValueError(f"{len(derivative)} fruit in {n_groups} groups are too few to cross-validate; bring more")
    fits = [(_pls(derivative[train], reference[train], k_max), train, test) for train, test in folds]
    guesses = np.empty((k_max, len(derivative)))
    for model, _, test in fits:
        for k in range(1, k_max + 1):
            guesses[k - 1, test] = model.predict(derivative[test], k)
    rmse = np.sqrt(((guesses - reference) ** 2).mean(1))
    k = int(np.argmax(rmse <= MARGIN * rmse.min())) + 1
    t2, q = np.empty((2, len(derivative)))
    for model, train, test in fits:
        t2[test], q[test] = _distances(model, k, derivative[train], derivative[test])
    return _Validation(k, rmse, t2, q)


def _distances(model: _Pls, k: int, train: Floats, test: Floats) -> tuple[Floats, Floats]:
    sd = ((train - model.centre) @ model.rotations[:, :k]).std(0, ddof=1)
    scores = (test - model.centre) @ model.rotations[:, :k]
    rest = test - model.centre - scores @ model.loadings[:, :k].T
    return ((scores / sd) ** 2).sum(1), (rest**2).sum(1)


def _limit(distances: Floats) -> float:
    """Log-normal quantile of the distances of fruit the model had not seen; a few extreme fruit do not stretch it."""
    logs = np.log(distances)
    return float(np.exp(logs.mean() + norm.ppf(DOMAIN) * logs.std(ddof=1)))


def _fit(
    batch: _Batch,
    wavelength_nm: Floats,
    start: int,
    targets: Sequence[str],
    reference_error: Sequence[float] | None,
    n_left_out: int,
) -> SpectralModel:
    """PLS per target, each with its own number of components; T2 and Q live in the first target's scores."""
    batch.check(targets)
    taps = _taps(batch.absorbance.shape[1])
    matrix = _matrix(taps)
    derivative = _snv(batch.absorbance) @ matrix
    checks = [_validate(derivative, y, batch.groups) for y in batch.reference.T]
    fits = [_pls(derivative, y, check.k) for y, check in zip(batch.reference.T, checks, strict=True)]
    coefs = np.stack([fit.coefs(check.k) for fit, check in zip(fits, checks, strict=True)])
    first, k = fits[0], checks[0].k
    sd = ((derivative - first.centre) @ first.rotations).std(0, ddof=1)
    return SpectralModel(
        targets=tuple(targets),
        units=tuple(UNITS.get(target.rpartition("_")[2], "") for target in targets),
        wavelength_nm=np.array(wavelength_nm, np.float64),
        start=start,
        stop=start + len(taps[0]),
        coefs=coefs @ matrix.T,
        intercepts=np.array([fit.mean for fit in fits]) - coefs @ first.centre,
        sigma=np.array([check.rmse[check.k - 1] for check in checks]),
        score_weights=(matrix @ first.rotations / sd).T,
        score_offsets=-(first.centre @ first.rotations) / sd,
        sg_taps=taps,
        centre=first.centre,
        loadings=(first.loadings * sd).T,
        t2_limit=_limit(checks[0].t2),
        q_limit=_limit(checks[0].q),
        training=_story(batch, targets, checks, k, reference_error, n_left_out),
    )


def _story(
    batch: _Batch,
    targets: Sequence[str],
    checks: list[_Validation],
    k: int,
    reference_error: Sequence[float] | None,
    n_left_out: int,
) -> dict[str, Any]:
    names, sizes = np.unique(batch.groups, return_counts=True)
    per_target = {
        target: {
            "components": check.k,
            "rmsecv": [float(r) for r in check.rmse],
            "range": [float(y.min()), float(y.max())],
            "mean": float(y.mean()),
            "sd": float(y.std(ddof=1)),
            "reference_error": None if reference_error is None else float(reference_error[i]),
        }
        for i, (target, check, y) in enumerate(zip(targets, checks, batch.reference.T, strict=True))
    }
    return {
        "preprocessing": f"SNV, Savitzky-Golay derivative ({SG_POINTS} points, order {SG_ORDER})",
        "n": len(batch.reference),
        "n_left_out_by_scan_gates": n_left_out,
        "groups": {str(name): int(size) for name, size in zip(names, sizes, strict=True)},
        "domain_components": k,
        "targets": per_target,
        "versions": {
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "scikit-learn": sklearn.__version__,
        },
    }
