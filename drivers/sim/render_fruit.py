"""Draws one fruit into a raw frame: a ray through every pixel, met with the spheroid, lit, taken in the pixel's own colour."""

import math
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.render_noise import FINE_STEP, fine_at
from citrus_grade.drivers.sim.render_skin import fine_point, paint, zones

# Two softboxes, up and down the belt and tilted by 38 degrees, the downstream one a little stronger; the wrap is their width.
# Together they give the fall-off towards the limb of real views: 0.93 at 0.45 of the radius, 0.76 at 0.75, 0.52 at 0.95.
LIGHTS = np.array([[0.60, 0.13, 0.79], [-0.62, 0.07, 0.78]])
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
def bumped(skin: Any, fine: NDArray[np.int8], voxel: int, nx: float, ny: float, nz: float) -> tuple[float, float, float]:
    """Return a normal tilted by the pores and bumps of its voxel, of unit length."""
    pore, bump = skin["pore_slope"] * FINE_STEP, skin["bump_slope"] * FINE_STEP
    nx += pore * fine[voxel] + bump * fine[voxel + 4]
    ny += pore * fine[voxel + 1] + bump * fine[voxel + 5]
    nz += pore * fine[voxel + 2] + bump * fine[voxel + 6]
    norm = 1 / math.sqrt(nx * nx + ny * ny + nz * nz)
    return nx * norm, ny * norm, nz * norm


@njit(cache=True, nogil=True)
def light(lights: NDArray[np.float64], nx: float, ny: float, nz: float) -> float:
    """Return the light that falls on skin of a normal; 1 when it faces the lens."""
    one = max(0.0, nx * lights[0, 0] + ny * lights[0, 1] + nz * lights[0, 2] + WRAP)
    two = max(0.0, nx * lights[1, 0] + ny * lights[1, 1] + nz * lights[1, 2] + WRAP)
    lit: float = AMBIENT + DIFFUSE[0] * one + DIFFUSE[1] * two
    return lit


@njit(cache=True, nogil=True)
def shine(halfway: NDArray[np.float64], nx: float, ny: float, nz: float) -> float:
    """Return the wax's highlight, 0..1: the 24th power of the cosine to the mirror's normal, some 25 degrees wide."""
    total = 0.0
    for i in range(2):
        mirror = max(0.0, nx * halfway[i, 0] + ny * halfway[i, 1] + nz * halfway[i, 2])
        cube = mirror * mirror * mirror
        cube *= cube
        cube *= cube
        total += POWER[i] * cube * cube
    return total


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
def peak(silhouette: Conic) -> float:
    """Return the discriminant's greatest value, in the fruit's middle."""
    a, b, c, e, f, g = silhouette
    across = f - b * e / (2 * a)
    return g - e * e / (4 * a) - across * across / (4 * (c - b * b / (4 * a)))


@njit(cache=True, nogil=True)
def rows_of(silhouette: Conic, margin: float) -> tuple[float, float]:
    """Return the interval of Y where the discriminant reaches ``-margin`` for some X."""
    a, b, c, e, f, g = silhouette
    return roots(c - b * b / (4 * a), f - b * e / (2 * a), g - e * e / (4 * a) + margin)


@njit(cache=True, nogil=True, error_model="numpy")
def edge(
    strip: NDArray[np.float64], n: int, col: float, y: float, silhouette: Conic, margin: float, sigma_px: tuple[float, float]
) -> None:
    """Put into a strip, for ``n`` pixels of a row from ``col``: x, y, the discriminant there and how much of the pixel is fruit.

    Near the silhouette a blurred pixel is part fruit, part belt; outside of it the fruit's colour is that of the nearest skin.
    """
    a, b, c, e, f, g = silhouette
    for i in range(n):
        x = col + i
        disc = (a * x + b * y + e) * x + (c * y + f) * y + g
        strip[0, i], strip[1, i], strip[2, i], strip[3, i] = x, y, disc, 1.0
        if disc < margin:
            gx, gy = 2 * a * x + b * y + e, b * x + 2 * c * y + f
            across = disc / math.sqrt((gx * sigma_px[0]) ** 2 + (gy * sigma_px[1]) ** 2)
            strip[3, i] = 0.5 * (1 + math.erf(across * 0.7071067811865476))
            if disc < 0:
                back = 1.001 * disc / (gx * gx + gy * gy)
                strip[0, i], strip[1, i], strip[2, i] = x - back * gx, y - back * gy, 0.0


@njit(cache=True, nogil=True, error_model="numpy")
def meet(
    strip: NDArray[np.float64],
    n: int,
    o: NDArray[np.float64],
    d0: NDArray[np.float64],
    dx: NDArray[np.float64],
    dy: NDArray[np.float64],
) -> None:
    """Replace a strip's x, y and discriminant by where the pixels' rays meet the unit sphere."""
    o0, o1, o2 = o[0], o[1], o[2]
    for i in range(n):
        x, y = strip[0, i], strip[1, i]
        e0, e1, e2 = d0[0] + x * dx[0] + y * dy[0], d0[1] + x * dx[1] + y * dy[1], d0[2] + x * dx[2] + y * dy[2]
        far = (-(o0 * e0 + o1 * e1 + o2 * e2) - math.sqrt(strip[2, i])) / (e0 * e0 + e1 * e1 + e2 * e2)
        strip[0, i], strip[1, i], strip[2, i] = o0 + far * e0, o1 + far * e1, o2 + far * e2


@njit(cache=True, nogil=True, error_model="numpy")
def tilt(strip: NDArray[np.float64], voxels: NDArray[np.int64], n: int, skin: Any, fine: NDArray[np.int8]) -> None:
    """Scale a strip's points to mm and add their voxels and bumpy normals.

    A loop of its own, because the tile does not fit the nearest cache: short turns let many of its loads wait together.
    """
    radius, half = skin["radius_mm"], skin["half_height_mm"]
    for i in range(n):
        x, y, z = strip[0, i], strip[1, i], strip[2, i]
        strip[0, i], strip[1, i], strip[2, i] = x * radius, y * radius, z * half
        voxels[i] = fine_at(*fine_point(skin, x * radius, y * radius, z * half))
        strip[4, i], strip[5, i], strip[6, i] = bumped(skin, fine, voxels[i], x, y, z * radius / half)


@njit(cache=True, nogil=True, error_model="numpy")
def shade(
    line: NDArray[np.float32],
    gain: NDArray[np.float32],
    channels: NDArray[np.int64],
    first: int,
    strip: NDArray[np.float64],
    voxels: NDArray[np.int64],
    n: int,
    skin: Any,
    fine: NDArray[np.int8],
    coarse: NDArray[np.float32],
    lights: NDArray[np.float64],
    halfway: NDArray[np.float64],
) -> None:
    """Light and paint ``n`` pixels of a row from column ``first``, each in its own colour."""
    patch = mottle = glint = 0.0
    for i in range(n):
        x, y, z, share, nx, ny, nz = strip[0, i], strip[1, i], strip[2, i], strip[3, i], strip[4, i], strip[5, i], strip[6, i]
        if i & 1 == 0:  # what changes slowly is looked up for every second pixel
            patch, mottle = zones(skin, coarse, x, y, z)
            glint = skin["gloss"] * shine(halfway, nx, ny, nz)
        col = first + i
        colour = paint(skin, fine, voxels[i], patch, mottle, x, y, z, channels[col & 1])[0]
        value = gain[col] * (colour * light(lights, nx, ny, nz) + glint)
        line[col] += share * (value - line[col])


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
    size = np.array([skin["radius_mm"], skin["radius_mm"], skin["half_height_mm"]])
    turn = np.ascontiguousarray(pose.T)
    eye = turn @ (np.array([0.0, 0.0, lens_mm]) - centre_mm)
    o, d0 = eye / size, turn @ np.array([0.0, 0.0, -lens_mm]) / size
    dx, dy = turn[:, 0] / size / px_per_mm, turn[:, 1] / size / px_per_mm
    lights, halfway = lamps(turn, eye / np.linalg.norm(eye))
    silhouette = conic(o, d0, dx, dy)
    a, b, c, e, f, g = silhouette
    # At the edge the discriminant changes by at most this in three pixels: as far as blur may carry the silhouette.
    margin = 6 * math.sqrt(peak(silhouette) * max(-a, -c))
    low, high = rows_of(silhouette, margin)
    strip, voxels = np.empty((7, width)), np.empty(width, np.int64)
    for row in range(max(0, math.ceil(low + v0)), min(height - 1, math.floor(high + v0)) + 1):
        y = row - v0
        left, right = roots(a, b * y + e, (c * y + f) * y + g + margin)
        first = max(0, math.ceil(left + u0))
        n = min(width - 1, math.floor(right + u0)) + 1 - first
        edge(strip, n, first - u0, y, silhouette, margin, sigma_px)
        meet(strip, n, o, d0, dx, dy)
        tilt(strip, voxels, n, skin, fine)
        shade(frame[row], gain[row], mosaic[row & 1], first, strip, voxels, n, skin, fine, coarse, lights, halfway)
