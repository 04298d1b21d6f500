"""Spots found in labelled real views against their labels: ends told apart, blemishes one by one, sound skin left alone.

A folder's labels are ellipses by eye, so a blemish is found when its centre is hit or a fair part of it overlaps; what the labels
call doubtful, and what lies at the limb or inside an end, counts neither way.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_views import RealView

ENDS = ("stem", "stylar")
BLEMISH = "blemish"
END_PX = 8.0
"""An end is found when its centre is told within this of the label's."""
END_REACH = 1.2
"""Labelled radii of ends are good to a fifth: nothing nearer to an end than this many radii is a blemish."""
CERTAIN = 0.6
"""Confidence from which a labelled blemish must be found."""
OVERLAP = 0.2
"""Intersection over union from which a region is the labelled one."""


@dataclass(frozen=True, slots=True)
class Spot:
    """What was found: ``kind`` is stem, stylar or blemish; the centre in tile pixels."""

    kind: str
    x_px: float
    y_px: float


@dataclass(slots=True)
class Tally:
    """Counts over views: per kind what was found rightly, missed and told falsely, and pixels of sound skin called blemish."""

    hit: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*ENDS, BLEMISH), 0))
    miss: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*ENDS, BLEMISH), 0))
    false: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*ENDS, BLEMISH), 0))
    sound_px: int = 0
    flagged_px: int = 0
    views: int = 0

    def rates(self) -> dict[str, float]:
        """Return recall and precision of every kind and the share of sound skin called blemish, in percent."""
        out = {}
        for kind in self.hit:
            out[f"{kind}_recall"] = _share(self.hit[kind], self.miss[kind])
            out[f"{kind}_precision"] = _share(self.hit[kind], self.false[kind])
        out["false_blemish_pct"] = 100 * self.flagged_px / self.sound_px if self.sound_px else float("nan")
        return out


def _share(good: int, bad: int) -> float:
    return good / (good + bad) if good + bad else float("nan")


def score(views: Iterable[tuple[RealView, Sequence[Spot], NDArray[np.uint8]]]) -> Tally:
    """Score views, those without labels left out.

    Parameters
    ----------
    views : of each view its picture, its spots, and (tile, tile) which pixel belongs to which: one more than the spot's place
        in the list, 0 on sound skin.
    """
    tally = Tally()
    for view, spots, region in views:
        if view.labels is not None:
            tally.views += 1
            for kind in ENDS:
                _score_end(view, kind, [s for s in spots if s.kind == kind], tally)
            _score_blemishes(view, spots, region, tally)
            _score_sound(view, spots, region, tally)
    return tally


def _score_end(view: RealView, kind: str, spots: list[Spot], tally: Tally) -> None:
    assert view.labels is not None
    label = view.labels[kind]
    away_px = [_away_px(view, label, spot) for spot in spots] if label else []
    if label and label["limb"]:
        tally.false[kind] += sum(away > END_PX + label["r"] for away in away_px)
        return
    hit = bool(label) and min(away_px, default=np.inf) <= END_PX
    tally.hit[kind] += hit
    tally.miss[kind] += bool(label) and not hit
    tally.false[kind] += len(spots) - hit


def _away_px(view: RealView, label: dict[str, Any], spot: Spot) -> float:
    x, y = view.to_tile(label["x"], label["y"])
    return float(np.hypot(spot.x_px - x, spot.y_px - y))


def _score_blemishes(view: RealView, spots: Sequence[Spot], region: NDArray[np.uint8], tally: Tally) -> None:
    assert view.labels is not None
    ends = [view.labels[kind] for kind in ENDS if view.labels[kind]]
    certain = [mark for mark in view.labels["blemishes"] if mark["confidence"] >= CERTAIN and not _inside_end(mark, ends)]
    doubtful = [mark for mark in view.labels["blemishes"] if mark["confidence"] < CERTAIN] + view.labels["ignore"]
    told = [k for k, spot in enumerate(spots) if spot.kind == BLEMISH]
    pairs = [[_is(view, mark, spots[k], region == k + 1) for mark in certain] for k in told]
    taken = _match(pairs)
    tally.hit[BLEMISH] += len(taken)
    tally.miss[BLEMISH] += len(certain) - len(taken)
    for place, k in enumerate(told):
        if place not in taken.values():
            excused = any(_is(view, mark, spots[k], region == k + 1) for mark in doubtful)
            excused |= any(_away_px(view, end, spots[k]) <= END_REACH * end["r"] for end in ends)
            tally.false[BLEMISH] += not excused


def _inside_end(mark: dict[str, Any], ends: list[dict[str, Any]]) -> bool:
    return any(np.hypot(mark["x"] - end["x"], mark["y"] - end["y"]) <= end["r"] for end in ends)


def _ellipse(view: RealView, mark: dict[str, Any], x: Any, y: Any) -> Any:
    """Say which tile pixels lie in a labelled ellipse."""
    px, py = view.to_png(x, y)
    angle = np.radians(mark["angle_deg"])
    dx, dy = px - mark["x"], py - mark["y"]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return (along / mark["rx"]) ** 2 + (across / mark["ry"]) ** 2 <= 1


def _is(view: RealView, mark: dict[str, Any], spot: Spot, region: NDArray[np.bool_]) -> bool:
    """Say whether a spot is the labelled mark: one holds the other's centre, or they overlap."""
    if _ellipse(view, mark, spot.x_px, spot.y_px):
        return True
    x, y = (round(float(v)) for v in view.to_tile(mark["x"], mark["y"]))
    if 0 <= y < len(region) and 0 <= x < len(region) and region[y, x]:
        return True
    rows, columns = np.mgrid[: len(region), : len(region)]
    ellipse = _ellipse(view, mark, columns, rows)
    union = np.count_nonzero(ellipse | region)
    return bool(np.count_nonzero(ellipse & region) > OVERLAP * union)


def _match(pairs: list[list[bool]]) -> dict[int, int]:
    """Return the largest one-to-one match, column to row (Kuhn's augmenting paths)."""
    taken: dict[int, int] = {}

    def place(row: int, tried: set[int]) -> bool:
        for column, fits in enumerate(pairs[row]):
            if fits and column not in tried:
                tried.add(column)
                if column not in taken or place(taken[column], tried):
                    taken[column] = row
                    return True
        return False

    for row in range(len(pairs)):
        place(row, set())
    return taken


def _score_sound(view: RealView, spots: Sequence[Spot], region: NDArray[np.uint8], tally: Tally) -> None:
    assert view.labels is not None
    blemish = np.array([False, *(spot.kind == BLEMISH for spot in spots)])[region]
    for box in view.labels["sound_boxes"]:
        x, y = view.to_tile(np.array([box["x0"], box["x1"]]), np.array([box["y0"], box["y1"]]))
        part = blemish[int(y.min()) : int(y.max()), int(x.min()) : int(x.max())]
        tally.sound_px += part.size
        tally.flagged_px += int(np.count_nonzero(part))
