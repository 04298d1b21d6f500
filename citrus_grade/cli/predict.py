"""``citrus-grade predict``: a model applied to a table of spectra."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out, table_told
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json
from citrus_grade.cli.source import Bundle, Id, KindOption, Lane, Matrix, Table, Temperature
from citrus_grade.words import N_, _

HELP = N_(
    "Predict every row of a table of spectra with a model, each with the interval that holds the truth in 90 of 100 fruit.\n\n"
    "Writes id, value, lo90, hi90, t2, q and in_domain; a second target has columns with its name."
)
EXAMPLES = "citrus-grade predict model fruit.csv --out predicted.csv"


def verb(
    bundle: Bundle,
    table: Table,
    to: Annotated[Path, typer.Option("--out", metavar="FILE.csv", help=N_("Table to write, CSV or Parquet."))],
    kind: KindOption = None,
    lane: Lane = None,
    temperature: Temperature = None,
    matrix: Matrix = None,
    id_column: Id = None,
    as_json: Json = False,
) -> int:
    """Predict, write, and say what is out of domain."""
    from citrus_grade.runtime.spectral import Source, predict_table
    from citrus_grade.runtime.writing import write_table

    if to.resolve() == table.resolve():
        raise BadInput(_("{path}: is the table to predict; name another file with --out").format(path=to))
    if to.is_dir():
        raise BadInput(_("{path}: is a folder; name a file with --out, such as {path}/predicted.csv").format(path=to))
    source = Source(table, matrix, id=id_column, kind=kind)  # type: ignore[arg-type]  # parsed by choice
    predicted = predict_table(bundle, source, lane, temperature)
    columns = predicted.columns()
    write_table(columns, to)
    n, strange = len(columns["id"]), int((~columns["in_domain"] & predicted.rows.whole).sum())
    if as_json:
        signal = predicted.rows.kind.kind
        told = {"n": n, "n_out_of_domain": strange, "n_by_temperature": predicted.warm, "signal": signal, "written": [str(to)]}
        without = list(predicted.rows.faulty.values())
        out.as_json({"model_id": predicted.model_id, **told, "notes": list(predicted.notes), "without_value": without})
        return errors.DONE
    out.text(_("{n:,} rows predicted by model {id}").format(n=n, id=predicted.model_id))
    if predicted.by_temperature:
        text = _("the model allows for temperature: {k:,} of {n:,} rows have one, the others are as without")
        out.text(text.format(k=predicted.warm, n=n), "" if predicted.warm == n else "yellow")
    table_told.some(predicted.notes)
    if predicted.rows.faulty:
        out.text(_("{n:,} rows have no whole spectrum and got no value:").format(n=len(predicted.rows.faulty)))
        table_told.some(list(predicted.rows.faulty.values()))
    if strange:
        out.text(
            _("{k:,} of them are unlike what the model was made from (in_domain is false): do not grade by those values").format(
                k=strange
            ),
            "yellow",
        )
    out.text(_("written: {path}").format(path=to))
    return errors.DONE
