"""Reference values measured by hand, joined with the spectra of the same fruit."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade.spectra_table import Columns, SpectraTable, read, read_columns
from citrus_grade.spectra_table.errors import refuse, unknown
from citrus_grade.spectra_table.ids import as_text
from citrus_grade.spectra_table.table import Column
from citrus_grade.words import _

KEY: Final = ("run", "lane", "cup")
"""What names a fruit of a line."""
MOST_EXAMPLES: Final = 3

Keys = list[tuple[str, ...]]


def join(references: Path, spectra: Path | SpectraTable, on: Sequence[str] = KEY) -> SpectraTable:
    """Return a table of spectra with the columns of the references joined to it.

    Spectra without a reference stay, with nothing in these columns: on a line few of the fruit are measured by hand, and
    `labelled` counts the rest as left out.

    Parameters
    ----------
    references : a CSV, Parquet or NPZ table.
    on : the columns that name a fruit, as far as both tables have them.

    Raises
    ------
    SpectraTableError : no such columns, a fruit that stands twice in either, or references without a spectrum; how many, and
        the first.
    """
    labels = read_columns(references)
    refuse(labels.path, [] if labels.places else [_("holds no references below its headers")])
    table = read(spectra) if isinstance(spectra, Path) else spectra
    keys = _common(labels, table, on)
    mine = _keys(table.path, table.columns, table.places, keys)
    theirs = _keys(labels.path, labels.columns, labels.places, keys)
    at = {key: k for k, key in enumerate(theirs)}
    there = set(mine)
    lost = [k for k, key in enumerate(theirs) if key not in there]
    if lost:
        said = _("{n} of {all} references have no spectrum in {spectra}; the first are {examples}; mend {keys}")
        examples = ", ".join(f"{'/'.join(theirs[k])} ({labels.places[k]})" for k in lost[:MOST_EXAMPLES])
        own = {"n": len(lost), "all": len(theirs), "spectra": table.path, "examples": examples, "keys": ", ".join(keys)}
        refuse(labels.path, [said.format(**own)])
    index = np.array([at.get(key, -1) for key in mine], np.int64)
    joined = {name: _taken(column, index) for name, column in labels.columns.items() if name not in keys}
    return replace(table, columns={**{n: c for n, c in table.columns.items() if n not in joined}, **joined})


def _common(labels: Columns, table: SpectraTable, on: Sequence[str]) -> list[str]:
    """Return the key columns both have; one that only one of them has must say the same in all its rows."""
    keys = [name for name in on if name in labels.columns and name in table.columns]
    if not keys:
        lacking = labels.path if not set(on) & set(labels.columns) else table.path
        there = list(labels.columns if lacking == labels.path else table.columns)
        refuse(lacking, [unknown(on[0], there), _("references are joined to spectra by {keys}").format(keys=", ".join(on))])
    said = _("has several values of {name!r}, which {other} has not; add that column there")
    for own, other in ((labels, table), (table, labels)):
        several = [n for n in on if n in own.columns and n not in other.columns and len(set(as_text(own.columns[n]))) > 1]
        refuse(own.path, [said.format(name=name, other=other.path) for name in several])
    return keys


def _keys(path: Path, columns: Mapping[str, Column], places: Sequence[str], names: Sequence[str]) -> Keys:
    keys = list(zip(*(as_text(columns[name]) for name in names), strict=True))
    empty = _("{place}: has no {names}; fill in what names the fruit")
    problems = [empty.format(place=places[k], names=", ".join(names)) for k, key in enumerate(keys) if "" in key]
    first: dict[tuple[str, ...], int] = {}
    twice = _("{place}: {key} stands already at {first}; keep one row a fruit")
    for k, key in enumerate(keys):
        if first.setdefault(key, k) < k:
            problems.append(twice.format(place=places[k], key="/".join(key), first=places[first[key]]))
    refuse(path, problems)
    return keys


def _taken(column: Column, index: np.ndarray) -> Column:
    """Return a column's cells at ``index`` (n,); -1 is none."""
    if column.dtype.kind in "fiub":
        return np.where(index >= 0, np.asarray(column, np.float64)[index], np.nan)
    return np.where(index >= 0, column[index], "")
