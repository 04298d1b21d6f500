"""The doctor's look at what a live line asks of this machine beyond a simulated one."""

import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from citrus_grade.cli.doctor_machine import existing
from citrus_grade.cli.findings import Finding
from citrus_grade.words import _

if TYPE_CHECKING:
    from citrus_grade.config import LineConfig

LEAST_CORES = 2
LOADED_MB, PROCESS_MB = 600, 130
"""Of the process that loads everything, and compiles it on a machine's first start; of each other beside what it shares with that
one. Measured: 31 MB at most of one that was forked, 130 of one that had to be started from nothing."""
FILES_A_PROCESS, FILES = 24, 128
"""Descriptors that the supervisor holds a process, and beside."""
SHIFT_H = 8.0
CODED = 0.6
"""Size of a frame after lossless coding, of its pixels; of simulated frames, a noisy camera's are larger."""
FRUIT_BYTES = {"full": 2000, "normal": 2000, "off": 400}
"""What the log keeps of a cup beside frames and scans."""
FRAMES_HELD = 4
"""Frames that a socket must hold while nobody looks."""
RMEM_MAX = Path("/proc/sys/net/core/rmem_max")
CLOCK = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
SLOW_CLOCKS = ("hpet", "acpi_pm", "pit", "jiffies", "refined-jiffies")
"""Clock sources that take microseconds to read, or tick coarsely."""


def examine(line: "LineConfig", folder: Path) -> Iterator[Finding]:
    """Look at the machine for a live line whose run would be written to ``folder``."""
    checks: tuple[Callable[[], Finding | None], ...] = (
        cores,
        lambda: realtime(line),
        lambda: memory(line),
        lambda: log_room(line, folder),
        lambda: open_files(line),
        lambda: receive_buffer(line),
        clock_source,
    )
    yield from (finding for check in checks if (finding := check()) is not None)


def cores() -> Finding:
    """Are there cores enough for the core beside the devices?"""
    count, what = len(os.sched_getaffinity(0)), _("processor cores of a live line")
    if count < LEAST_CORES:
        return Finding(what, "fail", str(count), _("run it on a machine with {n} cores or more").format(n=LEAST_CORES))
    return Finding(what, "ok", str(count))


def realtime(line: "LineConfig") -> Finding | None:
    """May this program take the fixed priority that ``[live] realtime`` asks for?"""
    if not line.live.realtime:
        return None
    from citrus_grade.runtime.live.plc import PRIORITY

    what, refused = "live.realtime", list[str]()

    def take() -> None:
        try:
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
        except OSError as error:
            refused.append(str(error.strerror))

    thread = threading.Thread(target=take)  # the priority is that of the thread, and ends with it
    thread.start()
    thread.join()
    if refused:
        fix = _("give the program CAP_SYS_NICE, or LimitRTPRIO={priority} in its unit, or set realtime = false")
        return Finding(what, "fail", f"SCHED_FIFO {PRIORITY}: {refused[0]}", fix.format(priority=PRIORITY))
    return Finding(what, "ok", f"SCHED_FIFO {PRIORITY}")


def memory(line: "LineConfig") -> Finding:
    """Is there memory for the rings that processes share, and for the processes?"""
    from citrus_grade.runtime.live.work import ring_shape, roles_of

    what = _("memory")
    rings_mb = sum(ring_shape(line, index).n_bytes for index in range(len(line.camera))) / 1e6
    needed_mb = rings_mb + LOADED_MB + PROCESS_MB * len(roles_of(line))
    free_mb = _available_mb()
    found = _("{free:.0f} MB free; {needed:.0f} MB needed, {rings:.0f} of them for rings of frames").format(
        free=free_mb, needed=needed_mb, rings=rings_mb
    )
    if free_mb < needed_mb:
        return Finding(what, "fail", found, _("end other programs, or make live.ring_frames smaller"))
    return Finding(what, "ok", found)


def _available_mb() -> float:
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return int(lines["MemAvailable"].split()[0]) * 1024 / 1e6


def log_room(line: "LineConfig", folder: Path) -> Finding:
    """Is there room on the disk for the log of a shift?"""
    what, profile = _("disk for the log"), line.log.profile
    gb_per_h = _log_bytes_per_s(line) * 3600 / 1e9
    needed_gb, free_gb = gb_per_h * SHIFT_H, shutil.disk_usage(existing(folder)).free / 1e9
    said = _("{free:.0f} GB free at {path}; profile {profile!r} writes about {rate:.1f} GB/h, a shift of {h:g} h {needed:.0f} GB")
    found = said.format(free=free_gb, path=existing(folder), profile=profile, rate=gb_per_h, h=SHIFT_H, needed=needed_gb)
    if free_gb < needed_gb:
        fix = _("free some space, name a folder of a larger disk with --run, or choose a smaller log.profile (normal, off)")
        return Finding(what, "warn" if free_gb > gb_per_h else "fail", found, fix)
    return Finding(what, "ok", found)


def _log_bytes_per_s(line: "LineConfig") -> float:
    from citrus_grade.runtime.live.work import ring_shape

    profile, per_s = line.log.profile, line.line.cups_per_s
    frames = sum(ring_shape(line, index).frame_bytes for index in range(len(line.camera))) if profile == "full" else 0
    scans = 0
    if line.spectrometer and profile != "off":
        scans = 2 * line.spectrometer.scans * line.spectrometer.pixels
    return per_s * (CODED * frames + line.line.lanes * (FRUIT_BYTES[profile] + scans))


def open_files(line: "LineConfig") -> Finding:
    """May this program open as many files as a line needs?"""
    from citrus_grade.runtime.live.work import roles_of

    what, needed = _("open files"), FILES + FILES_A_PROCESS * len(roles_of(line))
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if allowed != resource.RLIM_INFINITY and allowed < needed:
        return Finding(what, "fail", str(allowed), _("ulimit -n {n}, or LimitNOFILE={n} in its unit").format(n=max(needed, 1024)))
    return Finding(what, "ok", str(allowed))


def receive_buffer(line: "LineConfig") -> Finding | None:
    """May a socket hold some frames of a camera on the network?"""
    from citrus_grade.runtime.live.work import ring_shape

    indices = [index for index, camera in enumerate(line.camera) if camera.device.get("driver") == "genicam"]
    if not indices or not RMEM_MAX.exists():
        return None
    needed = FRAMES_HELD * max(ring_shape(line, index).frame_bytes for index in indices)
    allowed, what = int(RMEM_MAX.read_text(encoding="ascii")), "net.core.rmem_max"
    if allowed < needed:
        found = _("{allowed} bytes; {n} frames are {needed}").format(allowed=allowed, n=FRAMES_HELD, needed=needed)
        return Finding(what, "warn", found, "sysctl -w net.core.rmem_max=33554432")
    return Finding(what, "ok", str(allowed))


def clock_source() -> Finding | None:
    """Is the clock that everything is stamped by quick to read?"""
    if not CLOCK.exists():
        return None
    what, found = _("clock source"), CLOCK.read_text(encoding="ascii").strip()
    if found in SLOW_CLOCKS:
        return Finding(what, "warn", found, _("let the machine use its processor's own clock: boot with clocksource=tsc"))
    return Finding(what, "ok", found)
