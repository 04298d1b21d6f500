"""The imaging kernel: every cup of a frame measured from the raw Bayer mosaic in one pass, tile by tile.

No demosaicing, no masks of frame size, no contours: the encoder says where each cup is, so a tile of 16 to 64 kB is all that is
touched, and it stays in the first caches. Every sum runs in a fixed order without fast-math, so the same bytes give the same
bits.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.geometry import locate
from citrus_grade.imaging.fit import (
    LOG,
    N_RAYS,
    N_SHADE,
    OUTLINE,
    OUTLINE_INVERSE,
    RAY_COS,
    RAY_SIN,
    SHADE,
    SHADE_INVERSE,
    SHADE_X,
    SHADE_Y,
)
from citrus_grade.tables import DOUBLE, EMPTY, FRUIT_SEEN

OUTLIER_SHARE = 0.30
"""A view with more of its rays off the ellipse than this does not show one round fruit."""
LARGEST_ASPECT = 1.62
BLEMISH_LOG = 0.24
"""How far below the fruit's own shading a quad must lie, in log counts, to be blemish."""
BLUE_LOG = 0.55
"""How far a quad's blue must stand above the fruit's own, in log counts, to be blemish: pale scars are bluer, not darker."""
INNER = 0.86
"""Share of the squared radius inside which skin is judged; the limb beyond is seen too obliquely."""
_REFINE_ROUNDS = 5
_SHADE_ROUNDS = 4


@njit(cache=True, nogil=True)
def signal_strip(words: NDArray[np.uint16], y0: int, blue: tuple[int, int], strip: NDArray[np.int16]) -> None:
    """Fill ``strip`` (n, width / 2) with red + both greens - blue of each quad of one lane, from quad row ``y0`` on.

    Belts and rollers are grey or bluish, citrus is not: the difference separates them better than brightness does. ``blue``
    is the row and the bit shift of the blue pixel in a quad. A whole lane is read row by row, as it lies in memory: the processor
    fetches ahead, where tile by tile it would wait for each line of each tile; afterwards the lane is in the second cache.
    """
    width = strip.shape[1]
    for y in range(strip.shape[0]):
        even, odd, out = words[2 * (y0 + y)], words[2 * (y0 + y) + 1], strip[y]
        with_blue, without = (odd, even) if blue[0] else (even, odd)
        if blue[1]:
            for x in range(width):
                a, b = without[x], with_blue[x]
                out[x] = (a & 255) + (a >> 8) + (b & 255) - (b >> 8)
        else:
            for x in range(width):
                a, b = without[x], with_blue[x]
                out[x] = (a & 255) + (a >> 8) + (b >> 8) - (b & 255)


@njit(cache=True, nogil=True)
def moments(plane: NDArray[np.int16], threshold: int) -> tuple[int, float, float]:
    """Return the area above the threshold in quads and its centroid, from every second quad both ways."""
    n, count, sum_x, sum_y = plane.shape[0], 0, 0, 0
    for y in range(0, n, 2):
        row, row_count = plane[y], 0
        for x in range(0, n, 2):
            above = row[x] > threshold
            row_count += above
            sum_x += above * x
        count += row_count
        sum_y += y * row_count
    return (4 * count, sum_x / count, sum_y / count) if count else (0, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _bilinear(plane: NDArray[np.int16], x: float, y: float) -> float:
    n = plane.shape[0]
    x, y = min(max(x, 0.0), n - 1.001), min(max(y, 0.0), n - 1.001)
    i, j = int(x), int(y)
    u, v = x - i, y - j
    top = plane[j, i] * (1 - u) + plane[j, i + 1] * u
    return float(top * (1 - v) + (plane[j + 1, i] * (1 - u) + plane[j + 1, i + 1] * u) * v)


@njit(cache=True, nogil=True)
def edge(plane: NDArray[np.int16], x: float, y: float, vx: float, vy: float, start: float, threshold: int) -> float:
    """Return where a ray from outside inward crosses half way between the local outside and inside level; -1 if it never does."""
    n = plane.shape[0]
    t = start
    while t > 2.0:
        i, j = int(x + t * vx + 0.5), int(y + t * vy + 0.5)
        if 0 <= i < n and 0 <= j < n and plane[j, i] > threshold:
            break
        t -= 1.0
    if t <= 2.0:
        return -1.0
    outside = _bilinear(plane, x + (t + 3.0) * vx, y + (t + 3.0) * vy)
    inside = max(
        _bilinear(plane, x + (t - 2.0) * vx, y + (t - 2.0) * vy), _bilinear(plane, x + (t - 3.0) * vx, y + (t - 3.0) * vy)
    )
    half = 0.5 * (min(outside, float(threshold)) + inside)
    far = t + 2.0
    value_far = _bilinear(plane, x + far * vx, y + far * vy)
    for _ in range(6):
        near = far - 1.0
        value_near = _bilinear(plane, x + near * vx, y + near * vy)
        if value_far < half <= value_near:
            return far - (half - value_far) / (value_near - value_far)
        far, value_far = near, value_near
    return t


@njit(cache=True, nogil=True)
def fit_outline(radius: NDArray[np.float64], coef: NDArray[np.float64], value: NDArray[np.float64]) -> float:
    """Fit ``1 / r**2`` robustly, outlying rays replaced by the fit itself; return their share."""
    middle = _median(radius, value)
    for ray in range(N_RAYS):
        r = radius[ray]
        r = min(max(r, 0.72 * middle), 1.38 * middle) if r > 0 else middle
        value[ray] = 1.0 / (r * r)
    outliers = 0
    for turn in range(_REFINE_ROUNDS):
        _solve(OUTLINE_INVERSE, value, coef, N_RAYS, 5)
        # Wide at first: a few short rays bend the first fit, and good rays must not be taken for bad ones because of that.
        outliers, limit = 0, max(0.32 * 0.5**turn, 0.08)
        for ray in range(N_RAYS):
            fitted = coef[0]
            for k in range(1, 5):
                fitted += coef[k] * OUTLINE[ray, k]
            r = radius[ray]
            own = 1.0 / (r * r) if r > 0 else 0.0
            off = abs(own - fitted) > limit * fitted
            outliers += off
            value[ray] = fitted if off else own
    return outliers / N_RAYS


@njit(cache=True, nogil=True)
def _solve(inverse: NDArray[np.float64], value: NDArray[np.float64], coef: NDArray[np.float64], n: int, k: int) -> None:
    for c in range(k):
        coef[c] = 0.0
    for i in range(n):
        v = value[i]
        for c in range(k):
            coef[c] += inverse[i, c] * v


@njit(cache=True, nogil=True)
def _median(values: NDArray[np.float64], scratch: NDArray[np.float64]) -> float:
    n = len(values)
    for i in range(n):
        v = values[i]
        j = i
        while j > 0 and scratch[j - 1] > v:
            scratch[j] = scratch[j - 1]
            j -= 1
        scratch[j] = v
    return float(scratch[n // 2])


@njit(cache=True, nogil=True)
def outline(
    plane: NDArray[np.int16],
    x: float,
    y: float,
    reach: float,
    shape: NDArray[np.float64],
    threshold: int,
    work: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Fit the outline around ``(x, y)``, recentring until it settles; return the centre and the share of outlying rays.

    ``shape`` is ``(ex, ey, stretch)``: the direction away from the optical axis and how much the lens stretches along it,
    taken out of the rays so that a sphere is a circle wherever it lies. ``work`` holds (3, n_rays): radii, values, coefficients.
    """
    radius, value, coef = work[0], work[1], work[2]
    ex, ey, stretch = shape[0], shape[1], shape[2] - 1.0
    outliers = 1.0
    for _ in range(2):
        for ray in range(N_RAYS):
            ux, uy = RAY_COS[ray], RAY_SIN[ray]
            along = stretch * (ux * ex + uy * ey)
            radius[ray] = edge(plane, x, y, ux + along * ex, uy + along * ey, reach, threshold)
        outliers = fit_outline(radius, coef, value)
        if coef[0] <= 0.0:
            return x, y, 1.0
        cube = 0.5 / (coef[0] * np.sqrt(coef[0]))
        dx, dy = -coef[1] * cube, -coef[2] * cube
        x, y = x + dx, y + dy
        if dx * dx + dy * dy < 0.16:
            break
    return x, y, outliers


@njit(cache=True, nogil=True)
def shading(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    n: int,
    x: float,
    y: float,
    ellipse: NDArray[np.float64],
    blue: tuple[int, int],
    coef: NDArray[np.float64],
    work: NDArray[np.float64],
) -> float:
    """Fit the fruit's own shading (log counts on the unit disc) robustly; return its median log blue against it.

    ``ellipse`` is ``(ax, ay, bx, by)``: the semi-axes as vectors in quads.
    """
    own, value, bluish = work[3], work[4], work[5]
    for s in range(N_SHADE):
        i = min(max(int(x + SHADE_X[s] * ellipse[0] + SHADE_Y[s] * ellipse[2] + 0.5), 1), n - 2)
        j = min(max(int(y + SHADE_X[s] * ellipse[1] + SHADE_Y[s] * ellipse[3] + 0.5), 1), n - 2)
        total, total_blue = 0, 0
        for dj in range(-1, 2):
            e, o = words[2 * (at[1] + j + dj), at[0] + i], words[2 * (at[1] + j + dj) + 1, at[0] + i]
            b = ((o if blue[0] else e) >> blue[1]) & 255
            total += (e & 255) + (e >> 8) + (o & 255) + (o >> 8) - b
            total_blue += b
        own[s] = LOG[total // 3]
        value[s] = own[s]
        bluish[s] = LOG[total_blue // 3] - own[s]
    for turn in range(_SHADE_ROUNDS):
        _solve(SHADE_INVERSE, value, coef, N_SHADE, 7)
        limit = 0.30 if turn == 0 else 0.12
        for s in range(N_SHADE):
            fitted = coef[0]
            for k in range(1, 7):
                fitted += coef[k] * SHADE[s, k]
            value[s] = own[s] if abs(own[s] - fitted) < limit else fitted
    return _median(bluish[:N_SHADE], value[:N_SHADE])


@njit(cache=True, nogil=True)
def skin(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    n: int,
    x: float,
    y: float,
    ellipse: NDArray[np.float64],
    blue_at: tuple[int, int],
    coef: NDArray[np.float64],
    blue_level: float,
    lut: NDArray[np.uint8],
    row: Any,
    colour: NDArray[np.int32],
) -> None:
    """Count colours and blemished quads of every second row inside the outline, against the fruit's own shading."""
    det = ellipse[0] * ellipse[3] - ellipse[1] * ellipse[2]
    pu, pv, qu, qv = ellipse[3] / det, -ellipse[2] / det, -ellipse[1] / det, ellipse[0] / det
    half_height = np.sqrt(ellipse[1] * ellipse[1] + ellipse[3] * ellipse[3])
    quads, bad, sum_r, sum_g, sum_b = 0, 0, 0, 0, 0
    first = max(int(y - half_height) & ~1, 0)
    for j in range(first, min(int(y + half_height) + 2, n), 2):
        dy = j - y
        # Columns inside the disc INNER: a quadratic in dx.
        a, b, c = pu * pu + qu * qu, (pu * pv + qu * qv) * dy, (pv * pv + qv * qv) * dy * dy - INNER
        disc = b * b - a * c
        if disc <= 0.0:
            continue
        root = np.sqrt(disc)
        left, right = max(int(np.ceil(x + (-b - root) / a)), 0), min(int(x + (-b + root) / a), n - 1)
        even, odd = words[2 * (at[1] + j)], words[2 * (at[1] + j) + 1]
        with_blue, with_red = (odd, even) if blue_at[0] else (even, odd)
        run_blue, run_red = with_blue[at[0] + left : at[0] + right + 1], with_red[at[0] + left : at[0] + right + 1]
        for k in range(len(run_blue)):
            dx = k + left - x
            u, v = pu * dx + pv * dy, qu * dx + qv * dy
            b, r = run_blue[k], run_red[k]
            blue, red = (b >> blue_at[1]) & 255, (r >> (8 - blue_at[1])) & 255
            total = (b & 255) + (b >> 8) + (r & 255) + (r >> 8) - blue
            uu, vv = u * u, v * v
            rr = uu + vv
            level = coef[0] + coef[1] * u + coef[2] * v + coef[3] * uu + coef[4] * u * v + coef[5] * vv + coef[6] * rr * rr
            own = LOG[total]
            bad += (own - level < -BLEMISH_LOG) | (LOG[blue] - own - blue_level > BLUE_LOG)
            green = (total - red) >> 1
            colour[lut[((red >> 3) << 10) | ((green >> 3) << 5) | (blue >> 3)]] += 1
            sum_r += red
            sum_g += green
            sum_b += blue
            quads += 1
    row.skin_quads, row.blemish_quads = quads, bad
    if quads:
        row.red, row.green, row.blue = sum_r / quads, sum_g / quads, sum_b / quads
    for c in range(len(colour)):
        row.colour_quads[c] = colour[c]


@njit(cache=True, nogil=True)
def measure_tile(
    words: NDArray[np.uint16],
    at: tuple[int, int],
    centre: NDArray[np.float64],
    blue: tuple[int, int],
    threshold: int,
    least_quads: int,
    lut: NDArray[np.uint8],
    plane: NDArray[np.int16],
    work: NDArray[np.float64],
    colour: NDArray[np.int32],
    row: Any,
) -> None:
    """Measure one tile into ``row`` (one `tables.VIEW`). ``centre`` is where the cup's centre lies, in quads, then the lens
    shape."""
    count, mean_x, mean_y = moments(plane, threshold)
    if count < least_quads:
        row.state = EMPTY
        return
    row.state = DOUBLE
    n = plane.shape[0]
    reach = min(1.3 * np.sqrt(count / np.pi) + 3.0, 0.72 * n)
    x, y, outliers = outline(plane, mean_x, mean_y, reach, centre[2:5], threshold, work)
    row.residual = outliers
    coef = work[2]
    row.x_px, row.y_px = 2 * (x - centre[0]), 2 * (y - centre[1])
    swing = np.sqrt(coef[3] * coef[3] + coef[4] * coef[4])
    if coef[0] <= swing:
        return
    major, minor = 1.0 / np.sqrt(coef[0] - swing), 1.0 / np.sqrt(coef[0] + swing)
    angle = 0.5 * np.arctan2(-coef[4], -coef[3])
    row.major_px, row.minor_px, row.angle_rad = 4 * major, 4 * minor, angle
    # Reach grows with sqrt(area): a mask much fuller or emptier than its ellipse is not one fruit.
    fill = count / (np.pi * major * minor)
    if outliers > OUTLIER_SHARE or major > LARGEST_ASPECT * minor or fill > 1.30 or fill < 0.70:
        return
    row.state = FRUIT_SEEN
    ca, sa = np.cos(angle), np.sin(angle)
    ellipse = work[6]
    ellipse[0], ellipse[1], ellipse[2], ellipse[3] = major * ca, major * sa, -minor * sa, minor * ca
    shade = work[7]
    blue_level = shading(words, at, n, x, y, ellipse, blue, shade, work)
    colour[:] = 0
    skin(words, at, n, x, y, ellipse, blue, shade, blue_level, lut, row, colour)


@njit(cache=True, nogil=True)
def measure_frame(
    words: NDArray[np.uint16],
    tick: int,
    offset: int,
    station_milli: NDArray[np.int64],
    num: int,
    den: int,
    optics: NDArray[np.float64],
    lane_y_px: NDArray[np.float64],
    whole: NDArray[np.int64],
    lut: NDArray[np.uint8],
    rows: Any,
) -> int:
    """Measure all cups of a frame that lie wholly inside it; fill ``rows`` and return how many.

    Parameters
    ----------
    words : (height, width / 2) uint16, the mosaic, two pixels a word.
    station_milli : (n_lanes,) station of window 0 of each lane.
    optics : pitch_px, window_x_px, axis_x_px, axis_y_px, focal_px.
    whole : windows, tile_px, blue_row, blue_shift, threshold, least_quads, first_view.
    rows : `tables.VIEW`, at least ``n_lanes * windows``, blank.
    """
    windows, tile, blue = whole[0], whole[1], (whole[2], whole[3])
    quads = tile // 2
    strip = np.empty((quads, words.shape[1]), np.int16)
    work = np.zeros((8, max(N_RAYS, N_SHADE)), np.float64)
    colour = np.zeros(len(rows[0].colour_quads), np.int32)
    centre = np.empty(5, np.float64)
    n = 0
    for lane in range(len(station_milli)):
        cup0, ahead, unit = locate(tick, offset, station_milli[lane], num, den)
        shift_px = optics[0] * (ahead / unit)
        cy = lane_y_px[lane]
        y0 = int(np.floor(cy * 0.5 + 0.5)) - quads // 2
        if y0 < 0 or 2 * (y0 + quads) > len(words):
            continue
        signal_strip(words, y0, blue, strip)
        for window in range(windows):
            cx = optics[1] + window * optics[0] + shift_px
            x0 = int(np.floor(cx * 0.5 + 0.5)) - quads // 2
            if x0 < 0 or x0 + quads > words.shape[1]:
                continue
            row = rows[n]
            n += 1
            row.lane, row.cup, row.view_index = lane, cup0 - window, whole[6] + window
            centre[0], centre[1] = cx * 0.5 - x0 - 0.25, cy * 0.5 - y0 - 0.25
            away_x, away_y = cx - optics[2], cy - optics[3]
            away = np.sqrt(away_x * away_x + away_y * away_y) + 1e-9
            centre[2], centre[3] = away_x / away, away_y / away
            centre[4] = np.sqrt(1.0 + (away / optics[4]) ** 2)
            measure_tile(words, (x0, y0), centre, blue, whole[4], whole[5], lut, strip[:, x0 : x0 + quads], work, colour, row)
    return n
