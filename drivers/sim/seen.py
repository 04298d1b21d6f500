"""What the cameras could see of a fruit: the truth that a grader's coverage, colours and blemishes are held against.

A point of skin is seen when in one view at least its outward normal makes a cosine of ``least_cos`` or more with the direction to
the lens. Perspective is left out: it turns a line of sight by a few degrees.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim.orchard import MAX_BLEMISHES
from citrus_grade.drivers.sim.render_noise import FINE_STEP, SPECK, coarse_tile, fine_at, fine_tile
from citrus_grade.drivers.sim.render_skin import cover, fine_point, paint, zones
from citrus_grade.drivers.sim.skin import around, even_disc, even_sphere, first, place, reach, skins

LEAST_COS = 0.35
TOUCH_MM = 1.0
"""Blemishes with less sound skin than this between them touch: no camera of a line keeps them apart."""
COUNTABLE_MM = 2.0
"""Diameter of the smallest blemish that counts, that of a circle of its area."""
_POINTS, _BLEMISH_POINTS = 2000, 700

SEEN = np.dtype(
    [
        ("coverage", "<f8"),
        ("green_share", "<f8"),
        ("blemish_share", "<f8"),
        ("blemish_mm", "<f8", (MAX_BLEMISHES,)),
        ("blemish_seen", "<f8", (MAX_BLEMISHES,)),
        ("blemish_under_end", "u1", (MAX_BLEMISHES,)),
        ("blemish_group", "<i8", (MAX_BLEMISHES,)),
        ("countable", "<i8"),
        ("stem", "<f8", (3,)),
        ("stylar", "<f8", (3,)),
        ("stem_seen", "?"),
        ("stylar_seen", "?"),
    ]
)
"""What was to be seen of a fruit. ``coverage`` is the seen share of its surface; ``green_share`` and ``blemish_share`` are of the
seen surface. Of each blemish, NaN beyond the last: its diameter, that of a circle of its area; the share of that area which was
seen; whether most of it lies under the stem or the stylar end; and the first of those it touches, itself when it lies alone
(-1 beyond the last). ``countable``: groups, ends left out, of `COUNTABLE_MM` or more of which half or more was seen. ``stem``,
``stylar``: directions in the first view, x along columns, y along rows, z to the lens."""


def seen(fruit: NDArray[Any], pose: NDArray[np.float64], least_cos: float = LEAST_COS) -> NDArray[Any]:
    """Return what the views of each fruit show of it.

    Parameters
    ----------
    fruit : (n,) `orchard.TRUTH`. pose : (n, n_views, 3, 3) rotations, fruit frame to camera frame.
    least_cos : cosine between a point's normal and the direction to the lens from which on the point is seen.

    Returns
    -------
    (n,) `SEEN`.
    """
    out = np.zeros(len(fruit), SEEN)
    out["blemish_mm"] = out["blemish_seen"] = np.nan
    out["blemish_group"] = -1
    out["stem"], out["stylar"] = pose[:, 0, :, 2], -pose[:, 0, :, 2]
    fine, coarse, sphere, disc = fine_tile(), coarse_tile(), even_sphere(_POINTS), even_disc(_BLEMISH_POINTS)
    for i, skin in enumerate(skins(fruit)):
        _watch(skin, fine, coarse, sphere, disc, np.ascontiguousarray(pose[i, :, 2]), least_cos, out[i])
    return out


@njit(cache=True, nogil=True)
def in_view(skin: Any, eyes: NDArray[np.float64], least_cos: float, x: float, y: float, z: float) -> bool:
    """Say whether a surface point is seen from one of the directions ``eyes`` (n_views, 3) at least."""
    a, c = skin["radius_mm"], skin["half_height_mm"]
    nx, ny, nz = x / (a * a), y / (a * a), z / (c * c)
    best = -np.inf
    for eye in eyes:
        best = max(best, nx * eye[0] + ny * eye[1] + nz * eye[2])
    return bool(best >= least_cos * np.sqrt(nx * nx + ny * ny + nz * nz))


@njit(cache=True, nogil=True)
def _watch(
    skin: Any,
    fine: NDArray[np.int8],
    coarse: NDArray[np.float32],
    sphere: NDArray[np.float64],
    disc: NDArray[np.float64],
    eyes: NDArray[np.float64],
    least_cos: float,
    out: Any,
) -> None:
    """Fill one `SEEN`; ``eyes`` (n_views, 3) are the directions to the lens in the fruit's frame."""
    total = visible = green = 0.0
    for i in range(len(sphere)):
        x, y, z, area = place(skin, sphere[i, 0], sphere[i, 1], sphere[i, 2])
        total += area
        if in_view(skin, eyes, least_cos, x, y, z):
            visible += area
            patch, mottle = zones(skin, coarse, x, y, z)
            voxel = fine_at(*fine_point(skin, x, y, z))
            green += area * (paint(skin, fine, voxel, patch, mottle, x, y, z, 0)[1] > 0.5)
    out["coverage"] = visible / total
    pole = skin["half_height_mm"]
    out["stem_seen"] = in_view(skin, eyes, least_cos, 0.0, 0.0, pole)
    out["stylar_seen"] = in_view(skin, eyes, least_cos, 0.0, 0.0, -pole)
    own_mm2, seen_mm2 = _blemishes(skin, fine, coarse, disc, eyes, least_cos, out)
    if visible > 0:
        out["green_share"] = green / visible
        out["blemish_share"] = seen_mm2.sum() / (visible / len(sphere) * 4 * np.pi * skin["radius_mm"] ** 2)
    out["countable"] = _countable(out["blemish_group"], out["blemish_under_end"], own_mm2, seen_mm2)


@njit(cache=True, nogil=True)
def _blemishes(
    skin: Any,
    fine: NDArray[np.int8],
    coarse: NDArray[np.float32],
    disc: NDArray[np.float64],
    eyes: NDArray[np.float64],
    least_cos: float,
    out: Any,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fill what is known of each blemish; return its area in mm2 that no earlier blemish has, and how much of that was seen."""
    n, k = skin["n_blemishes"], len(disc)
    own_mm2, seen_mm2 = np.zeros(n), np.zeros(n)
    inside, where = np.zeros(n, np.int64), np.empty((n, k, 3))
    for b in range(n):
        span = reach(skin, b)
        whole = hidden = visible = 0.0
        for i in range(k):
            x, y, z, area = around(skin, b, span * disc[i, 0], span * disc[i, 1])
            area *= np.pi * span * span / k * skin["radius_mm"] ** 2
            voxel = fine_at(*fine_point(skin, x, y, z))
            patch, mottle = zones(skin, coarse, x, y, z)
            speck = fine[voxel + SPECK] * FINE_STEP
            if not cover(skin, b, mottle, speck, x, y, z) > 0.5:
                continue
            if not paint(skin, fine, voxel, patch, mottle, x, y, z, 0)[2] > 0.5:
                hidden += area
                continue
            where[b, inside[b]] = x, y, z
            inside[b] += 1
            sees, leads = in_view(skin, eyes, least_cos, x, y, z), first(skin, speck, mottle, x, y, z) == b
            whole += area
            visible += area * sees
            own_mm2[b] += area * leads
            seen_mm2[b] += area * (sees and leads)
        out["blemish_mm"][b] = 2 * np.sqrt(whole / np.pi)
        out["blemish_seen"][b] = visible / whole if whole > 0 else 0.0
        out["blemish_under_end"][b] = hidden > whole
        out["blemish_group"][b] = b
        for earlier in range(b):
            if _touch(where[b, : inside[b]], where[earlier, : inside[earlier]]):
                _join(out["blemish_group"], b, earlier)
    return own_mm2, seen_mm2


@njit(cache=True, nogil=True)
def _touch(one: NDArray[np.float64], two: NDArray[np.float64]) -> bool:
    """Say whether two sets of points come nearer to one another than `TOUCH_MM`."""
    for p in one:
        for q in two:
            x, y, z = p[0] - q[0], p[1] - q[1], p[2] - q[2]
            if x * x + y * y + z * z < TOUCH_MM * TOUCH_MM:
                return True
    return False


@njit(cache=True, nogil=True)
def _join(group: NDArray[np.int64], b: int, earlier: int) -> None:
    """Make one group of two blemishes', named by its first."""
    low, high = min(group[b], group[earlier]), max(group[b], group[earlier])
    for i in range(b + 1):
        if group[i] == high:
            group[i] = low


@njit(cache=True, nogil=True)
def _countable(
    group: NDArray[np.int64], under_end: NDArray[np.uint8], own_mm2: NDArray[np.float64], seen_mm2: NDArray[np.float64]
) -> int:
    countable = 0
    for g in range(len(own_mm2)):
        own = visible = 0.0
        for b in range(len(own_mm2)):
            if group[b] == g and not under_end[b]:
                own += own_mm2[b]
                visible += seen_mm2[b]
        countable += own >= np.pi / 4 * COUNTABLE_MM**2 and visible >= 0.5 * own
    return countable
