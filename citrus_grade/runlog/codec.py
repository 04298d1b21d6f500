"""Lossless frames: each value minus its left neighbour of the same colour, then zstandard.

A JPEG log could not replay to identical decisions. Noise dominates what is left after the delta, so the fastest level is enough.
"""

from typing import Any

import numpy as np
import zstandard
from numba import njit
from numpy.typing import NDArray

NAME = "citrus.bayer_delta_zstd"


@njit(cache=True, nogil=True)
def _delta(rows: NDArray[np.uint8], step: int, out: NDArray[np.uint8]) -> None:
    height, width = rows.shape
    for y in range(height):
        out[y, :step] = rows[y, :step]
        for x in range(step, width):
            out[y, x] = rows[y, x] - rows[y, x - step]


@njit(cache=True, nogil=True)
def _undelta(rows: NDArray[np.uint8], step: int) -> None:
    height, width = rows.shape
    for y in range(height):
        for x in range(step, width):
            rows[y, x] += rows[y, x - step]


def accepts(mosaic: NDArray[Any]) -> bool:
    """Say whether an array is a frame at all: (height, width) or (height, width, 3) uint8."""
    flat = mosaic.ndim == 2 or (mosaic.ndim == 3 and mosaic.shape[2] == 3)
    return flat and mosaic.dtype == np.uint8 and mosaic.shape[0] >= 1 and mosaic.shape[1] >= 2


def encode(mosaic: NDArray[np.uint8]) -> bytes:
    """Return the compressed bytes of a frame that `accepts` accepts."""
    rows = mosaic.reshape(len(mosaic), -1)
    residue = np.empty(rows.shape, np.uint8)
    _delta(rows, 2 if mosaic.ndim == 2 else 3, residue)
    return zstandard.ZstdCompressor(level=1).compress(residue.data)


def decode(data: bytes, height: int, width: int) -> NDArray[np.uint8]:
    """Return the frame that `encode` was given, to the bit; its length says whether a pixel has three values."""
    found = zstandard.ZstdDecompressor().decompress(data, max_output_size=3 * height * width)
    rows = np.frombuffer(bytearray(found), np.uint8).reshape(height, -1)
    in_colour = rows.shape[1] == 3 * width
    _undelta(rows, 3 if in_colour else 2)
    rows.setflags(write=False)
    return rows.reshape(height, width, 3) if in_colour else rows.reshape(height, width)
