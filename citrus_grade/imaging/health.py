"""The watch over lens and light: does a camera still see what it saw when the line was set up?

Two things are taken from every frame, in every window of every lane, from some dozen pixels each:

- the level of the gap beside the lane. Fruit never hides it, so it tells of the light. It is dark: a veil of a hundredth of the
  light that dirt spreads over the lens makes it brighter by some hundredths.
- how steeply a fruit's outline rises, which light does not change, but the lens's focus does.

Both are averaged for a while and held against their own first averages. What changes everywhere is light or focus, what changes
in one place is dirt on the lens.
"""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.geometry import bent, locate
from citrus_grade.imaging.scene import Scene
from citrus_grade.tables import FRUIT_SEEN

LEVEL, EDGE = range(2)
"""What is watched, in the order of `tables.CLARITY`."""
MEAN, REFERENCE, SAMPLES = range(3)
"""What is remembered of each."""
KINDS = ("lens_dirty", "light_low", "light_drift", "focus_soft")
"""Kinds of alarm: one place differs; less light; more light, or a veil over the whole lens; outlines are softer."""
LEARNT = 256
"""Samples of a place that make its reference."""
AVERAGED = 128
"""Samples over which a mean forgets."""
LIMIT = np.array([0.06, 0.05, 0.05, 0.08])
"""Relative change from which on each of `KINDS` is told. It ends, and may be told again, when half of the change has gone."""

_COLUMNS = 16
_TAPS = 10
_LEAST_STEP = 20.0


def nothing_yet(config: LineConfig) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the memory of a line that has seen nothing.

    Returns
    -------
    (n_cameras, n_lanes, n_windows, 2, 3) `MEAN`, `REFERENCE` and `SAMPLES` of `LEVEL` and `EDGE`; (n_cameras, 4) which of `KINDS`
    stand.
    """
    windows = max((camera.windows for camera in config.camera), default=0)
    memory = np.full((len(config.camera), config.line.lanes, windows, 2, 3), np.nan)
    memory[..., SAMPLES] = 0
    return memory, np.zeros((len(config.camera), len(KINDS)), np.bool_)


def gaps(camera: CameraSection, optics: NDArray[np.float64], lane_y_px: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return where the level is taken: row of the mosaic and word in it of quads spread over a window's length of the gap
    between a lane and the nearest other one, of a single lane half a pitch beside its middle; -1 outside the picture.

    Returns
    -------
    (n_lanes, n_windows, n_quads, 2)
    """
    y = np.array([_gap_px(lane, lane_y_px, optics[0]) for lane in range(len(lane_y_px))])
    window = np.arange(camera.windows)[:, None] - 0.5 + (np.arange(_COLUMNS) + 0.5) / _COLUMNS
    out = np.full((len(y), *window.shape, 2), -1)
    for at in np.ndindex(out.shape[:3]):
        away_x, away_y = optics[1] + optics[0] * window[at[1:]] - optics[2], y[at[0]] - optics[3]
        bend = bent(away_x, away_y, optics)[0]
        row, word = int(0.5 * (optics[3] + bend * away_y)), int(0.5 * (optics[2] + bend * away_x))
        if 0 <= row < camera.height_px // 2 and 0 <= word < camera.width_px // 2:
            out[at] = 2 * row, word
    return out


def _gap_px(lane: int, lane_y_px: NDArray[np.float64], pitch_px: float) -> float:
    others = np.delete(lane_y_px, lane)
    if not len(others):
        return float(lane_y_px[lane] + 0.5 * pitch_px)
    return float(0.5 * (lane_y_px[lane] + others[np.argmin(np.abs(others - lane_y_px[lane]))]))


@njit(cache=True, nogil=True)
def look(
    words: NDArray[np.uint16],
    tick: int,
    offset: int,
    scene: Scene,
    gap: NDArray[np.int64],
    rows: Any,
    out: Any,
) -> None:
    """Fill ``out`` (n_lanes, n_windows) of `tables.CLARITY` with what one frame shows of lens and light, NaN where nothing can be
    measured.

    Parameters
    ----------
    gap : see `gaps`. rows : `tables.VIEW`, what the kernel measured in the frame. All others: see `kernel.measure_frame`.
    """
    _levels(words, gap, out)
    optics, whole, tap = scene.optics, scene.whole, np.empty(_TAPS)
    for i in range(len(rows)):
        view = rows[i]
        if view.state == FRUIT_SEEN:
            _, ahead, unit = locate(tick, offset, scene.station_milli[view.lane], scene.num, scene.den)
            window = view.view_index - whole[6]
            away_x, away_y = optics[1] + (window + ahead / unit) * optics[0] - optics[2], scene.lane_y_px[view.lane] - optics[3]
            out[view.lane, window].edge = _steepness(words, (away_x, away_y), optics, (whole[2], 8 - whole[3]), view, tap)


@njit(cache=True, nogil=True)
def _levels(words: NDArray[np.uint16], gap: NDArray[np.int64], out: Any) -> None:
    """Fill ``level`` with the mean of the middle half of the quads of each gap."""
    total = np.empty(_COLUMNS, np.int64)
    for lane in range(gap.shape[0]):
        for window in range(gap.shape[1]):
            out[lane, window].level = out[lane, window].edge = np.nan
            at = gap[lane, window]
            if at.min() < 0:
                continue
            for n in range(_COLUMNS):
                a, b = words[at[n, 0], at[n, 1]], words[at[n, 0] + 1, at[n, 1]]
                own, k = np.int64((a & 255) + (a >> 8) + (b & 255) + (b >> 8)), n
                while k > 0 and total[k - 1] > own:
                    total[k] = total[k - 1]
                    k -= 1
                total[k] = own
            middle = 0
            for k in range(_COLUMNS // 4, _COLUMNS - _COLUMNS // 4):
                middle += total[k]
            out[lane, window].level = 2 * middle / _COLUMNS


@njit(cache=True, nogil=True)
def _steepness(
    words: NDArray[np.uint16],
    away: tuple[float, float],
    optics: NDArray[np.float64],
    green: tuple[int, int],
    view: Any,
    tap: NDArray[np.float64],
) -> float:
    """Return how steep a fruit's outline is at the four ends of its extent along and across the belt, NaN where it cannot be
    seen.

    Parameters
    ----------
    away : the cup's middle against the optical axis, in px of a lens that does not bend. green : row and shift of a green pixel
    of a quad. view : one `tables.VIEW`. tap : room for `_TAPS` values.
    """
    bend, stretch = bent(away[0], away[1], optics)
    x, y = optics[2] + bend * (away[0] + view.x_px), optics[3] + bend * (away[1] + view.y_px)
    a, b, ca, sa = 0.5 * view.major_px, 0.5 * view.minor_px, np.cos(view.angle_rad), np.sin(view.angle_rad)
    more = (stretch - 1.0) / (away[0] * away[0] + away[1] * away[1] + 1e-9)
    along = bend * (1.0 + more * away[0] * away[0]) * a * b / np.sqrt((b * ca) ** 2 + (a * sa) ** 2)
    across = bend * (1.0 + more * away[1] * away[1]) * a * b / np.sqrt((b * sa) ** 2 + (a * ca) ** 2)
    total, n = 0.0, 0
    for end in range(4):
        out_x, out_y = (1 - 2 * end, 0) if end < 2 else (0, 5 - 2 * end)
        column, row = int(0.5 * (x + out_x * along) + 0.25), int(0.5 * (y + out_y * across) + 0.25)
        if _taps(words, column, row, out_x, out_y, green, tap):
            own = _rise(tap)
            total, n = total + own, n + (own > 0)
    return total / n if n else np.nan


@njit(cache=True, nogil=True)
def _taps(
    words: NDArray[np.uint16], column: int, row: int, out_x: int, out_y: int, green: tuple[int, int], tap: NDArray[np.float64]
) -> bool:
    """Fill ``tap`` with the green of quads from outside inward across an edge; say whether all lie in the picture."""
    for k in range(_TAPS):
        away = _TAPS // 2 - k
        i, j = column + away * out_x, row + away * out_y
        if not (0 <= i < words.shape[1] and 0 <= j < len(words) // 2):
            return False
        tap[k] = (words[2 * j + green[0], i] >> green[1]) & 255
    return True


@njit(cache=True, nogil=True)
def _rise(tap: NDArray[np.float64]) -> float:
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
def watch(memory: NDArray[np.float64], told: NDArray[np.bool_], clarity: Any, turned: NDArray[np.int8]) -> tuple[int, int]:
    """Take what a frame showed into a camera's memory; fill ``turned`` (4,) with 1 of `KINDS` that begin to stand, -1 that end.

    Parameters
    ----------
    memory, told : one camera's of `nothing_yet`, written in place. clarity : (n_lanes, n_windows) that `look` filled.

    Returns
    -------
    Lane and window that differ most from the rest.
    """
    lanes, windows = clarity.shape
    level, edge = np.full(lanes * windows, np.nan), np.full(lanes * windows, np.nan)
    for lane in range(lanes):
        for window in range(windows):
            at, seen = lane * windows + window, clarity[lane, window]
            level[at] = _remember(memory[lane, window, LEVEL], seen.level)
            edge[at] = _remember(memory[lane, window, EDGE], seen.edge)
    common = _median(level)
    worst = 0
    for at in range(len(level)):
        if abs(level[at] - common) > abs(level[worst] - common) or np.isnan(level[worst]):
            worst = at
    change = (abs(level[worst] - common), -common, common, -_median(edge))
    for kind in range(len(change)):
        stands = change[kind] > (0.5 * LIMIT[kind] if told[kind] else LIMIT[kind])
        turned[kind] = np.int8(stands) - np.int8(told[kind])
        told[kind] = stands
    return worst // windows, worst % windows


@njit(cache=True, nogil=True)
def _remember(own: NDArray[np.float64], value: float) -> float:
    """Move a mean towards what was seen, if it was; a number of first samples makes the reference. Return the relative change."""
    if not np.isnan(value):
        if own[SAMPLES] == 0:
            own[MEAN] = 0.0
        own[SAMPLES] = min(own[SAMPLES] + 1, LEARNT + 1)
        own[MEAN] += (value - own[MEAN]) / (own[SAMPLES] if own[SAMPLES] <= LEARNT else AVERAGED)
        if own[SAMPLES] == LEARNT:
            own[REFERENCE] = own[MEAN]
    return float(own[MEAN] / own[REFERENCE] - 1.0)


@njit(cache=True, nogil=True)
def _median(values: NDArray[np.float64]) -> float:
    """Return the median of what is a number; 0 where nothing is."""
    known = values[~np.isnan(values)]
    known.sort()
    return 0.5 * float(known[(len(known) - 1) // 2] + known[len(known) // 2]) if len(known) else 0.0
