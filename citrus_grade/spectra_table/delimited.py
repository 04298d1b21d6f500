"""CSV and its kin: comma, semicolon, tab, bar or blanks between cells, decimal point or comma, a few lines before the header."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
from numpy.typing import NDArray

from citrus_grade.spectra_table.arrow import array
from citrus_grade.spectra_table.cells import MISSING, number
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.headers import RenamedError, TwoFamiliesError, bands, headless
from citrus_grade.spectra_table.ids import is_id
from citrus_grade.spectra_table.naming import named
from citrus_grade.spectra_table.table import Column, Columns
from citrus_grade.words import _

DELIMITERS: Final = ("\t", ";", ",", "|")
SAMPLE_LINES: Final = 60
LEAST_BANDS: Final = 3
LEAST_NM: Final = 100.0
_DECIMAL_COMMA: Final = re.compile(r"[+-]?\d+,\d+(?:[eE][+-]?\d+)?")
_THOUSANDS: Final = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_DECIMAL_POINT: Final = re.compile(r"[+-]?\d*\.\d+(?:[eE][+-]?\d+)?")


class Layout(NamedTuple):
    """Where the header stands, from 0, its names, one for each cell of a row, and what parts cells and decimals."""

    header: int
    names: tuple[str, ...]
    delimiter: str
    decimal: str


def read(path: Path, lines: Sequence[str]) -> Columns:
    """Return the columns of a delimited text.

    Raises
    ------
    SpectraTableError : rows with fewer or more cells than the header; each is named.
    """
    layout = layout_of(lines)
    if headless(layout.names):
        said = _("line {line} holds numbers that are no wavelengths; put a line of headers above it, with wavelengths in nm")
        refuse(path, [said.format(line=layout.header + 1)])
    body = [" ".join(line.split()) for line in lines] if layout.delimiter == " " else lines
    table, ragged = _parsed(body[layout.header + 1 :], layout)
    above = layout.header + 1
    said = _("line {line}: {n} cells where the header has {expected}: another number of channels does not fit; mend that line")
    refuse(path, [said.format(line=above + at, n=n, expected=len(layout.names)) for at, n in ragged])
    filled = np.flatnonzero(np.any([_filled(column) for column in table.columns], axis=0))
    cells = [array(column)[filled] for column in table.columns]
    if (layout.delimiter, layout.decimal) == (",", "."):
        cells = [_without_thousands(column) for column in cells]
    columns = named(path, layout.names, cells)
    word = _("line {line}")
    return Columns(path, tuple(word.format(line=above + 1 + k) for k in filled.tolist()), columns)


def layout_of(lines: Sequence[str]) -> Layout:
    """Return how a text is laid out: the delimiter under which the header holds most wavelengths; else blanks."""
    sample = [(k, line) for k, line in enumerate(lines) if line.strip()][:SAMPLE_LINES]
    tried = [one for delimiter in DELIMITERS if (one := _tried(sample, delimiter)).score > (0, 1)]
    return max(tried or [_tried(sample, " ")], key=lambda one: one.score).layout


class _Try(NamedTuple):
    """A layout and how much it explains: wavelengths in the header, then cells."""

    score: tuple[int, int]
    layout: Layout


def _tried(sample: Sequence[tuple[int, str]], delimiter: str) -> _Try:
    rows = [(k, _split(line, delimiter)) for k, line in sample]
    widths = Counter(len(cells) for _k, cells in rows)
    width = max(widths, key=lambda w: (widths[w] * w, w))
    k, names = _header(rows, width)
    body = [cells for own, cells in rows if own > k]
    if len(names) == width - 1:
        names = [*names, ""] if all(not cells[-1].strip() for cells in body if len(cells) == width) else ["", *names]
    names = [name.strip() for name in (names[0].lstrip("#% "), *names[1:])]
    return _Try((_wavelengths(names), width), Layout(k, tuple(names), delimiter, _decimal(body, delimiter)))


def _header(rows: Sequence[tuple[int, list[str]]], width: int) -> tuple[int, list[str]]:
    """Return the first line as wide as most are, or one cell less if it holds wavelengths.

    A spreadsheet fills the lines above the header with empty cells: then it is the first line of wavelengths that rise or fall.
    """
    wide = [row for row in rows if len(row[1]) == width or (len(row[1]) == width - 1 and _wavelengths(row[1]) >= 2)]
    first = wide[0]
    if "" in first[1][1:] and _wavelengths(first[1]) < 2:
        return next((row for row in wide if _is_axis(row[1])), first)
    return first


def _is_axis(cells: Sequence[str]) -> bool:
    try:
        nm = list(bands(cells).nm.values())
    except (TwoFamiliesError, RenamedError):
        return False
    steps = np.diff(nm)
    return len(nm) >= LEAST_BANDS and min(nm) >= LEAST_NM and bool((steps > 0).all() or (steps < 0).all())


def _split(line: str, delimiter: str) -> list[str]:
    own = " ".join(line.split()) if delimiter == " " else line
    return next(csv.reader([own], delimiter=delimiter), [""])


def _wavelengths(cells: Sequence[str]) -> int:
    try:
        return len(bands(cells).nm)
    except (TwoFamiliesError, RenamedError):
        return 2


def _decimal(rows: Sequence[Sequence[str]], delimiter: str) -> str:
    """Return the decimal sign; between commas 1,234 is a thousand, unless another cell holds a decimal comma beyond doubt."""
    cells = [cell.strip() for row in rows for cell in row]
    comma = any(_DECIMAL_COMMA.fullmatch(cell) and not (delimiter == "," and _THOUSANDS.fullmatch(cell)) for cell in cells)
    return "," if comma and not any(_DECIMAL_POINT.fullmatch(cell) for cell in cells) else "."


def _without_thousands(column: Column) -> Column:
    """Return a column of words as numbers if every cell is one, some with commas between thousands."""
    cells = [str(cell).strip() for cell in column] if column.dtype.kind == "U" else []
    if not any(_THOUSANDS.fullmatch(cell) for cell in cells):
        return column
    values = [number(cell.replace(",", "")) if _THOUSANDS.fullmatch(cell) or "," not in cell else None for cell in cells]
    return column if None in values else np.array(values, np.float64)


def _parsed(lines: Sequence[str], layout: Layout) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Return the rows as a table with the columns "0", "1", ..., and line number from 1 and cells of those that do not fit."""
    keys = [f"{k}" for k in range(len(layout.names))]
    text = "\n".join(lines).rstrip().encode() + b"\n"
    if not text.strip():
        return pa.table({key: pa.array([], pa.float64()) for key in keys}), []
    ragged: list[tuple[int, int]] = []

    def skip(row: pa.csv.InvalidRow) -> str:
        ragged.append((row.number, row.actual_columns))
        return "skip"

    texts = [key for key, name in zip(keys, layout.names, strict=True) if is_id(name)]
    table = pyarrow.csv.read_csv(
        BytesIO(text),
        # One block and one thread: types are inferred from every row, and rows that do not fit know their number.
        read_options=pyarrow.csv.ReadOptions(column_names=keys, use_threads=False, block_size=max(len(text) + 1, 1 << 16)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=layout.delimiter, ignore_empty_lines=False, invalid_row_handler=skip),
        convert_options=pyarrow.csv.ConvertOptions(
            decimal_point=layout.decimal,
            null_values=[form for word in MISSING for form in {word, word.upper(), word.capitalize(), "NaN"}],
            strings_can_be_null=False,
            column_types={key: pa.string() for key in texts},
        ),
    )
    return table, ragged


def _filled(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    filled = pa.compute.is_valid(column)
    if pa.types.is_string(column.type):
        filled = pa.compute.not_equal(column, "")
    return np.asarray(filled.to_numpy(), np.bool_)
