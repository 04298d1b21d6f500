"""Devices that fail as a `fault_plan` says; each wraps a sound one and is otherwise that one."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.fault_plan import PlanFile
from citrus_grade.messages import Ejection, OutletReport, Shutter
from citrus_grade.ports import Camera, DeviceGone, Exposure, Plc, PlcState, Shutters, Spectrometer, Spectrum

Where = Callable[[], float]
"""How many pitches the belt has moved by now."""
PAST = 64
"""Spectra that a spectrometer can hand over again."""


class FaultyCamera:
    """A camera that stalls, repeats or spoils frames."""

    def __init__(self, camera: Camera, plan: PlanFile, where: Where, index: int) -> None:
        self._camera, self._plan, self._where, self._index = camera, plan, where, index
        self._held: list[Exposure] = []
        self.identity = camera.identity

    def _now(self, kind: str) -> bool:
        return self._plan.now.at(kind, self._where(), self._index) is not None

    def grab(self, timeout_s: float) -> Exposure | None:
        if self._held:
            return self._held.pop()
        exposure = self._camera.grab(timeout_s)
        if exposure is None or self._now("camera_stalls"):
            return None
        exposure = replace(exposure, mosaic=self._spoilt(exposure.mosaic))
        if self._now("frame_twice"):
            self._held.append(exposure)
        if self._now("frames_swapped"):
            later = self._camera.grab(1.0)
            if later is not None:
                self._held.append(replace(exposure, mosaic=exposure.mosaic.copy()))
                return later
        return exposure

    def _spoilt(self, mosaic: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._now("frames_black"):
            return np.zeros_like(mosaic)
        if self._now("frames_white"):
            return np.full_like(mosaic, 255)
        if self._now("colours_swapped"):
            return np.roll(mosaic, 1, axis=1)
        if self._now("frame_half"):
            torn = mosaic.copy()
            torn[len(torn) // 2 :] = 0
            return torn
        return mosaic

    def close(self) -> None:
        """Let go of the camera."""
        self._camera.close()


class FaultySpectrometer:
    """A spectrometer that goes away, repeats itself, or speaks nonsense."""

    def __init__(self, spectrometer: Spectrometer, plan: PlanFile, where: Where, lane: int) -> None:
        self._spectrometer, self._plan, self._where, self._lane = spectrometer, plan, where, lane
        self._first: NDArray[np.uint16] | None = None
        self._past: deque[NDArray[np.uint16]] = deque(maxlen=PAST)
        self.identity, self.wavelength_nm = spectrometer.identity, spectrometer.wavelength_nm

    def _now(self, kind: str) -> bool:
        return self._plan.now.at(kind, self._where(), self._lane) is not None

    def grab(self, timeout_s: float) -> Spectrum | None:
        if self._now("spectrometer_gone"):
            raise DeviceGone(f"lane {self._lane}: {self.identity} does not answer")
        spectrum = self._spectrometer.grab(timeout_s)
        if spectrum is None:
            return None
        self._past.append(spectrum.counts)
        late = self._plan.now.at("spectra_late", self._where(), self._lane)
        if late is not None and late.value < len(self._past):
            return replace(spectrum, counts=self._past[-1 - int(late.value)])
        if self._now("spectra_frozen"):
            if self._first is None and np.ptp(spectrum.counts):  # past an empty cup all of it is at full scale, as ever
                self._first = spectrum.counts.copy()
            return spectrum if self._first is None else replace(spectrum, counts=self._first)
        self._first = None
        if self._now("spectra_noise"):
            rng = np.random.default_rng([self._plan.now.seed, spectrum.count & 0x7FFFFFFF])
            return replace(spectrum, counts=rng.integers(0, 65536, len(spectrum.counts), np.uint16))
        if self._now("spectrum_short"):
            return replace(spectrum, counts=spectrum.counts[:-1])
        return spectrum

    def close(self) -> None:
        """Let go of the spectrometer."""
        self._spectrometer.close()


class Restartable(Plc, Shutters, Protocol):
    """A PLC that can lose its queue, and moves shutters."""

    def forget(self) -> None:
        """Lose what is queued."""
        ...


class FaultyPlc:
    """A PLC that goes away, is slow, starts again, miscounts, or whose outlets jam."""

    def __init__(self, plc: Restartable, plan: PlanFile, where: Where, bits: int) -> None:
        self._plc, self._plan, self._where, self._mask = plc, plan, where, (1 << bits) - 1
        self._began: dict[str, int] = {}
        self._full: set[tuple[int, int]] = set()
        self._zero = self._boot = 0
        self._looked = where()
        self._held: dict[int, Shutter] = {}
        self.identity, self.positions = plc.identity, plc.positions

    def poll(self) -> PlcState:
        cup = self._where()
        if self._plan.now.at("plc_gone", cup):
            raise DeviceGone(f"{self.identity} does not answer")
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
        reports = tuple(self._report(report, cup) for report in state.reports) + self._filled(state, cup)
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

    def _report(self, report: OutletReport, cup: float) -> OutletReport:
        jam = self._plan.now.at("outlet_jams", cup, report.lane)
        jammed = jam is not None and int(jam.value) == report.outlet and report.state == "fired"
        return replace(report, state="jammed" if jammed else report.state, tick=(report.tick - self._zero) & self._mask)

    def _filled(self, state: PlcState, cup: float) -> tuple[OutletReport, ...]:
        now = {
            (fault.lane, int(fault.value))
            for fault in self._plan.now.faults
            if fault.kind == "outlet_full" and fault.from_cup <= cup < fault.until_cup
        }
        begun, ended = now - self._full, self._full - now
        self._full = now
        told = [(place, "full") for place in sorted(begun)] + [(place, "clear") for place in sorted(ended)]
        return tuple(
            OutletReport(state.count, state.t_ns, lane, outlet, "full" if word == "full" else "clear", -1)
            for (lane, outlet), word in told
        )

    def eject(self, ejections: list[Ejection]) -> int:
        if self._plan.now.at("plc_gone", self._where()):
            raise DeviceGone(f"{self.identity} does not answer")
        return self._plc.eject([replace(e, fire_tick=(e.fire_tick + self._zero) & self._mask) for e in ejections])

    def move(self, shutters: list[Shutter]) -> None:
        """Send shutters on their way, and those that stuck and are free again."""
        sent, cup = self._held | {shutter.lane: shutter for shutter in shutters}, self._where()
        self._held = {lane: shutter for lane, shutter in sent.items() if self._plan.now.at("shutter_sticks", cup, lane)}
        self._plc.move([shutter for lane, shutter in sent.items() if lane not in self._held])

    def close(self) -> None:
        """Let go of the PLC."""
        self._plc.close()
