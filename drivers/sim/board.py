"""What a camera is calibrated on: a ChArUco board held before it, and an empty belt whose rollers ride in cups.

Both are drawn through a lens with radial distortion, each pixel's ray met with the board or the belt, two samples a pixel each
way. They are for tests and demonstrations; nothing here knows how the calibration looks at them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.messages import Frame

Floats = NDArray[np.float64]

_FINE = 2
_BOARD_PX_PER_SQUARE = 120
_GAIN = {"R": 0.86, "G": 0.97, "B": 1.17}
"""How a grey thing is seen by each colour's pixels."""


@dataclass(frozen=True, slots=True)
class Lens:
    """A pinhole with radial distortion: axis and focal length in px, k1 and k2 of Brown's model."""

    axis_x_px: float
    axis_y_px: float
    focal_px: float
    k1: float = 0.0
    k2: float = 0.0

    def rays(self, width_px: int, height_px: int) -> NDArray[np.float32]:
        """Return (height * fine, width * fine, 2) slopes of the rays that are seen, ``fine`` samples a pixel each way."""
        x = (np.arange(width_px * _FINE) + 0.5) / _FINE - 0.5 - self.axis_x_px
        y = (np.arange(height_px * _FINE) + 0.5) / _FINE - 0.5 - self.axis_y_px
        seen = np.stack(np.meshgrid(x / self.focal_px, y / self.focal_px), axis=-1).astype(np.float32)
        rays = seen.copy()
        for _turn in range(6):
            square = np.square(rays).sum(axis=-1, keepdims=True)
            rays[:] = seen / (1 + square * (self.k1 + self.k2 * square))
        return rays


@dataclass(frozen=True, slots=True)
class Board:
    """A ChArUco board, see `calibration.lens.BoardSpec`."""

    columns: int = 12
    rows: int = 9
    square_mm: float = 40.0
    marker_mm: float = 30.0
    dictionary: int = cv2.aruco.DICT_4X4_100

    def drawn(self) -> NDArray[np.float32]:
        """Return the board, printed and with a white margin of one square, 0..1."""
        markers = cv2.aruco.getPredefinedDictionary(self.dictionary)
        board = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_mm, self.marker_mm, markers)
        size = (self.columns * _BOARD_PX_PER_SQUARE, self.rows * _BOARD_PX_PER_SQUARE)
        edge = _BOARD_PX_PER_SQUARE
        printed = cv2.copyMakeBorder(board.generateImage(size), edge, edge, edge, edge, cv2.BORDER_CONSTANT, value=255)
        return np.asarray(printed / 255, np.float32)


@dataclass(slots=True)
class BoardCamera:
    """Takes raw pictures of a board: (height, width) uint8 of a Bayer or mono camera, (height, width, 3) of an ``rgb`` one."""

    camera: CameraSection
    lens: Lens
    board: Board = field(default_factory=Board)
    seed: int = 1
    _rays: NDArray[np.float32] = field(init=False)
    _drawn: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        self._rays = self.lens.rays(self.camera.width_px, self.camera.height_px)
        self._drawn = self.board.drawn()

    def take(self, turn_rad: tuple[float, float, float], at_mm: tuple[float, float, float]) -> NDArray[np.uint8]:
        """Take a picture of the board turned by a rotation vector, its middle at a place before the lens (x, y, distance)."""
        turn = cv2.Rodrigues(np.array(turn_rad, np.float64))[0]
        middle = np.array([self.board.columns, self.board.rows, 0.0]) * self.board.square_mm / 2
        corner = np.array(at_mm) - turn @ middle
        # A ray (x, y, 1) meets the board's plane in board mm: invert the homography of the plane.
        back = np.linalg.inv(np.column_stack([turn[:, 0], turn[:, 1], corner])).astype(np.float32)
        x, y = self._rays[..., 0], self._rays[..., 1]
        u, v, w = (back[i, 0] * x + back[i, 1] * y + back[i, 2] for i in range(3))
        scale = _BOARD_PX_PER_SQUARE / self.board.square_mm
        map_x, map_y = (scale * part / w + _BOARD_PX_PER_SQUARE - 0.5 for part in (u, v))
        level = cv2.remap(self._drawn, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0.35)
        rng = np.random.default_rng([self.seed, *np.abs(np.array(turn_rad + at_mm) * 1000).astype(int)])
        return _exposed(np.asarray(12 + 170 * level, np.float32), self.camera.bayer, rng)


ROLLERS = 2
"""Rollers a cup of the empty belt; fruit lies in the dark gap between the two."""
DIVIDER_MM = 4.0
_STEPS = 512  # of a roller's profile


def empty_belt(
    config: LineConfig, camera_index: int, lens: Lens, *, lane_y_px: Floats, ahead_px: Floats, frames: int = 12, seed: int = 1
) -> Iterator[Frame]:
    """Yield frames, one a pitch, of an empty running belt.

    Parameters
    ----------
    lane_y_px : (n_lanes,) middles of the lanes, rising; dividers lie half-way between and beside the outer ones.
    ahead_px : (n_lanes,) how far downstream of the configured place each lane's cups are.
    """
    camera, line = config.camera[camera_index], config.line
    pitch_px = camera.px_per_mm * line.pitch_mm
    rays = lens.rays(camera.width_px, camera.height_px)
    x_px, y_px = lens.focal_px * rays[..., 0] + lens.axis_x_px, lens.focal_px * rays[..., 1] + lens.axis_y_px
    middle = np.asarray(lane_y_px, np.float64)
    half = float(np.diff(middle).mean()) / 2 if len(middle) > 1 else camera.height_px / 2.5
    edges = np.array([middle[0] - half, *(middle[1:] + middle[:-1]) / 2, middle[-1] + half])
    lane = np.clip(np.searchsorted(edges, y_px) - 1, 0, len(middle) - 1)
    divider = np.abs(y_px[..., None] - edges.astype(np.float32)).min(axis=-1) < DIVIDER_MM / 2 * camera.px_per_mm
    rng = np.random.default_rng([seed, 21])
    wear = (1 + 0.06 * rng.standard_normal((line.lanes, 97 * ROLLERS))).astype(np.float32)
    profile = _roller()
    start = (camera.window_x_px + ahead_px - pitch_px * (camera.station + np.array(config.phases))).astype(np.float32)
    place = ROLLERS * ((x_px - start[lane]) / np.float32(pitch_px))
    for seq in range(frames):
        steps = np.floor((place - ROLLERS * seq) * _STEPS).astype(np.int64)
        level = profile[steps % _STEPS] * wear[lane, steps // _STEPS % wear.shape[1]]
        tick = round(seq * config.encoder.ratio)
        yield Frame(camera_index, seq, tick, seq * 80_000_000, _exposed(np.where(divider, 30, level), camera.bayer, rng))


def _roller() -> NDArray[np.float32]:
    """Return the counts of a roller and half the gap on either side of it, with a glint beside its ridge."""
    across = 2 * (np.arange(_STEPS) + 0.5) / _STEPS - 1
    round_ = np.sqrt(np.clip(1 - (across / 0.86) ** 2, 0, None))
    return np.asarray(4 + 22 * round_ + 7 * np.exp(-0.5 * ((across + 0.28) / 0.07) ** 2), np.float32)


def _exposed(level: NDArray[np.float32], bayer: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return what the sensor reads of finely sampled grey counts: pixels averaged, in their own colours, shot and read noise."""
    height, width = level.shape[0] // _FINE, level.shape[1] // _FINE
    counts = cv2.resize(level, (width, height), interpolation=cv2.INTER_AREA)
    if bayer == "rgb":
        counts = counts[..., None] * np.array([_GAIN[colour] for colour in "RGB"], np.float32)
    elif bayer != "mono":
        counts = counts * np.tile(np.array([_GAIN[colour] for colour in bayer]).reshape(2, 2), (height // 2, width // 2))
    noise = rng.standard_normal(counts.shape, np.float32) * np.sqrt(2.5 + 0.03 * counts)
    return np.asarray(np.clip(counts + noise + 0.5, 0, 255), np.uint8)
