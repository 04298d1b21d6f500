"""What a row is called: the id of its fruit or sample."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Final

import numpy as np

from citrus_grade.spectra_table.table import Column, SpectraTable

ID_NAMES: Final = (
    "id",
    "fruitid",
    "sampleid",
    "uid",
    "uuid",
    "fruit",
    "sample",
    "samplename",
    "name",
    "title",
    "编号",
    "样品",
    "样品编号",
    "果号",
)
"""Headers that name a row, without blanks and signs, in small letters; the first that a table has counts."""


@dataclass(frozen=True, slots=True)
class Ids:
    """``ids`` (n,) one for each row; ``column`` they come from, if any; ``repeats`` says that a fruit has several rows."""

    ids: tuple[str, ...]
    column: str | None
    repeats: bool


def is_id(header: str) -> bool:
    """Return whether a header names rows."""
    return re.sub(r"[\W_]", "", header.casefold()) in ID_NAMES


def as_text(column: Column) -> tuple[str, ...]:
    """Return a column's cells as text: 7.0 is 7, blanks around are gone, a missing number is empty."""
    if column.dtype.kind == "f":
        return tuple("" if np.isnan(value) else f"{value:.15g}" for value in column.tolist())
    return tuple(str(value).strip() for value in column.tolist())


def ids_of(table: SpectraTable, name: str | None = None) -> Ids:
    """Return the rows' ids: of the column named, of one called like an id, of the first text column where every cell differs.

    A column where most values stand several times names fruit with several rows, not rows; without any the rows are numbered, as
    is one whose cell is empty.

    Raises
    ------
    SpectraTableError : no column ``name``.
    """
    if name is not None:
        return _of(name, as_text(table.column(name)))
    named = sorted(
        (own for own in table.columns if is_id(own)), key=lambda own: ID_NAMES.index(re.sub(r"[\W_]", "", own.casefold()))
    )
    if named:
        return _of(named[0], as_text(table.columns[named[0]]))
    for own, column in table.columns.items():
        cells = as_text(column)
        if column.dtype.kind in "US" and "" not in cells and len(set(cells)) == len(cells):
            return Ids(cells, own, repeats=False)
    return Ids(tuple(str(k) for k in range(1, len(table.spectra) + 1)), None, repeats=False)


def _of(column: str, cells: tuple[str, ...]) -> Ids:
    counts = Counter(cell for cell in cells if cell)
    repeated = sum(n > 1 for n in counts.values())
    filled = tuple(cell or f"#{k}" for k, cell in enumerate(cells, 1))
    return Ids(filled, column, repeats=bool(counts) and 2 * repeated > len(counts))
