"""The kernel's plain twin: the same measurement of a view in NumPy, written to be read and to be doubted against.

It shares the kernel's grids and limits and none of its arithmetic: edges come from whole profiles, both fits from least squares
over the points that belong, logarithms are logarithms. Tests hold the two together; nothing on the line calls it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from citrus_grade.geometry import locate
from citrus_grade.imaging import disc, fit
from citrus_grade.imaging.forest import forest
from citrus_grade.imaging.kernel import LARGEST_ASPECT, OUTLIER_SHARE
from citrus_grade.imaging.scene import Scene
from citrus_grade.imaging.spots import find_spots, spot_room
from citrus_grade.tables import DOUBLE, EMPTY, FRUIT_SEEN, VIEW, Table, empty

Floats = NDArray[np.float64]


class Tile(NamedTuple):
    """Quads around a cup, (n, n) each; ``green`` is the sum of both."""

    red: Floats
    green: Floats
    blue: Floats

    @property
    def signal(self) -> Floats:
        """What tells citrus from belt and rollers."""
        return self.red + self.green - self.blue

    @property
    def total(self) -> Floats:
        """Lightness of skin."""
        return self.red + self.green


class Outline(NamedTuple):
    """An ellipse in quads: ``centre`` (2,), semi-axes and the angle of the longer; ``outliers`` is the share of rays off it."""

    centre: Floats
    major: float
    minor: float
    angle_rad: float
    outliers: float


def measure_frame(words: NDArray[np.uint16], tick: int, offset: int, scene: Scene, rows: Table) -> int:
    """Measure all cups of a frame; parameters and result as `kernel.measure_frame`."""
    windows, tile_px, blue_row, blue_shift, threshold, least_quads, first_view = scene.whole.tolist()
    pitch_px, window_x_px, axis_x_px, axis_y_px, focal_px, k1, k2 = scene.optics.tolist()
    mosaic, n, half = words.view(np.uint8), 0, tile_px // 4
    for lane, y_px in enumerate(scene.lane_y_px.tolist()):
        cup, ahead, unit = locate(tick, offset, int(scene.station_milli[lane]), scene.num, scene.den)
        for window in range(windows):
            away = np.array([window_x_px + (window + ahead / unit) * pitch_px - axis_x_px, y_px - axis_y_px])
            sight = away / focal_px
            bend, stretch = _lens(sight, k1, k2)
            seen = np.array([axis_x_px, axis_y_px]) + bend * away
            x0, y0 = (int(np.floor(at / 2 + 0.5)) - half for at in seen.tolist())
            if min(x0, y0) < 0 or 2 * (x0 + 2 * half) > mosaic.shape[1] or 2 * (y0 + 2 * half) > mosaic.shape[0]:
                continue
            rows[n] = empty(VIEW, 1)[0]
            row = rows[n]
            n += 1
            row["lane"], row["cup"], row["view_index"] = lane, cup - window, first_view + window
            row["sight_x"], row["sight_y"] = sight
            tile = _cut(mosaic[2 * y0 :, 2 * x0 :][:tile_px, :tile_px], blue_row, blue_shift // 8)
            measure_view(tile, seen / 2 - (x0, y0) - 0.25, stretch, threshold, least_quads, scene.lut, row)
            for name in ("x_px", "y_px", "major_px", "minor_px"):
                row[name] /= bend
    return n


def measure_view(
    tile: Tile, cup: Floats, stretch: Floats, threshold: int, least_quads: int, lut: NDArray[np.uint16], row: np.void
) -> None:
    """Measure one tile into ``row`` (one `tables.VIEW`); ``cup`` (2,) is its centre, ``stretch`` (2, 2) what the lens does."""
    mask = tile.signal[::2] > threshold
    area = 2 * int(mask.sum())
    if area < least_quads or area == 0:
        row["state"] = EMPTY
        return
    row["state"] = DOUBLE
    middle = (np.argwhere(mask) * (2, 1)).mean(axis=0)[::-1]
    reach = min(1.3 * np.sqrt(area / np.pi) + 3, 0.72 * len(tile.red))
    found = find_outline(tile.signal, middle, reach, stretch, threshold)
    row["residual"] = found.outliers
    row["x_px"], row["y_px"] = 2 * (found.centre - cup)
    if not np.isfinite(found.major):
        return
    row["major_px"], row["minor_px"], row["angle_rad"] = 4 * found.major, 4 * found.minor, found.angle_rad
    fill = area / (np.pi * found.major * found.minor)
    if found.outliers > OUTLIER_SHARE or found.major > LARGEST_ASPECT * found.minor or not 0.70 <= fill <= 1.30:
        return
    row["state"] = FRUIT_SEEN
    c, s = np.cos(found.angle_rad), np.sin(found.angle_rad)
    turn = np.array([[c, -s], [s, c]])
    root = stretch @ turn @ np.diag([found.major, found.minor]) @ turn.T
    at = _cells(found.centre, root, len(tile.red))
    lay_skin(tile, found.centre, root, at, row)
    lay_colour(tile, at, lut, row)


def find_outline(signal: Floats, centre: Floats, reach: float, stretch: Floats, threshold: int) -> Outline:
    """Fit an ellipse to where a quarter of the rays meet the edge, then, about its own centre, all; NaN axes where none fits."""
    rays = np.stack([fit.RAY_COS, fit.RAY_SIN], axis=1) @ stretch.T
    coef, outliers = np.full(5, np.nan), 1.0
    for n in (fit.N_RAYS // 4, fit.N_RAYS):
        coef, outliers = _ellipse(_edges(signal, centre, rays[:n], reach, threshold))
        if not coef[0] > 0:
            return Outline(centre, np.nan, np.nan, np.nan, 1.0)
        centre = centre - 0.5 * coef[1:3] * coef[0] ** -1.5
    swing = np.hypot(coef[3], coef[4])
    if coef[0] <= swing:
        return Outline(centre, np.nan, np.nan, np.nan, outliers)
    angle = 0.5 * np.arctan2(-coef[4], -coef[3])
    return Outline(centre, (coef[0] - swing) ** -0.5, (coef[0] + swing) ** -0.5, angle, outliers)


def _edges(signal: Floats, centre: Floats, rays: Floats, reach: float, threshold: int) -> Floats:
    """Return how far along each ray, (n_rays,), the signal first crosses half way between outside and inside; NaN: nowhere.

    A profile is read from outside inward, a quad a step: where it first exceeds the threshold, the levels 3 quads further out
    and 2 to 3 further in say what half way is.
    """
    beyond, n = 3, len(signal)
    with np.errstate(divide="ignore"):  # a ray along an axis never meets the borders beside it
        room = np.where(rays > 0, n - 1.5 - centre, 0.5 - centre) / rays
    room = np.where(rays == 0, np.inf, room).min(axis=1)
    distance = np.minimum(reach, room)[:, None] - np.arange(-beyond, reach)
    x, y = (centre[axis] + rays[:, axis, None] * distance for axis in (0, 1))
    level = map_coordinates(signal, [y, x], order=0, mode="nearest")
    profile = map_coordinates(signal, [y, x], order=1, mode="nearest")
    profile[distance > room[:, None] + 1e-9] = np.nan
    edge = np.full(len(rays), np.nan)
    for ray, (at, levels, values) in enumerate(zip(distance, level, profile, strict=True)):
        above = beyond + np.flatnonzero((levels[beyond:] > threshold) & (at[beyond:] > 2))
        if len(above) == 0:
            continue
        k = above[0]
        half = 0.5 * (min(levels[k - 3], threshold) + levels[k + 2 : k + 4].max(initial=0))
        near = values[k - 2 : k + 5]
        crossing = np.flatnonzero((near[:-1] < half) & (half <= near[1:]))
        edge[ray] = at[k]
        if len(crossing):
            c = crossing[0]
            edge[ray] = at[k - 2 + c] - (half - near[c]) / (near[c + 1] - near[c])
    return edge


def _ellipse(edge: Floats) -> tuple[Floats, float]:
    """Fit ``1 / r**2`` as `fit.OUTLINE` has it, leaving out what lies off; return the coefficients and the share left out."""
    design, known = fit.OUTLINE.T[: len(edge)], np.isfinite(edge)
    if not known.any():
        return np.zeros(5), 1.0
    middle = np.median(edge[known])
    value = np.where(known, edge, middle) ** -2.0
    coef = _least_squares(design, np.clip(np.where(known, edge, middle), 0.72 * middle, 1.38 * middle) ** -2.0)
    off = ~known
    for limit in (0.32, 0.16, 0.08, 0.08, 0.08):
        fitted = design @ coef
        off = ~known | ~(np.abs(value - fitted) <= limit * fitted)
        if (~off).sum() >= 8:
            coef = _least_squares(design[~off], value[~off])
    return coef, float(off.mean())


def lay_skin(tile: Tile, centre: Floats, root: Floats, at: tuple[Any, Any], row: np.void) -> None:
    """Fill skin and spots: what is left once the fruit's own shading and colour are taken out.

    Planes are the twin's own; what a spot is, `spots.find_spots` says of either's.
    """
    n, (x, y) = len(tile.red), centre.tolist()
    v, u = np.mgrid[:n, :n]
    u, v = np.tensordot(np.linalg.inv(root), [u - x, v - y], 1)
    planes = _planes(tile, centre, root, u, v)
    # The quads nearest to cells inside the limit lie up to 0.71 quads further out.
    limits = np.sqrt(disc.INNER) + 0.75 / np.linalg.svd(root, compute_uv=False)[1], np.sqrt(disc.INNER)
    within = [np.hypot(u, v) <= limit for limit in limits]
    span = np.stack(
        [part for inside in within for part in (inside.argmax(axis=1), inside.argmax(axis=1) + inside.sum(axis=1))], axis=1
    )
    skin = np.concatenate([planes, np.zeros((1, n, n), np.int8)]).transpose(1, 2, 0).copy().view(np.uint32)[..., 0]
    row["spots"] = find_spots(n, x, y, tuple(root.ravel().tolist()), span, skin, forest(), spot_room(n, forest()), row["spot"])
    column, line = at
    row["skin"][disc.CELL_ROW, disc.CELL_COLUMN] = skin[line, column]
    row["skin_cells"], row["blemish_cells"] = disc.N_CELLS, np.count_nonzero(skin[line, column] >> 8 * disc.SPOT)


def _planes(tile: Tile, centre: Floats, root: Floats, u: Floats, v: Floats) -> NDArray[np.int8]:
    """Return the planes of `disc`, (3, n, n), from where on the disc each quad lies."""
    place = zip(centre, root @ [fit.SHADE_X, fit.SHADE_Y], strict=True)
    column, row = (np.clip((middle + away + 0.5).astype(int), 1, len(u) - 2) for middle, away in place)
    three = [sum(plane[row + step, column] for step in (-1, 0, 1)) for plane in (tile.total, tile.red, tile.blue)]
    total, red, blue = (np.maximum(plane, 1) for plane in three)
    expected = np.maximum(_shading(three[0] / 3, u, v), 4.0)
    ratios = (
        (tile.total + 1) / expected,
        (tile.blue + 0.5) / (_usual(blue / total) * (tile.total + 1)),
        (tile.green + 0.5) / (_usual((total - red) / red) * tile.red + 0.5),
    )
    return np.asarray(np.clip(100 * np.log(ratios), -127, 127), np.int8)


def _usual(values: Floats) -> float:
    """Return the mean of values drawn in to within 32 %, 16 % ... 4 % of the mean before."""
    middle = float(values.mean())
    for reach in (0.32, 0.16, 0.08, 0.04):
        middle = float(np.clip(values, (1 - reach) * middle, (1 + reach) * middle).mean())
    return middle


def _shading(sample: Floats, u: Floats, v: Floats) -> Floats:
    """Fit the shading to samples, (n_samples,), leaving out blemish and gloss; return it at points of the disc."""
    design = fit.SHADE.T
    coef = _least_squares(design, sample)
    for limit in (0.30, 0.12, 0.12):
        fitted = design @ coef
        belongs = np.abs(sample - fitted) < limit * fitted
        if belongs.sum() >= 2 * len(coef):
            coef = _least_squares(design[belongs], sample[belongs])
    return np.asarray(np.tensordot(coef, [np.ones_like(u), u, v, u * u, u * v, v * v, (u * u + v * v) ** 2], 1))


def lay_colour(tile: Tile, at: tuple[Any, Any], lut: NDArray[np.uint16], row: np.void) -> None:
    """Fill colours and hue, and the mean levels, from every second cell both ways."""
    i, j = at[0][disc.COLOUR_CELL], at[1][disc.COLOUR_CELL]
    red, green, blue = (plane[j, i].astype(int) for plane in (tile.red, tile.green // 2, tile.blue))
    found = lut[red >> 3 << 10 | green >> 3 << 5 | blue >> 3]
    where = disc.CELL_ROW[disc.COLOUR_CELL] // 2, disc.CELL_COLUMN[disc.COLOUR_CELL] // 2
    row["colour"][where], row["hue"][where] = found & 15, found >> 8
    row["colour_cells"] = np.bincount(found & 15, minlength=len(row["colour_cells"]))
    row["red"], row["green"], row["blue"] = red.mean(), green.mean(), blue.mean()


def _cut(mosaic: NDArray[np.uint8], blue_row: int, blue_column: int) -> Tile:
    quad = mosaic.astype(np.float64).reshape(len(mosaic) // 2, 2, -1, 2)
    red, blue = quad[:, 1 - blue_row, :, 1 - blue_column], quad[:, blue_row, :, blue_column]
    return Tile(red, quad.sum(axis=(1, 3)) - red - blue, blue)


def _lens(sight: Floats, k1: float, k2: float) -> tuple[float, Floats]:
    """Return how much further out a lens shows a place, and how it draws a sphere out there, (2, 2), see `geometry.bent`."""
    square = float(sight @ sight)
    bend, steep = 1 + k1 * square + k2 * square**2, 1 + 3 * k1 * square + 5 * k2 * square**2
    along = sight / (np.sqrt(square) + 1e-12)
    return bend, np.asarray(np.eye(2) + (np.sqrt(1 + square) * steep / bend - 1) * np.outer(along, along))


def _cells(centre: Floats, root: Floats, n: int) -> tuple[Any, Any]:
    """Return column and row of the quad nearest to each cell of the disc."""
    place = centre[:, None] + root @ np.stack([disc.CELL_X, disc.CELL_Y]).astype(np.float64)
    column, row = np.clip((place + 0.5).astype(int), 0, n - 1)
    return column, row


def _least_squares(design: Floats, value: Floats) -> Floats:
    return np.asarray(np.linalg.lstsq(design, value)[0])
