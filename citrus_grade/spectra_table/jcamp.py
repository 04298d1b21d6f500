"""JCAMP-DX files (.jdx, .dx, .jcm): one spectrum a block, one block or several linked.

R. S. McDonald, P. A. Wilks Jr., Applied Spectroscopy 42 (1988) 151-162. Read are ``XYDATA=(X++(Y..Y))`` in every form and
pairs ``(XY..XY)``; of what else a block says ``TITLE``, ``CONCENTRATIONS`` and the labels of users (``##$BRIX=``) become columns.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade.spectra_table.asdf import FREE, AsdfError, CheckError, Line, ordinates
from citrus_grade.spectra_table.cells import number
from citrus_grade.spectra_table.errors import SpectraTableError
from citrus_grade.spectra_table.stack import One, checked, together
from citrus_grade.spectra_table.table import Floats, SpectraTable
from citrus_grade.words import _

KINDS: Final = {
    "ABSORBANCE": "absorbance",
    "LOG(1/R)": "absorbance",
    "LOG1/R": "absorbance",
    "REFLECTANCE": "reflectance",
    "%REFLECTANCE": "reflectance",
    "TRANSMITTANCE": "transmittance",
    "TRANSMISSION": "transmittance",
    "%TRANSMITTANCE": "transmittance",
    "COUNTS": "counts",
}
NM: Final = {"NANOMETERS": 1.0, "NANOMETRES": 1.0, "NM": 1.0, "MICROMETERS": 1e3, "MICROMETRES": 1e3, "UM": 1e3}
PER_CM: Final = ("1/CM", "CM-1", "CM^-1", "WAVENUMBERS")
X_TOLERANCE: Final = 1.5
"""By how many steps the abscissa a line begins with may differ from the one counted: writers round it."""
_CONCENTRATION: Final = re.compile(r"\(\s*([^,()]+?)\s*,\s*([^,()]+?)\s*(?:,[^()]*)?\)")


@dataclass(slots=True)
class Block:
    """One block: ``labels`` as they stand, ``data`` its numbered lines of numbers, ``label`` what they are called."""

    line: int
    labels: dict[str, str] = field(default_factory=dict)
    label: str = ""
    form: str = ""
    data: list[tuple[int, str]] = field(default_factory=list)


def looks_so(lines: Sequence[str]) -> bool:
    """Return whether a text is JCAMP-DX."""
    first = next((line for line in lines if line.strip() and not line.startswith("$$")), "")
    return _label(first)[0] == "TITLE"


def read(path: Path, lines: Sequence[str]) -> SpectraTable:
    """Return the spectra of a file.

    Raises
    ------
    SpectraTableError : no spectra, an unknown unit or form, a line that cannot be read, a wrong check value or number of
        points; each with its line.
    """
    blocks = [block for block in _blocks(lines) if block.label]
    if not blocks:
        raise SpectraTableError(_("{path}: holds no XYDATA or XYPOINTS; export the spectra themselves").format(path=path))
    return together(path, [_one(path, block) for block in blocks])


def _label(line: str) -> tuple[str, str]:
    if not line.startswith("##") or "=" not in line:
        return "", ""
    name, value = line[2:].split("=", 1)
    return re.sub(r"[\s\-/_]", "", name).upper(), value.strip()


def _blocks(lines: Sequence[str]) -> list[Block]:
    """Return the blocks in the order they begin; a link block holds labels alone."""
    done: list[Block] = []
    open_: list[Block] = []
    last = ""
    for k, raw in enumerate(lines, 1):
        line = raw.split("$$")[0].rstrip()
        name, value = _label(line)
        if name == "TITLE":
            open_.append(Block(k))
            done.append(open_[-1])
        if not open_:
            continue
        block = open_[-1]
        if name == "END":
            open_.pop()
            last = ""
        elif name in ("XYDATA", "XYPOINTS"):
            block.label, block.form, last = name, value.replace(" ", "").upper(), name
        elif name:
            block.labels[name] = value
            last = name
        elif last in ("XYDATA", "XYPOINTS") and line.strip():
            block.data.append((k, line))
        elif last and last in block.labels:
            block.labels[last] = f"{block.labels[last]}\n{line}".strip()
    return done


def _one(path: Path, block: Block) -> One:
    place = _("block at line {line}").format(line=block.line)
    try:
        x, y = _increments(path, block) if "++" in block.form else _pairs(path, block)
    except CheckError as error:
        said = _(
            "{path}: line {line} begins with {value:g} where the line before ended at {expected:g}; was a line lost in copying?"
        )
        raise SpectraTableError(said.format(path=path, line=error.args[0], value=error.args[1], expected=error.args[2])) from None
    except AsdfError as error:
        said = _("{path}: line {line} is no line of numbers: {text!r}; export the file anew")
        raise SpectraTableError(said.format(path=path, line=error.args[0], text=error.args[1][:40])) from None
    points = int(_value(path, block, "NPOINTS", len(y)))
    if points != len(y) or not points:
        said = _("{path}: {place}: holds {n} points where NPOINTS says {points}; was it cut short?")
        raise SpectraTableError(said.format(path=path, place=place, n=len(y), points=points))
    kind = KINDS.get(block.labels.get("YUNITS", "").upper().replace(" ", ""))
    return checked(path, One(place, _nm(path, block, x), y, _known(block), kind))


def _value(path: Path, block: Block, name: str, default: float | None = None) -> float:
    value = number(block.labels[name]) if name in block.labels else default
    if value is None or not np.isfinite(value):
        said = _("{path}: block at line {line}: {name} is {value!r}, no number; export the file anew")
        raise SpectraTableError(said.format(path=path, line=block.line, name=name, value=block.labels.get(name, "")))
    return value


def _increments(path: Path, block: Block) -> tuple[Floats, Floats]:
    lines = ordinates(block.data)
    y = np.array([value for line in lines for value in line.values], np.float64)
    first = _value(path, block, "FIRSTX")
    gaps = max(_value(path, block, "NPOINTS", len(y)) - 1, 1.0)
    last = _value(path, block, "LASTX", first + _value(path, block, "DELTAX", 0.0) * gaps)
    step = (last - first) / gaps
    _abscissae(path, block, lines, first, step)
    return first + step * np.arange(len(y), dtype=np.float64), y * _value(path, block, "YFACTOR", 1.0)


def _abscissae(path: Path, block: Block, lines: Sequence[Line], first: float, step: float) -> None:
    """Refuse a line whose abscissa is not the one counted: a line before it is missing, or stands twice."""
    factor, at, before = _value(path, block, "XFACTOR", 1.0), 0, False
    for line in lines:
        expected = first + step * (at - before)
        if abs(line.x * factor - expected) > max(X_TOLERANCE * abs(step), abs(factor)):
            said = _("{path}: line {line} begins at {x:g} where {expected:g} is due; was a line lost in copying?")
            raise SpectraTableError(said.format(path=path, line=line.number, x=line.x * factor, expected=expected))
        at += len(line.values)
        before = line.difference


def _pairs(path: Path, block: Block) -> tuple[Floats, Floats]:
    cells: list[float] = []
    for number_, text in block.data:
        own = [cell for cell in re.split(r"[\s,;]+", text.strip()) if cell]
        if len(own) % 2 or not all(FREE.fullmatch(cell) for cell in own):
            raise AsdfError(number_, text)
        cells += [float(cell) for cell in own]
    pairs = np.array(cells, np.float64).reshape(-1, 2)
    return pairs[:, 0] * _value(path, block, "XFACTOR", 1.0), pairs[:, 1] * _value(path, block, "YFACTOR", 1.0)


def _nm(path: Path, block: Block, x: Floats) -> Floats:
    unit = block.labels.get("XUNITS", "").upper().replace(" ", "")
    if unit in PER_CM and (x > 0).all():
        return np.asarray(1e7 / x, np.float64)
    if unit not in NM:
        said = _("{path}: block at line {line}: XUNITS is {unit!r}; spectra are read in {known}")
        raise SpectraTableError(said.format(path=path, line=block.line, unit=unit, known=", ".join((*NM, *PER_CM))))
    return x * NM[unit]


def _known(block: Block) -> dict[str, str | float]:
    known: dict[str, str | float] = {"title": block.labels.get("TITLE", "")}
    own = {name[1:]: value for name, value in block.labels.items() if name.startswith("$")}
    concentrations = dict(_CONCENTRATION.findall(block.labels.get("CONCENTRATIONS", "")))
    concentrations.pop("NCU", None)
    for name, text in {**own, **concentrations}.items():
        value = number(text)
        known[name] = text if value is None else value
    return known
