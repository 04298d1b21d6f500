"""The feature vector of a fruit: what sort plans bound and grade classifiers look at, by the names of the fruit table."""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.tables import COLOURS, N_TRAITS

FEATURE_VERSION: Final = 1
"""Goes up whenever a name comes to mean another number; a model made for another version is refused."""

CAMERA: Final = (
    "diameter_mm", "height_mm", "shape_index", "volume_ml", "mass_g", "green_pct", "blemish_pct",
    "blemish_count", "largest_blemish_mm", "coverage_pct",
    "diameter_sigma_mm", "height_sigma_mm", "mass_sigma_g",
    *(f"skin_{colour}_pct" for colour in COLOURS),
    "hue_q10_deg", "hue_q50_deg", "hue_q90_deg",
)  # fmt: skip
"""What the cameras give. The spectral targets follow, then their sigmas, then the maturity index."""
N_CAMERA: Final = len(CAMERA)
MATURITY: Final = "maturity_index"
SUGAR_AND_ACID: Final = ("ssc_brix", "ta_pct")

_COLOUR, _N_COLOURS = CAMERA.index(f"skin_{COLOURS[0]}_pct"), len(COLOURS)
_HUE = CAMERA.index("hue_q10_deg")


def names(targets: tuple[str, ...]) -> tuple[str, ...]:
    """Return what is known of a fruit on a line whose model predicts ``targets``, in the order `fill` has it."""
    ratio = (MATURITY,) if targets[:2] == SUGAR_AND_ACID else ()
    return (*CAMERA, *targets, *(f"{target}_sigma" for target in targets), *ratio)


FEATURES: Final = names(SUGAR_AND_ACID)
"""The whole vector, of a line that measures sugar and acid."""


@njit(cache=True, nogil=True)
def fill(row: Any, out: NDArray[np.float64]) -> None:
    """Fill one fruit's feature vector, as long as `names` of the line, from its `tables.DECISION`; NaN what nobody measured."""
    out[0], out[1], out[2], out[3], out[4] = row.diameter_mm, row.height_mm, row.shape_index, row.volume_ml, row.mass_g
    out[5], out[6], out[7] = row.green_pct, row.blemish_pct, row.blemish_count
    out[8], out[9] = row.largest_blemish_mm, row.coverage_pct
    out[10], out[11], out[12] = row.diameter_sigma_mm, row.height_sigma_mm, row.mass_sigma_g
    for k in range(_N_COLOURS):
        out[_COLOUR + k] = row.colour_pct[k]
    for k in range(3):
        out[_HUE + k] = row.hue_deg[k]
    targets = min((len(out) - N_CAMERA) // 2, N_TRAITS)
    for k in range(targets):
        out[N_CAMERA + k], out[N_CAMERA + targets + k] = row.trait[k], row.trait_sigma[k]
    if len(out) > N_CAMERA + 2 * targets:
        out[N_CAMERA + 2 * targets] = row.trait[0] / row.trait[1] if row.trait[1] > 0 else np.nan
