"""Which scans of a passage count, and the absorbance of their mean: one compiled pass, summed in a fixed order."""

from math import sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.elementary import logarithms
from citrus_grade.spectra.scatter import standardise
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
    """Room to work in, made once a call: ``good`` to ``sort`` per bin, ``light`` and ``logs`` per pixel, the rest per block;
    ``shapes`` those of the good scans, one after the other."""

    good: Any
    total: Any
    far: Floats
    sort: Floats
    shapes: Floats
    common: Floats
    block_dark: Floats
    block_lamp: Floats
    light: Any
    exponent: Floats
    logs: Floats


@njit(cache=True, nogil=True)
def room(n_bins: int, n_window: int) -> Scratch:
    """Return room for the scans of one fruit."""
    n_blocks = n_window // BLOCK
    return Scratch(
        np.empty(n_bins, np.bool_), np.empty(n_bins, np.int64), np.empty(n_bins), np.empty(n_bins), np.empty((n_bins, n_blocks)),
        np.empty(n_blocks), np.empty(n_blocks), np.empty(n_blocks), np.empty(n_window, np.uint32),
        np.empty((n_bins, n_blocks)), np.empty(n_window),
    )  # fmt: skip


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
        scan = counts[b, start:stop]  # a slice: an index that might be negative is taken one at a time
        for p in range(len(scan)):
            bright += np.int64(scan[p])
            peak = max(peak, np.int64(scan[p]))
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
def _blocks(scan: Any, dark: Floats, lamp: Floats, out: Floats) -> None:
    """Share of the lamp's light in blocks of `BLOCK` pixels; ``dark`` and ``lamp`` are the blocks' sums."""
    for k in range(len(out)):
        block = scan[k * BLOCK : (k + 1) * BLOCK]
        count: Any = 0
        for p in range(len(block)):
            count += np.int64(block[p])
        out[k] = max(count - dark[k], 0.5) / lamp[k]


@njit(cache=True, nogil=True)
def _shapes(counts: Any, dark: Floats, white: Floats, start: int, work: Scratch) -> None:
    """Shape of every good scan, SNV of its absorbance in blocks, and their common shape: the median, block by block."""
    for k in range(len(work.common)):
        floor, lamp = 0.0, 0.0
        for p in range(start + k * BLOCK, start + (k + 1) * BLOCK):
            floor += dark[p]
            lamp += white[p] - dark[p]
        work.block_dark[k], work.block_lamp[k] = floor, max(lamp, 1.0)
    n_good, n_blocks = 0, len(work.common)
    for b in range(len(work.good)):
        if work.good[b]:
            _blocks(counts[b, start : start + n_blocks * BLOCK], work.block_dark, work.block_lamp, work.shapes[n_good])
            n_good += 1
    some = work.shapes.reshape(-1)[: n_good * n_blocks]
    logarithms(some, work.exponent.reshape(-1)[: n_good * n_blocks], -LOG10_E)
    for i in range(n_good):
        standardise(work.shapes[i])
    for k in range(n_blocks):
        for i in range(n_good):
            work.sort[i] = work.shapes[i, k]
        work.common[k] = _median(work.sort, n_good)


@njit(cache=True, nogil=True)
def _drop_odd(work: Scratch) -> Any:
    """Shape gate; number of scans left and their mean distance from the common shape."""
    n, n_blocks = 0, len(work.common)
    for b in range(len(work.good)):
        if work.good[b]:
            square = 0.0
            for k in range(n_blocks):
                square += (work.shapes[n, k] - work.common[k]) ** 2
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
    light, n = work.light, len(out)
    light[:] = 0
    for b in range(len(work.good)):
        if work.good[b]:
            scan = counts[b, start : start + n]
            for p in range(n):
                light[p] += np.uint32(scan[p])
    floor, lamp = dark[start : start + n], white[start : start + n]
    for p in range(n):
        out[p] = max(light[p] - kept * floor[p], 0.5 * kept) / (max(lamp[p] - floor[p], 1.0) * kept)
    logarithms(out, work.logs, -LOG10_E)


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
