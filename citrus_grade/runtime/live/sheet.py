"""The fruit table of a live line for spreadsheets: everything decided so far, while the line runs and after a crash as well."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from citrus_grade.lots import columns
from citrus_grade.runlog import LogError
from citrus_grade.runtime.live import store
from citrus_grade.words import _

SUFFIXES = (".csv", ".parquet")


def export(run_dir: Path, out: Path) -> dict[str, Any]:
    """Write every decision that is safe on disk as one row a cup: ``out`` ends in .csv or .parquet.

    Raises
    ------
    LogError : if the run is not of a live line, or ``out`` exists or has another ending.
    """
    if not (run_dir / store.NAME).exists():
        raise LogError(
            _("{run}: no {name}, which only a live line has; export it with --kind parquet").format(run=run_dir, name=store.NAME)
        )
    if out.suffix not in SUFFIXES:
        raise LogError(_("{path}: end its name in {suffixes}").format(path=out, suffixes=", ".join(SUFFIXES)))
    if out.exists():
        raise LogError(_("{path}: exists already; name a new file or folder").format(path=out))
    partial = out.with_name(out.name + ".part")
    n = _written(_tables(run_dir), partial, as_csv=out.suffix == ".csv")
    if n == 0:
        raise LogError(_("{run}: nothing has been decided yet").format(run=run_dir))
    partial.replace(out)
    return {"run": str(run_dir), "out": str(out), "kind": "fruit", "decisions": n}


def _tables(run_dir: Path) -> Iterator[pa.Table]:
    start = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
    words = [tuple(start[name]) for name in ("targets", "grades", "outlets", "classes")]
    for rows in store.decisions(run_dir):
        yield pa.table(columns(rows, *words))


def _written(tables: Iterator[pa.Table], path: Path, *, as_csv: bool) -> int:
    writer, n = None, 0
    for table in tables:
        if writer is None:
            opened = pyarrow.csv.CSVWriter(path, table.schema) if as_csv else pq.ParquetWriter(path, table.schema)
            writer = opened
        writer.write_table(table)
        n += table.num_rows
    if writer is not None:
        writer.close()
    return n
