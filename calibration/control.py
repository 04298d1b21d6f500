"""The control chart of reference minus NIR: a two-sided tabular CUSUM a lane, and how long it stays silent or blind.

Every sample's deviation, in standard deviations, less a slack is summed while the sum stays above zero; a sum beyond the limit
says that the level has moved. Page 1954, Biometrika 41, 100; the tabular form as in Montgomery, Introduction to Statistical
Quality Control, chapter 9.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from citrus_grade.calibration.errors import refuse
from citrus_grade.words import _

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SLACK: Final = 0.5
"""In standard deviations: half of the shift that is to be found fastest."""
LIMIT: Final = 5.0
"""In standard deviations: with this slack one false signal in 465 samples, and a shift of one found after 10."""
NODES: Final = 60
"""Of the quadrature behind `run_length`; 24 give four digits."""


@dataclass(frozen=True, slots=True, eq=False)
class Chart:
    """The chart of all lanes between two batches.

    ``sigma`` (n_lanes,) of a sample's reference minus NIR when all is well, in the unit of the trait; ``sums`` (2, n_lanes) up
    and down, in sigma; ``runs`` (2, n_lanes) samples since each sum was last zero; ``seen`` (n_lanes,) samples so far.
    """

    sigma: Floats
    sums: Floats
    runs: Ints
    seen: Ints
    slack: float = SLACK
    limit: float = LIMIT


@dataclass(frozen=True, slots=True)
class Signal:
    """A level that moved: reference minus NIR of ``lane`` by about ``size``, in the unit of the trait and with its sign.

    ``row`` of the batch that gave it, ``sample`` its number in the lane from 1, ``since`` the first sample after the change.
    """

    lane: int
    row: int
    sample: int
    since: int
    size: float


def start(sigma: ArrayLike, slack: float = SLACK, limit: float = LIMIT) -> Chart:
    """Return an empty chart.

    Parameters
    ----------
    sigma : (n_lanes,) standard deviation of a sample's reference minus NIR when all is well: of both errors together.

    Raises
    ------
    CalibrationError : lanes whose sigma is not above zero.
    """
    own = np.atleast_1d(np.asarray(sigma, np.float64))
    text = _("lane {lane}: a control chart needs the standard deviation of reference minus NIR, above zero; {sigma:g} is none")
    refuse(text.format(lane=k, sigma=s) for k, s in enumerate(own) if not (np.isfinite(s) and s > 0))
    n_lanes = len(own)
    return Chart(own, np.zeros((2, n_lanes)), np.zeros((2, n_lanes), np.int64), np.zeros(n_lanes, np.int64), slack, limit)


def follow(chart: Chart, lane: NDArray[np.int_], deviation: Floats) -> tuple[Chart, tuple[Signal, ...]]:
    """Add a batch of samples, in the order they were taken; after a signal the lane starts again from zero.

    Parameters
    ----------
    lane : (n,) of each sample. deviation : (n,) reference minus NIR, in the unit of the trait; NaN (no reference) is passed over.
    """
    sums, runs, seen = chart.sums.copy(), chart.runs.copy(), chart.seen.copy()
    found = []
    for row, (k, value) in enumerate(zip(lane, deviation / chart.sigma[lane], strict=True)):
        if np.isnan(value):
            continue
        seen[k] += 1
        sums[:, k] = np.maximum(sums[:, k] + np.array([value, -value]) - chart.slack, 0.0)
        runs[:, k] = np.where(sums[:, k] > 0, runs[:, k] + 1, 0)
        side = int(np.argmax(sums[:, k]))
        if sums[side, k] > chart.limit:
            size = (chart.slack + sums[side, k] / runs[side, k]) * chart.sigma[k] * (1, -1)[side]
            found.append(Signal(int(k), row, int(seen[k]), int(seen[k] - runs[side, k] + 1), float(size)))
            sums[:, k], runs[:, k] = 0.0, 0
    return replace(chart, sums=sums, runs=runs, seen=seen), tuple(found)


def run_length(slack: float = SLACK, limit: float = LIMIT, shift: float = 0.0) -> float:
    """Return how many samples a two-sided chart takes on average to signal (ARL) once the level has moved by ``shift`` sigma.

    Of normal samples; for each side Page's integral equation by Gauss-Legendre quadrature, then 1/L = 1/L_up + 1/L_down.
    """
    return 1 / sum(1 / _one_sided(slack, limit, own) for own in (shift, -shift))


def _one_sided(slack: float, limit: float, shift: float) -> float:
    """L(u) = 1 + L(0) P(sum falls to zero) + integral of L(x) f(x - u) from 0 to the limit; L(0) is returned."""
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    at = np.concatenate(([0.0], (nodes + 1) / 2 * limit))
    kernel = np.empty((NODES + 1, NODES + 1))
    kernel[:, 0] = norm.cdf(slack - shift - at)
    kernel[:, 1:] = norm.pdf(at[None, 1:] - at[:, None] + slack - shift) * weights / 2 * limit
    return float(np.linalg.solve(np.eye(NODES + 1) - kernel, np.ones(NODES + 1))[0])


def limit_for(samples: float, slack: float = SLACK) -> float:
    """Return the limit, in sigma, that gives one false signal in so many ``samples`` of a lane, 10 to 1e6.

    The search ends above Siegmund's approximation 2 ARL = (exp(2 k h) - 2 k h - 1) / 2 k^2, h being the limit plus 1.17.
    """
    highest = (np.log1p(4 * slack**2 * samples) + 2) / (2 * slack)
    return float(brentq(lambda limit: np.log(run_length(slack, limit) / samples), 1e-3, highest))


def say(signal: Signal, unit: str) -> str:
    """Return the signal as a sentence."""
    text = _(
        "lane {lane}: since sample {since} the reference lies {size:+.2f} {unit} off the NIR value (seen at sample {sample});"
        " check white and dark references, then take samples for a correction"
    )
    return text.format(lane=signal.lane, since=signal.since, size=signal.size, unit=unit, sample=signal.sample)
