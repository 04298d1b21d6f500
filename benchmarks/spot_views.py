"""Spots of one raw tile with all that the line's own code knows of them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_views import measure
from citrus_grade.imaging.disc import INNER, SPOT
from citrus_grade.imaging.fit import N_RAYS, N_SHADE
from citrus_grade.imaging.forest import forest
from citrus_grade.imaging.kernel import root_of
from citrus_grade.imaging.skin import planes, shading
from citrus_grade.imaging.spots import find_spots, spot_room
from citrus_grade.tables import FRUIT_SEEN, N_SPOTS, SPOT_X, SPOT_Y


@dataclass(frozen=True, slots=True)
class Looked:
    """A view: ``row`` of `tables.VIEW`, ``n`` spots, their ``features`` (n, n_features), ``spot`` (n_spots, 6) as in a view, and
    ``label`` (quads, quads). ``centre`` (2,) and ``root`` (2, 2) take the disc to quads of the tile."""

    row: Any
    n: int
    features: NDArray[np.float32]
    spot: NDArray[np.float32]
    label: NDArray[np.uint32]
    centre: NDArray[np.float64]
    root: NDArray[np.float64]

    def to_px(self, x: Any, y: Any) -> NDArray[np.float64]:
        """Return where points of the disc lie in the tile, in pixels, (2, ...)."""
        return 2 * (np.tensordot(self.root, np.stack([x, y]), axes=1).T + self.centre).T + 0.5

    def centre_px(self, k: int) -> tuple[float, float]:
        """Return a spot's centre in the tile."""
        x, y = self.to_px(self.spot[k, SPOT_X], self.spot[k, SPOT_Y])
        return float(x), float(y)

    def region(self, k: int) -> NDArray[np.bool_]:
        """Return a spot's pixels, (tile, tile)."""
        return np.asarray((self.label == k + 1).repeat(2, 0).repeat(2, 1))


def look(mosaic: NDArray[np.uint8]) -> Looked:
    """Look at a raw RGGB tile with one fruit in its middle."""
    tile, n = len(mosaic), len(mosaic) // 2
    row, words = measure(mosaic), mosaic.view(np.uint16)
    room, skin, spot = spot_room(n, forest()), np.zeros((n, n), np.uint32), np.zeros((N_SPOTS, 6), np.float32)
    centre = np.array([tile / 4 - 0.25 + row["x_px"] / 2, tile / 4 - 0.25 + row["y_px"] / 2])
    if row["state"] != FRUIT_SEEN:
        return Looked(row, 0, room.feature, spot, skin, centre, np.eye(2))
    major, minor = float(row["major_px"]) / 4, float(row["minor_px"]) / 4
    root = root_of(major, minor, float(row["angle_rad"]), np.array([0.0, 0.0, 1.0, 0.0, 1.0]))
    shade, work = np.zeros(max(N_RAYS, N_SHADE)), np.zeros((8, max(N_RAYS, N_SHADE)))
    x, y = centre.tolist()
    own = shading(words, (0, 0), n, x, y, root, (1, 8), shade, work)
    span = np.zeros((n, 4), np.int64)
    planes(words, (0, 0), n, x, y, root, (1, 8), shade, own, (np.sqrt(INNER) + 0.75 / minor) ** 2, span, skin)
    found = find_spots(n, x, y, root, span, skin, forest(), room, spot)
    label = skin >> 8 * SPOT
    return Looked(row, found, room.feature[:found].copy(), spot, label, centre, np.array(root).reshape(2, 2))
