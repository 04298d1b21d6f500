"""A table of spectra: one row a sample, one column a wavelength, the other columns what is known of the sample."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.cells import MISSING, number, sentinels
from citrus_grade.spectra_table.errors import SpectraTableError, refuse, unknown
from citrus_grade.spectra_table.headers import Bands, RenamedError, TwoFamiliesError, bands, channel_numbers
from citrus_grade.words import _

Floats = NDArray[np.float64]
Column = NDArray[Any]  # numbers or text, as the file has it


MANY: Final = 10
"""Rows of which a wavelength that is the same in all of them measures nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """Columns as a file has them, (n,) each; ``places`` (n,) says of each row where it stands, such as "line 7"."""

    path: Path
    places: tuple[str, ...]
    columns: Mapping[str, Column]


@dataclass(frozen=True, slots=True, eq=False)
class SpectraTable:
    """``wavelength_nm`` (p,) rising; ``spectra`` (n, p) as the file has them; ``columns`` (n,) each, numbers or text.

    ``places`` (n,) says where each row stands; ``kind`` is the signal where the file names it; ``dark`` and ``white`` (n, p) or
    (1, p) are counts, where there are any; ``notes`` say what was left out of the file or stands in it for no value.
    """

    path: Path
    wavelength_nm: Floats
    spectra: Floats
    columns: Mapping[str, Column]
    places: tuple[str, ...]
    kind: str | None = None
    dark: Floats | None = None
    white: Floats | None = None
    notes: tuple[str, ...] = ()

    def numbers(self, name: str) -> Floats:
        """Return a column of numbers, NaN where the file has none or a number that stands for none, such as -9999.

        Raises
        ------
        SpectraTableError : no such column, or it holds text; the rows are named.
        """
        column = self.column(name)
        if column.dtype.kind in "fiub":
            return _measured(np.asarray(column, np.float64))
        values = [number(str(cell)) for cell in column]
        text = [k for k, value in enumerate(values) if value is None]
        if text and len(text) == sum(str(cell).strip().lower() not in MISSING for cell in column):
            refuse(self.path, [_("column {name!r} holds text, not numbers; name a column of numbers").format(name=name)])
        said = _("{place}: {name!r} holds {value!r} where a number is expected; mend it or leave it empty")
        refuse(self.path, [said.format(place=self.places[k], name=name, value=str(column[k])) for k in text])
        return _measured(np.array(values, np.float64))

    def column(self, name: str) -> Column:
        """Return a column as the file has it; see `numbers`."""
        if name not in self.columns:
            raise SpectraTableError(f"{self.path}: {unknown(name, list(self.columns))}")
        return self.columns[name]

    def rows(self, chosen: NDArray[Any]) -> "SpectraTable":
        """Return the table with only the rows ``chosen``, a mask (n,) or indices."""
        index = np.arange(len(self.spectra))[chosen]

        def own(block: Floats | None) -> Floats | None:
            return block if block is None or len(block) != len(self.spectra) else block[index]

        return replace(
            self,
            spectra=self.spectra[index],
            columns={name: column[index] for name, column in self.columns.items()},
            places=tuple(self.places[k] for k in index.tolist()),
            dark=own(self.dark),
            white=own(self.white),
        )

    def between(self, first_nm: float, last_nm: float) -> "SpectraTable":
        """Return the table with only the wavelengths from ``first_nm`` to ``last_nm``.

        Raises
        ------
        SpectraTableError : fewer than two wavelengths lie there.
        """
        inside = (self.wavelength_nm >= first_nm) & (self.wavelength_nm <= last_nm)
        if inside.sum() < 2:
            raise SpectraTableError(
                _("{path}: has {n} wavelengths in {low:g}-{high:g} nm, of {first:g}-{last:g} nm; choose a wider range").format(
                    path=self.path, n=int(inside.sum()), first=self.wavelength_nm[0], last=self.wavelength_nm[-1],
                    low=first_nm, high=last_nm,
                )
            )  # fmt: skip

        def cut(block: Floats | None) -> Floats | None:
            return None if block is None else np.ascontiguousarray(block[:, inside])

        spectra = np.ascontiguousarray(self.spectra[:, inside])
        nm = self.wavelength_nm[inside]
        return replace(self, wavelength_nm=nm, spectra=spectra, dark=cut(self.dark), white=cut(self.white))

    def on_axis(self, wavelength_nm: Floats) -> Floats:
        """Return the spectra (n, len(wavelength_nm)) on another axis, interpolated linearly.

        Raises
        ------
        SpectraTableError : the axis reaches beyond the table's.
        """
        first, last = self.wavelength_nm[0], self.wavelength_nm[-1]
        if wavelength_nm[0] < first or wavelength_nm[-1] > last:
            raise SpectraTableError(
                _("{path}: holds {first:g}-{last:g} nm, not {low:g}-{high:g} nm; choose a range within it").format(
                    path=self.path, first=first, last=last, low=wavelength_nm[0], high=wavelength_nm[-1]
                )
            )
        return np.array([np.interp(wavelength_nm, self.wavelength_nm, row) for row in self.spectra])


def _measured(values: Floats) -> Floats:
    return np.where(sentinels(values), np.nan, values)


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
    read, words = _without_lines_of_words(read, [names[k] for k in found.nm])
    refuse(read.path, list(_text_cells(read, [names[k] for k in found.nm])))
    taken = {names[k] for part in found[:3] for k in part}
    others = {name: column for name, column in read.columns.items() if name not in taken}
    filled, empty = _filled(read, found)

    def block(part: Mapping[int, float]) -> Floats:
        return np.column_stack([_cells(read.columns[names[k]]) for k in part])

    table = rising(read.path, np.array(list(filled.nm.values())), block(filled.nm), others, read.places)
    return _with_references(replace(table, notes=(*words, *empty, *_about(found), *table.notes)), filled, block)


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


def _without_lines_of_words(read: Columns, names: Sequence[str]) -> tuple[Columns, list[str]]:
    """Leave out rows that hold a word in every cell of a spectrum, such as units below the headers; say which."""
    if any(read.columns[name].dtype.kind in "fiub" for name in names) or not read.places:
        return read, []
    first = [number(str(cell)) is None for cell in read.columns[names[0]]]
    lines = [k for k in np.flatnonzero(first).tolist() if all(number(str(read.columns[name][k])) is None for name in names)]
    if not lines or len(lines) == len(first):
        return read, []
    rest = np.setdiff1d(np.arange(len(first)), lines)
    columns = {name: column[rest] for name, column in read.columns.items()}
    said = _("{place}: holds words where a spectrum is expected, {value!r}; the line was left out")
    notes = [said.format(place=read.places[k], value=str(read.columns[names[0]][k])) for k in lines]
    return Columns(read.path, tuple(read.places[k] for k in rest.tolist()), columns), notes


def _filled(read: Columns, found: Bands) -> tuple[Bands, list[str]]:
    """Leave out wavelengths at which no row has a value, or all rows of many the same; say which."""
    names = list(read.columns)
    empty = {nm for k, nm in found.nm.items() if _dead(_cells(read.columns[names[k]]))}
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


def _cells(column: Column) -> Floats:
    if column.dtype.kind in "fiub":
        return np.asarray(column, np.float64)
    return np.array([np.nan if (value := number(str(cell))) is None else value for cell in column], np.float64)


def _text_cells(read: Columns, names: Sequence[str]) -> Iterator[str]:
    said = _("{place}: column {name!r} holds text, {value!r}, where a spectrum's number is expected; mend that cell")
    for name in names:
        column = read.columns[name]
        for k, cell in enumerate(column if column.dtype.kind not in "fiub" else ()):
            if number(str(cell)) is None:
                yield said.format(place=read.places[k], name=name, value=str(cell))


def rising(
    path: Path,
    wavelength_nm: Floats,
    spectra: Floats,
    columns: Mapping[str, Column],
    places: Sequence[str],
) -> SpectraTable:
    """Return the table with its wavelengths sorted.

    Raises
    ------
    SpectraTableError : a wavelength stands twice, or there are no rows.
    """
    order = np.argsort(wavelength_nm, kind="stable")
    sorted_nm = wavelength_nm[order]
    twice = sorted_nm[1:][np.diff(sorted_nm) == 0]
    if len(twice):
        refuse(path, [_("the wavelength {nm:g} nm stands twice; keep one of the two columns").format(nm=twice[0])])
    if not len(spectra):
        refuse(path, [_("holds no rows below its headers; was it saved before it was filled?")])
    whole, notes = _without_sentinels(sorted_nm, np.ascontiguousarray(spectra[:, order]), places)
    return SpectraTable(path, sorted_nm, whole, columns, tuple(places), notes=notes)


def _without_sentinels(nm: Floats, spectra: Floats, places: Sequence[str]) -> tuple[Floats, tuple[str, ...]]:
    """Return spectra with NaN where a number stands for no value, and a note about it."""
    bad = sentinels(spectra)
    if not bad.any():
        return spectra, ()
    row, at = np.argwhere(bad)[0]
    said = _("{n} cells hold a number that stands for no value, such as {value:g} ({place}, {nm:g} nm)")
    note = said.format(n=int(bad.sum()), value=spectra[row, at], place=places[row], nm=nm[at])
    return np.where(bad, np.nan, spectra), (note,)


def monotone(path: Path, wavelength_nm: Floats, where: str) -> None:
    """Refuse an axis (p,) that neither rises nor falls all the way, saying where it turns."""
    steps = np.diff(wavelength_nm)
    if not np.isfinite(wavelength_nm).all() or (wavelength_nm <= 0).any():
        k = int(np.flatnonzero(~np.isfinite(wavelength_nm) | (wavelength_nm <= 0))[0])
        said = _("{where}: point {k} of the wavelengths is {nm:g} nm; wavelengths are positive numbers, mend the axis")
        refuse(path, [said.format(where=where, k=k + 1, nm=wavelength_nm[k])])
    if (steps > 0).all() or (steps < 0).all():
        return
    k = int(np.flatnonzero(steps * np.sign(wavelength_nm[-1] - wavelength_nm[0]) <= 0)[0])
    said = _("{where}: the wavelengths turn back at point {k}, from {before:g} to {after:g} nm; mend the axis")
    refuse(path, [said.format(where=where, k=k + 2, before=wavelength_nm[k], after=wavelength_nm[k + 1])])
