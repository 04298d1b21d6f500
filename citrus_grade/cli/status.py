"""``citrus-grade status``: how a live line fares, or fared."""

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json
from citrus_grade.report.labels import label, remedy, severity
from citrus_grade.words import N_, _

HELP = N_(
    "Show how a live line fares: its processes, how fast they decide, what was lost, and its alarms with what to do.\n\n"
    "Reads the run folder only, so it may be asked from anywhere and as often as you like. "
    "Exit code 1 while something needs a hand."
)
EXAMPLES = "citrus-grade status runs/monday\ncitrus-grade status runs/monday --json"
STYLES = {"stop": "bold red", "warning": "yellow", "note": ""}
LOST = ("frames_torn", "shed_frames", "shed_messages", "shed_decisions", "ejections_refused", "bad_messages", "devices_gone")
STALE_S = 5.0


def verb(run: Annotated[Path, typer.Argument(metavar="RUN", help=N_("Run folder."))], as_json: Json = False) -> int:
    """Show a live line's state."""
    from citrus_grade.runtime.live import health

    try:
        state = health.read(run)
    except (OSError, ValueError) as error:
        raise BadInput(
            _("{run}: no {name} to read; name the run folder of a live line").format(run=run, name=health.NAME)
        ) from error
    state["needs_a_hand"] = needs_a_hand(state)
    out.as_json(state) if as_json else _show(state)
    return errors.FINDINGS if state["needs_a_hand"] else errors.DONE


def needs_a_hand(state: dict[str, Any]) -> bool:
    """Say whether an operator should look: a process is down or silent, a device is gone, something was shed or not kept, or
    nobody has written how the line fares for a while."""
    processes = state["processes"].values()
    if state["running"] and time.time() - state["at_utc_s"] > STALE_S:
        return True
    if not state["running"] and state["committed_cup"] < state["decided_cup"]:
        return True
    down = state["running"] and any(not process["ready"] or process["silent_s"] > STALE_S for process in processes)
    return down or any(process["counted"].get(name, 0) for process in processes for name in LOST)


def _show(state: dict[str, Any]) -> None:
    at = datetime.fromtimestamp(state["at_utc_s"], UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    running = _("running") if state["running"] else _("ended")
    out.text(
        _("{running}, as of {at}: {speed:.1f} cups/s a lane").format(running=running, at=at, speed=state["cups_per_s"]), "bold"
    )
    waiting = state["decided_cup"] - state["committed_cup"]
    out.text(
        _("decided up to cup {cup:,}, {waiting:,} of them not yet safe on disk").format(cup=state["decided_cup"], waiting=waiting)
    )
    columns = (_("process"), _("state"), "PID", _("restarts"), _("decided in ms, median"), "99 %")
    out.table(_("Processes"), columns, map(_row, state["processes"].items()), left=2)
    lost = [(role, name, n) for role, one in state["processes"].items() for name in LOST if (n := one["counted"].get(name, 0))]
    if lost:
        out.table(
            _("Lost"), (_("process"), _("what"), _("how often")), ((r, label(name), f"{n:,}") for r, name, n in lost), left=2
        )
    for alarm in state["alarms"][-10:]:
        advice = remedy(alarm["kind"], alarm["where"])
        text = f"{label(alarm['kind'])}: {advice or alarm['where']}"
        out.text(text, STYLES[severity(alarm["kind"])])


def _row(item: tuple[str, dict[str, Any]]) -> tuple[str, ...]:
    role, process = item
    took = next((process["times_us"][stage] for stage in ("eject", "decide") if stage in process["times_us"]), None)
    ready = _("works") if process["ready"] else _("not ready")
    times = (f"{took['p50'] / 1000:.1f}", f"{took['p99'] / 1000:.1f}") if took else ("", "")
    return (role, ready, str(process["pid"] or "-"), str(process["restarts"]), *times)
