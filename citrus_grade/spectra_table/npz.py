"""NPZ archives: an array a column, or matrices of spectra with their axes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade.spectra_table.arrow import rows
from citrus_grade.spectra_table.columns import from_columns
from citrus_grade.spectra_table.errors import SpectraTableError, refuse
from citrus_grade.spectra_table.table import Column, Columns, Floats, SpectraTable, monotone, rising
from citrus_grade.words import _

AXIS: Final = "wavelength_nm"


def read(path: Path, matrix: str | None) -> SpectraTable:
    """Return the table of an archive; ``matrix`` names one of several.

    Raises
    ------
    SpectraTableError : no such matrix, an axis that turns back, or columns of different lengths.
    """
    arrays = arrays_of(path)
    if any(array.ndim == 2 for array in arrays.values()):
        return _from_matrix(path, arrays, matrix)
    return from_columns(columns_of(path, arrays))


def arrays_of(path: Path) -> dict[str, Column]:
    """Return every array of an archive."""
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def columns_of(path: Path, arrays: Mapping[str, Column]) -> Columns:
    """Return the arrays as columns of one table."""
    sizes = {name: array.shape for name, array in arrays.items()}
    first = next(iter(sizes), "")
    odd = [name for name, shape in sizes.items() if len(shape) != 1 or shape != sizes[first]]
    said = _("array {name!r} has the shape {shape} beside {expected} of {first!r}; columns are of one length")
    refuse(path, [said.format(name=name, shape=sizes[name], expected=sizes[first], first=first) for name in odd])
    return Columns(path, rows(sizes[first][0] if first else 0), arrays)


def _from_matrix(path: Path, arrays: Mapping[str, Column], matrix: str | None) -> SpectraTable:
    axes = {name: axis for name, array in arrays.items() if (axis := _axis_of(name, array, arrays)) is not None}
    chosen = matrix or (next(iter(axes)) if len(axes) == 1 else None)
    if chosen not in axes:
        there = ", ".join(sorted(axes)) or _("none: a matrix (n, p) needs its axis (p,) as {axis!r} or 'NAME_wl'").format(
            axis=AXIS
        )
        raise SpectraTableError(_("{path}: name the matrix of spectra to take; there are {there}").format(path=path, there=there))
    monotone(path, axes[chosen], f"{chosen}")
    n = len(arrays[chosen])
    others = {name: array for name, array in arrays.items() if array.shape == (n,)}
    for name, block in arrays.items():
        if block.ndim == 2 and len(block) == n and name not in axes:
            names = next((a for a in arrays.values() if a.dtype.kind == "U" and a.shape == (block.shape[1],)), None)
            if names is not None:
                others |= {str(own): block[:, k] for k, own in enumerate(names)}
    return rising(path, axes[chosen], np.asarray(arrays[chosen], np.float64), others, rows(n))


def _axis_of(name: str, array: Column, arrays: Mapping[str, Column]) -> Floats | None:
    axis = arrays.get(f"{name}_wl", arrays.get(AXIS))
    if axis is None or array.ndim != 2 or array.dtype.kind not in "fiu" or axis.shape != array.shape[1:]:
        return None
    return np.asarray(axis, np.float64)
