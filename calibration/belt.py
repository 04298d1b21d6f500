"""Where lanes and cups lie, from frames of the empty running belt.

Rollers travel and differ along the belt, dividers do neither: rows that are alike in every column lie between lanes. What comes
by once a pitch, at the same tick of every cup, is the cups' own pattern; fruit lies in its dark gap between two rollers.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import refuse
from citrus_grade.calibration.grey import Grey
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_FRAMES = 8
SEARCH = 0.35
"""How far from its place, in lane widths, an edge is looked for."""
QUIET = 0.6
"""A divider's rows vary at most by this share of what the rollers' rows beside it do."""
WIDEST = 0.45
"""Share of a lane that a divider may be wide."""
HARMONICS = 6
LOCKED = 0.8
"""How well a pattern keeps step with the cups, 0..1: one that keeps less is the rollers' own."""


@dataclass(frozen=True, slots=True, eq=False)
class BeltFrame:
    """A frame as `grey_of` and `straighten` leave it, and how far (n_lanes,) its cups are ahead of their stations, in pitches."""

    grey: Grey
    ahead_cups: Floats


@dataclass(frozen=True, slots=True, eq=False)
class BeltFit:
    """An empty belt as measured: ``lane_y_px`` (n_lanes,), and whether both edges of a lane are in the picture, ``bounding`` it;
    ``edges_px`` of the dividers found, in order; ``ahead_px`` (n_lanes,) how far the cups are ahead of where they were thought to
    be, NaN where nothing marks them, and its standard error; ``liveliness`` (height,) how much each row varies, in counts."""

    lane_y_px: Floats
    bounding: NDArray[np.bool_]
    edges_px: Floats
    ahead_px: Floats
    ahead_sigma_px: Floats
    liveliness: Floats
    frames: int


def fit_belt(where: str, frames: Iterable[BeltFrame], lane_y_px: Floats, window_x_px: float, pitch_px: float) -> BeltFit:
    """Find the lanes' edges and the cups.

    Parameters
    ----------
    where : the camera, for messages. lane_y_px : (n_lanes,) where the lanes were thought to be. window_x_px : middle of window 0.

    Raises
    ------
    CalibrationError : too few frames, or edges that are not found, with the lanes and rows.
    """
    order = np.argsort(lane_y_px)
    thought = np.asarray(lane_y_px, np.float64)[order]
    variance, patterns = [], []
    for frame in frames:
        variance.append(_variance(frame.grey, pitch_px))
        patterns.append(_patterns(frame, lane_y_px, window_x_px, pitch_px))
    if len(variance) < LEAST_FRAMES:
        text = _("{where}: {n} frames of the empty belt; at least {least} are needed: let it run longer")
        refuse([text.format(where=where, n=len(variance), least=LEAST_FRAMES)])
    lively = np.sqrt(np.mean(variance, axis=0))
    edges = _edges(where, lively, thought, order)
    middles, bounding = np.empty(len(thought)), np.empty(len(thought), np.bool_)
    bounding[order] = np.isfinite(edges[1:] + edges[:-1])
    middles[order] = _middles(edges, _width(thought, len(lively)))
    ahead_px, sigma_px = _phase(np.array(patterns), pitch_px)
    return BeltFit(middles, bounding, edges[np.isfinite(edges)], ahead_px, sigma_px, lively, len(variance))


def _variance(grey: Grey, pitch_px: float) -> Floats:
    """Return how much each row varies along the belt within a pitch."""
    box = 2 * round(pitch_px / 2) + 1
    rough = grey - cv2.blur(grey, (box, 1), borderType=cv2.BORDER_REFLECT)
    return np.asarray(np.square(rough).mean(axis=1), np.float64)


def _width(thought: Floats, height_px: int) -> float:
    return float(np.median(np.diff(thought))) if len(thought) > 1 else height_px / 2


def _edges(where: str, lively: Floats, thought: Floats, order: NDArray[np.int_]) -> Floats:
    """Return the middle of the divider above, between and below the lanes; NaN for an outer one that is out of the picture."""
    width = _width(thought, len(lively))
    places = np.array([thought[0] - width / 2, *(thought[1:] + thought[:-1]) / 2, thought[-1] + width / 2])
    edges = np.full(len(places), np.nan)
    problems = []
    for k, place in enumerate(places):
        low, high = round(place - SEARCH * width), round(place + SEARCH * width)
        outer = k in (0, len(places) - 1)
        if outer and len(thought) > 1 and not (low >= 0 and high < len(lively)):
            continue
        beside = [lively[int(y - 0.1 * width) : int(y + 0.1 * width) + 1] for y in thought[max(k - 1, 0) : k + 1]]
        plateau = float(np.median(np.concatenate(beside)))
        edges[k] = _divider(lively, max(low, 0), min(high, len(lively) - 1), plateau, WIDEST * width)
        if np.isnan(edges[k]) and (len(thought) == 1 or not outer):
            names = " / ".join(str(order[i]) for i in (k - 1, k) if 0 <= i < len(order))
            text = _(
                "{where}: no edge of lane {lanes} is found in rows {low} to {high}: was the belt empty and running, is the"
                " divider clean, and is lane_y_px right within a third of a lane?"
            )
            problems.append(text.format(where=where, lanes=names, low=low, high=high))
    refuse(problems)
    return edges


def _divider(lively: Floats, low: int, high: int, plateau: float, widest: float) -> float:
    """Return the middle of the quietest rows between two, between its half levels; NaN if they are not quiet or too many."""
    quietest = low + int(np.argmin(lively[low : high + 1]))
    least = float(lively[quietest])
    if not least < QUIET * plateau:
        return np.nan
    half = (least + plateau) / 2
    ends = []
    for step in (-1, 1):
        y = quietest
        while 0 < y < len(lively) - 1 and lively[y] < half:
            y += step
        if lively[y] < half:
            return np.nan
        inner = lively[y - step]
        ends.append(y - step * (lively[y] - half) / (lively[y] - inner))
    return float(np.mean(ends)) if ends[1] - ends[0] <= widest else np.nan


def _middles(edges: Floats, width: float) -> Floats:
    """Return the lanes' middles; an outer lane whose far edge is out of the picture is as wide as the others."""
    known = np.flatnonzero(np.isfinite(edges))
    slope = np.polyfit(known, edges[known], 1)[0] if len(known) > 1 else width
    full = edges.copy()
    for k in (0, len(edges) - 1):
        if np.isnan(full[k]):
            near = 1 if k == 0 else len(edges) - 2
            full[k] = full[near] + (k - near) * slope
    return np.asarray((full[1:] + full[:-1]) / 2)


def _patterns(frame: BeltFrame, lane_y_px: Floats, window_x_px: float, pitch_px: float) -> NDArray[np.complex128]:
    """Return what repeats within a pitch, (n_lanes, HARMONICS): each lane's Fourier coefficients over its cups' own places."""
    height, width = frame.grey.shape
    half = max(int(0.2 * float(np.min(np.diff(np.sort(lane_y_px)))) if len(lane_y_px) > 1 else height // 8), 2)
    out = np.empty((len(lane_y_px), HARMONICS), np.complex128)
    whole = int(width // pitch_px * pitch_px)
    for lane, y in enumerate(lane_y_px):
        line = frame.grey[max(round(y) - half, 0) : round(y) + half].mean(axis=0, dtype=np.float64)[:whole]
        place = (np.arange(whole) - window_x_px) / pitch_px - frame.ahead_cups[lane]
        out[lane] = [np.mean((line - line.mean()) * np.exp(-2j * np.pi * m * place)) for m in range(1, HARMONICS + 1)]
    return out


def _phase(patterns: NDArray[np.complex128], pitch_px: float) -> tuple[Floats, Floats]:
    """Return how far ahead the dark gap nearest to each lane's cups is, in px, and its standard error; NaN if nothing repeats.

    ``patterns`` (n_frames, n_lanes, HARMONICS).
    """
    n, lanes, _harmonics = patterns.shape
    mean = patterns.mean(axis=0)
    step = np.abs(mean) / np.maximum(np.abs(patterns).mean(axis=0), 1e-12)
    ahead, sigma = np.full(lanes, np.nan), np.full(lanes, np.nan)
    strength = np.where(step > LOCKED, np.abs(mean), 0.0)
    m = int(np.argmax(np.median(strength, axis=0)))  # the same pattern in all lanes
    for lane in np.flatnonzero(strength[:, m] > 0):
        dark = ((np.pi - np.angle(mean[lane, m])) / (2 * np.pi) + 0.5) % 1.0 - 0.5
        ahead[lane] = dark / (m + 1) * pitch_px
        off = np.angle(patterns[:, lane, m] / mean[lane, m]).std() / np.sqrt(n)
        sigma[lane] = off / (2 * np.pi * (m + 1)) * pitch_px
    return ahead, sigma
