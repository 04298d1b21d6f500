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

COARSE_SIZE = 32
COARSE_VOXELS_PER_RADIUS = 8.0

PORE_SPACING_MM = 1.25
BUMP_SPACING_MM = 4.5
SPECK_SPACING_MM = 1.7

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
    (64 * 64 * 64 * 8,) int8, flat: slope of the pores (3), depth of the pores, slope of the bumps (3), specks; in steps of `FINE_STEP`.
    """
    rng = np.random.default_rng(71)
    waves = _waves(FINE_SIZE, FINE_VOXEL_MM)
    pores = np.maximum(_ring(rng, waves, PORE_SPACING_MM, 0.25) - 0.15, 0.0)
    bumps = _ring(rng, waves, BUMP_SPACING_MM, 0.45)
    specks = _unit(_ring(rng, waves, SPECK_SPACING_MM, 0.55) + 0.7 * _ring(rng, waves, 2.6 * SPECK_SPACING_MM, 0.4))
    lens = np.exp(-0.5 * smooth_mm**2 * (waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2))
    tile = np.empty((FINE_SIZE,) * 3 + (8,))
    tile[..., :4] = _slopes_and_height(pores, waves, lens)
    tile[..., 4:7] = _slopes_and_height(bumps, waves, lens)[..., :3]
    tile[..., SPECK] = specks
    return np.clip(np.rint(tile / FINE_STEP), -127, 127).astype(np.int8).ravel()


@lru_cache(maxsize=1)
def coarse_tile() -> NDArray[np.float32]:
    """Make the tile of patches and mottling, periodic over four fruit radii, each of unit standard deviation.

    Returns
    -------
    (32, 32, 32, 2) float32.
    """
    rng = np.random.default_rng(72)
    waves = _waves(COARSE_SIZE, 1 / COARSE_VOXELS_PER_RADIUS)
    layers = (_ring(rng, waves, 1.5, 0.5), _ring(rng, waves, 0.62, 0.4))
    return np.stack(layers, axis=-1).astype(np.float32)


def _waves(size: int, voxel: float) -> list[NDArray[np.float64]]:
    axis = 2 * np.pi * np.fft.fftfreq(size, voxel)
    half = 2 * np.pi * np.fft.rfftfreq(size, voxel)
    return [axis[:, None, None], axis[None, :, None], half[None, None, :]]


def _ring(rng: np.random.Generator, waves: list[NDArray[np.float64]], spacing: float, width: float) -> NDArray[np.float64]:
    """Return noise whose spots stand ``spacing`` apart: a shell of wave numbers, ``width`` of its radius thick."""
    size = waves[0].shape[0]
    radius = np.sqrt(waves[0] ** 2 + waves[1] ** 2 + waves[2] ** 2) * spacing / (2 * np.pi)
    spectrum = np.fft.rfftn(rng.standard_normal((size, size, size))) * np.exp(-0.5 * ((radius - 1) / width) ** 2)
    spectrum[0, 0, 0] = 0.0
    return _unit(np.fft.irfftn(spectrum, (size,) * 3, axes=(0, 1, 2)))


def _unit(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    centred: NDArray[np.float64] = noise - noise.mean()
    return centred / centred.std()


def _slopes_and_height(height: NDArray[np.float64], waves: list[NDArray[np.float64]], lens: NDArray[np.float64]) -> NDArray[Any]:
    """Return the three slopes, then the height; each in units of its spread before the lens blurs it."""
    spectrum = np.fft.rfftn(height)
    back = {"s": height.shape, "axes": (0, 1, 2)}
    spread = np.std(np.fft.irfftn(1j * waves[0] * spectrum, **back))
    layers = [np.fft.irfftn(1j * wave * spectrum * lens, **back) / spread for wave in waves]
    smooth = np.fft.irfftn(spectrum * lens, **back)
    return np.stack([*layers, (smooth - height.mean()) / height.std()], axis=-1)


@njit(cache=True, nogil=True)
def fine_at(x_mm, y_mm, z_mm):  # type: ignore[no-untyped-def]  # compiled for the types it meets
    """Return where in the flat fine tile the eight values of a point's voxel begin."""
    last = FINE_SIZE - 1
    i = int(np.floor(x_mm / FINE_VOXEL_MM)) & last
    j = int(np.floor(y_mm / FINE_VOXEL_MM)) & last
    k = int(np.floor(z_mm / FINE_VOXEL_MM)) & last
    return ((i * FINE_SIZE + j) * FINE_SIZE + k) * 8


@njit(cache=True, nogil=True)
def coarse_at(tile, x, y, z):  # type: ignore[no-untyped-def]  # compiled for the types it meets
    """Return patch and mottle at a point in fruit radii, interpolated between voxels."""
    last = COARSE_SIZE - 1
    x, y, z = x * COARSE_VOXELS_PER_RADIUS, y * COARSE_VOXELS_PER_RADIUS, z * COARSE_VOXELS_PER_RADIUS
    i, j, k = int(np.floor(x)), int(np.floor(y)), int(np.floor(z))
    fx, fy, fz = x - i, y - j, z - k
    i0, j0, k0 = i & last, j & last, k & last
    i1, j1, k1 = (i + 1) & last, (j + 1) & last, (k + 1) & last
    patch = mottle = 0.0
    for a, wx in ((i0, 1 - fx), (i1, fx)):
        for b, wy in ((j0, 1 - fy), (j1, fy)):
            w0, w1 = wx * wy * (1 - fz), wx * wy * fz
            patch += w0 * tile[a, b, k0, 0] + w1 * tile[a, b, k1, 0]
            mottle += w0 * tile[a, b, k0, 1] + w1 * tile[a, b, k1, 1]
    return patch, mottle
