"""How absorbance is prepared: which wavelengths, which normalisation, which derivative; and which of these are worth trying."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_coeffs

from citrus_grade.spectra import scatter
from citrus_grade.spectra.bands import Band, band, identity, matrix_of
from citrus_grade.spectra.model import Preprocessing

Floats = NDArray[np.float64]

SCATTERS: Final = ("none", "snv", "msc", "emsc")
LEAST_POINTS: Final = 12
"""Wavelengths a range must hold to be tried at all."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """``low_nm`` to ``high_nm``; ``scatter`` of `SCATTERS`; Savitzky-Golay ``derivative`` 0..2 over ``points`` (1: none)."""

    low_nm: float
    high_nm: float
    scatter: str
    derivative: int
    points: int

    def to_dict(self) -> dict[str, Any]:
        """Return it as a card keeps it."""
        return asdict(self)

    def __str__(self) -> str:
        derivative = f"SG({self.points}, 2, {self.derivative})" if self.points > 1 else "no derivative"
        return f"{self.low_nm:g}-{self.high_nm:g} nm, {self.scatter.upper()}, {derivative}"


def preprocessing(recipe: Recipe, wavelength_nm: Floats, absorbance: Floats) -> Preprocessing:
    """Make a recipe concrete.

    Parameters
    ----------
    wavelength_nm : (p,), rising. absorbance : (n, p), whose mean is the reference of MSC and EMSC.
    """
    inside = np.flatnonzero((wavelength_nm >= recipe.low_nm) & (wavelength_nm <= recipe.high_nm))
    nm = np.array(wavelength_nm[inside], np.float64)
    kind = {"none": scatter.NONE, "snv": scatter.SNV}.get(recipe.scatter, scatter.FITTED)
    shapes = _shapes(recipe.scatter, nm, absorbance[:, inside].mean(0))
    return Preprocessing(nm, identity(len(nm)), kind, shapes, savitzky_golay(len(nm), recipe.points, recipe.derivative))


def _shapes(name: str, nm: Floats, mean: Floats) -> Floats:
    """What a row is fitted by: the mean spectrum, a constant, and for EMSC slope and bend."""
    across = np.linspace(-1.0, 1.0, len(nm))
    if name == "msc":
        return np.stack([mean, np.ones_like(nm)])
    if name == "emsc":
        return np.stack([mean, np.ones_like(nm), across, across**2])
    return np.zeros((0, len(nm)))


def savitzky_golay(n: int, points: int, derivative: int, order: int = 2) -> Band:
    """Return a Savitzky-Golay filter over ``n`` wavelengths; the ends take the polynomial of the outermost full window.

    Savitzky and Golay 1964, Anal. Chem. 36, 1627; ends as in Gorry 1990, Anal. Chem. 62, 570.
    """
    if points == 1:
        return identity(n)
    half = points // 2
    taps = np.repeat(savgol_coeffs(points, order, deriv=derivative, use="dot")[:, None], n, axis=1)
    for i in range(half):
        taps[:, i] = savgol_coeffs(points, order, deriv=derivative, pos=i, use="dot")
        taps[:, n - half + i] = savgol_coeffs(points, order, deriv=derivative, pos=half + 1 + i, use="dot")
    return band(taps, np.clip(np.arange(n) - half, 0, n - points))


def normal(made: Preprocessing, absorbance: Floats) -> Floats:
    """Return absorbance (n, n_in) at the preprocessing's wavelengths as it is normalised, (n, n_z)."""
    if made.before.taps.shape[0] > 1:
        absorbance = absorbance @ matrix_of(made.before, absorbance.shape[1])
    return scatter.rows(absorbance, made.scatter, made.shapes)


def features(made: Preprocessing, absorbance: Floats) -> Floats:
    """Return what the regression sees of absorbance (n, n_in): normalised and derived, (n, n_out)."""
    z = normal(made, absorbance)
    return np.asarray(z @ matrix_of(made.after, z.shape[1]) if len(made.after.taps) > 1 else z, np.float64)


def window(wavelength_nm: Floats, recipe: Recipe) -> NDArray[np.bool_]:
    """Return which wavelengths a recipe uses."""
    return np.asarray((wavelength_nm >= recipe.low_nm) & (wavelength_nm <= recipe.high_nm))


def recipes(wavelength_nm: Floats, range_nm: tuple[float, float] | None = None) -> list[Recipe]:
    """Return the recipes worth trying on an axis, simple ones first.

    A range given by the caller is kept; else the whole axis is tried, and the near infrared part of it where it begins in the
    visible: chlorophyll and skin colour tell of the season, not of the flesh.
    """
    found = []
    for low_nm, high_nm in _ranges(wavelength_nm, range_nm):
        n = int(((wavelength_nm >= low_nm) & (wavelength_nm <= high_nm)).sum())
        widths = _widths(n)
        for derivative, points in [(0, 1), *((1, w) for w in widths), *((2, w) for w in widths if w >= 11)]:
            kinds = ("none", "snv") if points > 1 else SCATTERS
            found += [Recipe(low_nm, high_nm, kind, derivative, points) for kind in kinds]
        if widths:
            found.append(Recipe(low_nm, high_nm, "emsc", 1, widths[len(widths) // 2]))
    return found


def _ranges(nm: Floats, range_nm: tuple[float, float] | None) -> list[tuple[float, float]]:
    low, high = float(nm[0]), float(nm[-1])
    ranges = [(low, high)] if range_nm is None else [(max(low, range_nm[0]), min(high, range_nm[1]))]
    if range_nm is None and low < 700.0 and high >= 900.0:
        ranges.append((700.0, min(high, 1100.0)))
    if range_nm is None and low < 900.0 and high > 1000.0:
        ranges.append((max(low, 700.0), 960.0))
    return [(a, b) for a, b in ranges if ((nm >= a) & (nm <= b)).sum() >= LEAST_POINTS]


def _widths(n: int) -> list[int]:
    """Return odd filter widths, in points, from narrow to a sixth of the range."""
    return [w for w in (7, 13, 21, 35, 55) if w <= max(n // 6, 7) and w < n]
