"""Reading a run back, whole or cut anywhere."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from mcap.exceptions import McapError
from mcap.records import Channel, McapRecord, Metadata
from mcap.records import Message as Record
from mcap.stream_reader import StreamReader

from citrus_grade.messages import Alarm, Decisions, Frame, Message, References
from citrus_grade.runlog import codec
from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.records import unpack, unpack_decisions, unpack_references
from citrus_grade.runlog.writer import ENDS_EARLY, FRAME_HEAD
from citrus_grade.words import _

RECOVERED = ".recovered.mcap"
"""How a copy made of a damaged file ends; it is not a file of the run beside the one it was made of."""
DAMAGE = (McapError, struct.error, EOFError, ValueError, IndexError, KeyError, MemoryError, OverflowError)
"""What reading bytes that are not what they were may raise: a length out of a flipped bit may be anything."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the line where a file begins."""

    state: bytes


@dataclass(frozen=True, slots=True)
class Fed:
    """One record of messages, in the order they were fed."""

    messages: list[Message]


Entry = Snapshot | Fed | Decisions | Alarm | References


def files(run_dir: Path) -> list[Path]:
    """Return a run's log files in order, unfinished ones included.

    Raises
    ------
    LogError : if there are none.
    """
    folder = run_dir / "log"
    whole = [path for path in folder.glob("*.mcap") if not path.name.endswith(RECOVERED)]
    found = sorted([*whole, *folder.glob("*.mcap.active")])
    if not found:
        raise LogError(_("{run}: no log/*.mcap inside; name the folder that `citrus-grade run` wrote").format(run=run_dir))
    return found


def records(stream: BinaryIO, size_bytes: int) -> Iterator[McapRecord]:
    """Yield the records of a log, each message the next of its numbers.

    Raises
    ------
    any of `DAMAGE` : where the file is cut or changed, at the latest where a message is missing.
    """
    expected = 0
    for record in StreamReader(stream, validate_crcs=True, record_size_limit=size_bytes).records:
        if isinstance(record, Record):
            if record.sequence != expected:
                raise ValueError(f"message {record.sequence} follows message {expected - 1}")
            expected += 1
        yield record


class LogReader:
    """One log file, entry by entry. After iteration ``truncated`` says whether the file ends before it was finished.

    Frames are decoded only if asked for.
    """

    def __init__(self, path: Path, *, frames: bool = True) -> None:
        self.path = path
        self.truncated = False
        self.profile = ""
        self._frames = frames
        self._pixels = 1
        self._topics: dict[int, str] = {}

    def __iter__(self) -> Iterator[Entry]:
        with self.path.open("rb") as stream:
            try:
                yield from self._entries(stream)
            except DAMAGE:
                self.truncated = True

    def _entries(self, stream: BinaryIO) -> Iterator[Entry]:
        for record in records(stream, self.path.stat().st_size):
            if isinstance(record, Channel):
                self._topics[record.id] = record.topic
            elif isinstance(record, Metadata) and record.name == ENDS_EARLY:
                self.truncated = True
            elif isinstance(record, Metadata):
                self.profile = record.metadata["profile"]
                self._pixels = int(record.metadata["n_pixels"])
            elif isinstance(record, Record):
                entry = self._entry(self._topics.get(record.channel_id, ""), record.data)
                if entry is not None:
                    yield entry

    def _entry(self, topic: str, data: bytes) -> Entry | None:
        if topic == "/line/messages":
            return Fed(list(unpack(data, self._pixels)))
        if topic == "/line/decisions":
            return Decisions(unpack_decisions(data))
        if topic == "/line/references":
            return unpack_references(data, self._pixels)
        if topic == "/line/frames":
            return Fed([_frame(data)]) if self._frames else None
        if topic == "/line/alarms":
            return Alarm(**json.loads(data))
        return Snapshot(data) if topic == "/line/snapshot" else None


def _frame(data: bytes) -> Frame:
    camera, seq, tick, t_ns, height, width = FRAME_HEAD.unpack_from(data)
    mosaic = codec.decode(data[FRAME_HEAD.size :], height, width) if height else np.zeros((0, 0), np.uint8)
    return Frame(camera, seq, tick, t_ns, mosaic)
