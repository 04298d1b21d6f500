"""The processes beside cameras and spectrometers, each alone: what they make of frames and scans, and of where the belt is."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citrus_grade.config import load
from citrus_grade.messages import Scans
from citrus_grade.ports import Exposure, Spectrum
from citrus_grade.runtime.live import sense, wire
from citrus_grade.runtime.live.board import Board, Station
from citrus_grade.runtime.live.memory import reserve
from citrus_grade.runtime.live.played import Devices, with_devices
from citrus_grade.runtime.live.work import EVENT, SPECTRA, Spec, Work, camera_role, ring_shape, roles_of, room_to_carry
from citrus_grade.templates import LINE

LANES, TICKS, PIXELS = 6, 4096, 256
CUPS_PER_S = 12.0
STALL_S = 0.2
WAIT_S = 10.0
CUP_NS = round(1e9 / CUPS_PER_S)


@dataclass
class Device:
    """Hands over what it is given, an item each time it is asked, and then is silent; counts how often it was opened."""

    items: list[Any] = field(default_factory=list)
    identity: str = "scripted"
    wavelength_nm: Any = None
    opened: int = 0
    asked: int = 0
    dropped: int = 0
    idle: bool = False
    """Whether all that was handed over has been worked on: the next was asked for."""

    def give(self, *items: Any) -> None:
        """Hand over items, and wait until they have been worked on."""
        self.idle, self.items = False, list(items)
        _until(lambda: self.idle and not self.items)

    def open(self, _config: Any, _number: int) -> "Device":
        self.opened += 1
        return self

    def grab(self, timeout_s: float) -> Any:
        self.asked += 1
        if self.items:
            return self.items.pop(0)
        self.idle = True
        time.sleep(min(timeout_s, 0.005))
        return None

    def close(self) -> None:
        """Nothing to let go of."""


class Alone:
    """One process of a live line, as a thread, with a belt that the test moves."""

    def __init__(self, folder: Path, role: str, edit: Callable[[str], str] = lambda text: text) -> None:
        devices = Devices([{"driver": "scripted"}], [{"driver": "scripted"}] * LANES, {"driver": "scripted"})
        text = with_devices(LINE, devices, cups_per_s=CUPS_PER_S) + f"\n[live]\nstall_s = {STALL_S}\n"
        (folder / "line.toml").write_text(edit(text), encoding="utf-8")
        config = load(folder / "line.toml")
        roles, room = roles_of(config), room_to_carry(config)
        self.heard, parent = wire.pair()
        self.core, core = wire.pair()
        fds = {"board": reserve("board", Board.n_bytes(len(roles), room)), "parent": parent.fileno(), "core": core.fileno()}
        fds["ring0"] = reserve("ring0", ring_shape(config, 0).n_bytes)
        self.own = core
        self.start_ns = time.monotonic_ns()
        self.work = Work(Spec(role, str(folder), roles, self.start_ns, "normal", fds))
        self.board = self.work.board
        parent.detach()  # it is the process's own now

    def close(self) -> None:
        for end in (self.heard, self.core, self.own, self.work._parent):
            end.close()

    @property
    def station(self) -> Station:
        return self.work.station

    def counted(self, name: str) -> int:
        return self.station.counted()[name]

    def look(self, cups: float, cups_per_s: float, *, ago_s: float = 0.0) -> None:
        """Have the PLC's process see the belt so far on, moving so fast, so long ago."""
        t_ns = self.work.now_ns() - round(ago_s * 1e9)
        self.board.shared["origin_known"] = 1
        self.board.set_clock(round(cups * TICKS), t_ns, cups_per_s * TICKS)

    def exposure(self, count: int, pitch: float, late_ms: float) -> Exposure:
        """Return a frame of the belt that stood at 0 when the line began, by a camera's clock of its own."""
        taken_ns = self.start_ns + round(pitch * CUP_NS)
        shape = ring_shape(self.work.config, 0)
        return Exposure(count, taken_ns - 77, taken_ns + round(late_ms * 1e6), np.zeros((shape.height, shape.width), np.uint8))

    def frames(self) -> list[int]:
        """Return the pitches of the frames that were handed to the core."""
        return [wire.frame_of(data)[2] for data in wire.receive(self.core, 999)]

    def scans(self) -> list[Scans]:
        found = [m for data in wire.receive(self.core, 999) for m in wire.messages_of(data, PIXELS)]
        return [m for m in found if isinstance(m, Scans)]

    def said(self) -> str:
        return "\n".join(data.decode(errors="replace") for data in wire.receive(self.heard, 999))


Running = Callable[[Alone, list[Device]], Any]


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> Running:
    """Let a process run with these devices while a block of the test lasts."""

    @contextmanager
    def run(alone: Alone, devices: list[Device]) -> Iterator[None]:
        waiting = iter(devices)
        monkeypatch.setattr(alone.work, "end", lambda _name: alone.own)
        monkeypatch.setattr(sense, "opener", lambda _group, _options, _where: next(waiting).open)
        is_camera = alone.work.spec.role != SPECTRA
        target = (lambda: sense.watch_camera(alone.work, 0)) if is_camera else (lambda: sense.watch_spectrometers(alone.work))
        thread = threading.Thread(target=target)
        thread.start()
        try:
            yield
        finally:
            alone.board.shared["stop"] = 1
            thread.join(WAIT_S)
            assert not thread.is_alive()

    return run


Making = Callable[..., Alone]


@pytest.fixture
def alone_as(tmp_path: Path) -> Iterator[Making]:
    """Make a process of a line; what it holds is let go of when the test ends."""
    made: list[Alone] = []

    def make(role: str, **more: Any) -> Alone:
        made.append(Alone(tmp_path, role, **more))
        return made[-1]

    yield make
    for alone in made:
        alone.close()


def _until(true: Callable[[], bool], meanwhile: Callable[[], None] = lambda: None) -> None:
    until = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < until
        meanwhile()
        time.sleep(0.005)


def _spectrum(count: int, t_ns: int, **more: Any) -> Spectrum:
    counts = np.random.default_rng(count).integers(0, 60000, PIXELS, np.uint16)
    return Spectrum(count, t_ns, t_ns, counts, **more)


def test_a_silent_spectrometer_is_opened_anew_while_the_belt_moves(alone_as: Making, running: Running) -> None:
    alone, devices = alone_as(SPECTRA), [Device() for _ in range(LANES)]

    def move() -> None:
        alone.look(5.0, CUPS_PER_S)
        for lane, device in enumerate(devices):
            if lane != 2:
                device.items = [_spectrum(device.asked, time.monotonic_ns())]

    with running(alone, devices):
        _until(lambda: devices[2].opened > 1, move)
    assert [device.opened for device in devices] == [1, 1, devices[2].opened, 1, 1, 1]
    assert "lane 2: scripted: the belt moves, and nothing has come" in alone.said()
    assert alone.counted("reopened") == devices[2].opened - 1


@pytest.mark.parametrize("cups_per_s", [0.0, 0.05, None])
def test_a_silent_spectrometer_is_left_alone_while_the_belt_stands_or_is_not_known(
    cups_per_s: float | None, alone_as: Making, running: Running
) -> None:
    alone, devices = alone_as(SPECTRA), [Device() for _ in range(LANES)]
    with running(alone, devices):
        until = time.monotonic() + 3 * STALL_S
        while time.monotonic() < until or not all(device.asked > 10 for device in devices):
            if cups_per_s is not None:
                alone.look(5.0, cups_per_s)
            time.sleep(0.01)
    assert [device.opened for device in devices] == [1] * LANES


@pytest.mark.fault
def test_where_the_supervisor_is_gone_every_thread_ends_with_its_process(alone_as: Making, running: Running) -> None:
    alone = alone_as(SPECTRA)
    with running(alone, [Device() for _lane in range(LANES)]):
        _until(lambda: alone.station.is_ready)
        alone.heard.close()
        _until(lambda: not any(thread.name.startswith("spectrometer ") for thread in threading.enumerate()))


def test_a_silent_camera_is_opened_anew_while_the_belt_moves(alone_as: Making, running: Running) -> None:
    alone, camera = alone_as(camera_role(0)), Device()
    with running(alone, [camera]):
        _until(lambda: camera.opened > 1, lambda: alone.look(5.0, CUPS_PER_S))
    assert "camera 0: scripted: the belt moves" in alone.said()


def test_a_frame_is_shed_and_counted_while_the_plc_is_gone(alone_as: Making, running: Running) -> None:
    """Who knows where the belt is half a second after it was last looked at?"""
    alone, camera = alone_as(camera_role(0)), Device()
    with running(alone, [camera]):
        camera.give(alone.exposure(0, 0.0, 10.0))
        assert alone.counted("frames_unplaced") == 0  # the line's count has not begun
        for pitch, ago_s in enumerate((0.0, 0.5, 0.0), 1):
            alone.look(float(pitch), CUPS_PER_S, ago_s=ago_s)
            camera.give(alone.exposure(pitch, pitch, 10.0))
    assert (alone.counted("frames"), alone.counted("frames_unplaced")) == (2, 1)


def test_a_scan_is_shed_and_counted_while_the_plc_is_gone(alone_as: Making, running: Running) -> None:
    alone, devices = alone_as(SPECTRA), [Device() for _ in range(LANES)]
    with running(alone, devices):
        for ago_s, counted in ((0.0, (1, 0)), (0.5, (1, 1)), (0.0, (2, 1))):
            alone.look(3.0, CUPS_PER_S, ago_s=ago_s)
            devices[1].give(_spectrum(sum(counted), time.monotonic_ns()))
            _until(lambda wanted=counted: (alone.counted("scans"), alone.counted("scans_unplaced")) == wanted)


@pytest.mark.parametrize("said", ["transit_ms", "driver"])
def test_a_frame_that_comes_60_ms_late_belongs_to_the_cup_that_triggered_it(
    said: str, alone_as: Making, running: Running
) -> None:
    """Three quarters of a pitch: dated by its arrival it would be the next cup's."""
    section = "latency_ms = 80.0\ntransit_ms = 60.0" if said == "transit_ms" else "latency_ms = 40.0"
    alone = alone_as(camera_role(0), edit=lambda text: _with_transit(text, section))
    transit_ns = 60_000_000 if said == "driver" else 0
    with running(alone, [camera := Device()]):
        for pitch in range(20, 40):
            alone.look(alone.work.now_ns() / CUP_NS, CUPS_PER_S)
            frame = alone.exposure(pitch, pitch, 60.0 + 7.0 * (pitch % 3))
            camera.give(replace(frame, transit_ns=transit_ns))
    assert alone.frames() == list(range(20, 40))


def test_a_spectrum_that_takes_183_ms_over_a_serial_line_belongs_to_the_cup_it_saw(alone_as: Making, running: Running) -> None:
    alone, devices = alone_as(SPECTRA), [Device() for _ in range(LANES)]
    with running(alone, devices):
        for number in range(5):
            alone.look(alone.work.now_ns() / CUP_NS, CUPS_PER_S)
            seen_ns = alone.start_ns + (20 + number) * CUP_NS
            devices[3].give(_spectrum(number, seen_ns + 183_000_000, transit_ns=183_000_000))
            _until(lambda wanted=number + 1: alone.counted("scans") == wanted)
    ticks = np.concatenate([scans.tick for scans in alone.scans()])
    np.testing.assert_allclose(ticks / TICKS, np.arange(20, 25), atol=0.01)


def test_what_transit_ms_lacks_is_told_of_the_first_frames(alone_as: Making, running: Running) -> None:
    alone = alone_as(camera_role(0))  # whose transit_ms is 10
    with running(alone, [camera := Device()]):
        for pitch in range(sense.DATED_FRAMES + 5):
            alone.look(alone.work.now_ns() / CUP_NS, CUPS_PER_S)
            camera.give(alone.exposure(pitch, pitch, 25.0 + 3.0 * (pitch % 3)))
    events = [json.loads(data[1:]) for data in wire.receive(alone.heard, 999) if data[:1] == EVENT]
    assert [fields for name, fields in events if name == "frames_dated"] == [{"late_ms": pytest.approx(15.0, abs=0.2)}]


def test_frames_that_a_camera_took_and_that_never_came_are_counted(alone_as: Making, running: Running) -> None:
    """By its own numbers, from the first on: a frame that was overtaken is no gap."""
    alone = alone_as(camera_role(0))
    with running(alone, [camera := Device()]):
        for pitch, count in enumerate((500, 501, 504, 503, 505, 506, 508), 1):
            alone.look(alone.work.now_ns() / CUP_NS, CUPS_PER_S)
            camera.give(alone.exposure(count, pitch, 10.0))
    assert (alone.counted("frames"), alone.counted("frames_lost")) == (7, 3)


@pytest.mark.parametrize("role", [SPECTRA, camera_role(0)])
def test_what_a_driver_had_to_drop_is_counted_once(role: str, alone_as: Making, running: Running) -> None:
    alone, devices = alone_as(role), [Device() for _ in range(LANES)]
    device = devices[0]
    with running(alone, devices):
        for dropped in (0, 3, 3, 4):
            device.dropped = dropped
            device.give()
    assert alone.counted("bad_messages") == 4


def _with_transit(text: str, values: str) -> str:
    """Put other times into the camera's section."""
    return re.sub(r"(?m)^latency_ms = 30.0.*$", values, re.sub(r"(?m)^transit_ms = .*$", "", text), count=1)
