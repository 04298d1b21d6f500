"""What people see of alarms: at once, where they can do something about it, and all of them counted."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from citrus_grade.alarms import lies_in
from citrus_grade.cli import out
from citrus_grade.report.labels import label, remedy
from citrus_grade.words import _

if TYPE_CHECKING:  # it loads NumPy, which a help text need not wait for
    from citrus_grade.messages import Alarm


def tell(alarm: "Alarm") -> None:
    """Print on stderr what to do about an alarm that stands, if anything can be done while the line runs."""
    if not alarm.is_over and (advice := remedy(alarm.kind, alarm.where)):
        out.errors([f"{label(alarm.kind)}: {advice}"])


def once() -> Callable[["Alarm"], None]:
    """Return what tells each alarm as `tell` does, of one kind and place only the first until it has ended."""
    known: set[tuple[str, str]] = set()

    def told(alarm: "Alarm") -> None:
        if alarm.is_over:
            known.difference_update([one for one in known if one[0] == alarm.kind and lies_in(one[1], alarm.where)])
        elif (alarm.kind, alarm.where) not in known:
            known.add((alarm.kind, alarm.where))
            tell(alarm)

    return told


def show(times: Mapping[str, int], places: Mapping[str, Sequence[str]]) -> None:
    """Print how often each kind of alarm was told, and what to do about it."""
    for kind, count in times.items():
        out.text(_("alarm: {kind}, {count} times").format(kind=label(kind), count=count), "yellow")
        for advice in filter(None, (remedy(kind, place) for place in places[kind])):
            out.text("  " + advice, "yellow")
