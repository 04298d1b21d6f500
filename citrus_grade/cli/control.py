"""``citrus-grade control``: has a lane moved? Told by sample fruit that the laboratory measures now and then."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json
from citrus_grade.cli.source import Bundle, Id, KindOption, Lane, Matrix
from citrus_grade.words import N_, _

HELP = N_(
    "Watch a model with sample fruit that the laboratory measures now and then: has a lane moved?\n\n"
    "Draws a control chart (CUSUM) of reference minus NIR for every lane. A few fruit a day are enough: tables of spectra, or"
    " runs with the laboratory's values by run, lane and cup. With --history they gather in a file over the season; what it has"
    " already is not counted twice. Exit code 1 where a lane is out of control."
)
EXAMPLES = (
    "citrus-grade control model runs/monday --references lab.csv --target ssc_brix --history checks.jsonl\n"
    "citrus-grade control model monday.csv --target brix --history checks.jsonl\n"
    "citrus-grade control model --target brix --history checks.jsonl --picture control.png\n"
    "citrus-grade control model october.csv november.csv --target brix --lane lane --time date"
)


def verb(
    bundle: Bundle,
    tables: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="TABLE|RUN...", help=N_("Tables of spectra with references, or runs; none to look at the history alone.")
        ),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", metavar="COL", help=N_("Column of reference values."))] = None,
    history: Annotated[
        Path | None,
        typer.Option("--history", metavar="FILE.jsonl", help=N_("File where sample checks gather; made if it is new.")),
    ] = None,
    lane: Lane = None,
    time: Annotated[
        str | None, typer.Option("--time", metavar="COL", help=N_("Column of dates or times; otherwise found by its name."))
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option("--references", metavar="FILE", help=N_("Reference values in a table of their own, by run, lane and cup.")),
    ] = None,
    kind: KindOption = None,
    matrix: Matrix = None,
    id_column: Id = None,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE.png", help=N_("Picture to write."))] = None,
    as_json: Json = False,
) -> int:
    """Chart, keep, tell."""
    from citrus_grade.report.control_words import HEADS, findings, rows
    from citrus_grade.runtime.checks import chart, facts
    from citrus_grade.runtime.spectral import Source

    runs = [path for path in tables or [] if (path / "run.json").exists()]
    given = [path for path in tables or [] if path not in runs]
    if references is not None and len(given) + bool(runs) != 1:
        raise BadInput(_("--references belongs to one table of spectra, or to runs; give one TABLE, or RUN..."))
    of_table = references if given else None
    sources = [Source(table, matrix, of_table, None, id_column, kind) for table in given]  # type: ignore[arg-type]  # parsed
    charts = chart(bundle, sources, target, lane=lane, time=time, history=history, runs=runs, references=references)
    written = [history] if history is not None and charts.added else []
    if picture is not None:
        from citrus_grade.report.control import control_picture

        control_picture(charts, picture)
        written.append(picture)
    out_of_control = any(one.out_since is not None for one in charts.lanes)
    if as_json:
        out.as_json({**facts(charts), "written": [str(path) for path in written]})
        return errors.FINDINGS if out_of_control else errors.DONE
    if charts.simulated:
        out.text("SIMULATED", "bold red")
    title = _("{name} by model {id}, {unit}").format(name=charts.target, id=charts.model_id, unit=charts.unit or "-")
    out.table(title, [_(head) for head in HEADS], rows(charts))
    for how, text in findings(charts):
        out.text(text, {"grave": "bold red", "bad": "yellow", "good": "green"}.get(how, ""))
    if history is not None:
        out.text(_("{n} new checks were added to {path}").format(n=charts.added, path=history))
    if picture is not None:
        out.text(_("written: {path}").format(path=picture))
    return errors.FINDINGS if out_of_control else errors.DONE
