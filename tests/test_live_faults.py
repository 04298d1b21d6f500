"""A live line whose devices fail by plan: every cup still has one decision, and nothing falls that was not ordered."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.config import load
from citrus_grade.drivers.sim.fault_plan import CAMERA_FAULTS, Fault, FaultPlan, draw
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.runtime.live.board import COUNTERS
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary
from citrus_grade.tables import Table

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 6.0
BEGIN, EACH = 6, 9
FIRST_FRAME, EACH_CAMERA = 30, 20
"""Far enough apart that no fruit is seen through two faults, after one turn of the loop without any."""
LOOP_CUPS = 24
OFF_MM = 1.0
"""By which a fruit's diameter may differ that fewer views have shown."""
JAMS, FILLS = (2, 2), (3, 2)
"""Lane and outlet. No other outlet takes their grade."""
"""The first fault comes so many cups after everything works, the next ones so many cups later each."""


class Failed:
    """A run whose devices failed, with what every such run must hold already checked."""

    _further = 45
    """Cups to go on after the last fault."""
    _cups_per_s = CUPS_PER_S

    def __init__(self, line_toml: Path, loop: Path, folder: Path, faults: Sequence[Fault]) -> None:
        self._plan, live, fell = folder / "faults.json", line_toml.with_name(f"{folder.name}.toml"), folder / "fell"
        live.write_text(played(line_toml, loop, cups_per_s=self._cups_per_s, faults=self._plan, fell=fell), encoding="utf-8")
        self._wanted, self.faults, self.told = faults, [], []
        self.ended: RunSummary = run_live(
            live, folder / "run", seconds=180.0, told=lambda alarm: self.told.append(alarm.where), during=self._during
        )
        self.config = load(live)
        assert self.ended.live is not None
        self.counted = {
            name: sum(process["counted"].get(name, 0) for process in self.ended.live["processes"].values()) for name in COUNTERS
        }
        self.shift = round(self.ended.live["origin"] / self.config.encoder.ratio)
        held = invariant.look(folder / "run", fell, shifts=self.shifts())
        assert held.broken == []
        assert sum(self.ended.reasons.values()) == self.ended.cups == len(held.rows)
        assert replay(folder / "run").diff_fields == 0
        self.rows, self.fell = held.rows, held.fell

    def shifts(self) -> list[tuple[int, int]]:
        """Return what makes the line's cups cups of the belt, and from which on."""
        return [(0, self.shift)]

    def _during(self, supervisor: Supervisor) -> bool:
        """Write the plan when everything works; end well after its last fault."""
        belt = supervisor.board.belt()
        if belt is None:
            return False
        moved = belt[0] / 4096 + int(supervisor.board.shared["origin"][0]) / 4096
        if not self.faults:
            self.faults = [replace(f, from_cup=f.from_cup + moved, until_cup=f.until_cup + moved) for f in self._wanted]
            FaultPlan(1, tuple(self.faults)).save(self._plan)
            self._last = max(fault.until_cup for fault in self.faults) - moved + belt[0] / 4096 + self._further
        return belt[0] / 4096 > self._last

    @property
    def decided_at(self) -> float:
        """Where the belt is when a cup of the line is decided, less the cup's number."""
        return self.shift + self.config.line.decision_station

    def decided(self, which: int) -> Table:
        """Return decisions of cups that came to where they are decided while a fault held, the first left out."""
        fault, at = self.faults[which], self.rows["cup"] + self.decided_at
        return self.rows[(at > fault.from_cup + 1) & (at < fault.until_cup)]

    def fallen(self, which: int) -> Table:
        """Return what fell while a fault held."""
        at = self.fell["fire_count"] / float(self.config.encoder.ratio)
        return self.fell[(at > self.faults[which].from_cup) & (at < self.faults[which].until_cup)]

    def seen(self, which: int) -> Table:
        """Return decisions of cups of which a view fell into a fault's time."""
        fault, first = self.faults[which], self.rows["cup"] + self.shift + self.config.camera[0].station
        return self.rows[(first < fault.until_cup) & (first + self.config.n_views - 1 > fault.from_cup)]

    def off_mm(self, rows: Table, ever: dict[tuple[int, int], set[float]]) -> list[float]:
        """Return how far the diameters of fruit are from those of the same fruit of the loop where no camera fails."""
        places = zip(rows["lane"].tolist(), ((rows["cup"] + self.shift) % LOOP_CUPS).tolist(), strict=True)
        known = [(ever.get(place, set()), float(found)) for place, found in zip(places, rows["diameter_mm"], strict=True)]
        return [min(abs(found - one) for one in ones) for ones, found in known if ones]

    def as_ever(self) -> dict[tuple[int, int], set[float]]:
        """Return the diameters that each fruit of the loop, by lane and place, is given where no camera fails."""
        first = self.rows["cup"] + self.shift + self.config.camera[0].station
        free = np.ones(len(self.rows), np.bool_)
        for fault in self.faults:
            free &= (first > fault.until_cup + 1) | (first + self.config.n_views < fault.from_cup - 1)
        rows = self.rows[free & (self.rows["reason"] == Reason.GRADED)]
        found: dict[tuple[int, int], set[float]] = {}
        for lane, place, diameter_mm in zip(
            rows["lane"], (rows["cup"] + self.shift) % LOOP_CUPS, rows["diameter_mm"], strict=True
        ):
            found.setdefault((int(lane), int(place)), set()).add(float(diameter_mm))
        return found


def _one_after_another(kinds: Sequence[str], lane: int = -1, first: float = BEGIN, each: float = EACH) -> list[Fault]:
    return [Fault(kind, first + k * each, first + k * each + 3.0, lane) for k, kind in enumerate(kinds)]


@pytest.mark.fault
def test_cameras_fail(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """Each fault by itself: a frame that is spoilt adds nothing or little to its fruit, and nothing to another."""
    failed = Failed(line_toml, loop, tmp_path, _one_after_another(CAMERA_FAULTS, first=FIRST_FRAME, each=EACH_CAMERA))
    n_views, ever = failed.config.n_views, failed.as_ever()
    seen = {kind: failed.seen(which) for which, kind in enumerate(CAMERA_FAULTS)}
    graded = {kind: rows[rows["reason"] == Reason.GRADED] for kind, rows in seen.items()}
    assert len(graded["camera_stalls"]) == 0
    assert np.any(seen["camera_stalls"]["reason"] == Reason.MISSING_VIEW)
    assert failed.ended.alarms["frame_gap"] > 0
    for kind in ("frame_twice", "frames_swapped"):  # time says what a frame shows, whenever and however often it comes
        assert len(graded[kind]) > 10
        assert np.all(graded[kind]["fruit_views"] == n_views)
        assert max(failed.off_mm(graded[kind], ever)) == 0.0
    for kind in ("frames_black", "frames_white"):  # such frames show no fruit
        assert np.all(graded[kind]["fruit_views"] < n_views)
    lower = graded["frame_half"]["lane"] == failed.config.line.lanes - 1
    assert np.all(graded["frame_half"]["fruit_views"][lower] < n_views)
    for kind in ("frames_black", "frames_white", "frame_half", "colours_swapped"):
        assert max(failed.off_mm(graded[kind], ever)) < OFF_MM
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
    faults = _one_after_another(("plc_gone", "plc_stands"), first=20)
    faults += [Fault("plc_slow", 40, 44, value=60.0)]
    failed = Failed(line_toml, loop, tmp_path, faults)
    assert any("does not answer" in words for words in failed.told)
    assert any("its program stands still" in words for words in failed.told)
    assert failed.counted["slow_polls"] >= 4
    assert np.any(failed.decided(2)["reason"] == Reason.GRADED)  # a slow PLC still has its ejections in time
    assert len(failed.fallen(2)) > 0


@pytest.mark.fault
def test_the_encoder_fails(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    kinds = ("encoder_jitters", "encoder_stops", "encoder_reverses")
    failed = Failed(line_toml, loop, tmp_path, _one_after_another(kinds, first=22))
    assert np.any(failed.decided(0)["reason"] == Reason.GRADED)
    for stands in (1, 2):  # nothing is decided by a count that stands or goes back
        told_at = failed.decided(stands)["tick"] / 4096 + failed.shift
        assert len(told_at) > 0
        assert np.all(told_at >= failed.faults[stands].until_cup)
    assert failed.ended.alarms["pulse_gap"] > 0
    after = failed.rows[failed.rows["cup"] > failed.rows["cup"].max() - 10]
    assert np.any(after["reason"] == Reason.GRADED)


@pytest.mark.fault
def test_outlets_jam_and_fill(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """An outlet of which the loop has fruit: first nothing falls there, then something does again."""
    faults = [Fault("outlet_jams", 20, 60, JAMS[0], JAMS[1]), Fault("outlet_full", 20, 60, FILLS[0], FILLS[1])]
    failed = Failed(line_toml, loop, tmp_path, faults)
    for which, (lane, outlet), reason in ((0, JAMS, Reason.OUTLET_FAULT), (1, FILLS, Reason.OUTLET_FULL)):
        rows = failed.decided(which)
        rows = rows[rows["lane"] == lane]
        assert not np.any(rows["outlet"] == outlet)
        assert np.any(rows["reason"] == reason)
        there = (failed.rows["lane"] == lane) & (failed.rows["outlet"] == outlet)
        cups = failed.rows["cup"][there]
        assert cups.min() + failed.decided_at < failed.faults[which].from_cup
        assert cups.max() + failed.decided_at > failed.faults[which].until_cup
    jammed = failed.fallen(0)
    assert not np.any((jammed["lane"] == JAMS[0]) & (jammed["outlet"] == JAMS[1]))
    assert {"outlet_jammed", "outlet_full"} <= set(failed.ended.alarms)


class Restarted(Failed):
    """A run whose PLC starts again with its count at 0; what it numbers anew lies elsewhere on the belt from then on."""

    _at = (0, 0)
    _further = 100

    def _during(self, supervisor: Supervisor) -> bool:
        """Note up to which cup the line had decided before; end when the count has gone past all that was on the belt."""
        ends = super()._during(supervisor)
        origin = int(supervisor.board.shared["origin"][0])
        if int(supervisor.board.shared["boot"][0]) == 0:
            self._at = int(supervisor.board.shared["decided_cup"][0]), origin
        return ends

    def shifts(self) -> list[tuple[int, int]]:
        decided_cup, origin = self._at
        assert self.ended.live is not None
        begun, again = (float(at / self.config.encoder.ratio) for at in (origin, self.ended.live["origin"]))
        # The count began anew where the fault came, within a look or two, and the first flag told where the cups were.
        return [(0, round(begun)), (decided_cup + 1, round(again + self.faults[0].from_cup))]


@pytest.mark.fault
def test_a_plc_that_starts_again_has_nothing_fall_wrong(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    failed = Restarted(line_toml, loop, tmp_path, [Fault("plc_restarts", 30.3, 30.3)])
    assert any("started again and counts anew" in words for words in failed.told)
    (_, before), (again, after) = failed.shifts()
    assert after != before
    graded = failed.rows["cup"][failed.rows["reason"] == Reason.GRADED]
    assert graded.min() < again
    assert graded.max() > again + 20
    assert np.any(failed.fell["cup"] - after > again)


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
