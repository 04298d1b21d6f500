"""``citrus-grade replay``: the recorded messages through the same code again, every field compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.options import Json, Run, whole
from citrus_grade.cli.progress import bar
from citrus_grade.report.labels import label
from citrus_grade.words import N_, _

HELP = N_(
    "Feed a recorded run to the same code again and compare every field of every decision to the bit.\n\n"
    "A full log is replayed from its pixels, a normal log from the joined measurements of each fruit. With --plan, --model, "
    "--calibration or --classifier it answers what the packout would have been instead."
)
EXAMPLES = (
    "citrus-grade replay runs/monday\n"
    "citrus-grade replay runs/monday --plan plan.toml\n"
    "citrus-grade replay runs/monday --lanes 0,3 --json"
)
SEAMS = {"pixels": N_("pixels"), "imaging seam": N_("joined measurements of each fruit")}


def lane_list(value: str) -> tuple[int, ...]:
    """Parse ``0,3``."""
    try:
        return tuple(int(part) for part in value.split(","))
    except ValueError:
        raise typer.BadParameter(_("{value!r} is no list of lanes such as 0,3").format(value=value)) from None


def speed_of(value: float | str) -> float:
    """Parse a number from zero up."""
    try:
        speed = float(value)
    except ValueError:
        speed = -1.0
    if not 0 <= speed < float("inf"):
        raise typer.BadParameter(_("{value!r} is not a number of at least 0").format(value=value))
    return speed


def verb(
    run: Run,
    plan: Annotated[Path | None, typer.Option("--plan", metavar="FILE", help=N_("Another sort plan (plan.toml)."))] = None,
    model: Annotated[Path | None, typer.Option("--model", metavar="DIR", help=N_("Another model bundle."))] = None,
    calibration: Annotated[Path | None, typer.Option("--calibration", metavar="DIR", help=N_("Another calibration set."))] = None,
    classifier: Annotated[Path | None, typer.Option("--classifier", metavar="DIR", help=N_("Another grade classifier."))] = None,
    lanes: Annotated[
        # Any, because typer would read the tuple as several values; `lane_list` makes it.
        Any, typer.Option("--lanes", parser=lane_list, metavar="0,3", help=N_("Compare these lanes only."))
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", parser=speed_of, metavar="X", help=N_("Times real time; 0 is as fast as the machine can."))
    ] = 0.0,
    jobs: Annotated[int, typer.Option("--jobs", parser=whole(1), metavar="N", help=N_("Log files replayed at a time."))] = 1,
    as_json: Json = False,
) -> int:
    """Replay a run and compare."""
    from citrus_grade.replay import replay

    instead = {"plan": plan, "model": model, "calibration": calibration, "classifier": classifier}
    with bar(_("replaying")) as progress:
        report = replay(run, **instead, lanes=lanes, speed=speed, jobs=jobs, progress=progress).to_dict()
    out.as_json(report) if as_json else _show(report)
    return errors.FINDINGS if report["diff_fields"] or not report["decisions"] else errors.DONE


def _show(report: dict[str, Any]) -> None:
    out.text(_("replayed from: {seam}").format(seam=_(SEAMS[report["entered"]])))
    if report["truncated"]:
        out.text(_("the log ends early: replayed up to the cut"), "yellow")
    if report["what_if"] is not None:
        _show_what_if(report["what_if"])
    elif not report["decisions"]:
        out.text(_("nothing was compared: the log holds no decision of these lanes"), "bold red")
    else:
        _show_comparison(report)


def _show_comparison(report: dict[str, Any]) -> None:
    figures = {name: report[name] for name in ("compared", "decisions", "x_realtime")}
    out.text(_("{compared:,} of {decisions:,} decisions compared, {x_realtime:.1f} x real time").format(**figures))
    if not report["diff_fields"]:
        out.text(_("0 fields differ: the same messages gave the same decisions, to the bit"), "bold green")
        return
    out.text(_("{n:,} fields differ").format(n=report["diff_fields"]), "bold red")
    columns = (_("cup"), _("lane"), _("field"), _("recorded"), _("replayed"))
    rows = ([d[key] for key in ("cup", "lane", "field", "recorded", "replayed")] for d in report["first_differences"])
    out.table(_("First differences"), columns, rows, left=3)


def _show_what_if(what_if: dict[str, Any]) -> None:
    before, after = what_if["packout_before"], what_if["packout_after"]
    grades = [*before, *(grade for grade in after if grade not in before)]
    rows = (
        (label(g), f"{before.get(g, 0):,}", f"{after.get(g, 0):,}", f"{after.get(g, 0) - before.get(g, 0):+,}") for g in grades
    )
    out.table(_("What this run would have been"), (_("grade"), _("before"), _("after"), _("difference")), rows)
    out.text(_("{n:,} fruit change their grade").format(n=what_if["changed"]))
