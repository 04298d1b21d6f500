"""``citrus-grade upkeep``: a model kept true with sample fruit."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_grade.cli import errors, out, table_told
from citrus_grade.cli.options import Json
from citrus_grade.cli.source import Bundle, Id, KindOption, Lane, Matrix, Table
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.models.upkeep import Kept
    from citrus_grade.spectra.model import SpectralModel

HELP = N_(
    "Keep a model true with sample fruit that the laboratory has measured, 20 to 30 in every lane.\n\n"
    "Leave-one-out chooses for each target: nothing, a bias, slope and bias, or the model fitted anew with these fruit; what"
    " harms more than it helps is not done. The new model keeps the old one's name in its story."
)
EXAMPLES = (
    "citrus-grade upkeep model samples.csv --target brix --out model-november\n"
    "citrus-grade upkeep model samples.parquet --target ssc_brix --target ta_pct --lane lane --out model-november"
)


def verb(
    bundle: Bundle,
    table: Table,
    target: Annotated[
        list[str],
        typer.Option("--target", metavar="COL", help=N_("Column of reference values, one for each target of the model.")),
    ],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New folder for the model."))],
    lane: Lane = None,
    kind: KindOption = None,
    references: Annotated[
        Path | None,
        typer.Option("--references", metavar="FILE", help=N_("Reference values in a table of their own, by run, lane and cup.")),
    ] = None,
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Choose, tell, write bundle and picture."""
    from citrus_grade.models.refit import hindrance
    from citrus_grade.report.upkeep import upkeep_picture
    from citrus_grade.runtime.spectral import Source
    from citrus_grade.runtime.upkeep import keep_up

    source = Source(table, matrix, references, None, id_column, kind)  # type: ignore[arg-type]  # parsed by choice
    model, done, batches, model_id = keep_up(bundle, source, target, lane, to)
    picture = to.with_name(to.name + ".png")
    upkeep_picture(model, done, batches, picture)
    if as_json:
        facts = {kept.target: _facts(kept) for kept in done}
        told = {"model_id": model_id, "n": len(batches[0].ids), "targets": facts, "no_refit_because": hindrance(model)}
        told |= {"notes": list(batches[0].notes), "left_out": list(batches[0].left_out)}
        out.as_json(told | {"written": [str(to), str(picture)]})
        return errors.DONE
    for kept, batch in zip(done, batches, strict=True):
        rows = [[_(name), f"{rmse:.3g}", _("chosen") if name == kept.chosen else ""] for name, rmse in kept.rmse.items()]
        title = _("{name}: {n} sample fruit").format(name=kept.target, n=len(batch.ids))
        out.table(title, [_("correction"), _("RMSE of fruit left out"), ""], rows)
        out.text(kept.reason)
        title = _("{name}: the intervals of 90 % before, in the order of the table").format(name=kept.target)
        out.table(
            title, [_("lane"), _("fruit"), _("inside, %"), _("interval that would keep its promise, %")], _held(kept, model)
        )
        for row in kept.suspicious:
            text = _("look at {place} ({id}): its reference is far off; it took no part")
            out.text(text.format(place=batch.places[row], id=batch.ids[row]), "yellow")
    table_told.some(batches[0].notes)
    table_told.left_out(batches[0].left_out)
    if why := hindrance(model):
        out.text(_("not fitted anew: {why}").format(why=why), "yellow")
    for path in (to, picture):
        out.text(_("written: {path}").format(path=path))
    return errors.DONE


def _held(kept: "Kept", model: "SpectralModel") -> Iterator[list[str]]:
    """Yield what a lane's intervals held of its sample fruit, and how wide the next would have to be."""
    levels = kept.levels
    for k, name in enumerate(model.lanes or ("-",)):
        seen, missed, outside = int(levels.seen[k]), int(levels.missed[k]), min(max(float(levels.outside[k]), 0.0), 1.0)
        yield [name, f"{seen}", f"{100 * (1 - missed / max(seen, 1)):.0f}", f"{100 * (1 - outside):.0f}"]


def _facts(kept: "Kept") -> dict[str, Any]:
    return {
        "chosen": kept.chosen,
        "reason": kept.reason,
        "rmse": kept.rmse,
        "slope": kept.line.slope,
        "bias": kept.line.bias.tolist(),
        "weight": kept.weight,
        "suspicious_rows": list(kept.suspicious),
        "outside90": kept.levels.missed.tolist(),
        "level_outside": kept.levels.outside.tolist(),
    }
