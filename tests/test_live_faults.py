"""A live line whose devices fail by plan: every cup still has one decision, and nothing falls that was not ordered."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.config import load
from citrus_grade.drivers.sim.devices import FELL
from citrus_grade.drivers.sim.fault_plan import CAMERA_FAULTS, Fault, FaultPlan, draw
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.memory import COUNTERS
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary
from citrus_grade.tables import Table

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 6.0
BEGIN, EACH = 6, 9
"""The first fault comes so many cups after everything works, the next ones so many cups later each."""


class Failed:
    """A run whose devices failed, with what every such run must hold already checked."""

    def __init__(self, line_toml: Path, loop: Path, folder: Path, faults: Sequence[Fault]) -> None:
        self._plan, live, fell = folder / "faults.json", line_toml.with_name(f"{folder.name}.toml"), folder / "fell"
        live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S, faults=self._plan, fell=fell), encoding="utf-8")
        self._wanted, self.faults, self.told = faults, [], []
        self.ended: RunSummary = run_live(
            live, folder / "run", seconds=180.0, told=lambda alarm: self.told.append(alarm.where), during=self._during
        )
        self.config = load(live)
        self.rows: Table = np.concatenate(list(store.decisions(folder / "run")))
        self.fell = np.fromfile(fell, FELL)
        assert self.ended.live is not None
        self.counted = {
            name: sum(process["counted"].get(name, 0) for process in self.ended.live["processes"].values()) for name in COUNTERS
        }
        self.shift = round(self.ended.live["origin"] / self.config.encoder.ratio)
        self._holds(folder / "run")

    def _during(self, supervisor: Supervisor) -> bool:
        """Write the plan when everything works; end well after its last fault."""
        belt = supervisor.board.belt()
        if belt is None:
            return False
        moved = belt[0] / 4096 + int(supervisor.board.shared["origin"][0]) / 4096
        if not self.faults:
            self.faults = [replace(f, from_cup=f.from_cup + moved, until_cup=f.until_cup + moved) for f in self._wanted]
            FaultPlan(1, tuple(self.faults)).save(self._plan)
            self._last = max(fault.until_cup for fault in self.faults) - moved + belt[0] / 4096 + 45
            # A PLC that restarts takes the count past all that was on the belt.
            self._last += 70 * sum(fault.kind == "plc_restarts" for fault in self.faults)
        return belt[0] / 4096 > self._last

    def _holds(self, run: Path) -> None:
        rows, lanes = self.rows, self.config.line.lanes
        cups = np.arange(rows["cup"].min(), rows["cup"].max() + 1)
        np.testing.assert_array_equal(rows["cup"], np.repeat(cups, lanes))
        np.testing.assert_array_equal(rows["lane"], np.tile(np.arange(lanes), len(cups)))
        ordered = rows[rows["fire_tick"] >= 0]
        assert np.all(ordered["reason"] == Reason.GRADED)
        # What fired was ordered for exactly that cup, and once.
        assert len({(int(f["lane"]), int(f["outlet"]), int(f["fire_count"])) for f in self.fell}) == len(self.fell)
        if not any(fault.kind == "plc_restarts" for fault in self.faults):
            orders = {(int(row["lane"]), int(row["cup"]), int(row["outlet"])) for row in ordered}
            assert {(int(f["lane"]), int(f["cup"]) - self.shift, int(f["outlet"])) for f in self.fell} <= orders
        assert sum(self.ended.reasons.values()) == len(rows) == self.ended.cups
        assert replay(run).diff_fields == 0

    def of(self, first_cup: float, last_cup: float) -> Table:
        """Return decisions of cups that lay in view of the first camera while the belt moved between two places."""
        station = self.config.camera[0].station
        cup = self.rows["cup"] + self.shift + station
        return self.rows[(cup >= first_cup) & (cup <= last_cup)]


def _one_after_another(kinds: Sequence[str], lane: int = -1) -> list[Fault]:
    return [Fault(kind, BEGIN + k * EACH, BEGIN + k * EACH + 3.0, lane) for k, kind in enumerate(kinds)]


@pytest.mark.fault
def test_cameras_fail(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    faults = _one_after_another(CAMERA_FAULTS)
    failed = Failed(line_toml, loop, tmp_path, faults)
    stalled = failed.of(failed.faults[0].from_cup, failed.faults[0].from_cup + 2)
    assert np.all(np.isin(stalled["reason"], (Reason.MISSING_VIEW, Reason.EMPTY, Reason.DOUBLE, Reason.BRIDGING)))
    assert failed.ended.alarms["frame_gap"] > 0
    sound = failed.rows[failed.rows["cup"] + failed.shift > failed.faults[-1].until_cup + 1]
    assert len(sound) > 20
    assert np.any(sound["reason"] == Reason.GRADED)


@pytest.mark.fault
def test_spectrometers_fail(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    faults = _one_after_another(("spectrometer_gone", "spectra_noise", "spectrum_short"), lane=2)
    faults += [Fault("spectra_frozen", BEGIN + 3 * EACH, BEGIN + 3 * EACH + 12.0, 4)]
    failed = Failed(line_toml, loop, tmp_path, faults)
    reasons = failed.rows["reason"][failed.rows["lane"] == 2]
    assert np.sum(reasons == Reason.MISSING_SPECTRUM) > 0
    others = failed.rows[failed.rows["lane"] == 0]
    assert not np.any(others["reason"] == Reason.OUT_OF_DOMAIN)
    assert any("lane 2" in words and "does not answer" in words for words in failed.told)
    assert any("lane 4" in words and "same spectrum" in words for words in failed.told)
    assert failed.counted["bad_messages"] > 0


@pytest.mark.fault
def test_the_plc_fails(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    kinds = ("plc_gone", "encoder_stops", "encoder_jitters", "encoder_reverses")
    faults = _one_after_another(kinds)
    faults += [
        Fault("plc_slow", BEGIN + 4 * EACH, BEGIN + 4 * EACH + 4, value=60.0),
        Fault("plc_stands", BEGIN + 5 * EACH, BEGIN + 5 * EACH + 3),
        Fault("outlet_jams", BEGIN, BEGIN + 60, 1, 0.0),
        Fault("outlet_full", BEGIN, BEGIN + 60, 3, 1.0),
        Fault("plc_restarts", BEGIN + 6 * EACH, BEGIN + 6 * EACH),
    ]
    failed = Failed(line_toml, loop, tmp_path, faults)
    assert any("started again and counts anew" in words for words in failed.told)
    assert any("does not answer" in words for words in failed.told)
    assert any("its program stands still" in words for words in failed.told)
    graded = failed.rows[failed.rows["cup"] > failed.rows["cup"].max() - 30]
    assert np.any(graded["reason"] == Reason.GRADED)


def test_a_plan_is_the_same_wherever_it_is_read(tmp_path: Path) -> None:
    plan = draw(5, range(0, 200, 10), CAMERA_FAULTS, lanes=6, outlets=6)
    plan.save(tmp_path / "plan.json")
    assert FaultPlan.load(tmp_path / "plan.json") == plan
    assert draw(5, range(0, 200, 10), CAMERA_FAULTS, lanes=6, outlets=6) == plan
    first = plan.faults[0]
    assert plan.at(first.kind, first.from_cup) == first
    assert plan.at(first.kind, first.from_cup - 1) is None


@pytest.mark.parametrize(
    ("fault", "words"), [(("sneezes", 0, 1), "no fault is called"), (("plc_gone", 2, 1), "before it begins")]
)
def test_a_plan_that_makes_no_sense_is_refused(fault: tuple[str, float, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Fault(*fault)
