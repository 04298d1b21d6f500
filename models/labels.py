"""Whole fruit that graders have labelled: a table of features and classes, or labels joined with what a run measured."""

import csv
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from citrus_grade.grading.features import FEATURES, MATURITY, SUGAR_AND_ACID
from citrus_grade.tables import DECISION
from citrus_grade.words import Refused, _

FRUIT_IDS = ("run", "lane", "cup")
GROUPS = ("lot", "day", "run")
"""Columns that are taken for the group where none is named."""
LEAST_FRUIT = 5
TRUTH = "truth.parquet"
"""What only a simulated run holds."""
_KNOWN = {*FEATURES, *(DECISION.names or ()), "fruit", "id", *FRUIT_IDS, *GROUPS}
_SAME = 8
"""Two rows alike in as many features are one fruit written twice."""

Column = Sequence[Any]


class LabelError(Refused):
    """Labels no classifier can be made from; the message says which file, row and column, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Labelled fruit: ``x`` (n, n_features) with NaN where nobody measured, ``grade`` (n,) index into ``classes``, ``group``
    (n,) index into ``groups``, ``second`` (n,) what another grader said, -1 where nothing; ``ignored`` columns; ``simulated``
    whether they come from a simulated run."""

    features: tuple[str, ...]
    classes: tuple[str, ...]
    x: NDArray[np.float64]
    grade: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: tuple[str, ...]
    second: NDArray[np.int64] | None
    ignored: tuple[str, ...]
    simulated: bool


def read_labels(
    path: Path, class_column: str, group: str | None = None, second: str | None = None, order: tuple[str, ...] = ()
) -> Labelled:
    """Read labelled fruit from CSV or Parquet.

    Parameters
    ----------
    class_column, second : columns of the classes that one grader and, if wanted, another gave. group : column of the lot or day;
        without it the first of `GROUPS` that is there. order : the classes from best to worst, else as the file has them.

    A table without a feature column needs ``run, lane, cup``: each fruit's features are then read from that run's fruit table,
    ``run`` being a folder beside the file.

    Raises
    ------
    LabelError : naming file, row, column and remedy.
    """
    table = _read(path)
    grouped = group or next((name for name in GROUPS if name in table), None)
    for name in (class_column, grouped, second):
        if name is not None and name not in table:
            raise LabelError(
                _("{path}: has no column {name!r}; there are {names}").format(path=path, name=name, names=", ".join(table))
            )
    said = _words(path, table, class_column)
    if not said:
        raise LabelError(_("{path}: holds no fruit; write a row for each").format(path=path))
    others = [name for name in table if name not in (class_column, grouped, second)]
    _near_misses(path, others)
    used = [name for name in FEATURES if name in others]
    measured = {name: _numbers(path, table, name) for name in used} if used else _from_runs(path, table)
    classes = _classes(path, said, order)
    _once(path, table, measured)
    names, x = _matrix(path, measured)
    groups, which = np.unique(_words(path, table, grouped) if grouped else [""] * len(said), return_inverse=True)
    if len(groups) < 2:
        raise LabelError(
            _(
                "{path}: all fruit come from one lot, so nobody can tell how well another lot would be graded;"
                " label fruit of two lots or more and name their column with --group"
            ).format(path=path)
        )
    return Labelled(
        features=names,
        classes=classes,
        x=x,
        grade=np.array([classes.index(name) for name in said], np.int64),
        group=which.astype(np.int64),
        groups=tuple(groups.tolist()),
        second=_second(path, table, second, classes) if second else None,
        ignored=tuple(name for name in others if name not in _KNOWN),
        simulated=not used and any((path.parent / run / TRUTH).exists() for run in set(table["run"])),
    )


def _read(path: Path) -> dict[str, Column]:
    try:
        if path.suffix.lower() == ".parquet":
            table = pq.read_table(path)
            return {name: table[name].to_pylist() for name in table.column_names}
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.reader(file))
    except (UnicodeDecodeError, pa.ArrowException, csv.Error) as error:
        raise LabelError(_("{path}: cannot be read ({error}); save it as CSV in UTF-8 or as Parquet").format(
            path=path, error=error
        )) from error  # fmt: skip
    header, body = (rows[0], rows[1:]) if rows else ([], [])
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise LabelError(_("{path}: the column {name!r} stands twice; keep one").format(path=path, name=twice[0]))
    for row, cells in enumerate(body):
        if len(cells) != len(header):
            raise LabelError(
                _("{path}, row {row}: {n} cells under {columns} headings; mend the row").format(
                    path=path, row=row + 2, n=len(cells), columns=len(header)
                )
            )
    return {name: [cells[k] for cells in body] for k, name in enumerate(header)}


def _row(path: Path, at: int) -> int:
    """Return the row a person sees: a CSV's first is its heading."""
    return at + (1 if path.suffix.lower() == ".parquet" else 2)


def _words(path: Path, table: Mapping[str, Column], name: str) -> list[str]:
    words = ["" if value is None else str(value).strip() for value in table[name]]
    if "" in words:
        raise LabelError(
            _("{path}, row {row}: {name} is empty; fill it in or leave the fruit out").format(
                path=path, row=_row(path, words.index("")), name=name
            )
        )
    return words


def _numbers(path: Path, table: Mapping[str, Column], name: str) -> NDArray[np.float64]:
    column = np.empty(len(table[name]))
    for at, value in enumerate(table[name]):
        try:
            column[at] = np.nan if value is None or value == "" else float(value)
        except (TypeError, ValueError):
            column[at] = np.inf
        if np.isinf(column[at]):
            raise LabelError(
                _(
                    "{path}, row {row}: {name} = {value!r} is no number; correct it, or leave it empty if it was not measured"
                ).format(path=path, row=_row(path, at), name=name, value=value)
            )
    return column


def _near_misses(path: Path, others: list[str]) -> None:
    for name in others:
        near = difflib.get_close_matches(name, FEATURES, n=1, cutoff=0.85)
        if near and name not in _KNOWN:
            raise LabelError(
                _("{path}: no feature is called {name!r}; did you mean {near!r}? Rename the column or take it out").format(
                    path=path, name=name, near=near[0]
                )
            )


def _from_runs(path: Path, table: Mapping[str, Column]) -> dict[str, NDArray[np.float64]]:
    """Look each fruit up in the fruit table of its run."""
    if not set(FRUIT_IDS) <= set(table):
        raise LabelError(
            _("{path}: has neither features such as {names} nor run, lane and cup; add one or the other").format(
                path=path, names=", ".join(FEATURES[:3])
            )
        )
    runs = _words(path, table, "run")
    lanes, cups = (_numbers(path, table, name) for name in ("lane", "cup"))
    held = {run: _fruit_table(path, run) for run in dict.fromkeys(runs)}
    found: list[Mapping[str, float]] = []
    for at, (run, lane, cup) in enumerate(zip(runs, lanes.tolist(), cups.tolist(), strict=True)):
        fruit = held[run].get((lane, cup))
        if fruit is None:
            raise LabelError(
                _("{path}, row {row}: run {run} decided no fruit in lane {lane:g}, cup {cup:g}; correct the row").format(
                    path=path, row=_row(path, at), run=run, lane=lane, cup=cup
                )
            )
        found.append(fruit)
    return {name: np.array([fruit.get(name, np.nan) for fruit in found], np.float64) for name in FEATURES}


def _fruit_table(path: Path, run: str) -> dict[tuple[float, float], dict[str, float]]:
    file = path.parent / run / "fruit.parquet"
    try:
        there = [name for name in pq.read_schema(file).names if name in FEATURES]
        rows = pq.read_table(file, columns=["lane", "cup", "fruit_views", *there]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise LabelError(
            _("{path}: the run {run} has no fruit table {file}; give the folder of a run as seen from the labels").format(
                path=path, run=run, file=file
            )
        ) from error
    return {(row["lane"], row["cup"]): row for row in rows if row["fruit_views"]}


def _classes(path: Path, said: list[str], order: tuple[str, ...]) -> tuple[str, ...]:
    there = dict.fromkeys(said)
    if len(there) < 2:
        raise LabelError(_("{path}: every fruit is of class {name!r}; label two classes or more").format(path=path, name=said[0]))
    poor = [f"{name} ({said.count(name)})" for name in there if said.count(name) < LEAST_FRUIT]
    if poor:
        raise LabelError(
            _("{path}: too few fruit of {classes}; label at least {n} of each class or leave it out").format(
                path=path, classes=", ".join(poor), n=LEAST_FRUIT
            )
        )
    if order and (set(order) != set(there) or len(order) != len(there)):
        raise LabelError(
            _("{path}: the order {order} does not name the classes of the file, {classes}, each once").format(
                path=path, order=", ".join(order), classes=", ".join(there)
            )
        )
    return order or tuple(there)


def _second(path: Path, table: Mapping[str, Column], name: str, classes: tuple[str, ...]) -> NDArray[np.int64]:
    words = ["" if value is None else str(value).strip() for value in table[name]]
    for at, word in enumerate(words):
        if word and word not in classes:
            raise LabelError(
                _("{path}, row {row}: {name} is {word!r}, which the first grader never said; the classes are {classes}").format(
                    path=path, row=_row(path, at), name=name, word=word, classes=", ".join(classes)
                )
            )
    if not any(words):
        raise LabelError(_("{path}: the column {name!r} is empty; leave --second out").format(path=path, name=name))
    return np.array([classes.index(word) if word else -1 for word in words], np.int64)


def _once(path: Path, table: Mapping[str, Column], measured: Mapping[str, NDArray[np.float64]]) -> None:
    """Refuse a fruit that is there twice: it could be learnt from and judged on at once."""
    if set(FRUIT_IDS) <= set(table):
        keys: list[Any] = [tuple(map(str, key)) for key in zip(*(table[name] for name in FRUIT_IDS), strict=True)]
    elif len(measured) >= _SAME:
        keys = [row.tobytes() for row in np.column_stack(list(measured.values()))]
    else:
        return
    first: dict[Any, int] = {}
    for at, key in enumerate(keys):
        if (before := first.setdefault(key, at)) != at:
            raise LabelError(
                _("{path}, row {row}: is the fruit of row {before} again; keep one of them").format(
                    path=path, row=_row(path, at), before=_row(path, before)
                )
            )


def _matrix(path: Path, measured: Mapping[str, NDArray[np.float64]]) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the features that tell fruit apart: what nobody measured, or what is the same on all, teaches nothing."""
    columns = dict(measured)
    if MATURITY not in columns or np.isnan(columns[MATURITY]).all():
        sugar, acid = (columns.get(name) for name in SUGAR_AND_ACID)
        if sugar is not None and acid is not None:
            columns[MATURITY] = sugar / np.where(acid > 0, acid, np.nan)
    telling = [name for name in FEATURES if name in columns and _differs(columns[name])]
    if not telling:
        raise LabelError(_("{path}: no feature differs between fruit; check the table").format(path=path))
    return tuple(telling), np.column_stack([columns[name] for name in telling])


def _differs(column: NDArray[np.float64]) -> bool:
    known = column[~np.isnan(column)]
    return len(known) > 0 and bool((known != known[0]).any())
