"""A live line of real processes: ``python -m benchmarks.live --json [--seconds N] [--only line,hog,most,wire] [--seed N]``.

Six lanes of 12 cups/s, one camera, 8 views a fruit, 8 scans of 256 pixels. The devices are simulated: each process has its own,
which plays a loop of frames and scans rendered beforehand, from memory that the processes share. Times are those of the real
processes, from the look at the PLC that brings the pulse to the moment the PLC has its ejections; what is played is SIMULATED.
``wire``: the same against emulated devices over GigE Vision, the Ocean Binary Protocol and Modbus. ``hog``: the same beside a CPU
hog that is niced.

A fruit is missed (``missed_deadlines``, ``wire_lost``, and what ``max_cups_per_s`` has none of) that was decided late or without
all its data, or whose ejection was queued late, refused or told of as late by its outlet; so is whatever was shed. What simulates
may take a quarter of a core: ``over`` names which of ``simulation_cpu_pct`` (the devices that play the loop, by themselves) and
``wire_emulators_cpu_pct`` take more, and then the exit code is 1.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine
from citrus_grade.config import load
from citrus_grade.drivers.sim import devices, tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.messages import Reason
from citrus_grade.runtime.demo import NEW_SEASON, set_up
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.board import quantile_us
from citrus_grade.runtime.live.emulated import KINDS, Emulation
from citrus_grade.runtime.live.observer import SHED
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.sense import GRAB_S
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.tables import Table

LOOP_CUPS = 48
SETTLE_S = 3.0
SPEEDS = (12.0, 14.0, 16.0, 18.0, 20.0, 22.0, 24.0)
HOG = "while True: sum(i * i for i in range(100000))"
STAGES = {"wait": "core", "decide": "core", "queue": "plc", "eject": "plc", "poll": "plc"}
"""Stages that are told of, and whose each is: the first four lie on the way from the pulse to the PLC's acknowledgement."""
SIMULATION_CPU_PCT = 25.0
"""What may be spent on simulating, or it is the simulator that is measured."""
PARTS = ("line", "hog", "most", "wire")
LOST = tuple(name for name in SHED if name not in ("slow_polls", "shed_words"))
"""Counters each rise of which may have cost a fruit its outlet."""


def measure(folder: Path, seconds: float, *, cups_per_s: float | None = None, realtime: bool = False) -> dict[str, Any]:
    """Run the line on devices that play the loop; return what `watched` does."""
    text = played(folder / "line" / "line.toml", folder / "tape", cups_per_s=cups_per_s)
    return watched(folder / "line" / "live.toml", text, seconds, cups_per_s or 12.0, realtime)


def wire(folder: Path, seconds: float, *, realtime: bool = False) -> dict[str, Any]:
    """Run the line on emulated devices, over their real protocols; return what `watched` does, and what the emulators cost."""
    with Emulation(folder / "line" / "line.toml", folder, devices=KINDS) as emulation:
        text = emulation.start().read_text(encoding="utf-8")
        emulators = {f"emulated {name}": pid for name, pid in emulation.pids.items()}
        found = watched(folder / "emulated-live.toml", text, seconds, 12.0, realtime, emulators)
        return found | {"emulators_cpu_pct": round(sum(found["cpu_pct"][name] for name in emulators), 1)}


class Look(NamedTuple):
    """A look at a running line: seconds of the belt, histograms by stage, seconds of processor time by process, what was lost."""

    up_s: float
    times: dict[str, NDArray[np.int64]]
    cpu_s: dict[str, float]
    lost: dict[str, int]


def lost(supervisor: Supervisor) -> dict[str, int]:
    """Return what has risen by now of `LOST`, all processes together, and how often an outlet told that it was asked late."""
    counted = [supervisor.board.station(role).counted() for role in supervisor.roles]
    found = {name: sum(one[name] for one in counted) for name in LOST}
    return found | {"outlet_late": supervisor.observer.counted.times["outlet_late"]}


def missed(rows: Table, lost: Mapping[str, int]) -> dict[str, Any]:
    """Return how many ``rows`` were decided too late or without all their data, and ``missed``: those and all that was ``lost``.

    A fruit whose ejection was late and that the outlet told of as well counts twice: 0 is what is asked for.
    """
    reasons = np.bincount(rows["reason"], minlength=len(Reason))
    late, missing = int(reasons[Reason.LATE]), int(reasons[Reason.MISSING_VIEW] + reasons[Reason.MISSING_SPECTRUM])
    told = {name: n for name, n in lost.items() if n}
    return {"missed": late + missing + sum(told.values()), "late": late, "missing": missing, "lost": told}


def watched(
    live: Path, text: str, seconds: float, cups_per_s: float, realtime: bool, others: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Run a line for so long; return quantiles in ms, missed deadlines, and each share of a core, of ``others`` (pids) too."""
    live.write_text(text + f"\n[live]\nrealtime = {str(realtime).lower()}\n", encoding="utf-8")
    looks: list[Look] = []

    def during(supervisor: Supervisor) -> None:
        up_s = (int(supervisor.board.shared["decided_cup"][0]) + 1) / cups_per_s
        if up_s > SETTLE_S:
            pids = {role: child.pid for role, child in supervisor.children.items()} | dict(others or {})
            times = {stage: supervisor.board.station(role).times(stage) for stage, role in STAGES.items()}
            looks[1:] = [Look(up_s, times, {name: _cpu_s(pid) for name, pid in pids.items()}, lost(supervisor))]

    with tempfile.TemporaryDirectory() as parent:
        run = Path(parent) / "run"
        ended = run_live(live, run, seconds=seconds + SETTLE_S + 1, during=during)
        rows = np.concatenate(list(store.decisions(run)))
    first, last = looks[0], looks[-1]
    span_s = max(last.up_s - first.up_s, 1e-9)
    times = {stage: last.times[stage] - first.times[stage] for stage in STAGES}
    assert ended.live is not None
    counted = ended.live["processes"]
    # What is decided after the last look lacks what the devices, which are stopped first, no longer sent.
    settled = rows[(rows["cup"] > SETTLE_S * cups_per_s) & (rows["cup"] < round(last.up_s * cups_per_s))]
    return {
        **_quantiles_ms(times["eject"]),
        "n": int(times["eject"].sum()),
        "stages_ms": {stage: _quantiles_ms(found) for stage, found in times.items()},
        **missed(settled, {name: n - first.lost[name] for name, n in last.lost.items()}),
        "cpu_pct": {name: round(100 * (used_s - first.cpu_s[name]) / span_s, 1) for name, used_s in last.cpu_s.items()},
        "decided": len(settled),
        "restarts": sum(process["restarts"] for process in counted.values()),
        "delivery": ended.accuracy["delivery"] if ended.accuracy else None,
    }


def _quantiles_ms(histogram: NDArray[np.int64]) -> dict[str, float]:
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999}
    return {name: round(quantile_us(histogram, share) / 1000, 3) for name, share in shares.items()}


def _cpu_s(pid: int | None) -> float:
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulation_cpu_pct(folder: Path, seconds: float = 10.0) -> float:
    """Return the share of a core that the devices which play the loop take by themselves, asked as often as a line asks them."""
    live = folder / "line" / "live.toml"
    live.write_text(played(folder / "line" / "line.toml", folder / "tape"), encoding="utf-8")
    config, until = load(live), time.monotonic() + seconds
    cameras = [devices.open_camera(config, index) for index in range(len(config.camera))]
    spectrometers = [devices.open_spectrometer(config, lane) for lane in range(config.line.lanes)]
    plc = devices.open_plc(config)

    def ask(once: Callable[[], object]) -> None:
        while time.monotonic() < until:
            once()

    def look() -> None:
        plc.poll()
        time.sleep(config.live.poll_ms / 1000)

    began_s = time.process_time()
    grabs = [partial(camera.grab, GRAB_S) for camera in cameras], [partial(one.grab, GRAB_S) for one in spectrometers]
    threads = [threading.Thread(target=ask, args=(once,)) for once in (look, *grabs[0], *grabs[1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    plc.close()
    return round(100 * (time.process_time() - began_s) / seconds, 1)


def may_be_realtime() -> bool:
    """Say whether this machine permits a fixed priority."""
    code = "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def most_cups_per_s(folder: Path, seconds: float, realtime: bool) -> float:
    """Return the highest of `SPEEDS` a lane at which no deadline is missed, 0 if none."""
    held = 0.0
    for speed in SPEEDS:
        found = measure(folder, seconds, cups_per_s=speed, realtime=realtime)
        print(f"{speed:g} cups/s: missed {found['missed']} of {found['decided']}, p99 {found['p99']:.1f} ms", file=sys.stderr)
        if found["missed"]:
            break
        held = speed
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default=",".join(PARTS))
    args = parser.parse_args()
    parts = args.only.split(",")
    fifo = may_be_realtime()
    result: dict[str, Any] = {"simulated": True, "seed": args.seed, "seconds": args.seconds, "fifo_permitted": fifo}
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as text:
        folder = Path(text)
        for name in ("line", "tape"):
            (folder / name).mkdir()
        set_up(folder / "line", args.seed)
        tape.record(
            load(folder / "line" / "line.toml"), folder / "tape", SimOptions(seed=args.seed, season=NEW_SEASON), LOOP_CUPS
        )
        for suffix, realtime in (("", False), *([("_fifo", True)] if fifo else [])):
            if "line" in parts:
                found = measure(folder, args.seconds, realtime=realtime)
                result |= {f"decision_ms_{share}{suffix}": found[share] for share in ("p50", "p99", "p999")}
                result |= {f"missed_deadlines{suffix}": found["missed"], f"line{suffix}": found}
            if "hog" in parts:
                hog = subprocess.Popen(["nice", "-n", "10", sys.executable, "-c", HOG])
                try:
                    result[f"hog_ms_p99{suffix}"] = measure(folder, args.seconds, realtime=realtime)["p99"]
                finally:
                    hog.kill()
                    hog.wait()
            if "wire" in parts:
                found = wire(folder, args.seconds, realtime=realtime)
                result |= {f"wire_ms_p99{suffix}": found["p99"], f"wire_lost{suffix}": found["missed"]}
                result |= {f"wire_delivery{suffix}": found["delivery"], f"wire{suffix}": found}
                result |= {f"wire_emulators_cpu_pct{suffix}": found["emulators_cpu_pct"]}
            if "most" in parts:
                result[f"max_cups_per_s{suffix}"] = most_cups_per_s(folder, min(args.seconds, 60.0), realtime)
        result["simulation_cpu_pct"] = simulation_cpu_pct(folder)
    over = [key for key, value in result.items() if "cpu_pct" in key and value > SIMULATION_CPU_PCT]
    result |= {"over": over, "machine": machine()}
    if not args.json:
        for key, value in result.items():
            print(f"{key:28} {value}")
    print(json.dumps(result))
    sys.exit(1 if over else 0)


if __name__ == "__main__":
    main()
