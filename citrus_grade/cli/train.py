"""``citrus-grade train``: make what the line applies from what graders have labelled."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, choice
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.models.grades import GradeReport

HELP = N_("Make a model from what graders have labelled.")
EXAMPLES = "citrus-grade train colour pixels.csv --calibration calibration --out calibration-colour"
GRADE_EXAMPLES = (
    "citrus-grade train grade labels.csv --class grade --out grades\n"
    "citrus-grade train grade labels.csv --class ann --second ben --out grades"
)
FAMILIES = ("auto", "logistic", "mlp", "forest", "boosting")

app = typer.Typer()


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


@app.command(
    "grade",
    cls=Verb,
    help=N_(
        "Learn to grade whole fruit as a grader does, and say how well that works on lots that were not learnt from.\n\n"
        "LABELS is CSV or Parquet: a row a fruit, its class and its features by the names of the fruit table, or run, lane and"
        " cup to look them up in that run."
    ),
    epilog=GRADE_EXAMPLES,
)
def grade(
    labels: Annotated[Path, typer.Argument(metavar="LABELS", help=N_("Labelled fruit, CSV or Parquet."))],
    class_column: Annotated[str, typer.Option("--class", metavar="COL", help=N_("Column of the grader's class."))],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New grade classifier."))],
    group: Annotated[
        str | None,
        typer.Option("--group", metavar="COL", help=N_("Column of the lot or day; otherwise lot, day or run.")),
    ] = None,
    second: Annotated[
        str | None, typer.Option("--second", metavar="COL", help=N_("Column of a second grader's class, where there is one."))
    ] = None,
    order: Annotated[
        str | None,
        typer.Option("--order", metavar="A,B,C", help=N_("Classes from best to worst; otherwise as the file has them.")),
    ] = None,
    family: Annotated[
        str,
        typer.Option(
            "--family",
            parser=choice(*FAMILIES),
            metavar="|".join(FAMILIES),
            help=N_("Kind of classifier; auto takes the best on lots it has not seen, the simpler of equals."),
        ),
    ] = "auto",
    as_json: Json = False,
) -> int:
    """Learn the grades, say how far they can be trusted, write classifier and picture."""
    from citrus_grade.report.grades import grade_picture
    from citrus_grade.runtime.training import train_grade

    with bar(_("learning")) as progress:
        named = tuple(name.strip() for name in order.split(",")) if order else ()
        report, classifier_id = train_grade(
            labels, class_column, to, group=group, second=second, order=named, family=family, progress=progress
        )
    picture = to.with_name(to.name + ".png")
    grade_picture(report, picture)
    if as_json:
        out.as_json({"classifier_id": classifier_id, **report.to_dict(), "written": [str(to), str(picture)]})
        return errors.DONE
    _tell(report)
    for path in (to, picture):
        out.text(_("written: {path}").format(path=path))
    return errors.DONE


def _tell(report: "GradeReport") -> None:
    if report.simulated:
        out.text("SIMULATED", "bold red")
    columns = [_("grader said"), *report.classes, _("found again"), _("rightly called")]
    rows = [
        [name, *report.confusion[k].tolist(), _share(report.recall[k]), _share(report.precision[k])]
        for k, name in enumerate(report.classes)
    ]
    out.table(
        _("{n:,} fruit of {groups} lots, each graded by a classifier that had not seen its lot ({family})").format(
            n=report.fruit, groups=report.groups, family=report.family
        ),
        columns,
        rows,
    )
    out.text(
        _("the grader's class {same:.1%}, one beside it {adjacent:.1%}, farther off {skip:.1%}").format(
            same=report.same, adjacent=report.adjacent, skip=report.skip
        )
    )
    kappa = report.kappa
    if report.both:
        text = _(
            "weighted kappa on {n:,} fruit: classifier and first grader {first:.2f}, classifier and second {second:.2f},"
            " the two graders {two:.2f}"
        )
        told = {"first": kappa["classifier_first"], "second": kappa["classifier_second"], "two": kappa["graders"]}
        out.text(text.format(n=report.both, **told))
    else:
        out.text(_("weighted kappa with the grader {kappa:.2f}").format(kappa=kappa["classifier"]))
    if report.ignored:
        out.text(_("columns that are no features, left alone: {names}").format(names=", ".join(report.ignored)))


def _share(value: float) -> str:
    return f"{value:.0%}" if value == value else "–"
