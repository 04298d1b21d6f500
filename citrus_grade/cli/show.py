"""``citrus-grade show``: a run's report, or all that was seen of one fruit."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json, Run, whole
from citrus_grade.words import N_, _

HELP = N_("Write the report of a run, or with LANE and CUP a contact sheet of all that was seen of one fruit.")
EXAMPLES = "citrus-grade show runs/monday\ncitrus-grade show runs/monday 2 317"


def verb(
    run: Run,
    lane: Annotated[int | None, typer.Argument(parser=whole(0), metavar="LANE", help=N_("Lane, counted from 0."))] = None,
    cup: Annotated[
        int | None, typer.Argument(parser=whole(0), metavar="CUP", help=N_("Cup, counted from the run's start."))
    ] = None,
    to: Annotated[
        Path | None, typer.Option("--to", metavar="FILE", help=N_("Picture to write; otherwise in the run folder."))
    ] = None,
    as_json: Json = False,
) -> int:
    """Write a report or a contact sheet and say where it lies."""
    if lane is not None and cup is None:
        raise BadInput(_("name the cup as well: citrus-grade show RUN LANE CUP"))
    if lane is None or cup is None:
        from citrus_grade.report import page

        path = page.write(run)
    else:
        from citrus_grade.report import pictures

        path = pictures.show(run, lane, cup, to or run / "pictures" / f"lane{lane}-cup{cup}.png")
    if as_json:
        out.as_json({"written": str(path)})
    else:
        out.text(_("written: {path}").format(path=path))
    return errors.DONE
