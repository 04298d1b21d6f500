"""The recorder: run log and fruit table on disk, apart from the core, so that a slow disk holds up no fruit.

Decisions are acknowledged to the core only when the database has them; the log is synced once a second. A disk that takes no more
ends the log, not the grading: it is tried again, and the log goes on with a new file.
"""

import json
import sqlite3
import time
from collections import deque
from pathlib import Path

import numpy as np

from citrus_grade.messages import Alarm, Frame
from citrus_grade.ports import DeviceError
from citrus_grade.runlog import files
from citrus_grade.runlog.writer import LogFile, Topic, frame_record
from citrus_grade.runtime.live import wire
from citrus_grade.runtime.live.keeping import keep
from citrus_grade.runtime.live.memory import Decided
from citrus_grade.runtime.live.outbox import CLOSE, END, FRAME_AT, OPEN
from citrus_grade.runtime.live.store import NAME, Store
from citrus_grade.runtime.live.work import ORPHANED_S, Work

SYNC_S = 0.5
AGAIN_S = 5.0
"""Before a disk that took no more is tried again."""
WAITING_ALARMS = 2000
"""Alarms that may wait for the database; what finds no room is counted."""
END_S = 0.5
"""When the core has ended, what it sent lies ready: so long without anything, and nothing more comes."""


class LiveRecorder:
    """Takes what the core sends."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._rings = [work.ring(index) for index in range(len(work.config.camera))]
        self._store = _store(work.run_dir)
        self._alarms: deque[tuple[float, Alarm]] = deque(maxlen=WAITING_ALARMS)
        self._decided = Decided(work.spec.fds["decided"], work.config.line.lanes)
        self._next_cup = self._store.committed + 1
        self._join = wire.Joiner()
        self._log: LogFile | None = None
        self._again_at = self._commit_at = 0.0
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
            self._open(data.decode())
        elif topic == CLOSE:
            self._finish()
        else:
            self._record(Topic(topic), t_ns, data)

    def _open(self, why: str) -> None:
        """Begin a file; ``why`` the one before it has not ended whole, if so."""
        self._cut(why)
        self._remove_oldest()
        folder = self._work.run_dir / "log"
        name = f"{next_serial(folder):06d}.mcap"
        try:
            self._log = LogFile(folder / name, self._work.n_pixels, self._work.spec.profile)
        except OSError as error:
            self._lost(error)
        else:
            self._work.event("file_begun", file=name)

    def _remove_oldest(self) -> None:
        """Remove the oldest files that are more than ``keep_gb`` together; none is being written now."""
        keep_gb = self._work.config.log.keep_gb
        for path in oldest_beyond(keep_gb * 1e9, self._work.run_dir) if keep_gb else ():
            try:
                path.unlink()
            except OSError as error:
                self._work.trouble("log_disk", error.strerror or str(error))
            else:
                self._work.event("file_removed", file=path.name)

    def _record(self, topic: Topic, t_ns: int, data: bytes) -> None:
        if topic == Topic.ALARMS:
            told = json.loads(data)
            self._work.station.count("shed_messages", len(self._alarms) == WAITING_ALARMS)
            self._alarms.append((time.time(), Alarm(told["tick"], told["kind"], told["where"], told["count"])))
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
        self._work.trouble("log_disk", error.strerror or str(error))
        self._work.event("file_lost", error=error.strerror or str(error))
        self._work.station.count("reopened")
        if self._log is not None:
            self._log.give_up()
        self._log = None
        self._again_at = time.monotonic() + AGAIN_S

    def sync(self, *, at_end: bool = False) -> None:
        """Make everything taken so far safe and acknowledge it; a table that took nothing is tried again after `AGAIN_S`."""
        started = time.monotonic_ns()
        if at_end or time.monotonic() >= self._commit_at:
            try:
                self._commit()
            except sqlite3.Error as error:
                self._store.rollback()
                self._next_cup = self._store.committed + 1
                self._commit_at = time.monotonic() + AGAIN_S
                self._work.trouble("table_disk", str(error))
        if self._log is not None:
            try:
                self._log.sync()
            except OSError as error:
                self._lost(error)
        self._work.station.took("commit", time.monotonic_ns() - started)

    def _commit(self) -> None:
        for at_utc_s, alarm in self._alarms:
            self._store.event(at_utc_s, alarm)
        self._next_cup = keep(self._store, self._decided, self._work.board, self._next_cup)
        cup = self._store.commit()
        self._alarms.clear()
        self._work.board.set_kept(cup, self._store.reasons())
        self._work.station.count("commits")

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
            self._finish(why)

    def _finish(self, why: str | None = None) -> None:
        if self._log is None:
            return
        try:
            self._log.close()
        except OSError as error:
            self._lost(error)
        else:
            self._work.event("file_closed", file=self._log.path.name, ends_early=why)
        self._log = None

    def close(self) -> None:
        """Finish log and table."""
        self._cut("the run was broken off")
        try:
            self._store.close()
        except sqlite3.Error as error:
            self._work.trouble("table_disk", str(error))


def _store(run_dir: Path) -> Store:
    try:
        return Store(run_dir)
    except sqlite3.Error as error:
        raise DeviceError(f"{NAME}: {error}") from error


def next_serial(folder: Path) -> int:
    """Return the number of the next log file of a folder."""
    taken = [int(path.name.split(".")[0]) for path in folder.glob("*.mcap*") if path.name.split(".")[0].isdigit()]
    return max(taken, default=-1) + 1


def oldest_beyond(keep_bytes: float, run_dir: Path) -> list[Path]:
    """Return the oldest log files of a run that are too many for ``keep_bytes`` in all; never the newest, by whose number the
    next is named."""
    paths, kept = files(run_dir) if any((run_dir / "log").iterdir()) else [], 0
    for n in range(len(paths) - 1, -1, -1):
        kept += paths[n].stat().st_size
        if kept > keep_bytes:
            return paths[: min(n + 1, len(paths) - 1)]
    return []


def run(work: Work) -> None:
    """Record until the core says that no more comes."""
    core = work.end("core")
    recorder = LiveRecorder(work)
    work.station.ready()
    due = last_came = time.monotonic()
    try:
        while not recorder.ended:
            going, ready, came = work.going(), wire.wait(core, 0.1), False
            for datagram in wire.receive(core, 512):
                recorder.take(datagram)
                came = True
            if came or going:
                last_came = time.monotonic()
            elif ready or time.monotonic() - last_came > (ORPHANED_S if work.orphaned() else END_S):
                break  # ready without anything there: nobody holds the other end any more
            if time.monotonic() >= due:
                recorder.sync()
                due = time.monotonic() + SYNC_S
                if recorder.wants_file:
                    recorder.retry()
        recorder.sync(at_end=True)
    finally:
        recorder.close()
