"""The skin of a simulated fruit: what is where on its surface, and in what colour.

One function, `paint`, says it for a point of the surface. The camera draws with it and the truth is counted with it, so what a
grader should find is what was drawn. Points are in the fruit's own frame: +z the stem end, -z the stylar end, millimetres.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.orchard import MAX_BLEMISHES, TRUTH
from citrus_grade.drivers.sim.render_noise import FINE_STEP, PORE, SPECK, coarse_at, coarse_tile, fine_at, fine_tile

SKIN = np.dtype(
    [
        ("radius_mm", "f8"),
        ("half_height_mm", "f8"),
        ("per_radius", "f8"),
        ("fine_offset_mm", "f8", (3,)),
        ("coarse_offset", "f8", (3,)),
        ("ripe", "f8", (3,)),
        ("unripe", "f8", (3,)),
        ("green_axis", "f8", (3,)),
        ("green_from", "f8"),
        ("green_sharp", "f8"),
        ("blush", "f8"),
        ("mottle", "f8"),
        ("pore_slope", "f8"),
        ("pore_dark", "f8"),
        ("bump_slope", "f8"),
        ("net", "f8"),
        ("gloss", "f8"),
        ("stem_radius_mm", "f8"),
        ("stem_turn", "f8", (2,)),
        ("stylar_radius_mm", "f8"),
        ("n_blemishes", "i8"),
        ("kind", "i8", (MAX_BLEMISHES,)),
        ("centre", "f8", (MAX_BLEMISHES, 3)),
        ("along", "f8", (MAX_BLEMISHES, 3)),
        ("across", "f8", (MAX_BLEMISHES, 3)),
        ("semi_mm", "f8", (MAX_BLEMISHES, 2)),
        ("local_radius_mm", "f8", (MAX_BLEMISHES,)),
        ("reach_cos", "f8", (MAX_BLEMISHES,)),
        ("strength", "f8", (MAX_BLEMISHES,)),
    ],
    align=True,
)
"""A fruit's skin, ready to paint from: what its `TRUTH` says and what its seed adds. Colours are counts at full light."""

DARK_SPOT, SCAR, RUSSET, STAIN, ROT = range(5)

# Skin under the kind's blemish at full strength, as a share of the sound skin's red, green and blue. Looked up on real
# mandarins: stains keep most of the blue, pale scars gain some.
TINT = np.array([[0.28, 0.24, 0.42], [0.66, 0.68, 1.15], [0.58, 0.50, 0.62], [0.20, 0.26, 0.55], [0.56, 0.40, 0.46]])
# How far noise moves the kind's edge (in semi-axes a standard deviation: bumps of the outline, specks) and how soft the edge is.
RAGGED = np.array([[0.06, 0.05], [0.12, 0.22], [0.14, 0.42], [0.16, 0.36], [0.10, 0.04]])
SOFT = np.array([0.30, 0.30, 0.22, 0.25, 0.22])
REACH = 2.0
BLUSH = np.array([0.25, 1.0, 0.8])

STEM_REACH = 2.6
"""How far the pleats around the stem reach, in stem radii."""

STAR_RGB = np.array([58.0, 50.0, 38.0])
BUTTON_RGB = np.array([132.0, 124.0, 88.0])
STYLAR_RGB = np.array([100.0, 66.0, 44.0])


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
    return np.array([_blemish_share(skin, fine, coarse, _disc(2000)) for skin in skins(fruit)], np.float64)


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
    return np.array([_green_share(skin, fine, coarse, _sphere(4000)) for skin in skins(fruit)], np.float64)


@lru_cache(maxsize=2048)
def _skin(row: bytes) -> NDArray[Any]:
    fruit = np.frombuffer(row, TRUTH)[0]
    rng = np.random.default_rng([int(fruit["seed"]), 3])
    skin = np.zeros((), SKIN)
    skin["radius_mm"] = fruit["diameter_mm"] / 2
    skin["half_height_mm"] = fruit["height_mm"] / 2
    skin["per_radius"] = 2 / fruit["diameter_mm"]
    skin["fine_offset_mm"] = rng.uniform(0, 100, 3)
    skin["coarse_offset"] = rng.uniform(0, 4, 3)
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
    yellow, deep = np.array((214.0, 168.0, 70.0)), np.array((216.0, 126.0, 58.0))
    skin["ripe"] = light * (yellow + ripeness * (deep - yellow)) * (1 + 0.012 * rng.standard_normal(3))
    pale, dark = np.array((178.0, 160.0, 66.0)), np.array((112.0, 114.0, 54.0))
    skin["unripe"] = light * (dark + rng.uniform(0.25, 1.0) * (pale - dark))
    skin["blush"] = 0.09 * rng.standard_normal()


def _texture(skin: NDArray[Any], rng: np.random.Generator) -> None:
    skin["mottle"] = rng.uniform(0.008, 0.022)
    skin["pore_slope"] = rng.uniform(0.02, 0.06)
    skin["pore_dark"] = min(0.012 + 0.016 * rng.standard_exponential(), 0.07)
    skin["bump_slope"] = rng.uniform(0.02, 0.05)
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
    level, area = _green_levels(skin, coarse_tile(), _sphere(1500))
    order = np.argsort(-level)
    covered = np.searchsorted(np.cumsum(area[order]), fruit["green_share"])
    skin["green_from"] = level[order[min(covered, len(order) - 1)]] if fruit["green_share"] > 0 else np.inf


@lru_cache(maxsize=4)
def _sphere(n: int) -> NDArray[np.float64]:
    """Return (n, 3) unit vectors spread evenly (Fibonacci spiral)."""
    i = np.arange(n) + 0.5
    z = 1 - 2 * i / n
    turn = i * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z * z)
    return np.stack((ring * np.cos(turn), ring * np.sin(turn), z), axis=1)


@lru_cache(maxsize=2)
def _disc(n: int) -> NDArray[np.float64]:
    """Return (n, 2) points spread evenly over the unit disc (Vogel spiral)."""
    i = np.arange(n) + 0.5
    turn = i * np.pi * (3 - np.sqrt(5))
    return np.asarray(np.sqrt(i / n)[:, None] * np.stack((np.cos(turn), np.sin(turn)), axis=1), np.float64)


@njit(cache=True, nogil=True)
def _place(skin: Any, ux: float, uy: float, uz: float) -> tuple[float, float, float, float]:
    """Return the surface point in a direction and the surface there is per steradian, in radii squared."""
    a, c = skin["radius_mm"], skin["half_height_mm"]
    far = 1 / np.sqrt((ux * ux + uy * uy) / (a * a) + uz * uz / (c * c))
    nx, ny, nz = ux / (a * a), uy / (a * a), uz / (c * c)
    facing = (ux * nx + uy * ny + uz * nz) / np.sqrt(nx * nx + ny * ny + nz * nz)
    return far * ux, far * uy, far * uz, far * far / facing / (a * a)


@njit(cache=True, nogil=True)
def _area(skin: Any, directions: NDArray[np.float64]) -> float:
    """Return the whole surface in radii squared."""
    total = 0.0
    for i in range(len(directions)):
        total += _place(skin, directions[i, 0], directions[i, 1], directions[i, 2])[3]
    return total / len(directions) * 4 * np.pi


@njit(cache=True, nogil=True)
def _green_levels(
    skin: Any, coarse: NDArray[np.float32], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    level, area = np.empty(len(directions)), np.empty(len(directions))
    for i in range(len(directions)):
        x, y, z, area[i] = _place(skin, directions[i, 0], directions[i, 1], directions[i, 2])
        patch, mottle = _zones(skin, coarse, x, y, z)
        level[i] = green_level(skin, patch, mottle, x, y, z)
    return level, area / area.sum()


@njit(cache=True, nogil=True)
def _green_share(skin: Any, fine: NDArray[np.int8], coarse: NDArray[np.float32], directions: NDArray[np.float64]) -> float:
    green = total = 0.0
    for i in range(len(directions)):
        x, y, z, area = _place(skin, directions[i, 0], directions[i, 1], directions[i, 2])
        voxel = fine_at(*fine_point(skin, x, y, z))
        total += area
        if paint(skin, fine, voxel, coarse, x, y, z, 0)[1] > 0.5:
            green += area
    return green / total


@njit(cache=True, nogil=True)
def _blemish_share(skin: Any, fine: NDArray[np.int8], coarse: NDArray[np.float32], disc: NDArray[np.float64]) -> float:
    covered = 0.0
    for b in range(skin["n_blemishes"]):
        local = skin["local_radius_mm"][b]
        span = min(REACH * skin["semi_mm"][b, 0] / local, 1.95)
        for i in range(len(disc)):
            s, t = span * disc[i, 0], span * disc[i, 1]
            # Lambert's azimuthal equal-area projection, back to the sphere: every point stands for the same solid angle.
            square = s * s + t * t
            flat, up = np.sqrt(1 - square / 4), 1 - square / 2
            u = flat * (s * skin["along"][b] + t * skin["across"][b]) + up * skin["centre"][b]
            x, y, z, area = _place(skin, u[0], u[1], u[2])
            voxel = fine_at(*fine_point(skin, x, y, z))
            if paint(skin, fine, voxel, coarse, x, y, z, 0)[2] > 0.5 and _first(skin, fine, voxel, coarse, x, y, z) == b:
                covered += area * np.pi * span * span / len(disc)
    return covered / _area(skin, _sphere_points)


_sphere_points = _sphere(1000)


@njit(cache=True, nogil=True)
def _first(skin: Any, fine: NDArray[np.int8], voxel: int, coarse: NDArray[np.float32], x: float, y: float, z: float) -> int:
    """Return the first blemish that covers a point."""
    _, mottle = _zones(skin, coarse, x, y, z)
    speck = fine[voxel + SPECK] * FINE_STEP
    for b in range(skin["n_blemishes"]):
        if cover(skin, b, mottle, speck, x, y, z) > 0.5:
            return b
    return -1


@njit(cache=True, nogil=True)
def fine_point(skin: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return where in the fine tile a surface point lies, in mm."""
    offset = skin["fine_offset_mm"]
    return x + offset[0], y + offset[1], z + offset[2]


@njit(cache=True, nogil=True)
def _zones(skin: Any, coarse: NDArray[np.float32], x: float, y: float, z: float) -> tuple[float, float]:
    offset, per_radius = skin["coarse_offset"], skin["per_radius"]
    return coarse_at(coarse, x * per_radius + offset[0], y * per_radius + offset[1], z * per_radius + offset[2])


@njit(cache=True, nogil=True)
def _step(x: float) -> float:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    x = min(max(x + 0.5, 0.0), 1.0)
    return x * x * (3 - 2 * x)


@njit(cache=True, nogil=True)
def green_level(skin: Any, patch: float, mottle: float, x: float, y: float, z: float) -> float:
    """Return how green a point tends to be; above ``green_from`` it is."""
    axis = skin["green_axis"]
    level: float = 0.42 * patch + 0.10 * mottle + (axis[0] * x + axis[1] * y + axis[2] * z) * skin["per_radius"]
    return level


@njit(cache=True, nogil=True)
def cover(skin: Any, b: int, mottle: float, speck: float, x: float, y: float, z: float) -> float:
    """Return how far blemish ``b`` covers a point, 0..1."""
    centre, reach = skin["centre"][b], skin["reach_cos"][b]
    up = centre[0] * x + centre[1] * y + centre[2] * z
    if up < reach * (skin["half_height_mm"] if reach > 0 else skin["radius_mm"]):
        return 0.0
    along, across, kind = skin["along"][b], skin["across"][b], skin["kind"][b]
    far = np.sqrt(x * x + y * y + z * z)
    scale = skin["local_radius_mm"][b] / far * np.sqrt(2 / max(1 + up / far, 0.05))
    s = scale * (along[0] * x + along[1] * y + along[2] * z) / skin["semi_mm"][b, 0]
    t = scale * (across[0] * x + across[1] * y + across[2] * z) / skin["semi_mm"][b, 1]
    inside = 1 - np.sqrt(s * s + t * t) + RAGGED[kind, 0] * mottle + RAGGED[kind, 1] * speck
    return _step(inside / SOFT[kind])


@njit(cache=True, nogil=True)
def _stem(skin: Any, speck: float, x: float, y: float, channel: int) -> tuple[float, float, float]:
    """Return how far the calyx covers a point near the stem end, its colour, and the light on the pleats around it."""
    radius, turn = skin["stem_radius_mm"], skin["stem_turn"]
    rho = np.sqrt(x * x + y * y) + 1e-9
    c = (x * turn[0] + y * turn[1]) / rho
    five = c * (16 * c**4 - 20 * c**2 + 5)  # cos(5 phi): the calyx has five lobes
    tip = max(0.0, five + 0.25 * speck)
    star = _step((radius * (0.66 + 0.34 * tip * tip) - rho) / 0.9)
    button = _step((0.46 * radius - rho) / 0.8) * (1 - 0.55 * _step((0.15 * radius - abs(rho - 0.2 * radius)) / 0.4))
    colour = STAR_RGB[channel] * (1 + 0.15 * speck)
    colour += button * (BUTTON_RGB[channel] - colour)
    fade = max(0.0, 1 - rho / (STEM_REACH * radius))
    return star, colour, 1 - fade * (0.16 + 0.08 * five)


@njit(cache=True, nogil=True)
def _stylar(skin: Any, speck: float, x: float, y: float) -> float:
    """Return how far the stylar scar covers a point near the stylar end: a dot when small, a ring when large."""
    radius = skin["stylar_radius_mm"]
    rho = np.sqrt(x * x + y * y)
    disc = _step((radius * (1 + 0.18 * speck) - rho) / 1.0)
    if radius > 2.2:
        disc *= 1 - 0.7 * _step((0.7 * radius - rho + 0.3 * speck) / 1.2)
    return disc


@njit(cache=True, nogil=True)
def paint(
    skin: Any, fine: NDArray[np.int8], voxel: int, coarse: NDArray[np.float32], x: float, y: float, z: float, channel: int
) -> tuple[float, float, float]:
    """Return the skin at a surface point.

    Parameters
    ----------
    skin : one `SKIN`.
    fine, voxel : `fine_tile`, and where in it the point's `fine_point` is.
    coarse : `coarse_tile`.
    x, y, z : the point, mm, in the fruit's frame.
    channel : 0 red, 1 green, 2 blue.

    Returns
    -------
    The channel's counts under full light, how green the skin is (0..1) and how far it is blemished (0..1).
    """
    patch, mottle = _zones(skin, coarse, x, y, z)
    speck = fine[voxel + SPECK] * FINE_STEP
    green = 0.0
    if skin["green_from"] < 1e9:
        green = _step((green_level(skin, patch, mottle, x, y, z) - skin["green_from"]) * skin["green_sharp"])
    colour = skin["ripe"][channel] + green * (skin["unripe"][channel] - skin["ripe"][channel])
    # A blush reddens one end: green falls there, red hardly.
    blush = skin["blush"] * z * skin["per_radius"] * BLUSH[channel]
    colour *= 1 + blush + skin["mottle"] * mottle - skin["pore_dark"] * fine[voxel + PORE] * FINE_STEP
    if skin["net"] > 0:
        colour *= 1 - skin["net"] * max(0.0, 1 - abs(speck) * 3)
    hurt = 0.0
    for b in range(skin["n_blemishes"]):
        here = cover(skin, b, mottle, speck, x, y, z)
        if here > 0:
            colour *= 1 - here * skin["strength"][b] * (1 - TINT[skin["kind"][b], channel])
            hurt = max(hurt, here)
    end, near = 0.0, x * x + y * y
    if z > 0 and near < (STEM_REACH * skin["stem_radius_mm"]) ** 2:
        end, star, pleats = _stem(skin, speck, x, y, channel)
        colour = pleats * colour + end * (star - pleats * colour)
    elif z < 0 and near < (1.6 * skin["stylar_radius_mm"] + 1) ** 2:
        end = _stylar(skin, speck, x, y)
        colour += 0.85 * end * (STYLAR_RGB[channel] - colour)
    if end > 0.5:
        hurt = green = 0.0
    return colour, green, hurt
