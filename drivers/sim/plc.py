"""The PLC: keeps the ejection queue, fires by the encoder, reports what fell where."""

import heapq
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.belt import CUP_EMPTY
from citrus_grade.messages import Ejection, OutletReport


class SimPlc:
    """Outlets of one line.

    Parameters
    ----------
    table : (lanes, cups) of `belt.LOAD`; ``fell`` is written as fruit drop.
    station : (lanes, outlets) pitches downstream of the loading point.
    """

    def __init__(self, table: NDArray[Any], station: NDArray[np.float64], ticks_per_cup: Fraction, lead_ticks: int) -> None:
        self._table = table
        self._station = station
        self._ticks_per_cup = ticks_per_cup
        self._lead = lead_ticks
        self._queue: list[tuple[int, int, int, int]] = []
        self._reports: list[OutletReport] = []

    def eject(self, ejections: list[Ejection], tick: int, t_ns: int) -> None:
        """Queue ejections; one that comes with less than its lead is refused and reported late."""
        for e in ejections:
            if e.fire_tick - tick < self._lead // 2:
                self._reports.append(OutletReport(tick, t_ns, e.lane, e.outlet, "late", e.cup))
            else:
                heapq.heappush(self._queue, (e.fire_tick, e.lane, e.outlet, e.cup))

    def run(self, tick: int, t_ns: int) -> list[OutletReport]:
        """Fire all that is due by ``tick``; return the reports since the last call."""
        while self._queue and self._queue[0][0] <= tick:
            fire_tick, lane, outlet, cup = heapq.heappop(self._queue)
            at = round(float(fire_tick / self._ticks_per_cup) - self._station[lane, outlet])
            if 0 <= at < self._table.shape[1] and self._table[lane, at]["load"] != CUP_EMPTY:
                self._table["fell"][lane, at] = outlet
            self._reports.append(OutletReport(fire_tick, t_ns, lane, outlet, "fired", cup))
        reports, self._reports = self._reports, []
        return reports
