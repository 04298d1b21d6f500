"""Which headers of a table are wavelengths."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)?(?:[eE][+-]?\d+)?")
WITH_UNIT: Final = re.compile(r"(?P<number>\d+(?:[.,]\d+)?)\s*\(?(?P<unit>nm|1/cm|cm-1|cm\^-1|cm⁻¹)\)?", re.IGNORECASE)
PREFIXED: Final = re.compile(r"(?P<prefix>.*?[^\d.,])(?P<number>\d+(?:[.,]\d+)?)\s*(?:nm)?", re.IGNORECASE)
LEAST_PREFIXED: Final = 3
LEAST_AXIS: Final = 12
FAR_STEPS: Final = 20.0
MOST_UM: Final = 30.0
LEAST_WAVENUMBER: Final = 3500.0
DARK: Final = ("dark",)
WHITE: Final = ("white", "reference_white", "whiteref")


class Bands(NamedTuple):
    """``nm`` a wavelength for each column that holds a spectrum, by its index; ``dark`` and ``white`` likewise, mostly empty."""

    nm: dict[int, float]
    dark: dict[int, float]
    white: dict[int, float]


class TwoFamiliesError(ValueError):
    """Two sets of wavelength columns of the same size; ``args`` are their prefixes."""


def bands(headers: Sequence[str]) -> Bands:
    """Return which of ``headers`` are wavelengths, in nm.

    Plain numbers (650, 650.5, 650,5) come first; only where there are not two of them numbers with a unit (650 nm, 10000 cm-1),
    and only then numbers behind one and the same prefix (X650, wl650). ``dark_650`` and ``white_650`` are references.

    Raises
    ------
    TwoFamiliesError : two prefixes have as many wavelengths.
    """
    stripped = [header.strip() for header in headers]
    families = _families(stripped)
    dark, white = _taken(families, DARK), _taken(families, WHITE)
    plain = {k: nm for k, header in enumerate(stripped) if (nm := plain_nm(header)) is not None}
    plain = _in_nm(_together(plain))
    if len(plain) < 2:
        plain = {k: nm for k, header in enumerate(stripped) if (nm := _unit_nm(header)) is not None}
    return Bands(plain if len(plain) >= 2 else _largest(families), dark, white)


def _together(found: dict[int, float]) -> dict[int, float]:
    """Leave out one or two columns that stand far from all others: a year or a number of something, no wavelength."""
    by_nm = sorted(found, key=lambda k: found[k])
    if len(by_nm) < LEAST_AXIS:
        return found
    nm = [found[k] for k in by_nm]
    far = FAR_STEPS * sorted(b - a for a, b in pairwise(nm))[len(nm) // 2 - 1]
    first = next((n for n in (2, 1) if nm[n] - nm[n - 1] > far), 0)
    last = next((n for n in (2, 1) if nm[-n] - nm[-n - 1] > far), 0)
    return {k: found[k] for k in by_nm[first : len(by_nm) - last]}


def _in_nm(found: dict[int, float]) -> dict[int, float]:
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


def _unit_nm(header: str) -> float | None:
    match = WITH_UNIT.fullmatch(header)
    number = match and _positive(match["number"])
    if not match or not number:
        return None
    return number if match["unit"].lower() == "nm" else 1e7 / number


def _positive(text: str) -> float | None:
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) and value > 0 else None


def _families(headers: Sequence[str]) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for k, header in enumerate(headers):
        match = PREFIXED.fullmatch(header)
        number = match and _positive(match["number"])
        if match and number:
            found.setdefault(match["prefix"].casefold().rstrip(" _.-:"), {})[k] = number
    return {prefix: family for prefix, family in found.items() if len(family) >= LEAST_PREFIXED}


def _taken(families: dict[str, dict[int, float]], prefixes: Sequence[str]) -> dict[int, float]:
    return next((families.pop(prefix) for prefix in prefixes if prefix in families), {})


def _largest(families: dict[str, dict[int, float]]) -> dict[int, float]:
    by_size = sorted(families, key=lambda prefix: -len(families[prefix]))
    if len(by_size) > 1 and len(families[by_size[0]]) == len(families[by_size[1]]):
        raise TwoFamiliesError(*by_size[:2])
    return families[by_size[0]] if by_size else {}
