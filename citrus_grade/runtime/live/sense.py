"""The processes beside cameras and spectrometers: each stamps what comes with the belt's count, and hands it to the core.

A device that goes away is opened again after a pause; the line goes on meanwhile, and what is missing is named by the core.
"""

import queue
import statistics
import threading
import time
from collections.abc import Callable

import numpy as np

from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.messages import Scans
from citrus_grade.ports import DeviceError, DeviceGone, Exposure, Spectrometer, Spectrum
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.clock import DeviceClock, nearest_trigger, tick_at
from citrus_grade.runtime.live.devices import CAMERAS, PAUSES_S, SPECTROMETERS, opened, opener, pause
from citrus_grade.runtime.live.heard import GRAB_S, belt_now, heard
from citrus_grade.runtime.live.work import Work
from citrus_grade.words import _

FLUSH_S = 0.005
WAITING_SCANS = 1024
Arrived = queue.Queue[tuple[int, Spectrum, int] | int | Exception]
"""What threads hand on: lane, scan and when it happened on the host's clock; a lane alone whose device has been asked; or why one
can't be used."""
Open = Callable[[LineConfig, int], Spectrometer]
LET_GO_S = 2.0
"""So long the spectrometers may take, at the end, to be let go of."""
DATED_FRAMES = 64
"""Frames of which it is told how late they were dated."""
FROZEN = 24
"""Spectra alike to the bit after which a spectrometer is opened anew."""


def watch_camera(work: Work, index: int) -> None:
    """Grab frames into the ring until the line stops."""
    config, core, ring = work.config, work.end("core"), work.ring(index)
    section = config.camera[index]
    open_ = opener(CAMERAS, section.device, f"camera.{index} ({section.name}).device")
    ratio, number = config.encoder.ratio, ring.newest() + 1
    while (camera := opened(work, lambda: open_(config, index), work.going)) is not None:
        clock, late, name = DeviceClock(), Late(work), f"camera {index}: {camera.identity}"
        work.station.ready()
        try:
            for exposure in heard(work, camera, name, section.latency_ms, work.going):
                work.gone(0, False)
                host_ns = _taken_ns(clock, exposure, section.transit_ms) - work.spec.start_ns
                if (belt := belt_now(work)) is None:
                    _unplaced(work, "frames_unplaced", 1)
                    continue
                dated = tick_at(belt, host_ns)
                tick = nearest_trigger(dated, ratio)
                late.look(dated - tick, belt[2])
                ring.put(number, exposure.mosaic)
                work.station.set("ring_newest", number)
                seq = round(tick / ratio)
                work.station.count("frames")
                if not wire.send(core, wire.of_frame(index, number, seq, tick, host_ns)):
                    work.station.count("shed_frames")
                number += 1
        except DeviceGone as error:
            work.tell(str(error))
            work.gone(0, True)
            work.station.count("reopened")
        finally:
            camera.close()


def _taken_ns(clock: DeviceClock, taken: Exposure | Spectrum, transit_ms: float | None) -> int:
    """Return when, on the host's clock, a device was triggered; ``transit_ms`` goes before what its driver knows."""
    transit_ns = taken.transit_ns if transit_ms is None else round(transit_ms * 1e6)
    return clock.host_ns(taken.device_ns, taken.t_ns, transit_ns)


def _unplaced(work: Work, name: str, n: int) -> None:
    """Count what came while nobody knew where the belt was; before the line's count has begun, no fruit is lost by it."""
    work.station.count(name, n * int(work.board.shared["origin_known"][0]))


class Late:
    """Tells once, of a camera's first frames, how long after a whole pitch they were dated: so much its ``transit_ms`` lacks."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._late_ms: list[float] = []

    def look(self, ticks: int, ticks_per_s: float) -> None:
        """Take in a frame that was dated so many ticks after the nearest whole pitch, on a belt so fast."""
        if len(self._late_ms) < DATED_FRAMES and ticks_per_s > 0:
            self._late_ms.append(1000 * ticks / ticks_per_s)
            if len(self._late_ms) == DATED_FRAMES:
                self._work.event("frames_dated", late_ms=round(statistics.median(self._late_ms), 1))


def watch_spectrometers(work: Work) -> None:
    """Hand scans of all lanes to the core until the line stops; a thread waits for each device."""
    config, core = work.config, work.end("core")
    arrived: Arrived = queue.Queue(WAITING_SCANS)
    assert config.spectrometer is not None
    openers = [
        opener(SPECTROMETERS, options, f"spectrometer.device.{lane}") for lane, options in enumerate(config.spectrometer.device)
    ]
    ended = threading.Event()
    threads = [
        threading.Thread(target=_follow, args=(work, open_, lane, arrived, ended), daemon=True, name=f"spectrometer {lane}")
        for lane, open_ in enumerate(openers)
    ]
    for thread in threads:
        thread.start()
    most = max(1, (wire.PART_BYTES - 2048) // (2 * work.n_pixels + 16))  # scans of one datagram
    asked: set[int] = set()
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
        asked |= {item for item in came if isinstance(item, int)}
        if len(asked) == len(threads) and not work.station.is_ready:
            work.station.ready()  # not before each has been asked: one that can't be used ends a line that starts
        waiting = [item for item in came if isinstance(item, tuple)]
        if (belt := belt_now(work)) is None:
            _unplaced(work, "scans_unplaced", len(waiting))
            continue
        work.station.count("scans", len(waiting))
        for start in range(0, len(waiting), most):
            work.give(core, [_scans(waiting[start : start + most], belt, work.spec.start_ns)])
    ended.set()  # where the supervisor is gone, nobody else says so
    until = time.monotonic() + LET_GO_S
    for thread in threads:
        thread.join(max(until - time.monotonic(), 0.0))


def _scans(waiting: list[tuple[int, Spectrum, int]], belt: tuple[int, int, float], start_ns: int) -> Scans:
    lane = np.array([lane for lane, _, _ in waiting], np.int32)
    seq = np.array([spectrum.count & 0x7FFFFFFF for _, spectrum, _ in waiting], np.int32)
    tick = np.array([tick_at(belt, host_ns - start_ns) for _, _, host_ns in waiting], np.int64)
    counts = np.stack([spectrum.counts for _, spectrum, _ in waiting])
    return Scans(waiting[0][1].t_ns - start_ns, lane, seq, tick, counts)


def _follow(work: Work, open_: Open, lane: int, arrived: Arrived, ended: threading.Event) -> None:
    """Wait for one spectrometer's scans until the line stops; whatever else goes wrong is for the process, not for a thread."""
    try:
        _hand_on(work, open_, lane, arrived, lambda: not (work.board.stopping or ended.is_set()))
    except Exception as error:
        arrived.put(error)


def _hand_on(work: Work, open_: Open, lane: int, arrived: Arrived, going: Callable[[], bool]) -> None:
    """Wait for one spectrometer's scans while ``going`` says so.

    One that can't be used when the line starts ends the line; one that comes back as another costs its own lane only.
    """

    def ask() -> Spectrometer:
        try:
            device = open_(work.config, lane)
        except DeviceGone:
            arrived.put(lane)
            raise
        arrived.put(lane)
        return device

    section = work.config.spectrometer
    assert section is not None
    known, failed = False, 0
    while going():
        try:
            device = opened(work, ask, going, lane)
        except (DeviceError, ConfigError) as error:
            if not known:
                arrived.put(error)
                return
            work.tell(str(error))
            pause(PAUSES_S[-1], going)
            continue
        if device is None:
            return
        known = True
        clock, sound = DeviceClock(), Sound(work, lane)
        name = _("lane {lane}: {name}").format(lane=lane, name=device.identity)
        try:
            for spectrum in heard(work, device, name, section.latency_ms, going):
                if sound(spectrum):
                    failed = 0
                    work.gone(lane, False)
                    _arrive(work, arrived, (lane, spectrum, _taken_ns(clock, spectrum, section.transit_ms)))
        except DeviceGone as error:
            work.tell(str(error))
            work.gone(lane, True)
            work.count("reopened")
        finally:
            device.close()
        if failed:  # it opens and does not work: no use to try at once
            pause(PAUSES_S[min(failed, len(PAUSES_S)) - 1], going)
        failed += 1


def _arrive(work: Work, arrived: Arrived, scan: tuple[int, Spectrum, int]) -> None:
    try:
        arrived.put_nowait(scan)
    except queue.Full:
        work.count("shed_scans")


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
            self._work.count("bad_messages")
            return False
        now = spectrum.counts.tobytes()
        self._alike = self._alike + 1 if now == self._last and spectrum.counts.min() < self._full_scale else 0
        self._last = now
        if self._alike >= FROZEN:
            raise DeviceGone(_("lane {lane}: the spectrometer sends the same spectrum again and again").format(lane=self._lane))
        return self._alike < 2
