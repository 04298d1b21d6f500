"""The arithmetic of the spectra: one compiled pass over a pitch, summed in a fixed order.

No fastmath and no BLAS: a row alone gives the same bits as the row in any batch.
"""

from math import log, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numba import float64, from_dtype, int64, njit, types, uint16, void
from numpy.typing import NDArray

from citrus_grade.spectra.traits import MISSING, OK, OUT_OF_DOMAIN, SATURATED, TRAITS

Floats = NDArray[np.float64]

MIN_SCANS: Final = 3
BRIGHT: Final = 2.5
"""A scan brighter than this many times the second darkest one saw light past the fruit."""
ODD: Final = 2.5
"""A scan whose shape lies this many median distances from the common shape is left out."""
BLOCK: Final = 16
"""Pixels added up to judge a scan's shape: enough to quiet the noise, few enough to be quick."""
LOG10_E: Final = 0.4342944819032518


def _given(dtype: Any, ndim: int) -> Any:
    """A contiguous array that is only read: read-only and writable ones share one compilation, made at import."""
    return types.Array(dtype, ndim, "C", readonly=True)


_ROW, _TABLE, _OUT = _given(float64, 1), _given(float64, 2), from_dtype(TRAITS)[::1]
_SCANS = (_given(uint16, 3), _given(types.boolean, 2), _TABLE, _TABLE, int64, int64)
_MODEL = (_TABLE, _ROW, _ROW, _TABLE, _ROW, _TABLE, _ROW)


class Scratch(NamedTuple):
    """Room to work in, made once a call: ``good`` to ``sort`` per bin, ``light`` per pixel, the rest per block."""

    good: Any
    total: Any
    far: Floats
    sort: Floats
    shapes: Floats
    common: Floats
    block_dark: Floats
    block_lamp: Floats
    light: Any


@njit(cache=True, nogil=True)
def _measure(counts: Any, received: Any, start: int, stop: int, full_scale: int, work: Scratch) -> tuple[int, int]:
    """Sum each scan over the window and mark the unclipped ones; (received, clipped)."""
    n_received, n_clipped = 0, 0
    for b in range(len(received)):
        work.good[b] = False
        if not received[b]:
            continue
        n_received += 1
        peak: Any = 0
        bright: Any = 0
        for p in range(start, stop):
            bright += np.int64(counts[b, p])
            peak = max(peak, np.int64(counts[b, p]))
        work.total[b] = bright
        work.good[b] = peak < full_scale
        n_clipped += peak >= full_scale
    return n_received, n_clipped


@njit(cache=True, nogil=True)
def _drop_bright(work: Scratch, dark_total: float) -> int:
    """Intensity gate; number of scans left."""
    darkest, second = np.inf, np.inf
    for b in range(len(work.good)):
        if work.good[b]:
            bright = work.total[b] - dark_total
            if bright < darkest:
                darkest, second = bright, darkest
            elif bright < second:
                second = bright
    left = 0
    for b in range(len(work.good)):
        if work.good[b]:
            work.good[b] = work.total[b] - dark_total < BRIGHT * second
            left += work.good[b]
    return left


@njit(cache=True, nogil=True)
def _standardise(row: Floats) -> None:
    """SNV in place: mean 0, population sd 1. A constant row becomes zeros."""
    mean = 0.0
    for p in range(len(row)):
        mean += row[p]
    mean /= len(row)
    square = 0.0
    for p in range(len(row)):
        square += (row[p] - mean) ** 2
    scale = 1.0 / sqrt(square / len(row)) if square > 0.0 else 0.0
    for p in range(len(row)):
        row[p] = (row[p] - mean) * scale


@njit(cache=True, nogil=True)
def _median(values: Floats, n: int) -> Any:
    """Median of the first ``n``, which it sorts: n is a handful."""
    for i in range(1, n):
        value = values[i]
        j = i - 1
        while j >= 0 and values[j] > value:
            values[j + 1] = values[j]
            j -= 1
        values[j + 1] = value
    return 0.5 * (values[(n - 1) // 2] + values[n // 2])


@njit(cache=True, nogil=True)
def _shape(scan: Any, start: int, dark: Floats, lamp: Floats, out: Floats) -> None:
    """SNV of a scan's absorbance in blocks of `BLOCK` pixels; ``dark`` and ``lamp`` are the blocks' sums."""
    for k in range(len(out)):
        first = start + k * BLOCK
        count: Any = 0
        for p in range(BLOCK):
            count += np.int64(scan[first + p])
        out[k] = -LOG10_E * log(max(count - dark[k], 0.5) / lamp[k])
    _standardise(out)


@njit(cache=True, nogil=True)
def _shapes(counts: Any, dark: Floats, white: Floats, start: int, work: Scratch) -> None:
    """Shape of every good scan, and their common shape: the median, block by block."""
    for k in range(len(work.common)):
        floor, lamp = 0.0, 0.0
        for p in range(start + k * BLOCK, start + (k + 1) * BLOCK):
            floor += dark[p]
            lamp += white[p] - dark[p]
        work.block_dark[k], work.block_lamp[k] = floor, max(lamp, 1.0)
    for b in range(len(work.good)):
        if work.good[b]:
            _shape(counts[b], start, work.block_dark, work.block_lamp, work.shapes[b])
    for k in range(len(work.common)):
        n = 0
        for b in range(len(work.good)):
            if work.good[b]:
                work.sort[n] = work.shapes[b, k]
                n += 1
        work.common[k] = _median(work.sort, n)


@njit(cache=True, nogil=True)
def _drop_odd(work: Scratch) -> Any:
    """Shape gate; number of scans left and their mean distance from the common shape."""
    n, n_blocks = 0, len(work.common)
    for b in range(len(work.good)):
        if work.good[b]:
            square = 0.0
            for k in range(n_blocks):
                square += (work.shapes[b, k] - work.common[k]) ** 2
            work.far[b] = sqrt(square / n_blocks)
            work.sort[n] = work.far[b]
            n += 1
    limit = ODD * _median(work.sort, n)
    left, spread = 0, 0.0
    for b in range(len(work.good)):
        if work.good[b]:
            work.good[b] = work.far[b] <= limit
            if work.good[b]:
                left += 1
                spread += work.far[b]
    return left, spread / left


@njit(cache=True, nogil=True)
def _absorb(counts: Any, kept: int, dark: Floats, white: Floats, start: int, work: Scratch, out: Floats) -> None:
    """Absorbance of the mean of the good scans: counts are added as integers, the logarithm comes last."""
    light = work.light
    light[:] = 0
    for b in range(len(work.good)):
        if work.good[b]:
            for p in range(len(out)):
                light[p] += np.uint32(counts[b, start + p])
    for p in range(len(out)):
        floor = dark[start + p]
        through = max(light[p] - kept * floor, 0.5 * kept)
        lamp = max(white[start + p] - floor, 1.0) * kept
        out[p] = -LOG10_E * log(through / lamp)


@njit(cache=True, nogil=True)
def _gate_row(
    counts: Any,
    received: Any,
    dark: Floats,
    white: Floats,
    start: int,
    full_scale: int,
    work: Scratch,
    absorbance: Floats,
    out: Any,
) -> None:
    """Choose the scans of one fruit, write its absorbance and how it came about."""
    stop = start + len(absorbance)
    n_received, n_clipped = _measure(counts, received, start, stop, full_scale, work)
    dark_total = 0.0
    for p in range(start, stop):
        dark_total += dark[p]
    kept, spread = _drop_bright(work, dark_total), np.nan
    if kept >= MIN_SCANS:
        _shapes(counts, dark, white, start, work)
        kept, spread = _drop_odd(work)
    out.scans_received, out.scans_kept, out.clipped_scans = n_received, kept, n_clipped
    if kept >= MIN_SCANS:
        out.status, out.scan_spread = OK, spread
        _absorb(counts, kept, dark, white, start, work, absorbance)
    else:
        out.status = SATURATED if kept + n_clipped >= MIN_SCANS and n_clipped > 0 else MISSING
        out.scan_spread = np.nan
        absorbance[:] = np.nan


@njit(cache=True, nogil=True)
def _derive(z: Floats, taps: Floats, out: Floats) -> None:
    """Savitzky-Golay derivative; ``taps`` (n_taps, n) hold each pixel's weights, the ends use the outermost full window."""
    n_taps, n = taps.shape
    half = n_taps // 2
    out[:] = 0.0
    for j in range(n_taps):
        for p in range(half, n - half):
            out[p] += taps[j, p] * z[p + j - half]
        for p in range(half):
            out[p] += taps[j, p] * z[j]
            out[n - half + p] += taps[j, n - half + p] * z[n - n_taps + j]


@njit(cache=True, nogil=True)
def _apply_row(z: Floats, weights: Floats, offsets: Floats, sigma: Floats, taps: Floats, centre: Floats, loadings: Floats,
               limits: Floats, found: Floats, rest: Floats, out: Any) -> None:  # fmt: skip
    """Absorbance -> values, T2, Q. ``z`` is used up; ``weights`` (n, 2 + k): two targets, then the scores of unit variance."""
    _standardise(z)
    found[:] = offsets
    for p in range(len(z)):
        for j in range(weights.shape[1]):
            found[j] += z[p] * weights[p, j]
    _derive(z, taps, rest)
    for p in range(len(z)):
        rest[p] -= centre[p]
    t2, q = 0.0, 0.0
    for k in range(len(loadings)):
        score = found[len(sigma) + k]
        t2 += score * score
        for p in range(len(z)):
            rest[p] -= score * loadings[k, p]
    for p in range(len(z)):
        q += rest[p] * rest[p]
    for j in range(len(sigma)):
        out.value[j], out.sigma[j] = found[j], sigma[j]
    out.t2, out.q = t2, q
    if not (t2 <= limits[0] and q <= limits[1]):
        out.status = OUT_OF_DOMAIN


@njit(cache=True, nogil=True)
def _blank(out: Any) -> None:
    out.value[0] = out.value[1] = out.sigma[0] = out.sigma[1] = np.nan
    out.t2 = out.q = np.nan


@njit(cache=True, nogil=True)
def gate(counts: Any, received: Any, dark: Floats, white: Floats, start: int, full_scale: int, absorbance: Floats, out: Any
         ) -> None:  # fmt: skip
    """Choose scans and write absorbance, as `predict_counts` does: for making models with the very same arithmetic.

    ``counts`` (n, n_bins, n_pixels) uint16; ``received`` (n, n_bins) bool; ``dark`` and ``white`` (n, n_pixels);
    ``absorbance`` (n, n_window) and ``out`` (n,) of `TRAITS` are written.
    """
    n_bins, n_window = counts.shape[1], absorbance.shape[1]
    n_blocks = n_window // BLOCK
    work = Scratch(
        np.empty(n_bins, np.bool_), np.empty(n_bins, np.int64), np.empty(n_bins), np.empty(n_bins), np.empty((n_bins, n_blocks)),
        np.empty(n_blocks), np.empty(n_blocks), np.empty(n_blocks), np.empty(n_window, np.uint32),
    )  # fmt: skip
    for i in range(len(counts)):
        _gate_row(counts[i], received[i], dark[i], white[i], start, full_scale, work, absorbance[i], out[i])
        _blank(out[i])


@njit(cache=True, nogil=True)
def apply(absorbance: Floats, weights: Floats, offsets: Floats, sigma: Floats, taps: Floats, centre: Floats, loadings: Floats,
          limits: Floats, out: Any) -> None:  # fmt: skip
    """Values, T2 and Q of ``absorbance`` (n, n_window), which is used up, where ``out.status`` is `OK`."""
    found, rest = np.empty(weights.shape[1]), np.empty(absorbance.shape[1])
    for i in range(len(absorbance)):
        if out[i].status == OK:
            _apply_row(absorbance[i], weights, offsets, sigma, taps, centre, loadings, limits, found, rest, out[i])


@njit(void(*_SCANS, *_MODEL, _OUT), cache=True, nogil=True)
def predict_counts(counts: Any, received: Any, dark: Floats, white: Floats, start: int, full_scale: int, weights: Floats,
                   offsets: Floats, sigma: Floats, taps: Floats, centre: Floats, loadings: Floats, limits: Floats, out: Any
                   ) -> None:  # fmt: skip
    """Raw counts of a pitch -> traits: `gate`, then `apply`."""
    absorbance = np.empty((len(counts), len(centre)))
    gate(counts, received, dark, white, start, full_scale, absorbance, out)
    apply(absorbance, weights, offsets, sigma, taps, centre, loadings, limits, out)
