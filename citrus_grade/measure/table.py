"""The table of measured fruit, as CSV for people and Parquet for programs."""

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from citrus_grade.measure.measure import COLUMNS, Row

_TYPES = {"file": pa.string(), "fruit": pa.int32()}


def write(rows: Sequence[Row], folder: Path) -> list[Path]:
    """Write ``fruit.csv`` and ``fruit.parquet`` into a folder and return their paths; what was not measured stays empty."""
    plain = [[None if isinstance(value := row[name], float) and math.isnan(value) else value for name in COLUMNS] for row in rows]
    folder.mkdir(parents=True, exist_ok=True)
    as_csv, as_parquet = folder / "fruit.csv", folder / "fruit.parquet"
    # With its mark, a spreadsheet opens the file as UTF-8: file names are in any letters.
    with as_csv.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *plain])
    schema = pa.schema([(name, _TYPES.get(name, pa.float64())) for name in COLUMNS])
    columns = [pa.array([row[k] for row in plain], schema.field(name).type) for k, name in enumerate(COLUMNS)]
    pq.write_table(pa.table(columns, schema=schema), as_parquet, compression="zstd")
    return [as_csv, as_parquet]
