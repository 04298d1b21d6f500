"""The simulated sensor: which colours it takes of the light, and the noise it adds."""

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

FORMATS: Final = ("RGGB", "GRBG", "GBRG", "BGGR", "rgb", "mono")
"""What a pixel holds: one colour, by the colours of the first two pixels of row 0, then of row 1; all three; their mixture."""
BANK: Final = 1 << 20
"""Numbers to draw the noise from."""
_MIXTURE: Final = (0.3, 0.6, 0.1)
"""What a sensor without colours makes of red, green and blue."""


def mosaics(bayer: str) -> list[NDArray[np.int64]]:
    """Return the layers to draw of a frame, each as the channel (2, 2) of the pixels of a quad: one, or one a colour."""
    layers = ("RRRR", "GGGG", "BBBB") if bayer in ("rgb", "mono") else (bayer,)
    return [np.array(["RGB".index(colour) for colour in layer], np.int64).reshape(2, 2) for layer in layers]


def read_out(
    layers: list[NDArray[np.float32]],
    bayer: str,
    noise: NDArray[np.float32],
    rng: np.random.Generator,
    read_noise: float,
    counts_per_e: float,
) -> NDArray[np.uint8]:
    """Return a frame as a camera gives it: (height, width) uint8, of an ``rgb`` camera (height, width, 3).

    Parameters
    ----------
    layers : (height, width) float32 counts, as `mosaics` asks for them. noise : (`BANK`,) standard normal.
    rng : draws where in ``noise`` each row begins. read_noise, counts_per_e : see `develop`.
    """
    if bayer == "mono":
        layers = [np.float32(_MIXTURE[0]) * layers[0] + np.float32(_MIXTURE[1]) * layers[1] + np.float32(_MIXTURE[2]) * layers[2]]
    height, width = layers[0].shape
    starts = rng.integers(0, BANK - width, (len(layers), height))
    read = [develop(layer, noise, own, read_noise, counts_per_e) for layer, own in zip(layers, starts, strict=True)]
    return read[0] if len(read) == 1 else np.stack(read, axis=-1)


@njit(cache=True, nogil=True)
def develop(
    frame: NDArray[np.float32], noise: NDArray[np.float32], starts: NDArray[np.int64], read_noise: float, counts_per_e: float
) -> NDArray[np.uint8]:
    """Return a frame as the sensor reads it: shot and read noise added, rounded to 8 bits.

    Noise of row i is ``noise[starts[i]:]``, standard normal.
    """
    height, width = frame.shape
    out = np.empty((height, width), np.uint8)
    floor, gain = np.float32(read_noise * read_noise), np.float32(counts_per_e)
    for row in range(height):
        own = noise[starts[row] : starts[row] + width]
        for col in range(width):
            counts = frame[row, col]
            value = counts + np.sqrt(floor + gain * counts) * own[col] + np.float32(0.5)
            out[row, col] = np.uint8(min(max(value, np.float32(0)), np.float32(255)))
    return out
