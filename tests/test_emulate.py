"""A whole line over its real protocols, each device a process, and the verbs around it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from citrus_grade.cli.main import main
from citrus_grade.drivers.emulate import camera
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live.emulated import Emulation
from citrus_grade.runtime.live.session import run_live

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 5.0


def _can_serve_cameras() -> str:
    try:
        camera.program()
    except DeviceError as error:
        return str(error)
    return ""


@pytest.fixture(scope="module")
def rehearsal(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a rendered loop of the session's line."""
    folder = tmp_path_factory.mktemp("rehearsal")
    Emulation(line_toml, folder).render(seed=3, cups=24)
    return folder


@pytest.mark.usefixtures("gige_network")
@pytest.mark.parametrize("devices", [("plc", "spectrometers"), ("plc", "cameras", "spectrometers")])
def test_fruit_fall_where_they_were_ordered(devices: tuple[str, ...], line_toml: Path, rehearsal: Path, tmp_path: Path) -> None:
    if "cameras" in devices and (reason := _can_serve_cameras()):
        pytest.skip(reason)
    with Emulation(line_toml, rehearsal, cups_per_s=CUPS_PER_S, devices=devices) as emulation:
        ended = run_live(emulation.start(), tmp_path / "run", seconds=16.0)
    assert ended.accuracy is not None
    assert ended.accuracy["simulated"]
    assert ended.accuracy["delivery"] == 1.0
    assert ended.accuracy["empties_exact"] == 1.0
    assert ended.accuracy["n"] > 20
    assert (tmp_path / "run" / "truth.parquet").exists()


def test_what_is_emulated_can_be_run_and_asked_about(
    line_toml: Path, rehearsal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = [sys.executable, "-m", "citrus_grade.cli", "emulate", str(line_toml), str(rehearsal), "--speed", "5"]
    verb += ["--devices", "plc", "--json"]
    with subprocess.Popen(verb, stdout=subprocess.PIPE, text=True) as served:
        assert served.stdout
        told = json.loads(served.stdout.readline())
        assert told["simulated"]
        assert told["devices"]["plc"].startswith("tcp://127.0.0.1:")
        run = tmp_path / "run"
        assert main(["run", told["line"], "--run", str(run), "--seconds", "8", "--json"]) == 0
        served.terminate()
    capsys.readouterr()
    main(["status", str(run), "--json"])
    state = json.loads(capsys.readouterr().out)
    assert not state["running"]
    assert state["processes"]["core"]["counted"]["decisions"] > 0
    main(["--lang", "zh", "status", str(run)])
    assert "进程" in capsys.readouterr().out


def test_a_folder_that_is_no_live_run_has_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert "status.json" in capsys.readouterr().err


def test_what_cannot_be_emulated_is_refused(line_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", str(line_toml), str(tmp_path), "--devices", "plc,horse"]) == 2
    assert "horse can't be emulated" in capsys.readouterr().err
