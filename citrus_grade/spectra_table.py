"""Tables of spectra from files: one row a sample, one column a wavelength, the other columns what is known of the sample.

In CSV and Parquet the columns whose header is a number are the wavelengths, in nm. An NPZ holds the same, an array a column, or
a matrix (n, p) with its axis (p,) named ``wavelength_nm``, or ``NAME_wl`` for a matrix ``NAME``.
"""

import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Column = NDArray[Any]  # numbers or text, as the file has it
AXIS: Final = "wavelength_nm"


class SpectraTableError(ValueError):
    """A table of spectra that cannot be used; the message says which file, what is wrong and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class SpectraTable:
    """``wavelength_nm`` (p,) rising; ``spectra`` (n, p) as the file has them; ``columns`` (n,) each, numbers or text."""

    path: Path
    wavelength_nm: Floats
    spectra: Floats
    columns: Mapping[str, Column]

    def numbers(self, name: str) -> Floats:
        """Return a column of numbers, NaN where the file has none.

        Raises
        ------
        SpectraTableError : no such column, or it holds text.
        """
        column = self.column(name)
        if column.dtype.kind not in "fiub":
            raise SpectraTableError(f"{self.path}: column {name!r} holds text, not numbers; name the column of reference values")
        return np.asarray(column, np.float64)

    def column(self, name: str) -> Column:
        """Return a column as the file has it; see `numbers`."""
        if name not in self.columns:
            there = ", ".join(self.columns) or "none but wavelengths"
            raise SpectraTableError(f"{self.path}: has no column {name!r}; there are {there}")
        return self.columns[name]

    def on_axis(self, wavelength_nm: Floats) -> Floats:
        """Return the spectra (n, len(wavelength_nm)) on another axis, interpolated linearly.

        Raises
        ------
        SpectraTableError : the axis reaches beyond the table's.
        """
        first, last = self.wavelength_nm[0], self.wavelength_nm[-1]
        if wavelength_nm[0] < first or wavelength_nm[-1] > last:
            raise SpectraTableError(
                f"{self.path}: holds {first:g}-{last:g} nm, not {wavelength_nm[0]:g}-{wavelength_nm[-1]:g} nm; narrow the range"
            )
        return np.array([np.interp(wavelength_nm, self.wavelength_nm, row) for row in self.spectra])


def read(path: Path, matrix: str | None = None) -> SpectraTable:
    """Read a table of spectra.

    Parameters
    ----------
    path : ``.csv``, ``.parquet`` or ``.npz``.
    matrix : of an NPZ with spectra of several instruments, the name of the one to take.

    Raises
    ------
    SpectraTableError : missing, unreadable, without wavelengths, or a wavelength given twice.
    """
    readers: dict[str, Callable[[Path], dict[str, Column]]] = {".csv": _csv, ".parquet": _parquet, ".npz": _npz}
    if path.suffix.lower() not in readers:
        raise SpectraTableError(f"{path}: is no {', '.join(readers)} file; convert it to one of these")
    try:
        columns = readers[path.suffix.lower()](path)
    except OSError as error:
        raise SpectraTableError(f"{path}: cannot be read ({error.strerror or error}); look at the path") from error
    except (pa.ArrowException, ValueError, zipfile.BadZipFile) as error:
        raise SpectraTableError(f"{path}: cannot be read ({error}); was it damaged in copying?") from error
    if path.suffix.lower() == ".npz" and any(column.ndim == 2 for column in columns.values()):
        return _from_matrix(path, columns, matrix)
    return _from_columns(path, columns)


def _csv(path: Path) -> dict[str, Column]:
    return _arrow(pyarrow.csv.read_csv(path))


def _parquet(path: Path) -> dict[str, Column]:
    return _arrow(pyarrow.parquet.read_table(path))


def _npz(path: Path) -> dict[str, Column]:
    with np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def _arrow(table: pa.Table) -> dict[str, Column]:
    return {name: _array(table[name]) for name in table.column_names}


def _array(column: pa.ChunkedArray) -> Column:
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        return np.asarray(column.to_numpy())
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)


def _nm(header: str) -> float | None:
    try:
        value = float(header)
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _from_columns(path: Path, columns: Mapping[str, Column]) -> SpectraTable:
    bands = {name: nm for name in columns if (nm := _nm(name)) is not None}
    if len(bands) < 2:
        raise SpectraTableError(f"{path}: no headers that are wavelengths in nm, such as 650 or 651.5; name the columns so")
    text = [name for name in bands if columns[name].dtype.kind not in "fiub"]
    if text:
        raise SpectraTableError(f"{path}: column {text[0]!r} holds text where a spectrum's number is expected; mend that column")
    spectra = np.column_stack([np.asarray(columns[name], np.float64) for name in bands])
    others = {name: column for name, column in columns.items() if name not in bands}
    return _rising(path, np.array(list(bands.values())), spectra, others)


def _from_matrix(path: Path, arrays: Mapping[str, Column], matrix: str | None) -> SpectraTable:
    axes = {name: axis for name, array in arrays.items() if (axis := _axis_of(name, array, arrays)) is not None}
    chosen = matrix or (next(iter(axes)) if len(axes) == 1 else None)
    if chosen not in axes:
        there = ", ".join(sorted(axes)) or f"none: a matrix (n, p) needs its axis (p,) as {AXIS!r} or 'NAME_wl'"
        raise SpectraTableError(f"{path}: name the matrix of spectra to take; there are {there}")
    n = len(arrays[chosen])
    others = {name: array for name, array in arrays.items() if array.shape == (n,)}
    for name, block in arrays.items():
        if block.ndim == 2 and len(block) == n and name not in axes:
            names = next((a for a in arrays.values() if a.dtype.kind == "U" and a.shape == (block.shape[1],)), None)
            if names is not None:
                others |= {str(own): block[:, k] for k, own in enumerate(names)}
    return _rising(path, axes[chosen], np.asarray(arrays[chosen], np.float64), others)


def _axis_of(name: str, array: Column, arrays: Mapping[str, Column]) -> Floats | None:
    axis = arrays.get(f"{name}_wl", arrays.get(AXIS))
    if axis is None or array.ndim != 2 or array.dtype.kind not in "fiu" or axis.shape != array.shape[1:]:
        return None
    return np.asarray(axis, np.float64)


def _rising(path: Path, wavelength_nm: Floats, spectra: Floats, columns: Mapping[str, Column]) -> SpectraTable:
    order = np.argsort(wavelength_nm, kind="stable")
    rising = wavelength_nm[order]
    twice = rising[1:][np.diff(rising) == 0]
    if len(twice):
        raise SpectraTableError(f"{path}: the wavelength {twice[0]:g} nm stands twice; keep one of the two columns")
    return SpectraTable(path, rising, np.ascontiguousarray(spectra[:, order]), columns)
