"""The fruit table of a running line: SQLite, one writer, every acknowledged row safe against a crash of the machine.

A decision is kept whole, as the bytes of `tables.DECISION`; beside it stand the few columns people ask for while the line runs.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from citrus_grade.messages import Alarm
from citrus_grade.tables import DECISION, Table
from citrus_grade.words import _

NAME = "fruit.sqlite"
VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS fruit (
    cup INTEGER NOT NULL, lane INTEGER NOT NULL, tick INTEGER NOT NULL, lot INTEGER NOT NULL,
    rule INTEGER NOT NULL, outlet INTEGER NOT NULL, reason INTEGER NOT NULL,
    diameter_mm REAL, mass_g REAL, row BLOB NOT NULL,
    PRIMARY KEY (cup, lane)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS packout (
    lot INTEGER NOT NULL, rule INTEGER NOT NULL, outlet INTEGER NOT NULL, reason INTEGER NOT NULL,
    n INTEGER NOT NULL, kg REAL NOT NULL,
    PRIMARY KEY (lot, rule, outlet, reason)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS event (
    at_utc_s REAL NOT NULL, tick INTEGER, kind TEXT NOT NULL, place TEXT NOT NULL, count INTEGER NOT NULL, words TEXT NOT NULL
);
"""
_FRUIT = "INSERT OR IGNORE INTO fruit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_PACKOUT = """
INSERT INTO packout VALUES (?, ?, ?, ?, 1, ?)
ON CONFLICT DO UPDATE SET n = n + 1, kg = kg + excluded.kg
"""


class Store:
    """Writes decisions and events; nothing is acknowledged before `commit` returns.

    Raises
    ------
    sqlite3.Error : from every verb, where the disk is full or not to be written.
    """

    def __init__(self, run_dir: Path) -> None:
        self.path = run_dir / NAME
        self._db = sqlite3.connect(self.path, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._check_version()
        self.committed = int(self._db.execute("SELECT coalesce(max(cup), -1) FROM fruit").fetchone()[0])
        """The last cup whose decisions are safe."""
        self._last = self.committed

    def add(self, rows: Table) -> None:
        """Append decisions of whole cups, in order; a cup and lane that is there already stays as it is."""
        self._begin()
        names = ("cup", "lane", "tick", "lot", "rule", "outlet", "reason", "diameter_mm", "mass_g")
        columns = [rows[name].tolist() for name in names]
        blobs = [row.tobytes() for row in rows]
        for values, blob in zip(zip(*columns, strict=True), blobs, strict=True):
            fresh = self._db.execute(_FRUIT, (*values, blob)).rowcount
            if fresh:
                _, _, _, lot, rule, outlet, reason, _, mass_g = values
                kg = mass_g / 1000 if mass_g == mass_g else 0.0
                self._db.execute(_PACKOUT, (lot, rule, outlet, reason, kg))
        self._last = max(self._last, int(rows["cup"].max(initial=-1)))

    def event(self, at_utc_s: float, alarm: Alarm) -> None:
        """Append an alarm and when it came."""
        self._begin()
        values = (at_utc_s, alarm.tick, alarm.kind, alarm.where, alarm.count, "")
        self._db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?, ?)", values)

    def _check_version(self) -> None:
        """Mark a new table; the mark of one that is there is read only, for each write costs the disk a page."""
        found = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if found == 0:
            self._db.execute(f"PRAGMA user_version = {VERSION}")
        elif found != VERSION:
            raise sqlite3.DatabaseError(
                _("version {found} of the table, this program writes version {version}; begin a new run folder").format(
                    found=found, version=VERSION
                )
            )

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> int:
        """Make everything added safe; return the last cup of which that is true."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")
        self.committed = self._last
        return self._last

    def rollback(self) -> None:
        """Take back what was not committed."""
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")
        self._last = self.committed

    def reasons(self) -> dict[int, int]:
        """Return how many decisions there are of each reason."""
        return dict(self._db.execute("SELECT reason, sum(n) FROM packout GROUP BY reason").fetchall())

    def close(self) -> None:
        """Commit and let go of the file."""
        self.commit()
        self._db.close()


def _reading(run_dir: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{run_dir / NAME}?mode=ro", uri=True)


def decisions(run_dir: Path, batch: int = 4096) -> Iterator[Table]:
    """Yield all decisions of a run in the order of their cups, ``batch`` at a time; for any process, while the line runs too."""
    db = _reading(run_dir)
    try:
        cursor = db.execute("SELECT row FROM fruit ORDER BY cup, lane")
        while found := cursor.fetchmany(batch):
            yield np.frombuffer(b"".join(row for (row,) in found), DECISION)
    finally:
        db.close()


def last_cup(run_dir: Path) -> int:
    """Return the last cup with a decision, -1 of none."""
    db = _reading(run_dir)
    try:
        return int(db.execute("SELECT coalesce(max(cup), -1) FROM fruit").fetchone()[0])
    finally:
        db.close()


def events(run_dir: Path) -> list[dict[str, Any]]:
    """Return what was told while the line ran, in order."""
    db = _reading(run_dir)
    try:
        names = ("at_utc_s", "tick", "kind", "place", "count", "words")
        found = db.execute(f"SELECT {', '.join(names)} FROM event ORDER BY rowid").fetchall()
        return [dict(zip(names, row, strict=True)) for row in found]
    finally:
        db.close()
