"""One fruit of a photograph measured by the line's own kernel, several times over to tell how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.imaging import colour
from citrus_grade.imaging.disc import SPOT
from citrus_grade.imaging.join import join
from citrus_grade.imaging.kernel import measure_frame
from citrus_grade.imaging.marks import BLEMISH
from citrus_grade.imaging.scene import tile_alone
from citrus_grade.imaging.surface import Room, room
from citrus_grade.measure.cut_out import TILE_PX, CutOut, cut_out
from citrus_grade.measure.find import Found
from citrus_grade.tables import FRUIT, FRUIT_SEEN, GRID, VIEW, empty

Floats = NDArray[np.float64]
N_TIMES = 8
"""How often a fruit is measured: turned and mirrored, shifted within a Bayer cell, under a light a little redder or bluer."""
LIGHT_SHARE = 0.03
"""By this much red is raised and blue lowered, or the other way round: a camera's white balance is no better known."""
BANDS = (0.24, 0.10)
"""How far from the outline known so far the first and the second cut look for the true one, in radii."""
_SHIFTS = np.array([[0.0, 0.0], [1.3, 0.4], [0.4, 1.7], [1.7, 1.1], [0.8, 0.8], [1.1, 1.5], [0.2, 1.2], [1.5, 0.1]]) - 0.8
THRESHOLD, LEAST_QUADS = 48, 400
"""The ground is darker than that on a line, so fruit may be as dark as rot."""
EDGE_PX, EDGE_SHARE = 0.2, 0.0015
"""Standard deviation of a diameter by where its two edges are taken, in the photograph's pixels and as a share (SIMULATED)."""
HIDDEN_SHARE = 0.04
"""Where others hide all of an outline, a diameter would be off by about this share; it is taken in proportion (SIMULATED)."""
FLATTEST = 0.70
"""No citrus fruit is flatter than this: of one whose stem may point to the camera all that is known is that its height lies
between this share of its diameter and the outline's minor axis."""
ENDS = ("stem", "stylar")


@dataclass(frozen=True, slots=True, eq=False)
class Gauged:
    """A measured fruit. ``fruit`` is its outline; ``value`` and ``sigma`` hold what was measured, in the photograph's pixels and
    in percent of the skin seen, NaN where it was not; ``blemishes`` are outlines (n, 2)."""

    fruit: Found
    value: dict[str, float]
    sigma: dict[str, float]
    blemishes: tuple[Floats, ...]


@dataclass(frozen=True, slots=True, eq=False)
class _Take:
    """One measurement: what the kernel and the join say, and the outline as seen in the cut-out; ``turn`` (2, 2) from it to the
    tile. ``hurt`` (grid, grid) are the blemished cells, turned back."""

    joined: np.void
    centre: Floats
    root: Floats
    turn: Floats
    hurt: NDArray[np.bool_]


def gauge(rgb: NDArray[np.uint8], found: Found, others: Sequence[Found], *, coloured: bool = True) -> Gauged | None:
    """Measure one fruit of a photograph (height, width, 3); None where the kernel sees no single round fruit."""
    fruit, takes, cut = found, list[_Take](), None
    for band, times in zip(BANDS, (2, N_TIMES), strict=True):
        cut = cut_out(rgb, fruit, others, band)
        takes = [take for k in range(times) if (take := _take(cut, k))]
        if 2 * len(takes) <= times:
            return None
        fruit = _middle_of(takes, cut)
    assert cut is not None
    return _sum_up(fruit, takes, cut, _hidden(fruit, others), coloured)


def _take(cut: CutOut, k: int) -> _Take | None:
    """Measure a cut-out the ``k``-th way; None where it is no fruit."""
    turn = np.array([[1.0 - 2 * (k >> 1 & 1), 0.0], [0.0, 1.0 - 2 * (k >> 2 & 1)]])
    turn = turn[::-1] if k & 1 else turn
    middle = (len(cut.rgb) - 1) / 2
    shift = np.full(2, TILE_PX / 2) + _SHIFTS[k] - turn @ np.full(2, middle)
    tile = cv2.warpAffine(cut.rgb, np.column_stack((turn, shift)), (TILE_PX, TILE_PX), flags=cv2.INTER_CUBIC)
    light = 1 + LIGHT_SHARE * (0, 1, -1)[k % 3] * np.array([1, 0, -1])
    row = _measure(mosaic(np.asarray(tile * light, np.float32)))
    if row["state"][0] != FRUIT_SEEN:
        return None
    joined, map_ = _join(row)
    view = row[0]
    c, s = np.cos(view["angle_rad"]), np.sin(view["angle_rad"])
    axes = np.array([[c, -s], [s, c]])
    root = axes @ np.diag([view["major_px"] / 2, view["minor_px"] / 2]) @ axes.T
    centre = turn.T @ (np.array([view["x_px"], view["y_px"]]) + TILE_PX / 2 - shift)
    kinds = map_.marks.kind[map_.marks.of[0]]
    hurt = np.isin(view["skin"] >> 8 * SPOT, np.flatnonzero((map_.marks.of[0] >= 0) & (kinds == BLEMISH)))
    return _Take(joined, centre, turn.T @ root @ turn, turn, _turned_back(hurt, k))


def mosaic(tile: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return the raw RGGB mosaic (n, n) of a picture (n, n, 3)."""
    counts = np.clip(tile + 0.5, 0, 255).astype(np.uint8)
    out = np.ascontiguousarray(counts[..., 1])
    out[::2, ::2], out[1::2, 1::2] = counts[::2, ::2, 0], counts[1::2, 1::2, 2]
    return out


def _measure(raw: NDArray[np.uint8]) -> NDArray[Any]:
    """Return the one row of `tables.VIEW` of a frame of one lane and one window."""
    rows = np.empty(1, VIEW)
    measure_frame(raw.view(np.uint16), 0, 0, tile_alone(len(raw), THRESHOLD, LEAST_QUADS, colour.table()), rows)
    return rows


def _join(row: NDArray[Any]) -> tuple[np.void, Room]:
    """Return the fruit, one `tables.FRUIT`, that a single view tells of, and its map."""
    out, map_ = empty(FRUIT, 1), room(1)
    join(row, np.ones(1, np.bool_), float(TILE_PX), np.zeros(1), 0.0, map_, np.zeros((2, 1)), out[0])
    return out[0], map_


def _turned_back(cells: NDArray[np.bool_], k: int) -> NDArray[np.bool_]:
    """Return a patch [y, x] of the ``k``-th tile as it lies in the cut-out."""
    cells = cells.T if k & 1 else cells
    return cells[:: 1 - 2 * (k >> 2 & 1), :: 1 - 2 * (k >> 1 & 1)]


def _middle_of(takes: Sequence[_Take], cut: CutOut) -> Found:
    """Return the median outline, in the photograph."""
    x, y = cut.to_photo(np.median([take.centre for take in takes], axis=0))
    return Found(float(x), float(y), np.median([take.root for take in takes], axis=0) / cut.scale)


def _sum_up(fruit: Found, takes: Sequence[_Take], cut: CutOut, hidden: float, coloured: bool) -> Gauged:
    value, sigma = _size(fruit, takes, cut, hidden)
    for name in ("green_pct", "blemish_pct", "blemish_count"):
        each = np.array([take.joined[name] for take in takes], np.float64)
        value[name], sigma[name] = float(np.median(each)), float(each.std(ddof=1))
    if not coloured:
        value["green_pct"] = sigma["green_pct"] = np.nan
    for end in ENDS:
        points = [point for take in takes if (point := _end(take, end, cut)) is not None]
        known = 2 * len(points) > len(takes)
        at = np.median(points, axis=0) if known else (np.nan, np.nan)
        # A spot's centre is the centre of whole quads.
        spread = np.hypot(np.std(points, axis=0, ddof=1), 0.5 / cut.scale) if known else (np.nan, np.nan)
        for axis in (0, 1):
            value[f"{end}_{'xy'[axis]}_px"], sigma[f"{end}_{'xy'[axis]}_px"] = float(at[axis]), float(spread[axis])
    return Gauged(fruit, value, sigma, _blemishes(fruit, takes))


def _size(fruit: Found, takes: Sequence[_Take], cut: CutOut, hidden: float) -> tuple[dict[str, float], dict[str, float]]:
    """Return centre, diameter and height with their sigmas, all in the photograph's pixels."""
    axes = np.array([np.linalg.eigvalsh(take.root) for take in takes]) * 2 / cut.scale
    height_px, diameter_px = 2 * np.linalg.eigvalsh(fruit.root)
    off_px = _off_ellipse(fruit, cut)
    edge_px = np.linalg.norm((EDGE_PX, EDGE_SHARE * diameter_px, HIDDEN_SHARE * hidden * diameter_px))
    spread = np.array([take.centre for take in takes]).std(axis=0, ddof=1) / cut.scale
    height_spread, diameter_spread = axes.std(axis=0, ddof=1)
    tilt_px = max(height_px - FLATTEST * diameter_px, 0.0) / np.sqrt(12)
    value = {"x_px": fruit.x_px, "y_px": fruit.y_px, "diameter_px": float(diameter_px), "height_px": float(height_px)}
    sigma = {
        "x_px": float(np.sqrt(spread[0] ** 2 + (edge_px / 2) ** 2 + off_px**2 / 6)),
        "y_px": float(np.sqrt(spread[1] ** 2 + (edge_px / 2) ** 2 + off_px**2 / 6)),
        "diameter_px": float(np.sqrt(diameter_spread**2 + edge_px**2 + off_px**2)),
        "height_px": float(np.sqrt(height_spread**2 + edge_px**2 + off_px**2 + tilt_px**2)),
    }
    return value, sigma


def _hidden(fruit: Found, others: Sequence[Found]) -> float:
    """Return the share of a fruit's outline that lies within others'."""
    points, within = fruit.outline(), np.zeros(90, np.bool_)
    for other in others:
        within |= np.linalg.norm((points - (other.x_px, other.y_px)) @ np.linalg.inv(other.root), axis=1) < 1
    return float(within.mean())


def _off_ellipse(fruit: Found, cut: CutOut) -> float:
    """Return by how much the outline seen runs beside its ellipse, standard deviation in the photograph's pixels.

    Bumps a twelfth of the way round long leave about as much in the axes: three fitted numbers, twice a radius, twelve of them.
    """
    outlines, _ = cv2.findContours((cut.share > 0.5).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    points = cut.to_photo(max(outlines, key=len)[:, 0].astype(np.float64)) - (fruit.x_px, fruit.y_px)
    radius = np.linalg.norm(points @ np.linalg.inv(fruit.root), axis=1)
    return float(1.4826 * np.median(np.abs(radius - np.median(radius))) * fruit.diameter_px / 2)


def _end(take: _Take, end: str, cut: CutOut) -> Floats | None:
    """Return where the stem or stylar end lies in the photograph, None where it is not seen."""
    direction = take.joined[end]
    if not direction[2] > 0:
        return None
    return cut.to_photo(take.centre + take.root @ (take.turn.T @ direction[:2]))


def _blemishes(fruit: Found, takes: Sequence[_Take]) -> tuple[Floats, ...]:
    """Return outlines in the photograph of what most measurements call blemish."""
    share = np.mean([take.hurt for take in takes], axis=0).astype(np.float32)
    fine = 8
    smooth = cv2.GaussianBlur(cv2.resize(share, None, fx=fine, fy=fine, interpolation=cv2.INTER_NEAREST), (0, 0), 0.5 * fine)
    outlines, _ = cv2.findContours((smooth > 0.4).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    discs = [(outline[:, 0] + 0.5) / (fine * GRID / 2) - 1 for outline in outlines]
    return tuple((fruit.x_px, fruit.y_px) + disc @ fruit.root for disc in discs)
