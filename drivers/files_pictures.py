"""Published pictures of real fruit, made ready to be laid on a line's belt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.files_options import PictureSet, problem

DARKEST: Final = 12
"""Cut-outs stand on black; what is brighter than this in some colour is fruit or a remnant of the rollers."""
RED_OVER_BLUE: Final = 1.4
"""Citrus skin is redder than this, rollers are grey or bluish."""
LEAST_PX: Final = 400
"""A cut-out smaller than this shows no fruit worth grading."""
SPARE_VIEWS: Final = 2
"""Views by which cups with the same fruit may start later, so that they do not show the very same pictures."""
BLUR_PX: Final = 0.5
"""Standard deviation of the lens's blur, as in the simulated camera."""

Patch = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class RealFruit:
    """One fruit in successive views, at the scale of a line.

    ``views`` are (n, n, 4) each, the fruit's centre in the middle: red, green and blue counts times the share of the pixel that
    the fruit covers, and that share. ``diameter_mm`` is the median of the views' major axes under the set's assumed scale.
    """

    name: str
    diameter_mm: float
    views: tuple[Patch, ...]


def load_fruit(data: Path, sets: Sequence[PictureSet], px_per_mm: float) -> list[RealFruit]:
    """Return every fruit of every set.

    Raises
    ------
    ConfigError : a folder that is missing or empty, or a picture that cannot be read or shows no fruit.
    """
    return [fruit for pictures in sets for fruit in _load_set(data / pictures.folder, pictures.assumed_diameter_mm, px_per_mm)]


def pick_views(n_pictures: int, n_views: int, start: int) -> NDArray[np.int64]:
    """Return which pictures stand for the line's views: spread over the turn that was photographed, beginning at ``start``.

    ``start`` runs from 0 to `spare_views`; where there are fewer pictures than views some are shown twice.
    """
    last = n_pictures - 1 - spare_views(n_pictures, n_views)
    return np.asarray(start + np.arange(n_views) * last // max(n_views - 1, 1), np.int64)


def spare_views(n_pictures: int, n_views: int) -> int:
    """Return how many pictures later a cup may begin."""
    return max(min(SPARE_VIEWS, n_pictures - n_views), 0)


def _load_set(folder: Path, assumed_diameter_mm: float, px_per_mm: float) -> list[RealFruit]:
    if not folder.is_dir():
        raise problem(f"pictures: there is no folder {folder}; give a folder of obj*/im*.png inside the data folder")
    cut = {path.name: _cut_outs(path) for path in sorted(folder.glob("obj*")) if path.is_dir()}
    if not cut:
        raise problem(f"pictures: {folder} holds no folder obj* with views im*.png; give one that does")
    diameter_px = {name: float(np.median([_major_px(view[..., 3]) for view in views])) for name, views in cut.items()}
    mm_per_px = assumed_diameter_mm / float(np.median(list(diameter_px.values())))
    factor = mm_per_px * px_per_mm
    return [
        RealFruit(f"{folder.name}/{name}", diameter_px[name] * mm_per_px, tuple(_scale(view, factor) for view in views))
        for name, views in cut.items()
    ]


def _cut_outs(folder: Path) -> list[Patch]:
    views = [_cut_out(path) for path in sorted(folder.glob("im*.png"))]
    if not views:
        raise problem(f"pictures: {folder} holds no views im*.png; add them or take the folder away")
    return views


def _cut_out(path: Path) -> Patch:
    """Return (h, w, 4) of one picture, turned so that the skin travels along the belt: down in the picture is +x on the line."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise problem(f"pictures: {path} cannot be read as a picture; copy it again or take it away")
    rgb = np.ascontiguousarray(cv2.rotate(bgr, cv2.ROTATE_90_COUNTERCLOCKWISE)[..., ::-1], np.uint8)
    mask = fruit_mask(rgb)
    if int(mask.sum()) < LEAST_PX:
        raise problem(f"pictures: {path} shows no fruit; it should be an orange to green fruit on black")
    return _centred(np.dstack([rgb * mask[..., None], mask]).astype(np.float32))


def fruit_mask(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return 1 where a cut-out shows fruit.

    The largest connected part that is bright enough and redder than rollers; dark spots and stem ends inside it belong to it.
    """
    red, blue = rgb[..., 0].astype(np.float32), rgb[..., 2].astype(np.float32)
    skin = ((rgb.max(axis=2) > DARKEST) & (red > RED_OVER_BLUE * blue)).astype(np.uint8)
    outlines, _ = cv2.findContours(skin, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    mask = np.zeros(skin.shape, np.uint8)
    if outlines:
        cv2.drawContours(mask, [max(outlines, key=cv2.contourArea)], -1, 1, cv2.FILLED)
    return mask


def _centred(view: Patch) -> Patch:
    """Cut and pad a view to a square with the middle of the fruit's extent in its middle, a border around it."""
    rows, cols = (np.flatnonzero(view[..., 3].any(axis=axis)) for axis in (1, 0))
    fruit = view[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    side = max(fruit.shape[:2]) + 16
    top, left = (side - fruit.shape[0]) // 2, (side - fruit.shape[1]) // 2
    out = np.zeros((side, side, 4), np.float32)
    out[top : top + fruit.shape[0], left : left + fruit.shape[1]] = fruit
    return out


def _major_px(cover: NDArray[np.float32]) -> float:
    """Return the major axis of the ellipse with the mask's second moments."""
    moments = cv2.moments(cover)
    a, b, c = (moments[key] / moments["m00"] for key in ("mu20", "mu11", "mu02"))
    return float(4 * np.sqrt((a + c) / 2 + np.hypot((a - c) / 2, b)))


def _scale(view: Patch, factor: float) -> Patch:
    """Return a view ``factor`` times as large, its middle still the middle, blurred as the line's own lens would."""
    side = int(np.ceil(len(view) * factor)) + 2
    shift = (side - 1) / 2 - factor * (len(view) - 1) / 2
    soft = cv2.GaussianBlur(view, (0, 0), BLUR_PX / factor)
    to_line = np.array([[factor, 0, shift], [0, factor, shift]])
    return np.asarray(cv2.warpAffine(soft, to_line, (side, side), flags=cv2.INTER_LINEAR), np.float32)
