"""The watch over lens and light: does a camera still see what it saw when the line was set up?

Two things are taken from every frame, in every window of every lane, from some dozen pixels each:

- the level of the gap between two lanes. Fruit never hides it, so it tells of the light. It is dark: a veil of a hundredth of the
  light that dirt spreads over the lens makes it brighter by some hundredths.
- how steeply a fruit's outline rises, which light does not change, but the lens's focus does.

Both are averaged for a while and held against their own first averages. What changes everywhere is light or focus, what changes
in one place is dirt on the lens.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.geometry import locate
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Alarm
from citrus_grade.tables import FRUIT_SEEN

LEVEL, EDGE = range(2)
"""What is watched: counts of a quad in the gap; steepness of outlines, 1 where a step lies between two neighbouring samples."""
MEAN, REFERENCE, SAMPLES = range(3)
"""What is remembered of each."""
KINDS = ("lens_dirty", "light_low", "light_drift", "focus_soft")
"""Kinds of alarm: something differs in one place; less light; more light, or a veil over the whole lens; outlines are softer."""
LEARNT = 256
"""Samples of a region that make its reference."""
AVERAGED = 128
"""Samples over which a running mean forgets."""
LIMIT = np.array([0.06, 0.05, 0.05, 0.08])
"""Relative change from which on each of `KINDS` is told. It is told again only after half of the change has gone."""

_COLUMNS = 16
_TAPS = 10
_LEAST_STEP = 20.0


class Health(NamedTuple):
    """What the watch remembers, NaN and 0 where nothing was seen yet.

    ``region`` (n_cameras, n_lanes, n_windows, 2, 3): `MEAN`, `REFERENCE` and `SAMPLES` of `LEVEL` and `EDGE`.
    ``told`` (n_cameras, 4): which of `KINDS` stand.
    """

    region: NDArray[np.float64]
    told: NDArray[np.bool_]


def initial(config: LineConfig) -> Health:
    """Return the memory of a line that has seen nothing yet."""
    windows = max((camera.windows for camera in config.camera), default=0)
    region = np.full((len(config.camera), config.line.lanes, windows, 2, 3), np.nan)
    region[..., SAMPLES] = 0
    return Health(region, np.zeros((len(config.camera), len(KINDS)), np.bool_))


def look(imager: Imager, mosaic: NDArray[np.uint8], tick: int, rows: Any, offset: int = 0) -> NDArray[np.float64]:
    """Return what one frame shows of lens and light.

    Parameters
    ----------
    imager : the camera's. mosaic, tick : the frame. rows : `tables.VIEW`, what the imager measured in it.
    offset : as the imager's.

    Returns
    -------
    (n_lanes, n_windows, 2) `LEVEL` and `EDGE`, NaN where there is nothing to measure.
    """
    out = np.full((len(imager.lane_y_px), int(imager.whole[0]), 2), np.nan)
    words = np.ascontiguousarray(mosaic).view(np.uint16)
    _levels(words, imager.optics, imager.lane_y_px, out)
    ruler = imager.ruler
    _edges(
        words, tick, offset, imager.station_milli, ruler.num, ruler.den, imager.optics, imager.lane_y_px, imager.whole, rows, out
    )
    return out


def update(health: Health, camera: int, seen: NDArray[np.float64], tick: int) -> tuple[Health, tuple[Alarm, ...]]:
    """Take what a frame showed; return what is remembered then, and alarms for what has begun to differ.

    Parameters
    ----------
    seen : what `look` returned. tick : the frame's, for the alarms.
    """
    region, told = health.region.copy(), health.told.copy()
    _remember(region[camera, :, : seen.shape[1]], seen)
    change = np.zeros(len(KINDS))
    lane, window, places = _judge(region[camera], change)
    stands = change > np.where(told[camera], 0.5, 1.0) * LIMIT
    new = np.flatnonzero(stands & ~told[camera])
    told[camera] = stands
    where = (f"camera {camera} lane {lane} window {window}", *[f"camera {camera}"] * 3)
    return Health(region, told), tuple(Alarm(tick, KINDS[k], where[k], max(places, 1) if k == 0 else 1) for k in new)


@njit(cache=True, nogil=True)
def _levels(
    words: NDArray[np.uint16], optics: NDArray[np.float64], lane_y_px: NDArray[np.float64], out: NDArray[np.float64]
) -> None:
    """Fill `LEVEL`: the mean of the middle half of quads spread over a window's length of the gap beside a lane."""
    lanes, quads, step = len(lane_y_px), np.empty(_COLUMNS, np.int64), 0.5 * optics[0] / _COLUMNS
    for lane in range(lanes):
        beside = lane + 1 if lane + 1 < lanes else lane - 1
        gap_px = 0.5 * (lane_y_px[lane] + lane_y_px[beside]) if lanes > 1 else lane_y_px[0] + 0.5 * optics[0]
        row = 2 * min(max(int(0.5 * gap_px), 0), len(words) // 2 - 1)
        for window in range(out.shape[1]):
            first = 0.5 * (optics[1] + (window - 0.5 + 0.5 / _COLUMNS) * optics[0])
            if first < 0 or first + step * (_COLUMNS - 1) >= words.shape[1]:
                continue
            for n in range(_COLUMNS):
                column = int(first + step * n)
                a, b = words[row, column], words[row + 1, column]
                total, k = np.int64((a & 255) + (a >> 8) + (b & 255) + (b >> 8)), n
                while k > 0 and quads[k - 1] > total:
                    quads[k] = quads[k - 1]
                    k -= 1
                quads[k] = total
            middle = 0
            for k in range(_COLUMNS // 4, _COLUMNS - _COLUMNS // 4):
                middle += quads[k]
            out[lane, window, LEVEL] = 2 * middle / _COLUMNS


@njit(cache=True, nogil=True)
def _edges(
    words: NDArray[np.uint16],
    tick: int,
    offset: int,
    station_milli: NDArray[np.int64],
    num: int,
    den: int,
    optics: NDArray[np.float64],
    lane_y_px: NDArray[np.float64],
    whole: NDArray[np.int64],
    rows: Any,
    out: NDArray[np.float64],
) -> None:
    """Fill `EDGE` from the four ends of each fruit's axes along and across the belt; arguments as `kernel.measure_frame`'s."""
    tap = np.empty(_TAPS)
    for i in range(len(rows)):
        view = rows[i]
        if view.state != FRUIT_SEEN:
            continue
        window = view.view_index - whole[6]
        _, ahead, unit = locate(tick, offset, station_milli[view.lane], num, den)
        x = optics[1] + (window + ahead / unit) * optics[0] + view.x_px
        y = lane_y_px[view.lane] + view.y_px
        along, across = _reach(view, (x - optics[2]) / optics[4], (y - optics[3]) / optics[4])
        total, n = 0.0, 0
        for side in (-1, 1):
            for down in range(2):
                ex, ey = x + side * along * (1 - down), y + side * across * down
                if _taps(
                    words, int(0.5 * ex + 0.5), int(0.5 * ey + 0.5), side * (1 - down), side * down, whole[2], whole[3], tap
                ):
                    steep = _steepness(tap)
                    if steep > 0:
                        total += steep
                        n += 1
        if n:
            out[view.lane, window, EDGE] = total / n


@njit(cache=True, nogil=True)
def _reach(view: Any, slope_x: float, slope_y: float) -> tuple[float, float]:
    """Return how far a view's outline reaches from its centre along the belt and across it, in pixels as the lens draws them."""
    a, b = 0.5 * view.major_px, 0.5 * view.minor_px
    ca, sa = np.cos(view.angle_rad), np.sin(view.angle_rad)
    along, across = a * b / np.sqrt((b * ca) ** 2 + (a * sa) ** 2), a * b / np.sqrt((b * sa) ** 2 + (a * ca) ** 2)
    return along * (1.0 + 0.5 * slope_x * slope_x), across * (1.0 + 0.5 * slope_y * slope_y)


@njit(cache=True, nogil=True)
def _taps(
    words: NDArray[np.uint16],
    column: int,
    row: int,
    out_x: int,
    out_y: int,
    blue_row: int,
    blue_shift: int,
    tap: NDArray[np.float64],
) -> bool:
    """Fill ``tap`` with the green of quads from outside inward across an edge at a quad; say whether all lie in the picture."""
    for k in range(_TAPS):
        away = _TAPS // 2 - k
        i, j = column + away * out_x, row + away * out_y
        if not (0 <= i < words.shape[1] and 0 <= 2 * j < len(words) - 1):
            return False
        tap[k] = (words[2 * j + blue_row, i] >> (8 - blue_shift)) & 255
    return True


@njit(cache=True, nogil=True)
def _steepness(tap: NDArray[np.float64]) -> float:
    """Return the sum of the squared differences across an edge, in squares of its whole height; 0 where there is none.

    A step that falls between two samples gives 1, one spread over n of them 1/n: no sub-pixel edge has to be found, and light and
    colour cancel.
    """
    height = (tap[-3] + tap[-2] + tap[-1] - tap[0] - tap[1] - tap[2]) / 3
    if height < _LEAST_STEP:
        return 0.0
    total = 0.0
    for k in range(_TAPS - 1):
        total += (tap[k + 1] - tap[k]) ** 2
    return float(total / (height * height))


@njit(cache=True, nogil=True)
def _remember(region: NDArray[np.float64], seen: NDArray[np.float64]) -> None:
    """Move the means of one camera's regions towards what was seen; a whole number of first samples makes the reference."""
    for lane in range(seen.shape[0]):
        for window in range(seen.shape[1]):
            for what in range(2):
                value, own = seen[lane, window, what], region[lane, window, what]
                if np.isnan(value):
                    continue
                if own[SAMPLES] == 0:
                    own[MEAN] = 0.0
                if own[SAMPLES] < LEARNT:
                    own[SAMPLES] += 1
                    own[MEAN] += (value - own[MEAN]) / own[SAMPLES]
                    if own[SAMPLES] == LEARNT:
                        own[REFERENCE] = own[MEAN]
                else:
                    own[MEAN] += (value - own[MEAN]) / AVERAGED


@njit(cache=True, nogil=True)
def _judge(region: NDArray[np.float64], change: NDArray[np.float64]) -> tuple[int, int, int]:
    """Fill the change of each of `KINDS`; return lane and window of the greatest local one, and how many are over the limit."""
    lanes, windows = region.shape[:2]
    level, edge = np.empty((lanes, windows)), np.empty((lanes, windows))
    for lane in range(lanes):
        for window in range(windows):
            of = region[lane, window]
            level[lane, window] = of[LEVEL, MEAN] / of[LEVEL, REFERENCE] - 1.0
            edge[lane, window] = of[EDGE, MEAN] / of[EDGE, REFERENCE] - 1.0
    common = _median(level)
    change[1], change[2], change[3] = max(-common, 0.0), max(common, 0.0), max(-_median(edge), 0.0)
    worst_lane, worst_window, places = 0, 0, 0
    for lane in range(lanes):
        for window in range(windows):
            local = abs(level[lane, window] - common)
            places += local > LIMIT[0]
            if local > change[0]:
                change[0], worst_lane, worst_window = local, lane, window
    return worst_lane, worst_window, places


@njit(cache=True, nogil=True)
def _median(values: NDArray[np.float64]) -> float:
    """Return the upper median of what is a number; 0 where nothing is."""
    flat, n = values.copy().ravel(), 0
    for value in values.flat:
        if not np.isnan(value):
            flat[n] = value
            n += 1
    known = flat[:n]
    known.sort()
    return float(known[n // 2]) if n else 0.0
