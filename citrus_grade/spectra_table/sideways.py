"""Text tables that hold a spectrum a column: ENVI ASCII plot files, and any table whose first column is the wavelength.

An ENVI plot file begins with ``ENVI ASCII Plot File``, then ``Column 1: Wavelength``, ``Column 2: NAME~~...`` and so on, then
rows of numbers between blanks; wavelengths below 100 are micrometres.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade.spectra_table import delimited
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.stack import One, checked, together
from citrus_grade.spectra_table.table import Columns, Floats, SpectraTable
from citrus_grade.words import _

ENVI: Final = "ENVI ASCII PLOT FILE"
AXIS_NAMES: Final = ("wavelength", "wavelengths", "wavelengthnm", "wl", "nm", "lambda", "lambdanm", "wave", "波长", "波长nm")
MICROMETRES_BELOW: Final = 100.0
_COLUMN: Final = re.compile(r"Column\s+\d+\s*:?\s*(?P<name>.*)", re.IGNORECASE)


def looks_so(lines: Sequence[str]) -> bool:
    """Return whether a text holds a spectrum a column."""
    return _is_envi(lines) or _is_axis(delimited.layout_of(lines).names[0])


def read(path: Path, lines: Sequence[str]) -> SpectraTable:
    """Return the spectra of a text, their columns' names as ids.

    Raises
    ------
    SpectraTableError : rows of different lengths, text among the numbers, wavelengths that turn back; each is named.
    """
    read_ = delimited.read(path, _as_table(lines) if _is_envi(lines) else lines)
    names = list(read_.columns)
    refuse(path, [_("holds wavelengths and no spectrum beside them; export the spectra too")] if len(names) < 2 else [])
    block = {name: _numbers(read_, name) for name in names}
    nm = block[names[0]]
    nm = nm * 1e3 if np.nanmax(nm, initial=0.0) < MICROMETRES_BELOW else nm
    word = _("column {name!r}")
    ids = [path.stem] if len(names) == 2 else names[1:]
    return together(
        path,
        [
            checked(path, One(word.format(name=name), nm, block[name], {"id": own}, None))
            for name, own in zip(names[1:], ids, strict=True)
        ],
    )


def _is_envi(lines: Sequence[str]) -> bool:
    return next((line for line in lines if line.strip()), "").strip().upper().startswith(ENVI)


def _is_axis(header: str) -> bool:
    return re.sub(r"[\W_]", "", header.casefold()) in AXIS_NAMES


def _as_table(lines: Sequence[str]) -> list[str]:
    """Return an ENVI file as a tab table whose lines keep their numbers."""
    names = [match["name"].split("~~")[0].strip().replace("\t", " ") for line in lines if (match := _COLUMN.match(line.strip()))]
    last = max((k for k, line in enumerate(lines) if _COLUMN.match(line.strip())), default=0)
    return ["\t".join(names) if k == last else "" if k < last else "\t".join(line.split()) for k, line in enumerate(lines)]


def _numbers(read_: Columns, name: str) -> Floats:
    column = read_.columns[name]
    said = _("{place}: column {name!r} holds text, {value!r}, where a number is expected; mend that cell")
    if column.dtype.kind not in "fiub":
        bad = [k for k, cell in enumerate(column) if not re.fullmatch(r"[+-]?[\d.,]+(?:[eE][+-]?\d+)?", str(cell))]
        refuse(read_.path, [said.format(place=read_.places[k], name=name, value=str(column[k])) for k in bad])
        return np.array([float(str(cell).replace(",", ".")) for cell in column], np.float64)
    return np.asarray(column, np.float64)
