"""What the PLC says of the outlets, and what follows."""

import numpy as np
from numpy.typing import NDArray

from citrus_grade.messages import Alarm, OutletReport, Output


def take(report: OutletReport, is_open: NDArray[np.bool_], sound: NDArray[np.bool_]) -> list[Output] | None:
    """Take in a report; return None if there is no such lane or outlet.

    "clear" ends a jam and a full place alike: whoever reports it says after it what still stands.

    Parameters
    ----------
    is_open, sound : (n_lanes, n_outlets), written: which outlets take fruit, and which work.
    """
    n_lanes, n_outlets = is_open.shape
    if not -1 <= report.lane < n_lanes or not 0 <= report.outlet <= n_outlets:
        return None
    told: list[Output] = []
    if report.state in ("jammed", "full", "late"):
        told.append(Alarm(report.tick, f"outlet_{report.state}", f"lane {report.lane} outlet {report.outlet}"))
    if report.outlet == n_outlets:
        return told  # the end of the belt takes what comes: people must act, no fruit can go elsewhere
    lanes = slice(None) if report.lane < 0 else report.lane
    if report.state in ("full", "clear"):
        is_open[lanes, report.outlet] = report.state == "clear"
    if report.state in ("jammed", "clear"):
        sound[lanes, report.outlet] = report.state == "clear"
    return told
