"""``citrus-grade status``: how a live line fares, or fared."""

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from citrus_grade.alarms import severity
from citrus_grade.cli import alarms, errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json
from citrus_grade.report.causes import cause, meaning
from citrus_grade.report.labels import label, remedy
from citrus_grade.words import N_, _

HELP = N_(
    "Show how a live line fares: its lanes and processes, how fast they decide, what was lost, its alarms and what to do.\n\n"
    "Reads the run folder only, so it may be asked from anywhere and as often as you like. "
    "Exit code 1 while something needs a hand."
)
EXAMPLES = "citrus-grade status runs/monday\ncitrus-grade status runs/monday --json"
STYLES = {"stop": "bold red", "warning": "yellow", "note": ""}
LANE_STYLES = {"on": "", "degraded": "yellow", "off": "bold"}
_WORDS = {
    "on": N_("on"),
    "degraded": N_("degraded"),
    "off": N_("off"),
    "stop": N_("stop"),
    "warning": N_("warning"),
    "note": N_("note"),
    "decide": N_("decide"),
    "eject": N_("decide and queue in the PLC"),
    "queue": N_("queue in the PLC"),
    "wait": N_("wait for the core"),
    "poll": N_("look at the PLC"),
    "commit": N_("write to disk"),
}
"""Of states, severities and stages."""
STALE_S = 5.0
ENDED = 5
"""Alarms that have ended are shown so many."""


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
    _put_into_words(state, alarms.outlets_of(run))
    out.as_json(state) if as_json else _show(state)
    return errors.FINDINGS if state["needs_a_hand"] else errors.DONE


def needs_a_hand(state: dict[str, Any]) -> bool:
    """Say whether an operator should look.

    Of a line that runs: a process is down or silent, a lane degraded, an alarm stands, as it does for a while of whatever was
    shed, or nobody has written how the line fares for a while. Of one that does not: it was broken off, or fruit are missing
    from its table.
    """
    if not state["running"]:
        lost = any(one["what"] == "shed_decisions" for one in state["shed"])
        return lost or state["broken_off"] or bool(state["committed_cup"] < state["decided_cup"])
    down = not state["stopping"] and any(not one["ready"] or one["silent_s"] > STALE_S for one in state["processes"].values())
    degraded = any(lane["state"] == "degraded" for lane in state["lanes"])
    return down or degraded or _is_stale(state) or any(severity(alarm["kind"]) != "note" for alarm in state["alarms"])


def _is_stale(state: dict[str, Any]) -> bool:
    return bool(state["running"] and abs(time.time() - state["at_utc_s"]) > STALE_S)


def _put_into_words(state: dict[str, Any], outlets: Sequence[str]) -> None:
    """Add what people are told of alarms and lanes, in the language set."""
    for alarm in [*state["alarms"], *state["ended_alarms"]]:
        kind = alarm["kind"]
        alarm |= {"label": label(kind), "cause": cause(kind), "remedy": remedy(kind, alarm["where"], outlets)}
    for trouble in [trouble for lane in state["lanes"] for trouble in lane["troubles"]]:
        trouble |= {"label": label(trouble["kind"]), "means": meaning(trouble["kind"])}


def _head(state: dict[str, Any]) -> tuple[str, str]:
    """Return what is said first, and its style."""
    at = _at(state["at_utc_s"], "%Y-%m-%d %H:%M:%S")
    if _is_stale(state):
        text = _("STALE since {at}: the supervisor lives and writes nothing; it hangs, or its disk is full. All below is of then")
        return text.format(at=at), STYLES["stop"]
    if state["broken_off"]:
        text = _("BROKEN OFF after {at}: the supervisor was killed before it could stop the line. All below is of then")
        return text.format(at=at), STYLES["stop"]
    running = _("stopping") if state["stopping"] else _("running") if state["up"] else _("starting")
    running = running if state["running"] else _("ended")
    text = _("{running}, as of {at}: {speed:.1f} cups/s a lane")
    return text.format(running=running, at=at, speed=state["cups_per_s"]), "bold"


def _show(state: dict[str, Any]) -> None:
    out.text(*_head(state))
    out.text(_decided(state["decided_cup"], state["committed_cup"]))
    _lanes(state["lanes"])
    processes = (_process(role, one, state["running"]) for role, one in state["processes"].items())
    out.table(_("Processes"), (_("process"), _("state"), "PID", _("restarts")), processes, left=2)
    _times(state)
    if state["shed"]:
        rows = ((one["process"], label(one["what"]), f"{one['n']:,}") for one in state["shed"])
        out.table(_("Lost, refused or late"), (_("process"), _("what"), _("how often")), rows, left=2)
    if state["reasons"]:
        out.table(_("Why"), (_("reason"), _("cups")), ((label(name), f"{n:,}") for name, n in state["reasons"].items()))
    _alarms(state)


def _decided(cup: int, safe: int) -> str:
    if cup < 0:
        return _("nothing has been decided yet")
    return _("decided up to cup {cup:,}, {waiting:,} of them not yet safe on disk").format(cup=cup, waiting=cup - safe)


def _lanes(lanes: list[dict[str, Any]]) -> None:
    if not lanes:
        return
    rows = (
        (
            lane["lane"],
            _(_WORDS[lane["state"]]),
            f"{lane['graded']} / {lane['fruit']}",
            "; ".join(trouble["label"] for trouble in lane["troubles"]),
        )
        for lane in lanes
    )
    out.table(_("Lanes"), (_("lane"), _("state"), _("graded of the last fruit"), _("why")), rows, left=4)
    for lane in lanes:
        for means in dict.fromkeys(f"{one['label']}: {one['means']}" for one in lane["troubles"]):
            out.text(_("lane {lane}: {means}").format(lane=lane["lane"], means=means), LANE_STYLES[lane["state"]])


def _process(role: str, process: dict[str, Any], running: bool) -> tuple[str, ...]:
    ready = _("works") if process["ready"] else _("not ready")
    if gone := process["devices_gone"]:
        ready = _("devices that do not answer: {n}").format(n=gone)
    if not running:
        ready = _("ended")
    return (role, ready, str(process["pid"] or "-"), str(process["restarts"]))


def _times(state: dict[str, Any]) -> None:
    """Print how long each stage took, how much time was left, and how far the core is behind the cameras."""
    rows = [
        (role, _(_WORDS[stage]), f"{took['n']:,}", *(f"{took[share] / 1000:.1f}" for share in ("p50", "p99", "p999")))
        for role, process in state["processes"].items()
        for stage, took in process["times_us"].items()
    ]
    if rows:
        out.table(_("Times, ms"), (_("process"), _("stage"), "n", _("median"), "99 %", "99.9 %"), rows, left=2)
    deadline = state["deadline"]
    if deadline["n"]:
        text = _(
            "99 of 100 ejections reached the PLC {p01_ms:,.0f} ms or more before the last moment, the latest {least_ms:,.0f} ms"
        )
        out.text(text.format(**deadline))
    if scale := state["scale"]:
        text = _("scale: {mass_g:,.0f} g at {at}")
        out.text(text.format(mass_g=scale["mass_g"], at=_at(scale["at_utc_s"])))
    for ring in state["rings"]:
        text = _("camera {camera}: {lag} frames wait for the core, at most {lag_most} so far; there is room for {frames}")
        out.text(text.format(**ring))


def _alarms(state: dict[str, Any]) -> None:
    for alarm in sorted(state["alarms"], key=lambda alarm: (list(STYLES).index(alarm["severity"]), -alarm["began_s"])):
        since = _("since {at}, {count} times").format(at=_at(alarm["began_s"]), count=f"{alarm['count']:,}")
        how_bad = _(_WORDS[alarm["severity"]])
        out.text(f"[{how_bad}] {alarm['label']}, {since}", STYLES[alarm["severity"]])
        for line in _advice(alarm):
            out.text("  " + line)
    if ended := state["ended_alarms"][-ENDED:]:
        out.text(_("Alarms that have ended"), "bold")
    for alarm in reversed(ended):
        out.text(f"  {_at(alarm['began_s'])} - {_at(alarm['ended_s'])} {alarm['label']}: {alarm['where']}")


def _advice(alarm: dict[str, Any]) -> Iterator[str]:
    if alarm["cause"]:
        yield _("cause: {cause}").format(cause=alarm["cause"])
    yield _("what to do: {remedy}").format(remedy=alarm["remedy"] or alarm["where"])


def _at(utc_s: float, form: str = "%H:%M:%S") -> str:
    return datetime.fromtimestamp(utc_s, UTC).astimezone().strftime(form)
