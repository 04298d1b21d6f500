"""Lossless frames: each Bayer pixel minus its left neighbour of the same colour, then zstandard.

A JPEG log could not replay to identical decisions. Noise dominates what is left after the delta, so the fastest level is enough.
"""

from typing import Any

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

NAME = "citrus.bayer_delta_zstd"


@njit(cache=True, nogil=True)
def _delta(mosaic: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    height, width = mosaic.shape
    for y in range(height):
        out[y, 0], out[y, 1] = mosaic[y, 0], mosaic[y, 1]
        for x in range(2, width):
            out[y, x] = mosaic[y, x] - mosaic[y, x - 2]


@njit(cache=True, nogil=True)
def _undelta(mosaic: NDArray[np.uint8]) -> None:
    height, width = mosaic.shape
    for y in range(height):
        for x in range(2, width):
            mosaic[y, x] += mosaic[y, x - 2]


def accepts(mosaic: NDArray[Any]) -> bool:
    """Say whether an array is a mosaic at all."""
    return mosaic.ndim == 2 and mosaic.dtype == np.uint8 and mosaic.shape[0] >= 1 and mosaic.shape[1] >= 2


def encode(mosaic: NDArray[np.uint8]) -> bytes:
    """Return the compressed bytes of a (height, width) uint8 mosaic at least two pixels wide."""
    residue = np.empty(mosaic.shape, np.uint8)
    _delta(mosaic, residue)
    return zstandard.ZstdCompressor(level=1).compress(residue.data)


def decode(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Return the (height, width) uint8 mosaic that `encode` was given, to the bit."""
    mosaic = np.frombuffer(bytearray(zstandard.ZstdDecompressor().decompress(data, max_output_size=height * width)), np.uint8)
    mosaic = mosaic.reshape(height, width)
    _undelta(mosaic)
    mosaic.setflags(write=False)
    return mosaic
