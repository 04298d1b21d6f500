"""Text of spectrometers with one spectrum a file: what OOIBase32, SpectraSuite and OceanView write, and two bare columns.

A few lines of ``Name: value`` stand above ``>>>>>Begin Spectral Data<<<<<``, below it wavelength and signal, a pixel a line;
decimal commas come with the computer's region.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade.spectra_table.cells import number
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.stack import One, checked, together
from citrus_grade.spectra_table.table import SpectraTable
from citrus_grade.words import _

BEGIN: Final = ">>>>>Begin"
END: Final = ">>>>>End"
LEAST_POINTS: Final = 8
MOST_HEADER: Final = 60
MOST_VALUE: Final = 60
"""A header line with a longer value is a remark."""


def looks_so(lines: Sequence[str]) -> bool:
    """Return whether a text is one spectrum: the mark and two cells below it, or nothing but two columns of numbers."""
    body = [cells for _k, cells in _body(lines[: MOST_HEADER + LEAST_POINTS])[:LEAST_POINTS]]
    if any(line.strip().startswith(BEGIN) for line in lines[:MOST_HEADER]):
        return bool(body) and all(len(cells) == 2 for cells in body)
    bare = len(body) == LEAST_POINTS and all(len(cells) == 2 and None not in map(number, cells) for cells in body)
    if not bare:
        return False
    steps = np.diff([number(cells[0]) or 0.0 for cells in body])
    return bool((number(body[0][0]) or 0.0) > 100 and ((steps > 0).all() or (steps < 0).all()))


def read(path: Path, lines: Sequence[str]) -> SpectraTable:
    """Return the one spectrum of a file, the file's name its id, what the header says as columns.

    Raises
    ------
    SpectraTableError : a line that is not two numbers, wavelengths that turn back; each is named.
    """
    body = _body(lines)
    said = _("line {line}: {text!r} is not a wavelength and a value; mend that line")
    bad = [(k, cells) for k, cells in body if len(cells) != 2 or None in map(number, cells)]
    refuse(path, [said.format(line=k, text=" ".join(cells)[:40]) for k, cells in bad])
    points = np.array([[number(cell) for cell in cells] for _k, cells in body], np.float64)
    known: dict[str, str | float] = {"id": path.stem, **_header(lines)}
    return together(path, [checked(path, One(path.name, points[:, 0], points[:, 1], known, None))])


def _body(lines: Sequence[str]) -> list[tuple[int, list[str]]]:
    """Return the numbered lines of the spectrum as cells: below the mark, or from the first line that is two numbers."""
    begin = next((k for k, line in enumerate(lines[:MOST_HEADER], 1) if line.strip().startswith(BEGIN)), 0)
    numbered = [(k, _cells(line)) for k, line in enumerate(lines, 1) if k > begin and line.strip()]
    if begin:
        end = next((k for k, line in enumerate(lines, 1) if line.strip().startswith(END)), len(lines) + 1)
        return [(k, cells) for k, cells in numbered if k < end]
    first = next((at for at, (_k, cells) in enumerate(numbered) if len(cells) == 2 and None not in map(number, cells)), None)
    return numbered[first:] if first is not None else []


def _cells(line: str) -> list[str]:
    parts = re.split(r"[\t; ]+", line.strip())
    return [part.strip() for part in (line.split(",") if len(parts) == 1 else parts)]


def _header(lines: Sequence[str]) -> dict[str, str | float]:
    known: dict[str, str | float] = {}
    for line in lines[:MOST_HEADER]:
        if line.strip().startswith(BEGIN):
            return known
        name, colon, text = line.partition(":")
        if colon and name.strip() and 0 < len(text.strip()) <= MOST_VALUE:
            value = number(text)
            known[name.strip()] = text.strip() if value is None else value
    return {}
