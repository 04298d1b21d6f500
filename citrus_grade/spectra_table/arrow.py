"""Arrow columns as arrays, and Parquet files."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from citrus_grade.spectra_table.naming import named
from citrus_grade.spectra_table.table import Column, Columns
from citrus_grade.words import _


def array(column: pa.ChunkedArray) -> Column:
    """Return a column as numbers, NaN where there are none, or as text."""
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_integer(column.type) or pa.types.is_floating(column.type):
        return np.asarray(column.to_numpy())
    if pa.types.is_boolean(column.type) and not column.null_count:
        return np.asarray(column.to_numpy())
    return np.array(["" if value is None else str(value) for value in column.to_pylist()], np.str_)


def read(path: Path) -> Columns:
    """Return the columns of a Parquet file."""
    table = pyarrow.parquet.ParquetFile(path).read()  # a data set's reader refuses names that stand twice
    columns = named(path, table.column_names, [array(column) for column in table.columns])
    return Columns(path, rows(table.num_rows), columns)


def rows(n: int) -> tuple[str, ...]:
    """Return where rows stand in a file that has no lines."""
    word = _("row {row}")
    return tuple(word.format(row=k) for k in range(1, n + 1))
