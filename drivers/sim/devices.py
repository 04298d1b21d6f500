"""Simulated devices of a live line: camera, spectrometers and PLC that play one `tape` by one clock, each in any process.

What they agree on stands in their options: the folder of the tape, and when the belt began to move, on the host's monotonic
clock.
"""

import heapq
import math
import threading
import time
from collections.abc import Callable
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
from citrus_grade.messages import Ejection, OutletReport, OutletState, Position, Shutter
from citrus_grade.ports import Camera, DeviceError, Exposure, Plc, PlcState, Spectrometer, Spectrum

READOUT_S, TRANSFER_S = 0.010, 0.003
"""From the middle of an exposure to the host: of a frame, of a spectrum."""
FELL = np.dtype([("lane", "<i4"), ("outlet", "<i4"), ("cup", "<i8"), ("fire_count", "<i8")])
"""What dropped: ``fire_count`` is where the belt was when it was fired, ``cup`` what it hit, both from where the belt began."""


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

    def now_ns(self) -> int:
        """Return the host's monotonic clock."""
        return time.monotonic_ns()

    def cups(self) -> float:
        """Return how many pitches the belt has moved by now."""
        return self.cups_at(self.now_ns())

    def cups_at(self, host_ns: int) -> float:
        """Return how many pitches the belt has moved by a moment of the host's monotonic clock."""
        return self.cups_of(host_ns - self._t0_ns)

    def cups_of(self, device_ns: int) -> float:
        """Return how many pitches the belt has moved by a moment of the devices' own clock, which began with it."""
        return device_ns / self._ns_a_cup

    def ns(self, cups: float) -> int:
        """Return when the belt has moved so many pitches, since it began to move."""
        return math.ceil(cups * self._ns_a_cup)

    def wait(self, cups: float, late_s: float, timeout_s: float) -> bool:
        """Wait until ``late_s`` after the belt has moved so far; False if that takes longer than ``timeout_s``."""
        left_s = (self._t0_ns + self.ns(cups) - self.now_ns()) / 1e9 + late_s
        self._sleep(min(max(left_s, 0.0), timeout_s))
        return left_s <= timeout_s

    def _sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class SteppedClock(LoopClock):
    """A belt that moves when it is told to, and a host's clock that goes with it; to wait is to move it on."""

    def __init__(self, cups_per_s: float) -> None:
        super().__init__(0, cups_per_s)
        self._at_ns = 0

    def now_ns(self) -> int:
        return self._at_ns

    def _sleep(self, seconds: float) -> None:
        self._at_ns += round(seconds * 1e9)

    def move_to(self, cups: float) -> None:
        """Move the belt until it has moved so many pitches in all; it never goes back."""
        self._at_ns = max(self._at_ns, self.ns(cups))


class TapeCamera:
    """Shows the frame of each whole pitch; see `ports.Camera`."""

    def __init__(self, options: TapeOptions, index: int, clock: LoopClock | None = None) -> None:
        self.frames = tape.load(Path(options.tape)).frames[index]
        self._clock = clock or LoopClock.of(options)
        self._next = int(self._clock.cups()) + 1
        self.identity = f"simulated camera {index}"

    def grab(self, timeout_s: float) -> Exposure | None:
        pitch = max(self._next, int(self._clock.cups() - 2))
        if not self._clock.wait(pitch, READOUT_S, timeout_s):
            return None
        self._next = pitch + 1
        mosaic = self.frames[pitch % len(self.frames)]
        return Exposure(pitch, self._clock.ns(pitch), self._clock.now_ns(), mosaic, round(READOUT_S * 1e9))

    def close(self) -> None:
        """Nothing to let go of."""


class TapeSpectrometer:
    """Hands over the scans of one lane's cups, from the next one that reaches it; see `ports.Spectrometer`.

    The belt was full before it began to move: what lay then before the spectrometer is the end of the loop.
    """

    def __init__(self, options: TapeOptions, config: LineConfig, lane: int, clock: LoopClock | None = None) -> None:
        spectrometer = config.spectrometer
        assert spectrometer is not None
        self._counts: NDArray[np.uint16] = np.asarray(tape.load(Path(options.tape)).counts)[:, :, lane]
        self._clock = clock or LoopClock.of(options)
        scans, chord = spectrometer.scans, spectrometer.chord_cups
        self._places = [spectrometer.station + config.phases[lane] + chord * ((j + 0.5) / scans - 0.5) for j in range(scans)]
        self._next = math.ceil(self._clock.cups() - self._places[0]) * scans
        self._loop = len(self._counts) * scans
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
        counts = self._seen(number, self._t0_ns + device_ns)
        return Spectrum(number + self._loop, device_ns, self._clock.now_ns(), counts, round(TRANSFER_S * 1e9))

    def _seen(self, number: int, t_ns: int) -> NDArray[np.uint16]:
        cup, scan = divmod(number, len(self._places))
        light: NDArray[np.uint16] = self._counts[cup % len(self._counts), scan]
        return self._behind(light, number, t_ns) if self._behind else light

    def _at(self, number: int) -> float:
        cup, scan = divmod(number, len(self._places))
        return cup + self._places[scan]

    def close(self) -> None:
        """Nothing to let go of."""


class LoopPlc:
    """Counts the loop's encoder and the flags of its cups, fires by it and says what it fired; see `ports.Plc`.

    Whoever holds it calls `fire_due` as often as its solenoids are to be in time. ``jammed`` says which (lane, outlet) lets
    nothing fall.
    """

    identity = "simulated PLC"

    def __init__(self, options: TapeOptions, config: LineConfig, clock: LoopClock) -> None:
        self._clock = clock
        self._ratio: Fraction = config.encoder.ratio
        self._mask = (1 << config.encoder.bits) - 1
        self._bits = config.encoder.bits
        self._lead = Ruler.of(self._ratio).ticks(config.line.lead_ms / 1000 * config.line.cups_per_s)
        self._station = [[outlet.station + phase for outlet in config.outlet] for phase in config.phases]
        self._queue: list[tuple[int, int, int, int]] = []
        self._reports: list[OutletReport] = []
        self.jammed: Callable[[int, int], bool] = lambda _lane, _outlet: False
        self._flags = math.floor(self._clock.cups())
        self._stands_at: int | None = None
        self._shutters = _shutters(options, config)
        self.positions = frozenset(Position) - {Position.BETWEEN} if self._shutters else frozenset()
        self._fell = Path(options.fell).open("ab", buffering=0) if options.fell else None  # noqa: SIM115  # until `close`
        self._changed = threading.Condition()

    def _count(self) -> int:
        return int(Fraction(self._clock.cups()) * self._ratio) if self._stands_at is None else self._stands_at

    def drive(self, *, run: bool, cups_per_s: float) -> None:
        """Let the belt run at the loop's own speed, or stand; the loop itself goes on, and the belt leaps after it."""
        self._stands_at = None if run else self._count()

    def fire_due(self) -> float | None:
        """Fire what is due; return how many seconds nothing is, None where nothing is queued."""
        with self._changed:
            while self._queue and self._queue[0][0] <= self._count():
                self._fire(*heapq.heappop(self._queue)[1:])
            if not self._queue:
                return None
            return self._clock.ns(max(float((self._queue[0][0] - self._count()) / self._ratio), 0.0)) / 1e9

    def _fire(self, lane: int, outlet: int, cup: int) -> None:
        """Fire now, whatever is over the outlet by now."""
        count, jammed = self._count(), self.jammed(lane, outlet)
        dropped = round(float(count / self._ratio) - self._station[lane][outlet])
        if self._fell and not jammed:
            self._fell.write(np.array([(lane, outlet, dropped, count)], FELL).tobytes())
        state: OutletState = "jammed" if jammed else "fired"
        self._reports.append(OutletReport(count & self._mask, self._clock.now_ns(), lane, outlet, state, cup))

    def poll(self) -> PlcState:
        with self._changed:
            reports, self._reports = tuple(self._reports), []
        count, t_ns = self._count(), self._clock.now_ns()
        flags = range(self._flags + 1, math.floor(count / self._ratio) + 1)
        self._flags += len(flags)
        index_counts = tuple((0, int(cup * self._ratio) & self._mask) for cup in flags)
        moved = self._moved(t_ns, count)
        running = self._stands_at is None
        return PlcState(t_ns, count & self._mask, reports, index_counts, running=running, heartbeat_ok=True, shutters=moved)

    def _moved(self, t_ns: int, count: int) -> tuple[tuple[int, Position, int], ...]:
        changed = self._shutters.changed(t_ns) if self._shutters else []
        return tuple((lane, position, count & self._mask) for lane, position, _since_ns in changed)

    def move(self, shutters: list[Shutter]) -> None:
        if self._shutters:
            for shutter in shutters:
                if shutter.position != self._shutters.goes_to(shutter.lane):
                    self._shutters.move(shutter.lane, shutter.position, self._clock.now_ns())

    def eject(self, ejections: list[Ejection]) -> int:
        with self._changed:
            count = self._count()
            for e in ejections:
                ahead = (e.fire_tick - count + (1 << (self._bits - 1))) % (1 << self._bits) - (1 << (self._bits - 1))
                if ahead < self._lead // 2:
                    self._reports.append(OutletReport(count & self._mask, self._clock.now_ns(), e.lane, e.outlet, "late", e.cup))
                else:
                    heapq.heappush(self._queue, (count + ahead, e.lane, e.outlet, e.cup))
            self._changed.notify()
        return len(ejections)

    def forget(self) -> None:
        """Lose what is queued, as a PLC that is started again does."""
        with self._changed:
            self._queue.clear()

    def close(self) -> None:
        """Let go of the file of what fell."""
        if self._fell:
            self._fell.close()


class TapePlc(LoopPlc):
    """A `LoopPlc` with a thread that fires: however seldom it is asked, nothing is late.

    What is queued is gone with the process; `drivers.emulate.plc` is a PLC that outlives its line.
    """

    def __init__(self, options: TapeOptions, config: LineConfig) -> None:
        super().__init__(options, config, LoopClock.of(options))
        self._going = True
        self._firing = threading.Thread(target=self._fire_until_closed, daemon=True)
        self._firing.start()

    def _fire_until_closed(self) -> None:
        with self._changed:
            while self._going:
                self._changed.wait(self.fire_due())

    def close(self) -> None:
        """Fire no more."""
        with self._changed:
            self._going = False
            self._changed.notify()
        self._firing.join()
        super().close()


def _shutters(options: TapeOptions, config: LineConfig) -> Shutters | None:
    return Shutters(config.line.lanes, Path(options.shutters)) if options.shutters else None


def open_camera(config: LineConfig, index: int) -> Camera:
    """Open a simulated camera."""
    options = options_of(config.camera[index].device, f"camera.{index}.device")
    camera = TapeCamera(options, index)
    return FaultyCamera(camera, _plan(options), LoopClock.of(options), index) if options.faults else camera


def open_spectrometer(config: LineConfig, lane: int) -> Spectrometer:
    """Open the simulated spectrometer of a lane."""
    assert config.spectrometer is not None
    options = options_of(config.spectrometer.device[lane], f"spectrometer.device.{lane}")
    device = TapeSpectrometer(options, config, lane)
    return FaultySpectrometer(device, _plan(options), LoopClock.of(options), lane) if options.faults else device


def open_plc(config: LineConfig) -> Plc:
    """Open the simulated PLC."""
    options = options_of(config.plc, "plc")
    plc = TapePlc(options, config)
    return FaultyPlc(plc, _plan(options), LoopClock.of(options), config.encoder.bits) if options.faults else plc


def _plan(options: TapeOptions) -> PlanFile:
    return PlanFile(Path(options.faults or ""))
