"""Millimetres of a photograph: a number that is known, or a ChArUco board lying in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]
LEAST_MARKERS = 4
OFF_MM, LENS_MM = 5.0, 500.0
"""A board lies level with the fruits' middles to about this, under a lens about this far away."""
TILT_SHARE = 0.3
"""Share of a board's foreshortening by which the scale of a fruit beside it is unsure."""
_FAMILIES = (cv2.aruco.DICT_4X4_1000, cv2.aruco.DICT_5X5_1000, cv2.aruco.DICT_6X6_1000, cv2.aruco.DICT_7X7_1000)


class Scale(Protocol):
    """How large the pixels of one photograph are."""

    def at(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return mm per pixel there, and the standard deviation of it as a share."""
        ...


@dataclass(frozen=True, slots=True)
class Known:
    """One scale for the whole photograph, taken as exact."""

    mm_per_px: float

    def at(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return it."""
        return self.mm_per_px, 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """The plane of a board: ``to_px`` (3, 3) takes its mm to pixels; ``share`` is how unsure its size in the picture is."""

    to_px: Floats
    share: float

    def at(self, x_px: float, y_px: float) -> tuple[float, float]:
        """Return the scale across the direction in which the board is foreshortened: a fruit is round and is not."""
        x, y, w = np.linalg.solve(self.to_px, (x_px, y_px, 1.0))
        depth = float(self.to_px[2] @ (x / w, y / w, 1.0))
        jacobian = (self.to_px[:2, :2] - np.outer((x_px, y_px), self.to_px[2, :2])) / depth
        wide, narrow = np.linalg.svd(jacobian, compute_uv=False)
        tilt = TILT_SHARE * (1 - narrow / wide)
        return 1 / float(wide), float(np.sqrt(self.share**2 + tilt**2 + (OFF_MM / LENS_MM) ** 2))


@dataclass(frozen=True, slots=True)
class Board:
    """A ChArUco board of ``columns`` x ``rows`` squares; which markers it bears and how large they are is found out."""

    columns: int
    rows: int
    square_mm: float

    @classmethod
    def parse(cls, text: str) -> "Board":
        """Read ``COLUMNSxROWSxMM``; raise ValueError if it is none."""
        columns, rows, square_mm = text.lower().replace("×", "x").split("x")
        board = cls(int(columns), int(rows), float(square_mm))
        if min(board.columns, board.rows) < 3 or not 0 < board.square_mm < np.inf:
            raise ValueError(text)
        return board

    def __str__(self) -> str:
        return f"{self.columns}x{self.rows}x{self.square_mm:g}"

    def find(self, rgb: NDArray[np.uint8]) -> Plane:
        """Find the board in a picture.

        Raises
        ------
        Refused : too little of it is seen, or it has other squares.
        """
        grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
        family, ids, centres = max((_markers(grey, family) for family in _FAMILIES), key=lambda found: len(found[1]))
        if len(ids) < LEAST_MARKERS:
            raise Refused(
                _("no board found ({n} markers seen, {least} needed); show it whole, flat, sharp and without glare").format(
                    n=len(ids), least=LEAST_MARKERS
                )
            )
        planes = [plane for legacy in (False, True) if (plane := self._fit(family, ids, centres, legacy))]
        if not planes:
            raise Refused(
                _(
                    "the board seen has other squares than {columns} x {rows}; count them, black and white, along both sides,"
                    " or give the two the other way round"
                ).format(columns=self.columns, rows=self.rows)
            )
        return min(planes, key=lambda plane: plane.share)

    def _fit(self, family: int, ids: Sequence[int], centres: Floats, legacy: bool) -> Plane | None:
        """Fit the plane to markers' centres, which lie in the middle of squares however large the markers are."""
        dictionary = cv2.aruco.getPredefinedDictionary(family)
        # Any: OpenCV's stubs do not know what its lists hold.
        board: Any = cv2.aruco.CharucoBoard((self.columns, self.rows), self.square_mm, 0.7 * self.square_mm, dictionary)
        board.setLegacyPattern(legacy)
        places = {int(k): np.mean(p, axis=0)[:2] for k, p in zip(board.getIds().ravel(), board.getObjPoints(), strict=True)}
        known = [k for k, marker in enumerate(ids) if marker in places]
        if len(known) < LEAST_MARKERS:
            return None
        at_mm, at_px = np.array([places[ids[k]] for k in known], np.float64), centres[known]
        to_px, good = cv2.findHomography(at_mm, at_px, cv2.RANSAC, 3.0)
        if to_px is None or good.sum() < max(LEAST_MARKERS, 0.7 * len(ids)):
            return None
        use = good[:, 0] > 0
        off_px = cv2.perspectiveTransform(at_mm[use][None], to_px)[0] - at_px[use]
        spread_px = at_px[use].std(axis=0).max()
        share = np.sqrt((off_px**2).sum(axis=1).mean() / max(use.sum() - 4, 1)) / spread_px
        return Plane(np.asarray(to_px, np.float64), float(share))


def _markers(grey: Any, family: int) -> tuple[int, list[int], Floats]:
    """Return a family, the markers of it in a picture, and their centres (n, 2): where their diagonals cross."""
    parameters = cv2.aruco.DetectorParameters()
    parameters.cornerRefinementMethod = cv2.aruco.CORNER_REFINE_SUBPIX
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(family), parameters)
    corners, ids, _rejected = detector.detectMarkers(grey)
    if ids is None or not len(ids):
        return family, [], np.zeros((0, 2))
    return family, ids.ravel().tolist(), np.array([_crossing(c.reshape(4, 2).astype(np.float64)) for c in corners])


def _crossing(corner: Floats) -> Floats:
    a, b = corner[2] - corner[0], corner[3] - corner[1]
    t = np.linalg.solve(np.stack((a, -b), axis=1), corner[1] - corner[0])[0]
    return np.asarray(corner[0] + t * a)
