"""Alarms of a run: how much each asks of people, how often each came, and which stand."""

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:  # it loads NumPy, which a help text need not wait for
    from citrus_grade.messages import Alarm

Severity = Literal["stop", "warning", "note"]
_STOPS: Final = frozenset(
    {
        "encoder_jump", "encoder_slip", "outlet_jammed", "device", "plc_gone", "core_gone", "camera_gone", "shed_decisions",
        "decisions_unkept", "outlet_silent", "ejections_refused", "lanes_crossed", "spectra_out_of_step",
        "emergency_stop",
    }
)  # fmt: skip
_NOTES: Final = frozenset({"process_back", "lane_off", "clock_set"})
STANDING: Final = frozenset(
    {
        "lens_dirty", "light_low", "light_drift", "focus_soft", "lamp_level", "lamp_colour", "fruit_unlike", "spectra_unlike",
        "shutter_stuck", "integration_differs", "outlet_jammed", "outlet_full", "camera_gone", "views_missing",
        "spectrometer_gone", "spectra_missing", "plc_gone", "core_gone", "lane_off", "lanes_crossed", "spectra_out_of_step",
        "scale_gone", "not_realtime", "outlet_silent",
    }
)  # fmt: skip
"""Kinds that are told once and then stand, until they are seen to have gone."""
QUIET_S: Final = 10.0
"""Any other alarm has ended when it has not been told for so long."""
PLACES: Final = 50
"""Places of a kind that a summary names: there may be no end of them in a season."""
ACTIVE: Final = 200


def severity(kind: str) -> Severity:
    """Return how much an alarm asks of the operator: "stop" (fruit goes wrong until it is mended), "warning" or "note"."""
    return "stop" if kind in _STOPS else "note" if kind in _NOTES else "warning"


def lies_in(where: str, place: str) -> bool:
    """Say whether an alarm is of a place: ``lane 3 change +7.0`` is of ``lane 3``."""
    return f"{where} ".startswith(f"{place} ")


@dataclass(slots=True)
class Alarms:
    """How often each kind was told, and of which places, the first `PLACES` each once in the order told."""

    times: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, alarm: "Alarm") -> None:
        """Count one more; the end of one is none."""
        if alarm.is_over:
            return
        self.times[alarm.kind] += alarm.count
        known = self.places.setdefault(alarm.kind, [])
        if len(known) < PLACES and alarm.where not in known:
            known.append(alarm.where)


@dataclass(slots=True)
class Raised:
    """An alarm from when it was first told: ``count`` how often since, ``tick`` where the belt was; times are of a clock
    that nobody sets, in seconds."""

    kind: str
    where: str
    tick: int
    began_s: float
    last_s: float
    count: int
    ended_s: float | None = None


class AlarmBook:
    """Which alarms stand, and the newest that have ended; times are the caller's `time.monotonic`, in seconds."""

    def __init__(self) -> None:
        self.active: dict[tuple[str, str], Raised] = {}
        self.ended: deque[Raised] = deque(maxlen=50)

    def tell(self, alarm: "Alarm", now_s: float) -> bool:
        """Take in an alarm; say whether it is new, not one more of a kind and place that stand."""
        key = (alarm.kind, alarm.where)
        if known := self.active.get(key):
            known.count, known.last_s = known.count + alarm.count, now_s
            return False
        self.active[key] = Raised(alarm.kind, alarm.where, alarm.tick, now_s, now_s, alarm.count)
        return True

    def end(self, kind: str, place: str, now_s: float) -> list[Raised]:
        """Take all alarms of a kind in a place off the list, their reason being gone; return those that stood."""
        found = [one for one in self.active.values() if one.kind == kind and lies_in(one.where, place)]
        self._take_off(found, now_s)
        return found

    def gone_quiet(self, now_s: float) -> list[Raised]:
        """Take off the list, and return, what has not been told for `QUIET_S`, and the oldest of more than `ACTIVE`."""
        quiet = [one for one in self.active.values() if one.kind not in STANDING and now_s - one.last_s > QUIET_S]
        spare = list(self.active.values())[: max(len(self.active) - len(quiet) - ACTIVE, 0)]
        over = [one for one in spare if one not in quiet]
        self._take_off(ended := [*quiet, *over], now_s)
        return ended

    def _take_off(self, ended: list[Raised], now_s: float) -> None:
        for one in ended:
            del self.active[one.kind, one.where]
            one.ended_s = now_s
        self.ended.extend(ended)
