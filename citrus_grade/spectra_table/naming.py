"""Columns by name, where a file may give one name to several of them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.headers import plain_nm
from citrus_grade.spectra_table.table import Column
from citrus_grade.words import _


def named(path: Path, names: Sequence[str], columns: Sequence[Column]) -> dict[str, Column]:
    """Return the columns by name; one without a name is numbered if it says anything, as are those of one name that differ."""
    found: dict[str, Column] = {}
    several = _several(names, columns)
    for k, (name, column) in enumerate(zip(names, columns, strict=True), 1):
        if not name and len(np.unique(column.astype(np.str_))) < 2:
            continue
        own = name or _("column {k}").format(k=k)
        if own in several and plain_nm(own) is not None:
            refuse(path, [_("the wavelength {nm:g} nm stands twice; keep one of the two columns").format(nm=plain_nm(own))])
        found[f"{own} ({k})" if own in several else own] = column
    return found


def _several(names: Sequence[str], columns: Sequence[Column]) -> set[str]:
    """Return names of several columns, wavelengths or such that differ: nobody can say which of them is meant."""
    first: dict[str, Column] = {}
    return {
        name
        for name, column in zip(names, columns, strict=True)
        if (own := first.setdefault(name, column)) is not column
        and (plain_nm(name) is not None or own.astype(np.str_).tolist() != column.astype(np.str_).tolist())
    }
