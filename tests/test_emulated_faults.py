"""Emulated devices that fail by plan, over their real protocols, and a PLC that outlives its line's own process."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.config import load
from citrus_grade.drivers.emulate.failing import OVER_CAMERA, OVER_PLC, OVER_SPECTROMETER, camera_words
from citrus_grade.drivers.sim.devices import FELL
from citrus_grade.drivers.sim.fault_plan import Fault, FaultPlan, draw
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.runtime.live.emulated import Emulation
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from tests.test_emulate import _can_serve_cameras

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 5.0
FIRST_CUP, EACH_CUPS, LASTING_CUPS, SETTLED_CUPS = 20, 8, 4.0, 45
STEADY = 60
"""So many have fallen, and some fall all the time."""
PATIENT_MS = 20_000
"""A watchdog that waits for a process that is started from nothing on a busy machine."""
PLC_KINDS = tuple(kind for kind in OVER_PLC if kind != "plc_restarts")
"""One that starts again is for `test_modbus.py`: it numbers the belt anew."""


class Plan:
    """Writes a plan when the line runs, counted from where the belt is then; ends the line well after its last fault."""

    def __init__(self, faults: Sequence[Fault], to: Path) -> None:
        self._wanted, self._to, self._last = faults, to, 0.0
        self.faults: list[Fault] = []

    def __call__(self, supervisor: Supervisor) -> bool:
        belt = supervisor.board.belt()
        if belt is None:
            return False
        if not self.faults:
            moved = (belt[0] + int(supervisor.board.shared["origin"][0])) / 4096
            self.faults = [replace(f, from_cup=f.from_cup + moved, until_cup=f.until_cup + moved) for f in self._wanted]
            FaultPlan(1, tuple(self.faults)).save(self._to)
            self._last = belt[0] / 4096 + max(fault.until_cup for fault in self._wanted) + SETTLED_CUPS
        return belt[0] / 4096 > self._last


@pytest.mark.fault
@pytest.mark.usefixtures("gige_network")
def test_a_drawn_plan_over_the_wire_costs_no_cup_its_decision(line_toml: Path, tmp_path: Path) -> None:
    if reason := _can_serve_cameras():
        pytest.skip(reason)
    config = load(line_toml)
    kinds = (*OVER_CAMERA, *OVER_SPECTROMETER, *PLC_KINDS)
    drawn = draw(5, [FIRST_CUP], kinds, config.line.lanes, len(config.outlet), LASTING_CUPS).faults
    # Each kind once, where and for how long as it is drawn.
    for place, kind in enumerate(kind for kind in kinds if kind != drawn[0].kind):
        at = [FIRST_CUP + (place + 1) * EACH_CUPS]
        drawn += draw(5 + place, at, [kind], config.line.lanes, len(config.outlet), LASTING_CUPS).faults
    file, run = tmp_path / "faults.json", tmp_path / "run"
    plan, told = Plan(drawn, file), list[str]()
    emulation = Emulation(line_toml, tmp_path, cups_per_s=CUPS_PER_S, devices=("plc", "cameras", "spectrometers"), faults=file)
    emulation.render(seed=3, cups=24)
    with emulation:
        ended = run_live(emulation.start(), run, seconds=180.0, during=plan, told=lambda alarm: told.append(alarm.where))
    held = invariant.look(run, emulation.fell)
    assert held.broken == []
    assert replay(run).diff_fields == 0
    assert ended.live is not None
    counted = {role: process["counted"] for role, process in ended.live["processes"].items()}
    assert counted["spectra"]["reopened"] > 0
    assert counted["plc"]["reopened"] >= 2  # gone, and refusing
    assert counted["plc"]["slow_polls"] > 0
    assert {"outlet_jammed", "outlet_full"} <= set(ended.alarms)
    assert {"missing_view", "missing_spectrum", "graded"} <= set(ended.reasons)
    assert np.any(held.rows["reason"][held.rows["cup"] > held.rows["cup"].max() - 10] == Reason.GRADED)


@pytest.mark.fault
def test_a_killed_plc_process_leaves_the_plc_its_queue(line_toml: Path, tmp_path: Path) -> None:
    """What the PLC had queued when the process beside it was killed fires on time, while nobody asks the PLC anything: there is
    no fork server any more, and the next process has to be started from nothing, which its watchdog bears with here."""
    fallen: list[int] = []
    decided: list[int] = []
    queued: list[int] = []
    emulation = Emulation(line_toml, tmp_path, cups_per_s=CUPS_PER_S, watchdog_ms=PATIENT_MS)
    emulation.render(seed=3, cups=24)

    def during(supervisor: Supervisor) -> bool:
        child, last = supervisor.children["plc"], int(supervisor.board.shared["decided_cup"][0])
        n_fell = emulation.fell.stat().st_size // FELL.itemsize if emulation.fell.exists() else 0
        if n_fell >= STEADY and not decided and child.process:
            for process in (*supervisor.fork_servers, child.process):
                process.kill()
            decided.append(last)
            queued.append(_queued(supervisor))
            fallen.append(n_fell)
        elif len(fallen) == 1 and child.recovery_s:
            fallen.append(n_fell)
        return len(fallen) == 2 and last > decided[0] + 40

    with emulation:
        ended = run_live(emulation.start(), tmp_path / "run", seconds=90.0, during=during)
    assert ended.live is not None
    shift = round(ended.live["origin"] / emulation.config.encoder.ratio)
    held = invariant.look(tmp_path / "run", emulation.fell)
    assert held.broken == []
    assert fallen[1] > fallen[0]
    ordered = held.rows[(held.rows["fire_tick"] >= 0) & (held.rows["cup"] <= decided[0])]
    there = set(zip(held.fell["lane"].tolist(), (held.fell["cup"] - shift).tolist(), strict=True))
    missing = {(int(row["lane"]), int(row["cup"])) for row in ordered} - there
    assert queued[0] > STEADY
    assert len(missing) <= max(len(ordered) - queued[0], 0), missing


def _queued(supervisor: Supervisor) -> int:
    """How many ejections the PLC has taken in time."""
    counted = supervisor.board.station("plc").counted()
    return counted["ejections"] - counted["ejections_late"]


def test_a_camera_is_told_what_is_its_own() -> None:
    plan = FaultPlan(1, (Fault("frames_black", 3, 5.5), Fault("camera_stalls", 1, 2, 1), Fault("plc_gone", 1, 2)))
    assert camera_words(plan, 0) == f"{OVER_CAMERA.index('frames_black')} 3.000 5.500\n"
    assert camera_words(plan, 1).splitlines()[1] == "0 1.000 2.000"
