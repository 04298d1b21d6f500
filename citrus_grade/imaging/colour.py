"""The named colours of citrus skin as one look-up table from a Bayer quad's red, green and blue."""

import colorsys
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from citrus_grade.tables import COLOURS

BITS = 5
"""Bits kept of each channel: 32 kB, small enough to stay in the first cache."""

# Upper hue limit in degrees of each chromatic colour of ripening satsuma skin, from red to green.
_HUE_LIMITS_DEG = (
    ("deep_orange", 27.0),
    ("orange", 36.0),
    ("yellow_orange", 45.0),
    ("yellow", 48.0),
    ("yellow_green", 64.0),
    ("green", 180.0),
)
_GREENISH = ("yellow_green", "green", "dark_green")
GREEN_WEIGHT = np.array([name in _GREENISH for name in COLOURS], np.float64)
"""Which colours count as green skin."""


def _name(red: float, green: float, blue: float) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    if value < 0.14:
        return "black"
    if saturation < 0.22:
        return "grey"
    for name, limit_deg in _HUE_LIMITS_DEG:
        if hue * 360 < limit_deg:
            if name == "green" and value < 0.32:
                return "dark_green"
            return "brown" if value < 0.30 and name in ("deep_orange", "orange") else name
    return "grey"


LEVELS = (np.stack(np.meshgrid(*[np.arange(1 << BITS)] * 3, indexing="ij"), axis=-1).reshape(-1, 3) + 0.5) / (1 << BITS)
"""(2**15, 3) red, green and blue, 0..1, in the middle of every cell of the table."""


def names() -> NDArray[np.uint8]:
    """Return the colour that each cell's hue, saturation and value say, (2**15,) uint8."""
    return np.array([COLOURS.index(_name(*cell)) for cell in LEVELS.tolist()], np.uint8)


@lru_cache(maxsize=1)
def table() -> NDArray[np.uint16]:
    """Return the table of `names`."""
    return table_of(names())


def table_of(colours: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return a table as the kernel reads it, (2**15,) uint16: hue in whole degrees (0..180) above the colour.

    Indexed by ``red5 << 10 | green5 << 5 | blue5``.
    """
    hue_deg = [min(round(colorsys.rgb_to_hsv(*cell)[0] * 360), 180) for cell in LEVELS.tolist()]
    lut = (np.array(hue_deg, np.uint16) << 8 | colours).astype(np.uint16)
    lut.setflags(write=False)
    return lut
