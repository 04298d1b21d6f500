"""A live line before its first fruit: the doctor and the start of a run find the same bad wiring, and say what to change."""

import json
import re
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from citrus_grade import templates
from citrus_grade.cli import doctor_live
from citrus_grade.cli.main import main
from citrus_grade.config import ConfigError, load
from citrus_grade.drivers.emulate import camera as emulated_camera
from citrus_grade.drivers.emulate.obp import ObpSpectrometer
from citrus_grade.drivers.emulate.spectra import Rows
from citrus_grade.drivers.emulate.spectrometer import Served, serve_spectrometers
from citrus_grade.drivers.modbus import client as modbus
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.drivers.ocean import spectrometer as ocean
from citrus_grade.drivers.sim.devices import LoopClock
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live import looks as live_looks
from citrus_grade.runtime.live.looks import looks
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.runtime.live.session import run_live

TEMPLATE = load(templates.LINE)
NOWHERE = "socket://127.0.0.1:1"
Change = Callable[[str], str]


@pytest.fixture(scope="module")
def spectrometers() -> Iterator[Served]:
    """One a lane, ``SPEC0`` and on."""
    rows = np.random.default_rng(1).integers(0, 60000, (4, 256), np.uint16)
    made = [ObpSpectrometer(f"SPEC{lane}", wavelength=(650.0, 360 / 255)) for lane in range(TEMPLATE.line.lanes)]
    with serve_spectrometers([(one, Rows(rows)) for one in made]) as served:
        yield served


@contextmanager
def plc(url: str = "tcp://127.0.0.1:0", cups_per_s: float = 5.0, **faults: Any) -> Iterator[PlcServer]:
    clock = LoopClock(time.monotonic_ns(), cups_per_s)
    with PlcServer(EmulatedPlc(TEMPLATE, clock.cups_at, **faults), url) as server:
        yield server


def live_line(folder: Path, plc_url: str, served: Served, cameras: tuple[dict[str, Any], ...] = ()) -> Path:
    """Write a live line of these devices; its cameras are all alike."""
    lanes = [
        {"driver": "oceanbinary", "url": url, "serial": f"SPEC{lane}", "integration_us": 1000}
        for lane, url in enumerate(served.urls)
    ]
    text = templates.LINE.read_text(encoding="utf-8")
    (section,) = re.findall(r"(?ms)^\[\[camera\]\].*?(?=^\[)", text)
    named = [
        section.replace('"top"', f'"camera {k}"').replace("windows =", f"first_view = {8 * k}\nwindows =", 1) for k in (0, 1)
    ]
    draft = folder / "draft.toml"
    draft.write_text(text.replace(section, "".join(named[: len(cameras)])), encoding="utf-8")
    devices = Devices(list(cameras), lanes, {"driver": "modbus", "url": plc_url, "timeout_ms": 1000})
    path = folder / "line.toml"
    path.write_text(with_devices(draft, devices), encoding="utf-8")
    shutil.copy(templates.PLAN, folder / "plan.toml")
    return path


def doctor(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, str]]]:
    capsys.readouterr()
    code = main([*words, "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


def of(findings: list[dict[str, str]], what: str) -> dict[str, str]:
    return next(finding for finding in findings if finding["what"] == what)


def test_doctor_and_check_ask_every_device_and_agree(
    tmp_path: Path, spectrometers: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with plc() as server:
        line = live_line(tmp_path, server.url, spectrometers)
        code, found = doctor(capsys, "doctor", str(line))
        checked, same = doctor(capsys, "run", str(line), "--check", "--run", str(tmp_path / "run"))
    assert code == checked
    assert [(finding["what"], finding["kind"]) for finding in found] == [(finding["what"], finding["kind"]) for finding in same]
    assert re.search("SIMULATED; the belt runs, 5.0 cups/s", of(found, "PLC")["found"])
    assert "EMULATED SPEC3" in of(found, "spectrometer of lane 3")["found"]
    assert all(finding["state"] == "ok" for finding in found if finding["kind"])
    assert {"memory", "disk for the log", "open files", "run folder", "processor cores of a live line"} <= {
        f["what"] for f in found
    }
    assert not (tmp_path / "run").exists()


def to(old: str, new: str) -> Change:
    return lambda text: text.replace(old, new)


def lanes_crossed(text: str) -> str:
    return text.replace('"SPEC1"', '"SPEC?"').replace('"SPEC2"', '"SPEC1"').replace('"SPEC?"', '"SPEC2"')


@pytest.mark.parametrize(
    ("change", "what", "said"),
    [
        (lanes_crossed, "spectrometer of lane 1", "is SPEC1, which belongs to lane 2; SPEC2 belongs here: the lanes are crossed"),
        (to('"SPEC4"', '"SPEC9"'), "spectrometer of lane 4", "is SPEC4, line.toml wants SPEC9; correct serial"),
        (to("[650, 1010]", "[500, 900]"), "spectrometer of lane 0", "sees 650.0 to 1010.0 nm, line.toml says 500"),
        (to('name = "line 1"', 'name = "line 2"'), "PLC", "it drives the line 'line 1', line.toml is of 'line 2'"),
        (to("ticks_per_cup = 4096", "ticks_per_cup = 2048"), "PLC", "it has 4096, line.toml 2048; correct one"),
        (to('driver = "modbus"', 'driver = "modbuss"'), "PLC", "plc.driver: 'modbuss' is not installed"),
        (to("timeout_ms = 1000", "timeout_s = 1"), "PLC", "timeout_s: unknown key"),
    ],
    ids=["lanes crossed", "serial", "axis", "another line's PLC", "ticks", "driver", "key"],
)
def test_what_is_another_is_found_by_the_doctor_and_refused_by_a_run(
    change: Change, what: str, said: str, tmp_path: Path, spectrometers: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with plc() as server:
        line = live_line(tmp_path, server.url, spectrometers)
        line.write_text(change(line.read_text(encoding="utf-8")), encoding="utf-8")
        code, found = doctor(capsys, "doctor", str(line))
        with pytest.raises(DeviceError, match=re.escape(said)):
            run_live(line, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    assert code == 1
    finding = of(found, what)
    assert (finding["state"], finding["kind"]) == ("fail", "another")
    assert said in finding["found"]
    assert finding["fix"]


def test_every_bad_wiring_is_told_at_once(tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server:
        server.plc.words[m.IDENTITY.at("map_version")] = 2
        line = live_line(tmp_path, server.url, spectrometers)
        line.write_text(lanes_crossed(line.read_text(encoding="utf-8")), encoding="utf-8")
        with pytest.raises(DeviceError) as refused:
            run_live(line, tmp_path / "run")
    said = str(refused.value)
    assert "has version 2 of the register map, this program speaks version 1; load the PLC program" in said
    assert "belongs to lane 1" in said
    assert "belongs to lane 2" in said


def test_an_encoder_that_counts_down_is_found_while_the_belt_runs(
    tmp_path: Path, spectrometers: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    with plc(backwards=True) as server:
        line = live_line(tmp_path, server.url, spectrometers)
        found = of(doctor(capsys, "doctor", str(line))[1], "PLC")
        with pytest.raises(DeviceError, match="counts down while the belt runs; swap tracks A and B"):
            run_live(line, tmp_path / "run")
    assert "swap tracks A and B of the encoder" in found["found"]


def test_a_wrong_address_is_a_device_not_found(tmp_path: Path, spectrometers: Served, capsys: pytest.CaptureFixture[str]) -> None:
    line = live_line(tmp_path, "tcp://127.0.0.1:1", spectrometers)
    text = line.read_text(encoding="utf-8").replace(spectrometers.urls[5], NOWHERE)
    line.write_text(text, encoding="utf-8")
    code, found = doctor(capsys, "doctor", str(line))
    assert code == 1
    for what, address in (("PLC", "tcp://127.0.0.1:1"), ("spectrometer of lane 5", NOWHERE)):
        finding = of(found, what)
        assert (finding["state"], finding["kind"]) == ("fail", "missing")
        assert address in finding["found"]
        assert "power and cable" in finding["found"]
    assert of(found, "spectrometer of lane 4")["kind"] == "found"


class _Told(Exception):
    """Raised by whoever was told."""


def test_a_start_says_what_it_waits_for_before_any_process_is_started(tmp_path: Path, spectrometers: Served) -> None:
    line = live_line(tmp_path, "tcp://127.0.0.1:1", spectrometers)

    def told(alarm: Any) -> None:
        raise _Told(alarm.where)

    with pytest.raises(_Told, match=r"plc: the PLC at tcp://127.0.0.1:1 .*power and cable.*the line waits for it"):
        run_live(line, tmp_path / "run", told=told)
    assert not (tmp_path / "run" / "stacks.txt").exists()


def test_a_start_says_what_the_look_at_the_devices_cautions_of(tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server:
        line = live_line(tmp_path, server.url, spectrometers)
        line.write_text(line.read_text(encoding="utf-8").replace('serial = "SPEC3", ', ""), encoding="utf-8")

        def told(alarm: Any) -> None:
            raise _Told(f"{alarm.kind} {alarm.where}")

        with pytest.raises(_Told, match=r'caution spectra: spectrometer.device.3 names no serial .*serial = "SPEC3"'):
            run_live(line, tmp_path / "run", told=told)
    assert not (tmp_path / "run" / "stacks.txt").exists()


@pytest.mark.parametrize("key", ["url", "serial"])
def test_a_spectrometer_that_two_lanes_claim_is_refused_with_both(key: str, tmp_path: Path, spectrometers: Served) -> None:
    line = live_line(tmp_path, "tcp://127.0.0.1:1", spectrometers)
    theirs = {"url": spectrometers.urls, "serial": [f"SPEC{lane}" for lane in range(TEMPLATE.line.lanes)]}[key]
    line.write_text(line.read_text(encoding="utf-8").replace(f'"{theirs[4]}"', f'"{theirs[1]}"'), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"spectrometer.device.4.{key}: .* is that of lane 1, too"):
        load(line)


def test_a_look_writes_nothing_into_a_plc(tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server:
        found = modbus.look(load(live_line(tmp_path, server.url, spectrometers)))
        written = list(server.plc.words[m.COMMAND.address : m.REPORT.address])
    assert found.cautions == ()
    assert not any(written)


def test_a_look_sets_nothing_in_a_spectrometer(spectrometers: Served) -> None:
    """An integration time that the device refuses is not even asked for."""
    assert TEMPLATE.spectrometer is not None
    device = {"driver": "oceanbinary", "url": spectrometers.urls[0], "integration_us": 5, "timeout_ms": 2000}
    held = TEMPLATE.model_copy(update={"spectrometer": TEMPLATE.spectrometer.model_copy(update={"device": (device,)})})
    with pytest.raises(DeviceError, match="refuses an integration time of 5 us"):
        ocean.open_spectrometer(held, 0)
    found = ocean.look(held, 0)
    assert found.identity.startswith("EMULATED SPEC0")
    assert 'write serial = "SPEC0"' in found.cautions[0]


def test_where_another_program_drives_the_plc_no_device_is_touched(tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server:
        config = load(live_line(tmp_path, server.url, spectrometers))
        driven, stop = modbus.open_plc(config), threading.Event()

        def drive() -> None:
            while not stop.wait(0.01):
                driven.poll()

        thread = threading.Thread(target=drive)
        thread.start()
        found = list(looks(config, opening=True))
        with pytest.raises(DeviceError, match="another program drives it now"):
            run_live(tmp_path / "line.toml", tmp_path / "run")
        stop.set()
        thread.join()
        driven.close()
    assert [(looked.device.what, looked.kind) for looked in found] == [("PLC", "busy")]


def test_a_device_that_says_nothing_holds_nobody_up(tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server, socket.create_server(("127.0.0.1", 0)) as mute:
        line = live_line(tmp_path, server.url, spectrometers)
        text = line.read_text(encoding="utf-8").replace(spectrometers.urls[2], f"socket://127.0.0.1:{mute.getsockname()[1]}")
        line.write_text(text, encoding="utf-8")
        kinds = [looked.kind for looked in looks(load(line), opening=False)]
        hurried = [looked for looked in looks(load(line), opening=False, patience_s=0.4) if looked.kind == "missing"]
    assert kinds == ["found", "found", "found", "missing", "found", "found", "found"]
    assert "no answer for 0.4 s" in hurried[0].said


def test_a_late_answer_is_not_taken_for_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two cameras the first answers only after it was given up."""
    given_up, closed = threading.Event(), threading.Event()

    def open_(_config: object, index: int) -> SimpleNamespace:
        assert index or given_up.wait(30.0)
        return SimpleNamespace(identity=f"camera {index}", close=closed.set)

    monkeypatch.setattr(live_looks, "opener", lambda *_which: open_)
    two = TEMPLATE.model_copy(update={"camera": TEMPLATE.camera * 2})
    answers = live_looks._answered([live_looks.devices(two)[1]], opening=True, patience_s=2.0)
    first = next(answers)
    given_up.set()
    second = next(answers)
    assert (first.kind, first.device.role) == ("missing", "camera0")
    assert (second.kind, second.said) == ("found", "camera 1")
    assert closed.is_set()


@pytest.mark.parametrize(
    ("sent", "kind", "said"),
    [
        (b"ST,GS,+  12.345kg\r\n", "found", "12345 g"),
        (b"\x02+012345218\x03" * 60, "another", "is no reading in format 'st,gs'; correct format, baud"),
        (b"", "found", "it sends nothing: see to its power"),
    ],
    ids=["sound", "another format", "silent"],
)
def test_a_scale_is_listened_to(sent: bytes, kind: str, said: str, tmp_path: Path, spectrometers: Served) -> None:
    with plc() as server, socket.create_server(("127.0.0.1", 0)) as listener:
        line = live_line(tmp_path, server.url, spectrometers)
        at = f"socket://127.0.0.1:{listener.getsockname()[1]}"
        line.write_text(f'{line.read_text(encoding="utf-8")}\n[scale]\ndriver = "serial"\nurl = "{at}"\n', encoding="utf-8")
        asked = threading.Event()

        def send() -> None:
            with listener.accept()[0] as indicator, suppress(ConnectionError):
                while not asked.wait(0.02):
                    indicator.sendall(sent)

        sender = threading.Thread(target=send)
        sender.start()
        found = next(looked for looked in looks(load(line), opening=False) if looked.device.role == "scale")
        asked.set()
        sender.join()
    assert found.kind == kind
    assert said in " ".join([found.said, *found.cautions])


@pytest.mark.usefixtures("gige_network")
def test_two_cameras_swapped_are_named_with_their_addresses(
    tmp_path: Path, spectrometers: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("viva_genicam", reason="viva-genicam of the extra 'gige' is not installed")
    try:
        emulated_camera.program()
    except DeviceError as error:
        pytest.skip(str(error))
    addresses = emulated_camera.loopback(2)
    if len(addresses) < 2:
        pytest.skip("a second loopback address needs iproute2 and root")
    np.save(tmp_path / "frames0.npy", np.zeros((2, 768, 1024), np.uint8))
    belt = {"bayer": "RGGB", "t0_ns": time.monotonic_ns(), "cups_per_s": 5.0}
    sections = tuple({"driver": "genicam", "address": at, "serial": f"CG{k}"} for k, at in enumerate(addresses))
    with (
        plc() as server,
        emulated_camera.serve_camera(tmp_path, 0, address=addresses[0], serial="CG1", **belt),
        emulated_camera.serve_camera(tmp_path, 0, address=addresses[1], serial="CG0", **belt),
    ):
        line = live_line(tmp_path, server.url, spectrometers, sections)
        _code, found = doctor(capsys, "doctor", str(line))
        with pytest.raises(DeviceError) as refused:
            run_live(line, tmp_path / "run")
    for k in (0, 1):
        finding = of(found, f"camera {k} (camera {k})")
        assert finding["kind"] == "another"
        said = f"at {addresses[k]} is Aravis Fake, serial CG{1 - k}, at {addresses[k]}; CG{k} is at {addresses[1 - k]}"
        assert said in finding["found"]
        assert "write that address, or swap the cameras" in finding["found"]
        assert said in str(refused.value)


def test_one_camera_named_twice_is_refused(tmp_path: Path, spectrometers: Served) -> None:
    line = live_line(tmp_path, NOWHERE, spectrometers, ({"driver": "genicam", "serial": "CG0"},) * 2)
    with pytest.raises(ConfigError, match=r"camera.1 \(camera 1\).device.serial: 'CG0' is that of camera.0 \(camera 0\), too"):
        load(line)


def test_a_machine_that_is_too_small_is_told(tmp_path: Path, spectrometers: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(live_line(tmp_path, NOWHERE, spectrometers, ({"driver": "genicam", "serial": "CG0"},)))
    (tmp_path / "rmem_max").write_text("212992\n", encoding="ascii")
    (tmp_path / "clock").write_text("hpet\n", encoding="ascii")
    monkeypatch.setattr(doctor_live, "RMEM_MAX", tmp_path / "rmem_max")
    monkeypatch.setattr(doctor_live, "CLOCK", tmp_path / "clock")
    monkeypatch.setattr(doctor_live, "_available_mb", lambda: 500.0)
    monkeypatch.setattr(doctor_live.os, "sched_getaffinity", lambda _pid: {0})
    monkeypatch.setattr(doctor_live.resource, "getrlimit", lambda _which: (100, 100))
    found = {finding.what: finding for finding in doctor_live.examine(config, tmp_path)}
    assert {what for what, finding in found.items() if finding.state == "fail"} == {
        "memory", "open files", "processor cores of a live line",
    }  # fmt: skip
    assert found["net.core.rmem_max"].fix == "sysctl -w net.core.rmem_max=33554432"
    assert found["clock source"].state == "warn"
    assert all(finding.fix for finding in found.values() if finding.state != "ok")


@pytest.mark.parametrize(("profile", "gb_per_h"), [("full", 22.0), ("normal", 1.6), ("off", 0.1)])
def test_the_log_of_a_shift_is_foreseen(profile: str, gb_per_h: float) -> None:
    """Of a template line, as docs/run_folder.md has them measured, with every cup filled."""
    config = TEMPLATE.model_copy(update={"log": TEMPLATE.log.model_copy(update={"profile": profile})})
    assert doctor_live._log_bytes_per_s(config) * 3600 / 1e9 == pytest.approx(gb_per_h, abs=0.1)
