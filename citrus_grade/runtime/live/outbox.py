"""What goes from the core to the recorder: records of the log, and where files of it begin and end.

The core never waits for it: what finds no room waits in bounded memory, and what finds none there either is shed and counted.
"""

import socket
import struct
from collections import deque

from citrus_grade.runlog.writer import Topic
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.work import RECORDER, Work

OPEN, CLOSE, END = 64, 65, 66
"""What the recorder is told beside the records of a log: a file begins, it ends whole, no more comes."""
STARTED, TORN = b"the core was started again", b"the recorder or its disk took records more slowly than they came"
"""Why a file that has not ended whole is followed by another; goes with `OPEN`."""
NEVER_SHED = (OPEN, CLOSE, END, Topic.SNAPSHOT)
FRAME_AT = struct.Struct("<iqqqq")
"""What stands for a frame on its way to the recorder: camera, number in its ring, seq, tick, t_ns."""
WAITING_BYTES = 32 << 20
"""Log records that may wait for the recorder."""


class Outbox:
    """Records of the log on their way to the recorder."""

    def __init__(self, work: Work, end: socket.socket) -> None:
        self._work, self._end = work, end
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._number = 0
        self._recorder = work.board.station(RECORDER)
        self._epoch = self._recorder.epoch
        self.torn = False
        """Whether records of the log have been shed since the last `OPEN`: what follows can't be replayed without a snapshot."""

    def put(self, topic: int, t_ns: int, data: bytes) -> None:
        """Append a record of the log, or shed it."""
        if topic not in NEVER_SHED and (self.torn or self._bytes + len(data) > WAITING_BYTES):
            self.torn = True
            self._count_shed(topic)
            return
        self._append(topic, t_ns, data)

    def _count_shed(self, topic: int) -> None:
        self._work.station.count("shed_frames" if topic == Topic.FRAMES else "shed_messages")

    def _append(self, topic: int, t_ns: int, data: bytes) -> None:
        for part in wire.parts(topic, t_ns, self._number, data):
            self._waiting.append(part)
            self._bytes += len(part)
        self._number += 1

    def flush(self) -> None:
        """Send what the recorder has room for."""
        while self._waiting and wire.send(self._end, self._waiting[0]):
            self._bytes -= len(self._waiting.popleft())
        self._work.station.set("queue_bytes", self._bytes)

    def again(self) -> bool:
        """Say whether there is a new recorder; of what waited for the one before only alarms are of use to it."""
        if self._recorder.epoch == self._epoch:
            return False
        self._epoch = self._recorder.epoch
        waited, self._waiting, self._bytes = self._waiting, deque(), 0
        for part in waited:
            topic = wire.ends_record(part)
            if topic == Topic.ALARMS:
                self._waiting.append(part)
                self._bytes += len(part)
            elif topic is not None and topic not in NEVER_SHED:
                self._count_shed(topic)
        return True

    @property
    def empty(self) -> bool:
        return not self._waiting

    @property
    def has_room(self) -> bool:
        return self._bytes < WAITING_BYTES // 4
