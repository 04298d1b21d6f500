"""What the supervisor notices of a line beside its processes: lanes that degrade, what is shed, alarms that begin and end.

All of it goes to the log of events; what people must know of goes to the list of alarms too.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from citrus_grade.alarms import AlarmBook, Alarms, Raised, severity
from citrus_grade.config import LineConfig
from citrus_grade.messages import Alarm
from citrus_grade.runtime.live import fired
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.carry import outlook
from citrus_grade.runtime.live.events import NAME, EventLog, Level
from citrus_grade.runtime.live.lanes import LAST_CUPS, Lane, Trouble, lanes_of, last_decisions
from citrus_grade.runtime.live.memory import Decided
from citrus_grade.runtime.live.work import CORE, METRICS, PLC, RECORDER, SCALE

LOOK_S = 1.0
SURE_S = 2.0
"""An outlet's alarm comes a moment before the core has carried what it means."""
SHED: Final = (
    "frames_torn",
    "frames_lost",
    "frames_unplaced",
    "scans_unplaced",
    "shed_frames",
    "shed_scans",
    "shed_messages",
    "shed_words",
    "shed_decisions",
    "ejections_refused",
    "ejections_late",
    "ejections_unanswered",
    "bad_messages",
    "reports_lost",
    "slow_polls",
)
"""Counters that ought to stand still: each rise is told. Each is a kind of alarm."""
LEVELS: Final[dict[str, Level]] = {"stop": "error", "warning": "warning", "note": "info"}
OUTLETS: Final = ("outlet_jammed", "outlet_full")
TOLD_ANEW: Final = {CORE: "shutter_stuck", PLC: fired.KIND}
"""What the successor of a process tells anew if it still is so, and of whose end it knows nothing."""
UNSEEING: Final = (RECORDER, METRICS, SCALE)
"""Processes without which every fruit is seen all the same."""
Told = Callable[[Alarm], None]


class Observer:
    """Keeps the list of alarms, the lanes' state and the log of events.

    Parameters
    ----------
    told : called with each alarm that is new.
    """

    def __init__(self, run_dir: Path, config: LineConfig, board: Board, decided: Decided, told: Told | None) -> None:
        self._config, self._board, self._decided, self._told = config, board, decided, told
        self.events = EventLog(run_dir / NAME)
        self.book, self.counted = AlarmBook(), Alarms()
        self.lanes: tuple[Lane, ...] = ()
        self._troubles: set[Trouble] = set()
        self._sure_from = [0] * config.line.lanes
        self._epochs: list[int] = []
        self._shed = {role: dict.fromkeys(SHED, 0) for role in board.roles}
        self._next_s = 0.0

    def event(self, name: str, process: str, level: Level = "info", **fields: Any) -> None:
        """Write an event."""
        self.events.write(name, process, level, self._tick(), **fields)

    def alarm(self, kind: str, where: str, count: int = 1) -> None:
        """Raise an alarm of the line's own running, or count one that stands once more."""
        self.take(Alarm(self._tick() or 0, kind, where, count))

    def said(self, role: str, words: str) -> None:
        """Raise the alarm for what a process says of its device, in words."""
        self.alarm("scale_gone" if role == SCALE else "device", f"{role}: {words}")

    def take(self, alarm: Alarm) -> None:
        """Take in an alarm, or that one has ended."""
        if alarm.is_over:
            self._end(alarm.kind, alarm.where)
            return
        self.counted.add(alarm)
        if not self.book.tell(alarm, time.monotonic()):
            return
        self.event("alarm_raised", "supervisor", LEVELS[severity(alarm.kind)], kind=alarm.kind, where=alarm.where)
        if self._told:
            self._told(alarm)

    def look(self) -> None:
        """Look at lanes, counters and alarms, if the last look was `LOOK_S` ago."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_S
        self._look_at_lanes()
        self._look_at_counters()
        if SCALE in self._board.roles and self._board.station(SCALE).works:
            self._end("scale_gone", f"{SCALE}:")
        for ended in self.book.gone_quiet(time.monotonic()):
            self._ended(ended)

    def close(self) -> None:
        """Tell what was counted last, and finish the log of events."""
        self._look_at_counters()
        self.events.close()

    def _tick(self) -> int | None:
        belt = self._board.belt()
        return belt[0] if belt else None

    def _look_at_lanes(self) -> None:
        carried = self._board.carried()
        known = outlook(self._config, carried) if carried else None
        decided_cup = int(self._board.shared["decided_cup"][0])
        last = last_decisions(self._decided, decided_cup)
        before, self.lanes = self.lanes, lanes_of(self._config, self._board, last, known, self._unsure(decided_cup))
        for old, new in zip(before or self.lanes, self.lanes, strict=True):
            if (old.state, old.troubles) != (new.state, new.troubles) or (not before and new.troubles):
                level: Level = "info" if new.state == "on" else "warning"
                self.event("lane_changed", "supervisor", level, **new.to_dict())
        self._look_at_troubles({trouble for lane in self.lanes for trouble in lane.troubles})

    def _unsure(self, decided_cup: int) -> list[int]:
        """Return the lanes of which a device, or a process, was not there while some of their last fruit passed."""
        roles = [role for role in self._board.roles if role not in UNSEEING]
        epochs = [self._board.station(role).epoch for role in roles]
        for role, before, now in zip(roles, self._epochs, epochs, strict=False):
            if before != now and role in TOLD_ANEW:
                self._end(TOLD_ANEW[role], "lane")
        restarted, self._epochs = epochs != self._epochs, epochs
        over_cup = decided_cup + self._config.line.decision_station + LAST_CUPS
        for lane in self.lanes:
            if restarted or any(trouble.kind.endswith("_gone") for trouble in lane.troubles):
                self._sure_from[lane.lane] = over_cup
        return [lane for lane, sure_from in enumerate(self._sure_from) if decided_cup < sure_from]

    def _look_at_troubles(self, troubles: set[Trouble]) -> None:
        """Raise and end the alarms that are states of lanes; of an outlet's, that it stands the core has told."""
        for kind, where in sorted(troubles - self._troubles):
            if kind not in OUTLETS:
                self.alarm(kind, where)
        for kind, where in self._troubles - troubles:
            self._end(kind, where)
        self._troubles = troubles
        for one in [one for one in self.book.active.values() if one.kind in OUTLETS]:
            if time.monotonic() - one.last_s > SURE_S and not _stands(one, troubles):
                self._end(one.kind, one.where)

    def _look_at_counters(self) -> None:
        for role, before in self._shed.items():
            now = self._board.station(role).counted()
            for name in SHED:
                if rise := now[name] - before[name]:
                    self.event("counted", role, "warning", what=name, n=rise, total=now[name])
                    self.alarm(name, role, rise)
            self._shed[role] = now

    def _end(self, kind: str, where: str) -> None:
        for ended in self.book.end(kind, where, time.monotonic()):
            self._ended(ended)

    def _ended(self, alarm: Raised) -> None:
        lasted_s = round((alarm.last_s if alarm.ended_s is None else alarm.ended_s) - alarm.began_s, 1)
        self.event("alarm_ended", "supervisor", kind=alarm.kind, where=alarm.where, count=alarm.count, lasted_s=lasted_s)


def _stands(alarm: Raised, troubles: set[Trouble]) -> bool:
    """Say whether an outlet's alarm still holds for one lane at least; one of all lanes names lane -1."""
    one_lane, _, outlet = alarm.where.partition("lane -1 ")
    if one_lane:
        return (alarm.kind, alarm.where) in troubles
    return any(kind == alarm.kind and where.endswith(f" {outlet}") for kind, where in troubles)
