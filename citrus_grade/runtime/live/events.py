"""What happens to a live line itself, as lines of JSON in the run folder: for a log collector, and for whoever looks into a run.

A thread writes, and waits for the disk if it must; what finds no room meanwhile is counted. Files follow one another and the
oldest go, so that a season's do not fill the disk.
"""

import json
import logging
import queue
import threading
from contextlib import suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

NAME = "events.jsonl"
FILE_BYTES = 8 << 20
OLD_FILES = 4
WAITING = 2000
"""Lines that may wait for the disk."""
CLOSE_S = 3.0
Level = Literal["info", "warning", "error"]


class _File(RotatingFileHandler):
    """A file whose disk may be full: the lines are counted, and nothing stops."""

    lost = 0

    def handleError(self, record: logging.LogRecord) -> None:
        self.lost += 1


class EventLog:
    """Writes events of a line, each one JSON object on a line of its own; never waits, never raises."""

    def __init__(self, path: Path, file_bytes: int = FILE_BYTES) -> None:
        self._file = _File(path, maxBytes=file_bytes, backupCount=OLD_FILES, encoding="utf-8", delay=True)
        self._waiting: queue.Queue[str | None] = queue.Queue(WAITING)
        self._shed = 0
        self._thread = threading.Thread(target=self._write, daemon=True, name="events")
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many lines found no room or no disk."""
        return self._shed + self._file.lost

    def write(self, event: str, process: str, level: Level = "info", tick: int | None = None, **fields: Any) -> None:
        """Append an event; ``tick`` is where the belt was, None where nobody knows."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        said = {"time": at, "tick": tick, "level": level, "process": process, "event": event} | fields
        try:
            self._waiting.put_nowait(json.dumps(said, ensure_ascii=False, default=str))
        except queue.Full:
            self._shed += 1

    def close(self) -> None:
        """Write what waits, if the disk takes it within `CLOSE_S`."""
        try:
            self._waiting.put(None, timeout=CLOSE_S)
        except queue.Full:
            return
        self._thread.join(CLOSE_S)

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            self._file.handle(logging.makeLogRecord({"msg": line}))
        with suppress(OSError):  # a full disk refuses at last what waited in the file's buffer
            self._file.close()


def read(run_dir: Path) -> list[dict[str, Any]]:
    """Return the events of a run that are still there, the oldest first; a line that a full disk cut short is left out."""
    paths = [*(run_dir / f"{NAME}.{n}" for n in range(OLD_FILES, 0, -1)), run_dir / NAME]
    lines = [line for path in paths if path.exists() for line in path.read_text(encoding="utf-8").splitlines()]
    return [found for line in lines if (found := _parsed(line)) is not None]


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(line)
    except ValueError:
        return None
    return found
