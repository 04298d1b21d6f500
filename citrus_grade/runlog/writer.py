"""Writing a run: MCAP in small chunks, so that a killed or full machine loses at most the last of them."""

import json
import os
import platform
import struct
from dataclasses import replace
from pathlib import Path

import numba
import numpy as np
from mcap.writer import CompressionType, Writer

from citrus_grade import __version__
from citrus_grade.config import LineConfig
from citrus_grade.messages import Alarm, Decisions, Frame, Joined, Message, Output, Pulse, Views
from citrus_grade.runlog import codec
from citrus_grade.runlog.records import DECISIONS_SCHEMA, Batch, messages_schema, pack_decisions

CHUNK_BYTES = 64 * 1024
FRAME_HEAD = struct.Struct("<iqqqii")
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


class LogWriter:
    """One file of a run. Messages go in before they are fed, outputs after; nothing is dropped, the order is kept.

    Parameters
    ----------
    path : written as ``path`` + ``.active`` until `close`.
    config : its ``log.profile`` says what is kept.
    snapshot : the state of the line at the file's beginning.
    """

    def __init__(self, path: Path, config: LineConfig, snapshot: bytes, profile: str) -> None:
        self.path = path
        self.profile = profile
        self._active = path.with_name(path.name + ".active")
        self._pixels = config.spectrometer.pixels if config.spectrometer else 1
        self._batch = Batch(self._pixels)
        self._t_ns = self._sequence = 0
        self._file = self._active.open("wb")
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        self._writer.start(profile="", library=f"citrus_grade {__version__}")
        self._channels()
        self._put(self._snapshot, snapshot)

    def _channels(self) -> None:
        writer = self._writer
        versions = {
            "citrus_grade": __version__,
            "numpy": np.__version__,
            "numba": numba.__version__,
            "machine": platform.machine(),
        }
        writer.add_metadata("run", {"profile": self.profile, "n_pixels": str(self._pixels), **versions})
        ros = {
            "messages": ("citrus/Messages", messages_schema(self._pixels)),
            "decisions": ("citrus/Decisions", DECISIONS_SCHEMA),
        }
        ids = {}
        for topic, (name, text) in ros.items():
            schema = writer.register_schema(name, "ros1msg", text.encode())
            ids[topic] = writer.register_channel(f"/line/{topic}", "ros1", schema)
        self._messages, self._decisions = ids["messages"], ids["decisions"]
        alarm = writer.register_schema("citrus/Alarm", "jsonschema", json.dumps(_ALARM_SCHEMA).encode())
        self._alarms = writer.register_channel("/line/alarms", "json", alarm)
        self._snapshot = writer.register_channel("/line/snapshot", "citrus.npz", 0)
        self._frames = writer.register_channel("/line/frames", codec.NAME, 0)

    def take(self, message: Message) -> None:
        """Record a message that is about to be fed."""
        if self.profile == "off":
            return
        if isinstance(message, Frame):
            if self.profile == "full":
                self._flush()
                self._frame(message)
            return
        if isinstance(message, Joined):
            return
        if isinstance(message, Views) and self.profile == "normal":
            message = replace(message, rows=message.rows[:0])  # decisions hold what comes of them
        if isinstance(message, Pulse):
            self._t_ns = message.t_ns
        self._batch.add(message)
        if len(self._batch) >= _WAITING:
            self._flush()

    def gave(self, outputs: tuple[Output, ...]) -> None:
        """Record what followed from the message taken last."""
        for output in outputs:
            if isinstance(output, Decisions):
                self._flush()
                self._put(self._decisions, pack_decisions(output.rows))
            elif isinstance(output, Alarm):
                alarm = {"tick": output.tick, "kind": output.kind, "where": output.where, "count": output.count}
                self._put(self._alarms, json.dumps(alarm).encode())

    def sync(self) -> None:
        """Make what was recorded so far safe against a crash of the machine: call it once a second."""
        self._flush()
        self._writer.flush()  # type: ignore[no-untyped-call]  # mcap
        os.fdatasync(self._file.fileno())

    def close(self) -> None:
        """Finish the file and give it its name; on a full disk it keeps the name of an unfinished one."""
        try:
            self._flush()
            self._writer.finish()  # type: ignore[no-untyped-call]  # mcap
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
        self._active.replace(self.path)

    def _flush(self) -> None:
        if len(self._batch):
            self._put(self._messages, self._batch.pack())

    def _frame(self, frame: Frame) -> None:
        """What is no mosaic is kept as an empty one: the line refuses either, and a replay finds it where it was."""
        sound = codec.accepts(frame.mosaic)
        height, width = frame.mosaic.shape[:2] if sound else (0, 0)
        head = FRAME_HEAD.pack(frame.camera, frame.seq, frame.tick, frame.t_ns, height, width)
        self._put(self._frames, head + (codec.encode(frame.mosaic) if sound else b""))

    def _put(self, channel: int, data: bytes) -> None:
        self._writer.add_message(channel, log_time=self._t_ns, publish_time=self._t_ns, data=data, sequence=self._sequence)
        self._sequence += 1
