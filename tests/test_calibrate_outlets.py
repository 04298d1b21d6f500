"""Outlets are measured by test firings: what the emulated PLC really does is found, and the outlet that misses is named."""

import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citrus_grade import templates
from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.outlets import ALONE_CUPS, FIRING, OutletFit, fit_outlets
from citrus_grade.cli import outlets_told
from citrus_grade.cli.main import main
from citrus_grade.config import LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import open_at
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import DrivenBelt, PlcServer
from citrus_grade.ports import DeviceGone
from citrus_grade.runtime import outlets
from tests.modbus_line import CONFIG, TICKS, with_encoder

DELAY_MS = (30.0, 42.5, 30.0, 30.0, 30.0, 18.0)
WAY_CUPS = (0.0, 0.1, 0.0, 0.0, -0.05, 0.0)
RECOVER_MS = (0.0, 0.0, 80.0, 0.0, 0.0, 0.0)


def rows(delay_s: float, way_ticks: float, speeds: tuple[float, ...], noise_ticks: float = 0.0, n: int = 50) -> np.ndarray:
    rng = np.random.default_rng(1)
    table = np.zeros(n * len(speeds), FIRING)
    table["gap_cups"], table["ticks_per_s"] = ALONE_CUPS, np.tile(speeds, n)
    table["coil_tick"] = 1e6 * np.arange(len(table))
    moved = way_ticks + delay_s * table["ticks_per_s"] + noise_ticks * rng.standard_normal(len(table))
    table["drop_tick"] = table["coil_tick"] + moved
    return table


def test_two_speeds_tell_the_way_from_the_delay() -> None:
    [fit] = fit_outlets(rows(0.035, 400.0, (20000.0, 40000.0), noise_ticks=20.0), 1, 1, CONFIG.encoder.ratio)
    assert abs(fit.latency_ms - 35.0) < 4 * fit.latency_sigma_ms < 2.0
    assert fit.way_cups == pytest.approx(400 / TICKS, abs=0.01)


def test_one_speed_gives_the_delay_at_that_speed_and_no_way() -> None:
    [fit] = fit_outlets(rows(0.035, 400.0, (40000.0,)), 1, 1, CONFIG.encoder.ratio)
    assert fit.latency_ms == pytest.approx(45.0)
    assert np.isnan(fit.way_cups)


def test_a_line_without_drop_sensors_is_told_so() -> None:
    table = rows(0.035, 0.0, (40000.0,))
    table["drop_tick"] = np.nan
    with pytest.raises(CalibrationError, match="drop sensors"):
        fit_outlets(table, 1, 1, CONFIG.encoder.ratio)


@pytest.fixture(scope="module")
def server() -> Iterator[PlcServer]:
    """A PLC whose outlets differ from line.toml; outlet 4 is jammed in lane 3."""
    belt = DrivenBelt(0.0, CONFIG.encoder.ratio, time.monotonic_ns())
    plc = EmulatedPlc(
        CONFIG, belt, drive=belt.drive, delay_ms=DELAY_MS, way_cups=WAY_CUPS, recover_ms=RECOVER_MS, drop_sensor=True
    )
    plc.set_jammed(3, 3, True)
    with PlcServer(plc, "tcp://127.0.0.1:0") as served:
        yield served


def test_the_verb_finds_what_the_outlets_really_do(server: PlcServer, capsys: pytest.CaptureFixture[str]) -> None:
    verb = ["calibrate", "outlets", str(templates.LINE), "--plc", server.url, "--speeds", "15,30", "--repeats", "1", "--json"]
    assert main(verb) == 1
    told = json.loads(capsys.readouterr().out)
    found = told["outlets"]
    assert told["simulated"]
    assert [row["latency_ms"] for row in found] == pytest.approx(DELAY_MS, abs=1.5)
    assert [row["way_cups"] for row in found] == pytest.approx(WAY_CUPS, abs=0.03)
    assert [row["min_gap_cups"] for row in found] == [0, 0, 2, 0, 0, 0]
    assert [row["missed_in_lane"] for row in found] == [{}, {}, {}, {"3": found[3]["fired_a_lane"][3]}, {}, {}]
    assert [row["verdict"] for row in found] == ["as configured", "differs", "differs", "misses", "differs", "differs"]
    stations = [row["new_station"] for row in found]
    assert stations[1] == pytest.approx(CONFIG.outlet[1].station - 0.1, abs=0.03)
    assert stations[4] == pytest.approx(CONFIG.outlet[4].station + 0.05, abs=0.03)
    assert [stations[k] for k in (0, 2, 3, 5)] == [None] * 4


def fit(way_cups: float) -> OutletFit:
    none = np.zeros(CONFIG.line.lanes, np.int64)
    return OutletFit(30.0, 0.1, way_cups, 0, 8, none + 8, none)


def test_a_way_that_line_toml_knows_is_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    known = CONFIG.outlet[0].model_copy(update={"station": 23.9, "way_cups": 0.1})
    config = CONFIG.model_copy(update={"outlet": (known, *CONFIG.outlet[1:])})
    ways = (0.11, 0.06, -0.2, 0.0, float("nan"), 0.02)
    told = outlets_told.told(outlets.Measured(config, tuple(map(fit, ways)), True, 3, 2))
    found = told["outlets"]
    assert [row["verdict"] for row in found] == ["as configured", "differs", "differs", *["as configured"] * 3]
    assert [row["new_station"] for row in found] == [None, 27.94, 32.2, None, None, None]
    outlets_told.show(told)
    shown = capsys.readouterr().out
    assert "write station = 27.94 and way_cups = 0.060" in shown
    assert "3 firings reached the PLC too late" in shown
    assert "2 firings are left out" in shown


def test_a_plc_that_is_not_there_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "outlets", str(templates.LINE), "--plc", "tcp://127.0.0.1:1"]) == 2
    assert "nothing can be reached there" in capsys.readouterr().err


VERB = ["calibrate", "outlets", str(templates.LINE)]


@contextmanager
def standing(config: LineConfig = CONFIG, **given: Any) -> Iterator[PlcServer]:
    """A PLC whose belt stands until it is driven."""
    belt = DrivenBelt(0.0, config.encoder.ratio, time.monotonic_ns())
    with PlcServer(EmulatedPlc(config, belt, drive=belt.drive, drop_sensor=True, **given), "tcp://127.0.0.1:0") as served:
        yield served


def runs(served: PlcServer) -> bool:
    return bool(served.plc.words[m.COMMAND.at("run")])


def test_the_belt_stands_after_an_answer_was_lost(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with standing(watchdog_ms=60_000) as served:

        def lose(tests: Any, _repeats: int) -> None:
            assert runs(served)
            tests._plc.close()
            raise DeviceGone("an answer was lost")

        monkeypatch.setattr(outlets._Tests, "fire", lose)
        assert main([*VERB, "--plc", served.url, "--speeds", "15"]) == 2
        assert "an answer was lost" in capsys.readouterr().err
        assert not runs(served)


def test_a_belt_that_cannot_be_stopped_is_told(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with standing() as served:

        def vanish(_tests: object, _repeats: int) -> None:
            served.stop()
            raise DeviceGone("gone")

        monkeypatch.setattr(outlets._Tests, "fire", vanish)
        assert main([*VERB, "--plc", served.url, "--speeds", "15"]) == 2
        assert "THE BELT STILL RUNS" in capsys.readouterr().err


def fired(config: LineConfig, served: PlcServer) -> outlets.Fired:
    plc = open_at({"url": served.url}, config)
    try:
        return outlets.fire_outlets(config, plc, (15.0,), 1)
    finally:
        plc.halt()
        plc.close()


def test_firings_stay_within_half_the_range_of_a_short_counter() -> None:
    near = tuple(outlet.model_copy(update={"station": 18.0 + k}) for k, outlet in enumerate(CONFIG.outlet))
    config = with_encoder(1400, 16).model_copy(update={"outlet": near})
    with standing(config) as served:
        done = fired(config, served)
    assert done.late == 0
    assert len(done.rows) == 8 * config.line.lanes * len(config.outlet)
    assert np.isfinite(done.rows["drop_tick"]).all()


def test_a_big_line_does_not_report_more_at_once_than_the_ring_holds() -> None:
    tests = outlets._Tests.__new__(outlets._Tests)
    many = CONFIG.outlet[0]
    tests._config = CONFIG.model_copy(update={"line": CONFIG.line.model_copy(update={"lanes": 16}), "outlet": (many,) * 16})
    tests.rows, tests._per_cup = [], float(TICKS)
    planned = list(tests._planned(0.0, 2))
    at = Counter(e.fire_tick for e in planned)
    assert max(at.values()) <= 4 * outlets.TOGETHER
    ticks = np.array([e.fire_tick for e in planned if (e.lane, e.outlet) == (15, 15)])
    gaps = [tests.rows[e.cup][2] for e in planned if (e.lane, e.outlet) == (15, 15)]
    assert (np.diff(ticks) / TICKS).tolist() == gaps[1:]


def test_lost_reports_are_no_valves_fault() -> None:
    fallen: list[int] = []

    def fell(_lane: int, _outlet: int, _tick: int, cup: int) -> None:
        fallen.append(cup)
        if len(fallen) == 50:
            for _flag in range(m.REPORT_RING):
                served.plc.pass_flag(0, time.monotonic_ns())

    with standing(fell=fell) as served:
        done = fired(CONFIG, served)
    assert 0 < done.lost < 100
    assert np.isfinite(done.rows["drop_tick"]).all()


def test_a_plc_that_another_program_drives_is_left_alone(capsys: pytest.CaptureFixture[str]) -> None:
    with standing() as served:
        other, done = open_at({"url": served.url}, CONFIG), threading.Event()
        other._beats_apart_ns = 0
        beating = threading.Thread(target=lambda: [other.poll() for _ in iter(lambda: done.wait(0.01), True)])
        beating.start()
        try:
            assert main([*VERB, "--plc", served.url]) == 2
        finally:
            done.set()
            beating.join()
            other.close()
        assert "another program drives it" in capsys.readouterr().err
        assert not runs(served)


def test_the_plc_of_line_toml_is_opened_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(VERB) == 2
    assert "names no PLC" in capsys.readouterr().err
    config = CONFIG.model_copy(update={"plc": {"driver": "modbus", "url": "tcp://a:1", "unit": 7, "hold_cups": 0.25}})
    assert outlets._with_plc(config, None) is config
    assert outlets._with_plc(config, "tcp://b:2").plc == config.plc | {"url": "tcp://b:2"}
    s7 = CONFIG.model_copy(update={"plc": {"driver": "s7", "host": "a", "db": 1}})
    assert outlets._with_plc(s7, None).plc["driver"] == "s7"
    assert outlets._with_plc(s7, "tcp://b:2").plc == {"driver": "modbus", "url": "tcp://b:2"}


def test_bad_speeds_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["calibrate", "outlets", str(Path("line.toml")), "--plc", "tcp://127.0.0.1:1", "--speeds", "fast"]) == 2
    assert "--speeds fast" in capsys.readouterr().err
