"""Spots of a view: what stands out, asked what it may be.

Quads that stand out and touch are a spot, see `stand_out`; a forest learnt from labelled views says what it may be.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging import stand_out as near
from citrus_grade.imaging.disc import BLUE, DARK, GREEN, INNER, SPOT
from citrus_grade.imaging.forest import COARSE_QUADS, Forest, ask
from citrus_grade.imaging.skin import part_of
from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

SMALL, LARGE = 24.0, 48.0
"""Radii, in quads, at which fruit are judged by the first and by the second of these; in between, in between."""
OUT, HIGHEST, LEAST_QUADS = (9 * 5.6, 9 * 8.0), (9 * 8.4, 9 * 12.0), (2.0, 4.0)
"""How far the sum of 3 x 3 quads must stand out for a quad to belong to a spot, and for a spot to be one, in 1/100 log, and how
many quads it has: what is 3 mm wide is less than the 3 x 3 quads of a small fruit, and skin is smoother there."""
RINGS = (0.0, 0.04, 0.065, 0.09, 0.12, 0.185, 0.27)
"""Radii of the rings around a spot's centre on which the planes are taken, in fruit radii."""
SPOKES, PER_RING = 12, 9
RADIUS = 16
"""Place, among what is asked of a spot, of the fruit's radius in quads."""
FIRST_RING = 18
N_FEATURES = FIRST_RING + PER_RING * len(RINGS)
_COS = [float(np.cos(2 * np.pi * k / SPOKES)) for k in range(SPOKES)]
_SIN = [float(np.sin(2 * np.pi * k / SPOKES)) for k in range(SPOKES)]
SPOKE_X, SPOKE_Y = np.array(_COS), np.array(_SIN)
_RINGS = np.array(RINGS)


@njit(cache=True, nogil=True)
def spot_room(n: int, trees: Forest) -> near.SpotRoom:
    """Return room for the spots of views of ``n`` quads a side."""
    return near.stand_out_room(n, trees.root.shape[1], N_FEATURES)


@njit(cache=True, nogil=True)
def on_disc(root: Any, dx: float, dy: float) -> tuple[float, float]:
    """Return where on the disc a quad lies, given from the fruit's centre."""
    det = root[0] * root[3] - root[1] * root[2]
    return (root[3] * dx - root[1] * dy) / det, (root[0] * dy - root[2] * dx) / det


@njit(cache=True, nogil=True)
def _features(
    s: NDArray[np.float64],
    n: int,
    x: float,
    y: float,
    root: Any,
    span: NDArray[np.int64],
    skin: NDArray[np.uint32],
    out: NDArray[np.float32],
) -> None:
    """Fill what is asked of a spot."""
    count = s[near.COUNT]
    cx, cy = s[near.X] / count, s[near.Y] / count
    radius = np.sqrt(abs(root[0] * root[3] - root[1] * root[2]))
    xx, yy, xy = s[near.XX] / count - cx * cx + 1 / 12, s[near.YY] / count - cy * cy + 1 / 12, s[near.XY] / count - cx * cy
    middle, half = 0.5 * (xx + yy), np.sqrt(0.25 * (xx - yy) ** 2 + xy * xy)
    long, short = middle + half, max(middle - half, 1 / 12)
    u, v = on_disc(root, cx - x, cy - y)
    mean = s[near.D] / count
    out[0], out[1] = np.sqrt(count / np.pi) / radius, np.sqrt(long / short)
    out[2], out[3] = np.sqrt(long) / radius, count / (4 * np.pi * np.sqrt(long * short))
    out[4], out[5] = np.sqrt(max(1.0 - u * u - v * v, 0.0)), abs(u)
    out[6], out[7] = s[near.FAR] / count, s[near.PEAK]
    out[8], out[9], out[10], out[11] = mean, s[near.B] / count, s[near.G] / count, s[near.D_LEAST]
    out[12], out[13] = s[near.B_MOST], np.sqrt(max(s[near.DD] / count - mean * mean, 0.0))
    out[14] = s[near.FAR] / (radius * radius)
    out[15], out[RADIUS], out[17] = abs(v), radius, count
    for ring in range(len(_RINGS)):
        spokes, first = 1 if ring == 0 else SPOKES, FIRST_RING + ring * PER_RING
        _ring(cx, cy, _RINGS[ring] * radius, spokes, n, span, skin, first, out)


@njit(cache=True, nogil=True)
def _ring(
    cx: float,
    cy: float,
    away: float,
    spokes: int,
    n: int,
    span: NDArray[np.int64],
    skin: NDArray[np.uint32],
    at: int,
    out: NDArray[np.float32],
) -> None:
    """Fill what the skin is like on a ring around a spot, from place ``at`` on."""
    seen, dark, blue, green, square = 0, 0, 0, 0, 0
    least, most, pale, least_blue = 127, -127, -127, 127
    for k in range(spokes):
        i, j = int(cx + away * SPOKE_X[k] + 0.5), int(cy + away * SPOKE_Y[k] + 0.5)
        if 0 <= j < n and span[j, 0] <= i < span[j, 1]:
            word = skin[j, i]
            d, b, g = part_of(word, DARK), part_of(word, BLUE), part_of(word, GREEN)
            seen += 1
            dark += d
            blue += b
            green += g
            square += d * d
            least, most, pale, least_blue = min(least, d), max(most, d), max(pale, b), min(least_blue, b)
    if seen == 0:
        out[at : at + PER_RING] = 0
        return
    mean = dark / seen
    out[at], out[at + 1], out[at + 2] = mean, blue / seen, green / seen
    out[at + 3], out[at + 4], out[at + 5], out[at + 6], out[at + 7] = least, most, pale, least_blue, most - least
    out[at + 8] = np.sqrt(max(square / seen - mean * mean, 0.0))


@njit(cache=True, nogil=True)
def find_spots(
    n: int,
    x: float,
    y: float,
    root: Any,
    span: NDArray[np.int64],
    skin: NDArray[np.uint32],
    trees: Forest,
    room: near.SpotRoom,
    spot: NDArray[np.float32],
) -> int:
    """Find the spots of a view; return how many.

    Parameters
    ----------
    n : quads a side. x, y : the fruit's centre, quads. root : takes the unit disc to quads.
    span, skin : as `skin.planes` fills them; the byte for spots of ``skin`` is filled where there are any.
    spot : (n_spots, 6) filled as `tables.VIEW` has it.
    """
    radius = np.sqrt(abs(root[0] * root[3] - root[1] * root[2]))
    large = min(max((radius - SMALL) / (LARGE - SMALL), 0.0), 1.0)
    k = near.stand_out(n, x, y, root, span, skin, int(_between(OUT, large)), room)
    peak, least = _between(HIGHEST, large) / 9.0, _between(LEAST_QUADS, large)
    found = 0
    for _ in range(N_SPOTS):
        best = _largest(k, peak, least, room)
        if best < 0:
            break
        _tell(best, n, x, y, root, span, skin, trees, room, room.feature[found], spot[found])
        found += 1
        room.stat[best, near.PEAK] = -1.0 * found
    for a in range(k):
        which = room.stat[near.first_run(room.parent, a), near.PEAK]
        if which < 0:
            for i in range(room.run[a, 1], room.run[a, 2]):
                skin[room.run[a, 0], i] |= np.uint32(-which) << np.uint32(8 * SPOT)
    return found


@njit(cache=True, nogil=True)
def _between(ends: tuple[float, float], part: float) -> float:
    return ends[0] + part * (ends[1] - ends[0])


@njit(cache=True, nogil=True)
def _largest(k: int, peak: float, least: float, room: near.SpotRoom) -> int:
    """Return the spot, not told of yet, that stands out most over all its quads; -1 if none is left."""
    best, most = -1, 0.0
    for a in range(k):
        s = room.stat[a]
        if room.parent[a] == a and s[near.COUNT] >= least and s[near.PEAK] > peak and s[near.FAR] > most:
            best, most = a, s[near.FAR]
    return best


@njit(cache=True, nogil=True)
def _tell(
    a: int, n: int, x: float, y: float, root: Any, span: NDArray[np.int64], skin: NDArray[np.uint32], trees: Forest,
    room: near.SpotRoom, feature: NDArray[np.float32], spot: NDArray[np.float32],
) -> None:  # fmt: skip
    s = room.stat[a]
    _features(s, n, x, y, root, span, skin, feature)
    # Where it stands out most is its middle: an end's core, not its pleats nor a blemish that touches it.
    u, v = on_disc(root, s[near.FX] / s[near.FF] - x, s[near.FY] / s[near.FF] - y)
    far = np.sqrt(u * u + v * v)
    inward = min(1.0, np.sqrt(INNER) / far) if far > 0 else 1.0
    spot[SPOT_X], spot[SPOT_Y], spot[SPOT_RADIUS] = u * inward, v * inward, feature[0]
    ask(trees, int(feature[RADIUS] >= COARSE_QUADS), feature, room.node, spot[CHANCE_STEM : CHANCE_STEM + 3])
