"""``citrus-grade evaluate``: how well a model tells fruit it has never seen, on one page."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citrus_grade.cli import errors, out, table_told
from citrus_grade.cli.options import Json, page, positive
from citrus_grade.cli.source import Bundle, Group, Id, KindOption, Lane, Matrix, Table
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.runtime.evaluating import Evaluated

HELP = N_(
    "Judge a model by fruit with reference values: bias, SEP, slope, RMSEP, R2 and RPD with their limits, per lane and per lot,"
    " in the form of ISO 12099.\n\n"
    "The residual is reference minus predicted. Use fruit of lots that the model has not seen."
)
EXAMPLES = (
    "citrus-grade evaluate model fruit.csv --target brix --group lot --lane lane --report card.html\n"
    "citrus-grade evaluate model scans.parquet --references lab.csv --target ssc_brix --reference-error 0.1 --json"
)


def verb(
    bundle: Bundle,
    table: Table,
    target: Annotated[str, typer.Option("--target", metavar="COL", help=N_("Column of reference values."))],
    group: Group = None,
    lane: Lane = None,
    references: Annotated[
        Path | None,
        typer.Option("--references", metavar="FILE", help=N_("Reference values in a table of their own, by run, lane and cup.")),
    ] = None,
    kind: KindOption = None,
    reference_error: Annotated[
        float | None,
        typer.Option("--reference-error", parser=positive, metavar="SD", help=N_("Error of the laboratory's value (SEL).")),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", parser=page, metavar="FILE.html", help=N_("Page to write, one sheet of A4.")),
    ] = None,
    by: Annotated[str, typer.Option("--by", metavar="NAME", help=N_("Who measured, for the page."))] = "",
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Evaluate, tell, and write the page."""
    from citrus_grade.runtime.evaluating import evaluate_table, facts
    from citrus_grade.runtime.spectral import Source

    source = Source(table, matrix, references, group, id_column, kind)  # type: ignore[arg-type]  # parsed by choice
    found = evaluate_table(bundle, source, target, lane=lane, reference_error=reference_error)
    written = _write(found, report, by) if report is not None else []
    if as_json:
        out.as_json({**facts(found), "written": [str(path) for path in written]})
        return errors.DONE
    _tell(found)
    for path in written:
        out.text(_("written: {path}").format(path=path))
    return errors.DONE


def _write(found: "Evaluated", report: Path, by: str) -> list[Path]:
    from datetime import datetime

    from citrus_grade.report.accuracy import write

    return write(found, report, by=by, when=datetime.now().astimezone())


def _tell(found: "Evaluated") -> None:
    from citrus_grade.report.accuracy_words import PARTS, figures, part_rows

    if found.simulated:
        out.text("SIMULATED", "bold red")
    title = _("{name} by model {id}, {n:,} fruit").format(
        name=found.model.names[found.j], id=found.model_id, n=found.card.overall.accuracy.n
    )
    out.table(title, [_("what"), _("value"), _("limit or interval")], [list(row) for row in figures(found)])
    for title, parts in ((_("lanes"), found.card.lanes), (_("lots"), found.card.lots)):
        if parts:
            out.table(title, [_(head) for head in PARTS], part_rows(parts))
    for one in found.findings:
        out.text(one.text, "bold red" if one.grave else "yellow")
    for text in found.verdicts:
        out.text(text, "yellow")
    table_told.some(found.batch.notes)
    table_told.left_out(found.batch.left_out)
