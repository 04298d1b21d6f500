"""The whole surface of a fruit: views laid on a sphere of cells of equal area, each judged by the views that see it best."""

import math
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.imaging.colour import GREEN_WEIGHT
from citrus_grade.imaging.disc import INNER, LEAST_COS, SPOT
from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.lend import lend
from citrus_grade.imaging.marks import BLEMISH, STEM, STYLAR, Marks, marks
from citrus_grade.imaging.skin_match import Skin, blank_skin
from citrus_grade.imaging.unite import lay, start, unite
from citrus_grade.tables import COLOURS, GRID, N_SPOTS, SPOT_RADIUS, VIEWS_DISAGREE

N_SURFACE = 2560
"""Cells of the sphere, 0.07 rad apart (2.3 mm on a 65 mm fruit)."""
_GOLDEN = math.pi * (3 - math.sqrt(5))
_Z = [1 - (2 * m + 1) / N_SURFACE for m in range(N_SURFACE)]
SURFACE: NDArray[np.float32] = np.array(
    [[math.sqrt(1 - z * z) * f(m * _GOLDEN) for m, z in enumerate(_Z)] for f in (math.cos, math.sin)] + [_Z], np.float32
)
"""(3, n_surface) directions of the cells in the fruit's frame, spread evenly (Fibonacci's spiral), all of one solid angle."""
DISAGREE_PCT, DISAGREE_SHARE = 2.0, 0.3
"""Points of blemish, and part of it, by which map and mean of views may differ before a fruit is flagged."""
N_COLOURS = len(COLOURS)
_HALF_GRID = np.float32(GRID / 2)


@njit(cache=True, nogil=True, error_model="numpy")
def _turn(turn: NDArray[np.float64], out: NDArray[np.float32]) -> None:
    """Fill ``out`` (3, n_surface) with the cells' directions as a view sees them."""
    for axis in range(3):
        a, b, c = np.float32(turn[axis, 0]), np.float32(turn[axis, 1]), np.float32(turn[axis, 2])
        for m in range(N_SURFACE):
            out[axis, m] = a * SURFACE[0, m] + b * SURFACE[1, m] + c * SURFACE[2, m]


@njit(cache=True, nogil=True, error_model="numpy")
def lay_view(view: Any, turn: NDArray[np.float64], room: "Room") -> None:
    """Lay one view (a `tables.VIEW`) on the sphere; ``turn`` (3, 3) is its rotation, fruit to view.

    Which cells it sees better than all before no branch decides, for the processor could not foresee it.
    """
    _turn(turn, room.there)
    there, facing, best, weight, least = room.there, room.facing, room.best, room.weight, np.float32(LEAST_COS)
    for m in range(np.uint64(N_SURFACE)):
        above = there[2, m] - least
        weight[m] += above * above if above > 0 else np.float32(0)  # nothing where a view was never placed
    n = np.uint64(0)
    for m in range(np.uint64(N_SURFACE)):
        z = there[2, m]
        facing[n] = m
        n += np.uint64(z > best[m])
        best[m] = z if z > best[m] else best[m]
    colours, hues = view.colour, view.hue
    for k in range(n):
        at = np.uint64(facing[k])
        i, j = _cell(there, at)
        room.colour[at], room.hue[at] = colours[j >> np.uint64(1), i >> np.uint64(1)], hues[j >> np.uint64(1), i >> np.uint64(1)]
    for s in range(view.spots):
        if room.hurt[s + 1]:
            _lay_blemishes(view.skin, room)
            return


@njit(cache=True, nogil=True, error_model="numpy")
def _lay_blemishes(skin: NDArray[np.uint32], room: "Room") -> None:
    """Lay the blemishes of the view that was laid last."""
    there, least = room.there, np.float32(LEAST_COS)
    for m in range(np.uint64(N_SURFACE)):
        above = there[2, m] - least
        if above > 0:
            i, j = _cell(there, m)
            room.bad[m] += above * above * np.float32(room.hurt[np.uint64(skin[j, i] >> np.uint32(8 * SPOT))])


@njit(cache=True, nogil=True)
def _cell(there: NDArray[np.float32], m: Any) -> tuple[Any, Any]:
    """Return column and row of the patch where a view shows a cell of the sphere."""
    one = np.float32(1)
    i, j = np.int32((there[0, m] + one) * _HALF_GRID), np.int32((there[1, m] + one) * _HALF_GRID)
    return np.uint64(i), np.uint64(j)


@njit(cache=True, nogil=True)
def quantile(count: NDArray[np.int64], total: int, share: float) -> float:
    """Return the value below which ``share`` of a histogram of whole numbers lies, read off linearly inside its bin."""
    wanted, below = share * total, 0
    for value in range(len(count)):
        if count[value] and below + count[value] >= wanted:
            return float(value - 0.5 + (wanted - below) / count[value])
        below += count[value]
    return np.nan


class Room(NamedTuple):
    """Room for the surface of one fruit of up to ``n_views`` views; what is left in it after `surface` is the fruit's map.

    ``order`` (n_views,) views used; ``turns`` (n_views, 3, 3) fruit to view; ``spots``, ``spot`` as `fuse.fuse`; ``marks`` what
    it found; ``hurt`` (n_spots + 1,); ``there`` (3, n_surface), ``facing`` (n_surface,); ``best`` (n_surface,)
    cosine of the view that sees a cell best, which gives ``colour`` and ``hue``; ``weight``, ``bad`` (n_surface,) sums over views
    of ``(cos - least)**2``, and of that where there is blemish; ``tally`` (256,); ``skin``, ``score``
    as `turn.measure_turns`.
    """

    order: NDArray[np.int64]
    turns: NDArray[np.float64]
    spots: NDArray[np.int64]
    spot: NDArray[np.float32]
    marks: Marks
    hurt: NDArray[np.uint8]
    there: NDArray[np.float32]
    facing: NDArray[np.uint32]
    best: NDArray[np.float32]
    weight: NDArray[np.float32]
    bad: NDArray[np.float32]
    colour: NDArray[np.uint8]
    hue: NDArray[np.uint8]
    tally: NDArray[np.int64]
    skin: Skin
    score: NDArray[np.float64]


def travel_of(config: LineConfig) -> NDArray[np.float64]:
    """Return how far a cup has travelled, in pitches, when each of its views is taken, (n_views,)."""
    travel = np.zeros(config.n_views)
    for camera in config.camera:
        travel[camera.first_view : camera.first_view + camera.windows] = camera.station + np.arange(camera.windows)
    return travel


def room(n_views: int) -> Room:
    """Return room for fruit of up to ``n_views`` views."""
    return Room(
        order=np.zeros(n_views, np.int64),
        turns=np.zeros((n_views, 3, 3)),
        spots=np.zeros(n_views, np.int64),
        spot=np.zeros((n_views, N_SPOTS, 6), np.float32),
        marks=marks(n_views),
        hurt=np.zeros(N_SPOTS + 1, np.uint8),
        there=np.zeros((3, N_SURFACE), np.float32),
        facing=np.zeros(N_SURFACE, np.uint32),
        best=np.zeros(N_SURFACE, np.float32),
        weight=np.zeros(N_SURFACE, np.float32),
        bad=np.zeros(N_SURFACE, np.float32),
        colour=np.zeros(N_SURFACE, np.uint8),
        hue=np.zeros(N_SURFACE, np.uint8),
        tally=np.zeros(256, np.int64),
        skin=blank_skin(n_views),
        score=np.zeros(max(n_views - 1, 1)),
    )


@njit(cache=True, nogil=True)
def roll(views: Any, room: Room, n: int, travel: NDArray[np.float64], turn: float) -> None:
    """Fill the turns of a fruit's ``n`` views as the rollers give them; ``turn`` is per pitch, in fruit diameters."""
    for k in range(n):
        view = views[room.order[k]]
        angle = 2.0 * turn * (travel[room.order[k]] - travel[room.order[0]])
        rolled(angle, view.sight_x, view.sight_y, room.turns[k])


@njit(cache=True, nogil=True)
def surface(views: Any, room: Room, n: int, out: Any) -> None:
    """Join the skin of a fruit's ``n`` views, ordered and turned, into ``out`` (one `tables.FRUIT`)."""
    views, room = lend(views), lend(room)
    for k in range(n):
        room.spots[k] = views[room.order[k]].spots
        room.spot[k] = views[room.order[k]].spot
    radius = out.diameter_px / 4.0
    n_marks = fuse(room.spots, room.spot, room.turns, n, radius, room.marks)
    if start(room.marks, n_marks, n, radius):
        for k in range(n):
            lay(views[room.order[k]].skin, k, room.turns[k], room.marks)
        unite(room.marks, n_marks, n, radius)
    room.best[:], room.weight[:], room.bad[:] = LEAST_COS, 0.0, 0.0
    for k in range(n):
        for s in range(1, N_SPOTS + 1):
            mark = room.marks.of[k, s]
            room.hurt[s] = mark >= 0 and room.marks.kind[mark] == BLEMISH
        lay_view(views[room.order[k]], room.turns[k], room)
    coloured = 0
    for k in range(n):
        coloured += views[room.order[k]].colour_cells.sum()
    _shares(room, coloured > 0, out)
    _blemishes(room.marks, n_marks, out)
    _mean_of_views(views, room, n, out)


@njit(cache=True, nogil=True)
def rolled(angle: float, sight_x: float, sight_y: float, turn: NDArray[np.float64]) -> None:
    """Fill ``turn`` (3, 3): a fruit rolled about y by ``angle``, then seen along a line of sight of these slopes."""
    c, s = np.cos(angle), np.sin(angle)
    turn[0, 0], turn[0, 1], turn[0, 2] = c, 0.0, s
    turn[1, 0], turn[1, 1], turn[1, 2] = 0.0, 1.0, 0.0
    turn[2, 0], turn[2, 1], turn[2, 2] = -s, 0.0, c
    tilt(sight_x, sight_y, turn)


@njit(cache=True, nogil=True)
def tilt(sight_x: float, sight_y: float, turn: NDArray[np.float64]) -> None:
    """Turn ``turn`` (3, 3), fruit to camera, on to how the fruit is seen along a line of sight of these slopes.

    The line of sight becomes z by the smallest rotation: Rodrigues' formula for the axis between the two.
    """
    x, y = -sight_x, -sight_y
    z = 1.0 / np.sqrt(1.0 + x * x + y * y)
    x, y = x * z, y * z
    part = 1.0 / (1.0 + z)
    a, b, d = 1.0 - x * x * part, -x * y * part, 1.0 - y * y * part
    for i in range(3):
        p, q, r = turn[0, i], turn[1, i], turn[2, i]
        turn[0, i], turn[1, i], turn[2, i] = a * p + b * q - x * r, b * p + d * q - y * r, x * p + y * q + z * r


@njit(cache=True, nogil=True)
def _shares(room: Room, coloured: bool, out: Any) -> None:
    """Fill coverage and blemish of the seen surface, and its colours and hue if a camera saw any."""
    colour = np.zeros(N_COLOURS, np.int64)
    total, bad = 0, 0
    room.tally[:] = 0
    for m in range(N_SURFACE):
        if room.weight[m] > 0:
            total += 1
            bad += 2 * room.bad[m] > room.weight[m]
            colour[room.colour[m]] += 1
            room.tally[room.hue[m]] += 1
    if total == 0:
        return
    out.coverage_pct = 100.0 * total / N_SURFACE
    out.blemish_pct = 100.0 * bad / total
    if not coloured:
        return
    out.green_pct = 0.0
    for c in range(N_COLOURS):
        out.colour_pct[c] = 100.0 * colour[c] / total
        out.green_pct += GREEN_WEIGHT[c] * out.colour_pct[c]
    for k in range(3):
        out.hue_deg[k] = quantile(room.tally, total, (0.1, 0.5, 0.9)[k])


@njit(cache=True, nogil=True)
def _blemishes(found: Marks, n: int, out: Any) -> None:
    """Fill number and size of blemishes, and where the ends are."""
    out.blemish_count, largest = 0, 0.0
    for mark in range(n):
        kind = found.kind[mark]
        if kind == BLEMISH:
            out.blemish_count += 1
            largest = max(largest, found.area[mark])
        for k in range(3):
            if kind == STEM:
                out.stem[k] = found.where[mark, k]
            elif kind == STYLAR:
                out.stylar[k] = found.where[mark, k]
    out.largest_blemish_share = np.sqrt(largest / np.pi)


@njit(cache=True, nogil=True)
def _mean_of_views(views: Any, room: Room, n: int, out: Any) -> None:
    """Fill mean colour and, as a check of the map, the mean share of blemish in a view; flag a fruit where they differ much."""
    cells, hurt, red, green, blue = 0, 0.0, 0.0, 0.0, 0.0
    for k in range(n):
        row = views[room.order[k]]
        cells += row.skin_cells
        for s in range(row.spots):
            mark = room.marks.of[k, s + 1]
            if mark >= 0 and room.marks.kind[mark] == BLEMISH:
                hurt += row.spot[s, SPOT_RADIUS] ** 2
        red += row.red * row.skin_cells
        green += row.green * row.skin_cells
        blue += row.blue * row.skin_cells
    if cells:
        out.red, out.green, out.blue = red / cells, green / cells, blue / cells
        out.blemish_views_pct = 100.0 * hurt / (n * INNER)
        apart = abs(out.blemish_views_pct - out.blemish_pct)
        if apart > max(DISAGREE_PCT, DISAGREE_SHARE * out.blemish_views_pct):
            out.flags |= VIEWS_DISAGREE
