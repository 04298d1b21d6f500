"""What a live line survives: ``python -m benchmarks.faults --json [--kills N] [--seed N] [--only kills,fuzz,held] [--bytes N]``.

``kills``: each process in turn is killed (SIGKILL) at a random instant, the line running at its full speed on devices that play a
rendered loop (SIMULATED). ``acked_lost`` are decisions that had been acknowledged and are not in the table afterwards,
``log_lost_s`` is the longest stretch of line time whose decisions are in the table and not in the log.
``fuzz``: ``driver_fuzz_escapes`` is what `benchmarks.fuzz` finds in all drivers, hangs included, a row each in ``driver_fuzz``.
``held``: how many of the numbered faults of ``docs/faults.md`` all their tests hold; a skipped test holds nothing.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import fault_page
from benchmarks.fuzz import fuzz
from benchmarks.fuzz_targets import TARGETS
from benchmarks.live import LOOP_CUPS
from benchmarks.machine import machine
from citrus_grade.config import load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.messages import Decisions
from citrus_grade.replay import replay
from citrus_grade.runlog import LogReader, files
from citrus_grade.runtime.demo import NEW_SEASON, set_up
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.tables import Table

REST_S = (0.5, 3.0)
"""Between the moment everything works again and the next kill."""


class Killer:
    """Kills one process after another, each once the last is back and a spare stands ready."""

    def __init__(self, kills: int, seed: int) -> None:
        self._rng = random.Random(seed)
        self._left = kills
        self._at = 0.0
        self._dead: tuple[str, int] | None = None
        self.acknowledged: list[int] = []
        self.killed: list[str] = []
        self.recovery_s: dict[str, list[float]] = {}

    def __call__(self, supervisor: Supervisor) -> bool:
        now = time.monotonic()
        if self._dead is not None:
            role, known = self._dead
            if len(supervisor.children[role].recovery_s) == known:
                return False
            self.recovery_s.setdefault(role, []).append(supervisor.children[role].recovery_s[-1])
            self._dead, self._at = None, now + self._rng.uniform(*REST_S)
        if self._left == 0:
            return now > self._at + 2.0
        spare = supervisor.spare_ready
        if not self._at:
            self._at = now + 2.0
        if now < self._at or not spare:
            return False
        role = supervisor.roles[len(self.killed) % len(supervisor.roles)]
        pid = supervisor.children[role].pid
        if pid is None:
            return False
        self.acknowledged.append(int(supervisor.board.shared["committed_cup"][0]))
        self._dead = (role, len(supervisor.children[role].recovery_s))
        os.kill(pid, signal.SIGKILL)
        self.killed.append(role)
        self._left -= 1
        print(f"{len(self.killed)} killed, last {role}", file=sys.stderr)
        return False


def kills(folder: Path, n: int, seed: int) -> dict[str, Any]:
    """Kill ``n`` processes of a running line; return what was lost and how long each was gone."""
    live, run = folder / "line" / "live.toml", folder / "run"
    live.write_text(played(folder / "line" / "line.toml", folder / "tape"), encoding="utf-8")
    killer = Killer(n, seed)
    run_live(live, run, during=killer, seconds=60.0 + 15.0 * n)
    rows = np.concatenate(list(store.decisions(run)))
    lanes = load(live).line.lanes
    cups, times = np.unique(rows["cup"], return_counts=True)
    lost = set(range(max(killer.acknowledged) + 1)) - set(cups.tolist())
    report = replay(run)
    return {
        "killed": len(killer.killed),
        "acked_lost": len(lost) * lanes + int(np.sum(np.abs(times - lanes))),
        "undecided_cups": int(cups.max() - cups.min() + 1 - len(cups)),
        "recovery_s": {role.rstrip("0123456789"): max(found) for role, found in killer.recovery_s.items()},
        "log_lost_s": _log_lost_s(run, cups, load(live).line.cups_per_s),
        "replay_diff_fields": report.diff_fields,
        "replayed": report.compared,
    }


def _log_lost_s(run: Path, cups: Table, cups_per_s: float) -> float:
    logged = {int(cup) for path in files(run) for entry in LogReader(path, frames=False) for cup in _cups_of(entry)}
    longest = run_of = 0
    for cup in cups.tolist():
        run_of = 0 if cup in logged else run_of + 1
        longest = max(longest, run_of)
    return longest / cups_per_s


def _cups_of(entry: Any) -> list[int]:
    return np.unique(entry.rows["cup"]).tolist() if isinstance(entry, Decisions) else []


def _kills(n: int, seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in ("line", "tape"):
            (folder / name).mkdir()
        set_up(folder / "line", seed)
        options = SimOptions(seed=seed, season=NEW_SEASON)
        tape.record(load(folder / "line" / "line.toml"), folder / "tape", options, LOOP_CUPS)
        return kills(folder, n, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="into each driver")
    parser.add_argument("--only", default="kills,fuzz,held")
    args = parser.parse_args()
    only = args.only.split(",")
    result: dict[str, Any] = {"simulated": True, "seed": args.seed}
    if "kills" in only:
        result |= _kills(args.kills, args.seed)
    if "fuzz" in only:
        result |= fuzz(args.bytes, args.seed, list(TARGETS))
    if "held" in only:
        result["faults_held"] = fault_page.held(fault_page.read()[0])
    result["machine"] = machine()
    if not args.json:
        for key, value in result.items():
            print(f"{key:28} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
