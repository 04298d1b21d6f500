"""Draw simulated fruit under real ones at one scale: ``python docs/simulator_skin.py OUT.png``.

The real pictures (GPL-3, mandarin-views) are data beside the project, never part of it: ``CITRUS_GRADE_DATA`` or
``../shared/data``. Without them only the simulated row is drawn.
"""

import os
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.camera import Optics, SimCamera
from citrus_grade.drivers.sim.orchard import BLEMISH_KINDS, grow

Picture = NDArray[np.uint8]

TILE = 256
N_TILES = 7
VIEWS = ((0, 1), (0, 6), (1, 1), (5, 3), (8, 6), (11, 1), (12, 6))
"""Fruit and view of the real row: sound, stem end, green, scarred, yellow, sooty streaks, pores."""


def real_views() -> list[Picture]:
    """Return the chosen real views, or nothing where there are none."""
    root = Path(os.environ.get("CITRUS_GRADE_DATA", "../shared/data")) / "images" / "mandarin-views"
    paths = [root / f"obj{fruit:04d}" / f"im{view:02d}.png" for fruit, view in VIEWS]
    return [on_tile(cv2.imread(str(path))) for path in paths if path.exists()]


def on_tile(picture: Any) -> Picture:
    """Return a picture on a black square tile."""
    tile = np.zeros((TILE, TILE, 3), np.uint8)
    part = picture[:TILE, :TILE]
    tile[: part.shape[0], : part.shape[1]] = part
    return tile


def simulated_views(seed: int, n: int) -> list[Picture]:
    """Return views of the first ``n`` fruit of an orchard, turned at random."""
    rng = np.random.default_rng(seed)
    return shots(grow(seed, n), np.stack([facing(rng.standard_normal(3), rng) for _ in range(n)]))


def marked_views(seed: int) -> list[Picture]:
    """Return one view of each kind of blemish, then a stem end and a stylar end, a third of a radian off the lens."""
    fruit = grow(seed, 500)
    first = [
        np.flatnonzero((fruit["n_blemishes"] > 0) & (fruit["blemish_kind"][:, 0] == kind))[0]
        for kind in range(len(BLEMISH_KINDS))
    ]
    towards = [*fruit["blemish_direction"][first, 0], np.array((0.0, 0.0, 1.0)), np.array((0.0, 0.0, -1.0))]
    rng = np.random.default_rng(seed)
    return shots(fruit[[*first, 0, 1]], np.stack([facing(direction, rng, 0.33) for direction in towards]))


def shots(fruit: NDArray[Any], poses: NDArray[np.float64]) -> list[Picture]:
    """Return one picture of each fruit at the real pictures' scale, three pixels a millimetre."""
    camera = SimCamera(Optics(TILE, TILE, 3.0, 900.0), 1, ())
    middle = np.array([(TILE - 1) / 2])
    raws = [camera.expose(i, 0.0, fruit[i : i + 1], middle, middle, poses[i : i + 1]) for i in range(len(fruit))]
    return [cv2.cvtColor(raw, cv2.COLOR_BayerRGGB2BGR).astype(np.uint8) for raw in raws]


def facing(direction: NDArray[np.float64], rng: np.random.Generator, aside_rad: float = 0.0) -> NDArray[np.float64]:
    """Return a rotation that turns a direction of the fruit towards the lens, then aside along the belt."""
    z = direction / np.linalg.norm(direction)
    x = np.cross(rng.standard_normal(3), z)
    x /= np.linalg.norm(x)
    c, s = np.cos(aside_rad), np.sin(aside_rad)
    return np.asarray(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]) @ np.stack((x, np.cross(z, x), z)), np.float64)


def row_of(title: str, tiles: list[Picture]) -> Picture:
    """Return a titled row of tiles."""
    head = np.zeros((28, TILE * len(tiles), 3), np.uint8)
    cv2.putText(head, title, (6, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.55, (230, 230, 230), 1, cv2.LINE_AA)
    return np.vstack((head, np.hstack(tiles)))


def main(out: str) -> None:
    """Write the comparison to ``out``."""
    marked = "simulated: " + ", ".join(BLEMISH_KINDS) + ", stem end, stylar end"
    rows = [row_of("simulated, as they come", simulated_views(3, N_TILES)), row_of(marked, marked_views(12))]
    real = real_views()
    if real:
        rows.insert(0, row_of("real mandarins (mandarin-views, GPL-3)", real))
    width = max(row.shape[1] for row in rows)
    cv2.imwrite(out, np.vstack([cv2.copyMakeBorder(r, 0, 0, 0, width - r.shape[1], cv2.BORDER_CONSTANT) for r in rows]))


if __name__ == "__main__":
    main(sys.argv[1])
