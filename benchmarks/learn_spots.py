"""Grow the forests that say what a spot may be: ``python -m benchmarks.learn_spots --data DIR [--write]``.

They learn from labelled real views (any folder laid out like the published ones) and from SIMULATED fruit: one forest for fruit
seen coarsely, with the real views shrunk to that scale, and one for fruit seen finely. It prints how well each real fruit's spots
are told by a forest that has not seen that fruit. Only numbers of trees are written, no picture.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.boost import Boosted, Growth, boost
from benchmarks.real_images import Fruit, counted
from benchmarks.real_views import RealView, load_sets
from benchmarks.score_views import CERTAIN, END_PX, Spot, _is, score
from benchmarks.spot_views import Looked, look
from citrus_grade.config import parse
from citrus_grade.drivers.sim.belt import CUP_SINGLE, poses
from citrus_grade.drivers.sim.plant import SimPlant
from citrus_grade.imaging.forest import COARSE_QUADS
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.spots import RADIUS
from citrus_grade.messages import Frame
from citrus_grade.report.geometry import place_of
from citrus_grade.runtime.session import open_plant
from citrus_grade.tables import CHANCE_STEM, FRUIT_SEEN, SPOT_X, SPOT_Y
from citrus_grade.templates import LINE

SOUND, STEM, STYLAR, BLEMISH, UNKNOWN = range(5)
GROWTH = (Growth(64, 7, 0.2, 8, 0.3, 0.3), Growth(64, 4, 0.1, 5, 0.2))
"""How the trees for fruit seen coarsely and finely are grown."""
RARITY = 0.3
"""Power of how rare a kind is by which it counts more."""
SIMULATED = {1.28: (tuple(range(101, 109)), 15.0), 2.56: ((151,), 1.5)}
"""Seeds and seconds of SIMULATED fruit at each scale."""
SHRUNK = (0.36, 0.45)
"""Scales at which real fruit have the size of those at 1.28 px/mm."""
SIMULATED_WEIGHT = 0.1
OUT = Path("citrus_grade/imaging/spots.npz")


@dataclass(frozen=True, slots=True)
class Sample:
    """One spot: its features, what it is, whose fruit's it is, and how much it counts."""

    feature: NDArray[np.float32]
    kind: int
    fruit: str
    weight: float


def real_samples(images: Path, scale: float = 1.0) -> Iterator[Sample]:
    """Yield the spots of labelled real views, shrunk by ``scale``."""
    for pictures in load_sets(images, scale):
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
    """Say what a spot at a place of the disc is by a fruit's truth."""
    return min(simulated_mark(fruit, pose, at, row), BLEMISH)


def simulated_mark(fruit: np.void, pose: NDArray[np.float64], at: NDArray[np.float32], row: np.void) -> int:
    """Say which mark of a fruit reaches to a place of the disc: an end, or `BLEMISH` and on for its blemishes, the nearest."""
    semi = np.array([fruit["diameter_mm"], fruit["diameter_mm"], fruit["height_mm"]]) / 2
    n = int(fruit["n_blemishes"])
    directions = [np.array([0, 0, 1.0]), np.array([0, 0, -1.0]), *fruit["blemish_direction"][:n]]
    reach_mm = [
        fruit["stem_radius_mm"],
        fruit["stylar_radius_mm"],
        *(fruit["blemish_radius_mm"][:n] * fruit["blemish_aspect"][:n] ** 0.5),
    ]
    names, nearest, least = range(STEM, BLEMISH + n), SOUND, 0.0
    sight = np.array([-row["sight_x"], -row["sight_y"], 1.0])
    sight /= np.linalg.norm(sight)
    turn, slim = float(row["angle_rad"]), float(row["minor_px"] / row["major_px"])
    for direction, reach, name in zip(directions, reach_mm, names, strict=True):
        point = pose @ (direction / np.linalg.norm(direction / semi))
        flat = (point - (point @ sight) * sight)[:2]
        c, s = np.cos(turn), np.sin(turn)
        along, across = flat @ (c, s) / semi[0], flat @ (-s, c) / (semi[0] * slim)
        disc = np.array([along * c - across * s, along * s + across * c])
        away = disc - at
        if point @ sight < 0.25 * semi[0]:  # behind the limb or all but: a part of it may show none the less
            deep = np.sqrt(max(1.0 - disc @ disc, 0.0)) * np.sign(point @ sight) - np.sqrt(max(1.0 - at @ at, 0.0))
            away = np.array([*away, deep])
        beyond = float(np.linalg.norm(away)) - 0.07 - 1.1 * reach / semi[0]
        if beyond < least:
            if name < BLEMISH:
                return name
            nearest, least = name, beyond
    return nearest


def line_text(px_per_mm: float) -> str:
    """Return the template's line at another scale."""
    factor = px_per_mm / 1.28
    text = LINE.read_text(encoding="utf-8")
    for name, value in (("width_px", 1024), ("height_px", 768), ("window_x_px", 64), ("tile_px", 128)):
        text = text.replace(f"{name} = {value}", f"{name} = {round(value * factor)}")
    lanes = [round((64 + 128 * k) * factor) for k in range(6)]
    text = text.replace("lane_y_px = [64, 192, 320, 448, 576, 704]", f"lane_y_px = {lanes}")
    return text.replace("px_per_mm = 1.28", f"px_per_mm = {px_per_mm}")


def grow(samples: list[Sample], fine: bool) -> Boosted:
    """Grow one of the two forests on what is known."""
    known = [s for s in samples if s.kind != UNKNOWN and bool(s.feature[RADIUS] >= COARSE_QUADS) == fine]
    kinds = np.array([s.kind for s in known])
    rarity = (len(kinds) / np.bincount(kinds, minlength=4)[kinds]) ** RARITY
    weights = np.array([s.weight for s in known]) * rarity
    return boost(np.stack([s.feature for s in known]), kinds, weights, GROWTH[fine], 4)


def write(forests: Sequence[Boosted], path: Path) -> None:
    """Write forests, that for fruit seen coarsely first, as the program walks them: a node's two children side by side, a leaf
    leading to itself, odds against sound skin."""
    parts: dict[str, list[NDArray[np.generic]]] = {name: [] for name in ("feature", "threshold", "low", "odds")}
    roots, start, depth = [], 0, 0
    for forest in forests:
        for tree, shift in ((regressor.tree_, shift) for regressor, shift in forest.trees):
            order, low = _level_by_level(tree)
            leaf = tree.children_left[order] < 0
            roots.append(start)
            parts["feature"].append(np.where(leaf, 0, tree.feature[order]).astype(np.uint8))
            parts["threshold"].append(np.where(leaf, np.inf, tree.threshold[order]).astype(np.float32))
            parts["low"].append(np.array(low, np.uint32) + np.uint32(start))
            parts["odds"].append(_against_sound(shift[order]))
            start, depth = start + len(order), max(depth, tree.max_depth)
    arrays = {name: np.concatenate(rows) for name, rows in parts.items()}
    first = np.stack([_against_sound(forest.start) for forest in forests])
    np.savez_compressed(
        path, root=np.array(roots, np.uint32).reshape(len(forests), -1), start=first, depth=np.array([depth]), **arrays
    )


def _against_sound(odds: NDArray[np.float64]) -> NDArray[np.float32]:
    return np.asarray(odds[..., [STEM, STYLAR, BLEMISH]] - odds[..., [SOUND]], np.float32)


def _level_by_level(tree: Any) -> tuple[list[int], list[int]]:
    """Return old numbers of a tree's nodes in their new order, level by level, and the new number of each one's first child."""
    order, low = [0], []
    for at in order:
        leaf = tree.children_left[at] < 0
        low.append(len(low) if leaf else len(order))
        order += [] if leaf else [int(tree.children_left[at]), int(tree.children_right[at])]
    return order, low


def held_out(samples: list[Sample], images: Path) -> None:
    """Print how real fruit are told by a forest that has not seen them: spots by kind, and what `real_images` measures."""
    hit, said, true = np.zeros(4, int), np.zeros(4, int), np.zeros(4, int)
    pictures = load_sets(images)
    seen = {one.name: {name: Fruit(views) for name, views in one.views.items()} for one in pictures}
    for fruit in sorted({s.fruit for s in samples if not s.fruit.startswith("simulated")}):
        trees = grow([s for s in samples if s.fruit != fruit], fine=True)
        own = [s for s in samples if s.fruit == fruit and s.kind != UNKNOWN and s.feature[RADIUS] >= COARSE_QUADS]
        told = trees.chances(np.stack([s.feature for s in own])).argmax(axis=1)
        kinds = np.array([s.kind for s in own])
        for k in range(4):
            hit[k] += np.count_nonzero((told == k) & (kinds == k))
            said[k] += np.count_nonzero(told == k)
            true[k] += np.count_nonzero(kinds == k)
        of, name = fruit.split("/")
        for looked in seen[of][name].looked:
            if looked.n:
                looked.spot[: looked.n, CHANCE_STEM:] = trees.chances(looked.features)[:, [STEM, STYLAR, BLEMISH]]
        seen[of][name].fuse()
    for k, kind in enumerate(("sound", "stem", "stylar", "blemish")):
        print(f"{kind}: {hit[k]} of {true[k]} told, {said[k] - hit[k]} falsely", flush=True)
    every = [one for fruits in seen.values() for one in fruits.values()]
    rates = score((view, *one.told(k)) for one in every for k, view in enumerate(one.views)).rates()
    ratio, error = counted({str(k): one for k, one in enumerate(every)})
    rates |= {"defects_per_fruit_ratio": float(np.median(ratio)), "defects_per_fruit_mae_rel": float(np.mean(error))}
    print("held out:", {key: round(value, 3) for key, value in rates.items()}, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--write", action="store_true", help="replace the forests that ship")
    options = parser.parse_args()
    images = options.data / "images"
    samples = [sample for scale in (*SHRUNK, 1.0) for sample in real_samples(images, scale)]
    print("real spots by kind:", np.bincount([s.kind for s in samples], minlength=5).tolist(), flush=True)
    for px_per_mm, (seeds, seconds) in SIMULATED.items():
        for seed in seeds:
            samples += simulated_samples(seed, seconds, px_per_mm)
    print("with SIMULATED ones:", np.bincount([s.kind for s in samples], minlength=5).tolist(), flush=True)
    held_out(samples, images)
    if options.write:
        write([grow(samples, fine) for fine in (False, True)], OUT)
        print(f"written: {OUT}, {OUT.stat().st_size} bytes")


if __name__ == "__main__":
    main()
