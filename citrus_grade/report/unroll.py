"""A fruit's whole skin as one picture: its views laid on the sphere and unrolled, stem end up."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.imaging.disc import LEAST_COS
from citrus_grade.imaging.join import join
from citrus_grade.imaging.marks import NOTHING
from citrus_grade.imaging.surface import Room, room, travel_of
from citrus_grade.report.seen import SeenView
from citrus_grade.tables import FRUIT, VIEW, empty

Floats = NDArray[np.float64]
ROWS, COLUMNS = 180, 360
"""A degree of latitude and of longitude a pixel."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark on the map: ``kind`` of `imaging.fuse`, latitude, longitude and radius in degrees."""

    kind: int
    latitude_deg: float
    longitude_deg: float
    radius_deg: float


@dataclass(frozen=True, slots=True)
class Map:
    """``picture`` (rows, columns, 3) uint8, red first; ``seen`` (rows, columns) whether any view saw it; the marks on it."""

    picture: NDArray[np.uint8]
    seen: NDArray[np.bool_]
    marks: tuple[Mark, ...]


def unroll(views: Sequence[SeenView], config: LineConfig) -> Map:
    """Return the map of a fruit from its views, by the rotations and marks of the line's own joining."""
    rows = empty(VIEW, config.n_views)
    seen = np.zeros(config.n_views, np.bool_)
    for view in views:
        rows[view.index], seen[view.index] = view.row, True
    work, fruit = room(config.n_views), empty(FRUIT, 1)
    pitch_px = config.camera[0].px_per_mm * config.line.pitch_mm
    travel, turn_px = travel_of(config), config.line.roller_ratio * pitch_px
    join(rows, seen, pitch_px, travel, turn_px, work, np.empty((2, config.n_views)), fruit[0])
    upright = _upright(fruit[0])
    by_index = {view.index: view for view in views}
    used = [by_index[int(v)] for v in work.order[: int(fruit[0]["fruit_views"])]]
    picture, covered = _lay(used, work.turns, upright)
    return Map(picture, covered, tuple(_marks(work, upright)))


def _upright(fruit: np.void) -> Floats:
    """Return the rotation (3, 3) from the map's frame, pole up, to the fruit's: stem end up, or the rollers' axis."""
    if np.isfinite(fruit["stem"]).all():
        pole = np.asarray(fruit["stem"])
    elif np.isfinite(fruit["stylar"]).all():
        pole = -np.asarray(fruit["stylar"])
    else:
        pole = np.array([0.0, -1.0, 0.0])
    side = np.cross(pole, [0.0, 0.0, 1.0] if abs(pole[2]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    return np.stack([side, np.cross(pole, side), pole], axis=1)


def _lay(views: Sequence[SeenView], turns: Floats, upright: Floats) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    latitude = np.radians(90 - (np.arange(ROWS) + 0.5))[:, None]
    longitude = np.radians(np.arange(COLUMNS) + 0.5)[None, :]
    there = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude) + 0 * longitude]
    )
    total, weight = np.zeros((ROWS, COLUMNS, 3)), np.zeros((ROWS, COLUMNS, 1))
    for view, turn in zip(views, turns, strict=False):
        assert view.root is not None
        assert view.centre is not None
        x, y, z = np.tensordot(turn @ upright, there, axes=1)
        at = np.tensordot(view.root, np.stack([x, y]), axes=1) + view.centre[:, None, None]
        colours = cv2.remap(view.tile, at[0].astype(np.float32), at[1].astype(np.float32), cv2.INTER_LINEAR)
        own = np.clip(z - LEAST_COS, 0, None)[..., None] ** 3
        total, weight = total + own * colours, weight + own
    return (total / np.maximum(weight, 1e-12)).round().astype(np.uint8), weight[..., 0] > 0


def _marks(work: Room, upright: Floats) -> list[Mark]:
    found = work.marks
    there = found.where @ upright
    return [
        Mark(
            int(found.kind[k]),
            float(np.degrees(np.arcsin(np.clip(there[k, 2], -1, 1)))),
            float(np.degrees(np.arctan2(there[k, 1], there[k, 0])) % 360),
            float(np.degrees(np.sqrt(found.area[k] / np.pi))),
        )
        for k in np.flatnonzero((found.tally[:, 0] > 0) & (found.kind != NOTHING))
    ]
