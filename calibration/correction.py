"""Slope and bias from sample fruit of known sugar or acid: how much of them to believe is chosen by leave-one-out.

A lane's bias is a part that all lanes share (a new season, a new reference) and a part of its own (its spectrometer). Both are
shrunk by how well the samples tell them: a correction from a few fruit harms nobody. The spread of the lanes' own parts is
estimated from the lanes. The slope is of all lanes together: twenty fruit a lane cannot tell the slopes of lanes apart.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.choice import choose
from citrus_grade.calibration.errors import refuse
from citrus_grade.words import N_, _

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_FRUIT: Final = 5
LEAST_FOR_SLOPE: Final = 20
WORST_SLOPE_SIGMA: Final = 0.15
"""A slope less sure than this is not tried: the samples' predictions are too much alike."""
FOLDS: Final = 10
OUTLIER_SIGMAS: Final = 4.5
WORST_OUTLIERS: Final = 0.2
NONE, BIAS, SLOPE = N_("none"), N_("bias"), N_("slope")


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """corrected = ``slope`` * NIR + ``bias`` (n_lanes,); ``common`` is the bias of a lane nothing is known of."""

    slope: float
    bias: Floats
    common: float

    def __call__(self, predicted: Floats, lane: NDArray[np.int_]) -> Floats:
        """Return corrected predictions (n,) of fruit in ``lane`` (n,)."""
        return np.asarray(self.slope * predicted + self.bias[lane], np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class Correction:
    """What is to be done to a model's predictions, and why.

    ``chosen`` is a key of ``loo``; ``line`` does it, and leaves predictions as they are if a candidate from elsewhere was chosen.
    ``loo`` holds each candidate's predictions (n,) of fruit it was made without, NaN at the ``suspicious`` rows, which took no
    part; ``rmse`` their errors; ``n`` (n_lanes,) the fruit that took part. ``honest`` (n,) predictions of every fruit, suspicious
    too, by the candidate that would have been chosen without it and a tenth of the others: the chosen one's own errors look lower
    than they are, for it was chosen by them.
    """

    chosen: str
    reason: str
    line: Line
    loo: Mapping[str, Floats]
    rmse: Mapping[str, float]
    honest: Floats
    n: Ints
    suspicious: tuple[int, ...]


def correct(
    predicted: Floats,
    reference: Floats,
    lane: NDArray[np.int_],
    n_lanes: int,
    others: Mapping[str, Floats] | None = None,
    doubted: NDArray[np.bool_] | None = None,
) -> Correction:
    """Choose among no correction, a shrunk bias, slope and bias, and candidates made elsewhere.

    Parameters
    ----------
    predicted, reference : (n,) of the sample fruit, in the unit of the trait. lane : (n,).
    others : (n,) leave-one-out predictions of further candidates, simplest first, such as a model fitted anew with these fruit;
        they count as less simple than slope and bias.
    doubted : (n,) which references look wrong, by default those that are `suspicious`.

    Raises
    ------
    CalibrationError : values that are none, too few fruit, or so many references far off that they seem to belong to other fruit.
    """
    _check(predicted, reference, lane, n_lanes)
    odd = suspicious(predicted, reference, lane) if doubted is None else doubted
    kept = ~odd
    data = predicted[kept], reference[kept], lane[kept]
    makers: dict[str, Callable[[Floats, Floats, Ints, int], Line]] = {NONE: _as_it_is, BIAS: _bias}
    if _tells_slope(*data):
        makers[SLOPE] = _slope_and_bias
    lines = {name: make(*data, n_lanes) for name, make in makers.items()}
    said = {name: np.array(lines[name](predicted, lane)) for name in makers}
    for name, make in makers.items():
        said[name][kept] = _leave_one_out(make, *data, n_lanes)
    said |= others or {}
    choice = choose({name: values[kept] for name, values in said.items()}, reference[kept], tuple(said))
    return Correction(
        chosen=choice.name,
        reason=choice.reason,
        line=lines.get(choice.name, lines[NONE]),
        loo={name: np.where(kept, values, np.nan) for name, values in said.items()},
        rmse=choice.rmse,
        honest=np.where(kept, _chosen_without(said, reference, kept), said[choice.name]),
        n=np.bincount(lane[kept], minlength=n_lanes),
        suspicious=tuple(int(row) for row in np.flatnonzero(odd)),
    )


def _chosen_without(said: Mapping[str, Floats], reference: Floats, kept: NDArray[np.bool_]) -> Floats:
    """What each kept fruit's value is by the candidate chosen without its fold, NaN elsewhere.

    Tsamardinos, Greasidou and Borboudakis 2018, Machine Learning 107, 1895: choosing again on part of the predictions that are
    there already takes most of the optimism away.
    """
    out, rows = np.full(len(kept), np.nan), np.flatnonzero(kept)
    for k in range(min(FOLDS, len(rows))):
        fold, rest = rows[k::FOLDS], np.delete(rows, np.s_[k::FOLDS])
        name = choose({name: values[rest] for name, values in said.items()}, reference[rest], tuple(said)).name
        out[fold] = said[name][fold]
    return out


def _check(predicted: Floats, reference: Floats, lane: NDArray[np.int_], n_lanes: int) -> None:
    bad = ~(np.isfinite(predicted) & np.isfinite(reference) & (lane >= 0) & (lane < n_lanes))
    text = _("sample row {row}: NIR {nir:g}, reference {reference:g}, lane {lane}: no pair of values of a lane 0 to {last}")
    refuse(
        text.format(row=row, nir=predicted[row], reference=reference[row], lane=lane[row], last=n_lanes - 1)
        for row in np.flatnonzero(bad)
    )
    if len(predicted) < LEAST_FRUIT:
        text = _("{n} sample fruit; at least {least} are needed, 20 in every lane are good")
        refuse([text.format(n=len(predicted), least=LEAST_FRUIT)])
    if np.ptp(reference) == 0:
        refuse([_("all references are {value:g}; look whether they were filled in by hand").format(value=reference[0])])


def suspicious(predicted: Floats, reference: Floats, lane: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Return which references (n,) lie so far off the others' line that they are more likely mistakes than fruit.

    The line is a median one (Theil and Sen's slope within lanes, each lane's median), so the mistakes do not bend it.

    Raises
    ------
    CalibrationError : more than a fifth of them do.
    """
    residual = reference - _median_slope(predicted, reference, lane) * predicted
    for k in np.unique(lane):
        residual[lane == k] -= np.median(residual[lane == k])
    spread = 1.4826 * float(np.median(np.abs(residual)))
    odd = np.asarray(np.abs(residual) > OUTLIER_SIGMAS * max(spread, 1e-9))
    if odd.mean() > WORST_OUTLIERS:
        text = _("{n} of {all} references are far off; do lanes, cups and laboratory values belong to the same fruit?")
        refuse([text.format(n=int(odd.sum()), all=len(odd))])
    return odd


def _median_slope(predicted: Floats, reference: Floats, lane: NDArray[np.int_]) -> float:
    """Median slope of pairs of a lane that differ by more than the median pair does, 1 where there are few."""
    first, second = np.nonzero(np.triu(lane[:, None] == lane, 1))
    across = predicted[second] - predicted[first]
    wide = np.abs(across) > np.median(np.abs(across)) if len(across) else np.zeros(0, np.bool_)
    if wide.sum() < LEAST_FOR_SLOPE or not _tells_slope(predicted, reference, lane):
        return 1.0
    return float(np.median((reference[second] - reference[first])[wide] / across[wide]))


def _tells_slope(predicted: Floats, reference: Floats, lane: NDArray[np.int_]) -> bool:
    if len(predicted) < LEAST_FOR_SLOPE or len(predicted) - len(np.unique(lane)) < LEAST_FOR_SLOPE // 2:
        return False
    return _slope(predicted, reference, lane)[1] <= WORST_SLOPE_SIGMA


def _within(values: Floats, lane: NDArray[np.int_]) -> Floats:
    """Values less their lane's mean."""
    n = np.bincount(lane)
    return np.asarray(values - (np.bincount(lane, values) / np.maximum(n, 1))[lane], np.float64)


def _slope(predicted: Floats, reference: Floats, lane: NDArray[np.int_]) -> tuple[float, float]:
    """Slope of reference on NIR within lanes, and its standard error; infinite if the NIR values are all alike."""
    x, y = _within(predicted, lane), _within(reference, lane)
    squares = float(x @ x)
    if squares <= 1e-12 * len(x):
        return 1.0, np.inf
    slope = float(x @ y) / squares
    freedom = max(len(x) - len(np.unique(lane)) - 1, 1)
    return slope, float(np.sqrt(np.square(y - slope * x).sum() / freedom / squares))


def _as_it_is(predicted: Floats, reference: Floats, lane: Ints, n_lanes: int) -> Line:
    return Line(1.0, np.zeros(n_lanes), 0.0)


def _bias(predicted: Floats, reference: Floats, lane: Ints, n_lanes: int) -> Line:
    common, own = shared_and_own(reference - predicted, lane, n_lanes)
    return Line(1.0, common + own, common)


def _slope_and_bias(predicted: Floats, reference: Floats, lane: Ints, n_lanes: int) -> Line:
    slope, sigma = _slope(predicted, reference, lane)
    slope = 1 + shrunk(slope - 1, sigma**2)
    middle = float(predicted.mean())
    common, own = shared_and_own(reference - predicted - (slope - 1) * (predicted - middle), lane, n_lanes)
    turned = common - (slope - 1) * middle
    return Line(slope, turned + own, turned)


def shrunk(value: float, variance: float) -> float:
    """Return ``value`` times its square over its square plus its variance: its square is the guess of what is to be expected."""
    return value * value**2 / (value**2 + variance) if value else 0.0


def shared_and_own(error: Floats, lane: NDArray[np.int_], n_lanes: int) -> tuple[float, Floats]:
    """Split errors of samples into what all lanes share and each lane's own part, both shrunk by how well they are known.

    Own parts are b s0^2 / (s0^2 + s^2 / n), with s0 the spread between lanes beyond what the samples' spread s explains, by
    DerSimonian and Laird's moment estimate (1986, Controlled Clinical Trials 7, 177); with one lane all is shared.

    Parameters
    ----------
    error : (n,) reference minus NIR. lane : (n,).

    Returns
    -------
    The shared part; (n_lanes,) the lanes' own, zero where a lane has no sample.
    """
    n = np.bincount(lane, minlength=n_lanes)
    seen = n > 0
    mean = np.bincount(lane, error, minlength=n_lanes)[seen] / n[seen]
    variance = float(np.square(_within(error, lane)).sum()) / max(len(error) - int(seen.sum()), 1)
    of_mean = np.maximum(variance, 1e-12) / n[seen]
    between = _between(mean, of_mean)
    weight = 1 / (between + of_mean)
    shared = float(weight @ mean / weight.sum())
    own = np.zeros(n_lanes)
    own[seen] = (mean - shared) * between / (between + of_mean)
    return shrunk(shared, float(1 / weight.sum())), own


def _between(mean: Floats, variance: Floats) -> float:
    weight = 1 / variance
    middle = weight @ mean / weight.sum()
    beyond = weight @ np.square(mean - middle) - (len(mean) - 1)
    room = weight.sum() - np.square(weight).sum() / weight.sum()
    return max(float(beyond / room), 0.0) if len(mean) > 1 else 0.0


def _leave_one_out(
    make: Callable[[Floats, Floats, Ints, int], Line], predicted: Floats, reference: Floats, lane: Ints, n_lanes: int
) -> Floats:
    out = np.empty(len(predicted))
    for row in range(len(predicted)):
        rest = np.arange(len(predicted)) != row
        line = make(predicted[rest], reference[rest], lane[rest], n_lanes)
        out[row] = line(predicted[row : row + 1], lane[row : row + 1])[0]
    return out
