"""Compiled functions ready before the first fruit comes: from numba's cache, or compiled where this machine has none yet.

Nothing here is loaded that compiles when it is loaded, so that the longest pieces can be compiled side by side.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import citrus_grade
from citrus_grade.messages import Command, Frame, Position, Pulse, Reading, Scans

if TYPE_CHECKING:  # it compiles as it is loaded
    from citrus_grade.line import Line

JOINING = "join_lanes"
"""The function that takes longest to compile, as long as all others of a line together."""


def warm(line: "Line") -> None:
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


def is_cached() -> bool:
    """Say whether the line has been compiled on this machine before."""
    given = os.environ.get("NUMBA_CACHE_DIR")
    folder = Path(given) if given else Path(citrus_grade.__file__).parent / "__pycache__"
    return next(folder.rglob(f"rings.{JOINING}-*.nbc"), None) is not None


@contextmanager
def compiled_beside() -> Iterator[Callable[[], None]]:
    """Compile the joining of views, then the decisions, in a process of its own; yield what waits for the first of them.

    Whatever becomes of that process, what is missing is compiled where it is needed.
    """
    command = [sys.executable, "-m", "citrus_grade.runtime.warming"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:

        def joined() -> None:
            assert process.stdout is not None
            process.stdout.readline()

        try:
            yield joined
        finally:
            process.kill()


def compile_joining() -> None:
    """Compile the joining of views, for arrays as a line has them."""
    from citrus_grade.config import load
    from citrus_grade.imaging import surface
    from citrus_grade.rings import join_lanes
    from citrus_grade.tables import FRUIT, VIEW, empty
    from citrus_grade.templates import LINE

    config = load(LINE)
    lanes, n_views = config.line.lanes, config.n_views
    views = empty(VIEW, lanes * n_views).reshape(lanes, n_views)
    fruit, joined = empty(FRUIT, lanes), np.zeros(lanes, np.bool_)
    seen, work = np.zeros((lanes, n_views), np.bool_), np.empty((2, n_views))
    room, travel = surface.room(n_views), surface.travel_of(config)
    join_lanes(views, seen, fruit, joined, 128.0, travel, 40.0, room, 0, work, empty(FRUIT, lanes))


def compile_decisions() -> None:
    """Compile what a pulse brings about, in a line that sees nothing."""
    from citrus_grade.rundir import load_line
    from citrus_grade.templates import LINE

    line = load_line(LINE).line()
    for pitch in range(line.config.line.decision_station + 2):
        tick = round(pitch * line.config.encoder.ratio)
        line.feed(Pulse(tick, tick, 0))


if __name__ == "__main__":
    compile_joining()
    print("joining", flush=True)
    compile_decisions()
