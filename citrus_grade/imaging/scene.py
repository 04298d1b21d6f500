"""What a kernel must know of a camera besides the frame: where its cups come by and how its bytes are to be read."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Scene(NamedTuple):
    """One camera over the lanes.

    ``station_milli`` (n_lanes,): station of window 0 of each lane. ``num``, ``den``: the encoder's ruler. ``optics``: pitch_px,
    window_x_px, axis_x_px, axis_y_px, focal_px, k1, k2; places are those of a lens that does not bend. ``lane_y_px`` (n_lanes,).
    ``whole``: windows, tile_px, blue_row, blue_shift, threshold, least_quads, first_view. ``lut``: see `colour.table_of`.
    """

    station_milli: NDArray[np.int64]
    num: int
    den: int
    optics: NDArray[np.float64]
    lane_y_px: NDArray[np.float64]
    whole: NDArray[np.int64]
    lut: NDArray[np.uint16]


def tile_alone(tile_px: int, threshold: int, least_quads: int, lut: NDArray[np.uint16]) -> Scene:
    """Return the scene of a frame that is a single RGGB tile with its cup in the middle, seen from far above."""
    side = float(tile_px)
    return Scene(
        station_milli=np.zeros(1, np.int64),
        num=1,
        den=1,
        optics=np.array([side, side / 2, side / 2, side / 2, 1e9, 0.0, 0.0]),
        lane_y_px=np.array([side / 2]),
        whole=np.array([1, tile_px, 1, 8, threshold, least_quads, 0], np.int64),
        lut=lut,
    )
