"""The peer: the grading program one would write first, with OpenCV a fruit at a time and a scikit-learn pipeline a fruit at
a time."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from citrus_grade.messages import Frame, Scans

_ORANGE = ((5, 60, 50), (30, 255, 255))
_GREEN = ((30, 60, 40), (70, 255, 255))


def measure_tile(bgr: NDArray[np.uint8]) -> tuple[float, float, float, float] | None:
    """Return major and minor axis in px, green and dark share of one fruit; None where there is none."""
    hsv = cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV)
    green = cv2.inRange(hsv, *map(np.array, _GREEN))
    mask = cv2.inRange(hsv, *map(np.array, _ORANGE)) | green
    mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return None
    contour = max(contours, key=cv2.contourArea)
    area = cv2.contourArea(contour)
    if area < 500 or len(contour) < 5:
        return None
    _, axes, _ = cv2.fitEllipse(contour)
    inside = np.zeros(mask.shape, np.uint8)
    cv2.drawContours(inside, [contour], -1, 255, -1)
    dark = cv2.inRange(hsv[:, :, 2], 0, 70) & inside
    return max(axes), min(axes), cv2.countNonZero(green & inside) / area, cv2.countNonZero(dark) / area


def measure_frame(frame: Frame, lane_y_px: tuple[float, ...], windows: int, tile: int) -> int:
    """Measure every cup of a frame; return how many held fruit."""
    bgr = cv2.cvtColor(frame.mosaic, cv2.COLOR_BayerRGGB2BGR)
    found = 0
    for y in lane_y_px:
        for window in range(windows):
            y0, x0 = int(y) - tile // 2, window * tile
            found += measure_tile(bgr[y0 : y0 + tile, x0 : x0 + tile]) is not None
    return found


def _snv(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return (rows - rows.mean(axis=1, keepdims=True)) / rows.std(axis=1, keepdims=True)


def _derivative(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(savgol_filter(rows, 13, 2, deriv=1, axis=1))


def pipeline(absorbance: NDArray[np.float64], reference: NDArray[np.float64]) -> Pipeline:
    """Return SNV, Savitzky-Golay and PLS with 12 components, fitted."""
    model = make_pipeline(FunctionTransformer(_snv), FunctionTransformer(_derivative), PLSRegression(12, scale=False))
    return model.fit(absorbance, reference)


def predict(model: Pipeline, counts: NDArray[np.uint16], dark: NDArray[np.float64], white: NDArray[np.float64]) -> Any:
    """Predict one fruit from its scans (n_scans, n_pixels)."""
    mean = counts.astype(np.float64).mean(axis=0)
    absorbance = -np.log10(np.clip((mean - dark) / (white - dark), 1e-6, None))
    return model.predict(absorbance[None, :])


def scans_of_fruit(scans: list[Scans], lane: int) -> NDArray[np.uint16]:
    """Return one lane's scans of a passage, (n_scans, n_pixels)."""
    return np.stack([message.counts[lane] for message in scans])
