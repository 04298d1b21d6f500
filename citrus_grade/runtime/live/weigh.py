"""The process beside a box scale: each weight that has come to rest goes to the log, as a reading of the whole line.

It decides nothing: a scale that is gone is told, and the line goes on.
"""

import socket

from citrus_grade.messages import Reading
from citrus_grade.ports import DeviceGone, Scale
from citrus_grade.runtime.live.clock import tick_at
from citrus_grade.runtime.live.devices import SCALES, opened, opener
from citrus_grade.runtime.live.work import Work

READ_S = 0.1
WHOLE_LINE = -1


def watch_scale(work: Work) -> None:
    """Pass on weights until the line stops."""
    open_ = opener(SCALES, work.config.scale, "scale")
    work.station.ready()
    with work.end("core") as core:
        while (scale := opened(work, lambda: open_(work.config.scale), work.going)) is not None:
            try:
                _pass_on(work, core, scale)
            except DeviceGone as error:
                work.gone(0, True)
                work.tell(str(error))
                work.station.count("reopened")
            finally:
                scale.close()


def _pass_on(work: Work, core: socket.socket, scale: Scale) -> None:
    """Hand every new weight at rest to the core; a scale repeats what lies on it many times a second."""
    shared, last_g = work.board.shared, None
    while work.going():
        mass = scale.read(READ_S)
        belt = work.board.belt()
        if mass is None:
            continue
        work.gone(0, False)
        if mass.state != "stable":
            last_g = None
        elif belt is not None and mass.mass_g != last_g:
            last_g, t_ns = mass.mass_g, mass.t_ns - work.spec.start_ns
            shared["mass_g"], shared["mass_t_ns"] = mass.mass_g, t_ns
            work.give(core, [Reading(tick_at(belt, t_ns), t_ns, WHOLE_LINE, "mass_g", mass.mass_g)])
            work.station.count("weights")
