"""What must hold of a live run is seen to be broken, each way in which it can be."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.config import LineConfig
from citrus_grade.drivers.sim.devices import FELL
from citrus_grade.messages import Reason
from citrus_grade.runtime.live import health, store
from citrus_grade.tables import DECISION, Table, empty

CUPS, SHIFT, OUTLET = 12, 7, 1
Spoil = Callable[[Table, Table], tuple[Table, Table]]


def _rows(config: LineConfig) -> Table:
    """Decisions of some cups: lane 2 is sent to an outlet, the others are empty."""
    lanes = config.line.lanes
    rows = empty(DECISION, CUPS * lanes)
    rows["cup"], rows["lane"] = np.repeat(np.arange(CUPS), lanes), np.tile(np.arange(lanes), CUPS)
    rows["reason"], rows["outlet"], rows["fire_tick"] = Reason.EMPTY, len(config.outlet), -1
    sent = rows["lane"] == 2
    rows["reason"][sent], rows["outlet"][sent], rows["fire_tick"][sent] = Reason.GRADED, OUTLET, 1
    return rows


def _fell(config: LineConfig) -> Table:
    """What lane 2's outlet let fall of these cups, in time."""
    fell = np.zeros(CUPS, FELL)
    fell["lane"], fell["outlet"], fell["cup"] = 2, OUTLET, np.arange(CUPS) + SHIFT
    place = fell["cup"] + config.outlet[OUTLET].station + config.phases[2]
    fell["fire_count"] = np.ceil(place * float(config.encoder.ratio))
    return fell


def _broken(folder: Path, line_toml: Path, rows: Table, fell: Table, config: LineConfig) -> list[str]:
    run = folder / "run"
    run.mkdir()
    shutil.copy(line_toml, run / "line.toml")
    table = store.Store(run)
    table.add(rows)
    table.close()
    held = {reason.name.lower(): int(n) for reason in Reason if (n := np.sum(rows["reason"] == reason))}
    state = {"origin": round(SHIFT * config.encoder.ratio), "reasons": held, "decided_cup": CUPS - 1, "committed_cup": CUPS - 1}
    (run / health.NAME).write_text(json.dumps(state | {"running": False, "supervisor_pid": os.getpid()}))
    fell.tofile(folder / "fell")
    return invariant.look(run, folder / "fell").broken


def test_a_sound_run_breaks_nothing(line_toml: Path, config: LineConfig, tmp_path: Path) -> None:
    assert _broken(tmp_path, line_toml, _rows(config), _fell(config), config) == []


def _late(_rows: Table, fell: Table) -> tuple[Table, Table]:
    fell["fire_count"][4] += 4096 * 3 // 10
    return _rows, fell


def _not_graded(rows: Table, fell: Table) -> tuple[Table, Table]:
    rows["reason"][rows["lane"] == 2] = Reason.MISSING_VIEW
    return rows, fell


def _nowhere(rows: Table, fell: Table) -> tuple[Table, Table]:
    rows["outlet"][rows["lane"] == 3] = 0
    return rows, fell


SPOILT: dict[str, Spoil] = {
    "not decided once": lambda rows, fell: (rows[rows["cup"] != 5], fell),
    "not decided once a lane": lambda rows, fell: (np.delete(rows, 8), fell),
    "fell unordered": lambda rows, fell: (rows[rows["cup"] < CUPS - 1], fell),
    "fell twice": lambda rows, fell: (rows, np.append(fell, fell[3])),
    "pitches off": _late,
    "MISSING_VIEW for outlet": _not_graded,
    "EMPTY for outlet": _nowhere,
    "the last kept is": lambda rows, fell: (rows[rows["cup"] < CUPS - 1], fell[:-1]),
}


@pytest.mark.parametrize("words", SPOILT)
def test_what_is_broken_is_said(words: str, line_toml: Path, config: LineConfig, tmp_path: Path) -> None:
    rows, fell = SPOILT[words](_rows(config), _fell(config))
    assert any(words.split(" once")[0] in one for one in _broken(tmp_path, line_toml, rows, fell, config))
