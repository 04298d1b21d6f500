"""Devices that fail as a `fault_plan` says; each wraps a sound one and is otherwise that one."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.fault_plan import Fault, Plan
from citrus_grade.messages import Ejection, OutletReport, OutletState, Shutter
from citrus_grade.ports import Camera, DeviceGone, Drive, Exposure, Plc, PlcState, Shutters, Spectrometer, Spectrum


class Clock(Protocol):
    """Where the belt is."""

    def cups(self) -> float:
        """Return how many pitches it has moved by now."""
        ...

    def cups_of(self, device_ns: int) -> float:
        """Return how many it had moved by a moment of a device's own clock: what a device hands over is spoilt by when it was
        taken, however late it comes."""
        ...


PAST = 64
"""Spectra that a spectrometer can hand over again."""


class FaultyCamera:
    """A camera that stalls, repeats or spoils frames."""

    def __init__(self, camera: Camera, plan: Plan, clock: Clock, index: int) -> None:
        self._camera, self._plan, self._clock, self._index = camera, plan, clock, index
        self._held: list[Exposure] = []
        self.identity = camera.identity

    def _has(self, kind: str, exposure: Exposure) -> bool:
        return self._plan.now.at(kind, self._clock.cups_of(exposure.device_ns), self._index) is not None

    def grab(self, timeout_s: float) -> Exposure | None:
        if self._held:
            return self._held.pop()
        exposure = self._camera.grab(timeout_s)
        if exposure is None or self._has("camera_stalls", exposure):
            return None
        exposure = replace(exposure, mosaic=self._spoilt(exposure))
        if self._has("frame_twice", exposure):
            self._held.append(exposure)
        if self._has("frames_swapped", exposure):
            later = self._camera.grab(1.0)
            if later is not None:
                self._held.append(replace(exposure, mosaic=exposure.mosaic.copy()))
                return later
        return exposure

    def _spoilt(self, exposure: Exposure) -> NDArray[np.uint8]:
        mosaic = exposure.mosaic
        if self._has("frames_black", exposure):
            return np.zeros_like(mosaic)
        if self._has("frames_white", exposure):
            return np.full_like(mosaic, 255)
        if self._has("colours_swapped", exposure):
            return np.roll(mosaic, 1, axis=1)
        if self._has("frame_half", exposure):
            torn = mosaic.copy()
            torn[len(torn) // 2 :] = 0
            return torn
        return mosaic

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.close()


class FaultySpectrometer:
    """A spectrometer that goes away, repeats itself, or speaks nonsense."""

    def __init__(self, spectrometer: Spectrometer, plan: Plan, clock: Clock, lane: int) -> None:
        self._spectrometer, self._plan, self._clock, self._lane = spectrometer, plan, clock, lane
        self._first: NDArray[np.uint16] | None = None
        self._past: deque[NDArray[np.uint16]] = deque(maxlen=PAST)
        self.identity, self.wavelength_nm = spectrometer.identity, spectrometer.wavelength_nm

    def _at(self, kind: str, cups: float) -> Fault | None:
        return self._plan.now.at(kind, cups, self._lane)

    def grab(self, timeout_s: float) -> Spectrum | None:
        if self._at("spectrometer_gone", self._clock.cups()):
            raise DeviceGone(f"lane {self._lane}: {self.identity} does not answer")
        spectrum = self._spectrometer.grab(timeout_s)
        if spectrum is None:
            return None
        cups = self._clock.cups_of(spectrum.device_ns)
        if self._at("spectrum_bad_checksum", cups):
            return None  # a driver hands on nothing whose checksum is wrong
        self._past.append(spectrum.counts)
        late = self._at("spectra_late", cups)
        if late is not None and late.value < len(self._past):
            return replace(spectrum, counts=self._past[-1 - int(late.value)])
        if self._at("spectra_frozen", cups):
            if self._first is None and np.ptp(spectrum.counts):  # past an empty cup all of it is at full scale, as ever
                self._first = spectrum.counts.copy()
            return spectrum if self._first is None else replace(spectrum, counts=self._first)
        self._first = None
        if self._at("spectra_noise", cups):
            rng = np.random.default_rng([self._plan.now.seed, spectrum.count & 0x7FFFFFFF])
            return replace(spectrum, counts=rng.integers(0, 65536, len(spectrum.counts), np.uint16))
        if self._at("spectrum_short", cups):
            return replace(spectrum, counts=spectrum.counts[:-1])
        return spectrum

    def close(self) -> None:
        """Let go of the spectrometer."""
        self._spectrometer.close()


class Restartable(Plc, Shutters, Drive, Protocol):
    """A PLC that can lose its queue, whose outlets can be ``jammed`` (lane, outlet), that moves shutters and the belt."""

    jammed: Callable[[int, int], bool]

    def forget(self) -> None:
        """Lose what is queued."""
        ...


class FaultyPlc:
    """A PLC that goes away, is slow, starts again, miscounts, or whose outlets jam."""

    def __init__(self, plc: Restartable, plan: Plan, clock: Clock, bits: int) -> None:
        self._plc, self._plan, self._clock, self._mask = plc, plan, clock, (1 << bits) - 1
        self._began: dict[str, int] = {}
        self._blocked: dict[str, set[tuple[int, int]]] = {"outlet_full": set(), "outlet_jams": set()}
        self._zero = self._boot = 0
        self._looked = clock.cups()
        self._held: dict[int, Shutter] = {}
        self.identity, self.positions = plc.identity, plc.positions
        plc.jammed = self._jams

    def _jams(self, lane: int, outlet: int) -> bool:
        return (lane, outlet) in self._places("outlet_jams", self._clock.cups())

    def poll(self) -> PlcState:
        cup = self._clock.cups()
        if self._plan.now.at("plc_gone", cup):
            raise DeviceGone(f"{self.identity} does not answer")
        if self._plan.now.at("plc_refuses", cup):
            raise DeviceGone(f"{self.identity} refuses to answer")
        if slow := self._plan.now.at("plc_slow", cup):
            time.sleep(slow.value / 1000)
        self.move([])
        state = self._plc.poll()
        if any(f.kind == "plc_restarts" and self._looked < f.from_cup <= cup for f in self._plan.now.faults):
            self._zero = state.count
            self._plc.forget()
            self._boot += 1
        self._looked = cup
        beats = state.heartbeat_ok and self._plan.now.at("plc_stands", cup) is None
        state = replace(state, count=(state.count - self._zero) & self._mask, boot=self._boot, heartbeat_ok=beats)
        passed_on = tuple(replace(report, tick=(report.tick - self._zero) & self._mask) for report in state.reports)
        reports = passed_on + self._told(state, "outlet_full", "full", cup) + self._told(state, "outlet_jams", "jammed", cup)
        flags = tuple((lane, self._count((count - self._zero) & self._mask, cup)) for lane, count in state.index_counts)
        shutters = tuple((lane, at, self._count((count - self._zero) & self._mask, cup)) for lane, at, count in state.shutters)
        return replace(state, count=self._count(state.count, cup), reports=reports, index_counts=flags, shutters=shutters)

    def _count(self, count: int, cup: float) -> int:
        for kind in ("encoder_stops", "encoder_jitters", "encoder_reverses"):
            if not self._plan.now.at(kind, cup):
                self._began.pop(kind, None)
                continue
            began = self._began.setdefault(kind, count)
            if kind == "encoder_stops":
                return began
            if kind == "encoder_reverses":
                return (2 * began - count) & self._mask
            wobble = int(np.random.default_rng([self._plan.now.seed, count]).integers(-40, 41))
            return (count + wobble) & self._mask
        return count

    def _places(self, kind: str, cup: float) -> set[tuple[int, int]]:
        """Return (lane, outlet) of all faults of a kind that hold."""
        faults = self._plan.now.faults
        return {(f.lane, int(f.value)) for f in faults if f.kind == kind and f.from_cup <= cup < f.until_cup}

    def _told(self, state: PlcState, kind: str, word: OutletState, cup: float) -> tuple[OutletReport, ...]:
        """Return what a PLC says of outlets that have become full or jammed, and of those that are clear again."""
        before, now = self._blocked[kind], self._places(kind, cup)
        self._blocked[kind] = now
        words: list[tuple[tuple[int, int], OutletState]] = [(place, word) for place in sorted(now - before)]
        words += [(place, "clear") for place in sorted(before - now)]
        return tuple(OutletReport(state.count, state.t_ns, lane, outlet, one, -1) for (lane, outlet), one in words)

    def eject(self, ejections: list[Ejection]) -> int:
        if self._plan.now.at("plc_gone", self._clock.cups()) or self._plan.now.at("plc_refuses", self._clock.cups()):
            raise DeviceGone(f"{self.identity} does not answer")
        return self._plc.eject([replace(e, fire_tick=(e.fire_tick + self._zero) & self._mask) for e in ejections])

    def move(self, shutters: list[Shutter]) -> None:
        """Send shutters on their way, and those that stuck and are free again."""
        sent, cup = self._held | {shutter.lane: shutter for shutter in shutters}, self._clock.cups()
        self._held = {lane: shutter for lane, shutter in sent.items() if self._plan.now.at("shutter_sticks", cup, lane)}
        self._plc.move([shutter for lane, shutter in sent.items() if lane not in self._held])

    def drive(self, *, run: bool, cups_per_s: float) -> None:
        """Let the belt run, or stand."""
        self._plc.drive(run=run, cups_per_s=cups_per_s)

    def close(self) -> None:
        """Let go of the PLC."""
        self._plc.close()
