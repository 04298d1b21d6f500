"""A live line in one process, at its own pace: the real core and recorder, and beside them what senses, fires and looks."""

import gc
import os
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import invariant
from citrus_grade.config import LineConfig
from citrus_grade.drivers.sim.devices import FELL, LoopPlc, SteppedClock, TapeCamera, TapeOptions, TapeSpectrometer
from citrus_grade.drivers.sim.fault_plan import SPECTROMETER_FAULTS, FaultPlan
from citrus_grade.drivers.sim.faulty import FaultyCamera, FaultyPlc, FaultySpectrometer
from citrus_grade.geometry import Ruler
from citrus_grade.messages import Command, Frame, Message, OutletReport, Pulse, Reading, Reason, Scans, Views
from citrus_grade.ports import DeviceGone, Exposure, Spectrometer
from citrus_grade.rundir import create, load_line, reopen
from citrus_grade.runtime.live import health, store, wire
from citrus_grade.runtime.live.belt import Belt
from citrus_grade.runtime.live.clock import BeltClock, nearest_trigger, tick_at
from citrus_grade.runtime.live.record import LiveRecorder
from citrus_grade.runtime.live.sense import Sound
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import PLC, RECORDER, SPECTRA, Spec, Work, camera_role
from citrus_grade.tables import DECISION, empty

LASTS_CUPS = 20.0
STEPS = 8
"""Moments of a pitch at which solenoids fire and scans are handed over."""
SYNC_PITCHES, LOOK_PITCHES = 6, 60
KEPT_CUPS, FELL_CUPS = 600, 100
"""Decisions that stay in the table, against which what falls is held; how long what fell is remembered, lest it fall twice."""


class Killed(BaseException):
    """The core ends where it is, as by SIGKILL."""


class Stepped(Work):
    """One process's work whose time is the belt's, and which has the world move on when it asks whether to go on itself."""

    def __init__(self, spec: Spec, clock: SteppedClock, step: Callable[[], bool] = lambda: True) -> None:
        super().__init__(spec)
        self._clock, self._step = clock, step
        self._ends = [self._parent]

    def end(self, name: str) -> socket.socket:
        self._ends.append(super().end(name))
        return self._ends[-1]

    def close(self) -> None:
        """Let go of every end, as the system does when a process ends."""
        for end in self._ends:
            end.close()

    def now_ns(self) -> int:
        return self._clock.now_ns()

    def going(self) -> bool:
        return self._step() and super().going()


class Ahead:
    """The part of a plan that matters now: a season's faults are not gone through at each scan."""

    def __init__(self, plan: FaultPlan) -> None:
        self._plan, self.now = plan, FaultPlan(plan.seed)

    def move_to(self, cup: float) -> None:
        """Have the faults near a place."""
        near = tuple(f for f in self._plan.faults if f.from_cup - 4 <= cup <= f.until_cup + 4)
        self.now = FaultPlan(self._plan.seed, near)


class Line:
    """What every part of the soaked line shares: its folder, the supervisor's memory and ends, the clock, the plan."""

    def __init__(self, folder: Path, config_path: Path, plan: FaultPlan) -> None:
        loaded = load_line(config_path)
        self.config: LineConfig = loaded.config
        self.run, self.fell = folder / "run", folder / "fell"
        create(self.run, loaded, seed=plan.seed, profile="normal", config_text=config_path.read_text(encoding="utf-8"))
        self.clock, self.plan = SteppedClock(self.config.line.cups_per_s), Ahead(plan)
        self.supervisor = Supervisor(self.run, "normal")
        self.keeper = health.Keeper(self.supervisor)
        self._works: dict[str, Stepped] = {}
        self.ratio = float(self.config.encoder.ratio)
        self.options = TapeOptions(
            tape=str(folder / "tape"), t0_ns=0, cups_per_s=self.config.line.cups_per_s, fell=str(self.fell), faults=str(folder)
        )

    def work(self, role: str, step: Callable[[], bool] = lambda: True) -> Stepped:
        """Begin one process's work; it has ends of its own, as a process has, and shares the memory."""
        self._end(role)
        child = self.supervisor.children[role]
        child.parent, theirs = wire.pair()
        memory = ("board", "decided", "ring")
        fds = {name: fd if name.startswith(memory) else os.dup(fd) for name, fd in child.fds.items()}
        spec = Spec(role, str(self.run), self.supervisor.roles, 0, "normal", fds | {"parent": theirs.detach()})
        work = self._works[role] = Stepped(spec, self.clock, step)
        work.station.ready()
        return work

    def _end(self, role: str) -> None:
        if work := self._works.pop(role, None):
            work.close()
        if (parent := self.supervisor.children[role].parent) is not None:
            parent.close()

    def close(self) -> None:
        """End everything."""
        self.supervisor.stop()
        self.keeper.close()
        for role in self.supervisor.roles:
            self._end(role)


class PlcProcess:
    """What `runtime.live.plc` does at each look, at the belt's pace."""

    def __init__(self, line: Line) -> None:
        self._line, self._work = line, line.work(PLC)
        self._core = self._work.end("core")
        self.loop = LoopPlc(line.options, line.config, line.clock)
        self._plc = FaultyPlc(self.loop, line.plan, line.clock, line.config.encoder.bits)
        self._ruler = Ruler.of(line.config.encoder.ratio)
        self._belt, self._clock = Belt(line.config.encoder.bits, self._ruler), BeltClock()
        self._boot, self._zero = 0, 0.0
        self._pitch = -1
        self.shifts: list[tuple[int, int]] = [(0, 0)]

    def look(self) -> None:
        """Look once, and pass on what is new."""
        try:
            state = self._plc.poll()
        except DeviceGone as error:
            self._work.tell(str(error))
            self._work.gone(0, True)
            return
        self._work.gone(0, not state.heartbeat_ok)
        belt, shared = self._belt, self._line.supervisor.board.shared
        if belt.restarted(state.count) or state.boot != self._boot:
            stations = [outlet.station for outlet in self._line.config.outlet]
            belt.begin_anew(state.count, int(max(stations)) + 3)
            self._boot, self._clock = state.boot, BeltClock()
            self._zero = self._line.clock.cups()
            self.shifts.append((int(shared["decided_cup"][0]) + 1, 0))
        tick = belt.tick(state.count)
        if state.index_counts and not belt.in_step(state.index_counts[0][1]):
            tick, self._clock = belt.tick(state.count), BeltClock()
        self.shifts[-1] = self.shifts[-1][0], round((belt.origin or 0) / self._line.ratio + self._zero)
        shared["origin"], shared["count"], shared["origin_known"], shared["boot"] = belt.origin, state.count, 1, state.boot
        self._clock.look(tick, state.t_ns)
        self._work.board.set_clock(tick, state.t_ns, self._clock.ticks_per_s)
        self._work.give(self._core, self._messages(tick, state))

    def _messages(self, tick: int, state: Any) -> list[Message]:
        near, t_ns = self._belt.near, state.t_ns
        out: list[Message] = [OutletReport(near(r.tick), t_ns, r.lane, r.outlet, r.state, r.cup) for r in state.reports]
        flags = [(lane, self._belt.flag(lane, count)) for lane, count in state.index_counts]
        out += [Reading(at, t_ns, lane, "cup_index", 0.0) for lane, at in flags if at is not None]
        reached = self._ruler.passed(tick, 0)
        if reached > self._pitch:
            self._pitch = reached
            self._work.station.count("pulses")
            out.append(Pulse(tick, tick, t_ns))
        return out

    def eject(self) -> None:
        """Queue what the core has decided."""
        for data in wire.receive(self._core):
            ejections = wire.ejections_of(data)[1]
            raw = [type(e)(e.lane, e.cup, e.outlet, self._belt.count(e.fire_tick)) for e in ejections]
            try:
                taken = self._plc.eject(raw)
            except DeviceGone:
                taken = 0
            self._work.station.count("ejections", taken)
            self._work.station.count("ejections_refused", len(raw) - taken)

    def tell(self, message: Message) -> None:
        """Hand the core something that comes beside."""
        self._work.give(self._core, [message])


class CameraProcess:
    """What `runtime.live.sense` does of a camera.

    Frames as they were rendered go on as the views they give, measured beforehand: to measure all of them would take the time of
    a line that runs. One in `WHOLE`, and whatever is spoilt, goes through the ring and is measured by the core.
    """

    WHOLE = 50

    def __init__(self, line: Line) -> None:
        self._line, self._work = line, line.work(camera_role(0))
        self._core, self._ring = self._work.end("core"), self._work.ring(0)
        tape_camera = TapeCamera(line.options, 0, line.clock)
        self._frames = tape_camera.frames
        self._camera = FaultyCamera(tape_camera, line.plan, line.clock, 0)
        self._number = 1
        measure = reopen(line.run).line()
        self._views: list[Views] = []
        for pitch, frame in enumerate(self._frames):
            views = measure.imaged(Frame(0, pitch, round(pitch * line.ratio), 0, np.array(frame)))
            assert isinstance(views, Views)
            self._views.append(views)

    def hand_on(self) -> None:
        """Hand on what the camera has."""
        while (exposure := self._camera.grab(0.0)) is not None:
            belt = self._work.board.belt()
            if belt is None:
                continue
            tick = nearest_trigger(tick_at(belt, exposure.device_ns), self._line.config.encoder.ratio)
            self._work.station.count("frames")
            self._send(exposure, round(tick / self._line.ratio), tick)

    def _send(self, exposure: Exposure, seq: int, tick: int) -> None:
        place = exposure.count % len(self._frames)
        if exposure.count % self.WHOLE and np.may_share_memory(exposure.mosaic, self._frames):
            seen = self._views[place]
            rows = seen.rows.copy()
            rows["cup"] += seq - place
            self._work.give(self._core, [Views(0, seq, tick, exposure.t_ns, rows[rows["cup"] >= 0], seen.clarity)])
            return
        self._ring.put(self._number, exposure.mosaic)
        self._work.station.set("ring_newest", self._number)
        if not wire.send(self._core, wire.of_frame(0, self._number, seq, tick, exposure.t_ns)):
            self._work.station.count("shed_frames")
        self._number += 1


class SpectraProcess:
    """What `runtime.live.sense` does of the spectrometers."""

    def __init__(self, line: Line) -> None:
        self._line, self._work = line, line.work(SPECTRA)
        self._core = self._work.end("core")
        lanes = range(line.config.line.lanes)
        sound = [TapeSpectrometer(line.options, line.config, lane, line.clock) for lane in lanes]
        self._sound: list[Spectrometer] = [*sound]
        self._faulty: list[Spectrometer] = [
            FaultySpectrometer(one, line.plan, line.clock, lane) for lane, one in enumerate(sound)
        ]
        self._watched = [Sound(self._work, lane) for lane in lanes]

    def hand_on(self) -> None:
        """Hand on the scans that have come."""
        belt, came = self._work.board.belt(), []
        fails = any(fault.kind in SPECTROMETER_FAULTS for fault in self._line.plan.now.faults)
        for lane, device in enumerate(self._faulty if fails else self._sound):
            try:
                while (spectrum := device.grab(0.0)) is not None:
                    if self._watched[lane](spectrum):
                        self._work.gone(lane, False)
                        came.append((lane, spectrum))
            except DeviceGone as error:
                if not self._work.station.is_gone(lane):
                    self._work.tell(str(error))
                self._work.gone(lane, True)
                self._watched[lane] = Sound(self._work, lane)
        if not came or belt is None:
            return
        self._work.station.count("scans", len(came))
        lane_of = np.array([lane for lane, _spectrum in came], np.int32)
        seq = np.array([spectrum.count for _lane, spectrum in came], np.int32)
        tick = np.array([tick_at(belt, spectrum.device_ns) for _lane, spectrum in came], np.int64)
        counts = np.stack([spectrum.counts for _lane, spectrum in came])
        self._work.give(self._core, [Scans(came[0][1].t_ns, lane_of, seq, tick, counts)])


class RecorderProcess:
    """The recorder, and who reads its table beside it: everything decided is held, then what is old is taken out."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._begin()
        self._reader = sqlite3.connect(line.run / store.NAME, isolation_level=None)
        self._rows, self._fell = empty(DECISION, 0), np.zeros(0, FELL)
        self._next, self._read = 0, 0
        self.cups = self.graded = self.dropped = 0

    def _begin(self) -> None:
        self._work = self._line.work(RECORDER)
        self._core: socket.socket = self._work.end("core")
        self.recorder = LiveRecorder(self._work)

    def replace(self) -> None:
        """Have another take the place of this one."""
        self.recorder.close()
        self._begin()

    def take(self) -> None:
        """Take what the core has sent."""
        for datagram in wire.receive(self._core, 4096):
            self.recorder.take(datagram)

    def sync(self) -> None:
        """Make it safe."""
        self.recorder.sync()
        if self.recorder.wants_file:
            self.recorder.retry()

    def hold(self, shifts: list[tuple[int, int]]) -> None:
        """Hold what was committed, and what fell, since the last time.

        Raises
        ------
        AssertionError : naming what is broken.
        """
        found = self._reader.execute("SELECT row FROM fruit WHERE cup >= ? ORDER BY cup, lane", (self._next,)).fetchall()
        rows = np.frombuffer(b"".join(row for (row,) in found), DECISION)
        fell = np.fromfile(self._line.fell, FELL, offset=self._read)
        config = self._line.config
        self._rows, self._fell = np.concatenate([self._rows, rows]), np.concatenate([self._fell, fell])
        broken = [
            *invariant.undecided(rows, config, self._next),
            *invariant.misfiled(rows, config),
            *invariant.fell_wrong(self._rows, self._fell, config, shifts),
        ]
        assert not broken, f"by cup {self._next + len(rows) // config.line.lanes}: {'; '.join(broken)}"
        self._next += len(rows) // config.line.lanes
        self._read += fell.nbytes
        self.cups, self.dropped = self.cups + len(rows), self.dropped + len(fell)
        self.graded += int(np.sum(rows["reason"] == Reason.GRADED))
        self._forget()

    def _forget(self) -> None:
        self._reader.execute("DELETE FROM fruit WHERE cup < ?", (self._next - KEPT_CUPS,))
        self._rows = self._rows[self._rows["cup"] >= self._next - KEPT_CUPS]
        self._fell = self._fell[self._fell["cup"] > self._fell["cup"].max(initial=0) - FELL_CUPS]

    def close(self, shifts: list[tuple[int, int]]) -> None:
        """Take what is left, hold it, and finish log and table; what was counted must be what was held.

        Raises
        ------
        AssertionError : naming what is broken.
        """
        self.take()
        self.recorder.sync()
        self.hold(shifts)
        told = sum(self._work.board.shared["reasons"][0].tolist())
        assert told == self.cups, f"{told} decisions counted, {self.cups} kept"
        self.recorder.close()
        self._reader.close()


class World:
    """Everything beside the core; it moves on by a pitch whenever the core asks whether to go on."""

    def __init__(self, line: Line, pitches: int, people: dict[int, str], sample: Callable[[int, int], None]) -> None:
        self.line, self._pitches, self._people, self._sample = line, pitches, people, sample
        self.recorder = RecorderProcess(line)
        self.plc, self.camera, self.spectra = PlcProcess(line), CameraProcess(line), SpectraProcess(line)
        self.pitch, self._replaced = 0, 0

    def step(self) -> bool:
        """Take what the core has made of the last pitch, then let the next one pass.

        Raises
        ------
        Killed : where the core is to end here.
        """
        self.plc.eject()
        self.recorder.take()
        if self.pitch % SYNC_PITCHES == 0:
            self.recorder.sync()
        if self.pitch % LOOK_PITCHES == 0:
            self._look()
        if self.pitch >= self._pitches:
            return False
        self.pitch += 1
        self.line.plan.move_to(self.pitch)
        what = self._people.pop(self.pitch, "")
        for step in range(STEPS):
            self.line.clock.move_to(self.pitch + (step + 0.5) / STEPS)
            self.plc.loop.fire_due()
            if step == 0:
                self.plc.look()
                self.camera.hand_on()
            if step % 2 == 0:
                self.spectra.hand_on()
        self._act(what)
        return True

    def _look(self) -> None:
        supervisor = self.line.supervisor
        supervisor.watch()
        supervisor.observer.look()
        self.line.keeper.keep()
        if self.pitch > self.line.config.line.decision_station + SYNC_PITCHES:
            self.recorder.hold(self.plc.shifts)
        self._sample(self.pitch, self._replaced)

    def _act(self, what: str) -> None:
        tick = round(self.pitch * self.line.ratio)
        self._replaced += what in ("core_killed", "recorder_replaced")
        if what == "lane_off":
            self.plc.tell(Command(tick, self.line.clock.now_ns(), "lane_off", "2"))
            self._people[self.pitch + int(LASTS_CUPS)] = "lane_on"
        elif what == "lane_on":
            self.plc.tell(Command(tick, self.line.clock.now_ns(), "lane_on", "2"))
        elif what == "dark_asked":
            self.plc.tell(Command(tick, self.line.clock.now_ns(), "dark_refresh", "1"))
        elif what == "recorder_replaced":
            self.recorder.replace()
            reap()
        elif what == "core_killed":
            raise Killed


def reap() -> None:
    """Free what a process that ended held: the core's collector is off, and what it loaded is frozen."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
