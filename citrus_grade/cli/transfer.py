"""``citrus-grade transfer``: a model moved to another spectrometer."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out, table_told
from citrus_grade.cli.options import Json, choice
from citrus_grade.cli.source import KINDS, Bundle, Id, KindOption
from citrus_grade.words import N_, _

HELP = N_(
    "Move a model to another spectrometer by samples measured on both.\n\n"
    "Samples are told by their ids, or by their order where the tables have none in common. Every way is tried on samples it was"
    " made without. References in either table are used if there are any; otherwise the model's own values on the master are."
)
EXAMPLES = (
    "citrus-grade transfer model master.csv slave.csv --target brix --out model-lane-7\n"
    "citrus-grade transfer model master.csv slave.csv --target brix --also projection --out model-lane-7"
)
FURTHER = {"projection": "projection", "direct": "direct standardisation"}


def verb(
    bundle: Bundle,
    master: Annotated[Path, typer.Argument(metavar="MASTER", help=N_("The samples' spectra on the model's own spectrometer."))],
    slave: Annotated[Path, typer.Argument(metavar="SLAVE", help=N_("The same samples' spectra on the other one."))],
    to: Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New folder for the model."))],
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="COL", help=N_("Column of references, one for each target; otherwise by the targets' names.")
        ),
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            "--also",
            parser=choice(*FURTHER),
            metavar="|".join(FURTHER),
            help=N_("Further way to choose among, EPO or direct standardisation; few samples cannot rank many ways."),
        ),
    ] = None,
    kind: KindOption = None,
    master_kind: Annotated[
        str | None,
        typer.Option("--master-kind", parser=choice(*KINDS), metavar="|".join(KINDS), help=N_("What the master's spectra are.")),
    ] = None,
    slave_kind: Annotated[
        str | None,
        typer.Option("--slave-kind", parser=choice(*KINDS), metavar="|".join(KINDS), help=N_("What the slave's spectra are.")),
    ] = None,
    master_matrix: Annotated[
        str | None, typer.Option("--master-matrix", metavar="NAME", help=N_("Of several sets of spectra, the master's."))
    ] = None,
    slave_matrix: Annotated[
        str | None, typer.Option("--slave-matrix", metavar="NAME", help=N_("Of several sets of spectra, the slave's."))
    ] = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Choose the way, tell, and write the bundle."""
    from citrus_grade.cli.progress import counting
    from citrus_grade.runtime.spectral import Source
    from citrus_grade.runtime.upkeep import move_to

    kinds = master_kind or kind, slave_kind or kind
    ours = Source(master, master_matrix, id=id_column, kind=kinds[0])  # type: ignore[arg-type]  # parsed by choice
    theirs = Source(slave, slave_matrix, id=id_column, kind=kinds[1])  # type: ignore[arg-type]  # parsed by choice
    with counting(_("moving the model")):
        moved = move_to(bundle, ours, theirs, target or [], to, [FURTHER[way] for way in also or ()])
    model, found = moved.model, moved.found
    if as_json:
        told = dict(zip(model.names, model.training["transfer"], strict=True))
        facts = {"model_id": moved.model_id, "targets": told, "signal": model.training["signal"], "notes": list(moved.notes)}
        out.as_json({**facts, "written": [str(to)]})
        return errors.DONE
    for name, one in zip(model.names, found, strict=True):
        rows = [[_(way), f"{rmse:.3g}", _("chosen") if way == one.method else ""] for way, rmse in one.rmse.items()]
        n = model.training["transfer"][0]["samples"]
        title = _("{name}: {n} samples on both spectrometers; {way}").format(name=name, n=n, way=one.option)
        out.table(title, [_("way"), _("RMSE of samples left out"), ""], rows)
        out.text(one.reason)
    table_told.some(moved.notes)
    out.text(_("written: {path}").format(path=to))
    return errors.DONE
