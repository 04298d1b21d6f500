"""What kind of signal a table holds, and its absorbance.

Absorbance is -log10 of the reflectance or transmittance; these of counts are (counts - dark) / (white - dark).
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.errors import SpectraTableError, refuse
from citrus_grade.spectra_table.ids import as_text
from citrus_grade.spectra_table.table import Floats, SpectraTable
from citrus_grade.words import N_, _

Kind = Literal["absorbance", "reflectance", "transmittance", "counts"]
KINDS: Final[tuple[Kind, ...]] = ("absorbance", "reflectance", "transmittance", "counts")
_WORDS: Final = (N_("absorbance"), N_("reflectance"), N_("transmittance"), N_("counts"), N_("dark"), N_("white"))
LEAST_COUNTS: Final = 50.0
MOST_ABSORBANCE: Final = 10.0
MOST_REFLECTANCE: Final = 1.5
MOST_PCT: Final = 120.0
WATER_NM: Final = ((970.0, 900.0, 1060.0), (1450.0, 1300.0, 1640.0), (1940.0, 1830.0, 2100.0))
"""Water's bands, each with the shoulders beside it; what grows holds water, so there absorbance peaks and reflectance dips."""
LEAST_SHOULDER_NM: Final = 45.0
"""How far beyond a band a spectrum has to reach to show its fall."""
WATER_SHARE: Final = 0.02
"""Least height of such a band, of the median spectrum's range, that counts as seen."""
DARK_WORDS: Final = ("dark", "dark reference", "暗", "暗参考")
WHITE_WORDS: Final = ("white", "white reference", "reference", "白", "白板", "白参考")


@dataclass(frozen=True, slots=True)
class Guess:
    """A kind and why; ``reason`` is in the language set, ``sure`` whether no other kind looks so."""

    kind: Kind
    reason: str
    sure: bool = True


def guess_kind(table: SpectraTable, wider: SpectraTable | None = None) -> Guess:
    """Return what kind of signal a table holds, with the reason.

    The file's own word counts first; then values no other kind can have; then whether water's bands are peaks or dips, looked
    for in ``wider``, the same spectra before a range was cut out of them.
    """
    if table.kind in KINDS:
        return Guess(table.kind, _("the file says so"))
    if table.white is not None:
        return Guess("counts", _("white references stand beside the spectra"))
    finite = table.spectra[np.isfinite(table.spectra)]
    low, high = _ordinary_range(table)
    whole = bool((finite == np.rint(finite)).all())
    if high > MOST_PCT or (whole and high > LEAST_COUNTS):
        return Guess("counts", _("values up to {high:g}").format(high=high))
    if high > MOST_ABSORBANCE:
        return Guess("reflectance", _("values up to {high:g}, per cent").format(high=high))
    if low > 0 and high > MOST_REFLECTANCE and water_height(wider or table) < -WATER_SHARE:
        return Guess("reflectance", _("water's bands are dips"))
    if low <= 0 or high > MOST_REFLECTANCE:
        return Guess("absorbance", _("values from {low:g} to {high:g}").format(low=low, high=high))
    return _by_water(wider or table, low, high)


def _ordinary_range(table: SpectraTable) -> tuple[float, float]:
    """Return the least and largest value of an ordinary row: one odd cell says nothing of the whole table."""
    finite = np.where(np.isfinite(table.spectra), table.spectra, np.nan)
    rows = finite[np.isfinite(finite).any(axis=1)]
    if not len(rows):
        return 0.0, 0.0
    return float(np.median(np.nanmin(rows, axis=1))), float(np.median(np.nanmax(rows, axis=1)))


def _by_water(table: SpectraTable, low: float, high: float) -> Guess:
    height = water_height(table)
    if height > WATER_SHARE:
        return Guess("absorbance", _("water's bands stand out as peaks"))
    if height < -WATER_SHARE:
        return Guess("reflectance", _("water's bands are dips"))
    return Guess("reflectance", _("values from {low:g} to {high:g}").format(low=low, high=high), sure=False)


def water_height(table: SpectraTable) -> float:
    """Return how far water's bands rise (or, negative, dip) above their shoulders, as a share of the median spectrum's range."""
    whole_rows = np.isfinite(table.spectra).all(axis=1)
    if not whole_rows.any():
        return 0.0
    nm, middle = table.wavelength_nm, np.median(table.spectra[whole_rows], axis=0)
    heights = []
    for peak, left, right in WATER_NM:
        if nm[0] <= left and peak + LEAST_SHOULDER_NM <= nm[-1]:
            right = min(right, float(nm[-1]))
            at, before, after = np.interp([peak, left, right], nm, middle)
            heights.append(at - before - (after - before) * (peak - left) / (right - left))
    return float(max(heights, key=abs, default=0.0) / max(np.ptp(middle), np.finfo(float).tiny))


def as_absorbance(table: SpectraTable, kind: Kind) -> Floats:
    """Return the absorbance (n, p) of a table's spectra.

    Per cent is seen by its size. Counts without a white reference give absorbance but for a constant of each wavelength, the
    lamp's shape: the same in every row of one instrument, so models from one instrument do not mind.

    Raises
    ------
    SpectraTableError : a value that is no positive number where a logarithm is due; file, row, wavelength and remedy are said.
    """
    refuse(table.path, list(faults(table, kind).values()))
    if kind == "absorbance":
        return table.spectra
    return np.asarray(-np.log10(_light(table, kind)), np.float64)


def faults(table: SpectraTable, kind: Kind) -> dict[int, str]:
    """Return the rows whose spectra have no absorbance, and what is wrong with each: `broken`, or no light.

    Raises
    ------
    SpectraTableError : a white reference that is none.
    """
    found = broken(table)
    if kind == "absorbance":
        return found
    bad = ~(_light(table, kind) > 0)
    bad[list(found)] = False
    said = _("{place}: the signal, {kind}, is {value:g} at {nm:g} nm ({n} in this row); {hint}")
    for k in np.flatnonzero(bad.any(axis=1)).tolist():
        at = int(np.flatnonzero(bad[k])[0])
        own = {"value": table.spectra[k, at], "nm": table.wavelength_nm[at], "n": int(bad[k].sum())}
        found[k] = said.format(place=table.places[k], kind=_(kind), hint=_hint(kind), **own)
    return dict(sorted(found.items()))


def _hint(kind: Kind) -> str:
    if kind == "counts":
        return _("the fruit must be brighter than the dark reference; narrow the range or delete the row")
    return _("a logarithm needs more than 0; narrow the range, mend the row, or name another kind of signal")


def _light(table: SpectraTable, kind: Kind) -> Floats:
    """Return the share of light (n, p) that a table's spectra stand for."""
    if kind != "counts":
        return table.spectra / (100.0 if is_pct(table.spectra) else 1.0)
    shape = table.spectra.shape
    dark = np.zeros(shape) if table.dark is None else np.broadcast_to(table.dark, shape)
    light = table.spectra - dark
    if table.white is None:
        return light
    white = np.broadcast_to(table.white, shape)
    _good_white(table, dark, white)
    return np.asarray(light / (white - dark), np.float64)


def is_pct(spectra: Floats) -> bool:
    """Return whether reflectance or transmittance is in per cent: most of its largest values lie above what a share can be."""
    largest = np.where(np.isfinite(spectra), spectra, -np.inf).max(axis=1)
    return bool(np.median(largest) > 2 * MOST_REFLECTANCE)


def whole(table: SpectraTable) -> None:
    """Refuse spectra that `broken` finds."""
    refuse(table.path, list(broken(table).values()))


def broken(table: SpectraTable) -> dict[int, str]:
    """Return the rows whose spectrum has missing or infinite values, or is one value throughout, and say where each stands."""
    bad = ~np.isfinite(table.spectra)
    missing = _("{place}: the spectrum has {value} at {nm:g} nm ({n} in this row); measure it anew or delete the row")
    flat = _("{place}: the spectrum is {value:g} at every wavelength; no fruit looks so, delete the row")
    constant = np.flatnonzero((table.spectra == table.spectra[:, :1]).all(axis=1)).tolist()
    problems = {k: flat.format(place=table.places[k], value=table.spectra[k, 0]) for k in constant}
    for k in np.flatnonzero(bad.any(axis=1)).tolist():
        at = int(np.flatnonzero(bad[k])[0])
        value = _("no value") if np.isnan(table.spectra[k, at]) else _("an infinite value")
        nm = table.wavelength_nm[at]
        problems[k] = missing.format(place=table.places[k], value=value, nm=nm, n=int(bad[k].sum()))
    return dict(sorted(problems.items()))


def counts_to_absorbance(table: SpectraTable, dark: Floats | None, white: Floats | None) -> Floats:
    """Return the absorbance (n, p) of counts.

    Parameters
    ----------
    table : its spectra are the counts.
    dark, white : (p,), (1, p) or (n, p) counts. Without ``dark`` it is 0; without ``white`` see `as_absorbance`.

    Raises
    ------
    SpectraTableError : white that is zero, negative or not above dark, counts not above dark.
    """
    return as_absorbance(replace(table, dark=dark, white=white), "counts")


def _good_white(table: SpectraTable, dark: Floats, white: Floats) -> None:
    said = _("{place}: the white reference is {white:g} at {nm:g} nm, where dark is {dark:g}; {do}")
    do = _("white must be above 0 and above dark: measure white anew with the lamp on, or narrow the range")
    bad = ~((white > 0) & (white > dark))
    problems = []
    for k in np.flatnonzero(bad.any(axis=1)).tolist():
        at = int(np.flatnonzero(bad[k])[0])
        own = said.format(place=table.places[k], white=white[k, at], nm=table.wavelength_nm[at], dark=dark[k, at], do=do)
        problems.append(own)
    refuse(table.path, problems)


def with_references(table: SpectraTable, dark: SpectraTable | None = None, white: SpectraTable | None = None) -> SpectraTable:
    """Return a table of counts with its dark and white: the means of the tables given, or of rows called so in a column of words.

    Raises
    ------
    SpectraTableError : references on other wavelengths.
    """
    rest, own = _rows_called(table)
    means = {"dark": own["dark"], "white": own["white"]}
    for side, given in (("dark", dark), ("white", white)):
        if given is not None:
            _same_axis(rest.path, given.path, rest.wavelength_nm, given.wavelength_nm, side)
            whole(given)
            means[side] = given.spectra.mean(axis=0, keepdims=True)
    return replace(
        rest,
        dark=means["dark"] if means["dark"] is not None else rest.dark,
        white=means["white"] if means["white"] is not None else rest.white,
    )


def _rows_called(table: SpectraTable) -> tuple[SpectraTable, dict[str, Floats | None]]:
    called: dict[str, NDArray[np.bool_]] = {side: np.zeros(len(table.spectra), np.bool_) for side in ("dark", "white")}
    for column in table.columns.values():
        if column.dtype.kind in "US":
            words = [cell.casefold() for cell in as_text(column)]
            called["dark"] |= np.isin(words, DARK_WORDS)
            called["white"] |= np.isin(words, WHITE_WORDS)
    means = {side: table.spectra[rows].mean(axis=0, keepdims=True) if rows.any() else None for side, rows in called.items()}
    return table.rows(~(called["dark"] | called["white"])), means


def _same_axis(path: Path, other: Path, nm: Floats, other_nm: Floats, side: str) -> None:
    if len(nm) == len(other_nm) and np.allclose(nm, other_nm, rtol=0, atol=1e-3):
        return
    said = _("{other}: the {side} reference has other wavelengths than {path}; measure it with the same instrument and settings")
    raise SpectraTableError(said.format(other=other, side=_(side), path=path))
