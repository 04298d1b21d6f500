"""How well a model tells values it has never seen: the figures of an accuracy card.

ISO 12099:2017, Guidelines for the application of near infrared spectrometry, clause 6 (bias, its limit, SEP, the limit of an
unexplained error, slope); the interval of a share is Clopper and Pearson 1934, Biometrika 26, 404. As in the standard a residual
is reference minus predicted, so a bias above 0 says that the model tells too little.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]
Mask = NDArray[np.bool_]

ALPHA: Final = 0.05
"""Every limit and every interval here is wrong once in twenty."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """What ``n`` pairs of reference and prediction say; NaN where there are too few.

    ``low``, ``high``, ``mean``, ``sd`` of the references; ``bias`` is there when it is beyond ``bias_limit``; ``sep`` with its
    interval; ``slope`` and ``intercept`` of the references over the predictions, a slope farther than ``slope_limit`` from 1 is
    there; ``r2`` the share of the references' variance that is told, ``rpd`` their sd over SEP.
    """

    n: int
    low: float
    high: float
    mean: float
    sd: float
    bias: float
    bias_limit: float
    sep: float
    sep_low: float
    sep_high: float
    slope: float
    slope_limit: float
    intercept: float
    rmsep: float
    r2: float
    rpd: float

    @property
    def has_bias(self) -> bool:
        """Whether the bias is more than chance."""
        return abs(self.bias) > self.bias_limit

    @property
    def has_slope(self) -> bool:
        """Whether the slope differs from 1 by more than chance."""
        return abs(self.slope - 1.0) > self.slope_limit


def accuracy(reference: Floats, predicted: Floats) -> Accuracy:
    """Return the figures of references and predictions (n,), n >= 1."""
    n, residual = len(reference), reference - predicted
    bias, rmsep = float(residual.mean()), float(np.sqrt((residual**2).mean()))
    sep, sd = _sd(residual), _sd(reference)
    low, high = _sd_interval(sep, n)
    slope, intercept, slope_limit = _line(predicted, reference)
    return Accuracy(
        n=n, low=float(reference.min()), high=float(reference.max()), mean=float(reference.mean()), sd=sd,
        bias=bias, bias_limit=_t(n - 1) * sep / math.sqrt(n), sep=sep, sep_low=low, sep_high=high,
        slope=slope, slope_limit=slope_limit, intercept=intercept, rmsep=rmsep,
        r2=1.0 - rmsep**2 / float(reference.var()) if sd > 0 else math.nan,
        rpd=sd / sep if sep > 0 else math.nan,
    )  # fmt: skip


def _sd(values: Floats) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _t(freedom: int) -> float:
    return float(stats.t.ppf(1.0 - ALPHA / 2.0, freedom)) if freedom > 0 else math.nan


def _sd_interval(sd: float, n: int) -> tuple[float, float]:
    """Interval of a standard deviation from n values of a normal distribution."""
    if n < 2:
        return math.nan, math.nan
    low, high = stats.chi2.ppf([1.0 - ALPHA / 2.0, ALPHA / 2.0], n - 1)
    return sd * math.sqrt((n - 1) / low), sd * math.sqrt((n - 1) / high)


def _line(predicted: Floats, reference: Floats) -> tuple[float, float, float]:
    """Slope, intercept and how far from 1 a slope may be by chance: references over predictions."""
    n, spread = len(predicted), float(((predicted - predicted.mean()) ** 2).sum())
    if n < 3 or spread == 0.0:
        return math.nan, math.nan, math.nan
    slope = float((predicted - predicted.mean()) @ (reference - reference.mean())) / spread
    intercept = float(reference.mean() - slope * predicted.mean())
    rest = reference - intercept - slope * predicted
    return slope, intercept, _t(n - 2) * math.sqrt(float(rest @ rest) / (n - 2) / spread)


def sep_limit(error: float, freedom: int, n: int) -> float:
    """Return the SEP that ``n`` fruit exceed only by chance once in twenty, if the model errs as it did in training.

    Parameters
    ----------
    error : standard error in training. freedom : degrees of freedom it has: fruit less components less one.
    """
    return error * math.sqrt(float(stats.f.ppf(1.0 - ALPHA, n - 1, freedom))) if n > 1 and freedom > 0 else math.nan


@dataclass(frozen=True, slots=True)
class Share:
    """A share of ``n`` fruit with its interval."""

    n: int
    share: float
    low: float
    high: float


def share(of: Mask) -> Share:
    """Return the share of fruit (n,) that are so."""
    n, k = len(of), int(of.sum())
    if n == 0:
        return Share(0, math.nan, math.nan, math.nan)
    low = float(stats.beta.ppf(ALPHA / 2.0, k, n - k + 1)) if k else 0.0
    high = float(stats.beta.ppf(1.0 - ALPHA / 2.0, k + 1, n - k)) if k < n else 1.0
    return Share(n, k / n, low, high)


@dataclass(frozen=True, slots=True)
class Trend:
    """How the residual follows a quantity from ``low`` to ``high``: by ``slope`` a unit, give or take ``half``."""

    low: float
    high: float
    slope: float
    half: float

    @property
    def is_there(self) -> bool:
        """Whether it is more than chance."""
        return abs(self.slope) > self.half


def trend(quantity: Floats, residual: Floats) -> Trend | None:
    """Return the trend of residuals (n,) along a quantity (n,), None where fewer than 3 differ; rows without it do not count."""
    known = np.isfinite(quantity)
    slope, _intercept, half = _line(quantity[known], residual[known])
    return None if math.isnan(slope) else Trend(float(quantity[known].min()), float(quantity[known].max()), slope, half)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """What a model told of fruit with a reference, (n,) each: ``predicted`` with ``low90`` and ``high90``, ``t2`` and ``q``."""

    reference: Floats
    predicted: Floats
    low90: Floats
    high90: Floats
    t2: Floats
    q: Floats

    @property
    def residual(self) -> Floats:
        """Reference minus predicted."""
        return self.reference - self.predicted

    @property
    def covered(self) -> Mask:
        """Which references lie in their interval."""
        return (self.reference >= self.low90) & (self.reference <= self.high90)


@dataclass(frozen=True, slots=True)
class Part:
    """One lane or one lot, or all: its figures and how often the interval of 90 % held the reference."""

    accuracy: Accuracy
    coverage: Share


@dataclass(frozen=True, slots=True)
class Basis:
    """What the model said of itself: its ``error`` at fruit left out, ``n`` of them, with ``components``; T2 and Q limits.

    ``sel`` is the laboratory's error, None if nobody says; ``lots`` are those the model was made from.
    """

    error: float
    n: int
    components: int
    t2_limit: float
    q_limit: float
    sel: float | None = None
    lots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """An accuracy card in numbers; ``in_domain`` the figures without fruit beyond T2 or Q, None where none is left.

    ``fruit_trained_on`` counts spectra that the model was made from, None where that cannot be told.
    """

    basis: Basis
    overall: Part
    in_domain: Part | None
    sep_limit: float
    sep_without_lab: float | None
    beyond_t2: Share
    beyond_q: Share
    beyond: Share
    lanes: Mapping[str, Part] = field(default_factory=dict)
    lots: Mapping[str, Part] = field(default_factory=dict)
    lots_trained_on: tuple[str, ...] = ()
    fruit_trained_on: int | None = None
    sd_within_lots: float = math.nan
    temperature: Trend | None = None


def evaluate(
    told: Told,
    basis: Basis,
    *,
    lanes: Texts | None = None,
    lots: Texts | None = None,
    temperature_c: Floats | None = None,
    seen: Mask | None = None,
) -> Evaluation:
    """Return the accuracy card of what a model told.

    Parameters
    ----------
    told : n >= 1 fruit, all finite. lanes, lots : (n,) where each fruit comes from. temperature_c : (n,) NaN where unknown.
    seen : (n,) whose very spectrum the model was made from, None where that cannot be told.
    """
    far_t2, far_q = told.t2 > basis.t2_limit, told.q > basis.q_limit
    inside = ~(far_t2 | far_q)
    overall = _part(told, np.ones(len(told.reference), np.bool_))
    own_lots = _parts(told, lots)
    return Evaluation(
        basis=basis,
        overall=overall,
        in_domain=_part(told, inside) if inside.any() else None,
        sep_limit=sep_limit(basis.error, basis.n - basis.components - 1, len(told.reference)),
        sep_without_lab=_without_lab(overall.accuracy.sep, basis.sel),
        beyond_t2=share(far_t2), beyond_q=share(far_q), beyond=share(~inside),
        lanes=_parts(told, lanes),
        lots=own_lots,
        lots_trained_on=tuple(lot for lot in own_lots if lot in basis.lots),
        fruit_trained_on=None if seen is None else int(seen.sum()),
        sd_within_lots=sd_within(told.reference, lots),
        temperature=None if temperature_c is None else trend(temperature_c, told.residual),
    )  # fmt: skip


def _part(told: Told, rows: Mask) -> Part:
    return Part(accuracy(told.reference[rows], told.predicted[rows]), share(told.covered[rows]))


def _parts(told: Told, names: Texts | None) -> dict[str, Part]:
    return {} if names is None else {str(name): _part(told, names == name) for name in np.unique(names)}


def _without_lab(sep: float, sel: float | None) -> float | None:
    """The error that is left when the laboratory's own is taken off; None where nobody knows it or it is the larger."""
    return math.sqrt(sep**2 - sel**2) if sel is not None and sep > sel else None


def sd_within(reference: Floats, lots: Texts | None) -> float:
    """Return the standard deviation of references (n,) inside lots (n,), NaN where no lot has two fruit or none is named."""
    if lots is None:
        return math.nan
    names, which = np.unique(lots, return_inverse=True)
    means = np.bincount(which, reference) / np.bincount(which)
    freedom = len(reference) - len(names)
    return float(np.sqrt(((reference - means[which]) ** 2).sum() / freedom)) if freedom else math.nan
