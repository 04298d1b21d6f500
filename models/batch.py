"""Labelled batches: spectra with a reference value each, what a model is made from and judged by."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table import SpectraTable
from citrus_grade.spectra_table.dates import days
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.ids import Ids, as_text, ids_of
from citrus_grade.spectra_table.signal import Guess, Kind, as_absorbance, faults, guess_kind, with_references
from citrus_grade.spectra_table.table import Column, Floats
from citrus_grade.words import _

LEAST_ROWS: Final = 20
MOST_FAULTY: Final = 0.2
"""Of a table with a larger share of rows without a whole spectrum none is used: something is wrong with all of it."""
ANEW: Final = 0.9
"""Ids begin anew in every lot where no more than so many of them differ."""
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
    SpectraTableError : a column that is not there, text among the references, and of the rows kept: many without a whole
        spectrum, a fruit that stands twice, a constant reference, or too few rows. Several at once.
    """
    cut, guess = _signal(table, kind, range_nm)
    reference = cut.numbers(target)
    lots = None if group is None else lots_of(cut.column(group), group)
    named = ids_of(cut, id)
    named = replace(named, repeats=named.repeats or (again and len(set(named.ids)) < len(named.ids)))
    if lots is not None and not again:
        named = _within_lots(named, lots)
    keep, left_out = _kept(cut, named, reference, target, lots, group)
    faulty = faults(cut.rows(keep), guess.kind)
    if len(faulty) <= MOST_FAULTY * keep.sum():
        keep[np.flatnonzero(keep)[list(faulty)]] = False
        left_out, faulty = (*left_out, *faulty.values()), {}
    own = cut.rows(keep)
    ids = [named.ids[k] for k in np.flatnonzero(keep)]
    _good(own, Ids(tuple(ids), named.column, named.repeats), reference[keep], target, least, list(faulty.values()))
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
        notes=(*own.notes, *_lots_told(own, group, lots, keep), *_copies(own, reference[keep])),
        kind=guess,
    )


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Spectra to predict from: as in `Batch`, rows in the order of the table; ``faulty`` says why some have no absorbance."""

    path: Path
    ids: NDArray[np.str_]
    wavelength_nm: Floats
    absorbance: Floats
    columns: Mapping[str, Column]
    places: tuple[str, ...]
    kind: Guess
    faulty: Mapping[int, str]
    notes: tuple[str, ...]

    @property
    def whole(self) -> NDArray[np.bool_]:
        """Which rows (n,) have a spectrum."""
        return ~np.isin(np.arange(len(self.ids)), list(self.faulty))


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
    SpectraTableError : no row has a whole spectrum; the first are named.
    """
    cut, guess = _signal(table, kind, range_nm)
    ids = np.array(ids_of(cut, id).ids, np.str_)
    faulty = faults(cut, guess.kind)
    if len(faulty) == len(ids):
        refuse(cut.path, list(faulty.values()))
    whole = np.setdiff1d(np.arange(len(ids)), list(faulty))
    absorbance = np.full(cut.spectra.shape, np.nan)
    absorbance[whole] = as_absorbance(cut.rows(whole), guess.kind)
    return Unlabelled(cut.path, ids, cut.wavelength_nm, absorbance, cut.columns, cut.places, guess, faulty, cut.notes)


def _signal(table: SpectraTable, kind: Kind | None, range_nm: tuple[float, float] | None) -> tuple[SpectraTable, Guess]:
    """Return the table within the range, and what its signal is; references that are rows of it go to its sides."""
    cut = table if range_nm is None else table.between(*range_nm)
    guess = guess_kind(cut, table) if kind is None else Guess(kind, _("the caller says so"))
    return (with_references(cut) if guess.kind == "counts" else cut), guess


def lots_of(column: Column, name: str) -> NDArray[np.str_]:
    """Return the lot (n,) of each cell of a column: the day where it holds dates with times, else what stands there."""
    by_day = days(column, name)
    return np.array(as_text(column), np.str_) if by_day is None else by_day


def _within_lots(named: Ids, lots: NDArray[np.str_]) -> Ids:
    """Return ids that begin anew in every lot with the lot before them; one that stands twice by mistake stays as it is."""
    own = tuple(f"{lot}/{id}" for lot, id in zip(lots.tolist(), named.ids, strict=True))
    if len(set(named.ids)) > ANEW * len(named.ids) or len(set(own)) < len(own):
        return named
    return Ids(own, named.column, repeats=False)


def _lots_told(table: SpectraTable, name: str | None, lots: NDArray[np.str_] | None, keep: NDArray[np.bool_]) -> Iterator[str]:
    """Say what was made of a column of lots, and of one that tells no lots."""
    if name is None or lots is None:
        return
    n = len(np.unique(lots[keep]))
    if n < len(set(as_text(table.column(name)))):
        yield _("{column!r} holds dates with times or in several forms: rows of one day are one group, {n} in all").format(
            column=name, n=n
        )
    if n == keep.sum():
        said = _(
            "{column!r} names another group in every row: the error told is that of fruit left out one by one, not of a new lot"
        )
        yield said.format(column=name)


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
    lotless = np.flatnonzero(lots == "").tolist() if lots is not None else []
    said = _("{place} ({id}): has no value in {column!r}")
    gone = {k: said.format(place=table.places[k], id=named.ids[k], column=group) for k in lotless}
    gone |= lacking(table, named.ids, target, reference)
    return ~np.isin(np.arange(len(reference)), list(gone)), tuple(gone[k] for k in sorted(gone))


def lacking(table: SpectraTable, ids: Sequence[str], column: str, values: Floats) -> dict[int, str]:
    """Return the rows whose ``values`` (n,) of a column are NaN, and say of each what stands there."""
    without = _("{place} ({id}): has no value in {column!r}")
    stands = _("{place} ({id}): has no value in {column!r}, for {cell!r} stands for none")
    cells = as_text(table.column(column))
    return {
        k: (stands if cells[k] else without).format(place=table.places[k], id=ids[k], column=column, cell=cells[k])
        for k in np.flatnonzero(np.isnan(values)).tolist()
    }


def _good(table: SpectraTable, named: Ids, reference: Floats, target: str, least: int, faulty: Sequence[str]) -> None:
    """Refuse rows that no model should be made from, with everything that is wrong."""
    few, wrong = _few(len(reference), least, target), _references(table, reference, target)
    refuse(table.path, [*few, *wrong, *faulty, *_twice(table, named, reference)])


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
