"""Real fruit on the line's own imaging: ``python -m benchmarks.real_images --json [--data DIR]``.

Any folder laid out like the published pictures: sets of ``obj*/im*.png`` on black, with ``ground_truth.txt`` (marked point
pairs) and ``labels.json`` (ends, blemishes, boxes of sound skin) where there are any. Every figure is of real pictures; no scale
is known, so sizes are relative. The only thing assumed is the rollers' turn a picture, one number for all sets.
"""

import argparse
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from benchmarks.real_views import RealSet, RealView, load_sets
from benchmarks.score_views import BLEMISH, CERTAIN, Spot, Tally, score
from benchmarks.spot_views import Looked, look
from citrus_grade.imaging import marks, skin_match, turn, unite
from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.surface import rolled
from citrus_grade.tables import N_SPOTS

ROLLERS_DEG = 20.0
"""Turn a picture that is expected of any set, as rollers of a known ratio would give it."""
_NAMES = {marks.STEM: "stem", marks.STYLAR: "stylar", marks.BLEMISH: BLEMISH}
_KNOWN_COS = 0.5
"""An end told by other views is told for this one too where it lies this much towards the camera."""


class Fruit:
    """One fruit, all its views looked at, turned and fused."""

    def __init__(self, views: dict[int, RealView]) -> None:
        self.index = sorted(views)
        self.views = [views[k] for k in self.index]
        self.looked: list[Looked] = [look(view.mosaic) for view in self.views]
        n = len(self.views)
        self.turns, self.expected = np.zeros((n, 3, 3)), np.zeros((n, 3, 3))
        for k, at in enumerate(self.index):
            rolled(math.radians(ROLLERS_DEG) * (at - self.index[0]), 0.0, 0.0, self.turns[k])
        self.expected[:] = self.turns
        skin, self.score = skin_match.blank_skin(n), np.zeros(max(n - 1, 1))
        for k, seen in enumerate(self.looked):
            skin_match.look(seen.row["skin"], skin, k)
        turn.measure_turns(skin, n, self.turns, self.score)
        self.marks = marks.marks(n)
        self.fuse()

    def fuse(self) -> None:
        """Fuse the spots of all views, as the line does."""
        n = len(self.looked)
        spots = np.array([seen.n for seen in self.looked])
        spot = np.stack([seen.spot for seen in self.looked])
        radius = float(np.nanmedian([seen.row["major_px"] for seen in self.looked])) / 4
        self.n_marks = int(fuse(spots, spot, self.turns, n, radius, self.marks))
        if unite.start(self.marks, self.n_marks, n, radius):
            for k, seen in enumerate(self.looked):
                unite.lay(seen.row["skin"], k, self.turns[k], self.marks)
            unite.unite(self.marks, self.n_marks, n, radius)

    def told(self, k: int) -> tuple[list[Spot], NDArray[np.uint8]]:
        """Return what the fruit's map says of one view: spots, and which pixel belongs to which."""
        seen, spots = self.looked[k], []
        region = np.zeros((len(seen.label) * 2,) * 2, np.uint8)
        for s in range(seen.n):
            mark = self.marks.of[k, s + 1]
            kind = self.marks.kind[mark] if mark >= 0 else marks.NOTHING
            if kind != marks.NOTHING:
                spots.append(Spot(_NAMES[int(kind)], *seen.centre_px(s)))
                region[seen.region(s)] = len(spots)
        for mark in range(self.n_marks):
            kind = int(self.marks.kind[mark])
            if kind in (marks.STEM, marks.STYLAR) and not any(spot.kind == _NAMES[kind] for spot in spots):
                x, y, z = self.turns[k] @ self.marks.where[mark]
                if z > _KNOWN_COS:
                    spots.append(Spot(_NAMES[kind], *(float(v) for v in seen.to_px(x, y))))
        return spots, region

    def on_sphere(self, k: int, x_png: float, y_png: float) -> NDArray[np.float64]:
        """Return where on the unit sphere of a view a point of its picture lies."""
        seen = self.looked[k]
        quads = (np.array(self.views[k].to_tile(x_png, y_png)) - 0.5) / 2 - seen.centre
        disc = np.linalg.solve(seen.root, quads)
        square = float(disc @ disc)
        if square >= 1:
            disc, square = disc / math.sqrt(square), 1.0
        return np.array([*disc, math.sqrt(1 - square)])

    def apart_deg(self, turns: NDArray[np.float64], a: int, b: int, points: tuple[float, float, float, float]) -> float:
        """Return how far turning takes a marked point of view ``a`` from where it was marked in view ``b``."""
        q, p = self.on_sphere(a, *points[:2]), self.on_sphere(b, *points[2:])
        return math.degrees(math.acos(min(max(float((turns[b] @ turns[a].T @ q) @ p), -1.0), 1.0)))


def rotation(pictures: RealSet, fruit: dict[str, Fruit]) -> dict[str, Any]:
    """Return errors against the marked pairs: neighbours, and two steps chained through a point marked in three views."""
    one, plain, two = [], [], []
    places: dict[tuple[str, int], list[tuple[float, float, int, float, float]]] = {}
    for name, a, b, *points in pictures.pairs:
        if name not in fruit or a not in fruit[name].index or b not in fruit[name].index:
            continue
        own, (xa, ya, xb, yb) = fruit[name], points
        i, j = own.index.index(a), own.index.index(b)
        if abs(i - j) == 1:
            one.append(own.apart_deg(own.turns, i, j, (xa, ya, xb, yb)))
            plain.append(own.apart_deg(own.expected, i, j, (xa, ya, xb, yb)))
        for first, last, at, to in ((i, j, (xa, ya), (xb, yb)), (j, i, (xb, yb), (xa, ya))):
            if last == first + 1:
                places.setdefault((name, first), []).append((*at, last, *to))
            elif last == first + 2:
                two.append(own.apart_deg(own.turns, first, last, (*at, *to)))
    for (name, first), marked in places.items():
        for x, y, middle, xm, ym in marked:
            for x2, y2, last, x3, y3 in places.get((name, middle), []):
                if (x2, y2) == (xm, ym):
                    two.append(fruit[name].apart_deg(fruit[name].turns, first, last, (x, y, x3, y3)))
    return {"one": one, "plain": plain, "two": two}


def repeat_pct(fruit: dict[str, Fruit]) -> list[float]:
    """Return, a fruit each, how far the median diameters of its odd and of its even views differ, in percent."""
    out = []
    for one in fruit.values():
        major = np.array([float(seen.row["major_px"]) for seen in one.looked])
        even, odd = np.nanmedian(major[::2]), np.nanmedian(major[1::2])
        out.append(200 * abs(even - odd) / (even + odd))
    return out


def counted(fruit: dict[str, Fruit]) -> tuple[list[float], list[float]]:
    """Return, a fruit each with labelled defects, counted over labelled ones, and the error of the count over the labelled."""
    ratio, error = [], []
    for one in fruit.values():
        labelled = [k for k, view in enumerate(one.views) if view.labels is not None]
        ids = {mark["id"] for k in labelled for mark in (one.views[k].labels or {})["blemishes"] if mark["confidence"] >= CERTAIN}
        if not ids:
            continue
        told = {int(mark) for k in labelled for mark in one.marks.of[k, 1 : N_SPOTS + 1] if mark >= 0}
        n = sum(int(one.marks.kind[mark]) == marks.BLEMISH for mark in told)
        ratio.append(n / len(ids))
        error.append(abs(n - len(ids)) / len(ids))
    return ratio, error


def measure(images: Path) -> dict[str, Any]:
    """Measure every set of a folder."""
    out: dict[str, Any] = {"rotation_median_deg": {}, "rotation_p90_deg": {}, "rotation_fixed_median_deg": {}, "n": {}}
    total, mandarins = Tally(), Tally()
    two, repeats, ratios, errors = [], [], [], []
    for pictures in load_sets(images):
        fruit = {name: Fruit(views) for name, views in pictures.views.items()}
        short = pictures.name.removesuffix("-views") + "s"
        turned = rotation(pictures, fruit)
        if turned["one"]:
            out["rotation_median_deg"][short] = float(np.median(turned["one"]))
            out["rotation_p90_deg"][short] = float(np.percentile(turned["one"], 90))
            out["rotation_fixed_median_deg"][short] = float(np.median(turned["plain"]))
        out["n"][short] = {"fruit": len(fruit), "pairs": len(turned["one"]), "views": sum(len(f.views) for f in fruit.values())}
        two += turned["two"]
        repeats += repeat_pct(fruit)
        tally = score((view, *one.told(k)) for one in fruit.values() for k, view in enumerate(one.views))
        out["n"][short]["labelled_views"] = tally.views
        out.setdefault("by_set", {})[short] = tally.rates()
        for into in (total, mandarins) if short == "mandarins" else (total,):
            add(into, tally)
        ratio, error = counted(fruit)
        ratios, errors = ratios + ratio, errors + error
        print(f"{short}: {out['n'][short]}", flush=True)
    rates = total.rates()
    rates["false_blemish_pct"] = mandarins.rates()["false_blemish_pct"]
    out |= rates
    out["rotation_2step_median_deg"] = _median(two)
    out["diameter_repeat_pct"] = float(np.mean(repeats)) if repeats else None
    out["defects_per_fruit_ratio"], out["defects_per_fruit_mae_rel"] = _median(ratios), float(np.mean(errors)) if errors else None
    out["n"] |= {"two_step_pairs": len(two), "fruit_with_defects": len(ratios)}
    return out


def add(into: Tally, more: Tally) -> None:
    """Add one tally to another."""
    for counts, own in ((into.hit, more.hit), (into.miss, more.miss), (into.false, more.false)):
        for kind in counts:
            counts[kind] += own[kind]
    into.sound_px, into.flagged_px, into.views = (
        into.sound_px + more.sound_px,
        into.flagged_px + more.flagged_px,
        into.views + more.views,
    )


def _median(values: list[float]) -> float | None:
    return float(np.median(values)) if values else None


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CITRUS_GRADE_DATA", "../shared/data")))
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    images = options.data / "images" if (options.data / "images").is_dir() else options.data
    if not images.is_dir():
        parser.error(f"{images}: there is no such folder; give the folder of pictures with --data")
    figures = _plain(measure(images)) | {"ran_on": machine()}
    for key, value in figures.items():
        print(f"{key}: {value}")
    if options.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
