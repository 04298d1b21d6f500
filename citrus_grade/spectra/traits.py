"""What the spectra say of a fruit."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MAX_TARGETS: Final = 2

OK: Final = 0
MISSING: Final = 1
"""Fewer than three good scans."""
SATURATED: Final = 2
"""Fewer than three good scans, because scans clipped."""
OUT_OF_DOMAIN: Final = 3
"""Unlike the fruit the model was made from: T2 or Q beyond its limit. The value is given all the same."""

TRAITS: Final = np.dtype(
    [
        ("value", "<f8", (MAX_TARGETS,)),
        ("sigma", "<f8", (MAX_TARGETS,)),
        ("low90", "<f8", (MAX_TARGETS,)),
        ("high90", "<f8", (MAX_TARGETS,)),
        ("t2", "<f8"),
        ("q", "<f8"),
        ("scan_spread", "<f8"),
        ("scans_received", "<i4"),
        ("scans_kept", "<i4"),
        ("clipped_scans", "<i4"),
        ("status", "u1"),
    ]
)
"""One row a fruit; the model's ``targets`` name the values. What is not known is NaN. No padding: rows compare by their bytes.

``low90`` and ``high90`` hold the value in 90 of 100 fruit of a lot or season the model has not seen; ``scan_spread`` is the
mean distance of the kept scans' shapes from their common shape, in SNV units.
"""


def empty_traits(n: int) -> NDArray[Any]:
    """Room for the traits of ``n`` fruit."""
    return np.zeros(n, TRAITS)
