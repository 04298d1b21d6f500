"""The processes beside cameras and spectrometers: each stamps what comes with the belt's count, and hands it to the core.

A device that goes away is opened again after a pause; the line goes on meanwhile, and what is missing is named by the core.
"""

import queue
import threading
import time
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from citrus_grade.config import ConfigError, LineConfig
from citrus_grade.messages import Scans
from citrus_grade.ports import Camera, DeviceError, DeviceGone, Dropping, Exposure, Spectrometer, Spectrum
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.clock import SECOND_NS, DeviceClock, nearest_trigger, tick_at
from citrus_grade.runtime.live.devices import CAMERAS, PAUSES_S, SPECTROMETERS, opened, opener, pause
from citrus_grade.runtime.live.work import Work
from citrus_grade.words import _

GRAB_S = 0.1
FLUSH_S = 0.005
STANDS_CUPS_PER_S = 0.1
"""A belt slower than that stands, whatever an encoder's jitter says."""
STALE_NS = SECOND_NS // 4
"""A look at the belt that is older says nothing: it may have stopped since."""
WAITING_SCANS = 1024
Arrived = queue.Queue[tuple[int, Spectrum, int] | int | Exception]
"""What threads hand on: lane, scan and when it happened on the host's clock; a lane alone whose device has been asked; or why one
can't be used."""
FROZEN = 24
"""Spectra alike to the bit after which a spectrometer is opened anew."""


def watch_camera(work: Work, index: int) -> None:
    """Grab frames into the ring until the line stops."""
    config, core, ring = work.config, work.end("core"), work.ring(index)
    options = config.camera[index].device
    open_ = opener(CAMERAS, options, f"camera.{index} ({config.camera[index].name}).device")
    ratio, number = config.encoder.ratio, ring.newest() + 1
    while (camera := opened(work, lambda: open_(config, index), work.going)) is not None:
        clock, silence, lost = DeviceClock(), Silence(work, config.camera[index].latency_ms), Lost(work, camera)
        work.station.ready()
        try:
            while work.going():
                exposure = camera.grab(GRAB_S)
                lost.look(exposure.count if exposure else None)
                if exposure is None:
                    silence.goes_on(f"camera {index}: {camera.identity}")
                    continue
                silence.ends()
                work.gone(0, False)
                host_ns = _taken_ns(clock, exposure, config.camera[index].transit_ms) - work.spec.start_ns
                if (belt := belt_now(work)) is None:
                    _unplaced(work, "frames_unplaced", 1)
                    continue
                tick = nearest_trigger(tick_at(belt, host_ns), ratio)
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


def belt_now(work: Work) -> tuple[int, int, float] | None:
    """Return where the belt is and how fast, as `Board.belt`; None where nobody has looked lately."""
    belt = work.board.belt()
    return belt if belt is not None and work.now_ns() - belt[1] <= STALE_NS else None


def _unplaced(work: Work, name: str, n: int) -> None:
    """Count what came while nobody knew where the belt was; before the line's count has begun, no fruit is lost by it."""
    work.station.count(name, n * int(work.board.shared["origin_known"][0]))


class Silence:
    """Tells how long a triggered device has been silent while the belt moved: one that stands triggers nothing.

    ``latency_ms`` is how long what was triggered may be on its way.
    """

    def __init__(self, work: Work, latency_ms: float) -> None:
        self._work, self._since_ns = work, time.monotonic_ns()
        self._stall_s = work.config.live.stall_s + latency_ms / 1000

    def ends(self) -> None:
        """Take in that something came."""
        self._since_ns = time.monotonic_ns()

    def goes_on(self, name: str) -> None:
        """Take in that nothing came.

        Raises
        ------
        DeviceGone : if nothing has come for `live.stall_s` and the latency, or for three pitches of a slow belt.
        """
        patience_s = _patience_s(belt_now(self._work), self._work.config.encoder.ratio, self._stall_s)
        if patience_s is None:
            self.ends()
        elif time.monotonic_ns() - self._since_ns > patience_s * SECOND_NS:
            raise DeviceGone(_("{name}: the belt moves, and nothing has come for {s:.1f} s").format(name=name, s=patience_s))


def _patience_s(belt: tuple[int, int, float] | None, ratio: Fraction, stall_s: float) -> float | None:
    """Return how long a triggered device may be silent, some pitches at the present speed; None while the belt stands."""
    if belt is None or abs(belt[2]) < STANDS_CUPS_PER_S * ratio:
        return None
    return max(stall_s, 3.0 * float(ratio) / abs(belt[2]))


def watch_spectrometers(work: Work) -> None:
    """Hand scans of all lanes to the core until the line stops; a thread waits for each device."""
    config, core = work.config, work.end("core")
    arrived: Arrived = queue.Queue(WAITING_SCANS)
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
        clock, sound, silence = DeviceClock(), Sound(work, lane), Silence(work, section.latency_ms)
        lost = Lost(work, device)
        try:
            while going():
                spectrum = device.grab(GRAB_S)
                lost.look(None)  # the core tells a gap in its numbers
                if spectrum is None:
                    silence.goes_on(_("lane {lane}: {name}").format(lane=lane, name=device.identity))
                    continue
                silence.ends()
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


def _arrive(work: Work, arrived: "Arrived", scan: tuple[int, Spectrum, int]) -> None:
    try:
        arrived.put_nowait(scan)
    except queue.Full:
        work.count("shed_scans")


class Lost:
    """Counts what a device took that never came, by the gaps in its own numbers, and what it dropped because it made no sense."""

    def __init__(self, work: Work, device: Camera | Spectrometer) -> None:
        self._work, self._device = work, device
        self._last: int | None = None
        self._dropped = 0

    def look(self, count: int | None) -> None:
        """Look at what the device has dropped by now, and at the number of what has come, None if nothing has."""
        dropped = self._device.dropped if isinstance(self._device, Dropping) else 0
        self._work.count("bad_messages", dropped - self._dropped)
        self._dropped = dropped
        if count is not None:
            self._work.count("frames_lost", max(count - self._last - 1, 0) if self._last is not None else 0)
            self._last = max(count, self._last or count)


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
