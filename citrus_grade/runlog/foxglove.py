"""An MCAP file as Foxglove and Lichtblick show it: fruit as plots, alarms as log lines, frames as pictures."""

import json
import struct
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from mcap.writer import CompressionType, Writer
from numpy.typing import NDArray

from citrus_grade import __version__
from citrus_grade.lots import columns
from citrus_grade.messages import Alarm, Reason
from citrus_grade.tables import DECISION, Table

JPEG_QUALITY = 90
_WARNING = 3
_TIME = {"type": "object", "properties": {"sec": {"type": "integer"}, "nsec": {"type": "integer"}}}
LOG_SCHEMA = {
    "type": "object",
    "properties": {
        "timestamp": _TIME, "level": {"type": "integer"}, "message": {"type": "string"}, "name": {"type": "string"},
        "file": {"type": "string"}, "line": {"type": "integer"},
    },
}  # fmt: skip
IMAGE_SCHEMA = f"""std_msgs/Header header
string format
uint8[] data
{"=" * 80}
MSG: std_msgs/Header
uint32 seq
time stamp
string frame_id
"""
_KINDS = {"i": "integer", "u": "integer", "f": "number"}


def fruit_schema(
    targets: tuple[str, ...], grades: tuple[str, ...], outlets: tuple[str, ...], classes: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the JSON schema of one fruit: the columns of the fruit table. What was not measured is left out of a message."""
    named = columns(np.zeros(1, DECISION), targets, grades, outlets, classes)
    kinds = {name: _KINDS.get(np.asarray(column).dtype.kind, "string") for name, column in named.items()}
    return {"type": "object", "properties": {name: {"type": kind} for name, kind in kinds.items()}}


class FoxgloveFile:
    """Writes one file; use it in a ``with`` statement."""

    def __init__(
        self,
        path: Path,
        targets: tuple[str, ...],
        grades: tuple[str, ...],
        outlets: tuple[str, ...],
        classes: tuple[str, ...] = (),
    ) -> None:
        self._words = (targets, grades, outlets, classes)
        self._file = path.open("wb")
        self._writer = Writer(self._file, compression=CompressionType.ZSTD)
        self._writer.start(profile="", library=f"citrus_grade {__version__}")
        schemas = {
            "citrus.Fruit": ("jsonschema", json.dumps(fruit_schema(*self._words))),
            "foxglove.Log": ("jsonschema", json.dumps(LOG_SCHEMA)),
            "sensor_msgs/CompressedImage": ("ros1msg", IMAGE_SCHEMA),
        }
        self._schemas = {name: self._writer.register_schema(name, kind, text.encode()) for name, (kind, text) in schemas.items()}
        self._channels: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._writer.finish()  # type: ignore[no-untyped-call]  # the library leaves it unannotated
        self._file.close()

    def decisions(self, t_ns: int, rows: Table) -> int:
        """Write one message a fruit on its lane's topic; return how many."""
        full = rows[rows["reason"] != Reason.EMPTY]
        named = {name: np.asarray(column).tolist() for name, column in columns(full, *self._words).items()}
        for values in zip(*named.values(), strict=True):
            fruit = {name: value for name, value in zip(named, values, strict=True) if value == value}
            self._put(f"/lane/{fruit['lane']}/fruit", "json", "citrus.Fruit", t_ns, json.dumps(fruit).encode())
        return len(full)

    def alarm(self, t_ns: int, alarm: Alarm) -> None:
        """Write an alarm as a log line."""
        sec, nsec = divmod(t_ns, 1_000_000_000)
        message = f"{alarm.kind}: {alarm.where}, {'over' if alarm.is_over else f'{alarm.count} x'}"
        stamp = {"sec": sec, "nsec": nsec}
        line = {"timestamp": stamp, "level": _WARNING, "message": message, "name": alarm.kind, "file": "", "line": 0}
        self._put("/alarms", "json", "foxglove.Log", t_ns, json.dumps(line).encode())

    def image(self, t_ns: int, camera: str, seq: int, colours: NDArray[np.uint8]) -> None:
        """Write a frame (height, width, 3), blue first, as a JPEG."""
        _, jpeg = cv2.imencode(".jpg", colours, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        stamp = struct.pack("<III", seq & 0xFFFFFFFF, *divmod(t_ns, 1_000_000_000))
        data = stamp + _sized(camera.encode()) + _sized(b"jpeg") + _sized(jpeg.tobytes())
        self._put(f"/camera/{camera}", "ros1", "sensor_msgs/CompressedImage", t_ns, data)

    def _put(self, topic: str, encoding: str, schema: str, t_ns: int, data: bytes) -> None:
        if topic not in self._channels:
            self._channels[topic] = self._writer.register_channel(topic, encoding, self._schemas[schema])
        self._writer.add_message(self._channels[topic], log_time=t_ns, publish_time=t_ns, data=data)


def _sized(data: bytes) -> bytes:
    return struct.pack("<I", len(data)) + data
