"""The supervisor: starts the processes of a live line, watches them, starts again what died, and stops them all.

It holds both ends of every connection and all shared memory, so that whoever is started again finds what its forerunner left. It
never touches a fruit: if it is slow nothing is late.
"""

import json
import os
import signal
import socket
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from citrus_grade import __version__
from citrus_grade.config import LineConfig, load
from citrus_grade.messages import Alarm
from citrus_grade.ports import DeviceError
from citrus_grade.runtime.live import memory, wire
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.keeping import give_up, keep
from citrus_grade.runtime.live.looks import Looked
from citrus_grade.runtime.live.memory import Decided
from citrus_grade.runtime.live.observer import Observer, Told
from citrus_grade.runtime.live.patience import START_S, patience_s
from citrus_grade.runtime.live.processes import HEALTHY_S, ForkServers, Process, ended_by, launch
from citrus_grade.runtime.live.store import Store
from citrus_grade.runtime.live.work import (
    ALARM,
    CORE,
    EVENT,
    FIRE_OUT_S,
    FORK_SERVER,
    LAST_STEP,
    METRICS,
    PLC,
    RECORDER,
    SCALE,
    SPECTRA,
    UNUSABLE,
    Spec,
    camera_role,
    ring_shape,
    roles_of,
    room_to_carry,
    stops_in,
)
from citrus_grade.words import N_, _

LOOK_S = 0.02
DEVICES_S = 180.0
"""So long a line that starts waits for its devices."""
WAITS = N_("the line waits for it")
NOT_STARTED = N_("{role}: can't be started: {error}; end what else takes processes, memory or open files of this machine")
WITHOUT = {SPECTRA: N_("its lane starts without spectra"), SCALE: N_("the line starts without weights")}
"""What becomes of a line that starts while a device is missing."""
CLOCK_SET_S = 2.0
"""A clock that is kept right is moved by less at a time."""
STOP_S = {1: 5.0, 2: 14.0, 3: 3.0, 4: 20.0}
"""How long the processes of each step of a stop may take to end by themselves."""
SILENT_LOOKS = 25
"""A process is not killed before so many looks in a row have found it silent: where the whole machine stood, so did who looks."""
KEPT = 1000
"""Recoveries that are remembered of each process."""


@dataclass(slots=True)
class Child:
    """A process of the line: its ends, what it is given, how it fared."""

    role: str
    fds: dict[str, int]
    process: Process | None = None
    parent: socket.socket | None = None
    restarts: int = 0
    begun_at: float | None = None
    died_at: float | None = None
    recovery_s: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT))
    again_at: float = 0.0
    quick_deaths: int = 0
    silent_looks: int = 0
    said: list[str] = field(default_factory=list)

    @property
    def pid(self) -> int | None:
        """The process's number while it runs."""
        return self.process.pid if self.process and self.process.poll() is None else None


class Supervisor:
    """Runs the processes of one line.

    Parameters
    ----------
    run_dir : a run folder as `rundir.create` lays it out. profile : of the log.
    told : called with each alarm that is new; see `observer.Observer`.
    """

    def __init__(self, run_dir: Path, profile: str, told: Told | None = None) -> None:
        self.run_dir, self._profile = run_dir, profile
        self.config: LineConfig = load(run_dir / "line.toml")
        self.roles = roles_of(self.config)
        self.start_ns = time.monotonic_ns()
        self._held: list[socket.socket] = []
        self._memory: list[int] = []
        room = room_to_carry(self.config)
        self.board_fd = self._reserve("board", Board.n_bytes(len(self.roles), room))
        self.board = Board(self.board_fd, self.roles, room)
        for cup in ("decided_cup", "committed_cup", "lost_cup"):
            self.board.shared[cup] = -1
        decided = self._reserve("decided", Decided.n_bytes(self.config.line.lanes))
        self.children = {role: Child(role, {"board": self.board_fd}) for role in self.roles}
        for role in (CORE, RECORDER):
            self.children[role].fds["decided"] = decided
        self._connect()
        self._decided = Decided(decided, self.config.line.lanes)
        self._decided.clear()
        self.observer = Observer(run_dir, self.config, self.board, self._decided, told)
        self._stopped: Callable[[], bool] = lambda: False
        everything = {f"{role} {name}": fd for role, child in self.children.items() for name, fd in child.fds.items()}
        self._forks = ForkServers(self._spec(FORK_SERVER, everything), self.observer)
        self._started = False
        self._clock_ahead_s = time.time() - time.monotonic()

    def _reserve(self, name: str, n_bytes: int) -> int:
        fd = memory.reserve(f"citrus_grade {name}", n_bytes)
        self._memory.append(fd)
        return fd

    def _connect(self) -> None:
        rings = {
            f"ring{index}": self._reserve(f"ring {index}", ring_shape(self.config, index).n_bytes)
            for index in range(len(self.config.camera))
        }
        for role in (CORE, RECORDER):
            self.children[role].fds |= rings
        for index in range(len(self.config.camera)):
            self.children[camera_role(index)].fds[f"ring{index}"] = rings[f"ring{index}"]
        for role in self.roles:
            if role not in (CORE, METRICS):
                core_end, own_end = wire.pair()
                self._held += [core_end, own_end]
                self.children[CORE].fds[role] = core_end.fileno()
                self.children[role].fds["core"] = own_end.fileno()

    def start(self, stopped: Callable[[], bool] = lambda: False, seen: Sequence[Looked] = ()) -> None:
        """Start everything; the recorder and the core first, devices when those are ready. Say first what was ``seen``
        of the devices: which are missing, and what to beware of.

        Raises
        ------
        DeviceError : if a process does not become ready, or its device can't be used.
        """
        self._stopped = stopped
        self.observer.event(
            "line_starts", "supervisor", software=__version__, pid=os.getpid(), roles=self.roles, profile=self._profile
        )
        for looked in seen:
            if looked.kind == "missing":
                then = _(WITHOUT.get(looked.device.role, WAITS))
                self.observer.said(looked.device.role, f"{looked.said}; {then}")
            for caution in looked.cautions:
                self.observer.alarm("caution", f"{looked.device.role}: {caution}")
        until = time.monotonic() + START_S
        self._forks.begin(lambda: not self._paused() and time.monotonic() < until)
        self._begin((RECORDER, CORE), START_S)
        self._begin(tuple(role for role in self.roles if role not in (CORE, RECORDER)), DEVICES_S)
        self._started = True
        self.board.shared["up"] = 1
        self.observer.event("line_ready", "supervisor", seconds=round((time.monotonic_ns() - self.start_ns) / 1e9, 1))

    def _paused(self) -> bool:
        """Wait a moment; say whether the start is broken off."""
        time.sleep(LOOK_S)
        return self._stopped()

    def _begin(self, roles: tuple[str, ...], seconds: float) -> None:
        for role in roles:
            try:
                self._spawn(role)
            except OSError as error:
                raise DeviceError(_(NOT_STARTED).format(role=role, error=error.strerror)) from error
        self._await_ready(roles, seconds)

    def _await_ready(self, roles: tuple[str, ...], seconds: float) -> None:
        until = time.monotonic() + seconds
        while not all(self.board.station(role).is_ready for role in roles):
            self.watch()
            if self._stopped():
                return
            if time.monotonic() > until:
                late = [self.children[role] for role in roles if not self.board.station(role).is_ready]
                raise DeviceError("\n".join(_given_up(child, seconds) for child in late))
            time.sleep(LOOK_S)

    def _spawn(self, role: str) -> None:
        """Start a process.

        Raises
        ------
        OSError : if the machine gives none.
        """
        child = self.children[role]
        self.board.station(role).count_start()
        spec = self._spec(role, child.fds)
        forked = self._forks.fork(spec)
        child.process, child.parent = forked or launch(spec)
        child.begun_at = time.monotonic()
        self.observer.event("process_started", role, pid=child.process.pid, start=child.restarts, forked=forked is not None)

    def _spec(self, role: str, fds: dict[str, int]) -> Spec:
        return Spec(role, str(self.run_dir), self.roles, self.start_ns, self._profile, fds)

    @property
    def fork_servers(self) -> list[Process]:
        """Processes that one that dies is forked from anew; while there is none, it is started from nothing."""
        return self._forks.processes

    def watch(self) -> None:
        """Look once at every process: hear what it tells, start again what died or stands still.

        Raises
        ------
        DeviceError : if a device can't be used as configured, while the line starts.
        """
        self._watch_clock()
        self._forks.watch()
        for child in self.children.values():
            self._hear(child)
            code = child.process.poll() if child.process else None
            if code is not None:
                self._died(child, code)
            elif child.process is not None:
                self._watch_living(child, child.process)
            elif child.died_at is not None:
                self._again(child)
        if self._started:
            self.observer.look()

    def _watch_living(self, child: Child, process: Process) -> None:
        """Note that a process works, or kill one that stands still."""
        station = self.board.station(child.role)
        if station.is_ready:
            self._ready(child)
        silent = station.silent_s > patience_s(child.role, station, self.config)
        child.silent_looks = child.silent_looks + 1 if silent else 0
        if child.silent_looks > SILENT_LOOKS:
            child.silent_looks = 0
            self.observer.alarm("process_silent", child.role)
            self.observer.event("process_silent", child.role, "error", pid=child.pid, silent_s=round(station.silent_s, 1))
            process.send_signal(signal.SIGUSR1)  # it writes down where it stands
            time.sleep(LOOK_S)
            process.kill()
            station.count_start()

    def _watch_clock(self) -> None:
        """Tell that somebody has set the machine's clock: nothing hangs on it but the times that people are told."""
        before, self._clock_ahead_s = self._clock_ahead_s, time.time() - time.monotonic()
        if abs(self._clock_ahead_s - before) > CLOCK_SET_S:
            self.observer.alarm("clock_set", f"{self._clock_ahead_s - before:+.0f} s")

    def _ready(self, child: Child) -> None:
        """Note that a process works, the first time that it is seen to."""
        now = time.monotonic()
        if child.begun_at is not None:
            self.observer.event("process_ready", child.role, pid=child.pid, seconds=round(now - child.begun_at, 3))
            child.begun_at = None
        if child.died_at is not None:
            child.recovery_s.append(now - child.died_at)
            child.died_at = None
            self.observer.alarm("process_back", child.role)

    def _died(self, child: Child, code: int) -> None:
        """Tell of a process that has ended, and start it again.

        Raises
        ------
        DeviceError : if its device can't be used and the line has not started yet.
        """
        self._hear(child)
        assert child.parent is not None
        child.parent.close()
        child.process = child.parent = None
        self.board.station(child.role).count_start()
        if code == UNUSABLE and not self._started:
            raise DeviceError("\n".join(child.said[-3:]) or child.role)
        if child.died_at is None:
            child.died_at = time.monotonic()
            self.observer.alarm("process_died", child.role)
        child.restarts += 1
        self.observer.event("process_died", child.role, "error", **ended_by(code), restarts=child.restarts)
        self._again(child)

    def _again(self, child: Child) -> None:
        """Start it again: at once, and ever later where it dies, or can't be started, again and again."""
        now = time.monotonic()
        if now < child.again_at:
            return
        if now > child.again_at + HEALTHY_S:
            child.quick_deaths = 0
        child.quick_deaths += 1
        child.again_at = now + min(0.5 * max(child.quick_deaths - 3, 0), 5.0)
        try:
            self._spawn(child.role)
        except OSError as error:
            self.observer.alarm("device", _(NOT_STARTED).format(role=child.role, error=error.strerror))

    def _hear(self, child: Child) -> None:
        if child.parent is not None:
            for data in wire.receive(child.parent):
                if data.startswith(ALARM):
                    self.observer.take(Alarm(*json.loads(data[len(ALARM) :])))
                elif data.startswith(EVENT):
                    name, fields = json.loads(data[len(EVENT) :])
                    self.observer.event(name, child.role, **fields)
                else:
                    child.said = [*child.said[-9:], data.decode(errors="replace")]
                    self.observer.said(child.role, child.said[-1])

    def _save_the_rest(self) -> None:
        """Write what was decided and not committed, should the recorder have ended before it could."""
        shared = self.board.shared
        decided, committed = int(shared["decided_cup"][0]), int(shared["committed_cup"][0])
        if decided <= committed:
            return
        try:
            store = Store(self.run_dir)
            keep(store, self._decided, self.board, committed + 1)
            self.board.set_kept(store.commit(), store.reasons())
            store.close()
        except sqlite3.Error as error:
            give_up(self._decided, self.board, committed + 1)
            self.observer.alarm("table_disk", str(error))

    def stop(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Stop in steps, so that nothing sent is left undecided and nothing decided unwritten, and leave no process behind.

        Once ``hurried`` says True what still runs is killed: the log then ends early, decisions are saved all the same.
        """
        self.observer.event("line_stops", "supervisor")
        self._forks.end()
        for step in range(1, LAST_STEP + 1):
            self.board.shared["stop"] = step
            self._end(step, [child for child in self.children.values() if stops_in(child.role) == step], hurried)
        self._save_the_rest()
        shared = self.board.shared
        self.observer.event(
            "line_stopped",
            "supervisor",
            decided_cup=int(shared["decided_cup"][0]),
            committed_cup=int(shared["committed_cup"][0]),
        )
        self.observer.close()
        for end in self._held:
            end.close()
        for fd in self._memory:
            os.close(fd)

    def _end(self, step: int, children: list[Child], hurried: Callable[[], bool]) -> None:
        """Wait until processes have ended, and kill those that do not."""
        began = time.monotonic()
        while any(child.pid for child in children) and not hurried():
            if time.monotonic() - began > self._may_take_s(step, children):
                break
            for child in self.children.values():
                self._hear(child)
            time.sleep(LOOK_S)
        for child in children:
            if child.process is None:
                continue
            if killed := child.pid is not None:
                child.process.kill()
            code = child.process.wait()
            self._hear(child)
            if child.parent:
                child.parent.close()
                child.parent = None
            self.observer.event("process_ended", child.role, "warning" if killed or code else "info", **ended_by(code))

    def _may_take_s(self, step: int, children: list[Child]) -> float:
        """Return how long a step may take: no time where a process has not begun, for it has nothing to finish, and longer while
        the PLC's has the belt go on."""
        if not all(self._has_begun(child) for child in children):
            return 0.0
        fires = step == stops_in(PLC) and self.board.station(PLC).silent_s < STOP_S[step]
        return STOP_S[step] + (FIRE_OUT_S if fires else 0.0)

    def _has_begun(self, child: Child) -> bool:
        """Say whether a process has work to finish; devices are let go of whatever they do."""
        return stops_in(child.role) == 1 or self.board.station(child.role).is_ready


def _given_up(child: Child, seconds: float) -> str:
    text = _("{role}: not ready after {seconds:.0f} s").format(role=child.role, seconds=seconds)
    return f"{text}: {child.said[-1]}" if child.said else text
