"""Peers of the imaging kernel: what a good program made of well-kept libraries does with the same raw frame.

None of them knows where the cups are, and none needs to: fruit is what stands out by colour and is large enough.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
CITRUS = np.array((3, 70, 60)), np.array((75, 255, 255))
GREEN = np.array((35, 70, 40)), np.array((75, 255, 255))
"""Hue, saturation and value of citrus skin and of its green, as OpenCV scales them."""
DARK_VALUE = 70
LEAST_SHARE = 0.0004
"""A fruit covers at least this much of a frame."""


def demosaiced(mosaic: Bytes) -> Bytes:
    """Return a raw RGGB frame (height, width) in colours (height, width, 3), blue first."""
    return np.asarray(cv2.cvtColor(mosaic, cv2.COLOR_BayerRGGB2BGR), np.uint8)


def citrus(hsv: Bytes) -> Bytes:
    """Return where citrus skin is, 0 or 255, closed over its blemishes."""
    mask = cv2.inRange(hsv, *CITRUS)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, kernel)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, kernel), np.uint8)


def opencv_loop(mosaic: Bytes) -> list[dict[str, Any]]:
    """Measure a frame with OpenCV, a contour at a time: ellipse, rectangle, mean colour, share of green and of dark skin."""
    bgr = demosaiced(mosaic)
    hsv = np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2HSV), np.uint8)
    contours, _ = cv2.findContours(citrus(hsv), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    large = [np.asarray(contour, np.int32) for contour in contours if cv2.contourArea(contour) > LEAST_SHARE * mosaic.size]
    return [_fruit(bgr, hsv, contour) for contour in large]


def _fruit(bgr: Bytes, hsv: Bytes, contour: NDArray[np.int32]) -> dict[str, Any]:
    x, y, width, height = cv2.boundingRect(contour)
    inside = np.zeros((height, width), np.uint8)
    cv2.drawContours(inside, [contour], 0, 255, cv2.FILLED, offset=(-x, -y))
    own_bgr, own_hsv = bgr[y : y + height, x : x + width], hsv[y : y + height, x : x + width]
    green = cv2.bitwise_and(cv2.inRange(own_hsv, *GREEN), inside)
    dark = cv2.bitwise_and(cv2.inRange(own_hsv[:, :, 2], 0, DARK_VALUE), inside)
    area = cv2.countNonZero(inside)
    return {
        "ellipse": cv2.fitEllipse(contour),
        "rectangle": cv2.minAreaRect(contour),
        "bgr": cv2.mean(own_bgr, inside)[:3],
        "hsv": cv2.mean(own_hsv, inside)[:3],
        "green_share": cv2.countNonZero(green) / area,
        "blemish_share": cv2.countNonZero(dark) / area,
    }


PROPERTIES = (
    "label", "area", "bbox", "centroid", "axis_major_length", "axis_minor_length", "orientation", "eccentricity",
    "intensity_mean",
)  # fmt: skip


def regionprops(mosaic: Bytes) -> dict[str, NDArray[Any]]:
    """Measure a frame with scikit-image: its colour conversion, its labels, and nine properties of each."""
    from skimage.color import rgb2hsv
    from skimage.measure import label, regionprops_table
    from skimage.morphology import remove_small_objects

    rgb = demosaiced(mosaic)[:, :, ::-1]
    hsv = rgb2hsv(rgb)
    mask = (hsv[..., 0] < 75 / 180) & (hsv[..., 1] > 70 / 255) & (hsv[..., 2] > 60 / 255)
    labels = label(remove_small_objects(mask, max_size=int(LEAST_SHARE * mosaic.size)))
    return dict(regionprops_table(labels, rgb, properties=PROPERTIES))


def plantcv(tile: Bytes) -> int:
    """Measure the raw tile of one cup with PlantCV: saturation, threshold, fill, size and colour; return how many objects."""
    from plantcv import plantcv as pcv

    rgb = demosaiced(tile)
    saturation = pcv.rgb2gray_hsv(rgb_img=rgb, channel="s")
    mask = pcv.threshold.otsu(gray_img=saturation, object_type="light")
    mask = pcv.fill(bin_img=mask, size=tile.size // 50)
    labels, n = pcv.create_labels(mask=mask)
    if n:
        pcv.analyze.size(img=rgb, labeled_mask=labels, n_labels=n)
        pcv.analyze.color(rgb_img=rgb, labeled_mask=labels, n_labels=n, colorspaces="hsv")
    pcv.outputs.clear()
    return int(n)
