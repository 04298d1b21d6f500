"""Hours of a line in minutes, with something going wrong every minute: ``python -m benchmarks.soak --json --hours H [--seed N]``.

A rendered loop of fruit (SIMULATED) is fed to one line as fast as the machine can, recorded as a run is, its log rotating, while
faults drawn by the seed come and go: frames lost, doubled, swapped; scans lost or noise; pulses lost, late, backwards; outlets
full and jammed; lanes off and on; references asked for that no shutter answers; the line taken from its snapshot into a new one.
Checked as it goes: every cup has one decision, and nothing is fired that was not graded. ``rss_mb_per_h`` is the upper end of the
95 % interval of memory's slope over line hours, the first tenth left out.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from benchmarks.machine import machine, rss_mb
from citrus_grade.config import load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.line import Line
from citrus_grade.messages import Command, Decisions, Frame, Message, OutletReport, Pulse, Reason, Scans, Views
from citrus_grade.rundir import Loaded, create, load_line
from citrus_grade.runtime.demo import NEW_SEASON, set_up
from citrus_grade.runtime.recorder import Recorder

LOOP_CUPS = 48
FAULTS = (
    "frames_lost", "frames_twice", "frames_swapped", "scans_lost", "scans_noise", "pulses_lost", "pulses_late", "pulses_back",
    "outlet_full", "outlet_jams", "lane_off", "dark_asked", "taken_over",
)  # fmt: skip
LASTS_CUPS = 20
LOGS_KEPT = 3


class Belt:
    """The loop's messages, pitch by pitch, without an end."""

    def __init__(self, loaded: Loaded, folder: Path) -> None:
        config = self.config = loaded.config
        assert config.spectrometer is not None
        self._tape = tape.load(folder)
        line = loaded.line()
        ticks = config.encoder.ratio
        self._views = []
        for pitch in range(LOOP_CUPS):
            views = line.imaged(Frame(0, pitch, round(pitch * ticks), 0, np.array(self._tape.frames[0][pitch])))
            assert isinstance(views, Views)
            self._views.append(views)
        scans, chord = config.spectrometer.scans, config.spectrometer.chord_cups
        self._ahead = [config.spectrometer.station + chord * ((j + 0.5) / scans - 0.5) for j in range(scans)]
        self._lanes = np.arange(config.line.lanes, dtype=np.int32)

    def pitch(self, number: int) -> list[Message]:
        """Return what is sensed from one pitch to the next: the pulse, the frame, the scans."""
        ticks = self.config.encoder.ratio
        turn, place = divmod(number, LOOP_CUPS)
        tick, t_ns = round(number * ticks), int(number / self.config.line.cups_per_s * 1e9)
        seen = self._views[place]
        rows = seen.rows.copy()
        rows["cup"] += turn * LOOP_CUPS
        rows = rows[rows["cup"] >= 0]
        out: list[Message] = [Pulse(tick, tick, t_ns), Views(0, number, tick, t_ns, rows, seen.clarity)]
        for scan, ahead in enumerate(self._ahead):
            cup = number - int(ahead)
            if cup >= 0:
                at = np.full(len(self._lanes), round((cup + ahead) * ticks), np.int64)
                seq = np.full(len(self._lanes), cup * len(self._ahead) + scan, np.int32)
                out.append(Scans(t_ns, self._lanes, seq, at, np.array(self._tape.counts[cup % LOOP_CUPS, scan])))
        return out


class Trouble:
    """Spoils messages as the seed says, one kind at a time."""

    def __init__(self, config: Any, seed: int, every_s: float) -> None:
        self._rng, self._config = random.Random(seed), config
        self._kind, self._until, self._held = "", 0, list[Message]()
        self.times = dict.fromkeys(FAULTS, 0)
        self._every = round(every_s * config.line.cups_per_s)

    def begins(self, number: int) -> str:
        """Say which fault begins at a pitch, "" for none."""
        if number % self._every or not number:
            return ""
        self._kind, self._until = self._rng.choice(FAULTS), number + self._rng.randint(1, LASTS_CUPS)
        self.times[self._kind] += 1
        return self._kind

    def spoil(self, number: int, messages: list[Message]) -> Iterator[Message]:
        """Yield what of a pitch's messages reaches the line, and what comes besides."""
        kind = self._kind if number < self._until else ""
        tick = round(number * self._config.encoder.ratio)
        if self._kind in ("outlet_full", "lane_off") and number == self._until:
            yield from self._ended(tick)
        if kind in ("outlet_full", "outlet_jams", "lane_off", "dark_asked") and number % self._every == 0:
            yield from self._begun(kind, tick)
        for message in messages:
            yield from self._one(kind, message)

    def _begun(self, kind: str, tick: int) -> Iterator[Message]:
        if kind == "lane_off":
            yield Command(tick, 0, "lane_off", "2")
        elif kind == "dark_asked":
            yield Command(tick, 0, "dark_refresh", "1")
        else:
            yield OutletReport(tick, 0, 1, 0, "full" if kind == "outlet_full" else "jammed")

    def _ended(self, tick: int) -> Iterator[Message]:
        yield Command(tick, 0, "lane_on", "2") if self._kind == "lane_off" else OutletReport(tick, 0, 1, 0, "clear")

    def _one(self, kind: str, message: Message) -> Iterator[Message]:
        frame, scans, pulse = (isinstance(message, one) for one in (Views, Scans, Pulse))
        if (kind == "frames_lost" and frame) or (kind == "pulses_lost" and pulse) or (kind == "scans_lost" and scans):
            return
        if kind == "frames_twice" and frame:
            yield message
        if kind == "frames_swapped" and frame:
            self._held.append(message)
            if len(self._held) == 2:
                yield from reversed(self._held)
                self._held.clear()
            return
        if kind == "scans_noise" and isinstance(message, Scans):
            noise = np.random.default_rng(self._rng.randrange(1 << 30)).integers(0, 65536, message.counts.shape, np.uint16)
            message = replace(message, counts=noise)
        if isinstance(message, Pulse) and kind == "pulses_late":
            message = replace(message, head_tick=message.head_tick + 3 * 4096)
        if isinstance(message, Pulse) and kind == "pulses_back":
            message = replace(message, tick=message.tick - 2 * 4096)
        yield message


class Checked:
    """What must hold of the decisions, whatever happened."""

    def __init__(self, lanes: int) -> None:
        self._lanes, self._next = lanes, 0
        self.cups = self.graded = 0

    def take(self, rows: Any) -> None:
        """Check the decisions of whole cups.

        Raises
        ------
        AssertionError : if a cup is missing, twice, or fired without being graded.
        """
        cups = rows["cup"].reshape(-1, self._lanes)
        assert (cups == np.arange(self._next, self._next + len(cups))[:, None]).all(), f"cup {self._next} is missing or twice"
        assert (rows["reason"][rows["fire_tick"] >= 0] == Reason.GRADED).all(), f"cup {self._next}: fired and not graded"
        self._next += len(cups)
        self.cups += len(rows)
        self.graded += int((rows["reason"] == Reason.GRADED).sum())


def soak(folder: Path, hours: float, seed: int, every_s: float = 60.0) -> dict[str, Any]:
    """Run the line for so many hours of its own time, a fault every so many seconds of it."""
    line_toml = set_up(folder, seed)
    (folder / "tape").mkdir()
    tape.record(load(line_toml), folder / "tape", SimOptions(seed=seed, season=NEW_SEASON), LOOP_CUPS)
    loaded = load_line(line_toml)
    run = folder / "run"
    create(run, loaded, seed=seed, profile="normal", config_text=line_toml.read_text(encoding="utf-8"))
    belt, trouble, checked = (
        Belt(loaded, folder / "tape"),
        Trouble(loaded.config, seed, every_s),
        Checked(loaded.config.line.lanes),
    )
    line = loaded.line()
    recorder = Recorder(run, loaded, line, "normal")
    pitches = round(hours * 3600 * loaded.config.line.cups_per_s)
    sample = max(pitches // 200, 1)
    memory: list[tuple[float, float]] = []
    fds: list[int] = []
    started = time.perf_counter()
    for number in range(pitches):
        if trouble.begins(number) == "taken_over":
            line.restore(line.snapshot())
        for message in trouble.spoil(number, belt.pitch(number)):
            _feed(line, recorder, message, checked)
        if number % sample == 0:
            _forget_old_logs(run / "log")
            gc.collect()
            memory.append((number / loaded.config.line.cups_per_s / 3600, rss_mb()))
            fds.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
            if sys.stderr.isatty():
                print(f"\r{number / pitches:.0%} {memory[-1][1]:.0f} MB", end="", file=sys.stderr)
    recorder.close()
    settled = np.array(memory[len(memory) // 10 :])
    fit = stats.linregress(settled[:, 0], settled[:, 1])
    bound = fit.slope + stats.t.ppf(0.975, len(settled) - 2) * fit.stderr
    return {
        "rss_mb_per_h": float(bound), "rss_mb_per_h_slope": float(fit.slope), "rss_mb": memory[-1][1],
        "fds_growth": fds[-1] - fds[len(fds) // 10], "hours": hours, "cups": checked.cups, "graded": checked.graded,
        "faults": trouble.times, "x_realtime": hours * 3600 / (time.perf_counter() - started), "held": True,
    }  # fmt: skip


def _feed(line: Line, recorder: Recorder, message: Message, checked: Checked) -> None:
    recorder.take(message, message)
    outputs = line.feed(message)
    recorder.gave(outputs)
    for output in outputs:
        if isinstance(output, Decisions):
            checked.take(output.rows)


def _forget_old_logs(folder: Path) -> None:
    for path in sorted(folder.glob("*.mcap"))[:-LOGS_KEPT]:
        path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--speed", choices=["max"], default="max")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        try:
            result = {"simulated": True, "seed": args.seed, **soak(Path(text), args.hours, args.seed)}
        except AssertionError as error:
            print(f"seed {args.seed}: {error}", file=sys.stderr)
            result = {"simulated": True, "seed": args.seed, "held": False, "broke": str(error)}
    result["machine"] = machine()
    print(json.dumps(result))
    sys.exit(0 if result["held"] else 1)


if __name__ == "__main__":
    main()
