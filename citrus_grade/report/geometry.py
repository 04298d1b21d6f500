"""Where a measured outline lies in its frame: the way back from a view's numbers to pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from citrus_grade.geometry import bent, locate
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.kernel import root_of

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """A cup's centre in a frame, in pixels, and how far off the lens's axis a lens that does not bend would show it."""

    x_px: float
    y_px: float
    away_x_px: float
    away_y_px: float


def place_of(imager: Imager, tick: int, offset: int, lane: int, cup: int) -> Place:
    """Return where a cup's centre lies in a frame, by the imaging kernel's own geometry."""
    cup0, ahead, unit = locate(tick, offset, int(imager.scene.station_milli[lane]), imager.scene.num, imager.scene.den)
    pitch_px, window_x_px = float(imager.scene.optics[0]), float(imager.scene.optics[1])
    axis_x_px, axis_y_px = float(imager.scene.optics[2]), float(imager.scene.optics[3])
    away_x_px = window_x_px + (cup0 - cup + ahead / unit) * pitch_px - axis_x_px
    away_y_px = float(imager.scene.lane_y_px[lane]) - axis_y_px
    bend, _stretch = bent(away_x_px, away_y_px, imager.scene.optics)
    return Place(axis_x_px + bend * away_x_px, axis_y_px + bend * away_y_px, away_x_px, away_y_px)


def outline(imager: Imager, place: Place, view: np.void, n: int = 90) -> Points:
    """Return (n, 2) points of a view's ellipse, the lens's stretch put back in."""
    turn = np.linspace(0, 2 * np.pi, n)
    return _in_frame(imager, place, view, np.cos(turn), np.sin(turn))


def widest(imager: Imager, place: Place, view: np.void) -> Points:
    """Return the two ends (2, 2) of a view's major axis: its diameter."""
    return _in_frame(imager, place, view, np.array([-1.0, 1.0]), np.zeros(2))


def disc(imager: Imager, place: Place, view: np.void) -> tuple[Points, Points]:
    """Return what takes a view's unit disc to its frame: the centre (2,) and a matrix (2, 2)."""
    axis = np.array([place.away_x_px, place.away_y_px])
    away = float(np.hypot(*axis)) + 1e-9
    bend, stretch = bent(place.away_x_px, place.away_y_px, imager.scene.optics)
    major, minor, angle = (float(view[name]) for name in ("major_px", "minor_px", "angle_rad"))
    root = root_of(0.5 * bend * major, 0.5 * bend * minor, angle, np.array([0.0, 0.0, *(axis / away), stretch]))
    centre = np.array([place.x_px + bend * float(view["x_px"]), place.y_px + bend * float(view["y_px"])])
    return centre, np.array(root).reshape(2, 2)


def _in_frame(imager: Imager, place: Place, view: np.void, along: Points, across: Points) -> Points:
    """Return points given along and across the major axis, in shares of the semi-axes."""
    centre, root = disc(imager, place, view)
    turn = float(view["angle_rad"])
    on_disc = np.stack([along * np.cos(turn) - across * np.sin(turn), along * np.sin(turn) + across * np.cos(turn)])
    return np.asarray((root @ on_disc).T + centre, np.float64)
