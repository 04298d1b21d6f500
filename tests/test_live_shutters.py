"""Dark and white taken by schedule while a live line runs: believed, named by decisions, replayed; and shutters that stick."""

import json
import os
import signal
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.cli.main import main
from citrus_grade.config import load
from citrus_grade.config.references import SHUTTER_OF
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.fault_plan import Fault, FaultPlan
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.messages import Command, Position, Reading, Reason, References, Scans
from citrus_grade.ports import DeviceError
from citrus_grade.replay import replay
from citrus_grade.runlog import LogReader, files
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.emulated import Emulation
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import During, run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary
from citrus_grade.spectra.references import NEVER
from citrus_grade.tables import Table

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 6.0
LANES = 6
SCANS = 8
LOOP_CUPS = 24
ALIKE_BRIX = 0.3
"""What the noise of another dark and white may make of the same scans."""
DARK_AND_WHITE = """
[[command]]
kind = "dark_refresh"
at_min = 0

[[command]]
kind = "white_refresh"
at_min = 0

[references]
patience_cups = 12
"""
OFTEN = "at_min = 0\nevery_min = 0.12"
"""Every 43 cups, so that shutters are closed when a process stands ready to take the killed one's place."""


@pytest.fixture(scope="module")
def loop(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered loop of the session's line."""
    folder = tmp_path_factory.mktemp("tape")
    tape.record(load(line_toml), folder, SimOptions(seed=3, season=4), LOOP_CUPS)
    return folder


class Ran:
    """A run on a played loop, with what every such run must hold already checked."""

    def __init__(
        self,
        line_toml: Path,
        loop: Path,
        folder: Path,
        *,
        last_cup: int,
        during: During | None = None,
        asked: str = DARK_AND_WHITE,
    ) -> None:
        live = line_toml.with_name(f"{folder.name}.toml")
        self.shutters, self.plan, self.run = folder / "shutters", folder / "faults.json", folder / "run"
        text = played(line_toml, loop, cups_per_s=CUPS_PER_S, faults=self.plan, shutters=self.shutters)
        live.write_text(text + asked, encoding="utf-8")
        self._last_cup, self._during = last_cup, during
        self.ended: RunSummary = run_live(live, self.run, seconds=120.0, during=self._until)
        self.rows: Table = np.concatenate(list(store.decisions(self.run)))
        self.new, self.readings = in_log(self.run)
        holds(self.run, self.rows, loop)

    def _until(self, supervisor: Supervisor) -> bool:
        return bool(self._during and self._during(supervisor)) or _decided(supervisor) >= self._last_cup

    def lane(self, lane: int) -> Table:
        return self.rows[self.rows["lane"] == lane]

    def taken(self) -> dict[int, int]:
        """How many references each lane has taken."""
        return {lane: sum(one.lane == lane for one in self.new) for lane in range(LANES)}


def in_log(run: Path) -> tuple[list[References], list[Reading]]:
    entries = [entry for path in files(run) for entry in LogReader(path)]
    readings = [m for entry in entries if isinstance(entry, Fed) for m in entry.messages if isinstance(m, Reading)]
    return [e for e in entries if isinstance(e, References)], [r for r in readings if r.kind == "shutter"]


def holds(run: Path, rows: Table, loop: Path) -> None:
    cups = np.arange(rows["cup"].min(), rows["cup"].max() + 1)
    np.testing.assert_array_equal(rows["cup"], np.repeat(cups, LANES))
    np.testing.assert_array_equal(rows["lane"], np.tile(np.arange(LANES), len(cups)))
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, len(rows))
    _is_of_fruit(run, loop)
    whole = rows[np.isfinite(rows["trait"][:, 0]) & (rows["scans_received"] == SCANS)]
    values: dict[tuple[int, int], list[float]] = defaultdict(list)
    for row in whole:
        values[int(row["lane"]), int(row["cup"]) % LOOP_CUPS].append(float(row["trait"][0]))
    # A fruit has the same value each time it comes round, but for the noise of new references.
    assert max(max(same) - min(same) for same in values.values()) < ALIKE_BRIX


def _is_of_fruit(run: Path, loop: Path) -> None:
    """Whatever a lane saw from a shutter's reading that it stands open until it is asked to close is in the loop, to the bit."""
    counts = tape.load(loop).counts
    known = [{row.tobytes() for row in counts[:, :, lane].reshape(-1, counts.shape[-1])} for lane in range(LANES)]
    light, seen = np.full(LANES, -NEVER), 0
    for entry in (entry for path in files(run) for entry in LogReader(path) if isinstance(entry, Fed)):
        for message in entry.messages:
            if isinstance(message, Command) and message.kind in SHUTTER_OF:
                light[:] = NEVER
            elif isinstance(message, Reading) and message.kind == "shutter":
                light[message.lane if message.lane >= 0 else slice(None)] = message.tick if message.value == 0 else NEVER
            elif isinstance(message, Scans):
                for lane, tick, row in zip(message.lane.tolist(), message.tick.tolist(), message.counts, strict=True):
                    assert tick < light[lane] or row.tobytes() in known[lane]
                    seen += tick >= light[lane]
    assert seen > 500


def _decided(supervisor: Supervisor) -> int:
    return int(supervisor.board.shared["decided_cup"][0])


def _wanted(supervisor: Supervisor) -> list[int]:
    return [int(position) for position in supervisor.board.shared["shutter"][0, :LANES]]


def test_a_live_line_takes_dark_and_white_while_it_runs(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    ran = Ran(line_toml, loop, tmp_path, last_cup=45)
    assert ran.taken() == dict.fromkeys(range(LANES), 2)
    assert "dark_few" not in ran.ended.alarms
    last = {one.lane: one.reference_id for one in ran.new}
    for lane in range(LANES):
        rows = ran.lane(lane)
        # On a slow machine the first fruit may be decided when the dark is taken already.
        assert set(rows["reference_id"].tolist()) <= {0, *(one.reference_id for one in ran.new if one.lane == lane)}
        assert rows["reference_id"][-1] == last[lane]
        stood = [Position(int(r.value)) for r in ran.readings if r.lane == lane]
        assert [p for p in stood if p != Position.BETWEEN] == [
            Position.OPEN, Position.CLOSED, Position.ATTENUATOR, Position.OPEN
        ]  # fmt: skip
    blind = ran.rows[ran.rows["reason"] == Reason.MISSING_SPECTRUM]
    assert len(blind)
    assert np.all(blind["fire_tick"] < 0)
    after = ran.rows[ran.rows["cup"] > 40]
    assert np.any(after["reason"] == Reason.GRADED)
    assert np.all(np.isfinite(after["trait"][after["reason"] == Reason.GRADED][:, 0]))


@pytest.mark.fault
def test_a_shutter_that_never_moves_leaves_its_lane_the_old_references(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    FaultPlan(1, (Fault("shutter_sticks", 0, 1e9, 2),)).save(tmp_path / "faults.json")
    ran = Ran(line_toml, loop, tmp_path, last_cup=60)
    assert ran.taken() == {lane: 0 if lane == 2 else 2 for lane in range(LANES)}
    assert ran.ended.alarm_places["dark_few"] == ["lane 2 measured 0 limit 32"]
    assert ran.ended.alarm_places["white_few"] == ["lane 2 measured 0 limit 32"]
    rows = ran.lane(2)
    assert set(rows["reference_id"].tolist()) == {0}
    assert np.any(rows["reason"][rows["cup"] > 50] == Reason.GRADED)


@pytest.mark.fault
def test_a_shutter_that_does_not_open_again_is_told_and_its_fruit_have_no_spectrum(
    line_toml: Path, loop: Path, tmp_path: Path
) -> None:
    written: list[int] = []

    def during(supervisor: Supervisor) -> None:
        """Let lane 4 stick as soon as its attenuator stands in the light, for 40 cups."""
        belt = supervisor.board.belt()
        stands = Shutters(LANES, tmp_path / "shutters").at(4, 1 << 62)
        if belt and not written and _wanted(supervisor)[4] == stands == Position.ATTENUATOR:
            moved = (belt[0] + int(supervisor.board.shared["origin"][0])) / 4096
            FaultPlan(1, (Fault("shutter_sticks", moved, moved + 40, 4),)).save(tmp_path / "faults.json")
            written.append(_decided(supervisor))

    ran = Ran(line_toml, loop, tmp_path, last_cup=95, during=during)
    assert written
    assert ran.ended.alarm_places["shutter_stuck"] == ["lane 4 position 2"]
    rows = ran.lane(4)
    stuck = rows[(rows["cup"] > written[0] + 5) & (rows["cup"] < written[0] + 30)]
    assert np.all(np.isin(stuck["reason"], (Reason.MISSING_SPECTRUM, Reason.EMPTY, Reason.DOUBLE, Reason.BRIDGING)))
    assert np.any(rows["reason"][rows["cup"] > written[0] + 50] == Reason.GRADED)
    others = ran.lane(0)
    assert np.any(others["reason"][(others["cup"] > written[0] + 12) & (others["cup"] < written[0] + 30)] == Reason.GRADED)


@pytest.mark.fault
@pytest.mark.parametrize("role", ["core", "plc"])
def test_a_process_killed_behind_closed_shutters_has_them_opened(role: str, line_toml: Path, loop: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def during(supervisor: Supervisor) -> bool:
        pid = supervisor.children[role].pid
        if pid and not killed and _wanted(supervisor) == [Position.CLOSED] * LANES and supervisor.fork_servers:
            killed.append(_decided(supervisor))
            os.kill(pid, signal.SIGKILL)
        return bool(killed) and _decided(supervisor) > killed[0] + 70

    ran = Ran(line_toml, loop, tmp_path, last_cup=500, during=during, asked=DARK_AND_WHITE.replace("at_min = 0", OFTEN))
    assert killed
    shutters = Shutters(LANES, ran.shutters)
    assert [shutters.goes_to(lane) for lane in range(LANES)] == [Position.OPEN] * LANES
    for lane in range(LANES):
        rows = ran.lane(lane)
        assert np.any(rows["reason"][rows["cup"] > killed[0] + 20] == Reason.GRADED)


def test_a_plc_without_shutters_ends_the_line_before_it_begins(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    live = line_toml.with_name("no_shutters.toml")
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S) + DARK_AND_WHITE, encoding="utf-8")
    with pytest.raises(DeviceError, match=r"command\.0: 'dark_refresh' needs shutters, and this PLC moves none"):
        run_live(live, tmp_path / "run", seconds=5.0)


@pytest.mark.parametrize("there", [False, True])
def test_the_doctor_says_whether_the_plc_has_the_shutters_that_a_line_asks_for(
    there: bool, line_toml: Path, loop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    live = line_toml.with_name(f"doctor_{there}.toml")
    shutters = tmp_path / "shutters" if there else None
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S, shutters=shutters) + DARK_AND_WHITE, encoding="utf-8")
    main(["doctor", str(live), "--json"])
    found = [row for row in json.loads(capsys.readouterr().out)["findings"] if row["what"] == "PLC"]
    assert [row["state"] for row in found] == (["ok"] if there else ["fail", "fail"])


def test_an_emulated_line_takes_them_over_its_real_protocols(line_toml: Path, tmp_path: Path) -> None:
    asking = line_toml.with_name("asking.toml")
    asking.write_text(line_toml.read_text(encoding="utf-8") + DARK_AND_WHITE, encoding="utf-8")
    with Emulation(asking, tmp_path, cups_per_s=CUPS_PER_S, devices=("plc", "spectrometers")) as emulation:
        emulation.render(seed=3, cups=LOOP_CUPS)
        ended = run_live(emulation.start(), tmp_path / "run", seconds=60.0, during=lambda line: _decided(line) >= 50)
    rows = np.concatenate(list(store.decisions(tmp_path / "run")))
    holds(tmp_path / "run", rows, tmp_path / "tape")
    new, _readings = in_log(tmp_path / "run")
    assert {one.lane for one in new} == set(range(LANES))
    assert len(new) == 2 * LANES
    assert {int(row["reference_id"]) for row in rows[-LANES:]} == {one.reference_id for one in new[LANES:]}
    assert not {"dark_few", "white_few", "shutter_stuck"} & set(ended.alarms)
    assert ended.accuracy is not None
    assert ended.accuracy["delivery"] == 1.0
