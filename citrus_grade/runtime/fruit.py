"""The fruit table of a finished run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from citrus_grade.runlog import LogError
from citrus_grade.spectra_table import SpectraTable
from citrus_grade.words import _

Columns = dict[str, NDArray[Any]]


def fruit_of(run_dir: Path) -> Columns:
    """Return a run's fruit table, one row a cup.

    Raises
    ------
    LogError : it has none; how to make it from the log is said.
    """
    path = run_dir / "fruit.parquet"
    if not path.exists():
        raise LogError(_("{path}: not there; make it from the log: citrus-grade log export RUN --to FOLDER").format(path=path))
    table = pq.read_table(path)
    return {name: np.asarray(table[name].to_numpy(zero_copy_only=False)) for name in table.column_names}


def keyed(runs: Sequence[tuple[Path, Columns]]) -> SpectraTable:
    """Return the fruit of runs, one after the other, as a table that references are joined to; it has no spectra."""
    keys = {
        "run": np.concatenate([np.full(len(fruit["cup"]), run.resolve().name) for run, fruit in runs]),
        **{name: np.concatenate([fruit[name] for _run, fruit in runs]) for name in ("lane", "cup", "lot")},
    }
    n = len(keys["run"])
    return SpectraTable(
        runs[0][0] / "fruit.parquet", np.zeros(0), np.zeros((n, 0)), keys, tuple(f"row {k + 1}" for k in range(n))
    )
