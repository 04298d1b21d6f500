"""Photographs from files: jpg, png or tif, colour or grey, 8 or 16 bits, whatever letters their path is written in."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.words import Refused, _

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")
COLOURLESS = 2.0
"""Mean difference between red and blue, in counts, below which a picture is grey in all but its format."""


@dataclass(frozen=True, slots=True, eq=False)
class Photo:
    """A photograph: ``rgb`` (height, width, 3) uint8, red first; ``coloured`` is False where it is grey."""

    path: Path
    rgb: NDArray[np.uint8]
    coloured: bool


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return files as they are and of each folder its pictures, by name; a folder without any stays, to be complained of."""
    found: list[Path] = []
    for path in paths:
        inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES) if path.is_dir() else []
        found += inside or [path]
    return list(dict.fromkeys(found))


def load(path: Path) -> Photo:
    """Read one photograph, turned as its camera was held.

    Raises
    ------
    Refused : it is missing, no picture, or damaged.
    """
    if path.is_dir():
        raise Refused(_("{path}: no picture in this folder ({kinds})").format(path=path, kinds=" ".join(SUFFIXES)))
    if not path.exists():
        raise Refused(_("{path}: there is no such file; check its name").format(path=path))
    try:
        picture = _decoded(np.fromfile(path, np.uint8))
    except OSError as error:
        raise Refused(_("{path}: cannot be opened; check its rights and its disk").format(path=path)) from error
    if picture is None:
        raise Refused(_("{path}: not readable as a picture; save it again as jpg, png or tif").format(path=path))
    if picture.dtype.kind != "u":
        raise Refused(_("{path}: its pixels are {kind}; save it with 8 or 16 bits").format(path=path, kind=picture.dtype))
    counts = np.right_shift(picture, max(int(picture.max()).bit_length() - 8, 0)).astype(np.uint8)
    rgb = np.ascontiguousarray(counts[..., ::-1] if counts.ndim == 3 else np.repeat(counts[..., None], 3, axis=2))
    red_over_blue = np.abs(rgb[..., 0].astype(np.int16) - rgb[..., 2])
    return Photo(path, rgb, bool(red_over_blue.mean() > COLOURLESS))


def _decoded(data: NDArray[np.uint8]) -> Any:
    """Return a file's pixels, None where it is no picture: OpenCV opens no path with letters outside the system's code page."""
    if not len(data):
        return None
    try:
        # Any: OpenCV's stubs do not know the depth.
        picture: Any = cv2.imdecode(data, cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH)
    except cv2.error:  # larger than it dares
        return None
    return picture
