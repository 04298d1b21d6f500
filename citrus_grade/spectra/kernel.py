"""The arithmetic of the spectra: raw counts of a pitch -> traits, one compiled pass, summed in a fixed order.

No fastmath and no BLAS: a row alone gives the same bits as the row in any batch.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import float64, from_dtype, int64, njit, types, uint16, void
from numpy.typing import NDArray

from citrus_grade.spectra.bands import pass_through
from citrus_grade.spectra.expansion import expand
from citrus_grade.spectra.gate import gate_row, room
from citrus_grade.spectra.packed import Packed, Plan, unpack
from citrus_grade.spectra.scatter import normalise
from citrus_grade.spectra.sums import add_rows, dot
from citrus_grade.spectra.traits import MAX_TARGETS, OK, OUT_OF_DOMAIN, TRAITS

Floats = NDArray[np.float64]


class Lanes(NamedTuple):
    """What differs between the rows' lanes: bands ``taps`` (n, n_taps, n_model), ``first`` (n, n_model), ``run`` (n, 2) from
    the pixels of the window to the model's wavelengths; ``correction`` (n, MAX_TARGETS, 2): intercept and slope of each value."""

    taps: Floats
    first: NDArray[np.int64]
    run: NDArray[np.int64]
    correction: Floats


class Work(NamedTuple):
    """Room for one row: absorbance at the model's wavelengths, normalised, its features, these less the model's part, and the
    numbers found."""

    row: Floats
    normal: Floats
    features: Floats
    rest: Floats
    found: Floats
    share: Floats
    gaussians: Floats


@njit(cache=True, nogil=True)
def _work(plan: Plan, n_row: int) -> Work:
    most = max(len(plan.expansions[0].weight), len(plan.expansions[1].weight))
    return Work(
        np.empty(n_row), np.empty(len(plan.weights)), np.empty(len(plan.centre)), np.empty(len(plan.centre)),
        np.empty(len(plan.offsets)), np.empty(len(plan.shapes)), np.empty(most),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _values(plan: Plan, correction: Floats, work: Work, out: Any) -> None:
    """Values of the targets with their intervals; a target the model lacks stays NaN, for its offset is."""
    for j in range(MAX_TARGETS):
        value = correction[j, 0] + correction[j, 1] * work.found[j]
        out.value[j], out.sigma[j] = value, plan.sigma[j]
        out.low90[j], out.high90[j] = value + plan.interval[j, 0], value + plan.interval[j, 1]


@njit(cache=True, nogil=True)
def _mean(row: Floats) -> float:
    """Mean, four points a step."""
    whole, total = len(row) // 4 * 4, 0.0
    for p in range(0, whole, 4):
        total += (row[p] + row[p + 1]) + (row[p + 2] + row[p + 3])
    for p in range(whole, len(row)):
        total += row[p]
    return total / len(row)


@njit(cache=True, nogil=True)
def _stretch(plan: Plan, absorbance: float) -> Any:
    """How much the T2 of a fruit of this mean absorbance is stretched."""
    last, place = len(plan.stretch) - 1, 0.0
    span = (absorbance - plan.darkness[0]) / (plan.darkness[1] - plan.darkness[0])
    if span > 0.0:  # not so for NaN
        place = min(span, 1.0) * last
    k = min(int(place), last - 1)
    return plan.stretch[k] + (place - k) * (plan.stretch[k + 1] - plan.stretch[k])


@njit(cache=True, nogil=True)
def _domain(plan: Plan, work: Work, out: Any) -> None:
    """T2 within the model and Q away from it; beyond a limit the fruit is out of domain."""
    features, rest = work.features, work.rest
    pass_through(plan.after.taps, plan.after.first, plan.after.run, work.normal, features)
    rest[:] = plan.centre
    add_rows(work.found[MAX_TARGETS:], plan.loadings, rest)
    for p in range(len(rest)):
        rest[p] = features[p] - rest[p]
    scores = work.found[MAX_TARGETS : MAX_TARGETS + plan.n_scores]
    t2, q = dot(scores, scores) * _stretch(plan, _mean(work.row)), dot(rest, rest)
    out.t2, out.q = t2, q
    if not (t2 <= plan.limits[0] and q <= plan.limits[1]):
        out.status = OUT_OF_DOMAIN


@njit(cache=True, nogil=True)
def apply_row(plan: Plan, correction: Floats, work: Work, out: Any) -> None:
    """Traits of the absorbance in ``work.row``, at the model's wavelengths."""
    pass_through(plan.before.taps, plan.before.first, plan.before.run, work.row, work.normal)
    normalise(work.normal, plan.scatter, plan.shapes, plan.solver, work.share)
    work.found[:] = plan.offsets
    add_rows(work.normal, plan.weights, work.found)
    if len(work.gaussians):
        work.found[0] += expand(plan.expansions[0], work.found, work.gaussians)
        work.found[1] += expand(plan.expansions[1], work.found, work.gaussians)
    _values(plan, correction, work, out)
    _domain(plan, work, out)


@njit(cache=True, nogil=True)
def _blank(out: Any) -> None:
    out.value[:] = out.sigma[:] = out.low90[:] = out.high90[:] = np.nan
    out.t2 = out.q = np.nan


@njit(cache=True, nogil=True)
def gate(counts: Any, received: Any, dark: Floats, white: Floats, start: int, stop: int, full_scale: int, lanes: Lanes,
         absorbance: Floats, out: Any) -> None:  # fmt: skip
    """Choose scans and write absorbance at the lanes' common wavelengths, as `predict_counts` does: for making models.

    ``counts`` (n, n_bins, n_pixels) uint16; ``received`` (n, n_bins) bool; ``dark`` and ``white`` (n, n_pixels);
    the pixels ``start:stop`` are looked at; ``absorbance`` (n, n_model) and ``out`` (n,) of `TRAITS` are written.
    """
    window = np.empty(stop - start)
    work = room(counts.shape[1], len(window))
    for i in range(len(counts)):
        gate_row(counts[i], received[i], dark[i], white[i], start, full_scale, work, window, out[i])
        pass_through(lanes.taps[i], lanes.first[i], lanes.run[i], window, absorbance[i])
        _blank(out[i])


@njit(cache=True, nogil=True)
def apply(absorbance: Floats, corrections: Floats, model: Packed, out: Any) -> None:
    """Traits of absorbance (n, n_in) at the model's wavelengths, where ``out.status`` is `OK`; ``corrections`` (n, 2, 2)."""
    plan = unpack(model)
    work = _work(plan, absorbance.shape[1])
    for i in range(len(absorbance)):
        if out[i].status == OK:
            work.row[:] = absorbance[i]
            apply_row(plan, corrections[i], work, out[i])


def _given(dtype: Any, ndim: int) -> Any:
    """A contiguous array that is only read: read-only and writable ones share one compilation, made at import."""
    return types.Array(dtype, ndim, "C", readonly=True)


_SCANS = (_given(uint16, 3), _given(types.boolean, 2), _given(float64, 2), _given(float64, 2), int64, int64, int64)
_LANES = (_given(float64, 3), _given(int64, 2), _given(int64, 2), _given(float64, 3))
LANES: Final = types.NamedTuple(_LANES, Lanes)  # type: ignore[no-untyped-call]  # numba has no types
MODEL: Final = types.NamedTuple((_given(float64, 1), _given(int64, 1)), Packed)  # type: ignore[no-untyped-call]  # nor here


@njit(void(*_SCANS, LANES, MODEL, from_dtype(TRAITS)[::1]), cache=True, nogil=True)
def predict_counts(counts: Any, received: Any, dark: Floats, white: Floats, start: int, stop: int, full_scale: int, lanes: Lanes,
                   model: Packed, out: Any) -> None:  # fmt: skip
    """Raw counts of a pitch -> traits: scans chosen, absorbance, the lane's wavelengths, the model."""
    n_bins, n_row, plan = counts.shape[1], lanes.taps.shape[2], unpack(model)
    window = np.empty(stop - start)
    scratch, work = room(n_bins, len(window)), _work(plan, n_row)
    for i in range(len(counts)):
        gate_row(counts[i], received[i], dark[i], white[i], start, full_scale, scratch, window, out[i])
        _blank(out[i])
        if out[i].status == OK:
            pass_through(lanes.taps[i], lanes.first[i], lanes.run[i], window, work.row)
            apply_row(plan, lanes.correction[i], work, out[i])
