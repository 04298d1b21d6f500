"""One fruit cut out of a photograph and laid on a neutral dark ground, at the scale for which the line's kernel is made."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.measure.find import Found
from citrus_grade.measure.trace import TURN, trace

Floats = NDArray[np.float32]
FRUIT_PX = 160
"""Longest diameter of a fruit in its tile; 62 mm at 2.56 px/mm."""
TILE_PX = 256
SPARE_PX = 8
"""Ground around the tile, so that the tile can be shifted."""
GROUND = 16.0
"""Counts of the ground."""
RIM = 0.94
"""Beyond this many radii, where the kernel judges no skin, a fruit is painted as it looks just inside: there it darkens steeply, and
the kernel takes for its edge where it is half as light as a little further in."""
MIXED_PX = 1.6
"""Nearer to its outline than this, in the photograph's pixels, a fruit's colour is mixed with the ground's."""
_WEIGHT = np.array((0.5, 1.0, 1.0), np.float32)
LIGHT = 150.0
"""The median of a fruit's brightest channel in its tile is at least this: the kernel's threshold is made for a lit line."""


@dataclass(frozen=True, slots=True, eq=False)
class CutOut:
    """``rgb`` (n, n, 3) float32, the fruit near its middle, and ``share`` (n, n) of each pixel that is fruit; a point p of it lies
    at ``(p + 0.5) / scale - 0.5 + origin`` in the photograph, both as (x, y)."""

    rgb: Floats
    share: Floats
    scale: float
    origin: NDArray[np.float64]

    def to_photo(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return where points (..., 2) of the cut-out lie in the photograph."""
        return np.asarray((points + 0.5) / self.scale - 0.5 + self.origin)


def cut_out(rgb: NDArray[np.uint8], fruit: Found, others: Sequence[Found], band: float) -> CutOut:
    """Cut a fruit out of a photograph (height, width, 3).

    Parameters
    ----------
    others : fruit that may reach into its surroundings.
    band : how far from the outline given the true one may run, in radii.
    """
    side = TILE_PX + 2 * SPARE_PX
    taken = max(round(side / FRUIT_PX * fruit.diameter_px), 8)
    origin = np.array([round(fruit.x_px - (taken - 1) / 2), round(fruit.y_px - (taken - 1) / 2)], np.float64)
    crop, known = _crop(rgb, origin.astype(int), taken)
    way = cv2.INTER_AREA if taken >= side else cv2.INTER_CUBIC
    patch = np.clip(cv2.resize(crop, (side, side), interpolation=way), 0, 255).astype(np.float32)
    out = CutOut(patch, np.ones((side, side), np.float32), side / taken, origin)
    mine = _radius(out, fruit)
    hidden = cv2.resize(known, (side, side), interpolation=cv2.INTER_NEAREST) == 0
    for other in others:
        theirs = _radius(out, other)
        hidden |= (theirs < mine) & (theirs < 1.05)
    share = _share(patch, out, fruit, mine, hidden, band)
    inside = (share == 1) & (mine < min(RIM, 1 - 2 * MIXED_PX / fruit.diameter_px))
    skin = np.where(inside[..., None], patch, _spread(patch, inside & (mine > RIM - 0.06), 0.03 * FRUIT_PX))
    return CutOut(GROUND + share[..., None] * (_lit(skin, mine) - GROUND), share, out.scale, origin)


def _crop(rgb: NDArray[np.uint8], origin: NDArray[np.int_], side: int) -> tuple[Floats, NDArray[np.uint8]]:
    """Return a square of the photograph and where it is known, the picture's edge continued beyond it."""
    height, width = rgb.shape[:2]
    x0, y0 = (int(v) for v in origin)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x0 + side, width), min(y0 + side, height)
    around = (top - y0, y0 + side - bottom, left - x0, x0 + side - right)
    part = rgb[top:bottom, left:right].astype(np.float32)
    known = np.ones(part.shape[:2], np.uint8)
    return (
        np.asarray(cv2.copyMakeBorder(part, *around, cv2.BORDER_REPLICATE), np.float32),
        np.asarray(cv2.copyMakeBorder(known, *around, cv2.BORDER_CONSTANT, value=0), np.uint8),
    )


def _radius(out: CutOut, fruit: Found) -> Floats:
    """Return each pixel's distance from a fruit's centre, in radii of its outline."""
    n = len(out.rgb)
    y, x = np.ogrid[:n, :n]
    px, py = (x + 0.5) / out.scale - 0.5 + out.origin[0] - fruit.x_px, (y + 0.5) / out.scale - 0.5 + out.origin[1] - fruit.y_px
    inverse = np.linalg.inv(fruit.root)
    return np.hypot(inverse[0, 0] * px + inverse[0, 1] * py, inverse[1, 0] * px + inverse[1, 1] * py).astype(np.float32)


def _share(patch: Floats, out: CutOut, fruit: Found, radius: Floats, hidden: NDArray[np.bool_], band: float) -> Floats:
    """Return the share of each pixel that lies inside the traced outline."""
    lab = np.asarray(cv2.cvtColor(patch / 255, cv2.COLOR_RGB2LAB), np.float32) * _WEIGHT
    centre = (np.array([fruit.x_px, fruit.y_px]) - out.origin + 0.5) * out.scale - 0.5
    root = fruit.root * out.scale
    outline = trace(lab, centre, root, hidden, band)
    y, x = np.mgrid[: len(patch), : len(patch)]
    inverse = np.linalg.inv(root)
    dx, dy = x - centre[0], y - centre[1]
    turn = np.arctan2(inverse[1, 0] * dx + inverse[1, 1] * dy, inverse[0, 0] * dx + inverse[0, 1] * dy)
    there = np.interp(turn.ravel(), TURN, outline, period=2 * np.pi).reshape(turn.shape)
    px_per_radius = np.hypot(dx, dy) / np.maximum(radius, 1e-6)
    return np.asarray(np.clip((there - radius) * px_per_radius + 0.5, 0, 1), np.float32)


def _spread(values: Floats, where: NDArray[np.bool_], blur_px: float) -> Floats:
    """Return (n, n, 3) values known at some pixels carried to all, nearest ones first."""
    weight = where.astype(np.float32)
    total = np.full(where.shape, 1e-9, np.float32)
    out = np.zeros_like(values) + 1e-9 * values[where].mean(axis=0) if where.any() else values * np.float32(1e-9)
    for sigma, strength in ((blur_px, 1.0), (4 * blur_px, 1e-3)):
        total += strength * cv2.GaussianBlur(weight, (0, 0), sigma)
        out += strength * cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma)
    return np.asarray(out / total[..., None], np.float32)


def _lit(skin: Floats, radius: Floats) -> Floats:
    """Brighten a fruit that is too dark for the kernel's threshold."""
    level = float(np.median(skin[radius < 0.8].max(axis=1)))
    return skin * np.float32(max(1.0, LIGHT / max(level, 1.0)))
