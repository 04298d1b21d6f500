"""The imaging kernel: every cup of a frame measured from the raw Bayer mosaic in one pass, tile by tile.

No demosaicing, no masks of frame size, no contours: the encoder says where each cup is, so a tile of 16 to 64 kB is all that is
touched, and it stays in the first caches. Every sum runs in a fixed order without fast-math, so the same bytes give the same
bits.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.geometry import bent, locate
from citrus_grade.imaging.disc import INNER, N_CELLS, N_COLOUR_CELLS
from citrus_grade.imaging.fit import N_RAYS, N_SHADE
from citrus_grade.imaging.forest import Forest, forest
from citrus_grade.imaging.lend import lend
from citrus_grade.imaging.outline import extent, outline
from citrus_grade.imaging.scene import Scene
from citrus_grade.imaging.skin import cells, lay_colour, lay_skin, planes, shading
from citrus_grade.imaging.spots import find_spots, spot_room
from citrus_grade.imaging.stand_out import SpotRoom
from citrus_grade.tables import DOUBLE, EMPTY, FRUIT_SEEN, VIEW, empty

OUTLIER_SHARE = 0.30
"""A view with more of its rays off the ellipse than this does not show one round fruit."""
LARGEST_ASPECT = 1.62
_BLANK = empty(VIEW, 1).view(np.uint8)
"""The bytes of a view of which nothing is known; NumPy and Numba copy records field by field."""


@njit(cache=True, nogil=True)
def signal_strip(words: NDArray[np.uint16], y0: int, blue: tuple[int, int], strip: NDArray[np.int16]) -> None:
    """Fill ``strip`` (n, width / 2) with red + both greens - blue of each quad of one lane, from quad row ``y0`` on.

    Belts and rollers are grey or bluish, citrus is not: the difference separates them better than brightness does. ``blue``
    is the row and the bit shift of the blue pixel in a quad. A whole lane is read as it lies in memory, row after row: the
    processor fetches ahead, where tile by tile, or two rows at once, it would wait; afterwards the lane is in the second cache.
    """
    blue_low = np.int16(1 if blue[1] else -1)  # what the low byte of a row with blue counts, the high byte its opposite
    for y in range(strip.shape[0]):
        even, odd, out = words[2 * (y0 + y)], words[2 * (y0 + y) + 1], strip[y]
        if blue[0]:
            _lay_row(even, np.int16(1), np.int16(1), out)
            _add_row(odd, blue_low, np.int16(-blue_low), out)
        else:
            _lay_row(even, blue_low, np.int16(-blue_low), out)
            _add_row(odd, np.int16(1), np.int16(1), out)


@njit(cache=True, nogil=True)
def _lay_row(row: NDArray[np.uint16], low: Any, high: Any, out: NDArray[np.int16]) -> None:
    for x in range(len(out)):
        out[x] = np.int16(row[x] & np.uint16(255)) * low + np.int16(row[x] >> np.uint16(8)) * high


@njit(cache=True, nogil=True)
def _add_row(row: NDArray[np.uint16], low: Any, high: Any, out: NDArray[np.int16]) -> None:
    for x in range(len(out)):
        out[x] += np.int16(row[x] & np.uint16(255)) * low + np.int16(row[x] >> np.uint16(8)) * high


@njit(cache=True, nogil=True)
def root_of(major: float, minor: float, angle: float, centre: NDArray[np.float64]) -> tuple[float, float, float, float]:
    """Return the matrix that takes the unit disc to quads: the symmetric root of the ellipse, then the lens's stretch."""
    ca, sa = np.cos(angle), np.sin(angle)
    xx, xy, yy = major * ca * ca + minor * sa * sa, (major - minor) * ca * sa, major * sa * sa + minor * ca * ca
    ex, ey, more = centre[2], centre[3], centre[4] - 1.0
    along_x, along_y = more * (ex * xx + ey * xy), more * (ex * xy + ey * yy)
    return xx + ex * along_x, xy + ex * along_y, xy + ey * along_x, yy + ey * along_y


class Scratch(NamedTuple):
    """What a tile needs while it is measured: fits (8, n), and of its quads spans (n, 4), skin (n, n), and those at its cells
    (2, n_cells)."""

    work: NDArray[np.float64]
    span: NDArray[np.int64]
    skin: NDArray[np.uint32]
    cell: NDArray[np.uint32]
    spots: SpotRoom


@njit(cache=True, nogil=True)
def scratch_of(quads: int, trees: Forest) -> Scratch:
    """Return what tiles of ``quads`` a side need while they are measured."""
    return Scratch(
        np.zeros((8, max(N_RAYS, N_SHADE))),
        np.zeros((quads, 4), np.int64),
        np.zeros((quads, quads), np.uint32),
        np.zeros((2, N_CELLS), np.uint32),
        spot_room(quads, trees),
    )


@njit(cache=True, nogil=True)
def measure_tile(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    centre: NDArray[np.float64],
    blue: tuple[int, int],
    threshold: int,
    least_quads: int,
    lut: NDArray[np.uint16],
    trees: Forest,
    strip: NDArray[np.int16],
    scratch: Scratch,
    row: Any,
) -> None:
    """Measure one tile into ``row`` (one `tables.VIEW`).

    ``at`` is its first quad in the frame, ``centre`` where in it the cup's centre lies, in quads, then the lens's shape;
    ``strip`` is the signal of its lane.
    """
    work, n = scratch.work, len(strip)
    count, mean_x, mean_y = extent(strip, at[0], threshold)
    if count < least_quads:
        row.state = EMPTY
        return
    row.state = DOUBLE
    x, y, outliers = outline(strip, at[0], mean_x, mean_y, np.sqrt(count / np.pi), centre[2:5], threshold, work)
    row.residual = outliers
    coef = work[2]
    per_quad = 2.0 / centre[5]
    row.x_px, row.y_px = per_quad * (x - centre[0]), per_quad * (y - centre[1])
    swing = np.sqrt(coef[3] * coef[3] + coef[4] * coef[4])
    if coef[0] <= swing:
        return
    major, minor = 1.0 / np.sqrt(coef[0] - swing), 1.0 / np.sqrt(coef[0] + swing)
    angle = 0.5 * np.arctan2(-coef[4], -coef[3])
    row.major_px, row.minor_px, row.angle_rad = 2 * per_quad * major, 2 * per_quad * minor, angle
    # Reach grows with sqrt(area): a mask much fuller or emptier than its ellipse is not one fruit.
    fill = count / (np.pi * major * minor)
    if outliers > OUTLIER_SHARE or major > LARGEST_ASPECT * minor or fill > 1.30 or fill < 0.70:
        return
    row.state = FRUIT_SEEN
    root = root_of(major, minor, angle, centre)
    shade = work[7]
    own = shading(words, at, n, x, y, root, blue, shade, work)
    # The quads nearest to cells inside INNER lie up to 0.71 quads further out.
    limit = (np.sqrt(INNER) + 0.75 / minor) ** 2
    planes(words, at, n, x, y, root, blue, shade, own, limit, scratch.span, scratch.skin)
    row.spots = find_spots(n, x, y, root, scratch.span, scratch.skin, trees, scratch.spots, row.spot)
    cells(n, x, y, root, scratch.cell)
    row.skin_cells, row.blemish_cells = N_CELLS, lay_skin(scratch.cell, scratch.skin, row.skin)
    red, green, bluish = lay_colour(words, at, scratch.cell, blue, lut, row.colour, row.hue, row.colour_cells)
    row.red, row.green, row.blue = red / N_COLOUR_CELLS, green / N_COLOUR_CELLS, bluish / N_COLOUR_CELLS


@njit(cache=True, nogil=True)
def _measure_frame(
    words: NDArray[np.uint16],
    tick: int,
    offset: int,
    scene: Scene,
    trees: Forest,
    rows: Any,
    raw: NDArray[np.uint8],
    blank: NDArray[np.uint8],
) -> int:
    quads = scene.whole[1] // 2
    room = scratch_of(quads, trees), np.empty((quads, words.shape[1]), np.int16), np.empty(6, np.float64)
    return int(_measure_lanes(lend(words), tick, offset, lend(scene), lend(trees), lend((rows, raw, blank)), lend(room), room))


@njit(cache=True, nogil=True)
def _measure_lanes(
    words: NDArray[np.uint16],
    tick: int,
    offset: int,
    scene: Scene,
    trees: Forest,
    out: Any,
    room: Any,
    held: Any,  # the room again: what is lent must be held
) -> int:
    (rows, raw, blank), (scratch, strip, centre) = out, room
    whole, optics = scene.whole, scene.optics
    windows, quads, blue = whole[0], whole[1] // 2, (whole[2], whole[3])
    n = 0
    for lane in range(len(scene.station_milli)):
        cup0, ahead, unit = locate(tick, offset, scene.station_milli[lane], scene.num, scene.den)
        shift_px = optics[0] * (ahead / unit)
        strip_y0 = -1
        for window in range(windows):
            away_x, away_y = optics[1] + window * optics[0] + shift_px - optics[2], scene.lane_y_px[lane] - optics[3]
            bend, stretch = bent(away_x, away_y, optics)
            cx, cy = optics[2] + bend * away_x, optics[3] + bend * away_y
            y0 = int(np.floor(cy * 0.5 + 0.5)) - quads // 2
            if y0 < 0 or 2 * (y0 + quads) > len(words):
                continue
            if y0 != strip_y0:  # a lens that bends a lane bends it by few quads
                signal_strip(words, y0, blue, strip)
                strip_y0 = y0
            x0 = int(np.floor(cx * 0.5 + 0.5)) - quads // 2
            if x0 < 0 or x0 + quads > words.shape[1]:
                continue
            row = rows[n]
            for k in range(len(blank)):
                raw[n, k] = blank[k]
            n += 1
            row.lane, row.cup, row.view_index = lane, cup0 - window, whole[6] + window
            centre[0], centre[1] = cx * 0.5 - x0 - 0.25, cy * 0.5 - y0 - 0.25
            away = np.sqrt(away_x * away_x + away_y * away_y) + 1e-9
            centre[2], centre[3], centre[4], centre[5] = away_x / away, away_y / away, stretch, bend
            row.sight_x, row.sight_y = away_x / optics[4], away_y / optics[4]
            measure_tile(words, (x0, y0), centre, blue, whole[4], whole[5], scene.lut, trees, strip, scratch, row)
    return n


def measure_frame(words: NDArray[np.uint16], tick: int, offset: int, scene: Scene, rows: Any) -> int:
    """Measure all cups of a frame that lie wholly inside it; fill ``rows`` and return how many.

    Parameters
    ----------
    words : (height, width / 2) uint16, the mosaic, two pixels a word.
    tick, offset : the frame's place on the belt, see `geometry.locate`.
    rows : `tables.VIEW`, at least ``n_lanes * windows``.
    """
    raw = rows.view(np.uint8).reshape(-1, VIEW.itemsize)
    return int(_measure_frame(words, tick, offset, scene, forest(), rows, raw, _BLANK))
