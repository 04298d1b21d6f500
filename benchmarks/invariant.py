"""What must hold of a live run whatever went wrong: each cup is decided once, nothing fell unordered, late or twice."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim.devices import FELL
from citrus_grade.messages import Reason
from citrus_grade.runtime.live import health, store
from citrus_grade.tables import Table

LATE_CUPS: Final = 0.25
"""A solenoid that fires when its fruit is further from the outlet than that share of a pitch has fired late, or early."""


@dataclass(frozen=True, slots=True)
class Held:
    """A run looked at: its decisions ``rows``, what ``fell`` (`FELL`), and what is ``broken``, in words."""

    rows: Table
    fell: Table
    broken: list[str]


def look(run: Path, fell: Path, *, shifts: Sequence[tuple[int, int]] = (), whole: bool = True) -> Held:
    """Look at a run folder and at the file into which its PLC wrote what fell.

    Parameters
    ----------
    shifts : (first cup of the line, what to add to make it a cup of the belt), where the PLC's count began anew; as the line's
        origin says if left out. whole : the line was stopped in good order, so that what it told last is what is on disk.
    """
    config, state = load(run / "line.toml"), health.read(run)
    rows, fallen = np.concatenate(list(store.decisions(run))), np.fromfile(fell, FELL)
    known = shifts or ((0, round(state["origin"] / config.encoder.ratio)),)
    broken = [
        *([] if len(rows) else ["nothing is decided"]),
        *undecided(rows, config),
        *misfiled(rows, config),
        *fell_wrong(rows, fallen, config, known),
    ]
    return Held(rows, fallen, broken + (_miscounted(rows, state) if whole else []))


def undecided(rows: Table, config: LineConfig, first_cup: int = 0) -> list[str]:
    """Every cup that passed, from ``first_cup`` on, has exactly one decision a lane."""
    times = np.zeros((max(int(rows["cup"].max(initial=-1)) + 1 - first_cup, 0), config.line.lanes), np.int64)
    np.add.at(times, (rows["cup"] - first_cup, rows["lane"]), 1)
    wrong = (np.flatnonzero(np.any(times != 1, axis=1)) + first_cup).tolist()
    return [f"cups {wrong[:5]} of {len(times)} are not decided once a lane"] if wrong else []


def misfiled(rows: Table, config: LineConfig) -> list[str]:
    """What was graded has an outlet and a tick to fire at; all else has neither, and goes to the end of the belt."""
    graded, sent = rows["reason"] == Reason.GRADED, rows["outlet"] < len(config.outlet)
    wrong = rows[(graded != sent) | (sent != (rows["fire_tick"] >= 0))]
    return [f"lane {row['lane']} cup {row['cup']}: {Reason(row['reason']).name} for outlet {row['outlet']}" for row in wrong[:5]]


def fell_wrong(rows: Table, fell: Table, config: LineConfig, shifts: Sequence[tuple[int, int]]) -> list[str]:
    """What fell was ordered of that very cup, fell once, and when it was over the outlet."""
    station = np.array([[outlet.station + phase for outlet in config.outlet] for phase in config.phases])
    place = fell["fire_count"] / float(config.encoder.ratio) - station[fell["lane"], fell["outlet"]]
    cup = np.rint(place).astype(np.int64)
    ordered = rows[rows["fire_tick"] >= 0]
    first, shift = np.array(shifts).T
    on_belt = ordered["cup"] + shift[np.searchsorted(first, ordered["cup"], side="right") - 1]
    orders = set(zip(ordered["lane"].tolist(), on_belt.tolist(), ordered["outlet"].tolist(), strict=True))
    done = list(zip(fell["lane"].tolist(), cup.tolist(), fell["outlet"].tolist(), strict=True))
    late = np.abs(place - cup) > LATE_CUPS
    twice = len(done) - len({(lane, at) for lane, at, _outlet in done})
    return [
        *(f"(lane, cup of the belt, outlet) {one} fell unordered" for one in [one for one in done if one not in orders][:5]),
        *(
            f"{one} was fired {off:+.2f} pitches off"
            for one, off in zip(np.array(done)[late][:5].tolist(), (place - cup)[late], strict=False)
        ),
        *([f"{twice} fruit fell twice"] if twice else []),
    ]


def _miscounted(rows: Table, state: dict[str, Any]) -> list[str]:
    """What the line counted is what its table holds."""
    told = state["reasons"]
    held = {reason.name.lower(): int(np.sum(rows["reason"] == reason)) for reason in Reason}
    last = int(rows["cup"].max(initial=-1))
    wrong = [f"{name}: {told.get(name, 0)} told, {n} kept" for name, n in held.items() if told.get(name, 0) != n]
    wrong += [
        f"{name} {state[name]}, the last kept is {last}" for name in ("decided_cup", "committed_cup") if state[name] != last
    ]
    return wrong
