"""Fruit table and packout: one row a fruit on disk, shares by grade and outlet for people."""

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from citrus_grade.messages import Reason
from citrus_grade.tables import COLOURS, DECISION, Table, stack

ROWS_A_GROUP = 4096
UNGRADED = "ungraded"
_REASONS = np.array([reason.name.lower() for reason in Reason], object)


def columns(
    rows: Table, targets: tuple[str, ...], grades: tuple[str, ...], outlets: tuple[str, ...], classes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return decisions as named columns for people: colours and traits by name, class, grade, outlet and reason as words, ids
    in hex."""
    named: dict[str, Any] = {}
    for name in rows.dtype.names or ():
        column = np.ascontiguousarray(rows[name])
        if name == "colour_pct":
            named |= {f"skin_{colour}_pct": column[:, k] for k, colour in enumerate(COLOURS)}
        elif name == "hue_deg":
            named |= {f"hue_q{q}_deg": column[:, k] for k, q in enumerate((10, 50, 90))}
        elif name in ("stem", "stylar"):
            named |= {f"{name}_{axis}": column[:, k] for k, axis in enumerate("xyz")}
        elif name in ("trait", "trait_sigma", "trait_low90", "trait_high90"):
            named |= {target + name.removeprefix("trait"): column[:, k] for k, target in enumerate(targets)}
        elif name == "shadow_trait":
            named |= {f"{target}_shadow": column[:, k] for k, target in enumerate(targets)}
        elif name.endswith("_id"):
            ids, which = np.unique(column, return_inverse=True)
            named[name] = np.array([f"{value:016x}" for value in ids.tolist()], object)[which]
        elif name == "reason":
            named[name] = _REASONS[column]
        elif name == "outlet":
            named[name] = np.array(outlets, object)[column]
        elif name == "grade_class":
            named[name] = np.array([*classes, ""], object)[column]
        elif name == "rule":
            named["grade"] = np.array([*grades, UNGRADED], object)[column]
        elif name == "missed_rule":
            named["missed_grade"] = np.array([*grades, ""], object)[column]
        else:
            named[name] = column
    return named


class FruitTable:
    """Writes decisions to one Parquet file, a row group at a time; the file gets its name when it is whole.

    What a killed run has not finished can be made again from its log.
    """

    def __init__(
        self,
        path: Path,
        targets: tuple[str, ...],
        grades: tuple[str, ...],
        outlets: tuple[str, ...],
        classes: tuple[str, ...] = (),
    ) -> None:
        self.path = path
        self._partial = path.with_name(path.name + ".part")
        self._words = (targets, grades, outlets, classes)
        self._waiting: list[Table] = []
        self._rows = 0
        self._writer: pq.ParquetWriter | None = None

    def add(self, rows: Table) -> None:
        """Append decisions."""
        self._waiting.append(rows)
        self._rows += len(rows)
        if self._rows >= ROWS_A_GROUP:
            self._flush()

    def close(self) -> None:
        """Finish the file; a table without a row is not written."""
        if self._waiting:
            self._flush()
        if self._writer is None:
            return
        self._writer.close()
        with self._partial.open("rb") as file:
            os.fsync(file.fileno())
        self._partial.replace(self.path)

    def _flush(self) -> None:
        table = pa.table(columns(stack(self._waiting, DECISION), *self._words))
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._partial, table.schema, compression="zstd")
        self._writer.write_table(table)
        self._waiting, self._rows = [], 0


class Packout:
    """Counts and kilograms by grade and outlet, and why fruit was not graded."""

    def __init__(self, grades: tuple[str, ...], outlets: tuple[str, ...]) -> None:
        self._grades = grades
        self._outlets = outlets
        self._n = np.zeros((len(grades) + 1, len(outlets)), np.int64)
        self._kg = np.zeros((len(grades) + 1, len(outlets)), np.float64)
        self._reasons = np.zeros(len(Reason), np.int64)
        self.cups = 0

    def add(self, rows: Table) -> None:
        """Count decisions; empty cups hold no fruit."""
        self.cups += len(rows)
        columns = (rows[name].tolist() for name in ("reason", "rule", "outlet", "mass_g"))
        for reason, rule, outlet, mass_g in zip(*columns, strict=True):
            self._reasons[reason] += 1
            if reason != Reason.EMPTY:
                self._n[rule, outlet] += 1
                self._kg[rule, outlet] += mass_g / 1000 if mass_g == mass_g else 0.0

    @property
    def fruit(self) -> int:
        """Fruit counted so far."""
        return int(self._n.sum())

    def table(self) -> list[dict[str, Any]]:
        """Return one entry a grade and outlet that got fruit: grade, outlet, n, pct of fruit, kg; ungraded fruit last."""
        total = max(self.fruit, 1)
        names = (*self._grades, UNGRADED)
        return [
            {
                "grade": names[grade],
                "outlet": self._outlets[outlet],
                "n": int(self._n[grade, outlet]),
                "pct": round(100 * float(self._n[grade, outlet]) / total, 2),
                "kg": round(float(self._kg[grade, outlet]), 3),
            }
            for grade, outlet in np.argwhere(self._n > 0).tolist()
        ]

    def reasons(self) -> dict[str, int]:
        """Return how many cups were decided for which reason."""
        counts = Counter({Reason(k).name.lower(): int(n) for k, n in enumerate(self._reasons) if n})
        return dict(counts)
