"""``citrus-grade train spectra``: a model of sugar, acid or anything else from a table of spectra."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_grade.cli import errors, modelled, out, table_told
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, choice
from citrus_grade.cli.progress import counting
from citrus_grade.cli.source import Group, Id, KindOption, Matrix, Range, Table, Temperature
from citrus_grade.cli.train import app as app
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.models.batch import Batch
    from citrus_grade.models.train import Trained

EXAMPLES = (
    "citrus-grade train spectra fruit.csv --target brix --group lot --range 700:1100 --out model\n"
    "citrus-grade train spectra scans.parquet --references lab.csv --target ssc_brix --target ta_pct --group lot --out model\n"
    "citrus-grade train spectra fruit.csv --target brix --group lot --temperature pulp_c --out model"
)
FAMILIES = {"auto": ("pls", "gpr", "svr", "mean"), "pls": ("pls",), "gpr": ("pls", "gpr"), "svr": ("pls", "svr")}


@app.command(
    "spectra",
    cls=Verb,
    help=N_(
        "Make a model from a table of spectra with reference values, and say how far it can be trusted.\n\n"
        "Columns whose header is a number are wavelengths in nm. Preprocessing, family and number of components are chosen by"
        " cross-validation that leaves whole groups out; the simpler model wins within 3 %. With --temperature, taking what"
        " temperature does out of the spectra and allowing for it by the degree are tried too; 15 fruit measured cold and warm,"
        " under one id, tell it best."
    ),
    epilog=EXAMPLES,
)
def spectra(
    table: Table,
    target: Annotated[
        list[str], typer.Option("--target", metavar="COL", help=N_("Column of reference values; twice for two of them."))
    ],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New folder for the model."))],
    group: Group = None,
    range_nm: Range = None,
    kind: KindOption = None,
    references: Annotated[
        Path | None,
        typer.Option("--references", metavar="FILE", help=N_("Reference values in a table of their own, by run, lane and cup.")),
    ] = None,
    reference_error: Annotated[
        list[float] | None,
        typer.Option("--reference-error", metavar="SD", help=N_("Error of the laboratory's value, once per target.")),
    ] = None,
    family: Annotated[
        str,
        typer.Option(
            "--family", parser=choice(*FAMILIES), metavar="|".join(FAMILIES), help=N_("Kind of model; auto tries them all.")
        ),
    ] = "auto",
    temperature: Temperature = None,
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Train, tell, write bundle and picture."""
    from citrus_grade.report.spectra_training import training_picture
    from citrus_grade.runtime.spectral import Source, train_spectra

    if reference_error and (len(reference_error) != len(target) or min(reference_error) <= 0):
        raise BadInput(
            _("--reference-error: {given}; give one above 0 for each --target, in their order").format(
                given=", ".join(f"{value:g}" for value in reference_error)
            )
        )
    asked = (range_nm.first_nm, range_nm.last_nm) if range_nm else None
    source = Source(table, matrix, references, group, id_column, kind, asked)  # type: ignore[arg-type]  # parsed by choice
    with counting(_("training")) as step:
        trained, batches, model_id = train_spectra(
            source, target, to, families=FAMILIES[family], reference_error=reference_error, temperature=temperature, step=step
        )
    picture = to.with_name(to.name + ".png")
    training_picture(trained, batches, picture)
    if as_json:
        out.as_json({"model_id": model_id, **_facts(trained, batches), "written": [str(to), str(picture)]})
        return errors.DONE
    _tell(trained, batches)
    for path in (to, picture):
        out.text(_("written: {path}").format(path=path))
    return errors.DONE


def _facts(trained: "Trained", batches: "list[Batch]") -> dict[str, Any]:
    first, story = batches[0], trained.model.training
    return {
        "n": story["n"],
        "n_groups": len(story["groups"]),
        "signal": first.kind.kind,
        "signal_because": first.kind.reason,
        "targets": story["targets"],
        "temperature": story.get("temperature"),
        "notes": [*_notes(trained, batches), *first.notes],
        "left_out": list(first.left_out),
        "suspects": _suspects(trained, first),
    }


def _suspects(trained: "Trained", first: "Batch") -> list[dict[str, Any]]:
    return [
        {"place": first.places[row], "id": str(first.ids[row]), "said": [float(v) for v in trained.said[row]]}
        for row in trained.suspects
    ]


def _notes(trained: "Trained", batches: "list[Batch]") -> list[str]:
    from citrus_grade.models.verdict import verdicts

    return [verdict.text() for verdict in verdicts(trained.model.training)]


def _tell(trained: "Trained", batches: "list[Batch]") -> None:
    first, story = batches[0], trained.model.training
    groups = len(story["groups"])
    told = _("{n:,} rows of {groups} groups") if groups else _("{n:,} rows, no groups named")
    out.text(
        told.format(n=story["n"], groups=groups)
        + _("; signal: {kind} ({why})").format(kind=first.kind.kind, why=first.kind.reason)
    )
    for name, one in story["targets"].items():
        rows = [[family, f"{rmse:.3g}", _("chosen") if family == one["family"] else ""] for family, rmse in one["best"].items()]
        title = _("{name}: {family}, {components} components on {recipe}").format(name=name, **one)
        out.table(title, [_("family"), _("RMSE of fruit left out"), ""], rows)
        out.text(
            _("error {rmsecv:.3g} where the references spread by {sd:.3g} (R2 {r2cv:.2f})").format(
                rmsecv=one["rmsecv"], sd=one["sd"], r2cv=one["r2cv"]
            )
        )
    if "temperature" in story:
        modelled.show_temperature(story["temperature"])
    for note in _notes(trained, batches):
        out.text(note, "yellow")
    table_told.some(first.notes)
    table_told.left_out(first.left_out)
    for one in _suspects(trained, first)[:5]:
        said = ", ".join(f"{value:.3g}" for value in one["said"])
        out.text(
            _("look at {place} ({id}): its reference is far from the {said} that the other fruit say").format(
                said=said, **{k: one[k] for k in ("place", "id")}
            ),
            "yellow",
        )
