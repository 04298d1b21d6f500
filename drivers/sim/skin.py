"""The skin of a simulated fruit: what its truth and its seed put where, and how much of the surface is green or blemished.

A blemish is an ellipse around its direction, with semi-axes ``r sqrt(aspect)`` and ``r / sqrt(aspect)`` measured in Lambert's
equal-area projection: pi r^2 of skin before its edge is made ragged. What it covers in the end is what `blemish_share` counts.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.orchard import TRUTH
from citrus_grade.drivers.sim.render_noise import FINE_STEP, SPECK, coarse_tile, fine_at, fine_tile
from citrus_grade.drivers.sim.render_skin import REACH, SKIN, cover, fine_point, green_level, paint, zones


def skins(fruit: NDArray[Any]) -> NDArray[Any]:
    """Return the skin of each fruit.

    Parameters
    ----------
    fruit : (n,) `TRUTH`.

    Returns
    -------
    (n,) `SKIN`.
    """
    out = np.zeros(len(fruit), SKIN)
    for i in range(len(fruit)):
        out[i] = _skin(fruit[i].tobytes())
    return out


def blemish_share(fruit: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the whole surface that is blemish, stem and stylar end excluded.

    Each blemish is counted on 2000 points of its own neighbourhood; a point inside an earlier blemish counts once.

    Parameters
    ----------
    fruit : (n,) `TRUTH`.

    Returns
    -------
    (n,) float64 in 0..1.
    """
    fine, coarse = fine_tile(), coarse_tile()
    return np.array([_blemish_share(skin, fine, coarse, even_disc(2000), even_sphere(1000)) for skin in skins(fruit)], np.float64)


def green_share_truth(fruit: NDArray[Any]) -> NDArray[np.float64]:
    """Return the share of the whole surface that is green skin, counted on 4000 points.

    Parameters
    ----------
    fruit : (n,) `TRUTH`.

    Returns
    -------
    (n,) float64 in 0..1.
    """
    fine, coarse = fine_tile(), coarse_tile()
    return np.array([_green_share(skin, fine, coarse, even_sphere(4000)) for skin in skins(fruit)], np.float64)


@lru_cache(maxsize=2048)
def _skin(row: bytes) -> NDArray[Any]:
    fruit = np.frombuffer(row, TRUTH)[0]
    rng = np.random.default_rng([int(fruit["seed"]), 3])
    skin = np.zeros((), SKIN)
    skin["radius_mm"] = fruit["diameter_mm"] / 2
    skin["half_height_mm"] = fruit["height_mm"] / 2
    skin["per_radius"] = 2 / fruit["diameter_mm"]
    skin["fine_offset_mm"] = rng.uniform(0, 100, 3)
    skin["coarse_offset"] = rng.uniform(0, 8, 3)
    _colours(skin, fruit, rng)
    _texture(skin, rng)
    _ends(skin, fruit, rng)
    _blemishes(skin, fruit, rng)
    _greening(skin, fruit, rng)
    return skin


def _colours(skin: NDArray[Any], fruit: Any, rng: np.random.Generator) -> None:
    """Yellow-orange to deep orange with maturity; fruit differ by some percent in lightness and tone."""
    ripeness = 1 / (1 + np.exp(-0.9 * fruit["maturity"] - 0.3 * rng.standard_normal()))
    light = 1 + 0.045 * rng.standard_normal()
    yellow, deep = np.array((213.0, 170.0, 74.0)), np.array((214.0, 129.0, 60.0))
    skin["ripe"] = light * (yellow + ripeness * (deep - yellow)) * (1 + 0.012 * rng.standard_normal(3))
    pale, dark = np.array((180.0, 159.0, 66.0)), np.array((114.0, 109.0, 54.0))
    skin["unripe"] = light * (dark + rng.uniform(0.25, 1.0) * (pale - dark))
    skin["blush"] = 0.09 * rng.standard_normal()


def _texture(skin: NDArray[Any], rng: np.random.Generator) -> None:
    skin["mottle"] = rng.uniform(0.010, 0.030)
    skin["pore_slope"] = rng.uniform(0.03, 0.08)
    skin["pore_dark"] = min(0.014 + 0.017 * rng.standard_exponential(), 0.07)
    skin["bump_slope"] = rng.uniform(0.03, 0.075)
    skin["net"] = max(0.0, rng.uniform(-0.12, 0.08))
    skin["gloss"] = rng.uniform(4.0, 16.0)


def _ends(skin: NDArray[Any], fruit: Any, rng: np.random.Generator) -> None:
    turn = rng.uniform(0, 2 * np.pi)
    skin["stem_radius_mm"] = fruit["stem_radius_mm"]
    skin["stem_turn"] = np.cos(turn), np.sin(turn)
    skin["stylar_radius_mm"] = fruit["stylar_radius_mm"]


def _blemishes(skin: NDArray[Any], fruit: Any, rng: np.random.Generator) -> None:
    """Lay an ellipse of semi-axes r sqrt(aspect) and r / sqrt(aspect), hence of area pi r^2, around each direction."""
    n = int(fruit["n_blemishes"])
    skin["n_blemishes"] = n
    skin["kind"] = fruit["blemish_kind"]
    skin["strength"] = fruit["blemish_strength"]
    for i in range(n):
        centre, radius = fruit["blemish_direction"][i], fruit["blemish_radius_mm"][i]
        along = np.cross(centre, rng.standard_normal(3))
        along /= np.linalg.norm(along)
        stretch = np.sqrt(fruit["blemish_aspect"][i])
        local = 1 / np.linalg.norm(centre / [skin["radius_mm"], skin["radius_mm"], skin["half_height_mm"]])
        skin["centre"][i], skin["along"][i], skin["across"][i] = centre, along, np.cross(centre, along)
        skin["semi_mm"][i] = radius * stretch, radius / stretch
        skin["local_radius_mm"][i] = local
        skin["reach_cos"][i] = 1 - min((REACH * radius * stretch / local) ** 2 / 2, 1.9)


def _greening(skin: NDArray[Any], fruit: Any, rng: np.random.Generator) -> None:
    """Set the level above which skin is green so that ``green_share`` of the surface is."""
    skin["green_axis"] = rng.standard_normal(3) * 0.3 + (0.0, 0.0, rng.choice((-0.9, 0.7)))
    skin["green_sharp"] = 1 / rng.uniform(0.3, 1.2)
    level, area = _green_levels(skin, coarse_tile(), even_sphere(1500))
    order = np.argsort(-level)
    covered = np.searchsorted(np.cumsum(area[order]), fruit["green_share"])
    skin["green_from"] = level[order[min(covered, len(order) - 1)]] if fruit["green_share"] > 0 else np.inf


@lru_cache(maxsize=4)
def even_sphere(n: int) -> NDArray[np.float64]:
    """Return (n, 3) unit vectors spread evenly (Fibonacci spiral)."""
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    turn = i * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z * z)
    return np.stack((ring * np.cos(turn), ring * np.sin(turn), z), axis=1)


@lru_cache(maxsize=2)
def even_disc(n: int) -> NDArray[np.float64]:
    """Return (n, 2) points spread evenly over the unit disc (Vogel spiral)."""
    i = np.arange(n) + 0.5
    turn = i * np.pi * (3 - np.sqrt(5))
    return np.asarray(np.sqrt(i / n)[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=1), np.float64)


@njit(cache=True, nogil=True)
def place(skin: Any, ux: float, uy: float, uz: float) -> tuple[float, float, float, float]:
    """Return the surface point in a direction and the surface there is per steradian, in radii squared."""
    a, c = skin["radius_mm"], skin["half_height_mm"]
    far = 1 / np.sqrt((ux * ux + uy * uy) / (a * a) + uz * uz / (c * c))
    nx, ny, nz = ux / (a * a), uy / (a * a), uz / (c * c)
    facing = (ux * nx + uy * ny + uz * nz) / np.sqrt(nx * nx + ny * ny + nz * nz)
    return far * ux, far * uy, far * uz, far * far / facing / (a * a)


@njit(cache=True, nogil=True)
def area_of(skin: Any, directions: NDArray[np.float64]) -> float:
    """Return the whole surface in radii squared."""
    total = 0.0
    for i in range(len(directions)):
        total += place(skin, directions[i, 0], directions[i, 1], directions[i, 2])[3]
    return total / len(directions) * 4 * np.pi


@njit(cache=True, nogil=True)
def _green_levels(
    skin: Any, coarse: NDArray[np.float32], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    level, area = np.empty(len(directions)), np.empty(len(directions))
    for i in range(len(directions)):
        x, y, z, area[i] = place(skin, directions[i, 0], directions[i, 1], directions[i, 2])
        patch, mottle = zones(skin, coarse, x, y, z)
        level[i] = green_level(skin, patch, mottle, x, y, z)
    return level, area / area.sum()


@njit(cache=True, nogil=True)
def _green_share(skin: Any, fine: NDArray[np.int8], coarse: NDArray[np.float32], directions: NDArray[np.float64]) -> float:
    green = total = 0.0
    for i in range(len(directions)):
        x, y, z, area = place(skin, directions[i, 0], directions[i, 1], directions[i, 2])
        voxel = fine_at(*fine_point(skin, x, y, z))
        patch, mottle = zones(skin, coarse, x, y, z)
        total += area
        if paint(skin, fine, voxel, patch, mottle, x, y, z, 0)[1] > 0.5:
            green += area
    return green / total


@njit(cache=True, nogil=True)
def reach(skin: Any, b: int) -> float:
    """Return how far blemish ``b`` may reach, in Lambert's projection of the unit sphere."""
    span: float = min(REACH * skin["semi_mm"][b, 0] / skin["local_radius_mm"][b], 1.95)
    return span


@njit(cache=True, nogil=True)
def around(skin: Any, b: int, s: float, t: float) -> tuple[float, float, float, float]:
    """Return the surface point, and the surface there per steradian, at ``s, t`` from a blemish's middle.

    Lambert's azimuthal equal-area projection, back to the sphere: every point of a disc stands for the same solid angle.
    """
    square = s * s + t * t
    flat, up = np.sqrt(1 - square / 4), 1 - square / 2
    u = flat * (s * skin["along"][b] + t * skin["across"][b]) + up * skin["centre"][b]
    return place(skin, u[0], u[1], u[2])


@njit(cache=True, nogil=True)
def _blemish_share(
    skin: Any, fine: NDArray[np.int8], coarse: NDArray[np.float32], disc: NDArray[np.float64], sphere: NDArray[np.float64]
) -> float:
    covered = 0.0
    for b in range(skin["n_blemishes"]):
        span = reach(skin, b)
        for i in range(len(disc)):
            x, y, z, area = around(skin, b, span * disc[i, 0], span * disc[i, 1])
            voxel = fine_at(*fine_point(skin, x, y, z))
            patch, mottle = zones(skin, coarse, x, y, z)
            hurt = paint(skin, fine, voxel, patch, mottle, x, y, z, 0)[2] > 0.5
            if hurt and first(skin, fine[voxel + SPECK] * FINE_STEP, mottle, x, y, z) == b:
                covered += area * np.pi * span * span / len(disc)
    return covered / area_of(skin, sphere)


@njit(cache=True, nogil=True)
def first(skin: Any, speck: float, mottle: float, x: float, y: float, z: float) -> int:
    """Return the first blemish that covers a point."""
    for b in range(skin["n_blemishes"]):
        if cover(skin, b, mottle, speck, x, y, z) > 0.5:
            return b
    return -1
