"""Compiled functions loaded before the first fruit comes: from numba's cache, or compiled where this machine has none yet."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import citrus_grade
from citrus_grade.line import Line
from citrus_grade.messages import Command, Frame, Position, Pulse, Reading, Scans
from citrus_grade.rundir import load_line
from citrus_grade.templates import LINE


def warm(line: Line) -> None:
    """Run a line that nobody needs any more over a few empty pitches: afterwards every compiled function is loaded."""
    config = line.config
    lanes = np.arange(config.line.lanes, dtype=np.int32)
    for index, camera in enumerate(config.camera):
        size = (camera.height_px, camera.width_px, 3) if camera.bayer == "rgb" else (camera.height_px, camera.width_px)
        line.feed(Frame(index, 0, 0, 0, np.zeros(size, np.uint8)))
    line.feed(Command(0, 0, "dark_refresh", ""))
    for lane in lanes.tolist():
        line.feed(Reading(0, 0, lane, "shutter", float(Position.CLOSED)))
    for pitch in range(config.line.decision_station + 2):
        tick = round(pitch * config.encoder.ratio)
        if config.spectrometer:
            counts = np.zeros((len(lanes), config.spectrometer.pixels), np.uint16)
            line.feed(Scans(0, lanes, lanes * 0 + pitch, np.full(len(lanes), tick, np.int64), counts))
        line.feed(Pulse(tick, tick, 0))


@contextmanager
def compiled_beside() -> Iterator[None]:
    """Compile imaging and decisions in a process of their own while the body does something else; wait for it at the end.

    Whatever becomes of that process, what is missing is compiled where it is needed.
    """
    process = subprocess.Popen([sys.executable, "-m", "citrus_grade.runtime.warming"], stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.wait()


def is_cached() -> bool:
    """Say whether imaging has been compiled on this machine before; without loading it, which would compile."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(given) if given else Path(citrus_grade.__file__).parent / "imaging" / "__pycache__"
    return next(folder.rglob("kernel.*.nbc"), None) is not None


if __name__ == "__main__":
    warm(load_line(LINE).line())
