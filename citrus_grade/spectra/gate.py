"""Which scans of a passage count, and the absorbance of their mean: one compiled pass, summed in a fixed order."""

from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.elementary import logarithm
from citrus_grade.spectra.sums import total
from citrus_grade.spectra.traits import MISSING, OK, SATURATED

Floats = NDArray[np.float64]

MIN_SCANS: Final = 3
BRIGHT: Final = 2.5
"""A scan brighter than this many times the second darkest one saw light past the fruit."""
ODD: Final = 2.5
"""A scan whose shape lies this many median distances from the common shape is left out."""
BLOCK: Final = 16
"""Pixels added up to judge a scan's shape: enough to quiet the noise, few enough to be quick."""
LOG10_E: Final = 0.4342944819032518


class Scratch(NamedTuple):
    """Room to work in, made once a call: ``good`` to ``sort`` per bin, ``light`` per pixel, ``common`` to ``lamp`` per block;
    ``sums`` of counts (n_bins, n_blocks); ``shapes`` and ``sorted`` of the good scans, one after the other, (n_blocks, n_bins)
    and (n_bins, n_blocks)."""

    good: Any
    total: Any
    far: Floats
    mean: Floats
    sort: Floats
    sums: Any
    shapes: Floats
    sorted: Floats
    common: Floats
    floor: Floats
    lamp: Floats
    light: Any


@njit(cache=True, nogil=True)
def room(n_bins: int, n_window: int) -> Scratch:
    """Return room for the scans of one fruit."""
    n_blocks = n_window // BLOCK
    return Scratch(
        np.empty(n_bins, np.bool_), np.empty(n_bins, np.int64), np.empty(n_bins), np.empty(n_bins), np.empty(n_bins),
        np.empty((n_bins, n_blocks), np.uint32), np.empty((n_blocks, n_bins)), np.empty((n_bins, n_blocks)), np.empty(n_blocks),
        np.empty(n_blocks), np.empty(n_blocks), np.empty(n_window, np.uint32),
    )  # fmt: skip


@njit(cache=True, nogil=True)
def _measure(counts: Any, received: Any, start: int, stop: int, full_scale: int, work: Scratch) -> tuple[int, int]:
    """Sum each scan over the window, in blocks and whole, and mark the unclipped ones; (received, clipped)."""
    n_received, n_clipped, good, sums = 0, 0, work.good, work.sums
    n_blocks = sums.shape[1]
    for b in range(len(received)):
        good[b] = False
        if not received[b]:
            continue
        scan = counts[b, start:stop]  # a slice: an index that might be negative is taken one at a time
        peak: Any = np.uint16(0)
        bright: Any = np.int64(0)
        for p in range(len(scan)):
            peak = scan[p] if scan[p] > peak else peak
        for k in range(n_blocks):
            count = np.uint32(0)
            for p in range(k * BLOCK, (k + 1) * BLOCK):
                count = np.uint32(count + scan[p])
            sums[b, k] = count
            bright += count
        for p in range(n_blocks * BLOCK, len(scan)):
            bright += scan[p]
        work.total[b] = bright
        good[b] = peak < full_scale
        n_received += 1
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


@njit(cache=True, nogil=True, error_model="numpy")
def _standardise(shapes: Floats, n: int, mean: Floats, scale: Floats) -> None:
    """SNV of each of the first ``n`` columns."""
    n_blocks = len(shapes)
    mean[:] = 0.0
    scale[:] = 0.0
    for k in range(n_blocks):
        for i in range(n):
            mean[i] += shapes[k, i]
    for i in range(n):
        mean[i] /= n_blocks
    for k in range(n_blocks):
        for i in range(n):
            shapes[k, i] -= mean[i]
            scale[i] += shapes[k, i] * shapes[k, i]
    for i in range(n):
        scale[i] = 1.0 / sqrt(scale[i] / n_blocks) if scale[i] > 0.0 else 0.0
    for k in range(n_blocks):
        for i in range(n):
            shapes[k, i] *= scale[i]


@njit(cache=True, nogil=True)
def _sort_columns(values: Floats, n: int) -> None:
    """Sort the first ``n`` rows, column by column: every column takes the same steps, so that none waits for a guess."""
    for last in range(n - 1, 0, -1):
        for i in range(last):
            upper, lower = values[i], values[i + 1]
            for k in range(len(upper)):
                a, b = upper[k], lower[k]
                upper[k] = a if a < b else b
                lower[k] = b if a < b else a


@njit(cache=True, nogil=True, error_model="numpy")
def _shapes(dark: Floats, white: Floats, start: int, work: Scratch) -> None:
    """Shape of every good scan, SNV of its absorbance in blocks, and their common shape: the median, block by block."""
    n_good, n_blocks, shapes, sums, floor, lamp = 0, len(work.common), work.shapes, work.sums, work.floor, work.lamp
    for k in range(n_blocks):
        below, above = 0.0, 0.0
        for p in range(start + k * BLOCK, start + (k + 1) * BLOCK):
            below += dark[p]
            above += white[p]
        floor[k], lamp[k] = below, 1.0 / max(above - below, 1.0)
    for b in range(len(work.good)):
        if work.good[b]:
            for k in range(n_blocks):
                shapes[k, n_good] = max(sums[b, k] - floor[k], 0.5) * lamp[k]
            n_good += 1
    shapes[:, n_good:] = 1.0
    flat = shapes.reshape(-1)
    for i in range(len(flat)):
        flat[i] = -logarithm(flat[i])
    _standardise(shapes, n_good, work.mean, work.far)
    for k in range(n_blocks):
        for i in range(n_good):
            work.sorted[i, k] = shapes[k, i]
    _sort_columns(work.sorted, n_good)
    low, high = work.sorted[(n_good - 1) // 2], work.sorted[n_good // 2]
    for k in range(n_blocks):
        work.common[k] = 0.5 * (low[k] + high[k])


@njit(cache=True, nogil=True, error_model="numpy")
def _drop_odd(work: Scratch) -> Any:
    """Shape gate; number of scans left and their mean distance from the common shape."""
    n, n_blocks, square = 0, len(work.common), work.mean
    square[:] = 0.0
    for k in range(n_blocks):
        for i in range(len(square)):
            square[i] += (work.shapes[k, i] - work.common[k]) ** 2
    for b in range(len(work.good)):
        if work.good[b]:
            work.far[b] = sqrt(square[n] / n_blocks)
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


@njit(cache=True, nogil=True, error_model="numpy")
def _absorb(counts: Any, kept: int, dark: Floats, white: Floats, start: int, work: Scratch, out: Floats) -> None:
    """Absorbance of the mean of the good scans: counts are added as integers, the logarithm comes last."""
    light, n = work.light, len(out)
    light[:] = 0
    for b in range(len(work.good)):
        if work.good[b]:
            scan = counts[b, start : start + n]
            for p in range(n):
                light[p] = np.uint32(light[p] + scan[p])
    floor, lamp = dark[start : start + n], white[start : start + n]
    for p in range(n):
        above, span = light[p] - kept * floor[p], lamp[p] - floor[p]
        above = above if above > 0.5 * kept else 0.5 * kept
        span = span if span > 1.0 else 1.0
        out[p] = -LOG10_E * logarithm(above / (span * kept))


@njit(cache=True, nogil=True)
def gate_row(
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
    kept, spread = _drop_bright(work, total(dark[start:stop])), np.nan
    if kept >= MIN_SCANS:
        _shapes(dark, white, start, work)
        kept, spread = _drop_odd(work)
    out.scans_received, out.scans_kept, out.clipped_scans = n_received, kept, n_clipped
    if kept >= MIN_SCANS:
        out.status, out.scan_spread = OK, spread
        _absorb(counts, kept, dark, white, start, work, absorbance)
    else:
        out.status = SATURATED if kept + n_clipped >= MIN_SCANS and n_clipped > 0 else MISSING
        out.scan_spread = np.nan
        absorbance[:] = np.nan
