"""Imaging against the clock, its peers and the truth: ``python -m benchmarks.imaging --json [--seed N] [--only KEY,...]``.

One thread. Frames of the simulated line: 6 lanes, 8 windows, default fill, at 1.28 and 2.56 px/mm. What is compared is
measured in turn in one process on the same bytes; a time is the median of the rounds, a ratio the median of the rounds' ratios.
Every accuracy is SIMULATED: against what the simulator knows of fruit that it drew itself.

The optional peers come with ``pip install citrus-grade[bench]``.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numba import njit
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.machine import machine, one_core
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim.belt import CUP_BRIDGING, CUP_DOUBLE, CUP_SINGLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.imaging import surface
from citrus_grade.imaging.imager import Imager
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Decisions, Frame, Message
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.gauge import gauge_balls
from citrus_grade.tables import BRIDGING, DECISION, DOUBLE, FRUIT, FRUIT_SEEN, VIEW, Table, empty, stack
from citrus_grade.templates import LINE

FULL_BELT = 14
"""Pitches after which every window has a cup."""
GAUGE_MM, GAUGE_S = (42.0, 65.0, 88.0), 3.0
SIZES_MM, SIZES_S = (40.0, 90.0), 30.0
WEIGHED = 50
SORTED_S, DOUBLES, BRIDGINGS = 40.0, 0.06, 0.05
Figures = dict[str, Any]


@dataclass
class Report:
    """What was found: figures by key, how many samples each rests on, and what there is to say of them."""

    figures: Figures
    n: dict[str, int]
    why: dict[str, str]

    def add(self, key: str, value: float | None, n: int, why: str = "") -> None:
        """Take a figure and print it."""
        self.figures[key], self.n[key] = value, n
        if why:
            self.why[key] = why
        shown = "-" if value is None else f"{value:.4g}"
        simulated = "  SIMULATED" if key in SIMULATED else ""
        print(f"{key:22} {shown:>9}{simulated}  n = {n}{'  ' + why if why else ''}", flush=True)


def line_at(px_per_mm: float) -> LineConfig:
    """Return the default line without spectrometers, its camera at another resolution."""
    config = parse(LINE.read_text(encoding="utf-8"))
    camera = config.camera[0]
    factor = px_per_mm / camera.px_per_mm
    change = {name: round(getattr(camera, name) * factor) for name in ("width_px", "height_px", "tile_px")}
    change |= {"px_per_mm": px_per_mm, "window_x_px": camera.window_x_px * factor}
    camera = camera.model_copy(update=change | {"lane_y_px": tuple(y * factor for y in camera.lane_y_px)})
    return config.model_copy(update={"camera": (camera,), "spectrometer": None})


def frames_of(config: LineConfig, seed: int, n: int) -> list[Frame]:
    """Return frames of a full belt, one pitch after the other."""
    plant = SimPlant(config, SimOptions(seed=seed, seconds=(FULL_BELT + n + 4) / config.line.cups_per_s))
    frames = (message for message in plant.messages() if isinstance(message, Frame))
    return list(islice(frames, FULL_BELT, FULL_BELT + n))


def seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def in_turn(calls: dict[str, Callable[[], Any]], rounds: int) -> dict[str, NDArray[np.float64]]:
    """Run all calls once for nothing, then in turn; return the seconds of each, (rounds,)."""
    for call in calls.values():
        call()
    times = [[seconds(call) for call in calls.values()] for _ in range(rounds)]
    return dict(zip(calls, np.array(times).T, strict=True))


def speed(report: Report, seed: int, px_per_mm: float, n_frames: int, rounds: int) -> dict[str, Any]:
    """Time the kernel and the loop of OpenCV over the same frames; return what the other peers need."""
    config = line_at(px_per_mm)
    imager, frames = Imager.of(config, config.camera[0]), frames_of(config, seed, n_frames)
    views = sum(int((imager(frame).rows["state"] >= FRUIT_SEEN).sum()) for frame in frames)
    found = sum(len(peers.opencv_loop(frame.mosaic)) for frame in frames)
    took = in_turn(
        {
            "ours": lambda: [imager(frame) for frame in frames],
            "opencv": lambda: [peers.opencv_loop(frame.mosaic) for frame in frames],
        },
        rounds,
    )
    tile = config.camera[0].tile_px
    report.add(f"us_per_view_{tile}", 1e6 * statistics.median(took["ours"]) / views, views * rounds)
    ratio = statistics.median(took["opencv"] / took["ours"])
    report.add(f"x_opencv_loop_{tile}", ratio, views * rounds, f"it found {found} fruit where we found {views}")
    return {"config": config, "imager": imager, "frames": frames, "views": views / len(frames), "tile": tile}


def speed_128(report: Report, seed: int) -> None:
    against = speed(report, seed, 1.28, 8, 11)
    imager, frames, rounds = against["imager"], against["frames"], 3
    frame = frames[0]
    try:
        took = in_turn({"ours": lambda: imager(frame), "theirs": lambda: peers.regionprops(frame.mosaic)}, rounds)
        report.add("x_regionprops", statistics.median(took["theirs"] / took["ours"]), round(rounds * against["views"]))
    except ImportError as error:
        report.add("x_regionprops", None, 0, f"{error}; pip install citrus-grade[bench]")
    _plantcv(report, against, rounds)


def _plantcv(report: Report, against: dict[str, Any], rounds: int) -> None:
    """A tile a call is its fastest way: on a whole frame it goes over all of it for every fruit."""
    imager, frame, tile = against["imager"], against["frames"][0], against["tile"]
    rows = imager(frame).rows
    camera = against["config"].camera[0]
    with_fruit = [(row["lane"], row["view_index"]) for row in rows[rows["state"] == FRUIT_SEEN]][:2]
    tiles = []
    for lane, window in with_fruit:
        y, x = int(camera.lane_y_px[lane]) - tile // 2, int(camera.window_x_px) + window * tile - tile // 2
        tiles.append(np.ascontiguousarray(frame.mosaic[y : y + tile, x : x + tile]))
    try:
        took = in_turn({"ours": lambda: imager(frame), "theirs": lambda: [peers.plantcv(tile) for tile in tiles]}, rounds)
    except Exception as error:  # an optional peer with a large tree of dependencies fails in many ways, none of them ours
        report.add("x_plantcv", None, 0, f"{type(error).__name__}: {error}; pip install citrus-grade[bench]")
        return
    ratios = (took["theirs"] / len(tiles)) / (took["ours"] / against["views"])
    report.add("x_plantcv", statistics.median(ratios), rounds * len(tiles))


def speed_256(report: Report, seed: int) -> None:
    against = speed(report, seed, 2.56, 6, 9)
    imager, frames = against["imager"], against["frames"]
    source = np.full(max(8 * _last_cache_bytes(), 1 << 27), 7, np.uint8)
    target = np.zeros_like(source)
    rounds = 9
    took = in_turn({"ours": lambda: [imager(f) for f in frames], "copy": lambda: np.copyto(target, source)}, rounds)
    per_view = took["ours"] / (len(frames) * against["views"])
    copied = took["copy"] * against["tile"] ** 2 / len(source)
    gb_per_s = len(source) / statistics.median(took["copy"]) / 1e9
    report.add("memcpy_ratio_256", statistics.median(per_view / copied), rounds, f"this machine copies {gb_per_s:.1f} GB/s")


def _last_cache_bytes() -> int:
    """Return the size of the largest cache, where the system tells; 32 MB where it does not."""
    sizes = [path.read_text().strip() for path in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size")]
    unit = {"K": 1 << 10, "M": 1 << 20}
    return max((int(size[:-1]) * unit[size[-1]] for size in sizes if size[-1:] in unit), default=1 << 25)


@njit(cache=True, nogil=True)
def _map_all(views: Any, turns: NDArray[np.float64], room: surface.Room, out: Any) -> None:
    for k in range(len(views)):
        room.turns[:] = turns[k]
        surface.surface(views[k], room, views.shape[1], out[k])


@njit(cache=True, nogil=True)
def _roll_all(views: Any, travel: NDArray[np.float64], turn_px: float, room: surface.Room, turns: NDArray[np.float64]) -> None:
    for k in range(len(views)):
        surface.roll(views[k], room, views.shape[1], travel, turn_px / np.median(views[k]["major_px"]))
        turns[k] = room.turns


def fruit_of_eight(seed: int) -> tuple[Table, NDArray[np.float64]]:
    """Return fruit with all views and how the rollers turned them: views (n, 8), turns (n, 8, 3, 3)."""
    config = line_at(1.28)
    camera = config.camera[0]
    imager = Imager.of(config, camera)
    rows = stack([imager(frame).rows for frame in frames_of(config, seed, 28)], VIEW)
    rows = rows[rows["state"] == FRUIT_SEEN]
    rows = rows[np.lexsort((rows["view_index"], rows["cup"], rows["lane"]))]
    _, first, count = np.unique(rows["lane"] * 1000 + rows["cup"], return_index=True, return_counts=True)
    views = np.stack([rows[at : at + camera.windows] for at in first[count == camera.windows]])
    room, turns = surface.room(camera.windows), np.zeros((len(views), camera.windows, 3, 3))
    room.order[:] = np.arange(camera.windows)
    turn_px = config.line.roller_ratio * config.line.pitch_mm * camera.px_per_mm
    _roll_all(views, surface.travel_of(config), turn_px, room, turns)
    return views, turns


def maps(report: Report, seed: int) -> None:
    views, turns = fruit_of_eight(seed)
    room, out, rounds = surface.room(views.shape[1]), empty(FRUIT, len(views)), 21
    room.order[:] = np.arange(views.shape[1])
    took = in_turn({"map": lambda: _map_all(views, turns, room, out)}, rounds)["map"]
    report.add("us_per_fruit_map", 1e6 * statistics.median(took) / len(views), len(views) * rounds)
    value, n, why = rotation(views, turns)
    report.add("us_per_rotation", value, n, why)


def rotation(views: Table, turns: NDArray[np.float64]) -> tuple[float | None, int, str]:
    """Return the time a rotation between two views takes to measure, in us, of how many, and what stands in its way."""
    try:
        from citrus_grade.imaging import skin_match, turn
    except ImportError as error:
        return None, 0, str(error)
    n_fruit, n = views.shape
    skin, score = skin_match.blank_skin(n), np.zeros(n - 1)

    def measure() -> None:
        for k in range(n_fruit):
            for v in range(n):
                skin_match.look(views[k, v]["skin"], skin, v)
            turn.measure_turns(skin, n, turns[k].copy(), score)

    rounds = 5
    took = in_turn({"turns": measure}, rounds)["turns"]
    rotations = n_fruit * (n - 1)
    return 1e6 * statistics.median(took) / rotations, rotations * rounds, ""


def calibrated(config: LineConfig, seed: int) -> CalibrationSet:
    """Return the calibration that gauge balls of three sizes, run over every lane, give."""
    plant = SimPlant(config, SimOptions(seed=seed + 1000, seconds=GAUGE_S, gauge_mm=GAUGE_MM))
    scale, sigma_mm = gauge_balls(config, plant.messages(), plant.table["fruit"]["diameter_mm"])
    return replace(CalibrationSet.nominal(config), scale=scale, scale_sigma_mm=sigma_mm)


def decisions_of(config: LineConfig, calibration: CalibrationSet, messages: Iterable[Message]) -> Table:
    """Return what the line decides of every cup; it sorts nothing."""
    text = f'name = "measure only"\n[[rule]]\ngrade = "measured"\noutlets = ["{config.outlet_names[0]}"]\n'
    plan = plans.parse(text, (), config.outlet_names[:-1], "measure only")
    line = Line(config, Artefacts({plan.id: plan}, {}, {calibration.id: calibration}), plan=plan.id, calibration=calibration.id)
    outputs = (output for message in messages for output in line.feed(message))
    return stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)


def against(decisions: Table, truth: Table) -> tuple[Table, Table]:
    """Return decisions and truth of the cups that both know, row by row."""
    cups = int(truth["cup"].max()) + 1
    known = (decisions["cup"] >= 0) & (decisions["cup"] < cups)
    at = decisions["lane"][known] * cups + decisions["cup"][known]
    return decisions[known], truth[np.argsort(truth["lane"] * cups + truth["cup"], kind="stable")][at]


def spread_sizes(plant: SimPlant, seed: int) -> None:
    """Make all fruit of a plant evenly spread over the sizes, its shape and density kept."""
    fruit = plant.table["fruit"]
    factor = np.random.default_rng([seed, 9]).uniform(*SIZES_MM, fruit.shape) / fruit["diameter_mm"]
    for name, power in (("diameter_mm", 1), ("height_mm", 1), ("volume_ml", 3), ("mass_g", 3)):
        fruit[name] *= factor**power
    plant.table["turn_rad_per_cup"][..., 0] /= factor


def sizes(report: Report, seed: int) -> None:
    config = line_at(1.28)
    calibration = calibrated(config, seed)
    plant = SimPlant(config, SimOptions(seed=seed, seconds=SIZES_S, doubles=0.0, bridging=0.0))
    spread_sizes(plant, seed)
    said, true = against(decisions_of(config, calibration, plant.messages()), plant.table.reshape(-1))
    one = (true["load"] == CUP_SINGLE) & np.isfinite(said["diameter_mm"])
    said, true = said[one], true["fruit"][one]
    error = said["diameter_mm"] - true["diameter_mm"]
    why = (
        f"{SIZES_MM[0]:g}-{SIZES_MM[1]:g} mm, 6 lanes; bias {error.mean():+.3f}, 95 % within {np.quantile(abs(error), 0.95):.2f}"
    )
    report.add("diameter_rmse_mm", float(np.sqrt(np.mean(error**2))), len(error), why)
    weighed = np.random.default_rng([seed, 10]).permutation(len(said)) < WEIGHED
    density = true["mass_g"][weighed].sum() / said["volume_ml"][weighed].sum()
    error = (density * said["volume_ml"] - true["mass_g"])[~weighed]
    own = (true["mass_g"] / true["volume_ml"])[~weighed]
    floor = np.sqrt(np.mean(((own.mean() - own) * true["volume_ml"][~weighed]) ** 2))
    why = f"density from {WEIGHED} weighed; {floor:.2f} g of it is what fruit differ in density"
    report.add("mass_rmse_g", float(np.sqrt(np.mean(error**2))), len(error), why)


def sorting(report: Report, seed: int) -> None:
    config = line_at(1.28)
    plant = SimPlant(config, SimOptions(seed=seed, seconds=SORTED_S, doubles=DOUBLES, bridging=BRIDGINGS))
    rows = decisions_of(config, CalibrationSet.nominal(config), plant.messages())
    truth = plant.truth()
    said, true = against(rows, truth)
    _blemishes(report, said, true)
    single, double, bridging = (true["load"] == load for load in (CUP_SINGLE, CUP_DOUBLE, CUP_BRIDGING))
    alone = single & ~reached_into(true)
    raised = f"{DOUBLES:.0%} doubles and {BRIDGINGS:.0%} bridging fruit instead of the default 0.8 % and 0.2 %"
    report.add("doubles_caught", float(np.mean(said["state"][double] == DOUBLE)), int(double.sum()), raised)
    false = float(np.mean(said["state"][alone] == DOUBLE))
    report.add("doubles_false", false, int(alone.sum()), "of fruit with no other in or half in their cup")
    report.add("bridging_caught", float(np.mean(said["state"][bridging] == BRIDGING)), int(bridging.sum()), raised)
    report.add("empties_exact", against_truth(rows, truth, ())["empties_exact"], len(said))
    measured = np.isfinite(said["turn_score"][single])
    report.add("rotation_share", float(np.mean(measured)), int(single.sum()), "of fruit whose turning is measured, not assumed")


def reached_into(true: Table) -> NDArray[np.bool_]:
    """Return which cups a bridging fruit of the next cup lies in as well."""
    bridging = true[true["load"] == CUP_BRIDGING]
    into = bridging["cup"] - np.sign(bridging["x_mm"][:, 0]).astype(np.int64)
    cups = 1 + max(int(true["cup"].max()), 0)
    return np.isin(true["lane"] * cups + true["cup"], bridging["lane"] * cups + into)


def _blemishes(report: Report, said: Table, true: Table) -> None:
    """Of fruit alone in their cups: blemished share of the seen skin, and number where there is one to count."""
    good = (true["load"] == CUP_SINGLE) & (said["state"] == FRUIT_SEEN) & np.isfinite(said["blemish_pct"])
    said, seen = said[good], true["seen"][good]
    error = np.abs(said["blemish_pct"] / 100 - seen["blemish_share"])
    hurt = seen["countable"] > 0
    why = f"the mean share is {seen['blemish_share'].mean():.4f}"
    report.add("blemish_area_mae", float(error.mean()), len(error), why)
    exact = said["blemish_count"][hurt] == seen["countable"][hurt]
    clean = float(np.mean(said["blemish_count"][~hurt] == 0))
    why = f"of the {int((~hurt).sum())} without, {clean:.3f} are told to have none"
    report.add("blemish_count_exact", float(np.mean(exact)), int(hurt.sum()), why)


STEPS: dict[Callable[[Report, int], None], tuple[str, ...]] = {
    speed_128: ("us_per_view_128", "x_opencv_loop_128", "x_regionprops", "x_plantcv"),
    speed_256: ("us_per_view_256", "x_opencv_loop_256", "memcpy_ratio_256"),
    maps: ("us_per_fruit_map", "us_per_rotation"),
    sizes: ("diameter_rmse_mm", "mass_rmse_g"),
    sorting: (
        "blemish_area_mae", "blemish_count_exact", "doubles_caught", "doubles_false", "bridging_caught", "empties_exact",
        "rotation_share",
    ),
}  # fmt: skip
"""What is measured together."""
KEYS = tuple(key for keys in STEPS.values() for key in keys)
SIMULATED = STEPS[sizes] + STEPS[sorting]


def measure(seed: int, only: tuple[str, ...]) -> Figures:
    """Return the figures asked for, all where none is named."""
    report = Report({}, {}, {})
    for step, keys in STEPS.items():
        if not only or set(only) & set(keys):
            step(report, seed)
    kept = [key for key in KEYS if key in report.figures and (not only or key in only)]
    told: Figures = {key: report.figures[key] for key in kept}
    told["n"] = {key: report.n[key] for key in kept}
    told["notes"] = {key: report.why[key] for key in kept if key in report.why}
    told["simulated"] = [key for key in kept if key in SIMULATED]
    return told | {"accuracy": "SIMULATED", "seed": seed, "ran_on": machine() | {"opencv": cv2.__version__}}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.imaging", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", metavar="KEY,...", help="measure these alone: " + ", ".join(KEYS))
    args = parser.parse_args()
    only = tuple(key for key in args.only.split(",") if key)
    if unknown := sorted(set(only) - set(KEYS)):
        parser.error(f"--only: there is no {', '.join(unknown)}; there are {', '.join(KEYS)}")
    one_core()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    figures = measure(args.seed, only)
    ran_on = figures["ran_on"]
    print(f"{ran_on['cpu']}, one of {ran_on['cores']} cores, load {ran_on['load_1min']}, {time.perf_counter() - began:.0f} s")
    if args.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
