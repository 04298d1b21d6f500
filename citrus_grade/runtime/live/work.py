"""What every process of a live line has: its place on the board, its ends, and when to stop."""

import json
import os
import socket
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from citrus_grade.config import LineConfig, load
from citrus_grade.messages import Alarm, Message
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.memory import Board, FrameRing, Shape, carry_bytes
from citrus_grade.words import _

CORE, RECORDER, PLC, SPECTRA, SPARE = "core", "recorder", "plc", "spectra", "spare"
STACKS = "stacks.txt"
"""File of the run folder in which a process that stands still writes where it stands."""
ALARM = b"\x00"
"""What a process tells begins with this where it is an alarm of the line, as a JSON list; otherwise it is words."""
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
    return (CORE, RECORDER, PLC, *cameras, *((SPECTRA,) if config.spectrometer else ()))


def room_to_carry(config: LineConfig) -> int:
    """Return how much a core of this line may leave to its successor, in bytes."""
    return carry_bytes(config.line.lanes, config.spectrometer.pixels if config.spectrometer else 0)


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
        """Show that this process lives; say whether it is to go on: nobody stopped the line, the supervisor is there."""
        self.station.beat()
        return not self.board.stopping and not self.orphaned()

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
        wire.send(self._parent, text.encode()[: wire.PART_BYTES])

    def gone(self, change: int) -> None:
        """Count a device that is gone, or has come back; for any thread."""
        with self._lock:
            self.station.count("devices_gone", change)

    def alarm(self, alarm: Alarm) -> None:
        """Tell the supervisor of an alarm of the line."""
        wire.send(self._parent, ALARM + json.dumps([alarm.tick, alarm.kind, alarm.where, alarm.count]).encode())

    def give(self, core: socket.socket, messages: list[Message]) -> None:
        """Send messages to the core; what finds no room is counted."""
        for data in wire.of_messages(messages, self.n_pixels):
            if not wire.send(core, data):
                self.station.count("shed_messages")


def real_time(work: Work, priority: int) -> None:
    """Take a fixed priority, or tell the supervisor that the machine does not permit it."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        work.tell(
            _("live.realtime: {error}; give the program CAP_SYS_NICE, or LimitRTPRIO= in its unit").format(error=error.strerror)
        )
