"""A live line of real processes, slowly, on devices that play a simulated loop: what holds however it is treated."""

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.config import load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.messages import Reason
from citrus_grade.ports import DeviceError
from citrus_grade.replay import replay
from citrus_grade.rundir import load_line
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.live import health
from citrus_grade.runtime.live.played import played, truth
from citrus_grade.runtime.live.session import During, run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary
from citrus_grade.tables import Table

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

LOOP_CUPS = 24
CUPS_PER_S = 5.0
"""Slow enough for a machine that runs other tests beside."""


@pytest.fixture(scope="module")
def loop(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rendered loop of the session's line."""
    folder = tmp_path_factory.mktemp("tape")
    tape.record(load(line_toml), folder, SimOptions(seed=3, season=4), LOOP_CUPS)
    return folder


def _run(
    line_toml: Path,
    loop: Path,
    run: Path,
    seconds: float,
    *,
    during: During | None = None,
    profile: str | None = None,
    extra: str = "",
) -> tuple[RunSummary, Table]:
    live = line_toml.with_name(f"{run.name}.toml")
    live.write_text(played(line_toml, loop, fell=run.with_suffix(".fell"), cups_per_s=CUPS_PER_S) + extra, encoding="utf-8")
    ended = run_live(live, run, seconds=seconds, during=during, profile=profile)
    held = invariant.look(run, run.with_suffix(".fell"))
    assert held.broken == []
    assert ended.cups == sum(ended.reasons.values()) == len(held.rows)
    return ended, held.rows


def test_a_live_line_grades_delivers_and_replays(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ended, rows = _run(line_toml, loop, run, 12.0, extra="\n[live]\nmetrics_port = 9464\n", during=_scrape(tmp_path / "metrics"))
    assert set(ended.reasons) & {"graded"}
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, len(rows))
    loaded = load_line(run / "line.toml")
    assert ended.live is not None
    known = truth(tape.load(loop), run.with_suffix(".fell"), loaded.config, ended.live["origin"], int(rows["cup"].max()) + 1)
    last = rows["cup"].max() - max(outlet.station for outlet in loaded.config.outlet) + loaded.config.line.decision_station
    passed, settled = known["cup"] < last, rows["cup"] < last
    said = against_truth(rows[settled], known[passed], loaded.targets)
    assert said["delivery"] == 1.0
    assert said["empties_exact"] == 1.0
    assert said["diameter_rmse_mm"] < 0.5
    text = (tmp_path / "metrics").read_text()
    assert 'citrus_grade_counted_total{process="core",what="decisions"}' in text
    assert 'citrus_grade_stage_seconds_bucket{le="+Inf",process="core",stage="decide"}' in text
    state = health.read(run)
    assert not state["running"]
    assert state["processes"]["recorder"]["counted"]["commits"] > 0


def _scrape(to: Path) -> Callable[[Supervisor], None]:
    def during(supervisor: Supervisor) -> None:
        if int(supervisor.board.shared["decided_cup"][0]) > 5 and not to.exists():
            with urllib.request.urlopen("http://127.0.0.1:9464/metrics", timeout=10) as answer:
                to.write_bytes(answer.read())

    return during


def test_full_profile_replays_from_the_pixels_the_core_saw(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    _, rows = _run(line_toml, loop, tmp_path / "run", 8.0, profile="full")
    report = replay(tmp_path / "run")
    assert report.entered == "pixels"
    assert (report.diff_fields, report.compared) == (0, len(rows))


@pytest.mark.fault
def test_killed_processes_cost_no_cup_its_decision(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    roles = ["core", "recorder", "plc", "camera0", "spectra"]
    waiting, back = list(roles), []

    def during(supervisor: Supervisor) -> bool:
        back[:] = [role for role, child in supervisor.children.items() if child.recovery_s]
        pid = supervisor.children[waiting[0]].pid if waiting else None
        decided = int(supervisor.board.shared["decided_cup"][0])
        if pid and decided >= 6 and supervisor.fork_servers and len(back) == len(roles) - len(waiting):
            os.kill(pid, signal.SIGKILL)
            waiting.pop(0)
        return len(back) == len(roles)

    run = tmp_path / "run"
    ended, rows = _run(line_toml, loop, run, 90.0, during=during)
    assert sorted(back) == sorted(roles)
    assert ended.live is not None
    assert all(ended.live["processes"][role]["restarts"] == 1 for role in roles)
    assert ended.alarms["process_died"] == ended.alarms["process_back"] == len(roles)
    assert np.any(rows["reason"][rows["cup"] > rows["cup"].max() - 10] == Reason.GRADED)
    assert replay(run).diff_fields == 0


@pytest.mark.fault
def test_core_and_recorder_killed_together_lose_nothing_decided(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    killed: list[int] = []

    def during(supervisor: Supervisor) -> None:
        decided = int(supervisor.board.shared["decided_cup"][0])
        pids = [supervisor.children[role].pid for role in ("recorder", "core")]
        if decided >= 6 and not killed and all(pids):
            killed.append(decided)
            for pid in pids:
                assert pid
                os.kill(pid, signal.SIGKILL)

    _, rows = _run(line_toml, loop, tmp_path / "run", 16.0, during=during)
    assert killed
    assert rows["cup"].max() > killed[0]


@pytest.mark.fault
def test_a_killed_supervisor_takes_its_processes_along_and_leaves_a_run(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    live, run = tmp_path / "live.toml", tmp_path / "run"
    live.write_text(played(line_toml, loop, fell=tmp_path / "fell", cups_per_s=CUPS_PER_S), encoding="utf-8")
    for name in ("plan.toml", "model", "calibration"):
        (tmp_path / name).symlink_to(line_toml.parent / name)
    program = subprocess.Popen(
        [sys.executable, "-m", "citrus_grade.cli", "run", str(live), "--run", str(run), "--seconds", "120"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        pids = _pids_when_decided(run, 30)
    finally:
        program.kill()
        program.wait()
    _until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 30.0)
    held = invariant.look(run, tmp_path / "fell", whole=False)
    assert held.broken == []
    assert held.rows["cup"].max() >= 30
    assert len(held.fell) > 0
    assert replay(run).diff_fields == 0
    assert not health.read(run)["running"]


def _pids_when_decided(run: Path, cups: int) -> list[int]:
    def decided() -> bool:
        return (run / health.NAME).exists() and health.read(run)["committed_cup"] >= cups

    _until(decided, 120.0)
    return [process["pid"] for process in health.read(run)["processes"].values() if process["pid"]]


def _until(true: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def test_a_device_nobody_can_use_ends_the_line_before_it_begins(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    live = line_toml.with_name("bad.toml")
    text = played(line_toml, loop, cups_per_s=CUPS_PER_S).replace("[plc]\ndriver", "[plc]\ncolour = 3\ndriver")
    live.write_text(text, encoding="utf-8")
    with pytest.raises(DeviceError, match=r"plc\.colour"):
        run_live(live, tmp_path / "run", seconds=5.0)
    live.write_text(text.replace('driver = "tape"\n', 'driver = "none"\n').replace("colour = 3\n", ""), encoding="utf-8")
    with pytest.raises(DeviceError, match="'none' is not installed; there are"):
        run_live(live, tmp_path / "again", seconds=5.0)
    sound = text.replace("colour = 3\n", "")
    head, section, tail = sound.partition("[spectrometer]")
    live.write_text(head + section + tail.replace('driver = "tape"', 'driver = "prism"', 1), encoding="utf-8")
    with pytest.raises(DeviceError, match=r"spectrometer\.device\.0\.driver: 'prism' is not installed"):
        run_live(live, tmp_path / "third", seconds=5.0)


def test_a_loop_shorter_than_the_line_is_refused(line_toml: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 19"):
        tape.record(load(line_toml), tmp_path, SimOptions(), 10)
