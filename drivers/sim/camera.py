"""The simulated camera: raw Bayer frames of fruit whose every property is known.

Two calls with the same arguments give the same bytes, in any order and on any number of threads: the sensor's noise comes from
``(seed, seq)`` alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.faults import smudge, spoil
from citrus_grade.drivers.sim.render_belt import lay, roll_out
from citrus_grade.drivers.sim.render_fruit import draw
from citrus_grade.drivers.sim.render_noise import coarse_tile, fine_tile
from citrus_grade.drivers.sim.sensor import BANK, FORMATS, mosaics, read_out
from citrus_grade.drivers.sim.skin import skins

DEFOCUS_PX = 0.5
"""Standard deviation of the lens's blur, the pixel's own width included."""


@dataclass(frozen=True, slots=True)
class Optics:
    """A camera above the belt, looking straight down; its axis meets the belt under the middle of the image.

    Pixel (row, column) has its centre at exactly (row, column), so the axis is at ``((height_px - 1) / 2, (width_px - 1) / 2)``.

    Parameters
    ----------
    width_px, height_px : the sensor; columns run along the belt.
    px_per_mm : scale at the belt plane z = 0. At height z it is ``lens_height_mm / (lens_height_mm - z)`` times that.
    lens_height_mm : the lens above the belt plane.
    bayer : one of `sensor.FORMATS`.
    blur_px : how far the belt moves during an exposure.
    read_noise : counts of 8 bits.
    full_well_e : electrons of a count of 255; sets the shot noise.
    """

    width_px: int
    height_px: int
    px_per_mm: float
    lens_height_mm: float
    bayer: str = "RGGB"
    blur_px: float = 0.6
    read_noise: float = 1.6
    full_well_e: float = 9000.0

    def __post_init__(self) -> None:
        if self.bayer not in FORMATS:
            raise ValueError(f"bayer = {self.bayer!r}: use one of {', '.join(FORMATS)}")


class SimCamera:
    """Takes raw frames of simulated fruit.

    Parameters
    ----------
    optics : the camera.
    seed : draws the sensor's noise, the belt's wear and where the lens gets dirty.
    lane_y_px : rows of the lanes' middles; dividers lie half-way between.
    """

    def __init__(self, optics: Optics, seed: int, lane_y_px: Sequence[float]) -> None:
        self.optics = optics
        self._seed = seed
        self._belt = roll_out(seed, optics.height_px, optics.px_per_mm, lane_y_px)
        self._gain = _light_field(optics)
        self._smudge = smudge(seed, optics.height_px, optics.width_px)
        self._mosaics = mosaics(optics.bayer)
        self._noise = np.random.default_rng([seed, 5]).standard_normal(BANK, np.float32)
        self._sigma_px = float(np.hypot(DEFOCUS_PX, optics.blur_px / np.sqrt(12))), DEFOCUS_PX
        self._fine = fine_tile(round(self._sigma_px[0] / optics.px_per_mm, 3))

    def expose(
        self,
        seq: int,
        belt_mm: float,
        fruit: NDArray[Any],
        x_px: NDArray[np.float64],
        y_px: NDArray[np.float64],
        pose: NDArray[np.float64],
        *,
        light: float = 1.0,
        dirt: float = 0.0,
    ) -> NDArray[np.uint8]:
        """Take one frame.

        Parameters
        ----------
        seq : the frame's number; with the camera's seed it draws the noise.
        belt_mm : how far the belt has travelled towards higher columns.
        fruit : (n,) `TRUTH`. A fruit listed later is drawn over one listed earlier.
        x_px, y_px : (n,) where on the belt plane each fruit lies: column and row of the point under its centre.
        pose : (n, 3, 3) rotations, fruit frame to camera frame (x along columns, y along rows, z to the lens).
        light, dirt : see `faults.Faults`.

        Returns
        -------
        (height_px, width_px) uint8, of an ``rgb`` camera (height_px, width_px, 3).
        """
        optics = self.optics
        centres = _centres_mm(optics, fruit, x_px, y_px, pose)
        painted = skins(fruit)
        layers = [self._drawn(mosaic, belt_mm, painted, centres, pose) for mosaic in self._mosaics]
        if light < 1 or dirt > 0:
            for layer in layers:
                spoil(layer, light, dirt, self._smudge)
        rng = np.random.default_rng([self._seed, seq, 6])
        return read_out(layers, optics.bayer, self._noise, rng, optics.read_noise, 255.0 / optics.full_well_e)

    def _drawn(
        self, mosaic: NDArray[np.int64], belt_mm: float, painted: NDArray[Any], centres: NDArray[np.float64], pose: NDArray[Any]
    ) -> NDArray[np.float32]:
        optics = self.optics
        frame = np.empty((optics.height_px, optics.width_px), np.float32)
        lay(frame, self._gain, mosaic, self._belt, belt_mm * optics.px_per_mm)
        for skin, centre_mm, turn in zip(painted, centres, pose, strict=True):
            draw(
                frame, self._gain, mosaic, optics.px_per_mm, optics.lens_height_mm, self._sigma_px,
                skin, self._fine, coarse_tile(), centre_mm, np.ascontiguousarray(turn, np.float64),
            )  # fmt: skip
        return frame


def _centres_mm(
    optics: Optics, fruit: NDArray[Any], x_px: NDArray[np.float64], y_px: NDArray[np.float64], pose: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return (n, 3) centres from the optical axis's foot; a fruit touches the belt plane with its lowest point."""
    semi = np.stack((fruit["diameter_mm"], fruit["diameter_mm"], fruit["height_mm"]), axis=1) / 2
    rise = np.linalg.norm(np.asarray(pose)[:, 2, :] * semi, axis=1)
    x_mm = (np.asarray(x_px) - (optics.width_px - 1) / 2) / optics.px_per_mm
    y_mm = (np.asarray(y_px) - (optics.height_px - 1) / 2) / optics.px_per_mm
    return np.stack((x_mm, y_mm, rise), axis=1)


def _light_field(optics: Optics) -> NDArray[np.float32]:
    """Return how evenly the field is lit: a few percent lower in the corners, a little stronger on one side."""
    y, x = np.mgrid[-1 : 1 : optics.height_px * 1j, -1 : 1 : optics.width_px * 1j]
    field: NDArray[np.float32] = (1 - 0.035 * x**2 - 0.045 * y**2 + 0.012 * x - 0.015 * y).astype(np.float32)
    return field
