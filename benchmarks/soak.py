"""Hours of a live line in minutes, something going wrong every minute: ``python -m benchmarks.soak --json --hours H [--seed N]``.

The real core, recorder, fruit table, observer and log of events work in one process, over the shared memory and the socket pairs
of a live line. The devices play a rendered loop (SIMULATED) on a belt that moves on whenever the core is ready for more; the
core's garbage collector is off, as it is live. Devices fail by a `fault_plan` drawn by the seed; cores are killed, recorders
replaced, lanes switched off, references asked for that no shutter answers. Held as it goes is what `benchmarks.invariant` holds
of any run; what is left of the log is replayed at the end. ``rss_mb_per_h`` is the upper end of the 95 % interval of the slope
of what this process holds and does not share, over line hours, the first tenth left out, and the first minutes of every process
that took another's place: what that one leaves here, as it would not live, shifts the level and is no part of the slope
(``rss_mb_per_h_with_replacements`` has it). How processes wait for each other is for the tests of live lines to show.
"""

import argparse
import gc
import json
import random
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from benchmarks.machine import machine
from benchmarks.soak_line import LASTS_CUPS, Killed, Line, World, reap
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.fault_plan import CAMERA_FAULTS, PLC_FAULTS, SPECTROMETER_FAULTS, FaultPlan, draw
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.replay import replay
from citrus_grade.rundir import with_section
from citrus_grade.runtime.demo import NEW_SEASON, set_up
from citrus_grade.runtime.live import core
from citrus_grade.runtime.live.work import CORE

Floats = NDArray[np.float64]
LOOP_CUPS = 48
DEVICES = tuple(kind for kind in (*CAMERA_FAULTS, *SPECTROMETER_FAULTS, *PLC_FAULTS) if kind != "shutter_sticks")
OTHERS = ("core_killed", "recorder_replaced", "lane_off", "dark_asked")
"""What goes wrong beside devices, drawn as the plan's faults are."""
FAULTS = (*DEVICES, *OTHERS)
SETTLES_H = 0.06
"""A process that is new has taken what it needs by then: log files have begun and ended, each of its ways has been gone."""
LOGS_KEPT = 3
FILE_MINUTES = 2


def _drawn(seed: int, config: LineConfig, pitches: int, every: int) -> tuple[FaultPlan, dict[int, str]]:
    """Return the devices' plan and what else happens, by pitch: one thing every so many pitches, its kind drawn."""
    rng = random.Random(seed)
    kinds = {pitch: rng.choice(FAULTS) for pitch in range(every, pitches, every)}
    people = {pitch: kind for pitch, kind in kinds.items() if kind in OTHERS}
    place = config.line.lanes, len(config.outlet)
    plans = [draw(seed + pitch, [pitch], [kind], *place, LASTS_CUPS) for pitch, kind in kinds.items() if kind in DEVICES]
    return FaultPlan(seed, tuple(fault for plan in plans for fault in plan.faults)), people


def soak(folder: Path, hours: float, seed: int, every_s: float = 60.0) -> dict[str, Any]:
    """Run the line for so many hours of its own time, a fault every so many seconds of it.

    Raises
    ------
    AssertionError : naming what did not hold, and by which cup.
    """
    line_toml = set_up(folder, seed)
    text = line_toml.read_text(encoding="utf-8")
    line_toml.write_text(with_section(text, "log", {"file_minutes": FILE_MINUTES}), encoding="utf-8")
    config = load(line_toml)
    (folder / "tape").mkdir()
    tape.record(config, folder / "tape", SimOptions(seed=seed, season=NEW_SEASON), LOOP_CUPS)
    pitches = round(hours * 3600 * config.line.cups_per_s)
    plan, people = _drawn(seed, config, pitches, round(every_s * config.line.cups_per_s))
    times = Counter([*(fault.kind for fault in plan.faults), *people.values()])
    line = Line(folder, line_toml, plan)
    found = Grown(config, pitches, line.run / "log")
    world = World(line, pitches, people, found.sample)
    started = time.perf_counter()
    try:
        _run(line, world)
    finally:
        gc.enable()
        gc.unfreeze()
        world.plc.loop.close()
        line.close()
    took_s = time.perf_counter() - started
    report = replay(line.run)
    assert report.diff_fields == 0, f"{report.diff_fields} fields differ in replay: {report.first_differences[:3]}"
    counted = line.supervisor.observer.counted.times
    return {
        **found.growth(), "hours": hours, "cups": world.recorder.cups, "graded": world.recorder.graded,
        "fell": world.recorder.dropped, "faults": dict(times), "replayed": report.compared,
        "replay_diff_fields": report.diff_fields, "alarms": dict(counted), "x_realtime": hours * 3600 / took_s, "held": True,
    }  # fmt: skip


def _run(line: Line, world: World) -> None:
    """Have one core after another until the belt has moved as far as it is to move."""
    while True:
        try:
            core.run(line.work(CORE, world.step))
            break
        except Killed:
            pass
        reap()
    world.recorder.close(world.plc.shifts)


def common_slope(at: Floats, value: Floats, group: Floats) -> tuple[float, float, int]:
    """Return the slope that all groups share, each with a level of its own, its standard error and the degrees of freedom."""
    _names, which = np.unique(group, return_inverse=True)
    n = np.bincount(which)
    x, y = (one - (np.bincount(which, one) / n)[which] for one in (at, value))
    slope, free = float(x @ y / (x @ x)), len(x) - len(n) - 1
    return slope, float(np.sqrt(np.sum((y - slope * x) ** 2) / free / (x @ x))), free


def own_mb() -> float:
    """Return the memory this process holds but does not share, in MB: what is shared has its size from the start, and would count
    for each of the line's processes that map it here."""
    lines = (line.split() for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines())
    held = {name: int(rest[0]) for name, *rest in lines if name in ("RssAnon:", "RssFile:")}
    return sum(held.values()) * 1024 / 1e6


class Grown:
    """How memory and descriptors grow."""

    def __init__(self, config: LineConfig, pitches: int, logs: Path) -> None:
        self._per_h, self._every, self._logs = 3600 * config.line.cups_per_s, max(pitches // 200, 1), logs
        self._memory: list[tuple[float, float, float]] = []
        self._fds: list[int] = []
        self._next = 0

    def sample(self, pitch: int, replaced: int) -> None:
        """Look, if it is time, and let go of old log files; ``replaced`` is how many processes have been so far."""
        if pitch < self._next:
            return
        self._next = pitch + self._every
        for path in sorted(self._logs.glob("*.mcap"))[:-LOGS_KEPT]:
            path.unlink()
        self._memory.append((pitch / self._per_h, own_mb(), replaced))
        self._fds.append(sum(1 for _ in Path("/proc/self/fd").iterdir()))
        if sys.stderr.isatty():
            print(f"\r{pitch} cups, {self._memory[-1][1]:.0f} MB", end="", file=sys.stderr)

    def growth(self) -> dict[str, Any]:
        """Return the slope's upper 95 % bound and what goes with it; a file that is open for a moment is no descriptor more."""
        memory = np.array(self._memory[len(self._memory) // 10 :])
        began_h = np.array([at[0] for at in self._memory])[np.searchsorted([at[2] for at in self._memory], memory[:, 2])]
        settled = memory[memory[:, 0] > began_h + SETTLES_H]
        settled = settled if len(settled) > len(memory) // 3 else memory
        slope, error, free = common_slope(*settled.T)
        bound = slope + stats.t.ppf(0.975, free) * error
        plain, _error, _free = common_slope(memory[:, 0], memory[:, 1], np.zeros(len(memory)))
        tenth = len(self._fds) // 10 + 1
        return {
            "rss_mb_per_h": float(bound), "rss_mb_per_h_slope": float(slope),
            "rss_mb_per_h_with_replacements": float(plain), "rss_mb": self._memory[-1][1],
            "fds_growth": min(self._fds[-tenth:]) - min(self._fds[tenth : 2 * tenth]),
        }  # fmt: skip


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
