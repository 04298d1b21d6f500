"""Labelled batches: spectra with a reference value each, what a model is made from and judged by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table import SpectraTable
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.ids import Ids, as_text, ids_of
from citrus_grade.spectra_table.signal import Guess, Kind, as_absorbance, broken, guess_kind, with_references
from citrus_grade.spectra_table.table import Column, Floats
from citrus_grade.words import _

LEAST_ROWS: Final = 20
LOT_WORDS: Final = (
    "lot",
    "batch",
    "season",
    "year",
    "date",
    "day",
    "study",
    "harvest",
    "orchard",
    "grower",
    "批",
    "季",
    "日期",
    "年",
)
"""Parts of headers that may name lots."""


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Labelled spectra, all whole.

    ``ids`` (n,), each once; ``absorbance`` (n, p) on ``wavelength_nm`` (p,) rising; ``reference`` (n,) of ``target``;
    ``groups`` (n,) the lot of each, all empty where none was named; ``columns`` (n,) each, what else the table knows;
    ``places`` (n,) where each stands in its file; ``left_out`` says why which row is not here, ``notes`` what else there is
    to know, ``kind`` what the signal was.
    """

    path: Path
    target: str
    ids: NDArray[np.str_]
    wavelength_nm: Floats
    absorbance: Floats
    reference: Floats
    groups: NDArray[np.str_]
    columns: Mapping[str, Column]
    places: tuple[str, ...]
    left_out: tuple[str, ...]
    notes: tuple[str, ...]
    kind: Guess


def labelled(
    table: SpectraTable,
    target: str,
    group: str | None = None,
    id: str | None = None,
    *,
    kind: Kind | None = None,
    range_nm: tuple[float, float] | None = None,
    least: int = LEAST_ROWS,
    again: bool = False,
) -> Batch:
    """Return the rows of a table that have a reference value, as absorbance.

    Parameters
    ----------
    target : the column of reference values.
    group : the column of lots; without one ``groups`` is empty, or the fruit where fruit have several rows.
    id : the column of ids; without one see `ids_of`.
    kind : what the signal is; guessed where not said.
    range_nm : the wavelengths to keep, both ends included; what lies outside may be anything.
    least : fewer rows than this are refused. again : some fruit were measured several times on purpose.

    Raises
    ------
    SpectraTableError : a column that is not there, text among the references, and of the rows kept: missing or infinite values,
        a fruit that stands twice, a constant reference, too few rows, or a signal that has no logarithm. Several at once.
    """
    cut, guess = _signal(table, kind, range_nm)
    reference = cut.numbers(target)
    lots = np.array(as_text(cut.column(group)), np.str_) if group is not None else None
    named = ids_of(cut, id)
    named = replace(named, repeats=named.repeats or (again and len(set(named.ids)) < len(named.ids)))
    keep, left_out = _kept(cut, named, reference, target, lots, group)
    own = cut.rows(keep)
    ids = [named.ids[k] for k in np.flatnonzero(keep)]
    _good(own, Ids(tuple(ids), named.column, named.repeats), reference[keep], target, least)
    fruit = np.array(ids if named.repeats else [""] * len(ids), np.str_)
    return Batch(
        path=cut.path,
        target=target,
        ids=np.array(_numbered(ids) if named.repeats else ids, np.str_),
        wavelength_nm=own.wavelength_nm,
        absorbance=as_absorbance(own, guess.kind),
        reference=reference[keep],
        groups=fruit if lots is None else lots[keep],
        columns=own.columns,
        places=own.places,
        left_out=left_out,
        notes=_copies(own, reference[keep]),
        kind=guess,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Spectra to predict from, all whole: as in `Batch`, rows in the order of the table."""

    path: Path
    ids: NDArray[np.str_]
    wavelength_nm: Floats
    absorbance: Floats
    columns: Mapping[str, Column]
    places: tuple[str, ...]
    kind: Guess


def unlabelled(
    table: SpectraTable,
    id: str | None = None,
    *,
    kind: Kind | None = None,
    range_nm: tuple[float, float] | None = None,
) -> Unlabelled:
    """Return every row of a table as absorbance; parameters as of `labelled`.

    Raises
    ------
    SpectraTableError : missing or infinite values, or a signal that has no logarithm; each row is named.
    """
    cut, guess = _signal(table, kind, range_nm)
    ids = np.array(ids_of(cut, id).ids, np.str_)
    return Unlabelled(cut.path, ids, cut.wavelength_nm, as_absorbance(cut, guess.kind), cut.columns, cut.places, guess)


def _signal(table: SpectraTable, kind: Kind | None, range_nm: tuple[float, float] | None) -> tuple[SpectraTable, Guess]:
    """Return the table within the range, and what its signal is; references that are rows of it go to its sides."""
    cut = table if range_nm is None else table.between(*range_nm)
    guess = guess_kind(cut, table) if kind is None else Guess(kind, _("the caller says so"))
    return (with_references(cut) if guess.kind == "counts" else cut), guess


def need_lots(batch: Batch) -> None:
    """Refuse a batch of one lot.

    Raises
    ------
    SpectraTableError : fewer than two lots; columns that may name them are said.
    """
    lots = np.unique(batch.groups)
    if len(lots) >= 2:
        return
    there = lot_columns(batch)
    hint = (
        _("these columns may name lots: {names}").format(names=", ".join(there))
        if there
        else _("add fruit of another lot or day")
    )
    if lots[0]:
        said = _(
            "all {n} rows are of one lot, {lot!r}; cross-validation needs at least two lots, or its error is too good; {hint}"
        )
    else:
        said = _("no column of lots is named; cross-validation needs at least two lots, or its error is too good; {hint}")
    refuse(batch.path, [said.format(n=len(batch.ids), lot=str(lots[0]), hint=hint)])


def lot_columns(batch: Batch) -> list[str]:
    """Return the columns that are called like a lot and have several values, each on several rows."""
    return [
        name
        for name, column in batch.columns.items()
        if any(word in name.casefold() for word in LOT_WORDS) and 2 <= len(set(as_text(column))) <= len(batch.ids) // 2
    ]


def _kept(
    table: SpectraTable, named: Ids, reference: Floats, target: str, lots: NDArray[np.str_] | None, group: str | None
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    unlabelled = np.isnan(reference)
    lotless = np.zeros(len(reference), np.bool_) if lots is None else lots == ""
    said = _("{place} ({id}): has no value in {column!r}")
    left_out = tuple(
        said.format(place=table.places[k], id=named.ids[k], column=target if unlabelled[k] else group)
        for k in np.flatnonzero(unlabelled | lotless)
    )
    return ~(unlabelled | lotless), left_out


def _good(table: SpectraTable, named: Ids, reference: Floats, target: str, least: int) -> None:
    """Refuse rows that no model should be made from, with everything that is wrong."""
    few, wrong = _few(len(reference), least, target), _references(table, reference, target)
    refuse(table.path, [*few, *wrong, *broken(table), *_twice(table, named, reference)])


def _few(n: int, least: int, target: str) -> list[str]:
    said = _("{n} rows have a value in {target!r}; at least {least} are needed, add fruit or name another column")
    return [said.format(n=n, target=target, least=least)] if n < least else []


def _references(table: SpectraTable, reference: Floats, target: str) -> list[str]:
    infinite = _("{place}: {target!r} is infinite; mend it or leave it empty")
    problems = [infinite.format(place=table.places[k], target=target) for k in np.flatnonzero(np.isinf(reference)).tolist()]
    if len(reference) > 1 and np.ptp(reference) == 0:
        constant = _("{target!r} is {value:g} in every row; a model needs fruit that differ, name another column")
        problems.append(constant.format(target=target, value=reference[0]))
    return problems


def _twice(table: SpectraTable, named: Ids, reference: Floats) -> list[str]:
    """Say which fruit stand twice by their id, and whether the row was copied."""
    if named.column is None or named.repeats:
        return []
    copied = _("{place}: fruit {id!r} stands already at {first}, alike in every number; delete one of the two rows")
    differs = _("{place}: fruit {id!r} stands already at {first}, with other numbers; {do}")
    do = _("give each fruit its own id, average its repeats, or name the column of ids")
    problems = []
    first: dict[str, int] = {}
    for k, own in enumerate(named.ids):
        if (at := first.setdefault(own, k)) < k:
            same = reference[at] == reference[k] and np.array_equal(table.spectra[at], table.spectra[k])
            said = copied if same else differs
            problems.append(said.format(place=table.places[k], id=own, first=table.places[at], do=do))
    return problems


def _copies(table: SpectraTable, reference: Floats) -> tuple[str, ...]:
    """Say which rows are alike in their whole spectrum and reference, whatever they are called: published tables have them."""
    said = _("{place}: is alike {first} in every number; if the row was copied, delete it, for errors look smaller with it")
    first: dict[bytes, int] = {}
    at = [
        first.setdefault(row.tobytes() + value.tobytes(), k)
        for k, (row, value) in enumerate(zip(table.spectra, reference, strict=True))
    ]
    return tuple(said.format(place=table.places[k], first=table.places[own]) for k, own in enumerate(at) if own < k)


def _numbered(ids: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    numbered = []
    for own in ids:
        seen[own] = seen.get(own, 0) + 1
        numbered.append(f"{own}/{seen[own]}")
    return numbered
