"""Reading a table of spectra, whatever file it comes in: what stands in the file decides, not what it is called."""

import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa

from citrus_grade.spectra_table import arrow, delimited, jcamp, npz, ocean, sideways
from citrus_grade.spectra_table.columns import from_columns
from citrus_grade.spectra_table.errors import SpectraTableError, refuse
from citrus_grade.spectra_table.stack import stacked
from citrus_grade.spectra_table.table import Columns, SpectraTable
from citrus_grade.spectra_table.text import lines_of
from citrus_grade.words import _

TEXT: Final = (".csv", ".gz", ".tsv", ".txt", ".asc", ".dat", ".prn", ".jdx", ".dx", ".jcm", ".jcamp", ".scope")
Looks = Callable[[Sequence[str]], bool]
Reader = Callable[[Path, Sequence[str]], SpectraTable]
BINARY: Final = (".parquet", ".npz")
DAMAGE: Final = (pa.ArrowException, zipfile.BadZipFile, EOFError, zlib.error)


def read(path: Path, matrix: str | None = None) -> SpectraTable:
    """Read a table of spectra.

    Parameters
    ----------
    path : a text file (CSV, JCAMP-DX, ENVI and Unscrambler ASCII, Ocean Optics), also packed by gzip, ``.parquet``, ``.npz``, or
        a folder of such files, whose spectra become one table, the file's name their id.
    matrix : of an NPZ with spectra of several instruments, the name of the one to take; of other tables the word that its
        wavelengths' headers share.

    Raises
    ------
    SpectraTableError : missing, unreadable, without wavelengths, or with spectra that cannot be: each place is named.
    """
    if path.is_dir():
        return read_files(files_of(path))
    try:
        return _read(path, matrix)
    except OSError as error:
        raise _unreadable(path, error) from error
    except DAMAGE as error:
        raise _damaged(path, error) from error
    except SpectraTableError:
        raise
    except ValueError as error:
        raise _damaged(path, error) from error


def read_files(paths: Sequence[Path]) -> SpectraTable:
    """Return the spectra of several files on one axis as one table, as `read` does those of a folder."""
    return stacked(paths[0].parent, [read(path) for path in paths])


def read_columns(path: Path) -> Columns:
    """Read a table that may hold no spectra, such as references; see `read`."""
    try:
        if path.suffix.lower() == ".parquet":
            return arrow.read(path)
        if path.suffix.lower() == ".npz":
            return npz.columns_of(path, npz.arrays_of(path))
        return delimited.read(path, lines_of(path))
    except OSError as error:
        raise _unreadable(path, error) from error
    except DAMAGE as error:
        raise _damaged(path, error) from error


def files_of(folder: Path) -> list[Path]:
    """Return the files of a folder that may hold spectra, by name; raise `SpectraTableError` if there are none."""
    found = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in TEXT + BINARY)
    if not found:
        refuse(
            folder, [_("holds no files of spectra ({suffixes}); name another folder").format(suffixes=", ".join(TEXT + BINARY))]
        )
    return found


def _read(path: Path, matrix: str | None) -> SpectraTable:
    if path.suffix.lower() == ".npz":
        return npz.read(path, matrix)
    if path.suffix.lower() == ".parquet":
        return from_columns(arrow.read(path), matrix)
    lines = lines_of(path)
    readers: tuple[tuple[Looks, Reader], ...] = (
        (jcamp.looks_so, jcamp.read),
        (ocean.looks_so, ocean.read),
        (sideways.looks_so, sideways.read),
    )
    for looks_so, own in readers:
        if looks_so(lines):
            return own(path, lines)
    return from_columns(delimited.read(path, lines), matrix)


def _unreadable(path: Path, error: OSError) -> SpectraTableError:
    said = _("{path}: cannot be read ({error}); look at the path")
    return SpectraTableError(said.format(path=path, error=error.strerror or error))


def _damaged(path: Path, error: Exception) -> SpectraTableError:
    return SpectraTableError(_("{path}: cannot be read ({error}); was it damaged in copying?").format(path=path, error=error))
