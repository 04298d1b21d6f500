"""The unit disc on which every view is laid: one grid for all fruit, all sizes and all cameras.

A view's silhouette is an ellipse; the symmetric root of its matrix takes the silhouette to the unit circle. On that disc a view
of an ellipsoid is exactly a parallel view of the unit sphere, so views of one fruit differ by a rotation and by nothing else.
"""

import numpy as np
from numpy.typing import NDArray

from citrus_grade.tables import GRID

INNER = 0.86
"""Share of the squared radius inside which skin is judged; the limb beyond is seen too obliquely."""
LEAST_COS = float(np.sqrt(1 - INNER))
"""The same limit as the cosine between the skin's normal and the view."""

DARK, BLUE, GREEN = range(3)
"""Planes of a patch: lightness against the fruit's own shading, blue share and green over red against what is usual on the fruit;
hundredths of a natural logarithm, within -127..127. A word of skin holds them in its first three bytes, and in the fourth one
more than the spot that a quad or cell belongs to, 0 on sound skin."""
SPOT = 3
"""The byte of a word of skin that holds the spot."""

_AXIS = [(2 * i + 1) / GRID - 1 for i in range(GRID)]
_INSIDE = [(j, i) for j in range(GRID) for i in range(GRID) if _AXIS[i] ** 2 + _AXIS[j] ** 2 <= INNER]
CELL_ROW: NDArray[np.uint32] = np.array([j for j, _ in _INSIDE], np.uint32)
CELL_COLUMN: NDArray[np.uint32] = np.array([i for _, i in _INSIDE], np.uint32)
CELL_X: NDArray[np.float32] = np.array([_AXIS[i] for _, i in _INSIDE], np.float32)
CELL_Y: NDArray[np.float32] = np.array([_AXIS[j] for j, _ in _INSIDE], np.float32)
N_CELLS = len(_INSIDE)
"""Cells inside `INNER`; the rest of a patch is blank."""
COLOUR_CELL: NDArray[np.uint32] = np.array([k for k, (j, i) in enumerate(_INSIDE) if j % 2 == 0 and i % 2 == 0], np.uint32)
"""Cells whose colour is looked up, one of 2 x 2: skin changes its colour slowly."""
N_COLOUR_CELLS = len(COLOUR_CELL)
