"""A finished run as the report reads it: its table, what its driver knows of the fruit, and what to say of it."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from citrus_grade.alarms import Alarms
from citrus_grade.lots import UNGRADED, columns
from citrus_grade.messages import Alarm, Decisions, Reason
from citrus_grade.rundir import Loaded, reopen, start_of
from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.export import Walk
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.words import _

Columns = dict[str, NDArray[Any]]
GRADED, EMPTY = Reason.GRADED.name.lower(), Reason.EMPTY.name.lower()


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``fruit``: columns of the fruit table, empty cups left out; ``cups``: how many cups were decided in all."""

    run_dir: Path
    start: dict[str, Any]
    loaded: Loaded
    fruit: Columns
    cups: int
    truth: Columns | None
    accuracy: dict[str, Any] | None
    alarms: dict[str, int]
    alarm_places: dict[str, list[str]]
    rates: dict[str, float]

    @property
    def targets(self) -> tuple[str, ...]:
        """Traits that were measured of at least one fruit."""
        return tuple(name for name in self.start["targets"] if np.isfinite(self.fruit[name]).any())

    @property
    def grades(self) -> tuple[str, ...]:
        """Grades of the plan, in its order."""
        return tuple(self.start["grades"])

    @property
    def simulated(self) -> bool:
        """Whether no real fruit was ever on the line."""
        return bool(self.loaded.config.source.get("driver", "sim") == "sim")


def read(run_dir: Path, summary: dict[str, Any] | None = None) -> Run:
    """Read a run; ``summary`` adds what only the one who ran it knows, its speed.

    Raises
    ------
    LogError : if the folder is no run or no fruit was decided in it.
    """
    start, loaded = start_of(run_dir), reopen(run_dir)
    table = run_dir / "fruit.parquet"
    whole = _columns(pq.read_table(table)) if table.exists() else _from_log(run_dir)
    full = whole["reason"] != EMPTY
    fruit = {key: column[full] for key, column in whole.items()}
    truth_file = run_dir / "truth.parquet"
    truth = _columns(pq.read_table(truth_file)) if truth_file.exists() else None
    summary = summary or {}
    accuracy = summary.get("accuracy") or (_accuracy(whole, truth, start) if truth is not None else None)
    alarms, places = (summary["alarms"], summary["alarm_places"]) if "alarms" in summary else _alarms(run_dir)
    rates: dict[str, float] = {
        key: float(summary[key]) for key in ("line_s", "wall_s", "x_realtime", "fruit_per_s") if key in summary
    }
    rates.setdefault("line_s", _line_s(whole, loaded))
    return Run(run_dir, start, loaded, fruit, len(full), truth, accuracy, alarms, places, rates)


def packout(run: Run) -> list[dict[str, Any]]:
    """Return one entry a grade and outlet that got fruit, in the plan's order, ungraded last; see `lots.Packout.table`."""
    order = {grade: k for k, grade in enumerate((*run.grades, UNGRADED))}
    outlets = {outlet: k for k, outlet in enumerate(run.start["outlets"])}
    names = zip(run.fruit["grade"].tolist(), run.fruit["outlet"].tolist(), strict=True)
    pairs = np.array([order[grade] * len(outlets) + outlets[outlet] for grade, outlet in names], np.int64)
    mass_kg = np.nan_to_num(run.fruit["mass_g"]) / 1000
    rows = []
    for pair in np.unique(pairs).tolist():
        there = pairs == pair
        grade, outlet = divmod(pair, len(outlets))
        rows.append(
            {
                "grade": list(order)[grade], "outlet": list(outlets)[outlet], "n": int(there.sum()),
                "pct": 100 * float(there.mean()), "kg": float(mass_kg[there].sum()),
            }
        )  # fmt: skip
    return rows


def not_graded(run: Run) -> dict[str, int]:
    """Return how many fruit were not graded for which reason, most frequent first."""
    return dict(Counter(reason for reason in run.fruit["reason"].tolist() if reason != GRADED).most_common())


def of_grade(run: Run, grade: str) -> NDArray[np.bool_]:
    """Say which fruit got a grade."""
    return np.asarray(run.fruit["grade"] == grade)


def true_values(run: Run, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (n,) true and (n,) measured values of single, measured fruit."""
    assert run.truth is not None
    at = _matches(run.fruit, run.truth)
    single = (run.truth["load"][at[:, 1]] == 1) & (run.fruit["fruit_views"][at[:, 0]] > 0)
    at = at[single]
    true, measured = run.truth[name][at[:, 1]], run.fruit[name][at[:, 0]]
    known = np.isfinite(measured)
    return true[known], measured[known]


def _columns(table: pa.Table) -> Columns:
    return {name: table[name].to_numpy() for name in table.column_names}


def _from_log(run_dir: Path) -> Columns:
    walk = Walk.of(run_dir)
    rows = [item.rows for _t_ns, item in walk.entries(frames=False) if isinstance(item, Decisions)]
    if not rows:
        raise LogError(_("{run}: no fruit was decided in this run, there is nothing to report").format(run=run_dir))
    return {name: np.asarray(column) for name, column in columns(np.concatenate(rows), *walk.words).items()}


def _alarms(run_dir: Path) -> tuple[dict[str, int], dict[str, list[str]]]:
    alarms = Alarms()
    for _t_ns, item in Walk.of(run_dir).entries(frames=False):
        if isinstance(item, Alarm):
            alarms.add(item)
    return dict(alarms.times), alarms.places


def _line_s(whole: Columns, loaded: Loaded) -> float:
    ticks = int(whole["tick"].max() - whole["tick"].min())
    return float(ticks / loaded.config.encoder.ratio) / loaded.config.line.cups_per_s


def _matches(fruit: Columns, truth: Columns) -> NDArray[np.int64]:
    """Return (n, 2): rows of the table and of the truth that speak of the same cup."""
    order = {key: k for k, key in enumerate(zip(truth["lane"].tolist(), truth["cup"].tolist(), strict=True))}
    keys = enumerate(zip(fruit["lane"].tolist(), fruit["cup"].tolist(), strict=True))
    return np.array([(k, order[key]) for k, key in keys if key in order], np.int64).reshape(-1, 2)


def _accuracy(whole: Columns, truth: Columns, start: dict[str, Any]) -> dict[str, Any]:
    """Bring the stored tables back into the shape `against_truth` compares."""
    targets = tuple(start["targets"])
    measured = ("diameter_mm", "height_mm", "mass_g", "green_pct", "blemish_pct", "blemish_count")
    named = {name: whole[name] for name in ("lane", "cup", "fruit_views", *measured, "fire_tick")}
    said = _packed(named, ("outlet", "i4"), ("reason", "i4"), ("trait", "f8", (2,)))
    said["outlet"] = [start["outlets"].index(outlet) for outlet in whole["outlet"]]
    said["reason"] = [Reason[reason.upper()] for reason in whole["reason"]]
    for k, name in enumerate(targets):
        said["trait"][:, k] = whole[name]
    outer = ("lane", "cup", "load", "fell")
    seen = {name.removeprefix("seen_"): column for name, column in truth.items() if name.startswith("seen_")}
    own = {name: column for name, column in truth.items() if name not in outer and not name.startswith("seen_")}
    parts = {"fruit": _packed(own), **({"seen": _packed(seen)} if seen else {})}
    known = _packed({name: truth[name] for name in outer}, *((name, part.dtype) for name, part in parts.items()))
    for name, part in parts.items():
        known[name] = part
    return against_truth(said, known, targets)


def _packed(named: Columns, *more: Any) -> NDArray[Any]:
    """Return columns as records, with room for more fields."""
    n = len(next(iter(named.values())))
    records = np.zeros(n, [*((name, column.dtype) for name, column in named.items()), *more])
    for name, column in named.items():
        records[name] = column
    return records
