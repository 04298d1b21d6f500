"""Writing a run: MCAP in small chunks, so that a killed or full machine loses at most the last of them."""

import json
import os
import platform
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum
from pathlib import Path

import numba
import numpy as np
from mcap.writer import CompressionType, Writer

from citrus_grade import __version__
from citrus_grade.config import LineConfig
from citrus_grade.messages import Alarm, Decisions, Frame, Joined, Message, Output, Pulse, References, Views
from citrus_grade.runlog import codec
from citrus_grade.runlog.records import (
    DECISIONS_SCHEMA,
    Batch,
    messages_schema,
    pack_decisions,
    pack_references,
    references_schema,
)

CHUNK_BYTES = 64 * 1024
FRAME_HEAD = struct.Struct("<iqqqii")
ENDS_EARLY = "ends_early"
"""Metadata of a file that something is missing from: its last message may be parted from what followed of it."""
_WAITING = 4096
_ALARM_SCHEMA = {
    "type": "object",
    "properties": {
        "tick": {"type": "integer"},
        "kind": {"type": "string"},
        "where": {"type": "string"},
        "count": {"type": "integer"},
    },
}


class Topic(IntEnum):
    """What a record of a log is."""

    MESSAGES = 0
    DECISIONS = 1
    ALARMS = 2
    SNAPSHOT = 3
    FRAMES = 4
    REFERENCES = 5


Put = Callable[[Topic, int, bytes], None]
"""Takes a record: what it is, the line's time in ns, its bytes."""


class LogFile:
    """One file of a run: records in, in order.

    Parameters
    ----------
    path : written as ``path`` + ``.active`` until `close`.
    n_pixels : of a scan. profile : what of a run is kept.
    """

    def __init__(self, path: Path, n_pixels: int, profile: str) -> None:
        self.path = path
        self._active = path.with_name(path.name + ".active")
        self._sequence = 0
        self._file = self._active.open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile="", library=f"citrus_grade {__version__}")
        versions = {
            "citrus_grade": __version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
            "machine": platform.machine(),
        }
        self._writer.add_metadata("run", {"profile": profile, "n_pixels": str(n_pixels), **versions})
        self._channel = self._channels(n_pixels)

    def _channels(self, n_pixels: int) -> dict[Topic, int]:
        writer = self._writer
        ros = {
            Topic.MESSAGES: ("citrus/Messages", messages_schema(n_pixels)),
            Topic.DECISIONS: ("citrus/Decisions", DECISIONS_SCHEMA),
            Topic.REFERENCES: ("citrus/References", references_schema(n_pixels)),
        }
        ids = {}
        for topic, (name, text) in ros.items():
            schema = writer.register_schema(name, "ros1msg", text.encode())
            ids[topic] = writer.register_channel(f"/line/{topic.name.lower()}", "ros1", schema)
        alarm = writer.register_schema("citrus/Alarm", "jsonschema", json.dumps(_ALARM_SCHEMA).encode())
        ids[Topic.ALARMS] = writer.register_channel("/line/alarms", "json", alarm)
        ids[Topic.SNAPSHOT] = writer.register_channel("/line/snapshot", "citrus.npz", 0)
        ids[Topic.FRAMES] = writer.register_channel("/line/frames", codec.NAME, 0)
        return ids

    def put(self, topic: Topic, t_ns: int, data: bytes) -> None:
        """Append a record."""
        self._writer.add_message(self._channel[topic], log_time=t_ns, publish_time=t_ns, data=data, sequence=self._sequence)
        self._sequence += 1

    def ends_early(self, why: str) -> None:
        """Note that the last messages may be parted from what followed of them."""
        self._writer.add_metadata(ENDS_EARLY, {"damage": why})

    def sync(self) -> None:
        """Make what was recorded so far safe against a crash of the machine: call it once a second."""
        self._writer.flush()  # type: ignore[no-untyped-call]  # mcap
        os.fdatasync(self._file.fileno())

    def give_up(self) -> None:
        """Leave the file as far as it came, and remove one that holds nothing."""
        with suppress(OSError):
            self._file.close()
        with suppress(OSError):
            if not self._active.stat().st_size:
                self._active.unlink()

    def close(self) -> None:
        """Finish the file and give it its name; on a full disk it keeps the name of an unfinished one."""
        try:
            self._writer.finish()  # type: ignore[no-untyped-call]  # mcap
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
        self._active.replace(self.path)


class LogStream:
    """Turns what is fed and what follows into records; nothing is dropped, the order is kept.

    Parameters
    ----------
    n_pixels : of a scan. profile : what is kept. put : takes each record. packed : what a frame becomes on its way to ``put``.
    """

    def __init__(self, n_pixels: int, profile: str, put: Put, packed: "Callable[[Frame], bytes] | None" = None) -> None:
        self.profile = profile
        self._batch = Batch(n_pixels)
        self._t_ns = 0
        self._put = put
        self._packed = packed or frame_record

    def begin(self, snapshot: bytes) -> None:
        """Record the state of the line: every file begins with it."""
        self._put(Topic.SNAPSHOT, self._t_ns, snapshot)

    def take(self, message: Message) -> None:
        """Record a message that is about to be fed."""
        if self.profile == "off":
            return
        if isinstance(message, Frame):
            if self.profile == "full":
                self.flush()
                self._put(Topic.FRAMES, self._t_ns, self._packed(message))
            return
        if isinstance(message, Joined):
            return
        if isinstance(message, Views) and self.profile == "normal":
            message = replace(message, rows=message.rows[:0])  # decisions hold what comes of them
        if isinstance(message, Pulse):
            self._t_ns = message.t_ns
        self._batch.add(message)
        if len(self._batch) >= _WAITING:
            self.flush()

    def gave(self, outputs: tuple[Output, ...]) -> None:
        """Record what followed from the message taken last."""
        for output in outputs:
            if isinstance(output, Decisions):
                self.flush()
                self._put(Topic.DECISIONS, self._t_ns, pack_decisions(output.rows))
            elif isinstance(output, References):
                self.flush()
                self._put(Topic.REFERENCES, self._t_ns, pack_references(output))
            elif isinstance(output, Alarm):
                alarm = {"tick": output.tick, "kind": output.kind, "where": output.where, "count": output.count}
                self._put(Topic.ALARMS, self._t_ns, json.dumps(alarm).encode())

    def flush(self) -> None:
        """Hand over the messages that wait for a decision."""
        if len(self._batch):
            self._put(Topic.MESSAGES, self._t_ns, self._batch.pack())


class LogWriter:
    """One file of a run, written where the line is fed: `LogStream` into `LogFile`."""

    def __init__(self, path: Path, config: LineConfig, snapshot: bytes, profile: str) -> None:
        n_pixels = config.spectrometer.pixels if config.spectrometer else 1
        self._file = LogFile(path, n_pixels, profile)
        self._stream = LogStream(n_pixels, profile, self._file.put)
        self.path = path
        self._stream.begin(snapshot)

    def take(self, message: Message) -> None:
        """Record a message that is about to be fed."""
        self._stream.take(message)

    def gave(self, outputs: tuple[Output, ...]) -> None:
        """Record what followed from the message taken last."""
        self._stream.gave(outputs)

    def sync(self) -> None:
        """Make what was recorded so far safe against a crash of the machine: call it once a second."""
        self._stream.flush()
        self._file.sync()

    def close(self) -> None:
        """Finish the file; see `LogFile.close`."""
        try:
            self._stream.flush()
        finally:
            self._file.close()


def frame_record(frame: Frame) -> bytes:
    """Return a frame as a record, its pixels compressed without loss.

    What is no mosaic is kept as an empty one: the line refuses either, and a replay finds it where it was.
    """
    sound = codec.accepts(frame.mosaic)
    height, width = frame.mosaic.shape[:2] if sound else (0, 0)
    head = FRAME_HEAD.pack(frame.camera, frame.seq, frame.tick, frame.t_ns, height, width)
    return head + (codec.encode(frame.mosaic) if sound else b"")
