"""What people see of alarms: at once, where they can do something about it, and all of them counted."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from citrus_grade.alarms import lies_in
from citrus_grade.cli import out
from citrus_grade.report.labels import label, remedy
from citrus_grade.words import _

if TYPE_CHECKING:  # it loads NumPy, which a help text need not wait for
    from citrus_grade.messages import Alarm

    Told = Callable[[Alarm], None]


def telling(outlets: Sequence[str] = ()) -> "Told":
    """Return what prints on stderr what to do about an alarm that stands, if anything can be done while the line runs.

    ``outlets``: the names of the line's outlets.
    """

    def told(alarm: "Alarm") -> None:
        if not alarm.is_over and (advice := remedy(alarm.kind, alarm.where, outlets)):
            out.errors([f"{label(alarm.kind)}: {advice}"])

    return told


def once(tell: "Told") -> "Told":
    """Return what tells each alarm as ``tell`` does, of one kind and place only the first until it has ended."""
    known: set[tuple[str, str]] = set()

    def told(alarm: "Alarm") -> None:
        if alarm.is_over:
            known.difference_update([one for one in known if one[0] == alarm.kind and lies_in(one[1], alarm.where)])
        elif (alarm.kind, alarm.where) not in known:
            known.add((alarm.kind, alarm.where))
            tell(alarm)

    return told


def show(times: Mapping[str, int], places: Mapping[str, Sequence[str]], run_dir: Path) -> None:
    """Print how often each kind of alarm of a run was told, and what to do about it."""
    outlets = outlets_of(run_dir)
    for kind, count in times.items():
        out.text(_("alarm: {kind}, {count} times").format(kind=label(kind), count=count), "yellow")
        for advice in filter(None, (remedy(kind, place, outlets) for place in places[kind])):
            out.text("  " + advice, "yellow")


def outlets_of(run_dir: Path) -> Sequence[str]:
    """Return the names of the outlets of a run's line, none where its ``line.toml`` can't be read."""
    from citrus_grade.config import ConfigError, load

    try:
        return load(run_dir / "line.toml").outlet_names
    except (OSError, ConfigError):
        return ()
