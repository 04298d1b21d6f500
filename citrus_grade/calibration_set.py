"""The calibration set as the line applies it: millimetres, grams, where lanes and cups lie, references of light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from citrus_grade.artefacts import Artefact
from citrus_grade.config import LineConfig

KIND = "calibration"
_ALWAYS = ("scale", "scale_sigma_mm", "density_g_per_ml", "dark", "white")
_WHERE_MEASURED = ("lens", "lane_y_px", "cup_x_px", "colour", "wavelength_nm", "transmission", "integration_us")

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CalibrationSet:
    """What was measured of this line on a day; what is None was not: there the configuration holds.

    ``scale`` (n_lanes, 2): ``diameter_mm = scale[0] + scale[1] * nominal``; ``scale_sigma_mm`` (n_lanes,) what is left after it;
    ``density_g_per_ml`` (2,) mean and sigma of the variety; ``dark``, ``white`` (n_lanes, n_pixels) counts.

    ``lens`` (n_cameras, 5): optical axis x, y and focal length in px, then k1, k2: a point ``r`` focal lengths off the axis is
    seen at ``r * (1 + k1 * r**2 + k2 * r**4)`` (Brown, Photogrammetric Engineering 32, 444, 1966). All other places in pixels are
    those of a lens without k1 and k2. ``lane_y_px`` (n_cameras, n_lanes) middles of the lanes; ``cup_x_px`` (n_cameras, n_lanes)
    middle of the cup in window 0 as the station's tick comes. ``colour`` (2**15,) named colours learnt on this line, see
    `imaging.colour.table_of`. ``wavelength_nm`` (n_lanes, n_pixels) of each lane's spectrometer, rising. ``transmission``
    (n_lanes, n_pixels) of the attenuator that a running line takes its white through, as a share of the light behind ``white``;
    None where ``white`` was taken through it. ``integration_us`` (n_lanes,) of the references.
    """

    id: str
    scale: Floats
    scale_sigma_mm: Floats
    density_g_per_ml: Floats
    dark: Floats
    white: Floats
    lens: Floats | None = None
    lane_y_px: Floats | None = None
    cup_x_px: Floats | None = None
    colour: NDArray[np.uint8] | None = None
    wavelength_nm: Floats | None = None
    transmission: Floats | None = None
    integration_us: Floats | None = None

    @classmethod
    def nominal(cls, config: LineConfig) -> "CalibrationSet":
        """Return the drawing-board calibration: the optics of the configuration, no bias, water-like fruit, ideal references."""
        lanes = config.line.lanes
        pixels = config.spectrometer.pixels if config.spectrometer else 0
        full = float(config.spectrometer.full_scale) if config.spectrometer else 1.0
        return cls(
            id="0" * 16,
            scale=np.tile([0.0, 1.0], (lanes, 1)),
            scale_sigma_mm=np.full(lanes, 0.5),
            density_g_per_ml=np.array([0.90, 0.03]),
            dark=np.zeros((lanes, pixels)),
            white=np.full((lanes, pixels), full),
        )

    def axis_nm(self, config: LineConfig) -> Floats:
        """Return the wavelength of every lane's pixels, (n_lanes, n_pixels): as measured, or as the configuration says."""
        if self.wavelength_nm is not None:
            return self.wavelength_nm
        nominal = config.spectrometer.axis_nm if config.spectrometer else np.zeros(0)
        return np.tile(nominal, (config.line.lanes, 1))

    def arrays(self) -> dict[str, NDArray[np.float64] | NDArray[np.uint8]]:
        """Return what an artefact stores."""
        named = {name: getattr(self, name) for name in _ALWAYS + _WHERE_MEASURED}
        return {name: array for name, array in named.items() if array is not None}

    @classmethod
    def of(cls, artefact: Artefact) -> "CalibrationSet":
        """Return the set an artefact holds."""
        found = dict(artefact.arrays)
        colour = found.pop("colour", None)
        floats = {name: np.asarray(array, np.float64) for name, array in found.items()}
        return cls(id=artefact.id, colour=None if colour is None else np.asarray(colour, np.uint8), **floats)
