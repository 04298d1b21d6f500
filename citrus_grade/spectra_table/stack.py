"""Spectra from several files or blocks as one table."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.table import Column, Floats, SpectraTable, monotone, rising
from citrus_grade.words import _

SAME_NM: Final = 1e-3
"""Axes that differ by less are one."""


class One(NamedTuple):
    """One spectrum (p,) on its own axis (p,), with what is known of it."""

    place: str
    wavelength_nm: Floats
    spectrum: Floats
    known: dict[str, str | float]
    kind: str | None


def checked(path: Path, one: One) -> One:
    """Return a spectrum with rising wavelengths; a falling axis is turned round, one that turns back refused."""
    if len(one.wavelength_nm) < 2:
        refuse(
            path,
            [_("{place}: holds {n} points; a spectrum has more, was it cut short?").format(place=one.place, n=len(one.spectrum))],
        )
    monotone(path, one.wavelength_nm, one.place)
    if one.wavelength_nm[0] <= one.wavelength_nm[-1]:
        return one
    return one._replace(wavelength_nm=one.wavelength_nm[::-1], spectrum=one.spectrum[::-1])


def together(path: Path, spectra: Sequence[One]) -> SpectraTable:
    """Return spectra of one file as a table.

    Raises
    ------
    SpectraTableError : spectra on another axis, or of another kind, than the first; each is named.
    """
    first = spectra[0]
    said = _("{place}: holds {n} points, {low:g}-{high:g} nm, where {first} holds {m}, {first_low:g}-{first_high:g} nm; {do}")
    do = _("spectra of one table need one axis")
    odd = [one for one in spectra if not _same(one.wavelength_nm, first.wavelength_nm)]
    sizes = {"first": first.place, "m": len(first.wavelength_nm), "first_low": first.wavelength_nm.min()}
    sizes["first_high"] = first.wavelength_nm.max()
    refuse(
        path,
        [
            said.format(
                place=s.place, n=len(s.wavelength_nm), low=s.wavelength_nm.min(), high=s.wavelength_nm.max(), do=do, **sizes
            )
            for s in odd
        ],
    )
    said = _("{place}: is {kind} where {first} is {expected}; convert one of them")
    mixed = [one for one in spectra if one.kind != first.kind]
    refuse(path, [said.format(place=s.place, kind=_word(s.kind), first=first.place, expected=_word(first.kind)) for s in mixed])
    names = dict.fromkeys(name for one in spectra for name in one.known)
    columns = {name: _column([one.known.get(name) for one in spectra]) for name in names}
    block = np.array([one.spectrum for one in spectra], np.float64)
    return replace(rising(path, first.wavelength_nm, block, columns, [one.place for one in spectra]), kind=first.kind)


def stacked(folder: Path, tables: Sequence[SpectraTable]) -> SpectraTable:
    """Return the tables of a folder's files as one: its name is the ``file`` and, where it holds one spectrum, the ``id``."""
    ones = [
        One(
            f"{table.path.name}, {place}" if len(table.spectra) > 1 else table.path.name,
            table.wavelength_nm,
            table.spectra[k],
            {**{name: column[k].item() for name, column in table.columns.items()}, **_named(table)},
            table.kind,
        )
        for table in tables
        for k, place in enumerate(table.places)
    ]
    return together(folder, ones)


def _named(table: SpectraTable) -> dict[str, str | float]:
    own: dict[str, str | float] = {"file": table.path.name}
    return own | {"id": table.path.stem} if len(table.spectra) == 1 else own


def _same(a: Floats, b: Floats) -> bool:
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=0, atol=SAME_NM))


def _column(values: Sequence[str | float | None]) -> Column:
    if all(value is None or isinstance(value, int | float) for value in values):
        return np.array([np.nan if value is None else value for value in values])
    return np.array(["" if value is None else str(value) for value in values], np.str_)


def _word(kind: str | None) -> str:
    return _(kind) if kind else "-"
