"""Draws one fruit into a raw frame: a ray through every pixel, met with the spheroid, lit, taken in the pixel's own colour."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.render_noise import FINE_STEP, fine_at
from citrus_grade.drivers.sim.skin import fine_point, paint

# Two softboxes, up and down the belt and tilted by 38 degrees, the downstream one a little stronger; the wrap is their width.
# Together they give the fall-off towards the limb of real views: 0.93 at 0.45 of the radius, 0.76 at 0.75, 0.52 at 0.95.
LIGHTS = np.array([[0.60, -0.14, 0.79], [-0.62, -0.08, 0.78]])
POWER = np.array([0.54, 0.46])
WRAP = 0.36
AMBIENT = 0.05
DIFFUSE = POWER * (1 - AMBIENT) / (0.785 + WRAP)  # skin that faces the lens is lit by 1

Conic = tuple[float, float, float, float, float, float]
"""Coefficients of X^2, X Y, Y^2, X, Y and 1."""


@njit(cache=True, nogil=True)
def conic(o: NDArray[np.float64], d0: NDArray[np.float64], dx: NDArray[np.float64], dy: NDArray[np.float64]) -> Conic:
    """Return the six coefficients of the silhouette.

    A ray from ``o`` along ``d0 + X dx + Y dy`` (all with the fruit scaled to a unit sphere) meets the fruit where
    ``A X^2 + B X Y + C Y^2 + E X + F Y + G > 0``: the discriminant of the quadratic for its length.
    """
    k = float(o @ o) - 1
    o0, ox, oy = float(o @ d0), float(o @ dx), float(o @ dy)
    return (
        ox * ox - k * float(dx @ dx),
        2 * (ox * oy - k * float(dx @ dy)),
        oy * oy - k * float(dy @ dy),
        2 * (o0 * ox - k * float(d0 @ dx)),
        2 * (o0 * oy - k * float(d0 @ dy)),
        o0 * o0 - k * float(d0 @ d0),
    )


@njit(cache=True, nogil=True)
def roots(a: float, b: float, c: float) -> tuple[float, float]:
    """Return the ends of the interval where ``a x^2 + b x + c > 0`` with a < 0; an empty interval if there is none."""
    disc = b * b - 4 * a * c
    if disc <= 0:
        return 1.0, 0.0
    root = math.sqrt(disc)
    return (-b + root) / (2 * a), (-b - root) / (2 * a)


@njit(cache=True, nogil=True)
def light(
    skin: Any,
    fine: NDArray[np.int8],
    voxel: int,
    lights: NDArray[np.float64],
    halfway: NDArray[np.float64],
    nx: float,
    ny: float,
    nz: float,
) -> tuple[float, float]:
    """Return diffuse light (1 when facing the lens) and the wax's highlight (0..1) on a bumpy piece of skin."""
    pore, bump = skin["pore_slope"] * FINE_STEP, skin["bump_slope"] * FINE_STEP
    nx += pore * fine[voxel] + bump * fine[voxel + 4]
    ny += pore * fine[voxel + 1] + bump * fine[voxel + 5]
    nz += pore * fine[voxel + 2] + bump * fine[voxel + 6]
    norm = 1 / math.sqrt(nx * nx + ny * ny + nz * nz)
    diffuse, shine = AMBIENT, 0.0
    for i in range(2):
        facing = (nx * lights[i, 0] + ny * lights[i, 1] + nz * lights[i, 2]) * norm
        diffuse += DIFFUSE[i] * max(0.0, facing + WRAP)
        mirror = max(0.0, (nx * halfway[i, 0] + ny * halfway[i, 1] + nz * halfway[i, 2]) * norm)
        mirror *= mirror
        mirror *= mirror
        mirror *= mirror
        shine += POWER[i] * mirror * mirror * mirror  # the 24th power: a highlight some 25 degrees wide
    return diffuse, shine


@njit(cache=True, nogil=True)
def lamps(turn: NDArray[np.float64], eye: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lights and the halfway vectors of their highlights in the fruit's frame, (2, 3) each."""
    lights, halfway = np.empty((2, 3)), np.empty((2, 3))
    for i in range(2):
        lights[i] = turn @ LIGHTS[i]
        between = lights[i] + eye
        halfway[i] = between / np.linalg.norm(between)
    return lights, halfway


@njit(cache=True, nogil=True)
def rows_of(silhouette: Conic, margin: float) -> tuple[float, float]:
    """Return the interval of Y where the discriminant reaches ``-margin`` for some X."""
    a, b, c, e, f, g = silhouette
    return roots(c - b * b / (4 * a), f - b * e / (2 * a), g - e * e / (4 * a) + margin)


@njit(cache=True, nogil=True)
def share_of(
    silhouette: Conic, disc: float, x: float, y: float, sigma_x_px: float, sigma_y_px: float
) -> tuple[float, float, float]:
    """Return how much of a blurred pixel near the silhouette is fruit, and the nearest point not outside it."""
    a, b, c, e, f, _ = silhouette
    gx, gy = 2 * a * x + b * y + e, b * x + 2 * c * y + f
    across = disc / math.sqrt((gx * sigma_x_px) ** 2 + (gy * sigma_y_px) ** 2 + 1e-24)
    if disc < 0:
        back = 1.001 * disc / (gx * gx + gy * gy + 1e-24)
        x, y = x - back * gx, y - back * gy
    return 0.5 * (1 + math.erf(across * 0.7071067811865476)), x, y


@njit(cache=True, nogil=True)
def draw(
    frame: NDArray[np.float32],
    gain: NDArray[np.float32],
    mosaic: NDArray[np.int64],
    px_per_mm: float,
    lens_mm: float,
    sigma_px: tuple[float, float],
    skin: Any,
    fine: NDArray[np.int8],
    coarse: NDArray[np.float32],
    centre_mm: NDArray[np.float64],
    pose: NDArray[np.float64],
) -> None:
    """Draw one fruit over what the frame holds.

    Parameters
    ----------
    frame : (height, width) float32, counts before noise; changed in place.
    gain : (height, width) float32, the light's evenness.
    mosaic : (2, 2) channel of each pixel of a Bayer cell.
    px_per_mm, lens_mm : scale at the belt plane; height of the lens above it.
    sigma_px : blur along the belt and across it.
    skin : one `SKIN`.
    fine, coarse : noise tiles.
    centre_mm : (3,) the fruit's centre in mm from where the optical axis meets the belt.
    pose : (3, 3) rotation, fruit frame to camera frame.
    """
    height, width = frame.shape
    u0, v0 = (width - 1) / 2, (height - 1) / 2
    radius, half, gloss = skin["radius_mm"], skin["half_height_mm"], skin["gloss"]
    round_out = radius / half
    size = np.array([radius, radius, half])
    turn = np.ascontiguousarray(pose.T)
    eye = turn @ (np.array([0.0, 0.0, lens_mm]) - centre_mm)
    o, d0 = eye / size, turn @ np.array([0.0, 0.0, -lens_mm]) / size
    dx, dy = turn[:, 0] / size / px_per_mm, turn[:, 1] / size / px_per_mm
    lights, halfway = lamps(turn, eye / np.linalg.norm(eye))
    silhouette = conic(o, d0, dx, dy)
    a, b, c, e, f, g = silhouette
    # At the edge the discriminant rises by at most this in three pixels: as far as blur may carry the silhouette either way.
    margin = 6 * math.sqrt((g - e * e / (4 * a) - (f - b * e / (2 * a)) ** 2 / (4 * (c - b * b / (4 * a)))) * max(-a, -c))
    low, high = rows_of(silhouette, margin)
    for row in range(max(0, math.ceil(low + v0)), min(height - 1, math.floor(high + v0)) + 1):
        left, right = roots(a, b * (row - v0) + e, (c * (row - v0) + f) * (row - v0) + g + margin)
        for col in range(max(0, math.ceil(left + u0)), min(width - 1, math.floor(right + u0)) + 1):
            x, y, share = col - u0, row - v0, 1.0
            disc = (a * x + b * y + e) * x + (c * y + f) * y + g
            if disc < margin:
                share, x, y = share_of(silhouette, disc, x, y, sigma_px[0], sigma_px[1])
            ex, ey, ez = d0[0] + x * dx[0] + y * dy[0], d0[1] + x * dx[1] + y * dy[1], d0[2] + x * dx[2] + y * dy[2]
            far = (-(o[0] * ex + o[1] * ey + o[2] * ez) - math.sqrt(max(disc, 0.0))) / (ex * ex + ey * ey + ez * ez)
            px, py, pz = o[0] + far * ex, o[1] + far * ey, o[2] + far * ez
            voxel = fine_at(*fine_point(skin, px * radius, py * radius, pz * half))
            diffuse, shine = light(skin, fine, voxel, lights, halfway, px, py, pz * round_out)
            colour = paint(skin, fine, voxel, coarse, px * radius, py * radius, pz * half, mosaic[row & 1, col & 1])[0]
            frame[row, col] += share * (gain[row, col] * (colour * diffuse + gloss * shine) - frame[row, col])
