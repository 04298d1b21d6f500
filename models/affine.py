"""Affine maps found by asking: what a function makes of zeros and of the identity, proved on rows it will meet."""

import warnings
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PROVED: Final = 1e-10
"""How far a map found may be from the function, in the size of its largest value."""


class Affine(NamedTuple):
    """``rows @ matrix + offset``: ``matrix`` (n_in, n_out), ``offset`` (n_out,)."""

    matrix: Floats
    offset: Floats

    def of(self, rows: Floats) -> Floats:
        """Return what it makes of rows (n, n_in)."""
        return np.asarray(rows @ self.matrix + self.offset, np.float64)


def unit(n: int) -> Affine:
    """Return the map that changes nothing."""
    return Affine(np.eye(n), np.zeros(n))


def then(first: Affine, second: Affine) -> Affine:
    """Return ``second`` after ``first``."""
    return Affine(first.matrix @ second.matrix, second.of(first.offset))


def probe(function: Callable[[Any], Any], rows: Floats) -> Affine | None:
    """Return a function as an affine map, None where it is none.

    Parameters
    ----------
    function : (n, n_in) -> (n, n_out) or (n,). rows : (n, n_in) that the map is proved on.
    """
    n = rows.shape[1]
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # zeros are no spectra, and some functions say so
            offset, ones, wanted = (_table(function(given)) for given in (np.zeros((1, n)), np.eye(n), rows))
            found = Affine(ones - offset, offset[0])
            off = float(np.abs(found.of(rows) - wanted).max(initial=0.0))
    except (ValueError, TypeError, ZeroDivisionError, np.linalg.LinAlgError):
        return None
    size = max(float(np.abs(wanted).max(initial=0.0)), np.finfo(float).tiny)
    return found if off <= PROVED * size else None  # NaN is not within either


def _table(given: Any) -> Floats:
    values = np.asarray(given, np.float64)
    return values.reshape(len(values), -1)
