"""A live line whose camera is on the network: what it grades is right, and a camera that dies costs only what it did not see."""

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.config import load
from citrus_grade.drivers.emulate.camera import program, serve_camera
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.ports import DeviceError
from citrus_grade.replay import replay
from citrus_grade.rundir import load_line
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.played import played, truth
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

pytest.importorskip("viva_genicam", reason="viva-genicam of the extra 'gige' is not installed")

LOOP_CUPS, CUPS_PER_S = 24, 5.0


@pytest.mark.fault
@pytest.mark.usefixtures("gige_network")
def test_a_line_grades_by_a_camera_of_the_network_that_dies_once(line_toml: Path, tmp_path: Path) -> None:
    try:
        program()
    except DeviceError as error:
        pytest.skip(str(error))
    loop, run = tmp_path / "tape", tmp_path / "run"
    loop.mkdir()
    config = load(line_toml)
    tape.record(config, loop, SimOptions(seed=3, season=4), LOOP_CUPS)
    text = played(line_toml, loop, fell=tmp_path / "fell", cups_per_s=CUPS_PER_S)
    text = re.sub(r"(?m)^(\[\[camera\]\]\ndevice = ).*$", r'\1{driver = "genicam", serial = "CG0"}', text)
    toml = line_toml.with_name("gige.toml")
    toml.write_text(text, encoding="utf-8")
    belt = {"bayer": config.camera[0].bayer, "t0_ns": tomllib.loads(text)["plc"]["t0_ns"], "cups_per_s": CUPS_PER_S}
    servers = [serve_camera(loop, 0, **belt)]

    def kill(supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        if decided > 25 and len(servers) == 1:
            servers[0].process.kill()
            servers[0].close()
            servers.append(serve_camera(loop, 0, **belt))
        return decided > 70

    ended = run_live(toml, run, seconds=60.0, during=kill)
    for server in servers:
        server.close()
    rows = np.concatenate(list(store.decisions(run)))
    assert {"graded", "missing_view"} <= set(ended.reasons)
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, len(rows))
    loaded = load_line(run / "line.toml")
    assert ended.live is not None
    counted = ended.live["processes"]["camera0"]["counted"]
    assert counted["reopened"] == 1
    assert counted["frames"] > 60
    known = truth(tape.load(loop), tmp_path / "fell", loaded.config, ended.live["origin"], int(rows["cup"].max()) + 1)
    last = rows["cup"].max() - max(outlet.station for outlet in loaded.config.outlet) + loaded.config.line.decision_station
    said = against_truth(rows[rows["cup"] < last], known[known["cup"] < last], loaded.targets)
    assert said["delivery"] == 1.0
    assert said["diameter_rmse_mm"] < 0.5
