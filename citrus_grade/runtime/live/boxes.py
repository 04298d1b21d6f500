"""Boxes of a live run: what is in the one that is labelled now, and a list of those that were.

A box holds what was sent to its outlet since the last label there, of the newest lot; the scale says what it weighs.
"""

import json
import sqlite3
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from citrus_grade.messages import Reason
from citrus_grade.runtime.live import health, store
from citrus_grade.words import Refused, _

NAME = "boxes.jsonl"
WEIGHED_S = 60.0
"""A weight that came to rest longer ago is another box's."""


@dataclass(frozen=True, slots=True)
class Box:
    """``number`` in the run, from 1; ``count`` fruit of ``lot`` up to cup ``up_to_cup``; ``mass_g`` net."""

    number: int
    outlet: str
    lot: int
    count: int
    mass_g: float
    up_to_cup: int
    at_utc_s: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self)


def box(run_dir: Path, outlets: tuple[str, ...], outlet: str, *, count: int | None = None, kg: float | None = None) -> Box:
    """Return the box that is labelled now, of one of the line's ``outlets``; ``count`` and ``kg`` where somebody knows better.

    Raises
    ------
    Refused : if there is no such outlet, no fruit in the box or no weight.
    """
    if outlet not in outlets:
        raise Refused(_("--outlet: there is no {outlet!r}; write one of {names}").format(outlet=outlet, names=", ".join(outlets)))
    known = labelled(run_dir)
    after = max((one.up_to_cup for one in known if one.outlet == outlet), default=-1)
    lot, counted, up_to_cup = _sent(run_dir, outlets.index(outlet), after)
    if not (counted if count is None else count):
        text = _("{outlet}: nothing was sent there since its last label; give --count if there is fruit in the box")
        raise Refused(text.format(outlet=outlet))
    mass_g = _weighed(run_dir) if kg is None else 1000 * kg
    return Box(len(known) + 1, outlet, lot, counted if count is None else count, mass_g, up_to_cup, time.time())


def labelled(run_dir: Path) -> list[Box]:
    """Return the boxes that were labelled, in order."""
    path = run_dir / NAME
    return [Box(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def keep(run_dir: Path, one: Box) -> None:
    """Write down that a box was labelled."""
    with (run_dir / NAME).open("a", encoding="utf-8") as file:
        file.write(json.dumps(one.to_dict(), ensure_ascii=False) + "\n")


def _sent(run_dir: Path, outlet: int, after: int) -> tuple[int, int, int]:
    """Return the newest lot at an outlet behind a cup, how many of its fruit went there, and the last cup decided on."""
    if not (run_dir / store.NAME).exists():
        raise Refused(_("{run}: no {name}, which only a live line has").format(run=run_dir, name=store.NAME))
    db = sqlite3.connect(f"file:{run_dir / store.NAME}?mode=ro", uri=True)
    try:
        sent = "SELECT lot, count(*) FROM fruit WHERE outlet = ? AND cup > ? AND reason != ? GROUP BY lot ORDER BY lot DESC"
        lot, counted = db.execute(sent, (outlet, after, int(Reason.EMPTY))).fetchone() or (0, 0)
        return int(lot), int(counted), int(db.execute("SELECT coalesce(max(cup), -1) FROM fruit").fetchone()[0])
    finally:
        db.close()


def _weighed(run_dir: Path) -> float:
    weight: dict[str, Any] | None = health.read(run_dir)["scale"]
    if weight is None or not 0 <= time.time() - weight["at_utc_s"] <= WEIGHED_S:
        text = _("no weight has come to rest on the scale in the last {seconds:.0f} s; put the box on it again, or give --kg")
        raise Refused(text.format(seconds=WEIGHED_S))
    return float(weight["mass_g"])
