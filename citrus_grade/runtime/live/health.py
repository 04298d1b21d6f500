"""How a live line fares: one plain state, written beside the run once a second, read by `status`."""

import json
import os
import queue
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from citrus_grade.alarms import Raised, severity
from citrus_grade.messages import Reason
from citrus_grade.runtime.live.board import STAGES, least_us, quantile_us
from citrus_grade.runtime.live.observer import SHED
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import PLC, camera_role

NAME = "status.json"
KEEP_S = 1.0
CLOSE_S = 3.0


def state(supervisor: Supervisor) -> dict[str, Any]:
    """Return the state of a line as plain data: lanes, processes, what was shed, times in us, alarms."""
    board, observer = supervisor.board, supervisor.observer
    belt, shared = board.belt(), board.shared
    return {
        "run": str(supervisor.run_dir),
        "supervisor_pid": os.getpid(),
        "supervisor": _identity(os.getpid()),
        "up": board.is_up,
        "stopping": board.stopping,
        "at_utc_s": time.time(),
        "up_s": (time.monotonic_ns() - supervisor.start_ns) / 1e9,
        "cups_per_s": belt[2] / float(supervisor.config.encoder.ratio) if belt else 0.0,
        "origin": int(shared["origin"][0]),
        "decided_cup": int(shared["decided_cup"][0]),
        "committed_cup": int(shared["committed_cup"][0]),
        "reasons": {reason.name.lower(): n for reason in Reason if (n := int(shared["reasons"][0, reason]))},
        "lanes": [lane.to_dict() for lane in observer.lanes],
        "processes": {role: _process(supervisor, role) for role in supervisor.roles},
        "shed": [
            {"process": role, "what": name, "n": n}
            for role in supervisor.roles
            for name, n in board.station(role).counted().items()
            if n and name in SHED
        ],
        "rings": [_ring(supervisor, camera) for camera in range(len(supervisor.config.camera))],
        "deadline": _deadline(supervisor),
        "scale": _scale(supervisor),
        "alarms": [_alarm(one) for one in observer.book.active.values()],
        "ended_alarms": [_alarm(one) for one in observer.book.ended],
        "alarms_told": dict(observer.counted.times),
        "events_lost": observer.events.lost,
    }


def _process(supervisor: Supervisor, role: str) -> dict[str, Any]:
    child, station = supervisor.children[role], supervisor.board.station(role)
    times = {stage: station.times(stage) for stage in STAGES}
    levels = station.levels()
    return {
        "pid": child.pid,
        "ready": station.is_ready,
        "devices_gone": levels["devices_gone"],
        "silent_s": round(station.silent_s, 3),
        "restarts": child.restarts,
        "recovery_s": list(child.recovery_s),
        "counted": {name: n for name, n in station.counted().items() if n},
        "queue_bytes": levels["queue_bytes"],
        "times_us": {
            stage: {
                "p50": quantile_us(found, 0.5),
                "p99": quantile_us(found, 0.99),
                "p999": quantile_us(found, 0.999),
                "n": int(found.sum()),
            }
            for stage, found in times.items()
            if found.any() and stage != "margin"
        },
    }


def _ring(supervisor: Supervisor, camera: int) -> dict[str, int]:
    """Return how far the core is behind a camera, in frames: now and at most."""
    levels = supervisor.board.station(camera_role(camera)).levels()
    lag = max(levels["ring_newest"] - levels["ring_looked"], 0)
    return {"camera": camera, "lag": lag, "lag_most": levels["ring_lag_most"], "frames": supervisor.config.live.ring_frames}


def _deadline(supervisor: Supervisor) -> dict[str, float | int | None]:
    """Return how long before the last moment ejections were in the PLC's queue; None of none."""
    station = supervisor.board.station(PLC)
    found = station.times("margin")
    times_us = {"least_ms": least_us(found), "p01_ms": quantile_us(found, 0.01), "p50_ms": quantile_us(found, 0.5)}
    in_ms = {name: us / 1000 if found.any() else None for name, us in times_us.items()}
    return in_ms | {"n": int(found.sum()), "late": station.counted()["ejections_late"]}


def _scale(supervisor: Supervisor) -> dict[str, float] | None:
    """Return the last weight that came to rest on the box scale, if there was one."""
    shared = supervisor.board.shared
    if not shared["mass_t_ns"][0]:
        return None
    ago_s = (time.monotonic_ns() - supervisor.start_ns - int(shared["mass_t_ns"][0])) / 1e9
    return {"mass_g": float(shared["mass_g"][0]), "at_utc_s": time.time() - ago_s}


def _alarm(one: Raised) -> dict[str, Any]:
    """Return an alarm with its times in UTC, as the machine's clock is set now."""
    ahead_s = time.time() - time.monotonic()
    told = {name: None if (at_s := getattr(one, name)) is None else at_s + ahead_s for name in ("began_s", "last_s", "ended_s")}
    return asdict(one) | told | {"severity": severity(one.kind)}


class Keeper:
    """Writes the state beside the run, from a thread: a disk that is full, stands still or may only be read holds up nobody."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor, self._path = supervisor, supervisor.run_dir / NAME
        self._kept_at = 0.0
        self._newest: queue.Queue[tuple[str, bool]] = queue.Queue(1)
        self._thread = threading.Thread(target=self._write, daemon=True, name="status")
        self._thread.start()

    def keep(self) -> None:
        """Write the state, once a second."""
        now = time.monotonic()
        if now - self._kept_at >= KEEP_S:
            self._kept_at = now
            self._hand_over(running=True)

    def close(self) -> None:
        """Write the last state, if the disk takes it within `CLOSE_S`."""
        self._hand_over(running=False)
        self._thread.join(CLOSE_S)

    def _hand_over(self, *, running: bool) -> None:
        """Put the state in place of one that the disk has not taken yet."""
        text = json.dumps(state(self._supervisor) | {"running": running})
        with suppress(queue.Empty):
            self._newest.get_nowait()
        self._newest.put_nowait((text, running))

    def _write(self) -> None:
        running, partial = True, self._path.with_name(self._path.name + ".part")
        while running:
            text, running = self._newest.get()
            try:
                partial.write_text(text, encoding="utf-8")
                partial.replace(self._path)
            except OSError:  # how old the state is tells of it
                with suppress(OSError):
                    partial.unlink(missing_ok=True)


def _identity(pid: int) -> str | None:
    """Return what tells a process from any other that ever has its number: when the machine and when the process was started;
    None if there is no such process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        began = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    except OSError:
        return None
    return f"{boot} {began}"


def read(run_dir: Path) -> dict[str, Any]:
    """Return the last state of a run; ``running`` says whether its supervisor still lives, ``broken_off`` that it was killed.

    Raises
    ------
    FileNotFoundError : if the run is not of a live line.
    """
    found: dict[str, Any] = json.loads((run_dir / NAME).read_text(encoding="utf-8"))
    identity = _identity(found["supervisor_pid"])
    lives = identity is not None and identity == found.get("supervisor", identity)
    found["running"], found["broken_off"] = found["running"] and lives, found["running"] and not lives
    return found
