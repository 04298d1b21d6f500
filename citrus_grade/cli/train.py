"""``citrus-grade train``: make what the line applies from what graders have labelled."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, choice
from citrus_grade.words import N_, _

HELP = N_("Make a model from what graders have labelled.")
EXAMPLES = "citrus-grade train colour pixels.csv --calibration calibration --out calibration-colour"

app = typer.Typer()


@app.callback()
def _train() -> None:
    """Keep ``train`` a group of verbs."""


@app.command(
    "colour",
    cls=Verb,
    help=N_(
        "Learn the named colours of skin from labelled pixels and write a calibration set with them.\n\n"
        "PIXELS.csv holds red, green, blue, colour a row (and group), or file, x, y, r, colour: discs in pictures beside it."
    ),
    epilog=EXAMPLES,
)
def colour(
    pixels: Annotated[Path, typer.Argument(metavar="PIXELS.csv", help=N_("Labelled pixels."))],
    calibration: Annotated[
        Path, typer.Option("--calibration", metavar="DIR", help=N_("Calibration set in use: all else is taken from it."))
    ],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New calibration set."))],
    classifier: Annotated[
        str,
        typer.Option(
            "--classifier",
            parser=choice("boosting", "logistic", "neighbours"),
            metavar="boosting|logistic|neighbours",
            help=N_("Classifier that is baked into the table."),
        ),
    ] = "boosting",
    as_json: Json = False,
) -> int:
    """Learn the colours, say how well held-out pixels get their names, write calibration set and picture."""
    from citrus_grade.report.training import colour_picture
    from citrus_grade.runtime.training import train_colour

    baked, calibration_id = train_colour(pixels, calibration, classifier, to)
    picture = to.with_name(to.name + ".png")
    colour_picture(baked, picture)
    n = int(baked.confusion.sum())
    if as_json:
        out.as_json({"calibration_id": calibration_id, "accuracy": baked.accuracy, "n": n, "written": [str(to), str(picture)]})
        return errors.DONE
    out.text(_("{share:.1%} of {n:,} held-out pixels get their own name").format(share=baked.accuracy, n=n))
    out.text(_("written: {path}").format(path=to))
    out.text(_("written: {path}").format(path=picture))
    return errors.DONE
