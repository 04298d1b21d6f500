"""Tiles of periodic noise from which every skin takes its pores, bumps, patches and ragged edges."""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

FINE_SIZE = 64
FINE_VOXEL_MM = 0.3
FINE_STEP = 1 / 28
"""One count of the fine tile, in standard deviations."""
_VOXELS_PER_MM = 1 / FINE_VOXEL_MM

COARSE_SIZE = 64
COARSE_VOXELS_PER_RADIUS = 8.0

PORE_SPACING_MM = 1.25
BUMP_SPACING_MM = 6.0
SPECK_SPACING_MM = 2.3

PORE_X, PORE_Y, PORE_Z, PORE, BUMP_X, BUMP_Y, BUMP_Z, SPECK = range(8)
PATCH, MOTTLE = range(2)


@lru_cache(maxsize=4)
def fine_tile(smooth_mm: float = 0.0) -> NDArray[np.int8]:
    """Make the tile of pores, bumps and specks.

    Parameters
    ----------
    smooth_mm : standard deviation of the lens's blur on the skin. Pores finer than a pixel would alias, so they are blurred here.
        Specks are not: they decide where a blemish is, which no lens changes.

    Returns
    -------
    (64 * 64 * 64 * 8,) int8, flat: slope of the pores (3), depth of the pores, slope of the bumps (3) and
    specks of each voxel, in steps of `FINE_STEP`.
    """
    rng = np.random.default_rng(71)
    waves = _waves(FINE_SIZE, FINE_VOXEL_MM)
    pores = np.maximum(_ring(rng, waves, PORE_SPACING_MM, 0.25) - 0.15, 0.0)
    bumps = _ring(rng, waves, BUMP_SPACING_MM, 0.8)
    specks = _unit(_ring(rng, waves, SPECK_SPACING_MM, 0.55) + 0.9 * _ring(rng, waves, 2.4 * SPECK_SPACING_MM, 0.5))
    lens = np.exp(-0.5 * smooth_mm**2 * (waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2))
    tile = np.empty((FINE_SIZE,) * 3 + (8,))
    tile[..., :4] = _slopes_and_height(pores, waves, lens)
    tile[..., 4:7] = _slopes_and_height(bumps, waves, lens)[..., :3]
    tile[..., SPECK] = specks
    return np.clip(np.rint(tile / FINE_STEP), -127, 127).astype(np.int8).ravel()


@lru_cache(maxsize=1)
def coarse_tile() -> NDArray[np.float32]:
    """Make the tile of patches and mottling, periodic over eight fruit radii, each of unit standard deviation.

    Returns
    -------
    (64 * 64 * 64 * 2,) float32, flat.
    """
    rng = np.random.default_rng(72)
    waves = _waves(COARSE_SIZE, 1 / COARSE_VOXELS_PER_RADIUS)
    layers = (_ring(rng, waves, 1.5, 0.5), _ring(rng, waves, 0.62, 0.4))
    return np.stack(layers, axis=-1).astype(np.float32).ravel()


def _waves(size: int, voxel: float) -> list[NDArray[np.float64]]:
    axis: NDArray[np.float64] = 2 * np.pi * np.asarray(np.fft.fftfreq(size, voxel), np.float64)
    half: NDArray[np.float64] = 2 * np.pi * np.asarray(np.fft.rfftfreq(size, voxel), np.float64)
    return [axis[:, None, None], axis[None, :, None], half[None, None, :]]


def _ring(rng: np.random.Generator, waves: list[NDArray[np.float64]], spacing: float, width: float) -> NDArray[np.float64]:
    """Return noise whose spots stand ``spacing`` apart: a shell of wave numbers, ``width`` of its radius thick."""
    size = waves[0].shape[0]
    radius = np.sqrt(waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2) * spacing / (2 * np.pi)
    spectrum = np.fft.rfftn(rng.standard_normal((size, size, size))) * np.exp(-0.5 * ((radius - 1) / width) ** 2)
    spectrum[0, 0, 0] = 0.0
    return _unit(_back(spectrum))


def _unit(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = noise - noise.mean()
    return np.asarray(centred / centred.std(), np.float64)


def _slopes_and_height(height: NDArray[np.float64], waves: list[NDArray[np.float64]], lens: NDArray[np.float64]) -> NDArray[Any]:
    """Return the three slopes, then the height; each in units of its spread before the lens blurs it."""
    spectrum = np.fft.rfftn(height)
    spread = np.std(_back(1j * waves[0] * spectrum))
    layers = [_back(1j * wave * spectrum * lens) / spread for wave in waves]
    smooth = _back(spectrum * lens)
    return np.stack([*layers, (smooth - height.mean()) / height.std()], axis=-1)


def _back(spectrum: NDArray[np.complex128]) -> NDArray[np.float64]:
    return np.fft.irfftn(spectrum, (len(spectrum),) * 3, axes=(0, 1, 2))


@njit(cache=True, nogil=True)
def fine_at(x_mm: float, y_mm: float, z_mm: float) -> int:
    """Return where in the flat fine tile the eight values of a point's voxel begin."""
    last = FINE_SIZE - 1
    i = int(np.floor(x_mm * _VOXELS_PER_MM)) & last
    j = int(np.floor(y_mm * _VOXELS_PER_MM)) & last
    k = int(np.floor(z_mm * _VOXELS_PER_MM)) & last
    return ((i * FINE_SIZE + j) * FINE_SIZE + k) * 8


@njit(cache=True, nogil=True)
def coarse_at(tile: NDArray[np.float32], x: float, y: float, z: float) -> tuple[float, float]:
    """Return patch and mottle at a point in fruit radii, interpolated between voxels."""
    last = COARSE_SIZE - 1
    x, y, z = x * COARSE_VOXELS_PER_RADIUS, y * COARSE_VOXELS_PER_RADIUS, z * COARSE_VOXELS_PER_RADIUS
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    k0, k1 = (k & last) * 2, ((k + 1) & last) * 2
    patch = mottle = 0.0
    for a in range(2):
        wx = fx if a else 1 - fx
        for b in range(2):
            weight = wx * fy if b else wx * (1 - fy)
            line = (((i + a) & last) * COARSE_SIZE + ((j + b) & last)) * COARSE_SIZE * 2
            low, high = line + k0, line + k1
            patch += weight * (tile[low] + fz * (tile[high] - tile[low]))
            mottle += weight * (tile[low + 1] + fz * (tile[high + 1] - tile[low + 1]))
    return patch, mottle
