"""What every process of a live line has: its place on the board, its ends, and when to stop."""

import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from citrus_grade.config import LineConfig, load
from citrus_grade.messages import Alarm, Message
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.board import Board, carry_bytes
from citrus_grade.runtime.live.memory import FrameRing, Shape

CORE, RECORDER, PLC, SPECTRA, SCALE, METRICS = "core", "recorder", "plc", "spectra", "scale", "metrics"
FORK_SERVER = "forkserver"
STACKS = "stacks.txt"
"""File of the run folder in which a process that stands still writes where it stands."""
ALARM = b"\x00"
"""What a process tells begins with this where it is an alarm of the line, as a JSON list; otherwise it is words."""
EVENT = b"\x01"
"""And with this where it is an event for the log of events: a JSON list of its name and its fields."""
STOPS_IN = {CORE: 2, PLC: 3, RECORDER: 4}
"""A line stops in steps, each begun when what stopped in the one before has ended: first what senses (1), then the core, which
decides all it was sent, then the PLC's process, which queues what the core decided, and the recorder, which writes it down."""
LAST_STEP = max(STOPS_IN.values())
ORPHANED_S = 3.0
"""When the supervisor is gone, core and recorder have so long to hand over and write down what has come so far."""
FIRE_OUT_S = 20.0
"""So long the belt may go on, when the line ends, for fruit that are queued in the PLC."""
UNUSABLE = 3
"""Exit code of a process whose device cannot be used as configured: starting it again is no use."""


@dataclass(frozen=True, slots=True)
class Spec:
    """What a process is told: its ``role``, where the run is, everyone's ``roles``, and descriptors by name in ``fds``."""

    role: str
    run_dir: str
    roles: tuple[str, ...]
    start_ns: int
    profile: str
    fds: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @staticmethod
    def of_json(text: str) -> "Spec":
        values = json.loads(text)
        return Spec(**(values | {"roles": tuple(values["roles"])}))


def camera_role(index: int) -> str:
    """Return the role of a camera's process."""
    return f"camera{index}"


def roles_of(config: LineConfig) -> tuple[str, ...]:
    """Return every process a line needs, the core first."""
    cameras = tuple(camera_role(index) for index in range(len(config.camera)))
    wanted = {SPECTRA: config.spectrometer, SCALE: config.scale, METRICS: config.live.metrics_port}
    return (CORE, RECORDER, PLC, *cameras, *(role for role, asked in wanted.items() if asked))


def stops_in(role: str) -> int:
    """Return the step of a stop in which a process ends."""
    return STOPS_IN.get(role, 1)


def room_to_carry(config: LineConfig) -> int:
    """Return how much a core of this line may leave to its successor, in bytes."""
    windows = len(config.camera) * max((camera.windows for camera in config.camera), default=0)
    return carry_bytes(config.line.lanes, config.spectrometer.pixels if config.spectrometer else 0, windows)


def ring_shape(config: LineConfig, index: int) -> Shape:
    """Return the size of a camera's ring."""
    camera = config.camera[index]
    return Shape(config.live.ring_frames, camera.height_px, camera.width_px, 3 if camera.bayer == "rgb" else 1)


class Work:
    """One process's work."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.run_dir = Path(spec.run_dir)
        self.config = load(self.run_dir / "line.toml")
        self.board = Board(spec.fds["board"], spec.roles, room_to_carry(self.config))
        self.station = self.board.station(spec.role)
        self.station.begin()
        self._stops_in = stops_in(spec.role)
        self._lock = threading.Lock()
        self._parent = wire.end_of(spec.fds["parent"])
        self.n_pixels = self.config.spectrometer.pixels if self.config.spectrometer else 1

    def end(self, name: str) -> socket.socket:
        """Return the end of a connection by its name."""
        return wire.end_of(self.spec.fds[name])

    def ring(self, index: int) -> FrameRing:
        """Return a camera's ring."""
        return FrameRing(self.spec.fds[f"ring{index}"], ring_shape(self.config, index))

    def going(self) -> bool:
        """Show that this process lives; say whether it is to go on: the line does not stop, or has not come so far, and the
        supervisor is there."""
        self.station.beat()
        return self.board.stop_step < self._stops_in and not self.orphaned()

    def orphaned(self) -> bool:
        """Say whether the supervisor is gone."""
        try:
            return self._parent.recv(16) == b""
        except BlockingIOError:
            return False
        except ConnectionError:
            return True

    def now_ns(self) -> int:
        """Return nanoseconds since the run's start, the line's own time."""
        return time.monotonic_ns() - self.spec.start_ns

    def tell(self, text: str) -> None:
        """Tell the supervisor something about this process in words."""
        self._say(text.encode()[: wire.PART_BYTES])

    def gone(self, device: int, gone: bool) -> None:
        """Write down that a device of this process, by its number, is gone or has come back; for any thread."""
        if self.station.is_gone(device) != gone:
            with self._lock:
                self.station.set_gone(device, gone)

    def count(self, name: str, n: int = 1) -> None:
        """Count so many more, for any thread, of what no other part of the process counts."""
        if n:
            with self._lock:
                self.station.count(name, n)

    def event(self, name: str, **fields: Any) -> None:
        """Have the supervisor write an event of this process."""
        self._say(EVENT + json.dumps([name, fields]).encode())

    def trouble(self, kind: str, where: str) -> None:
        """Tell the supervisor of a trouble of this process that has a kind of alarm of its own."""
        belt = self.board.belt()
        self.alarm(Alarm(belt[0] if belt else 0, kind, where))

    def alarm(self, alarm: Alarm) -> None:
        """Tell the supervisor of an alarm of the line."""
        self._say(ALARM + json.dumps([alarm.tick, alarm.kind, alarm.where, alarm.count]).encode())

    def _say(self, data: bytes) -> None:
        if not wire.send(self._parent, data):
            self.count("shed_words")

    def give(self, core: socket.socket, messages: list[Message]) -> bool:
        """Send messages to the core; what finds no room is counted. Return whether all did."""
        sent = [wire.send(core, data) for data in wire.of_messages(messages, self.n_pixels)]
        self.station.count("shed_messages", sent.count(False))
        return all(sent)


def real_time(work: Work, priority: int) -> None:
    """Take a fixed priority, or tell the supervisor that the machine does not permit it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError:
        work.trouble("not_realtime", work.spec.role)
