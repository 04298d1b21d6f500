"""A live line whose PLC is not there, or wired the wrong way, when it starts: it says so, waits, and says what to change."""

import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.messages import Alarm
from citrus_grade.ports import DeviceError
from citrus_grade.replay import replay
from citrus_grade.runtime.live import store, supervisor
from citrus_grade.runtime.live.emulated import Emulation
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 5.0


class Belt:
    """A belt that stands until it is told to run."""

    def __init__(self) -> None:
        self._go_ns: int | None = None

    def run(self) -> None:
        self._go_ns = self._go_ns or time.monotonic_ns()

    def __call__(self, at_ns: int) -> float:
        return 0.0 if self._go_ns is None else max(0, at_ns - self._go_ns) * CUPS_PER_S / 1e9


def with_plc(line_toml: Path, loop: Path, name: str) -> tuple[Path, str]:
    """Write a live line with a PLC of its own, at an address where nobody is yet; return it and the address."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    text = played(line_toml, loop, cups_per_s=CUPS_PER_S)
    live = line_toml.with_name(f"{name}.toml")
    live.write_text(re.sub(r"(?ms)^\[plc\].*", f'[plc]\ndriver = "modbus"\nurl = "{url}"\n', text), encoding="utf-8")
    return live, url


def served(config: LineConfig, belt: Belt, url: str, *, backwards: bool = False) -> PlcServer:
    return PlcServer(EmulatedPlc(config, belt, backwards=backwards), url)


@pytest.mark.fault
def test_a_line_waits_for_its_plc_and_grades_when_it_comes(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    live, url = with_plc(line_toml, loop, "late")
    belt, said = Belt(), list[str]()
    belt.run()
    server = served(load(live), belt, url)

    def told(alarm: Alarm) -> None:
        said.append(alarm.where)
        ours = alarm.where.startswith("plc:")
        if ours and sum(words.startswith("plc:") for words in said) == 2:  # once before anything starts, once by its own process
            server.start()

    try:
        run_live(live, tmp_path / "run", seconds=90.0, told=told, during=_decided(6))
    finally:
        server.stop()
    assert "the line waits for it" in said[0]
    assert said[0].startswith(f"plc: the PLC at {url}")
    rows = np.concatenate(list(store.decisions(tmp_path / "run")))
    assert rows["cup"].max() >= 6


def _decided(cups: int) -> Callable[[Supervisor], bool]:
    return lambda watched: int(watched.board.shared["decided_cup"][0]) >= cups


@pytest.mark.fault
def test_a_line_gives_up_in_words(line_toml: Path, loop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    live, url = with_plc(line_toml, loop, "never")
    monkeypatch.setattr(supervisor, "DEVICES_S", 20.0)
    with pytest.raises(DeviceError, match=rf"plc: not ready after 20 s: the PLC at {url} .*power and cable"):
        run_live(live, tmp_path / "run", seconds=5.0)


@pytest.mark.fault
def test_an_encoder_that_turns_out_to_count_down_is_told(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """A belt that stands at the start hides it; the line says so as soon as it runs, and lives."""
    live, url = with_plc(line_toml, loop, "backwards")
    belt, said = Belt(), list[str]()

    def during(_watched: Supervisor) -> bool:
        belt.run()
        return any("swap tracks A and B of the encoder" in words for words in said)

    with served(load(live), belt, url, backwards=True):
        ended = run_live(live, tmp_path / "run", seconds=60.0, told=lambda alarm: said.append(alarm.where), during=during)
    assert any("swap tracks A and B of the encoder" in words for words in said)
    assert ended.live is not None


@pytest.mark.fault
def test_crossed_spectrometers_without_serial_numbers_are_told_by_their_fruit(line_toml: Path, tmp_path: Path) -> None:
    run, told = tmp_path / "run", list[Alarm]()
    with Emulation(line_toml, tmp_path, cups_per_s=CUPS_PER_S, devices=("plc", "spectrometers")) as emulation:
        emulation.render(seed=3, cups=48)
        live = emulation.start()
        urls = [emulation.served[f"spectrometer {lane}"] for lane in (1, 4)]
        text = re.sub(r', "?serial"? = "EMULATED\d"', "", live.read_text(encoding="utf-8"))
        live.write_text(text.replace(urls[0], "?").replace(urls[1], urls[0]).replace("?", urls[1]), encoding="utf-8")

        def during(watched: Supervisor) -> bool:
            return sum(alarm.kind == "lanes_crossed" for alarm in told) >= 2 or _decided(300)(watched)

        run_live(live, run, seconds=90.0, told=told.append, during=during)
    crossed = [alarm.where for alarm in told if alarm.kind == "lanes_crossed"]
    assert sorted(crossed) == ["lane 1 other 4", "lane 4 other 1"]
    assert replay(run).diff_fields == 0
