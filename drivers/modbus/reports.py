"""What outlets did since the last look: the PLC's ring of reports, each read exactly once."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from citrus_grade.drivers.modbus import map as m
from citrus_grade.messages import OutletReport, OutletState, Position
from citrus_grade.ports import DeviceError
from citrus_grade.words import _

ROWS_A_READ = m.READ_WORDS // m.REPORT.words
STATES: dict[int, OutletState] = {m.FIRED: "fired", m.LATE: "late", m.JAM: "jammed", m.FULL: "full", m.CLEAR: "clear"}


class Drop(NamedTuple):
    """A fruit that went through an outlet's drop sensor, at the raw count ``at``."""

    at: int
    lane: int
    outlet: int
    cup: int


class News(NamedTuple):
    """What one look brought; counts are raw, the rest as in `ports.PlcState`."""

    reports: tuple[OutletReport, ...]
    index_counts: tuple[tuple[int, int], ...]
    shutters: tuple[tuple[int, Position, int], ...]
    drops: tuple[Drop, ...]


class Reports:
    """The reading side of the ring.

    Parameters
    ----------
    read : (address, words) -> words. head : number of the newest report at the start; what is older was another's.
    shutters : whether the PLC moves any.
    """

    def __init__(
        self, read: Callable[[int, int], list[int]], url: str, lanes: int, outlets: int, head: int, *, shutters: bool
    ) -> None:
        self._read, self._url, self._lanes, self._outlets, self._shutters = read, url, lanes, outlets, shutters
        self._tail = head
        self._restate = True
        self.lost = 0

    @property
    def tail(self) -> int:
        """Number of the last report that was read or counted as lost."""
        return self._tail

    def resume(self, tail: int) -> None:
        """Go on after report ``tail``, the last that was of use, and report anew how every outlet stands."""
        self._tail, self._restate = tail, True

    def read(self, t_ns: int, status: dict[str, int], jammed: Sequence[int]) -> News:
        """Return what is new by a status read at ``t_ns``; ``jammed`` has one number a lane.

        Raises
        ------
        DeviceError : if a report names what the line or the map does not have.
        """
        rows = [self._sound(row) for row in self._rows(status["report_head"])]
        reports = [
            OutletReport(row["count"], t_ns, row["lane"], row["outlet"], STATES[row["state"]], row["cup"])
            for row in rows
            if row["state"] in STATES
        ]
        shutters = [(r["lane"], Position(r["outlet"]), r["count"]) for r in rows if r["state"] == m.SHUTTER_STANDS]
        if self._restate:
            reports += self._standing(t_ns, status, jammed)
            shutters += self._shutters_standing(status["count"])
            self._restate = False
        else:
            cleared = {row["outlet"] for row in rows if row["state"] == m.CLEAR}
            reports += self._levels(t_ns, status, jammed, sorted(cleared))
        index = tuple((row["lane"], row["count"]) for row in rows if row["state"] == m.CUP_INDEX)
        drops = tuple(Drop(row["count"], row["lane"], row["outlet"], row["cup"]) for row in rows if row["state"] == m.DROP)
        return News(tuple(reports), index, tuple(shutters), drops)

    def _rows(self, head: int) -> Iterator[dict[str, int]]:
        waiting = head - self._tail & 0xFFFF
        self._lose(max(waiting - m.REPORT_RING, 0))
        for first, n in _runs(self._tail + 1, min(waiting, m.REPORT_RING)):
            words = self._read(m.REPORT.at("number", first % m.REPORT_RING), n * m.REPORT.words)
            for i in range(n):
                row = m.unpack(m.REPORT.registers, words[i * m.REPORT.words : (i + 1) * m.REPORT.words])
                if row["number"] == self._tail + 1 & 0xFFFF:
                    self._tail = row["number"]
                    yield row
                else:
                    self._lose(1)

    def _lose(self, n: int) -> None:
        self.lost += n
        self._tail = self._tail + n & 0xFFFF
        self._restate |= n > 0

    def _sound(self, row: dict[str, int]) -> dict[str, int]:
        state, lane, outlet = row["state"], row["lane"], row["outlet"]
        if state == m.SHUTTER_STANDS:
            sound = self._shutters and 0 <= lane < self._lanes and outlet in tuple(Position)
        else:
            known = state in STATES or state in (m.CUP_INDEX, m.DROP)
            sound = known and m.ALL_LANES <= lane < self._lanes and outlet < self._outlets
        if sound:
            return row
        raise DeviceError(
            _(
                "the PLC at {url}: its report {number} has state {state}, lane {lane}, outlet {outlet}; the map or this line"
                " has no such; correct the PLC's program"
            ).format(url=self._url, **row)
        )

    def _shutters_standing(self, count: int) -> list[tuple[int, Position, int]]:
        words = self._read(m.SHUTTER_AT.address, self._lanes) if self._shutters else []
        # What is no position is none that anybody knows.
        return [(lane, Position(min(word, Position.BETWEEN)), count) for lane, word in enumerate(words)]

    def _standing(self, t_ns: int, status: dict[str, int], jammed: Sequence[int]) -> Iterator[OutletReport]:
        for outlet in range(self._outlets):
            yield OutletReport(status["count"], t_ns, m.ALL_LANES, outlet, "clear")
            yield from self._levels(t_ns, status, jammed, [outlet])

    def _levels(self, t_ns: int, status: dict[str, int], jammed: Sequence[int], outlets: Sequence[int]) -> Iterator[OutletReport]:
        """Yield what still stands of outlets that were told to be clear: "clear" ends a jam and a full place alike, and one of
        them may have ended alone."""
        count = status["count"]
        for outlet in outlets:
            if status["full"] >> outlet & 1:
                yield OutletReport(count, t_ns, m.ALL_LANES, outlet, "full")
            for lane, stuck in enumerate(jammed):
                if stuck >> outlet & 1:
                    yield OutletReport(count, t_ns, lane, outlet, "jammed")


def _runs(first: int, n: int) -> Iterator[tuple[int, int]]:
    """Split ``n`` reports from number ``first`` on into reads: within one request, and not over the ring's end."""
    while n:
        here = min(n, ROWS_A_READ, m.REPORT_RING - first % m.REPORT_RING)
        yield first, here
        first, n = first + here, n - here
