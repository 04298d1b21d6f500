"""What a live line survives: ``python -m benchmarks.faults --json [--kills N] [--only kills,fuzz,held] [--bytes N]``.

``kills``: processes are killed (SIGKILL) at ``--kills`` random instants, each process equally often and at instants of its own,
the servers they are forked from too, and whatever the others are at, one every ``--every-s`` seconds in the mean; the line runs
at its full speed on devices that play a rendered loop (SIMULATED).
``recovery_s`` is the longest from a kill to the first work of the next process: a message fed, a commit, a frame, a scan, or a
pulse; of a fork server, until there are as many as before. ``acked_lost`` are decisions that had been
acknowledged and are not in the table afterwards, ``log_lost_s`` is the longest stretch of line time whose decisions are in the
table and not in the log; ``broken`` what of `benchmarks.invariant` does not hold.
``fuzz``: ``driver_fuzz_escapes`` is what `benchmarks.fuzz` finds in all drivers, hangs included, a row each in ``driver_fuzz``.
``held``: how many of the numbered faults of ``docs/faults.md`` all their tests hold; a skipped test holds nothing.
"""

import argparse
import json
import math
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import fault_page, invariant
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
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.processes import Process
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import CORE, FORK_SERVER, PLC, RECORDER, SPECTRA
from citrus_grade.tables import Table

LEAST_REST_S = 5.2
"""From a process's first work to its next death: one that dies sooner, again and again, is left dead for up to 5 s on purpose."""
EVERY_S = 7.0
"""In the mean from one death to the next on the line."""
SETTLE_S = 2.0
WORK = {CORE: "messages", RECORDER: "commits", PLC: "pulses", SPECTRA: "scans"}
"""What rises when a process works; of cameras, frames."""


@dataclass(slots=True)
class Victim:
    """A process that is killed again and again: how often still, when next, when it died and what it had done by then."""

    left: int
    at: float
    died_at: float | None = None
    done: int = 0
    recovery_s: list[float] = field(default_factory=list)


class Killer:
    """Kills the processes of a line at so many instants in all, each at its own, one every ``every_s`` seconds in the mean."""

    def __init__(self, kills: int, seed: int, every_s: float) -> None:
        self._rng, self._kills, self._every_s = random.Random(seed), kills, every_s
        self._over_at, self._rest_s = 0.0, (0.0, 0.0)
        self.acknowledged: list[int] = []
        self.victims: dict[str, Victim] = {}

    def __call__(self, supervisor: Supervisor) -> bool:
        now = time.monotonic()
        if not self.victims:
            roles = (*supervisor.roles, FORK_SERVER)
            each_s, each = self._every_s * len(roles), math.ceil(self._kills / len(roles))
            self.victims = {role: Victim(each, now + self._rng.uniform(0.0, each_s)) for role in roles}
            self._rest_s = max(0.5 * each_s, LEAST_REST_S), max(1.5 * each_s, 2 * LEAST_REST_S)
        for role, victim in self.victims.items():
            self._look(supervisor, role, victim, now)
        if any(victim.left or victim.died_at is not None for victim in self.victims.values()):
            self._over_at = now + SETTLE_S
        return now > self._over_at

    def _look(self, supervisor: Supervisor, role: str, victim: Victim, now: float) -> None:
        if victim.died_at is not None:
            if _done(supervisor, role) > victim.done:
                victim.recovery_s.append(time.monotonic() - victim.died_at)
                victim.died_at, victim.at = None, now + self._rng.uniform(*self._rest_s)
        elif victim.left and now >= victim.at and (process := _process(supervisor, role)) is not None:
            self.acknowledged.append(int(supervisor.board.shared["committed_cup"][0]))
            victim.died_at = time.monotonic()
            process.kill()
            process.wait()  # until then it may still count
            victim.done, victim.left = _done(supervisor, role), victim.left - 1
            print(f"{role} killed, {victim.left} times more", file=sys.stderr)


def _process(supervisor: Supervisor, role: str) -> Process | None:
    return next(iter(supervisor.fork_servers), None) if role == FORK_SERVER else supervisor.children[role].process


def _done(supervisor: Supervisor, role: str) -> int:
    """Return what a process has done, which rises; of fork servers how many there are."""
    if role == FORK_SERVER:
        return len([server for server in supervisor.fork_servers if server.poll() is None])
    return supervisor.board.station(role).counted()[WORK.get(role, "frames")]


def kills(folder: Path, n: int, seed: int, *, cups_per_s: float | None = None, every_s: float = EVERY_S) -> dict[str, Any]:
    """Kill processes of a running line at ``n`` instants; return what was lost and how long each was gone."""
    live, run, fell = folder / "line" / "live.toml", folder / "run", folder / "fell"
    live.write_text(played(folder / "line" / "line.toml", folder / "tape", fell=fell, cups_per_s=cups_per_s), encoding="utf-8")
    killer = Killer(n, seed, every_s)
    ended = run_live(live, run, during=killer, seconds=120.0 + 3 * (every_s + LEAST_REST_S) * n)
    held, lanes = invariant.look(run, fell), load(live).line.lanes
    cups, times = np.unique(held.rows["cup"], return_counts=True)
    lost = set(range(max(killer.acknowledged) + 1)) - set(cups.tolist())
    report = replay(run)
    return {
        "kills": {role: len(victim.recovery_s) for role, victim in killer.victims.items()},
        "acked_lost": len(lost) * lanes + int(np.sum(np.abs(times - lanes))),
        "broken": held.broken,
        "recovery_s": _named({role: max(victim.recovery_s) for role, victim in killer.victims.items()}),
        "recovery_s_p50": _named({role: median(victim.recovery_s) for role, victim in killer.victims.items()}),
        "log_lost_s": _log_lost_s(run, cups, load(live).line.cups_per_s),
        "replay_diff_fields": report.diff_fields,
        "replayed": report.compared,
        "cups": len(cups),
        "fell": len(held.fell),
        "reasons": ended.reasons,
    }


def _named(recovery_s: dict[str, float]) -> dict[str, float]:
    """Return times by role, the slowest camera's for cameras."""
    names = {role.rstrip("0123456789") for role in recovery_s}
    return {name: round(max(s for role, s in recovery_s.items() if role.startswith(name)), 3) for name in sorted(names)}


def _log_lost_s(run: Path, cups: Table, cups_per_s: float) -> float:
    logged = {int(cup) for path in files(run) for entry in LogReader(path, frames=False) for cup in _cups_of(entry)}
    longest = run_of = 0
    for cup in cups.tolist():
        run_of = 0 if cup in logged else run_of + 1
        longest = max(longest, run_of)
    return longest / cups_per_s


def _cups_of(entry: Any) -> list[int]:
    return np.unique(entry.rows["cup"]).tolist() if isinstance(entry, Decisions) else []


def _kills(n: int, seed: int, every_s: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for name in ("line", "tape"):
            (folder / name).mkdir()
        set_up(folder / "line", seed)
        options = SimOptions(seed=seed, season=NEW_SEASON)
        tape.record(load(folder / "line" / "line.toml"), folder / "tape", options, LOOP_CUPS)
        return kills(folder, n, seed, every_s=every_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--kills", type=int, default=50, help="of all processes together")
    parser.add_argument("--every-s", type=float, default=EVERY_S)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bytes", type=int, default=1_000_000, help="into each driver")
    parser.add_argument("--only", default="kills,fuzz,held")
    args = parser.parse_args()
    only = args.only.split(",")
    result: dict[str, Any] = {"simulated": True, "seed": args.seed}
    if "kills" in only:
        result |= _kills(args.kills, args.seed, args.every_s)
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
