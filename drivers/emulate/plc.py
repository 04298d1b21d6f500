"""``python -m citrus_grade.drivers.emulate.plc LINE.toml``: a PLC over Modbus whose belt is that of a `drivers.sim.tape`.

Every cup seems to carry a fruit: whatever fires, its drop sensor sees something fall.
"""

import argparse
import math
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.emulate.failing import PlcObeys
from citrus_grade.drivers.modbus.emulated import WATCHDOG_MS, EmulatedPlc
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.drivers.sim.devices import FELL, LoopClock
from citrus_grade.drivers.sim.fault_plan import PlanFile
from citrus_grade.drivers.sim.shutters import Shutters

PRIORITY = 52
"""Above the line's own, where the machine permits it: a real PLC has its own processor, and answers however busy this one is."""


FURTHEST_CUPS = 50_000
"""A counter that leaps further may seem to have fallen."""


class LoopBelt:
    """The belt of a loop that the other devices play without end: host ns -> pitches moved.

    It stands until it is driven. At the loop's own speed it is where the others are, as if it had never stood; where that lies
    behind it or very far ahead, it is at the same place of the next turn, which looks the same. At any other speed it goes on by
    itself from where it is.
    """

    def __init__(self, clock: LoopClock, cups_per_s: float, loop_cups: int, ticks_per_cup: Fraction) -> None:
        self._clock, self._cups_per_s, self._loop_cups, self._per_cup = clock, cups_per_s, loop_cups, float(ticks_per_cup)
        self._legs: list[tuple[int, Callable[[int], float]]] = [(0, lambda _at_ns: 0.0)]
        self.with_loop = False

    def __call__(self, at_ns: int) -> float:
        since_ns, moved = self._legs[-1]
        return moved(at_ns) if at_ns >= since_ns else self._legs[0][1](at_ns)

    def drive(self, now_ns: int, run: bool, ticks_per_s: int) -> None:
        """Run at a speed, or stand."""
        here, cups_per_s = self(now_ns), ticks_per_s / self._per_cup if run else 0.0
        self.with_loop = abs(cups_per_s - self._cups_per_s) * self._per_cup < 1
        if self.with_loop:
            ahead = self._clock.cups_at(now_ns) - here
            turns = 0 if 0 <= ahead < FURTHEST_CUPS else math.ceil(-ahead / self._loop_cups)
            leg = (now_ns, lambda at_ns: self._clock.cups_at(at_ns) + turns * self._loop_cups)
        else:
            leg = (now_ns, lambda at_ns: here + cups_per_s * (at_ns - now_ns) / 1e9)
        self._legs = [self._legs[-1], leg]


class Fell:
    """Writes down what fell while the belt ran with the loop, as `drivers.sim.devices.FELL`."""

    def __init__(self, config: LineConfig, path: Path, belt: LoopBelt | None) -> None:
        self._path, self._ratio, self._belt = path, config.encoder.ratio, belt
        self._station = [[outlet.station + phase for outlet in config.outlet] for phase in config.phases]

    def __call__(self, lane: int, outlet: int, tick: int, cup: int) -> None:
        if self._belt and not self._belt.with_loop:
            return
        dropped = round(float(tick / self._ratio) - self._station[lane][outlet])
        with self._path.open("ab") as file:
            file.write(np.array([(lane, outlet, dropped, tick)], FELL).tobytes())


def main() -> None:
    """Serve until the other end of standard input is gone; print where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("line", type=Path)
    parser.add_argument("--url", default="tcp://127.0.0.1:0")
    parser.add_argument("--t0-ns", type=int, default=None)
    parser.add_argument("--cups-per-s", type=float, default=None)
    parser.add_argument("--loop-cups", type=int, default=0, help="of the loop; without it the belt runs by itself")
    parser.add_argument("--fell", type=Path, required=True)
    parser.add_argument("--watchdog-ms", type=int, default=WATCHDOG_MS)
    parser.add_argument("--shutters", type=Path, default=None)
    parser.add_argument("--faults", type=Path, default=None, help="a fault_plan.FaultPlan, which may be written later")
    given = parser.parse_args()
    config = load(given.line)
    cups_per_s = given.cups_per_s or config.line.cups_per_s
    clock = LoopClock(given.t0_ns or time.monotonic_ns(), cups_per_s)
    drives = config.live.drives_belt and given.loop_cups
    belt = LoopBelt(clock, cups_per_s, given.loop_cups, config.encoder.ratio) if drives else None
    shutters = Shutters(config.line.lanes, given.shutters) if given.shutters else None
    plc = EmulatedPlc(
        config,
        belt or clock.cups_at,
        fell=Fell(config, given.fell, belt),
        drive=belt.drive if belt else None,
        drop_sensor=True,
        index_sensor=True,
        watchdog_ms=given.watchdog_ms,
        shutters=shutters,
    )
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    with PlcServer(plc, given.url) as server:
        print(server.url, flush=True)
        obeys = PlcObeys(server, PlanFile(given.faults), clock.cups) if given.faults else None
        sys.stdin.read()
        if obeys:
            obeys.stop()


if __name__ == "__main__":
    main()
