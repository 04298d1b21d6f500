"""Alarms of a run, counted."""

from collections import Counter
from dataclasses import dataclass, field

from citrus_grade.messages import Alarm


@dataclass(slots=True)
class Alarms:
    """How often each kind was told, and of which places, each once in the order told."""

    times: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def add(self, alarm: Alarm) -> None:
        """Count one more."""
        self.times[alarm.kind] += alarm.count
        known = self.places.setdefault(alarm.kind, [])
        if alarm.where not in known:
            known.append(alarm.where)
