"""Did outlets do what they were ordered? Of each ejection that the PLC took it says one day that it was fired, late or jammed.

A PLC that acknowledges every order and fires none looks healthy otherwise, while its fruit run on to the end of the belt. So
orders that the belt has carried past, and nothing was said of, are counted; several in a row of one outlet are an alarm.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final

from citrus_grade.messages import Alarm, Ejection, OutletReport, over

KIND: Final = "outlet_silent"
ANSWERS: Final = ("fired", "late", "jammed")
PAST_CUPS: Final = 4
"""An order is unanswered when the belt has moved on so far since the moment it was to be fired."""
IN_A_ROW: Final = 5
"""So many unanswered orders are no lost report: the outlet is silent."""
Outlet = tuple[int, int]


class Orders:
    """Orders that wait for their answer, by lane and outlet; ``unanswered`` counts those that had none."""

    def __init__(self, ticks_per_cup: float) -> None:
        self.unanswered = 0
        self._past = PAST_CUPS * ticks_per_cup
        self._waiting: dict[Outlet, deque[int]] = {}
        self._in_a_row: Counter[Outlet] = Counter()

    def sent(self, taken: Iterable[Ejection]) -> None:
        """Take in what the PLC has queued."""
        for order in taken:
            self._waiting.setdefault((order.lane, order.outlet), deque()).append(order.fire_tick)

    def forget(self) -> None:
        """Expect no answer to what was ordered so far: reports were lost, or what the PLC had queued."""
        self._waiting.clear()

    def look(self, reports: Sequence[OutletReport], tick: int) -> list[Alarm]:
        """Take in what the PLC says, the belt at ``tick``; return which outlets are silent from now on, and which no more."""
        answered = [self._answered((r.lane, r.outlet), tick) for r in reports if r.state in ANSWERS and r.cup >= 0]
        passed = [self._passed(outlet, tick) for outlet in self._waiting]
        return [alarm for alarms in (*answered, *passed) for alarm in alarms]

    def _answered(self, outlet: Outlet, tick: int) -> list[Alarm]:
        if waiting := self._waiting.get(outlet):
            waiting.popleft()
        was_silent = self._in_a_row.pop(outlet, 0) >= IN_A_ROW
        return [over(tick, KIND, _place(outlet))] if was_silent else []

    def _passed(self, outlet: Outlet, tick: int) -> list[Alarm]:
        waiting, before = self._waiting[outlet], self._in_a_row[outlet]
        while waiting and tick - waiting[0] > self._past:
            waiting.popleft()
            self._in_a_row[outlet] += 1
        self.unanswered += self._in_a_row[outlet] - before
        return [Alarm(tick, KIND, _place(outlet))] if before < IN_A_ROW <= self._in_a_row[outlet] else []


def _place(outlet: Outlet) -> str:
    return "lane {} outlet {}".format(*outlet)
