"""Two models on the same fruit, which neither was made from: which errs less, and can that be told at all."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from citrus_grade.words import _

Floats = NDArray[np.float64]

BETTER, NOT_WORSE, WORSE, UNKNOWN = "better", "not_worse", "worse", "cannot_be_told"
MARGIN: Final = 1.20
"""A candidate is no worse if its RMSEP is, with 97.5 % confidence, less than so many times the live model's."""
CONFIDENCE: Final = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What a model says of n fruit: ``value``, ``low90``, ``high90`` (n,), NaN where it says nothing; ``in_domain`` (n,), None
    where nobody looked."""

    value: Floats
    low90: Floats
    high90: Floats
    in_domain: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Errors:
    """Root mean square error, its mean (value minus reference) and its standard deviation about the mean; the shares of fruit
    inside their interval of 90 % and out of domain, None where nobody looked."""

    rmsep: float
    bias: float
    sep: float
    covered90: float | None
    out_of_domain: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """A candidate against the live model for one target.

    ``ratio`` is RMSEP of the candidate over that of the live model, between ``ratio_low95`` and ``ratio_high95``; ``unit`` says
    what was taken as independent, "lot" or "fruit"; ``better_in`` is the share of fruit of which the candidate errs less.
    """

    target: str
    verdict: str
    n: int
    n_lots: int
    unit: str
    ratio: float
    ratio_low95: float
    ratio_high95: float
    better_in: float
    live: Errors
    candidate: Errors

    @property
    def enough(self) -> bool:
        """Whether this is evidence for a promotion."""
        return self.verdict in (BETTER, NOT_WORSE)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; a ratio that has no number, for the live model errs nowhere, is None."""
        told = asdict(self)
        return told | {name: told[name] if np.isfinite(told[name]) else None for name in ("ratio", "ratio_low95", "ratio_high95")}

    def text(self) -> str:
        """Return the verdict in words."""
        percent = {"low": 100 * (self.ratio_low95 - 1), "high": 100 * (self.ratio_high95 - 1)}
        return _TEXTS[self.verdict]().format(
            target=self.target, n=self.n, lots=self.n_lots or "-", margin=100 * (MARGIN - 1), **percent
        )


_TEXTS: Final[Mapping[str, Callable[[], str]]] = {
    BETTER: lambda: _(
        "{target}: the candidate is better: its error differs by {low:+.0f} to {high:+.0f} % ({n} fruit, lots: {lots})"
    ),
    NOT_WORSE: lambda: _(
        "{target}: the candidate is no worse: its error differs by {low:+.0f} to {high:+.0f} %, at most {margin:.0f} % are"
        " allowed ({n} fruit, lots: {lots})"
    ),
    WORSE: lambda: _(
        "{target}: the candidate is worse: its error differs by {low:+.0f} to {high:+.0f} % ({n} fruit, lots: {lots})"
    ),
    UNKNOWN: lambda: _(
        "{target}: cannot be told: the candidate's error differs by {low:+.0f} to {high:+.0f} % ({n} fruit, lots: {lots});"
        " bring more fruit, of more lots"
    ),
}


def compare(target: str, reference: Floats, live: Said, candidate: Said, groups: NDArray[Any] | None) -> Comparison:
    """Compare two models on fruit of which both say something.

    Parameters
    ----------
    reference : (n,) of the laboratory. groups : (n,) the lot of each, None if nobody knows. Fruit of one lot share their errors,
        so lots are what is independent; of a single lot or none it is the fruit, and the verdict holds for that lot.

    Raises
    ------
    ValueError : fewer than three fruit.
    """
    n, lots = len(reference), np.unique(groups) if groups is not None else np.zeros(0)
    if n < 3:
        raise ValueError(f"{n} fruit of which both models say something; a comparison takes three at least")
    by_lot = len(lots) > 1
    cluster = np.unique(groups, return_inverse=True)[1] if groups is not None and by_lot else np.arange(n)
    squares = (live.value - reference) ** 2, (candidate.value - reference) ** 2
    ratio, low, high = error_ratio(*squares, cluster)
    return Comparison(
        target, verdict(low, high), n, len(lots), "lot" if by_lot else "fruit", ratio, low, high,
        float(np.mean(squares[1] < squares[0])), _errors(reference, live), _errors(reference, candidate),
    )  # fmt: skip


def verdict(low: float, high: float) -> str:
    """Return what an interval of the ratio of errors says."""
    if high < 1.0:
        return BETTER
    if low > 1.0:
        return WORSE
    return NOT_WORSE if high <= MARGIN else UNKNOWN


def error_ratio(live: Floats, candidate: Floats, cluster: NDArray[Any]) -> tuple[float, float, float]:
    """Return the ratio of two models' RMSEP with its 95 % interval.

    The ratio of two sums over clusters, its variance from how the clusters' own residuals scatter (Cochran 1977, Sampling
    Techniques, 6.4 and 9A), on a logarithmic scale, Student's t with one degree of freedom less than there are clusters, which
    keeps few clusters honest (Cameron, Gelbach and Miller 2008, Rev. Econ. Stat. 90, 414).

    Parameters
    ----------
    live, candidate : (n,) squared errors of the same fruit. cluster : (n,) 0, 1, ... which belong together.
    """
    below, above = float(live.sum()), float(candidate.sum())
    if below <= 0.0 or above <= 0.0:  # a model without any error is on this side of the bench only
        return (1.0, 1.0, 1.0) if below == above else (np.inf if below <= 0.0 else 0.0,) * 3
    mean_square = above / below
    off = np.bincount(cluster, candidate - mean_square * live)
    k = len(off)
    se_log = float(np.sqrt((off**2).sum() * k / (k - 1))) / above
    reach = float(student.ppf(0.5 + CONFIDENCE / 2, k - 1)) * se_log / 2
    ratio = float(np.sqrt(mean_square))
    return ratio, ratio * float(np.exp(-reach)), ratio * float(np.exp(min(reach, 50.0)))


def _errors(reference: Floats, said: Said) -> Errors:
    error = said.value - reference
    bounded = np.isfinite(said.low90) & np.isfinite(said.high90)
    inside = (said.low90 <= reference) & (reference <= said.high90)
    return Errors(
        rmsep=float(np.sqrt((error**2).mean())),
        bias=float(error.mean()),
        sep=float(error.std(ddof=1)),
        covered90=float(inside[bounded].mean()) if bounded.any() else None,
        out_of_domain=float(np.mean(~said.in_domain)) if said.in_domain is not None else None,
    )
