"""``citrus-grade log``: what a recording holds, what is left of a damaged one, and its way out to other programs."""

from pathlib import Path
from typing import Annotated, Any

import typer

from citrus_grade.cli import alarms, errors, out
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, Run, choice
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

HELP = N_("Look into the log of a run, recover a damaged one, export it.")
EXAMPLES = "citrus-grade log info runs/monday\ncitrus-grade log export runs/monday --kind parquet --to monday"
KINDS = ("parquet", "pictures", "foxglove", "fruit")

app = typer.Typer()


@app.command(
    "info",
    cls=Verb,
    help=N_("Show what the log of a run holds; exit code 1 where it ends early."),
    epilog="citrus-grade log info runs/monday --json",
)
def info(run: Run, as_json: Json = False) -> int:
    """Show what a log holds."""
    from citrus_grade import runlog

    data = runlog.info(run)
    out.as_json(data) if as_json else _show(data)
    return errors.FINDINGS if data["truncated"] else errors.DONE


@app.command(
    "recover",
    cls=Verb,
    help=N_(
        "Copy all that can still be read of a cut or damaged log into a sound file; the damaged file is kept.\n\n"
        "Of a run folder all unfinished files are recovered."
    ),
    epilog="citrus-grade log recover runs/monday\ncitrus-grade log recover damaged.mcap --to sound.mcap",
)
def recover(
    path: Annotated[Path, typer.Argument(metavar="FILE", help=N_("Log file, or run folder."))],
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help=N_("New file; otherwise beside the old one."))] = None,
    as_json: Json = False,
) -> int:
    """Recover a damaged log."""
    from citrus_grade import runlog

    data = runlog.recover(path, to)
    files = data.get("recovered", [data])
    if as_json:
        out.as_json(data)
    for file in () if as_json else files:
        out.text(_("{n:,} records of {path} recovered into {to}").format(n=file["records"], path=file["file"], to=file["out"]))
        if file["damage"]:
            out.text(_("the rest is damaged: {damage}").format(damage=file["damage"]), "yellow")
    if not (files or as_json):
        out.text(_("every file is sound, nothing to recover"))
    return errors.FINDINGS if any(file["damage"] for file in files) else errors.DONE


@app.command(
    "export",
    cls=Verb,
    help=N_(
        "Write a run for other programs: parquet (one row a cup, and the scans), "
        "pictures (frames as PNG; needs a full log), "
        "foxglove (one .mcap file for Foxglove or Lichtblick: decisions as plots, frames as images), "
        "fruit (of a live line, while it runs as well: one row a cup, as .csv or .parquet)."
    ),
    epilog="citrus-grade log export runs/monday --to monday\n"
    "citrus-grade log export runs/monday --kind foxglove --to monday.mcap\n"
    "citrus-grade log export runs/monday --kind fruit --to monday.csv",
)
def export(
    run: Run,
    to: Annotated[Path, typer.Option("--to", metavar="PATH", help=N_("File or folder to write."))],
    kind: Annotated[
        str, typer.Option("--kind", parser=choice(*KINDS), metavar="|".join(KINDS), help=N_("What to write."))
    ] = KINDS[0],
    as_json: Json = False,
) -> int:
    """Export a run."""
    from citrus_grade.runlog import export as exporting
    from citrus_grade.runtime.live import sheet

    with bar(_("exporting")) as progress:
        data = sheet.export(run, to) if kind == "fruit" else exporting.export(run, to, kind, progress=progress)
    if as_json:
        out.as_json(data)
    else:
        out.text(_("written: {path}").format(path=to))
    return errors.DONE


def _show(data: dict[str, Any]) -> None:
    out.table(
        _("Log of {run}").format(run=data["run"]),
        (_("file"), _("profile"), _("decisions"), "MB"),
        ((f["file"], f["profile"], f"{f['decisions']:,}", f"{f['bytes'] / 1e6:.1f}") for f in data["files"]),
        left=2,
    )
    out.text(_("{messages:,} messages, {decisions:,} decisions").format(messages=data["messages"], decisions=data["decisions"]))
    alarms.show(data["alarms"], data["alarm_places"], Path(data["run"]))
    if data["truncated"]:
        out.text(_("the log ends early; `citrus-grade log recover` makes it sound up to the cut"), "yellow")
