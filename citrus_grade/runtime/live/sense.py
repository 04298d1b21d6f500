"""The processes beside the devices: each opens its own, stamps what comes with the belt's count, and hands it to the core.

A device that goes away is opened again after a pause; the line goes on meanwhile, and what is missing is named by the core.
"""

import math
import queue
import socket
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import TypeVar

import numpy as np

from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.geometry import Ruler, Unwrapper
from citrus_grade.messages import Message, OutletReport, Pulse, Reading, Scans
from citrus_grade.ports import Camera, DeviceError, DeviceGone, Plc, PlcState, Spectrometer, Spectrum
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.clock import SECOND_NS, BeltClock, DeviceClock, nearest_trigger, tick_at
from citrus_grade.runtime.live.work import Work, opener, real_time
from citrus_grade.words import _

CAMERAS, SPECTROMETERS, PLCS = "citrus_grade.cameras", "citrus_grade.spectrometers", "citrus_grade.plcs"
PAUSES_S = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Before a device is opened again, longer each time it fails."""
PRIORITY = 51
"""Above the core's: what it does is short, and what the core has decided must not wait here."""
STANDING_S = 2.0
"""A running line whose encoder stands still for so long has lost its encoder."""
GRAB_S = 0.1
FLUSH_S = 0.005
STANDS_CUPS_PER_S = 0.1
"""A belt slower than that stands, whatever an encoder's jitter says."""
FURTHEST_BACK_CUPS = 4
"""A belt that is pushed back moves less than that from one look to the next."""
Arrived = queue.SimpleQueue[tuple[int, Spectrum, int] | Exception]
"""What threads hand on: lane, scan and when it happened on the host's clock; or why a device can't be used."""
FROZEN = 24
"""Spectra alike to the bit after which a spectrometer is opened anew."""
Device = TypeVar("Device", Camera, Spectrometer, Plc)


def opened(work: Work, open_: Callable[[], Device], going: Callable[[], bool]) -> Device | None:
    """Open a device, however long it takes; None if the line stops before. `DeviceError` goes to the caller."""
    failed = 0
    while going():
        try:
            device = open_()
            if failed:
                work.gone(-1)
            return device
        except DeviceGone as error:
            if failed == 0:
                work.tell(str(error))
                work.gone(1)
            _pause(PAUSES_S[min(failed, len(PAUSES_S) - 1)], going)
            failed += 1
    return None


def _pause(seconds: float, going: Callable[[], bool]) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and going():
        time.sleep(min(0.05, seconds))


def watch_camera(work: Work, index: int) -> None:
    """Grab frames into the ring until the line stops."""
    config, core, ring = work.config, work.end("core"), work.ring(index)
    options = config.camera[index].device
    open_ = opener(CAMERAS, options, f"camera.{index} ({config.camera[index].name}).device")
    ratio, number = config.encoder.ratio, ring.newest() + 1
    while (camera := opened(work, lambda: open_(config, index), work.going)) is not None:
        clock, last_ns = DeviceClock(), time.monotonic_ns()
        work.station.ready()
        try:
            while work.going():
                exposure = camera.grab(GRAB_S)
                belt = work.board.belt()
                if exposure is None:
                    patience_s = _patience_s(belt, ratio, config.live.stall_s)
                    if patience_s is None:
                        last_ns = time.monotonic_ns()  # a belt that stands triggers no frame
                    elif time.monotonic_ns() - last_ns > patience_s * SECOND_NS:
                        raise DeviceGone(f"camera {index}: no frame for {patience_s:.1f} s")
                    continue
                last_ns = exposure.t_ns
                if belt is None:
                    continue
                host_ns = clock.host_ns(exposure.device_ns, exposure.t_ns) - work.spec.start_ns
                tick = nearest_trigger(tick_at(belt, host_ns), ratio)
                ring.put(number, exposure.mosaic)
                seq = round(tick / ratio)
                work.station.count("frames")
                if not wire.send(core, wire.of_frame(index, number, seq, tick, host_ns)):
                    work.station.count("shed_frames")
                number += 1
        except DeviceGone as error:
            work.tell(str(error))
            work.station.count("reopened")
        finally:
            camera.close()


def _patience_s(belt: tuple[int, int, float] | None, ratio: Fraction, stall_s: float) -> float | None:
    """Return how long a triggered camera may be silent, some pitches at the present speed; None while the belt stands."""
    if belt is None or abs(belt[2]) < STANDS_CUPS_PER_S * ratio:
        return None
    return max(stall_s, 3.0 * float(ratio) / abs(belt[2]))


def watch_spectrometers(work: Work) -> None:
    """Hand scans of all lanes to the core until the line stops; a thread waits for each device."""
    config, core = work.config, work.end("core")
    arrived: Arrived = queue.SimpleQueue()
    assert config.spectrometer is not None
    openers = [
        opener(SPECTROMETERS, options, f"spectrometer.device.{lane}") for lane, options in enumerate(config.spectrometer.device)
    ]
    threads = [
        threading.Thread(target=_follow, args=(work, open_, lane, arrived), daemon=True, name=f"spectrometer {lane}")
        for lane, open_ in enumerate(openers)
    ]
    for thread in threads:
        thread.start()
    most = max(1, (wire.PART_BYTES - 2048) // (2 * work.n_pixels + 16))  # scans of one datagram
    work.station.ready()
    while work.going():
        try:
            came = [arrived.get(timeout=GRAB_S)]
        except queue.Empty:
            continue
        time.sleep(FLUSH_S)
        while not arrived.empty():
            came.append(arrived.get())
        for item in came:
            if isinstance(item, Exception):
                raise item
        waiting = [item for item in came if not isinstance(item, Exception)]
        belt = work.board.belt()
        if belt is not None:
            work.station.count("scans", len(waiting))
            for start in range(0, len(waiting), most):
                work.give(core, [_scans(waiting[start : start + most], belt, work.spec.start_ns)])
    for thread in threads:
        thread.join(2.0)


def _scans(waiting: list[tuple[int, Spectrum, int]], belt: tuple[int, int, float], start_ns: int) -> Scans:
    lane = np.array([lane for lane, _, _ in waiting], np.int32)
    seq = np.array([spectrum.count & 0x7FFFFFFF for _, spectrum, _ in waiting], np.int32)
    tick = np.array([tick_at(belt, host_ns - start_ns) for _, _, host_ns in waiting], np.int64)
    counts = np.stack([spectrum.counts for _, spectrum, _ in waiting])
    return Scans(waiting[0][1].t_ns - start_ns, lane, seq, tick, counts)


def _follow(work: Work, open_: Callable[[LineConfig, int], Spectrometer], lane: int, arrived: "Arrived") -> None:
    """Wait for one spectrometer's scans until the line stops; whatever else goes wrong is for the process, not for a thread."""
    try:
        _hand_on(work, open_, lane, arrived)
    except Exception as error:
        arrived.put(error)


def _hand_on(work: Work, open_: Callable[[LineConfig, int], Spectrometer], lane: int, arrived: "Arrived") -> None:
    """Wait for one spectrometer's scans until the line stops.

    One that can't be used when the line starts ends the line; one that comes back as another costs its own lane only.
    """

    def going() -> bool:
        return not work.board.stopping

    known = False
    while going():
        try:
            device = opened(work, lambda: open_(work.config, lane), going)
        except (DeviceError, ConfigError) as error:
            if not known:
                arrived.put(error)
                return
            work.tell(str(error))
            _pause(PAUSES_S[-1], going)
            continue
        if device is None:
            return
        known = True
        clock, sound = DeviceClock(), Sound(work, lane)
        try:
            while going():
                spectrum = device.grab(GRAB_S)
                if spectrum is not None and sound(spectrum):
                    arrived.put((lane, spectrum, clock.host_ns(spectrum.device_ns, spectrum.t_ns)))
        except DeviceGone as error:
            work.tell(str(error))
            work.station.count("reopened")
        finally:
            device.close()


class Sound:
    """Tells spectra that can't be right: of another length, or the same to the bit again and again, which no detector gives."""

    def __init__(self, work: Work, lane: int) -> None:
        self._work, self._lane = work, lane
        self._last, self._alike = b"", 0
        assert work.config.spectrometer is not None
        self._full_scale = work.config.spectrometer.full_scale

    def __call__(self, spectrum: Spectrum) -> bool:
        """Say whether a spectrum may be used.

        Raises
        ------
        DeviceGone : after `FROZEN` spectra alike: then only opening the device anew may help.
        """
        if len(spectrum.counts) != self._work.n_pixels:
            self._work.station.count("bad_messages")
            return False
        now = spectrum.counts.tobytes()
        self._alike = self._alike + 1 if now == self._last and spectrum.counts.min() < self._full_scale else 0
        self._last = now
        if self._alike >= FROZEN:
            raise DeviceGone(_("lane {lane}: the spectrometer sends the same spectrum again and again").format(lane=self._lane))
        return self._alike < 2


class Belt:
    """Counts of the PLC as ticks of the line, and back.

    The line's own count begins at a whole pitch near where the counter stood at the start. ``last`` is where a process before
    this one had come to.
    """

    def __init__(self, bits: int, num: int, origin: int | None = None, last: int | None = None) -> None:
        self._num, self._mask = num, (1 << bits) - 1
        self._unwrap = Unwrapper(bits, last)
        self.origin = origin

    def tick(self, count: int) -> int:
        """Return a counter's reading as ticks since the start."""
        unwrapped = self._unwrap(count)
        if self.origin is None:
            self.origin = unwrapped // self._num * self._num
        return unwrapped - self.origin

    def restarted(self, count: int) -> bool:
        """Say whether the counter has begun anew: it lies further back than a belt runs backwards."""
        last = self._unwrap.last
        return (
            last is not None
            and (count - last) & self._mask > self._mask // 2
            and self.near(count) < last - (self.origin or 0) - FURTHEST_BACK_CUPS * self._num
        )

    def begin_anew(self, count: int, skipped_cups: int) -> None:
        """Go on with a counter that began anew at a whole pitch, so many cups further on: none on the belt keeps its number."""
        ahead = ((self._unwrap.last or 0) - (self.origin or 0)) // self._num + skipped_cups
        self.origin = count // self._num * self._num - ahead * self._num
        self._unwrap.last = count

    def near(self, count: int) -> int:
        """Return a reading from a little before or after the last as ticks since the start, without moving on."""
        last = self._unwrap.last or 0
        half = (self._mask + 1) // 2
        return last + (count - last + half) % (self._mask + 1) - half - (self.origin or 0)

    def count(self, tick: int) -> int:
        """Return the counter's reading at a tick."""
        return (tick + (self.origin or 0)) & self._mask


def watch_plc(work: Work) -> None:
    """Follow the belt, pass on what outlets report, and queue ejections, until the line stops."""
    open_ = opener(PLCS, work.config.plc, "plc")
    core = work.end("core")
    shared = work.board.shared
    ruler = Ruler.of(work.config.encoder.ratio)
    known = bool(shared["origin_known"][0])
    belt = Belt(work.config.encoder.bits, ruler.num, *((int(shared["origin"][0]), int(shared["count"][0])) if known else ()))
    clock, pitch = BeltClock(), None
    if work.config.live.realtime:
        real_time(work, PRIORITY)
    while (plc := opened(work, lambda: open_(work.config), work.going)) is not None:
        work.station.ready()
        due, moved_ns = time.monotonic(), work.now_ns()
        try:
            while work.going():
                state = plc.poll()
                if belt.restarted(state.count) or (known and state.boot != int(shared["boot"][0])):
                    work.tell(_("plc: it was started again and counts anew; all fruit on the belt goes to the default outlet"))
                    belt.begin_anew(state.count, _length(work.config))
                    clock = BeltClock()
                tick, t_ns = belt.tick(state.count), state.t_ns - work.spec.start_ns
                shared["origin"], shared["count"], shared["origin_known"] = belt.origin, tick + (belt.origin or 0), 1
                shared["boot"], known = state.boot, True
                clock.look(tick, t_ns)
                work.board.set_clock(tick, t_ns, clock.ticks_per_s)
                moved_ns = t_ns if clock.ticks_per_s or not state.running else moved_ns
                if t_ns - moved_ns > STANDING_S * SECOND_NS:
                    work.tell(_("plc: it says that the line runs, but the encoder stands still; check the encoder and its cable"))
                    moved_ns = t_ns
                messages = _told(belt, state, t_ns)
                reached = ruler.passed(tick, 0)
                if pitch is None or reached > pitch:
                    pitch = reached
                    work.station.count("pulses")
                    messages.append(Pulse(tick, tick, t_ns))
                work.give(core, messages)
                due = max(due + work.config.live.poll_ms / 1000, time.monotonic())
                _eject_until(due, work, plc, core, belt)
        except DeviceGone as error:
            work.tell(str(error))
            work.station.count("reopened")
        finally:
            plc.close()


def _length(config: LineConfig) -> int:
    """Return how many cups lie between the loading point and the last outlet."""
    return math.ceil(max((outlet.station for outlet in config.outlet), default=config.line.decision_station)) + 2


def _told(belt: Belt, state: PlcState, t_ns: int) -> list[Message]:
    reports: list[Message] = [OutletReport(belt.near(r.tick), t_ns, r.lane, r.outlet, r.state, r.cup) for r in state.reports]
    return [*reports, *(Reading(belt.near(count), t_ns, lane, "cup_index", 0.0) for lane, count in state.index_counts)]


def _eject_until(due_s: float, work: Work, plc: Plc, core: socket.socket, belt: Belt) -> None:
    """Queue ejections as they come until the next look at the PLC is due."""
    while True:
        left_s = due_s - time.monotonic()
        if not wire.wait(core, max(left_s, 0.0)):
            return
        for data in wire.receive(core):
            t_ns, ejections = wire.ejections_of(data)
            raw = [type(e)(e.lane, e.cup, e.outlet, belt.count(e.fire_tick)) for e in ejections]
            try:
                taken = plc.eject(raw)
            except DeviceGone:
                work.station.count("ejections_refused", len(raw))  # how many it took nobody knows
                raise
            work.station.count("ejections", taken)
            work.station.count("ejections_refused", len(raw) - taken)
            work.station.took("eject", work.now_ns() - t_ns)
        if left_s <= 0:
            return
