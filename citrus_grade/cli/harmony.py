"""``citrus-grade harmony``: do the lanes agree? Told by the fruit of runs, without a laboratory."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.options import Json, page, positive
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.runtime.harmony import Agreement

HELP = N_(
    "Say whether the lanes agree: they grade the same lots, so what they predict must be alike on average.\n\n"
    "Needs no laboratory: only runs of one model whose fruit reached the lanes without regard to quality; 600 fruit a lane are"
    " good, 30 the least. Exit code 1 where a lane is off. With --out a model with the corrections proposed is written; nothing"
    " becomes live by itself."
)
EXAMPLES = (
    "citrus-grade harmony runs/monday\n"
    "citrus-grade harmony runs/monday runs/tuesday --report harmony.html\n"
    "citrus-grade harmony runs/monday runs/tuesday --covariate hue_q50_deg --out model-in-harmony"
)


def verb(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN...]", help=N_("Run folders, all of one model."))],
    to: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help=N_("New folder for the model with the corrections proposed."))
    ] = None,
    tolerance: Annotated[
        list[float] | None,
        typer.Option(
            "--tolerance",
            parser=positive,
            metavar="X",
            help=N_("Offset that is still good, once per target, in its unit; otherwise half of the model's error."),
        ),
    ] = None,
    covariate: Annotated[
        list[str] | None,
        typer.Option(
            "--covariate",
            metavar="COL",
            help=N_("Column of the fruit table that goes with sugar or acid, such as hue_q50_deg: makes the offsets surer."),
        ),
    ] = None,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE.png", help=N_("Picture to write."))] = None,
    report: Annotated[
        Path | None, typer.Option("--report", parser=page, metavar="FILE.html", help=N_("Page to write, one sheet of A4."))
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare the lanes, tell, write what was asked for."""
    from citrus_grade.runtime.harmony import agree, facts, write

    agreement = agree(runs, tolerance or (), covariate or ())
    model_id = write(agreement, to) if to is not None else None
    written = [*([to] if model_id else []), *_drawn(agreement, picture, report)]
    off = any(one.drifted for one in agreement.targets)
    if as_json:
        out.as_json({**facts(agreement), "new_model_id": model_id, "written": [str(path) for path in written]})
    else:
        _tell(agreement)
        for path in written:
            out.text(_("written: {path}").format(path=path))
        if off or to is not None:
            out.text(_next(off, to))
    return errors.FINDINGS if off else errors.DONE


def _drawn(agreement: "Agreement", picture: Path | None, report: Path | None) -> list[Path]:
    if picture is None and report is None:
        return []
    from datetime import datetime

    from citrus_grade.report.harmony import harmony_page, harmony_picture

    if picture is not None:
        harmony_picture(agreement, picture)
    pages = harmony_page(agreement, report, when=datetime.now().astimezone()) if report is not None else []
    return list(dict.fromkeys([*([picture] if picture is not None else []), *pages]))


def _tell(agreement: "Agreement") -> None:
    from citrus_grade.report.harmony_words import HEADS, findings, rows, title

    if agreement.simulated:
        out.text("SIMULATED", "bold red")
    for one in agreement.targets:
        out.table(title(one), [_(head) for head in HEADS], rows(one))
    for kind, text in findings(agreement):
        out.text(text, {"grave": "bold red", "bad": "yellow", "good": "green"}.get(kind, ""))


def _next(off: bool, to: Path | None) -> str:
    if not off:
        return _("no lane is off for sure: there is nothing to correct, and no model was written")
    if to is None:
        return _("nothing was changed; --out DIR writes a model with these corrections")
    text = _("nothing is live yet: check {model} with sample fruit, then citrus-grade models promote LINE.toml {model}")
    return text.format(model=to)
