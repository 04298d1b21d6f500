"""Which headers of a table are wavelengths."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")
_NM: Final = ("nm", "nanometer", "nanometers", "nanometre", "nanometres", "纳米")
_UM: Final = ("um", "µm", "μm", "微米")
_PER_CM: Final = ("1/cm", "cm-1", "cm^-1", "cm⁻¹")
HEADER: Final = re.compile(
    r"(?P<before>|.*?[^\d.,]\.?)(?P<number>\d+(?:[.,]\d+)?)\.?"
    rf"(?:[\s_]*[(\[]?(?P<unit>{'|'.join(map(re.escape, (*_NM, *_UM, *_PER_CM)))})[)\]]?)?(?P<after>\D*)",
    re.IGNORECASE,
)
LEAST_PREFIXED: Final = 3
LEAST_AXIS: Final = 12
LEAST_NM: Final = 100.0
FAR_STEPS: Final = 20.0
MOST_UM: Final = 30.0
LEAST_WAVENUMBER: Final = 3500.0
ANOTHER: Final = 2
"""A set with a half as many columns as the largest may be meant as well as that."""
RENAMED: Final = 3
"""Where every third header or more is another one with ".1" behind it, a program told two columns of one name apart so."""
DARK: Final = ("dark",)
WHITE: Final = ("white", "reference_white", "whiteref")

Family = dict[int, float]


class Bands(NamedTuple):
    """``nm`` a wavelength for each column that holds a spectrum, by its index; ``dark`` and ``white`` likewise, mostly empty;
    ``aside`` are prefixes of further sets of wavelengths, which are not taken."""

    nm: Family
    dark: Family
    white: Family
    aside: tuple[str, ...] = ()


class TwoFamiliesError(ValueError):
    """Two sets of wavelength columns either of which may be meant; ``args`` are their prefixes."""


class RenamedError(ValueError):
    """Wavelengths that stand twice, the second time with ".1" behind them; ``args`` are one and its double."""


def bands(headers: Sequence[str], wanted: str | None = None) -> Bands:
    """Return which of ``headers`` are wavelengths, in nm.

    Plain numbers (650, 650.5, 650,5) come first; only where there are not two of them numbers with a unit (650 nm, 10000 cm-1),
    and only then numbers behind or before one and the same word (X650, wl_650nm, 650_A). ``dark_650`` and ``white_650`` are
    references.

    Parameters
    ----------
    wanted : the word of the set to take, where there are several.

    Raises
    ------
    TwoFamiliesError : two sets are about as large, or none is called as ``wanted``. RenamedError : two sets, the second renamed.
    """
    bare = [header.strip().strip("'\"").strip() for header in headers]
    families = _families(bare)
    dark, white = _taken(families, DARK), _taken(families, WHITE)
    plain = families.pop("", {})
    if wanted is not None:
        own = families.get(_folded(wanted))
        if own is None:
            raise TwoFamiliesError(*families)
        return Bands(own, dark, white)
    if len(plain) < 2:
        return Bands(_largest(families), dark, white)
    _not_renamed([header for header in bare if plain_nm(header) is not None])
    aside = tuple(name for name, family in families.items() if len(family) >= max(LEAST_AXIS, len(plain) / ANOTHER))
    return Bands(plain, dark, white, aside)


def channel_numbers(nm: Iterable[float]) -> bool:
    """Return whether wavelengths are nothing but 1, 2, 3 and so on: numbers of channels."""
    values = list(nm)
    return values[0] in (0.0, 1.0) and all(b - a == 1.0 for a, b in pairwise(values))


def headless(cells: Sequence[str]) -> bool:
    """Return whether a line that should hold headers holds a spectrum: numbers far below any wavelength, up and down."""
    values = [nm for cell in cells if (nm := plain_nm(cell.strip())) is not None]
    if len(values) < LEAST_PREFIXED or max(values) > LEAST_NM or all(value == round(value) for value in values):
        return False
    return not (all(a < b for a, b in pairwise(values)) or all(a > b for a, b in pairwise(values)))


def _together(found: Family) -> Family:
    """Leave out one or two columns that stand far from all others: a year or a number of something, no wavelength."""
    by_nm = sorted(found, key=lambda k: found[k])
    if len(by_nm) < LEAST_AXIS:
        return found
    nm = [found[k] for k in by_nm]
    far = FAR_STEPS * sorted(b - a for a, b in pairwise(nm))[len(nm) // 2 - 1]
    first = next((n for n in (2, 1) if nm[n] - nm[n - 1] > far), 0)
    last = next((n for n in (2, 1) if nm[-n] - nm[-n - 1] > far), 0)
    return {k: found[k] for k in by_nm[first : len(by_nm) - last]}


def _in_nm(found: Family) -> Family:
    """Return an axis in nm: fractions below 30 are micrometres, and an axis wholly beyond 3500 is in wavenumbers, 1/cm."""
    values = found.values()
    if found and max(values) < MOST_UM and any(value != round(value) for value in values):
        return {k: 1e3 * value for k, value in found.items()}
    if found and min(values) > LEAST_WAVENUMBER:
        return {k: 1e7 / value for k, value in found.items()}
    return found


def plain_nm(header: str) -> float | None:
    """Return a header that is nothing but a positive number."""
    return _positive(header) if NUMBER.fullmatch(header) else None


def _positive(text: str) -> float | None:
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) and value > 0 else None


def _families(headers: Sequence[str]) -> dict[str, Family]:
    """Return sets of wavelengths in nm by the word they share: "" for bare numbers, " " for those with nothing but a unit."""
    found: dict[tuple[str, str], Family] = {}
    for k, header in enumerate(headers):
        key, value = _parts(header)
        if value is not None:
            found.setdefault(key, {})[k] = value
    families: dict[str, Family] = {}
    for (name, unit), family in found.items():
        if len(family) >= (LEAST_PREFIXED if name.strip() else 1):
            families.setdefault(name, {}).update(_with_unit(_together(family), unit))
    return families


def _parts(header: str) -> tuple[tuple[str, str], float | None]:
    """Return a header's word and unit, and its number."""
    bare = plain_nm(header)
    if bare is not None:
        return ("", ""), bare
    match = HEADER.fullmatch(header)
    if match is None:
        return ("", ""), None
    unit = (match["unit"] or "").lower()
    name = _folded(match["before"] + match["after"])
    return (name or (" " if unit else ""), unit), _positive(match["number"])


def _folded(word: str) -> str:
    return word.casefold().strip(" _.-:()[]")


def _with_unit(family: Family, unit: str) -> Family:
    if unit in _PER_CM:
        return {k: 1e7 / value for k, value in family.items()}
    if unit in _UM:
        return {k: 1e3 * value for k, value in family.items()}
    return family if unit else _in_nm(family)


def _taken(families: dict[str, Family], prefixes: Sequence[str]) -> Family:
    return next((families.pop(prefix) for prefix in prefixes if prefix in families), {})


def _largest(families: dict[str, Family]) -> Family:
    with_unit = families.pop(" ", {})
    if len(with_unit) >= 2:
        return with_unit
    by_size = sorted(families, key=lambda prefix: -len(families[prefix]))
    if len(by_size) > 1 and len(families[by_size[0]]) <= ANOTHER * len(families[by_size[1]]):
        raise TwoFamiliesError(*by_size[:2])
    return families[by_size[0]] if by_size else {}


def _not_renamed(headers: Sequence[str]) -> None:
    there = set(headers)
    twice = [header for header in headers if f"{header}.1" in there]
    if len(twice) >= 2 and RENAMED * len(twice) >= len(headers):
        raise RenamedError(twice[0], f"{twice[0]}.1")
