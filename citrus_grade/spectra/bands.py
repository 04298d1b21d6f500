"""Linear maps between spectra, kept as the few weights each output has: derivatives, wavelength axes, windows.

``out[q] = sum_j taps[j, q] * in[first[q] + j]``, summed in a fixed order.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.words import _

Floats = NDArray[np.float64]


class Band(NamedTuple):
    """``taps`` (n_taps, n_out); ``first`` (n_out,) index of the first input of each output; ``run`` (2,): the outputs
    ``run[0]:run[1]`` whose inputs move along with them, which is nearly all, and quick."""

    taps: Floats
    first: NDArray[np.int64]
    run: NDArray[np.int64]


def band(taps: Floats, first: NDArray[np.int64]) -> Band:
    """Return a band of these weights, its run found."""
    shift = np.asarray(first) - np.arange(len(first))
    edges = np.flatnonzero(np.diff(shift)) + 1
    starts, stops = np.r_[0, edges], np.r_[edges, len(first)]
    longest = int(np.argmax(stops - starts))
    run = np.array([starts[longest], stops[longest]], np.int64)
    parts = np.ascontiguousarray(taps, np.float64), np.ascontiguousarray(first, np.int64), run
    for part in parts:
        part.setflags(write=False)
    return Band(*parts)


def identity(n: int, start: int = 0) -> Band:
    """Return the map that takes the inputs ``start : start + n`` as they are."""
    return band(np.ones((1, n)), np.arange(start, start + n))


def matrix_of(made: Band, n_in: int) -> Floats:
    """Return the map as a matrix (n_in, n_out): ``out = in @ matrix``."""
    n_taps, n_out = made.taps.shape
    matrix = np.zeros((n_in, n_out))
    for j in range(n_taps):
        matrix[made.first + j, np.arange(n_out)] += made.taps[j]
    return matrix


def from_matrix(matrix: Floats) -> Band:
    """Return a matrix (n_in, n_out) as a band, as narrow as its zeros allow."""
    n_in, n_out = matrix.shape
    used = matrix != 0
    low = np.where(used.any(0), used.argmax(0), 0)
    high = np.where(used.any(0), n_in - used[::-1].argmax(0), 1)
    n_taps = int((high - low).max())
    first = np.minimum(low, n_in - n_taps)
    rows = first + np.arange(n_taps)[:, None]
    return band(matrix[rows, np.arange(n_out)], first)


def interpolation(have_nm: Floats, want_nm: Floats) -> Band:
    """Return the map of spectra on one wavelength axis to another: cubic through the four nearest points (Lagrange).

    A point that the first axis has is taken as it is.

    Parameters
    ----------
    have_nm : (n_in,) rising, at least 4 points. want_nm : (n_out,), within it or half a step beyond.

    Raises
    ------
    ValueError : an axis that does not rise, is too short, or does not reach far enough.
    """
    if len(have_nm) < 4 or not (np.diff(have_nm) > 0).all():
        raise ValueError(_("a wavelength axis needs 4 points or more, each greater than the one before"))
    step = float(np.diff(have_nm).max())
    if want_nm[0] < have_nm[0] - step / 2 or want_nm[-1] > have_nm[-1] + step / 2:
        ends = {"first": have_nm[0], "last": have_nm[-1], "low": want_nm[0], "high": want_nm[-1]}
        raise ValueError(_("the spectra reach from {first:g} to {last:g} nm; needed are {low:g} to {high:g}").format(**ends))
    exact = np.searchsorted(have_nm, want_nm)
    if np.array_equal(have_nm[np.minimum(exact, len(have_nm) - 1)], want_nm):
        return band(np.ones((1, len(want_nm))), exact)
    first = np.clip(np.searchsorted(have_nm, want_nm, "right") - 2, 0, len(have_nm) - 4)
    knots = have_nm[first + np.arange(4)[:, None]]
    taps = np.ones((4, len(want_nm)))
    for j in range(4):
        for other in range(4):
            if other != j:
                taps[j] *= (want_nm - knots[other]) / (knots[j] - knots[other])
    return band(taps, first)


@njit(cache=True, nogil=True)
def pass_through(taps: Floats, first: Any, run: Any, row: Floats, out: Floats) -> None:
    """Map one spectrum: ``row`` (n_in,) -> ``out`` (n_out,)."""
    n_taps, low, high = len(taps), run[0], run[1]
    start, n = first[low], high - low
    inside, odd = out[low:high], n_taps % 2
    # Slices, for an index that might be negative keeps the compiler from taking many points at once.
    weights, values = taps[0, low:high], row[start : start + n]
    for q in range(n):
        inside[q] = weights[q] * values[q] if odd else 0.0
    for j in range(odd, n_taps, 2):
        weights, values = taps[j, low:high], row[start + j : start + j + n]
        more, beside = taps[j + 1, low:high], row[start + j + 1 : start + j + 1 + n]
        for q in range(n):
            inside[q] += weights[q] * values[q] + more[q] * beside[q]
    for q in range(low):
        out[q] = _one(taps, first[q], row, q)
    for q in range(high, len(out)):
        out[q] = _one(taps, first[q], row, q)


@njit(cache=True, nogil=True)
def _one(taps: Floats, first: int, row: Floats, q: int) -> float:
    total = 0.0
    for j in range(len(taps)):
        total += taps[j, q] * row[first + j]
    return total
