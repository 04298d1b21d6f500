"""Simulated devices of a live line: camera, spectrometers and PLC that play one `tape` by one clock, each in any process.

What they agree on stands in their options: the folder of the tape, and when the belt began to move, on the host's monotonic
clock.
"""

import heapq
import math
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import LineConfig, explain
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.fault_plan import PlanFile
from citrus_grade.drivers.sim.faulty import FaultyCamera, FaultyPlc, FaultySpectrometer
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.geometry import Ruler
from citrus_grade.messages import Ejection, OutletReport, Position, Shutter
from citrus_grade.ports import Camera, DeviceError, Exposure, Plc, PlcState, Spectrometer, Spectrum

READOUT_S, TRANSFER_S = 0.010, 0.003
"""From the middle of an exposure to the host: of a frame, of a spectrum."""
FELL = np.dtype([("lane", "<i4"), ("outlet", "<i4"), ("cup", "<i8"), ("fire_count", "<i8")])
"""What dropped: ``cup`` counted from where the belt began to move."""


class TapeOptions(BaseModel):
    """The section of a simulated device. ``t0_ns``: when the belt began to move, of `time.monotonic_ns`. ``fell``: file into
    which the PLC writes what dropped. ``faults``: file of a `fault_plan.FaultPlan`. ``shutters``: file of `shutters.Shutters`,
    where the PLC moves any."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    driver: str = "tape"
    tape: str
    t0_ns: int
    cups_per_s: float = Field(gt=0, le=60)
    fell: str | None = None
    faults: str | None = None
    shutters: str | None = None


def options_of(section: dict[str, Any], where: str) -> TapeOptions:
    """Check a device's section.

    Raises
    ------
    DeviceError : naming each bad key.
    """
    try:
        return TapeOptions.model_validate(section)
    except ValidationError as error:
        raise DeviceError("\n".join(f"{where}.{problem}" for problem in explain(error, TapeOptions))) from None


class LoopClock:
    """Where the endless belt is."""

    def __init__(self, t0_ns: int, cups_per_s: float) -> None:
        self._t0_ns, self._ns_a_cup = t0_ns, 1e9 / cups_per_s

    @classmethod
    def of(cls, options: TapeOptions) -> "LoopClock":
        """Return the clock that a device's options name."""
        return cls(options.t0_ns, options.cups_per_s)

    def cups(self) -> float:
        """Return how many pitches the belt has moved by now."""
        return self.cups_at(time.monotonic_ns())

    def cups_at(self, host_ns: int) -> float:
        """Return how many pitches the belt has moved by a moment of the host's monotonic clock."""
        return (host_ns - self._t0_ns) / self._ns_a_cup

    def ns(self, cups: float) -> int:
        """Return when the belt has moved so many pitches, since it began to move."""
        return int(cups * self._ns_a_cup)

    def wait(self, cups: float, late_s: float, timeout_s: float) -> bool:
        """Wait until ``late_s`` after the belt has moved so far; False if that takes longer than ``timeout_s``."""
        left_s = (self._t0_ns + self.ns(cups) - time.monotonic_ns()) / 1e9 + late_s
        time.sleep(min(max(left_s, 0.0), timeout_s))
        return left_s <= timeout_s


class TapeCamera:
    """Shows the frame of each whole pitch; see `ports.Camera`."""

    def __init__(self, options: TapeOptions, index: int) -> None:
        self._frames = tape.load(Path(options.tape)).frames[index]
        self._clock = LoopClock.of(options)
        self._next = int(self._clock.cups()) + 1
        self.identity = f"simulated camera {index}"

    def grab(self, timeout_s: float) -> Exposure | None:
        pitch = max(self._next, int(self._clock.cups() - 2))
        if not self._clock.wait(pitch, READOUT_S, timeout_s):
            return None
        self._next = pitch + 1
        return Exposure(pitch, self._clock.ns(pitch), time.monotonic_ns(), self._frames[pitch % len(self._frames)])

    def close(self) -> None:
        """Nothing to let go of."""


class TapeSpectrometer:
    """Hands over the scans of one lane's cups; see `ports.Spectrometer`."""

    def __init__(self, options: TapeOptions, config: LineConfig, lane: int) -> None:
        spectrometer = config.spectrometer
        assert spectrometer is not None
        self._counts: NDArray[np.uint16] = tape.load(Path(options.tape)).counts[:, :, lane]
        self._clock = LoopClock.of(options)
        scans, chord = spectrometer.scans, spectrometer.chord_cups
        self._places = [spectrometer.station + config.phases[lane] + chord * ((j + 0.5) / scans - 0.5) for j in range(scans)]
        self._next = int(self._clock.cups()) * scans
        self.identity = f"simulated spectrometer of lane {lane}"
        self.wavelength_nm = spectrometer.axis_nm
        self._t0_ns = options.t0_ns
        self._behind = tape.behind(Path(options.tape), Path(options.shutters), lane) if options.shutters else None

    def grab(self, timeout_s: float) -> Spectrum | None:
        scans = len(self._places)
        now = self._clock.cups()
        while (at := self._at(self._next)) < now - 2:
            self._next += scans
        if not self._clock.wait(at, TRANSFER_S, timeout_s):
            return None
        number = self._next
        self._next += 1
        device_ns = self._clock.ns(at)
        return Spectrum(number, device_ns, time.monotonic_ns(), self._seen(number, self._t0_ns + device_ns))

    def _seen(self, number: int, t_ns: int) -> NDArray[np.uint16]:
        cup, scan = divmod(number, len(self._places))
        light: NDArray[np.uint16] = self._counts[cup % len(self._counts), scan]
        return self._behind(light, number, t_ns) if self._behind else light

    def _at(self, number: int) -> float:
        cup, scan = divmod(number, len(self._places))
        return cup + self._places[scan]

    def close(self) -> None:
        """Nothing to let go of."""


class TapePlc:
    """Counts the loop's encoder and the flags of its cups, fires by it and says what it fired; see `ports.Plc`."""

    identity = "simulated PLC"

    def __init__(self, options: TapeOptions, config: LineConfig) -> None:
        self._options = options
        self._clock = LoopClock.of(options)
        self._ratio: Fraction = config.encoder.ratio
        self._mask = (1 << config.encoder.bits) - 1
        self._bits = config.encoder.bits
        self._lead = Ruler.of(self._ratio).ticks(config.line.lead_ms / 1000 * config.line.cups_per_s)
        self._station = [[outlet.station + phase for outlet in config.outlet] for phase in config.phases]
        self._queue: list[tuple[int, int, int, int]] = []
        self._reports: list[OutletReport] = []
        self._fell: list[tuple[int, int, int, int]] = []
        self._flags = math.floor(self._clock.cups())
        self._shutters = _shutters(options, config)
        self.positions = frozenset(Position) - {Position.BETWEEN} if self._shutters else frozenset()

    def _count(self) -> int:
        return int(Fraction(self._clock.cups()) * self._ratio)

    def poll(self) -> PlcState:
        count, t_ns = self._count(), time.monotonic_ns()
        flags = range(self._flags + 1, math.floor(count / self._ratio) + 1)
        self._flags += len(flags)
        while self._queue and self._queue[0][0] <= count:
            fire, lane, outlet, cup = heapq.heappop(self._queue)
            dropped = round(float(fire / self._ratio) - self._station[lane][outlet])
            self._fell.append((lane, outlet, dropped, fire))
            self._reports.append(OutletReport(fire & self._mask, t_ns, lane, outlet, "fired", cup))
        reports, self._reports = tuple(self._reports), []
        if len(self._fell) >= 256:
            self._write()
        index_counts = tuple((0, int(cup * self._ratio) & self._mask) for cup in flags)
        moved = self._moved(t_ns, count)
        return PlcState(t_ns, count & self._mask, reports, index_counts, running=True, heartbeat_ok=True, shutters=moved)

    def _moved(self, t_ns: int, count: int) -> tuple[tuple[int, Position, int], ...]:
        changed = self._shutters.changed(t_ns) if self._shutters else []
        return tuple((lane, position, count & self._mask) for lane, position, _since_ns in changed)

    def move(self, shutters: list[Shutter]) -> None:
        if self._shutters:
            for shutter in shutters:
                if shutter.position != self._shutters.goes_to(shutter.lane):
                    self._shutters.move(shutter.lane, shutter.position, time.monotonic_ns())

    def eject(self, ejections: list[Ejection]) -> int:
        count = self._count()
        for e in ejections:
            ahead = (e.fire_tick - count + (1 << (self._bits - 1))) % (1 << self._bits) - (1 << (self._bits - 1))
            if ahead < self._lead // 2:
                self._reports.append(OutletReport(count & self._mask, time.monotonic_ns(), e.lane, e.outlet, "late", e.cup))
            else:
                heapq.heappush(self._queue, (count + ahead, e.lane, e.outlet, e.cup))
        return len(ejections)

    def forget(self) -> None:
        """Lose what is queued, as a PLC that is started again does."""
        self._queue.clear()

    def _write(self) -> None:
        if self._options.fell and self._fell:
            with Path(self._options.fell).open("ab") as file:
                file.write(np.array(self._fell, FELL).tobytes())
        self._fell = []

    def close(self) -> None:
        """Write down what fell."""
        self._write()


def _shutters(options: TapeOptions, config: LineConfig) -> Shutters | None:
    return Shutters(config.line.lanes, Path(options.shutters)) if options.shutters else None


def open_camera(config: LineConfig, index: int) -> Camera:
    """Open a simulated camera."""
    options = options_of(config.camera[index].device, f"camera.{index}.device")
    camera = TapeCamera(options, index)
    return FaultyCamera(camera, _plan(options), LoopClock.of(options).cups, index) if options.faults else camera


def open_spectrometer(config: LineConfig, lane: int) -> Spectrometer:
    """Open the simulated spectrometer of a lane."""
    assert config.spectrometer is not None
    options = options_of(config.spectrometer.device[lane], f"spectrometer.device.{lane}")
    device = TapeSpectrometer(options, config, lane)
    return FaultySpectrometer(device, _plan(options), LoopClock.of(options).cups, lane) if options.faults else device


def open_plc(config: LineConfig) -> Plc:
    """Open the simulated PLC."""
    options = options_of(config.plc, "plc")
    plc = TapePlc(options, config)
    return FaultyPlc(plc, _plan(options), LoopClock.of(options).cups, config.encoder.bits) if options.faults else plc


def _plan(options: TapeOptions) -> PlanFile:
    return PlanFile(Path(options.faults or ""))
