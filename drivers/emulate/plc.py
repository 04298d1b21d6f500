"""``python -m citrus_grade.drivers.emulate.plc LINE.toml``: a PLC over Modbus whose belt is that of a `drivers.sim.tape`."""

import argparse
import os
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.drivers.sim.devices import FELL, LoopClock
from citrus_grade.drivers.sim.shutters import Shutters

PRIORITY = 52
"""Above the line's own, where the machine permits it: a real PLC has its own processor, and answers however busy this one is."""


class Fell:
    """Writes down what fell, as `drivers.sim.devices.FELL`."""

    def __init__(self, config: LineConfig, path: Path) -> None:
        self._path, self._ratio = path, config.encoder.ratio
        self._station = [[outlet.station + phase for outlet in config.outlet] for phase in config.phases]

    def __call__(self, lane: int, outlet: int, tick: int, cup: int) -> None:
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
    parser.add_argument("--fell", type=Path, required=True)
    parser.add_argument("--shutters", type=Path, default=None)
    given = parser.parse_args()
    config = load(given.line)
    clock = LoopClock(given.t0_ns or time.monotonic_ns(), given.cups_per_s or config.line.cups_per_s)
    shutters = Shutters(config.line.lanes, given.shutters) if given.shutters else None
    plc = EmulatedPlc(config, clock.cups_at, fell=Fell(config, given.fell), index_sensor=True, shutters=shutters)
    with suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    with PlcServer(plc, given.url) as server:
        print(server.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
