"""The camera's lens from pictures of a ChArUco board: focal length, optical axis, radial distortion."""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import CalibrationError, refuse
from citrus_grade.calibration.grey import Grey
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_CORNERS = 12
"""Fewer corners of a board than these say little about the lens."""
LEAST_VIEWS = 8
WORST_RMS_PX = 0.5
WORST_FOCAL_PCT = 0.5
"""Standard error of the focal length at which every fruit is still measured to a tenth of a millimetre."""
LEAST_FIELD = 0.6
"""Share of the picture's width and of its height that the corners of all views must span."""
TILT_DEG = 10.0
LEAST_TILTED = 5
"""Pictures in which the board must be tilted by `TILT_DEG`: one that faces the lens is alike from near and from far."""
_FLAGS = cv2.CALIB_FIX_ASPECT_RATIO | cv2.CALIB_ZERO_TANGENT_DIST | cv2.CALIB_FIX_K3


@dataclass(frozen=True, slots=True)
class BoardSpec:
    """A ChArUco board: squares across and down, their length and their markers' in mm, and the markers' dictionary."""

    columns: int = 12
    rows: int = 9
    square_mm: float = 40.0
    marker_mm: float = 30.0
    dictionary: str = "4X4_100"

    @classmethod
    def parse(cls, text: str) -> "BoardSpec":
        """Read ``12x9:40:30:4X4_100``.

        Raises
        ------
        ValueError : if it is written otherwise.
        """
        size, square, marker, dictionary = text.split(":")
        columns, rows = size.lower().split("x")
        spec = cls(int(columns), int(rows), float(square), float(marker), dictionary.upper())
        if min(spec.columns, spec.rows) < 3 or not 0 < spec.marker_mm < spec.square_mm:
            raise ValueError(text)
        if spec.columns * spec.rows // 2 > len(spec.markers().bytesList):
            raise ValueError(text)
        return spec

    def markers(self) -> cv2.aruco.Dictionary:
        """Return OpenCV's dictionary of the markers."""
        number = getattr(cv2.aruco, f"DICT_{self.dictionary}", None)
        if number is None:
            raise ValueError(self.dictionary)
        return cv2.aruco.getPredefinedDictionary(number)

    def board(self) -> cv2.aruco.CharucoBoard:
        """Return OpenCV's board."""
        return cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_mm, self.marker_mm, self.markers())


@dataclass(frozen=True, slots=True, eq=False)
class BoardView:
    """The board's corners in one picture: ``on_board_mm`` (n, 3), ``seen_px`` (n, 2)."""

    name: str
    on_board_mm: NDArray[np.float32]
    seen_px: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LensFit:
    """A lens as measured: ``lens`` and its standard errors ``sigma`` (5,) as in `CalibrationSet`; ``rms_px`` and ``worst`` say
    how well the board's corners fit, ``seen_px`` (n, 2) and ``residual_px`` (n, 2) where and how each does."""

    lens: Floats
    sigma: Floats
    rms_px: float
    worst: str
    worst_px: float
    views: int
    seen_px: Floats
    residual_px: Floats


def matrix_of(lens: Floats) -> Floats:
    """Return OpenCV's camera matrix (3, 3)."""
    axis_x, axis_y, focal = lens[:3]
    return np.array([[focal, 0.0, axis_x], [0.0, focal, axis_y], [0.0, 0.0, 1.0]])


def distortion_of(lens: Floats) -> Floats:
    """Return OpenCV's distortion (5,): k1, k2, no tangential part, no k3."""
    return np.array([lens[3], lens[4], 0.0, 0.0, 0.0])


def straighten(grey: Grey, lens: Floats) -> Grey:
    """Return the picture that a lens without distortion would have made."""
    if not lens[3:].any():
        return grey
    matrix = matrix_of(lens)
    return np.asarray(cv2.undistort(grey, matrix, distortion_of(lens), None, matrix), np.float32)


def find_board(name: str, grey: Grey, spec: BoardSpec) -> BoardView:
    """Return the corners seen in a picture, none where the board is not found."""
    board = spec.board()
    top = max(float(np.percentile(grey, 99.5)), 1.0)
    bytes_ = np.clip(grey * (255.0 / top), 0, 255).astype(np.uint8)
    corners, ids, _markers, _marker_ids = cv2.aruco.CharucoDetector(board).detectBoard(bytes_)
    if ids is None or len(ids) < 4:
        return BoardView(name, np.zeros((0, 3), np.float32), np.zeros((0, 2), np.float32))
    on_board, seen = board.matchImagePoints(corners, ids)
    return BoardView(name, np.asarray(on_board, np.float32).reshape(-1, 3), np.asarray(seen, np.float32).reshape(-1, 2))


def fit_lens(where: str, views: Iterable[BoardView], size_px: tuple[int, int]) -> LensFit:
    """Fit a lens to views of one board (Zhang, IEEE TPAMI 22, 1330, 2000).

    Parameters
    ----------
    where : the camera, for messages. size_px : width and height of its pictures.

    Raises
    ------
    CalibrationError : too few views, corners in too little of the field, a board that never tilts, or corners off their places.
    """
    given = list(views)
    good = [view for view in given if len(view.seen_px) >= LEAST_CORNERS]
    if len(good) < LEAST_VIEWS:
        blind = [view.name for view in given if len(view.seen_px) < LEAST_CORNERS]
        raise CalibrationError(_too_few(where, len(good), len(given), blind))
    seen = np.concatenate([view.seen_px for view in good]).astype(np.float64)
    spans = np.ptp(seen, axis=0) / size_px
    refuse(_uncovered(where, spans))
    first = np.array([size_px[0] / 2, size_px[1] / 2, 1.5 * max(size_px), 0.0, 0.0])
    rms, matrix, distortion, turns, places, sigma, _poses, each = cv2.calibrateCameraExtended(
        [view.on_board_mm for view in good], [view.seen_px for view in good], size_px, matrix_of(first), np.zeros(5), flags=_FLAGS
    )
    lens = np.array([matrix[0, 2], matrix[1, 2], matrix[0, 0], *distortion.ravel()[:2]])
    errors = np.asarray(sigma, np.float64).ravel()[[2, 3, 1, 4, 5]]  # fx is bound to fy
    drawn = [
        cv2.projectPoints(view.on_board_mm, turn, place, matrix, distortion)[0].reshape(-1, 2)
        for view, turn, place in zip(good, turns, places, strict=True)
    ]
    each_px = np.asarray(each).ravel()
    worst = int(np.argmax(each_px))
    fit = LensFit(
        lens, errors, float(rms), good[worst].name, float(each_px[worst]), len(good), seen, seen - np.concatenate(drawn)
    )
    tilt_deg = [np.degrees(np.arccos(min(abs(float(cv2.Rodrigues(turn)[0][2, 2])), 1.0))) for turn in turns]
    refuse([*_unfit(where, fit), *_untilted(where, fit, sum(tilt >= TILT_DEG for tilt in tilt_deg))])
    return fit


def _too_few(where: str, good: int, given: int, blind: list[str]) -> str:
    text = _("{where}: the board is seen in {good} of {given} pictures; at least {least} with {corners} corners each are needed")
    text = text.format(where=where, good=good, given=given, least=LEAST_VIEWS, corners=LEAST_CORNERS)
    if not blind:
        return text
    told = _("not found in {names}: is it the board of --charuco, sharp, evenly lit, and not cut off?")
    return text + "\n" + told.format(names=", ".join(blind[:5]) + (" ..." if len(blind) > 5 else ""))


def _uncovered(where: str, spans: Floats) -> list[str]:
    if spans.min() >= LEAST_FIELD:
        return []
    text = _(
        "{where}: the board spans {x:.0%} of the width and {y:.0%} of the height, {least:.0%} are needed; show it near all edges"
    )
    return [text.format(where=where, x=spans[0], y=spans[1], least=LEAST_FIELD)]


def _unfit(where: str, fit: LensFit) -> list[str]:
    problems = []
    if not fit.rms_px <= WORST_RMS_PX:
        problems.append(
            _(
                "{where}: corners lie {rms:.2f} px (RMS) off their places, at most {limit} px are good; worst in {name}"
                " ({worst:.2f} px): is the board flat and its --charuco right? leave that picture out"
            ).format(where=where, rms=fit.rms_px, limit=WORST_RMS_PX, name=fit.worst, worst=fit.worst_px)
        )
    return problems


def _untilted(where: str, fit: LensFit, tilted: int) -> list[str]:
    spread = 100 * fit.sigma[2] / fit.lens[2]
    if spread <= WORST_FOCAL_PCT and tilted >= LEAST_TILTED:
        return []
    text = _(
        "{where}: the board is tilted in {n} pictures, and the focal length known to {pct:.2f} %; tilt the board by 20 to 40"
        " degrees in {least} pictures or more, each another way"
    )
    return [text.format(where=where, n=tilted, pct=spread, least=LEAST_TILTED)]
