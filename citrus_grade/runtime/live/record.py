"""The recorder: run log and fruit table on disk, apart from the core, so that a slow disk holds up no fruit.

Decisions are acknowledged to the core only when the database has them; the log is synced once a second. A disk that takes no more
ends the log, not the grading: it is tried again, and the log goes on with a new file.
"""

import json
import sqlite3
import time
from pathlib import Path

import numpy as np

from citrus_grade.messages import Alarm, Frame
from citrus_grade.runlog.writer import LogFile, Topic, frame_record
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.core import CLOSE, END, FRAME_AT, OPEN
from citrus_grade.runtime.live.memory import DECIDED_CUPS, Decided
from citrus_grade.runtime.live.store import Store
from citrus_grade.runtime.live.work import Work

SYNC_S = 0.5
AGAIN_S = 5.0
"""Before a disk that took no more is tried again."""


class LiveRecorder:
    """Takes what the core sends."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._rings = [work.ring(index) for index in range(len(work.config.camera))]
        self._store = Store(work.run_dir)
        self._decided = Decided(work.spec.fds["decided"], work.config.line.lanes)
        self._next_cup = self._store.committed + 1
        self._join = wire.Joiner()
        self._log: LogFile | None = None
        self._again_at = 0.0
        self.ended = False

    def take(self, datagram: bytes) -> None:
        """Take one datagram of the core."""
        record = self._join(datagram)
        if record is None:
            return
        topic, t_ns, _, data = record
        if topic == END:
            self.ended = True
        elif topic == OPEN:
            self._open()
        elif topic == CLOSE:
            self._finish()
        else:
            self._record(Topic(topic), t_ns, data)

    def _open(self) -> None:
        self._cut("the core was started again")
        folder = self._work.run_dir / "log"
        try:
            self._log = LogFile(folder / f"{next_serial(folder):06d}.mcap", self._work.n_pixels, self._work.spec.profile)
        except OSError as error:
            self._lost(error)

    def _record(self, topic: Topic, t_ns: int, data: bytes) -> None:
        if topic == Topic.ALARMS:
            told = json.loads(data)
            self._store.event(Alarm(told["tick"], told["kind"], told["where"], told["count"]))
        if self._log is None:
            return
        try:
            if topic == Topic.FRAMES:
                pixels = self._frame(data)
                if pixels is None:
                    self._cut("pixels were written over before they could be kept")
                    self.retry()
                    return
                data = pixels
            self._log.put(topic, t_ns, data)
        except OSError as error:
            self._lost(error)

    def _frame(self, where: bytes) -> bytes | None:
        """Return the record of a frame, or None, counted, of one that was written over before it could be kept."""
        camera, number, seq, tick, t_ns = FRAME_AT.unpack(where)
        ring = self._rings[camera]
        mosaic = ring.look(number)
        kept = np.array(mosaic) if mosaic is not None else None
        if kept is None or not ring.holds(number):
            self._work.station.count("shed_frames")
            return None
        return frame_record(Frame(camera, seq, tick, t_ns, kept))

    def _lost(self, error: OSError) -> None:
        """Leave a file that takes no more as it is."""
        self._work.tell(f"log: {error.strerror or error}")
        self._work.station.count("reopened")
        self._log = None
        self._again_at = time.monotonic() + AGAIN_S

    def _decisions(self) -> None:
        """Take what has been decided since the last time into the table."""
        decided = int(self._work.board.shared["decided_cup"][0])
        first = max(self._next_cup, decided - DECIDED_CUPS + 1)
        self._work.station.count("shed_decisions", first - self._next_cup)
        for cup in range(first, decided + 1):
            rows = self._decided.get(cup)
            if rows is not None:
                self._store.add(rows)
        self._next_cup = decided + 1

    def sync(self) -> None:
        """Make everything taken so far safe and acknowledge it."""
        started = time.monotonic_ns()
        try:
            self._decisions()
            self._work.board.shared["committed_cup"] = self._store.commit()
            self._work.station.count("commits")
        except sqlite3.Error as error:
            self._store.rollback()
            self._next_cup = self._store.committed + 1
            self._work.tell(f"{self._store.path.name}: {error}")
        if self._log is not None:
            try:
                self._log.sync()
            except OSError as error:
                self._lost(error)
        self._work.station.took("commit", time.monotonic_ns() - started)

    @property
    def wants_file(self) -> bool:
        """Whether the log ended on a full disk and may be tried again."""
        return self._log is None and 0 < self._again_at < time.monotonic()

    def retry(self) -> None:
        """Ask the core for a new file: for it this is a new recorder."""
        self._again_at = 0.0
        self._work.station.begin()
        self._work.station.ready()

    def _cut(self, why: str) -> None:
        """Finish a file to which more belonged."""
        if self._log is not None:
            self._log.ends_early(why)
            self._finish()

    def _finish(self) -> None:
        if self._log is None:
            return
        try:
            self._log.close()
        except OSError as error:
            self._lost(error)
        self._log = None

    def close(self) -> None:
        """Finish log and table."""
        self._cut("the run was broken off")
        self._store.close()


def next_serial(folder: Path) -> int:
    """Return the number of the next log file of a folder."""
    taken = [int(path.name.split(".")[0]) for path in folder.glob("*.mcap*") if path.name.split(".")[0].isdigit()]
    return max(taken, default=-1) + 1


def run(work: Work) -> None:
    """Record until the core says that no more comes."""
    core = work.end("core")
    recorder = LiveRecorder(work)
    work.station.ready()
    due = time.monotonic() + SYNC_S
    stopped_at: float | None = None
    try:
        while not recorder.ended:
            wire.wait(core, 0.1)
            for datagram in wire.receive(core, 512):
                recorder.take(datagram)
            if time.monotonic() >= due:
                recorder.sync()
                due = time.monotonic() + SYNC_S
                if recorder.wants_file:
                    recorder.retry()
            if not work.going():
                stopped_at = stopped_at or time.monotonic()
                if work.orphaned() or time.monotonic() - stopped_at > 15.0:
                    break
        recorder.sync()
    finally:
        recorder.close()
