"""Paints simulated skin: the colour of a point of a fruit's surface, how green it is and how far blemished.

The camera draws with `paint` and the truth is counted with it, so what a grader should find is what was drawn. Points are in the
fruit's own frame, in millimetres: +z the stem end, -z the stylar end.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.orchard import MAX_BLEMISHES
from citrus_grade.drivers.sim.render_noise import FINE_STEP, PORE, SPECK, coarse_at

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
SOFT = np.array([0.45, 0.70, 1.00, 0.85, 0.55])
REACH = 2.0
BLUSH = np.array([0.25, 1.0, 0.8])

STEM_REACH = 2.6
"""How far the pleats around the stem reach, in stem radii."""

STAR_RGB = np.array([58.0, 50.0, 38.0])
BUTTON_RGB = np.array([132.0, 124.0, 88.0])
STYLAR_RGB = np.array([100.0, 66.0, 44.0])


@njit(cache=True, nogil=True)
def fine_point(skin: Any, x: float, y: float, z: float) -> tuple[float, float, float]:
    """Return where in the fine tile a surface point lies, in mm."""
    offset = skin["fine_offset_mm"]
    return x + offset[0], y + offset[1], z + offset[2]


@njit(cache=True, nogil=True)
def zones(skin: Any, coarse: NDArray[np.float32], x: float, y: float, z: float) -> tuple[float, float]:
    """Return patch and mottle at a surface point."""
    offset, per_radius = skin["coarse_offset"], skin["per_radius"]
    return coarse_at(coarse, x * per_radius + offset[0], y * per_radius + offset[1], z * per_radius + offset[2])


@njit(cache=True, nogil=True)
def _step(x: float) -> float:
    """Rise smoothly from 0 at -1/2 to 1 at 1/2."""
    rise: float = min(max(x + 0.5, 0.0), 1.0)
    return rise * rise * (3 - 2 * rise)


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
    skin: Any, fine: NDArray[np.int8], voxel: int, patch: float, mottle: float, x: float, y: float, z: float, channel: int
) -> tuple[float, float, float]:
    """Return the skin at a surface point.

    Parameters
    ----------
    skin : one `SKIN`.
    fine, voxel : `fine_tile`, and where in it the point's `fine_point` is.
    patch, mottle : the point's `zones`.
    x, y, z : the point, mm, in the fruit's frame.
    channel : 0 red, 1 green, 2 blue.

    Returns
    -------
    The channel's counts under full light, how green the skin is (0..1) and how far it is blemished (0..1).
    """
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
            colour *= 1 - here * (1 + 0.08 * speck) * skin["strength"][b] * (1 - TINT[skin["kind"][b], channel])
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
