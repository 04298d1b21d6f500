"""What may go wrong with lens and light: dirt that grows on a lens, lamps that fade, dust, detectors that warm up."""

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from citrus_grade.config import Number
from citrus_grade.drivers.sim.nir_detector import Age

SMUDGE = 0.22
"""Radius of a smudge, as a share of the picture's width: dirt on a lens is far out of focus, its edge is soft."""
VEIL = 0.7
"""Share of the light a smudge takes from the picture that it spreads evenly over itself; the rest it swallows."""
_THICKEST = 0.95


class Faults(BaseModel):
    """The keys of ``[source]`` that make something fail; by default nothing does.

    ``stuck_cups`` is the share of cups whose rollers do not turn. From second ``dirt_from_s`` on a smudge grows on every lens,
    that takes ``dirt_pct_per_min`` more of the picture's contrast in its middle every minute. The lamp loses
    ``lamp_fade_pct_per_h`` of its first light an hour. The spectrometers' lamps age, their windows get dusty
    and their dark drifts ``nir_lamp_speed``, ``nir_dust_speed`` and ``nir_dark_speed`` times as fast as `nir_physics.AGEING`
    says, and ``nir_late_h`` such hours have gone by at the start.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    stuck_cups: Annotated[Number, Field(ge=0, le=1)] = 0.0
    dirt_pct_per_min: Annotated[Number, Field(ge=0)] = 0.0
    dirt_from_s: Annotated[Number, Field(ge=0)] = 0.0
    lamp_fade_pct_per_h: Annotated[Number, Field(ge=0)] = 0.0
    nir_lamp_speed: Annotated[Number, Field(ge=0)] = 1.0
    nir_dust_speed: Annotated[Number, Field(ge=0)] = 1.0
    nir_dark_speed: Annotated[Number, Field(ge=0)] = 1.0
    nir_late_h: Annotated[Number, Field(ge=0)] = 0.0

    def age(self, line_s: float) -> Age:
        """Return how old the spectrometers' references are at a time, lamp, dust and dark each by its own clock."""
        hours = line_s / 3600 + self.nir_late_h
        return Age(self.nir_lamp_speed * hours, self.nir_dust_speed * hours, self.nir_dark_speed * hours)

    def dirt(self, line_s: float) -> float:
        """Return how much contrast the middle of a smudge takes at a time, 0..1."""
        return min(max(line_s - self.dirt_from_s, 0.0) / 60 * self.dirt_pct_per_min / 100, _THICKEST)

    def light(self, line_s: float) -> float:
        """Return the lamp's light at a time, 1 at the start."""
        return max(1.0 - line_s / 3600 * self.lamp_fade_pct_per_h / 100, 0.0)


def smudge(seed: int, height_px: int, width_px: int) -> NDArray[np.float32]:
    """Return where a camera's lens gets dirty, (height_px, width_px) in 0..1: a round spot in the picture's inner half."""
    rng = np.random.default_rng([seed, 7])
    middle_y, middle_x = rng.uniform(0.25, 0.75, 2) * (height_px, width_px)
    y, x = np.arange(height_px)[:, None] - middle_y, np.arange(width_px)[None, :] - middle_x
    square = (x * x + y * y) / (SMUDGE * width_px) ** 2
    return np.asarray(np.exp(-(square**2)), np.float32)


def spoil(frame: NDArray[np.float32], light: float, dirt: float, where: NDArray[np.float32]) -> None:
    """Dim a frame and lay dirt over it, in place.

    Parameters
    ----------
    frame : (height, width) float32, counts before noise. light : the lamp's, 1 when new. dirt : `Faults.dirt`. where : `smudge`.
    """
    frame *= np.float32(light)
    for row in range(2):
        for column in range(2):
            one = frame[row::2, column::2]  # the pixels of one colour
            one += np.float32(dirt) * where[row::2, column::2] * (np.float32(VEIL) * one.mean() - one)
