"""A camera that sees pictures of real fruit lying on drawn rollers."""

from collections.abc import Iterable
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import CameraSection
from citrus_grade.drivers.files_pictures import Patch
from citrus_grade.drivers.sim.render_belt import lay, roll_out
from citrus_grade.drivers.sim.sensor import BANK, mosaics, read_out

READ_NOISE: Final = 1.2
"""Counts of 8 bits; the pictures bring noise of their own."""
COUNTS_PER_E: Final = 255.0 / 20_000
SHADOW: Final = 0.55
"""Share of the light that a fruit keeps from the rollers right beside it."""
SHADOW_MM: Final = 5.0


class PictureCamera:
    """Takes raw frames of a belt with cut-out fruit on it; a frame depends on the camera's seed and its own number alone."""

    def __init__(self, camera: CameraSection, seed: int) -> None:
        self._camera = camera
        self._seed = seed
        self._belt = roll_out(seed, camera.height_px, camera.px_per_mm, camera.lane_y_px)
        self._even_light = np.ones((camera.height_px, camera.width_px), np.float32)
        self._mosaics = mosaics(camera.bayer)
        self._noise = np.random.default_rng([seed, 5]).standard_normal(BANK, np.float32)

    def expose(self, seq: int, belt_mm: float, fruit: Iterable[tuple[Patch, float, float]]) -> NDArray[np.uint8]:
        """Take one frame.

        Parameters
        ----------
        seq : the frame's number. belt_mm : how far the belt has travelled towards higher columns.
        fruit : each a view and where its middle lies, column and row.

        Returns
        -------
        (height_px, width_px) uint8, of an ``rgb`` camera (height_px, width_px, 3).
        """
        camera, layers = self._camera, []
        for mosaic in self._mosaics:
            layers.append(np.empty((camera.height_px, camera.width_px), np.float32))
            lay(layers[-1], self._even_light, mosaic, self._belt, belt_mm * camera.px_per_mm)
        for view, x_px, y_px in fruit:
            for layer, mosaic in zip(layers, self._mosaics, strict=True):
                self._paste(layer, mosaic, view, x_px, y_px)
        rng = np.random.default_rng([self._seed, seq, 6])
        return read_out(layers, camera.bayer, self._noise, rng, READ_NOISE, COUNTS_PER_E)

    def _paste(self, frame: NDArray[np.float32], mosaic: NDArray[np.int64], view: Patch, x_px: float, y_px: float) -> None:
        """Lay one view on the frame with its shadow, in each pixel's own colour; what lies outside the frame is cut off."""
        margin = round(2 * SHADOW_MM * self._camera.px_per_mm)
        side = len(view) + 2 * margin
        left, top = (int(np.floor(at - (side - 1) / 2)) for at in (x_px, y_px))
        place = np.array([[1, 0, x_px - (len(view) - 1) / 2 - left], [0, 1, y_px - (len(view) - 1) / 2 - top]])
        patch = cv2.warpAffine(view, place, (side, side), flags=cv2.INTER_LINEAR)
        shade = cv2.GaussianBlur(patch[..., 3], (0, 0), SHADOW_MM * self._camera.px_per_mm)
        keep = (1 - patch[..., 3]) * (1 - SHADOW * shade)
        rows, cols = (np.arange(max(first, 0), min(first + side, n)) for first, n in zip((top, left), frame.shape, strict=True))
        if not len(rows) or not len(cols):
            return
        inside = np.ix_(rows - top, cols - left)
        colour = mosaic[np.ix_(rows % 2, cols % 2)]
        light = np.take_along_axis(patch[inside], colour[..., None], axis=2)[..., 0]
        target = frame[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
        target *= keep[inside]
        target += light
