"""The whole line against the clock: ``python -m benchmarks.line --json [--seed N] [--data DIR] [--skip-demo]``.

Six lanes of 12 cups/s, one camera, 8 views a fruit on 128 px tiles, 8 scans of 256 pixels a fruit, 85 % of cups filled;
frames are rendered beforehand. Every accuracy printed is SIMULATED.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import citrus_grade.line as line_module
from benchmarks import naive
from benchmarks.machine import machine, one_core, rss_mb
from citrus_grade.drivers.sim.plant import SimPlant
from citrus_grade.line import Line
from citrus_grade.messages import Decisions, Frame, Message, Pulse, Scans
from citrus_grade.replay import replay
from citrus_grade.rundir import Loaded, create, load_line
from citrus_grade.runtime.demo import set_up
from citrus_grade.runtime.recorder import Recorder
from citrus_grade.runtime.session import open_plant, run_line

RENDERED_S = 30.0
TIMED_PITCHES = 1200
SKIP_PITCHES = 30
"""Pitches at the start of a cycle: the belt must be full before a stretch of it is repeated."""


class Tape:
    """Messages of a simulated minute, repeated without an end: ticks, numbers and times go on rising."""

    def __init__(self, loaded: Loaded, seed: int) -> None:
        plant = open_plant(loaded.config, seed=seed, seconds=RENDERED_S)
        assert isinstance(plant, SimPlant)
        pitches: list[list[Message]] = [[]]
        for message in plant.messages():
            if isinstance(message, Pulse):
                pitches.append([])
            if isinstance(message, Frame | Scans | Pulse):
                pitches[-1].append(message)
        self.pitches = pitches[SKIP_PITCHES : int(RENDERED_S * loaded.config.line.cups_per_s)]
        self.ticks = round(len(self.pitches) * loaded.config.encoder.ratio)
        self.ns = int(len(self.pitches) / loaded.config.line.cups_per_s * 1e9)
        self.scans = len(self.pitches) * (loaded.config.spectrometer.scans if loaded.config.spectrometer else 0)

    def __iter__(self) -> Iterator[list[Message]]:
        turn = 0
        while True:
            for pitch in self.pitches:
                yield [self._shift(message, turn) for message in pitch]
            turn += 1

    def _shift(self, message: Message, turn: int) -> Message:
        tick, ns = turn * self.ticks, turn * self.ns
        if isinstance(message, Frame):
            return replace(message, tick=message.tick + tick, seq=message.seq + turn * len(self.pitches), t_ns=message.t_ns + ns)
        if isinstance(message, Scans):
            seq = message.seq + np.int32(turn * self.scans)
            return replace(message, tick=message.tick + tick, seq=seq, t_ns=message.t_ns + ns)
        assert isinstance(message, Pulse)
        return replace(message, tick=message.tick + tick, head_tick=message.head_tick + tick, t_ns=message.t_ns + ns)


def started(loaded: Loaded, tape: Tape) -> Line:
    """Return a line that has decided up to where the tape begins."""
    line = loaded.line()
    first = next(message for message in tape.pitches[0] if isinstance(message, Pulse))
    ruler_cup = int(first.tick / loaded.config.encoder.ratio) - loaded.config.line.decision_station
    line.state.next_cup = ruler_cup
    return line


def timed_run(loaded: Loaded, tape: Tape, folder: Path, profile: str, pitches: int) -> tuple[float, list[float], int]:
    """Run with a log; return line time over wall time, the feed time of each pitch in ms, and the fruit decided."""
    run_dir = folder / f"run-{profile}-{random.getrandbits(32):08x}"
    create(run_dir, loaded, seed=0, profile=profile, config_text=(folder / "line.toml").read_text(encoding="utf-8"))
    line = started(loaded, tape)
    recorder = Recorder(run_dir, loaded, line, profile)
    source = iter(tape)
    feed_ms, total = [], 0.0
    for _ in range(pitches):
        batch = next(source)
        began, fed = time.perf_counter(), 0.0
        for message in batch:
            entered = time.perf_counter()
            imaged = line.imaged(message)
            fed += time.perf_counter() - entered
            recorder.take(message, imaged)
            entered = time.perf_counter()
            outputs = line.feed(imaged)
            fed += time.perf_counter() - entered
            recorder.gave(outputs)
        total += time.perf_counter() - began
        feed_ms.append(1000 * fed)
    began = time.perf_counter()
    recorder.close()
    total += time.perf_counter() - began
    shutil.rmtree(run_dir)
    return pitches / loaded.config.line.cups_per_s / total, feed_ms, recorder.packout.fruit


def outside_us(loaded: Loaded, tape: Tape, pitches: int) -> dict[str, float]:
    """Return the time a fruit spends in `Line.feed` outside imaging and spectra, and in joining its views, in us."""
    line, inside = started(loaded, tape), {"imaging": 0.0, "joining": 0.0, "spectra": 0.0}

    def clocked(part: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            began = time.perf_counter()
            result = call(*args)
            inside[part] += time.perf_counter() - began
            return result

        return run

    for imager in line._imagers:
        imager_class = type(imager)
    plain_imager, plain_join, plain_predict = imager_class.__call__, line_module.join_lanes, line_module.predict
    # Measured from outside, not built in.
    imager_class.__call__ = clocked("imaging", plain_imager)  # type: ignore[method-assign]
    line_module.join_lanes = clocked("joining", plain_join)
    line_module.predict = clocked("spectra", plain_predict)
    total, fruit, source = 0.0, 0, iter(tape)
    try:
        for _ in range(pitches):
            for message in next(source):
                began = time.perf_counter()
                outputs = line.feed(message)
                total += time.perf_counter() - began
                fruit += sum(int((o.rows["fruit_views"] > 0).sum()) for o in outputs if isinstance(o, Decisions))
    finally:
        imager_class.__call__ = plain_imager  # type: ignore[method-assign]  # restored
        line_module.join_lanes, line_module.predict = plain_join, plain_predict
    outside = total - sum(inside.values())
    return {"us_per_fruit": 1e6 * outside / fruit, "us_per_fruit_joined": 1e6 * inside["joining"] / fruit}


def against_naive(loaded: Loaded, tape: Tape, rounds: int = 5, pitches: int = 24) -> dict[str, float]:
    """Run both programs over the same messages in turn; return fruit/s of each and the median of their ratios."""
    config, calibration = loaded.config, loaded.calibration
    camera = config.camera[0]
    rng = np.random.default_rng(0)
    training = rng.normal(1.0, 0.1, (200, calibration.white.shape[1])).cumsum(axis=1)
    model = naive.pipeline(training, rng.normal(11.0, 1.0, (200, 2)))
    line, source = started(loaded, tape), iter(tape)
    ratios, ours_s, theirs_s, fruit = [], 0.0, 0.0, 0
    for _ in range(rounds):
        batches = [next(source) for _ in range(pitches)]
        began = time.perf_counter()
        for batch in batches:
            for message in batch:
                line.feed(message)
        ours = time.perf_counter() - began
        began = time.perf_counter()
        for batch in batches:
            # Every scan of a pitch goes through as one passage: the same number of fruit, scans and predictions.
            scans = [message for message in batch if isinstance(message, Scans)]
            frame = next(message for message in batch if isinstance(message, Frame))
            seen = naive.measure_frame(frame, camera.lane_y_px, camera.windows, camera.tile_px)
            fruit += round(seen / camera.windows)
            for lane in range(round(seen / camera.windows)):
                naive.predict(model, naive.scans_of_fruit(scans, lane), calibration.dark[lane], calibration.white[lane])
        theirs = time.perf_counter() - began
        ratios.append(theirs / ours)
        ours_s, theirs_s = ours_s + ours, theirs_s + theirs
    return {"x_naive": statistics.median(ratios), "naive_fruit_per_s": fruit / theirs_s, "fruit_per_s": fruit / ours_s}


def memory(loaded: Loaded, tape: Tape, folder: Path, hours: float) -> dict[str, float]:
    """Run ``hours`` of line time with the log; compare resident memory at the end with that after 5 minutes."""
    run_dir = folder / "run-memory"
    create(run_dir, loaded, seed=0, profile="normal", config_text=(folder / "line.toml").read_text(encoding="utf-8"))
    line = started(loaded, tape)
    recorder = Recorder(run_dir, loaded, line, "normal")
    per_s = loaded.config.line.cups_per_s
    early, source = 0.0, iter(tape)
    for pitch in range(int(hours * 3600 * per_s)):
        for message in next(source):
            imaged = line.imaged(message)
            recorder.take(message, imaged)
            recorder.gave(line.feed(imaged))
        if pitch == int(300 * per_s):
            early = rss_mb()
    late = rss_mb()
    recorder.close()
    shutil.rmtree(run_dir)
    return {"rss_growth_pct": 100 * (late / early - 1), "rss_mb": late, "rss_line_h": hours}


def replays(folder: Path, seed: int) -> dict[str, Any]:
    """Record short runs of both profiles, replay them whole, cut, and from a snapshot; return differing fields and speed."""
    diff: dict[str, int] = {}
    accuracy: dict[str, Any] = {}
    for profile, seconds in (("full", 6.0), ("normal", 60.0)):
        run_dir = folder / f"replay-{profile}"
        summary = run_line(folder / "line.toml", run_dir, profile=profile, seconds=seconds, seed=seed)
        accuracy = summary.accuracy or {}
        diff[profile] = replay(run_dir).diff_fields
        diff[f"{profile}_cut"] = _cut(run_dir, seed)
    speed = statistics.median(replay(folder / "replay-normal").x_realtime for _ in range(3))
    diff["restore"] = _restored(folder / "line.toml", seed)
    keys = ("size_class_exact", "delivery", "empties_exact", "diameter_rmse_mm", "doubles_caught")
    return (
        {"replay_diff_fields": diff, "x_replay_normal": speed}
        | {key: accuracy[key] for key in keys}
        | {"traits": accuracy["traits"]}
    )


def real(folder: Path, seed: int, data: Path) -> dict[str, Any]:
    """Grade published pictures and spectra as a line, in both profiles, and replay them; None where the data are absent."""
    if not data.is_dir():
        return {"real": None, "real_why": f"{data} is no folder; name it by --data or CITRUS_GRADE_DATA"}
    examples = Path(__file__).parents[1] / "examples"
    for name in ("real_fruit.toml", "real_plan.toml"):
        shutil.copy(examples / name, folder / name)
    told: dict[str, Any] = {}
    for profile in ("full", "normal"):
        run_dir = folder / f"real-{profile}"
        summary = run_line(folder / "real_fruit.toml", run_dir, profile=profile, seconds=5.0, seed=seed, data=data)
        told[f"replay_diff_fields_{profile}"] = replay(run_dir).diff_fields
        told["fruit"], told["accuracy"] = summary.fruit, summary.accuracy
    return {"real": told}


def _cut(run_dir: Path, seed: int, cuts: int = 5) -> int:
    path, rng, worst = run_dir / "log" / "000000.mcap", random.Random(seed), 0
    whole = path.read_bytes()
    try:
        for _ in range(cuts):
            path.write_bytes(whole[: rng.randrange(len(whole) // 20, len(whole))])
            worst = max(worst, replay(run_dir).diff_fields)
    finally:
        path.write_bytes(whole)
    return worst


def _restored(line_toml: Path, seed: int) -> int:
    """Feed one run through, and again with a new line restored from a snapshot at every tenth message; count differing
    decisions."""
    loaded = load_line(line_toml)
    messages = list(open_plant(loaded.config, seed=seed, seconds=3.0).messages())
    whole, pieces = loaded.line(), loaded.line()
    differing = 0
    for n, message in enumerate(messages):
        if n % 10 == 0:
            snapshot, pieces = pieces.snapshot(), loaded.line()
            pieces.restore(snapshot)
        a, b = ([o.rows.tobytes() for o in line.feed(message) if isinstance(o, Decisions)] for line in (whole, pieces))
        differing += a != b
    return differing


def demo() -> dict[str, Any]:
    """Clone the checkout afresh twice and time ``make demo`` in each, installation included; say whether the packouts agree."""
    times, tables = [], []
    root = Path(__file__).parents[1]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder:
            clone = Path(folder) / "clone"
            subprocess.run(["git", "clone", "-q", str(root), str(clone)], check=True)
            began = time.perf_counter()
            made = subprocess.run(["make", "demo"], cwd=clone, env=environment, capture_output=True, text=True)
            if made.returncode:
                return {"demo_s": None, "demo_failed": made.stderr[-500:]}
            times.append(time.perf_counter() - began)
            tables.append(next((clone / "runs").glob("*/fruit.parquet")).read_bytes())
    return {"demo_s": max(times), "demo_twice_same_fruit": tables[0] == tables[1]}


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Return every figure."""
    loaded = load_line(set_up(folder, args.seed))
    tape = Tape(loaded, args.seed)
    timed_run(loaded, tape, folder, "normal", 60)
    runs = [timed_run(loaded, tape, folder, "normal", TIMED_PITCHES) for _ in range(3)]
    full = statistics.median(timed_run(loaded, tape, folder, "full", 240)[0] for _ in range(3))
    feed_ms = np.median([feed for _, feed, _ in runs], axis=0)
    figures: dict[str, Any] = {
        "x_realtime_1core": statistics.median(x for x, _, _ in runs),
        "x_realtime_1core_full": full,
        "pitch_ms_p50": float(np.percentile(runs[0][1], 50)),
        "pitch_ms_p99": float(np.percentile(runs[0][1], 99)),
        "pitch_ms_p99_of_medians": float(np.percentile(feed_ms, 99)),
        "pitches": TIMED_PITCHES,
        **outside_us(loaded, tape, 600),
    }
    figures |= against_naive(loaded, tape)
    figures |= replays(folder, args.seed)
    figures |= real(folder, args.seed, Path(args.data))
    figures |= memory(loaded, tape, folder, args.hours)
    if not args.skip_demo:
        figures |= demo()
    return figures | {"accuracy": "SIMULATED", "seed": args.seed, "ran_on": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.line", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1)
    default = os.environ.get("CITRUS_GRADE_DATA") or "../shared/data"
    parser.add_argument("--data", default=default, help="folder of real pictures and spectra (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=1.0, help="line time of the memory figure")
    parser.add_argument("--skip-demo", action="store_true", help="do not time make demo in two fresh clones (minutes, installs)")
    args = parser.parse_args()
    one_core()
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args, Path(folder))
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
