"""Grow the forest that says what a spot may be: ``python -m benchmarks.learn_spots --data DIR [--write]``.

It learns from labelled real views (any folder laid out like the published ones) and from SIMULATED fruit, and prints how well
each fruit's spots are told by a forest that has not seen that fruit. Only numbers of trees are written, no picture.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.real_views import RealView, load_sets
from benchmarks.score_views import CERTAIN, END_PX, Spot, _is
from benchmarks.spot_views import Looked, look
from citrus_grade.config import parse
from citrus_grade.drivers.sim.belt import CUP_SINGLE, poses
from citrus_grade.drivers.sim.plant import SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.report.geometry import place_of
from citrus_grade.runtime.session import open_plant
from citrus_grade.tables import FRUIT_SEEN, SPOT_X, SPOT_Y
from citrus_grade.templates import LINE

SOUND, STEM, STYLAR, BLEMISH, UNKNOWN = range(5)
TREES, DEPTH, LEAST_LEAF = 48, 10, 3
SIMULATED_WEIGHT = 0.5
OUT = Path("citrus_grade/imaging/spots.npz")


@dataclass(frozen=True, slots=True)
class Sample:
    """One spot: its features, what it is, whose fruit's it is, and how much it counts."""

    feature: NDArray[np.float32]
    kind: int
    fruit: str
    weight: float


def real_samples(images: Path) -> Iterator[Sample]:
    """Yield the spots of labelled real views."""
    for pictures in load_sets(images):
        for fruit, views in pictures.views.items():
            for view in views.values():
                if view.labels is not None:
                    looked = look(view.mosaic)
                    for k in range(looked.n):
                        yield Sample(looked.features[k], real_kind(view, looked, k), f"{pictures.name}/{fruit}", 1.0)


def real_kind(view: RealView, looked: Looked, k: int) -> int:
    """Say what a spot is by the view's labels."""
    assert view.labels is not None
    x, y = looked.centre_px(k)
    for kind, name in ((STEM, "stem"), (STYLAR, "stylar")):
        label = view.labels[name]
        if label is not None:
            away = float(np.hypot(*(np.array(view.to_tile(label["x"], label["y"])) - (x, y))))
            if away <= max(END_PX, 0.4 * label["r"]):
                return kind
            if away <= 1.2 * label["r"]:
                return UNKNOWN
    spot, region = Spot("blemish", x, y), looked.region(k)
    if any(mark["confidence"] >= CERTAIN and _is(view, mark, spot, region) for mark in view.labels["blemishes"]):
        return BLEMISH
    doubtful = [mark for mark in view.labels["blemishes"] if mark["confidence"] < CERTAIN] + view.labels["ignore"]
    return UNKNOWN if any(_is(view, mark, spot, region) for mark in doubtful) else SOUND


def simulated_samples(seed: int, seconds: float, px_per_mm: float) -> Iterator[Sample]:
    """Yield the spots of simulated fruit, what each is by the simulator's truth."""
    config = parse(line_text(px_per_mm))
    camera = config.camera[0]
    plant = open_plant(config, seed=seed, seconds=seconds)
    assert isinstance(plant, SimPlant)
    eye, table = Imager.of(config, camera), plant.table
    for frame in (message for message in plant.messages() if isinstance(message, Frame)):
        for row in eye(frame).rows:
            lane, cup = int(row["lane"]), int(row["cup"])
            if row["state"] != FRUIT_SEEN or not 0 <= cup < table.shape[1] or table[lane, cup]["load"] != CUP_SINGLE:
                continue
            place = place_of(eye, frame.tick, 0, lane, cup)
            i, j = (max(round(at / 2) * 2 - camera.tile_px // 2, 0) for at in (place.x_px, place.y_px))
            tile = np.ascontiguousarray(frame.mosaic[j : j + camera.tile_px, i : i + camera.tile_px])
            if tile.shape != (camera.tile_px, camera.tile_px):
                continue
            looked = look(tile)
            travelled = np.array([frame.tick / float(config.encoder.ratio) - cup])
            pose = poses(table[lane, cup : cup + 1], 0, travelled)[0]
            for k in range(looked.n):
                kind = simulated_kind(table[lane, cup]["fruit"], pose, looked.spot[k, [SPOT_X, SPOT_Y]], row)
                yield Sample(looked.features[k], kind, f"simulated/{seed}-{lane}-{cup}", SIMULATED_WEIGHT)


def simulated_kind(fruit: np.void, pose: NDArray[np.float64], at: NDArray[np.float32], row: np.void) -> int:
    """Say what a spot at a place of the disc is by a fruit's truth: the mark there that faces the camera."""
    semi = np.array([fruit["diameter_mm"], fruit["diameter_mm"], fruit["height_mm"]]) / 2
    n = int(fruit["n_blemishes"])
    directions = [np.array([0, 0, 1.0]), np.array([0, 0, -1.0]), *fruit["blemish_direction"][:n]]
    reach_mm = [
        fruit["stem_radius_mm"],
        fruit["stylar_radius_mm"],
        *(fruit["blemish_radius_mm"][:n] * fruit["blemish_aspect"][:n] ** 0.5),
    ]
    kinds = [STEM, STYLAR, *[BLEMISH] * n]
    sight = np.array([-row["sight_x"], -row["sight_y"], 1.0])
    sight /= np.linalg.norm(sight)
    turn, slim = float(row["angle_rad"]), float(row["minor_px"] / row["major_px"])
    for direction, reach, kind in zip(directions, reach_mm, kinds, strict=True):
        point = pose @ (direction / np.linalg.norm(direction / semi))
        if point @ sight < 0.25 * semi[0]:
            continue
        flat = (point - (point @ sight) * sight)[:2]
        c, s = np.cos(turn), np.sin(turn)
        along, across = flat @ (c, s) / semi[0], flat @ (-s, c) / (semi[0] * slim)
        disc = np.array([along * c - across * s, along * s + across * c])
        if np.linalg.norm(disc - at) < 0.07 + 1.1 * reach / semi[0]:
            return kind
    return SOUND


def line_text(px_per_mm: float) -> str:
    """Return the template's line at another scale."""
    factor = px_per_mm / 1.28
    text = LINE.read_text(encoding="utf-8")
    for name, value in (("width_px", 1024), ("height_px", 768), ("window_x_px", 64), ("tile_px", 128)):
        text = text.replace(f"{name} = {value}", f"{name} = {round(value * factor)}")
    lanes = [round((64 + 128 * k) * factor) for k in range(6)]
    text = text.replace("lane_y_px = [64, 192, 320, 448, 576, 704]", f"lane_y_px = {lanes}")
    return text.replace("px_per_mm = 1.28", f"px_per_mm = {px_per_mm}")


def grow(samples: list[Sample], seed: int = 0) -> ExtraTreesClassifier:
    """Grow a forest on what is known."""
    known = [s for s in samples if s.kind != UNKNOWN]
    kinds = np.array([s.kind for s in known])
    # Rare kinds count more, by the root of how rare they are.
    rarity = np.sqrt(len(kinds) / np.bincount(kinds, minlength=4)[kinds])
    weights = np.array([s.weight for s in known]) * rarity
    trees = ExtraTreesClassifier(TREES, max_depth=DEPTH, min_samples_leaf=LEAST_LEAF, bootstrap=True, random_state=seed)
    return trees.fit(np.stack([s.feature for s in known]), kinds, sample_weight=weights)


def write(trees: ExtraTreesClassifier, path: Path) -> None:
    """Write a forest as the program walks it: a node's two children side by side, a leaf leading to itself."""
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("feature", "threshold", "low", "chance")}
    roots, start = [], 0
    classes = trees.classes_.tolist()
    for tree in (estimator.tree_ for estimator in trees.estimators_):
        order, low = [0], []  # old numbers of the nodes in their new order, level by level; new number of each one's first child
        for at in order:
            leaf = tree.children_left[at] < 0
            low.append(order.index(at) if leaf else len(order))
            order += [] if leaf else [tree.children_left[at], tree.children_right[at]]
        leaf = tree.children_left[order] < 0
        share = tree.value[order, 0] / tree.value[order, 0].sum(axis=1, keepdims=True)
        roots.append(start)
        parts["feature"].append(np.where(leaf, 0, tree.feature[order]).astype(np.uint8))
        parts["threshold"].append(np.where(leaf, np.inf, tree.threshold[order]).astype(np.float32))
        parts["low"].append(np.array(low, np.uint32) + np.uint32(start))
        parts["chance"].append(np.stack([share[:, classes.index(k)] for k in (STEM, STYLAR, BLEMISH)], axis=1).astype(np.float32))
        start += len(order)
    depth = np.array([max(estimator.tree_.max_depth for estimator in trees.estimators_)])
    arrays = {name: np.concatenate(rows) for name, rows in parts.items()}
    np.savez_compressed(path, root=np.array(roots, np.uint32), depth=depth, **arrays)


def held_out(samples: list[Sample]) -> None:
    """Print, per kind, how many spots of real fruit a forest that has not seen the fruit tells rightly."""
    hit, said, true = np.zeros(4, int), np.zeros(4, int), np.zeros(4, int)
    for fruit in sorted({s.fruit for s in samples if not s.fruit.startswith("simulated")}):
        own = [s for s in samples if s.fruit == fruit and s.kind != UNKNOWN]
        if not own:
            continue
        trees = grow([s for s in samples if s.fruit != fruit])
        told = trees.classes_[trees.predict_proba(np.stack([s.feature for s in own])).argmax(axis=1)]
        kinds = np.array([s.kind for s in own])
        for k in range(4):
            hit[k] += np.count_nonzero((told == k) & (kinds == k))
            said[k] += np.count_nonzero(told == k)
            true[k] += np.count_nonzero(kinds == k)
    for k, name in enumerate(("sound", "stem", "stylar", "blemish")):
        print(f"{name}: {hit[k]} of {true[k]} told, {said[k] - hit[k]} falsely", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", action="store_true", help="replace the forest that ships")
    options = parser.parse_args()
    samples = list(real_samples(options.data / "images"))
    print("real spots by kind:", np.bincount([s.kind for s in samples], minlength=5).tolist(), flush=True)
    for seed, px_per_mm in ((101, 1.28), (102, 2.56)):
        samples += simulated_samples(seed, 3.0, px_per_mm)
    print("with SIMULATED ones:", np.bincount([s.kind for s in samples], minlength=5).tolist(), flush=True)
    held_out(samples)
    if options.write:
        write(grow(samples), OUT)
        print(f"written: {OUT}, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
