"""A spectrometer that sees the spectra of a table, turned into counts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig, SpectrometerSection
from citrus_grade.drivers.files_options import FilesOptions, SpectraOfFile, problem
from citrus_grade.spectra_table import SpectraTableError, read

Floats = NDArray[np.float64]

DARK_COUNTS: Final = 900.0
WHITE_PEAK: Final = 0.9
"""Share of full scale that the white reference reaches."""
READ_NOISE: Final = 4.0
COUNTS_PER_E: Final = 0.04
_LANES_SEED: Final = 7


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """``absorbance`` (n, n_pixels) on the line's axis, ``reference`` (n,) of the target, ``row`` (n,) in the file."""

    wavelength_nm: Floats
    absorbance: Floats
    reference: Floats
    row: NDArray[np.int64]


def samples(config: LineConfig, options: FilesOptions, part: str) -> Samples:
    """Return the rows of ``[source.spectra]`` whose ``split_column`` holds ``part``, those without a reference value left out.

    Raises
    ------
    ConfigError : a table or a column that is not there, a range the table does not hold, or no such rows.
    """
    chosen, spectrometer = options.spectra, config.spectrometer
    assert chosen is not None
    assert spectrometer is not None
    first, last = spectrometer.wavelength_nm
    wavelength_nm = np.linspace(first, last, spectrometer.pixels)
    try:
        return _samples(options.data_folder / chosen.table, chosen, wavelength_nm, part)
    except SpectraTableError as error:
        raise problem(f"spectra: {error}") from error


def _samples(path: Path, chosen: SpectraOfFile, wavelength_nm: Floats, part: str) -> Samples:
    table = read(path, chosen.matrix)
    reference = table.numbers(chosen.column)
    split = table.column(chosen.split_column).astype(str)
    spectra = table.on_axis(wavelength_nm)
    with np.errstate(divide="ignore", invalid="ignore"):
        absorbance = -np.log10(spectra) if chosen.signal == "reflectance" else spectra
    mine = split == part
    if not mine.any():
        there = ", ".join(np.unique(split)[:8])
        raise SpectraTableError(f"{path}: no row has {part!r} in {chosen.split_column!r}; there are {there}")
    row = np.flatnonzero(mine & np.isfinite(reference) & np.isfinite(absorbance).all(axis=1))
    if not len(row):
        raise SpectraTableError(
            f"{path}: no row of {part!r} has a value in {chosen.column!r} and a whole {chosen.signal} spectrum"
        )
    return Samples(wavelength_nm, absorbance[row], reference[row], row)


class TableSpectrometer:
    """The spectrometers of all lanes; each lane has a lamp and a dark signal of its own, the same in every run.

    Parameters
    ----------
    reflectance : (n, n_pixels) of the samples that may pass.
    """

    def __init__(self, lanes: int, spectrometer: SpectrometerSection, reflectance: Floats, seed: int) -> None:
        self._dark, self._white = references(lanes, spectrometer)
        self._full_scale = spectrometer.full_scale
        # A sample brighter than the white reference would clip: such a table's lamp is turned down for every sample alike.
        self._reflectance = np.vstack([reflectance / max(1.0, float(reflectance.max())), np.zeros(spectrometer.pixels)])
        self._seed = seed

    def scan(self, seq: int, lanes: NDArray[np.int64], sample: NDArray[np.int64]) -> NDArray[np.uint16]:
        """One integration in each of ``lanes``; ``sample`` (n,) is what lies there, -1 nothing, which reflects nothing."""
        light = (self._white - self._dark)[lanes] * self._reflectance[sample]
        noise = np.random.default_rng([self._seed, seq, 8]).standard_normal((len(self._dark), light.shape[1]))[lanes]
        counts = self._dark[lanes] + light + np.sqrt(READ_NOISE**2 + COUNTS_PER_E * light) * noise
        return np.asarray(np.rint(counts.clip(0, self._full_scale)), np.uint16)


def references(lanes: int, spectrometer: SpectrometerSection) -> tuple[Floats, Floats]:
    """Return dark and white of every lane, (lanes, n_pixels) counts."""
    rng = np.random.default_rng([_LANES_SEED, lanes, spectrometer.pixels])
    across = np.linspace(-1, 1, spectrometer.pixels)
    dark = DARK_COUNTS + 40 * rng.standard_normal((lanes, 1)) + 8 * rng.standard_normal((lanes, spectrometer.pixels))
    lamp = np.exp(-0.5 * (across / 0.9) ** 2) * (1 + 0.05 * rng.standard_normal((lanes, 1)) * across)
    gain = 1 - 0.03 * rng.random((lanes, 1))
    white = WHITE_PEAK * spectrometer.full_scale * gain * lamp / lamp.max(axis=1, keepdims=True)
    return dark, np.maximum(white, dark + 1)


def trait_fields(options: FilesOptions) -> list[Any]:
    """Return what the truth says of a fruit's spectrum, as fields of a record."""
    return [("sample", "<i8"), (options.spectra.target, "<f8")] if options.spectra else []
