"""The core: one thread that feeds the line, sends ejections ahead and hands everything to the recorder.

Nothing here waits for another process: what finds no room waits in bounded memory, and what finds none there either is shed in a
fixed order (pixels, then messages), counted and told. Before a decision is lost the belt is asked to stop.
"""

import gc
import select
import time

from citrus_grade.line import Line
from citrus_grade.messages import (
    Alarm,
    Decisions,
    Ejection,
    Frame,
    Message,
    OutletReport,
    Output,
    Position,
    Pulse,
    Reading,
    Shutter,
)
from citrus_grade.rundir import reopen
from citrus_grade.runlog.writer import LogStream
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.carry import Carrier, resumed
from citrus_grade.runtime.live.memory import DECIDED_CUPS, Decided, FrameRing
from citrus_grade.runtime.live.outbox import CLOSE, END, FRAME_AT, OPEN, STARTED, TORN, Outbox
from citrus_grade.runtime.live.work import ORPHANED_S, RECORDER, SCALE, SPECTRA, Work, camera_role, real_time
from citrus_grade.runtime.schedule import Schedule
from citrus_grade.runtime.warming import warm

UNKEPT_CUPS = DECIDED_CUPS // 2
"""So many cups' decisions that can't be kept, and the belt had better stand."""
LOOK_S = 1.0
PRIORITY = 50
IDLE_S = 0.02
STATES = ("jammed", "full", "clear")
"""What the PLC says of an outlet for longer than a moment."""
FLUSH_S = 10.0
"""How long the recorder may take, at the end, to take what waits."""


class Core:
    """The line, its ends, and what waits."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self.line, fed_ns = _line(work)
        self._carrier = Carrier(self.line)
        self._rings: list[FrameRing] = [work.ring(index) for index in range(len(work.config.camera))]
        self._cameras = [work.board.station(camera_role(index)) for index in range(len(work.config.camera))]
        self._plc = work.end("plc")
        self._ends = {end.fileno(): end for end in (self._plc, *(work.end(name) for name in work.spec.fds if _is_source(name)))}
        self._poller = select.poll()
        for fd in self._ends:
            self._poller.register(fd, select.POLLIN)
        self._decided = Decided(work.spec.fds["decided"], work.config.line.lanes)
        self._outbox = Outbox(work, work.end("recorder"))
        self._stream = LogStream(work.n_pixels, work.spec.profile, self._outbox.put, self._where)
        self._file_ns = int(work.config.log.file_minutes * 60e9)
        self._begun_ns = work.now_ns()
        self._number = 0
        self._look_at = 0.0
        self._pulse_ns = fed_ns
        self._schedule = Schedule(work.config.command, 0, fed_ns + 1)
        work.board.shared["shutter"] = Position.OPEN

    def run(self) -> None:
        """Feed the line until it is stopped and everything that was sent has been fed."""
        self._begin_file()
        if self._work.board.shared["moves_shutters"][0]:
            # The core before this one may have died with shutters closed: until the PLC process tells anew, nobody knows.
            unknown = Reading(0, self._work.now_ns(), -1, "shutter", float(Position.BETWEEN))
            self._feed(unknown, unknown)
        while self._work.going():
            self._turn(IDLE_S)
        until = time.monotonic() + 1.0
        while self._turn(0.0) and time.monotonic() < until:
            pass
        self._end_file()
        self._outbox.put(END, 0, b"")
        until = time.monotonic() + (ORPHANED_S if self._work.orphaned() else FLUSH_S)
        while not self._outbox.empty and time.monotonic() < until:
            self._outbox.flush()
            time.sleep(0.002)

    def _turn(self, wait_s: float) -> bool:
        """Feed what lies ready; say whether there was anything."""
        ready = self._poller.poll(1000 * wait_s)
        for fd, _ in ready:
            for data in wire.receive(self._ends[fd], 64):
                self._take(data)
        if self._outbox.again() or (self._outbox.torn and self._outbox.has_room):
            self._begin_file()
        self._outbox.flush()
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_S
            self._ask_to_stop()
        return bool(ready)

    def _ask_to_stop(self) -> None:
        """Ask for the belt to be stopped while more decisions wait for the disk than half of what there is room for."""
        shared = self._work.board.shared
        decided, kept = int(shared["decided_cup"][0]), int(shared["committed_cup"][0])
        wants = decided - kept > UNKEPT_CUPS and len(self._decided.cups(kept + 1, decided)) > UNKEPT_CUPS
        shared["wants_stop"] = wants
        if wants:
            belt = self._work.board.belt()
            self._work.alarm(Alarm(belt[0] if belt else 0, "decisions_unkept", RECORDER))

    def _take(self, data: bytes) -> None:
        if wire.is_frame(data):
            self._frame(*wire.frame_of(data))
            return
        for message in wire.messages_of(data, self._work.n_pixels):
            self._feed(message, message)

    def _frame(self, camera: int, number: int, seq: int, tick: int, t_ns: int) -> None:
        ring = self._rings[camera]
        self._cameras[camera].looked(number)
        mosaic = ring.look(number)
        if mosaic is None:
            self._work.station.count("frames_torn")
            return
        frame = Frame(camera, seq, tick, t_ns, mosaic)
        views = self.line.imaged(frame)
        if not ring.holds(number):
            self._work.station.count("frames_torn")
            return
        self._number = number
        self._feed(frame, views)

    def _where(self, frame: Frame) -> bytes:
        return FRAME_AT.pack(frame.camera, self._number, frame.seq, frame.tick, frame.t_ns)

    def _feed(self, message: Message, fed: Message) -> None:
        station = self._work.station
        if isinstance(message, Pulse):
            station.took("wait", self._work.now_ns() - message.t_ns)
            if message.t_ns - self._begun_ns >= self._file_ns:
                self._end_file()
                self._begin_file()
            for command in self._schedule.due(message):
                self._feed(command, command)
        self._stream.take(message if self._work.spec.profile == "full" else fed)
        outputs = self.line.feed(fed)
        station.count("messages")
        if isinstance(message, Pulse):
            self._pulse_ns = message.t_ns
        if outputs:
            self._gave(message, outputs)
        if isinstance(message, OutletReport) and message.state in STATES:
            self._carry()  # no pulse need come soon: the belt may stand

    def _gave(self, message: Message, outputs: tuple[Output, ...]) -> None:
        ejections = []
        for output in outputs:
            if isinstance(output, Decisions):
                self._decided.put(output.rows)
                self._work.board.shared["decided_cup"] = int(output.rows["cup"][-1])
                self._work.station.count("decisions", len(output.rows))
            elif isinstance(output, Ejection):
                ejections.append(output)
            elif isinstance(output, Shutter):
                self._work.board.shared["shutter"][0, output.lane] = output.position
            elif isinstance(output, Alarm):
                self._work.alarm(output)
        if ejections and not wire.send(self._plc, wire.of_ejections(_t_ns(message), ejections)):
            self._work.station.count("ejections_refused", len(ejections))
        if isinstance(message, Pulse):
            self._carry()
            self._work.station.took("decide", self._work.now_ns() - message.t_ns)
        self._stream.gave(outputs)

    def _carry(self) -> None:
        """Keep what a core after this one must know."""
        self._work.board.carry(self._carrier.pack(self.line.state, self._pulse_ns))

    def _end_file(self) -> None:
        """Have the recorder end a file whole, unless something of it was shed."""
        self._stream.flush()
        if not self._outbox.torn:
            self._outbox.put(CLOSE, 0, b"")

    def _begin_file(self) -> None:
        """Have the recorder begin a file, with the state of the line before the next message."""
        self._stream.flush()  # what was fed already is in that state
        why = TORN if self._outbox.torn else STARTED
        self._outbox.torn = False
        self._begun_ns = self._work.now_ns()
        self._outbox.put(OPEN, self._begun_ns, why)
        self._stream.begin(self.line.snapshot())


def _t_ns(message: Message) -> int:
    return message.t_ns if isinstance(message, Pulse) else 0


def _is_source(name: str) -> bool:
    return name.startswith("camera") or name in (SPECTRA, SCALE)


def _line(work: Work) -> tuple[Line, int]:
    """Return the line as it was when a core before this one died, or a new one; and when the last pulse it was fed came."""
    line = reopen(work.run_dir).line()
    carried = work.board.carried()
    if carried is None:
        return line, -1
    return line, resumed(line, carried, int(work.board.shared["decided_cup"][0]))


def run(work: Work) -> None:
    """Be the core until the line stops."""
    warm(reopen(work.run_dir).line())
    core = Core(work)
    gc.collect()
    gc.freeze()
    gc.disable()
    if work.config.live.realtime:
        real_time(work, PRIORITY)
    work.station.ready()
    core.run()
