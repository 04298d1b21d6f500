"""Pictures of grey things, boards and belts, at the full resolution of a sensor whose pixels see one colour each."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Grey = NDArray[np.float32]


def grey_of(picture: NDArray[Any], bayer: str) -> Grey:
    """Return (height, width) counts of a camera's picture: a mosaic, or (height, width, 3), or one without colour.

    What is grey is seen at another level by each colour's pixels; with each brought to the mean of all a mosaic is a grey
    picture, no pixel made up from its neighbours.
    """
    if picture.ndim == 3:
        return np.asarray(picture.mean(axis=2, dtype=np.float32))
    grey = picture.astype(np.float32)
    if bayer in ("mono", "rgb"):
        return grey
    mean = grey.mean()
    for y in (0, 1):
        for x in (0, 1):
            plane = grey[y::2, x::2]
            plane *= mean / max(float(plane.mean()), 1e-6)
    return grey
