"""Tables written whole or not at all."""

import csv
import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def write_table(columns: Mapping[str, Any], path: Path) -> None:
    """Write columns (n,) as ``.csv`` or ``.parquet``; what is no number stays empty in CSV.

    The file gets its name when it is whole: whoever reads beside it sees the old one or the new one.
    """
    if path.suffix.lower() == ".parquet":
        buffer = io.BytesIO()
        pq.write_table(pa.table({name: pa.array(np.asarray(column).tolist()) for name, column in columns.items()}), buffer)
        write_whole(path, buffer.getvalue())
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*([_cell(value) for value in np.asarray(column).tolist()] for column in columns.values()), strict=True))
    write_whole(path, text.getvalue().encode("utf-8"))


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it appears complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).chmod(0o644)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return "" if value != value else repr(value)
    return value
