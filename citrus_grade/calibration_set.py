"""The calibration set as the line applies it: millimetres, grams and references of light."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from citrus_grade.artefacts import Artefact
from citrus_grade.config import LineConfig

KIND = "calibration"


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """What was measured of this line on a day.

    ``scale`` (n_lanes, 2): ``diameter_mm = scale[0] + scale[1] * nominal``; ``scale_sigma_mm`` (n_lanes,) what is left after it;
    ``density_g_per_ml`` (2,) mean and sigma of the variety; ``dark``, ``white`` (n_lanes, n_pixels) counts; ``colour`` (2**15,)
    named colours learnt on this line, see `imaging.colour.table_of`, or none: those of the rules.
    """

    id: str
    scale: NDArray[np.float64]
    scale_sigma_mm: NDArray[np.float64]
    density_g_per_ml: NDArray[np.float64]
    dark: NDArray[np.float64]
    white: NDArray[np.float64]
    colour: NDArray[np.uint8] | None = None

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

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return what an artefact stores."""
        names = ("scale", "scale_sigma_mm", "density_g_per_ml", "dark", "white")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def of(cls, artefact: Artefact) -> "CalibrationSet":
        """Return the set an artefact holds."""
        arrays = dict(artefact.arrays)
        colour = arrays.pop("colour", None)
        return cls(
            id=artefact.id,
            colour=None if colour is None else np.asarray(colour, np.uint8),
            **{name: np.asarray(array, np.float64) for name, array in arrays.items()},
        )
