"""What people see of alarms: at once, where they can do something about it, and all of them counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from citrus_grade.cli import out
from citrus_grade.report.labels import label, remedy
from citrus_grade.words import _

if TYPE_CHECKING:  # it loads NumPy, which a help text need not wait for
    from citrus_grade.messages import Alarm


def tell(alarm: "Alarm") -> None:
    """Print on stderr what to do about an alarm, if anything can be done while the line runs."""
    if advice := remedy(alarm.kind, alarm.where):
        out.errors([f"{label(alarm.kind)}: {advice}"])


def once() -> Callable[["Alarm"], None]:
    """Return what tells each alarm as `tell` does, of one kind and place only the first."""
    known: set[tuple[str, str]] = set()

    def told(alarm: "Alarm") -> None:
        if (alarm.kind, alarm.where) not in known:
            known.add((alarm.kind, alarm.where))
            tell(alarm)

    return told


def show(times: Mapping[str, int], places: Mapping[str, Sequence[str]]) -> None:
    """Print how often each kind of alarm was told, and what to do about it."""
    for kind, count in times.items():
        out.text(_("alarm: {kind}, {count} times").format(kind=label(kind), count=count), "yellow")
        for advice in filter(None, (remedy(kind, place) for place in places[kind])):
            out.text("  " + advice, "yellow")
