"""Columns of a file -> a table of spectra: those whose headers are wavelengths are its spectra."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.cells import number
from citrus_grade.spectra_table.errors import SpectraTableError, refuse
from citrus_grade.spectra_table.headers import Bands, RenamedError, TwoFamiliesError, bands, channel_numbers
from citrus_grade.spectra_table.table import Column, Columns, Floats, SpectraTable, rising
from citrus_grade.words import _

MANY: Final = 10
"""Rows of which a wavelength that is the same in all of them measures nothing."""


def from_columns(read: Columns, wanted: str | None = None) -> SpectraTable:
    """Return the table whose wavelengths are headers, in any order.

    Parameters
    ----------
    wanted : the word of the wavelengths' headers, where there are several sets of them.

    Raises
    ------
    SpectraTableError : no wavelengths, one given twice, no rows, or text in their columns; the rows are named.
    """
    found = wavelengths(read, wanted)
    names = list(read.columns)
    taken = {names[k] for part in found[:3] for k in part}
    others = {name: column for name, column in read.columns.items() if name not in taken}
    cells = {name: _parsed(read.columns[name]) for name in taken}
    spectra = [names[k] for k in found.nm]
    keep, words = _without_lines_of_words(read, spectra, cells)
    refuse(read.path, list(_text_cells(read, spectra, cells, keep)))
    filled, empty = _filled(found, {k: cells[names[k]].values[keep] for k in found.nm})

    def block(part: Mapping[int, float]) -> Floats:
        return np.column_stack([cells[names[k]].values[keep] for k in part])

    nm, places = np.array(list(filled.nm.values())), np.array(read.places)[keep].tolist()
    table = rising(read.path, nm, block(filled.nm), {name: column[keep] for name, column in others.items()}, places)
    return _with_references(replace(table, notes=(*words, *empty, *_about(found), *table.notes)), filled, block)


class _Parsed(NamedTuple):
    """A column's ``values`` (n,), NaN where none is, and which cells are ``text``."""

    values: Floats
    text: NDArray[np.bool_]


def _parsed(column: Column) -> _Parsed:
    if column.dtype.kind in "fiub":
        return _Parsed(np.asarray(column, np.float64), np.zeros(len(column), np.bool_))
    values = [number(str(cell)) for cell in column]
    text = np.array([value is None for value in values], np.bool_)
    return _Parsed(np.array([np.nan if value is None else value for value in values], np.float64), text)


def wavelengths(read: Columns, wanted: str | None = None) -> Bands:
    """Return which columns are wavelengths, or refuse a table without."""
    try:
        found = bands(list(read.columns), wanted)
    except RenamedError as error:
        said = _("the wavelengths stand twice, as {a} and {b}; keep one set of columns").format(a=error.args[0], b=error.args[1])
        raise SpectraTableError(f"{read.path}: {said}") from None
    except TwoFamiliesError as error:
        raise SpectraTableError(f"{read.path}: {_several(error.args, wanted)}") from None
    if len(found.nm) < 2:
        refuse(read.path, [_("no headers that are wavelengths in nm, such as 650 or 651.5; name the columns so")])
    return found


def _several(names: Sequence[str], wanted: str | None) -> str:
    if wanted is None:
        said = _("has two sets of wavelength columns, {a!r} and {b!r}; keep one of them, or name it with --matrix")
        return said.format(a=names[0], b=names[1])
    said = _("has no set of wavelength columns called {name!r}; there are {there}")
    return said.format(name=wanted, there=", ".join(map(repr, names)) or "-")


def _without_lines_of_words(
    read: Columns, names: Sequence[str], cells: Mapping[str, _Parsed]
) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which rows (n,) hold no word in every cell of a spectrum, as units below the headers do, and say which do."""
    lines = np.all([cells[name].text for name in names], axis=0)
    if lines.all():
        return np.ones(len(lines), np.bool_), []
    said = _("{place}: holds words where a spectrum is expected, {value!r}; the line was left out")
    first = read.columns[names[0]]
    return ~lines, [said.format(place=read.places[k], value=str(first[k])) for k in np.flatnonzero(lines).tolist()]


def _filled(found: Bands, values: Mapping[int, Floats]) -> tuple[Bands, list[str]]:
    """Leave out wavelengths at which no row has a value, or all rows of many the same; say which."""
    empty = {nm for k, nm in found.nm.items() if _dead(values[k])}
    if not empty or 2 * len(empty) > len(found.nm):
        return found, []
    nm, dark, white = ({k: nm for k, nm in part.items() if nm not in empty} for part in found[:3])
    said = _("no row has a value at {n} wavelengths, from {low:g} to {high:g} nm, or all have the same; they were left out")
    return Bands(nm, dark, white), [said.format(n=len(empty), low=min(empty), high=max(empty))]


def _dead(values: Floats) -> bool:
    known = values[np.isfinite(values)]
    return len(values) > 0 and (len(known) == 0 or (len(known) >= MANY and bool((known == known[0]).all())))


def _about(found: Bands) -> Iterator[str]:
    """Say what of the headers may be meant otherwise."""
    if channel_numbers(found.nm.values()):
        yield _("the wavelengths are 1, 2, 3 and so on: are they numbers of channels? name the columns by their wavelength in nm")
    for name in found.aside:
        yield _("the wavelength columns called {name!r} were not used; to use them, name them with --matrix").format(name=name)


def _with_references(table: SpectraTable, found: Bands, block: Any) -> SpectraTable:
    order = np.argsort(list(found.nm.values()), kind="stable")
    sides: dict[str, Floats] = {}
    for side, part in (("dark", found.dark), ("white", found.white)):
        if not part:
            continue
        if sorted(part.values()) != sorted(found.nm.values()):
            raise SpectraTableError(
                _(
                    "{path}: the wavelengths of its {side} columns are not those of its spectra; give each spectrum column one"
                ).format(path=table.path, side=_(side))
            )
        of_nm = {nm: k for k, nm in part.items()}
        nms = list(found.nm.values())
        sides[side] = block({of_nm[nms[k]]: 0.0 for k in order.tolist()})
    return replace(table, dark=sides.get("dark"), white=sides.get("white"))


def _text_cells(read: Columns, names: Sequence[str], cells: Mapping[str, _Parsed], keep: NDArray[np.bool_]) -> Iterator[str]:
    said = _("{place}: column {name!r} holds text, {value!r}, where a spectrum's number is expected; mend that cell")
    for name in names:
        for k in np.flatnonzero(cells[name].text & keep).tolist():
            yield said.format(place=read.places[k], name=name, value=str(read.columns[name][k]))
