"""Row-wise normalisation against scatter and path length: SNV, MSC, EMSC.

SNV: Barnes, Dhanoa and Lister 1989, Appl. Spectrosc. 43, 772. MSC: Geladi, MacDougall and Martens 1985, Appl. Spectrosc. 39,
491. EMSC: Martens and Stark 1991, J. Pharm. Biomed. Anal. 9, 625.
"""

from math import sqrt
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.sums import dot, total

Floats = NDArray[np.float64]

NONE: Final = 0
SNV: Final = 1
"""A row's own mean 0 and population sd 1."""
FITTED: Final = 2
"""A row is fitted by a reference and other shapes; the others are taken off, what is left is divided by the reference's share."""


@njit(cache=True, nogil=True)
def standardise(row: Floats) -> None:
    """SNV in place. A constant row becomes zeros."""
    mean = total(row) / len(row)
    for p in range(len(row)):
        row[p] -= mean
    square = dot(row, row)
    scale = 1.0 / sqrt(square / len(row)) if square > 0.0 else 0.0
    for p in range(len(row)):
        row[p] *= scale


@njit(cache=True, nogil=True)
def _fit_out(row: Floats, shapes: Floats, solver: Floats, share: Floats) -> None:
    """Take the shapes but the first off a row, and divide by the share of the first; a row without any becomes NaN."""
    share[:] = 0.0
    for p in range(len(row)):
        for s in range(len(shapes)):
            share[s] += row[p] * solver[p, s]
    for s in range(1, len(shapes)):
        for p in range(len(row)):
            row[p] -= share[s] * shapes[s, p]
    scale = 1.0 / share[0] if share[0] != 0.0 else np.nan
    for p in range(len(row)):
        row[p] *= scale


@njit(cache=True, nogil=True)
def normalise(row: Floats, kind: int, shapes: Floats, solver: Floats, share: Floats) -> None:
    """Normalise one spectrum in place.

    Parameters
    ----------
    row : (n,) absorbance. kind : `NONE`, `SNV` or `FITTED`.
    shapes : (m, n), the reference first; solver : (n, m), their pseudo-inverse; share : (m,), to work in. Only of `FITTED`.
    """
    if kind == SNV:
        standardise(row)
    elif kind == FITTED:
        _fit_out(row, shapes, solver, share)


def rows(spectra: Any, kind: int, shapes: Floats) -> Floats:
    """Normalise many spectra (n, n_points) at once, in NumPy: for making models, and the kernel's oracle."""
    if kind == SNV:
        centred = spectra - spectra.mean(1, keepdims=True)
        sd = centred.std(1, keepdims=True)
        return np.asarray(np.divide(centred, sd, out=np.zeros_like(centred), where=sd > 0), np.float64)
    if kind == FITTED:
        share = spectra @ np.linalg.pinv(shapes)
        return np.asarray((spectra - share[:, 1:] @ shapes[1:]) / share[:, :1], np.float64)
    return np.asarray(spectra, np.float64)
