"""A whole line over its real protocols, each device a process, and the verbs around it."""

import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from citrus_grade.cli.main import main
from citrus_grade.drivers.emulate import camera
from citrus_grade.drivers.emulate.plc import LoopBelt
from citrus_grade.drivers.sim.devices import LoopClock
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live import emulated
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


def test_the_outlets_of_an_emulated_line_can_be_calibrated_and_the_line_run_after_it(
    line_toml: Path, rehearsal: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Emulation(line_toml, rehearsal, cups_per_s=CUPS_PER_S) as emulation:
        live = emulation.start()
        assert main(["calibrate", "outlets", str(live), "--speeds", "12,24", "--repeats", "1", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["simulated"]
        assert {row["verdict"] for row in told["outlets"]} == {"as configured"}
        assert not emulation.fell.exists()
        ended = run_live(live, tmp_path / "run", seconds=14.0)
    assert ended.accuracy is not None
    assert ended.accuracy["delivery"] == 1.0


def test_the_belt_of_an_emulated_plc_stands_and_runs_as_told_and_joins_the_loop_at_the_next_place() -> None:
    second_ns, clock = 1_000_000_000, LoopClock(0, 5.0)
    belt = LoopBelt(clock, 5.0, 24, Fraction(100))
    assert belt(9 * second_ns) == 0
    belt.drive(10 * second_ns, True, 1200)
    assert belt(20 * second_ns) == 120
    assert not belt.with_loop
    belt.drive(20 * second_ns, True, 500)
    joined = belt(20 * second_ns)
    assert 120 <= joined < 144
    assert (joined - clock.cups_at(20 * second_ns)) % 24 == 0
    assert belt.with_loop
    assert belt(22 * second_ns) == joined + 10
    belt.drive(22 * second_ns, False, 500)
    assert belt(90 * second_ns) == joined + 10
    belt.drive(90 * second_ns, True, 500)
    assert belt(90 * second_ns) == clock.cups_at(90 * second_ns)
    belt.drive(100 * second_ns, False, 500)
    belt.drive(100_000 * second_ns, True, 500)
    assert 500 <= belt(100_000 * second_ns) < 524


def test_a_device_that_says_nothing_is_not_waited_for(
    line_toml: Path, rehearsal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec cat\n", encoding="utf-8")
    silent.chmod(0o755)
    monkeypatch.setattr(emulated, "START_S", 0.2)
    monkeypatch.setattr(sys, "executable", str(silent))
    with pytest.raises(DeviceError, match="could not be started"):
        Emulation(line_toml, rehearsal).start()


def test_a_folder_that_is_no_live_run_has_no_state(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(tmp_path)]) == 2
    assert "status.json" in capsys.readouterr().err


def test_what_cannot_be_emulated_is_refused(line_toml: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["emulate", str(line_toml), str(tmp_path), "--devices", "plc,horse"]) == 2
    assert "horse can't be emulated" in capsys.readouterr().err
