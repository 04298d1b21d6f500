"""A table of spectra: one row a sample, one column a wavelength, the other columns what is known of the sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.cells import MISSING, number, sentinels
from citrus_grade.spectra_table.errors import SpectraTableError, refuse, unknown
from citrus_grade.words import _

Floats = NDArray[np.float64]
Column = NDArray[Any]  # numbers or text, as the file has it


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
