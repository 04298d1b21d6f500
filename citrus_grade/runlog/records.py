"""What a log record looks like: packed NumPy records, described to other programs as ROS 1 messages.

A packed little-endian record array behind a length is exactly how ROS 1 serialises an array of messages. So what the line
writes costs it one copy, and Foxglove or Lichtblick plots the same bytes without a converter.
"""

import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from citrus_grade.messages import (
    Command,
    Joined,
    Message,
    OutletReport,
    OutletState,
    Pulse,
    Reading,
    ReadingKind,
    References,
    Scans,
    Views,
)
from citrus_grade.tables import CLARITY, DECISION, FRUIT, VIEW, Table, stack

_ROS = {
    "i1": "int8",
    "i2": "int16",
    "i4": "int32",
    "i8": "int64",
    "u1": "uint8",
    "u2": "uint16",
    "u4": "uint32",
    "u8": "uint64",
    "f4": "float32",
    "f8": "float64",
}
_STATES: tuple[OutletState, ...] = get_args(OutletState)
_READINGS: tuple[ReadingKind, ...] = get_args(ReadingKind)

_VIEWS_HEAD = np.dtype([("camera", "<i4"), ("seq", "<i8"), ("tick", "<i8"), ("t_ns", "<i8"), ("n", "<i4"), ("places", "<i4")])
_SCANS_HEAD = np.dtype([("t_ns", "<i8"), ("n", "<i4")])
_PULSE = np.dtype([("tick", "<i8"), ("head_tick", "<i8"), ("t_ns", "<i8")])
_REPORT = np.dtype([("tick", "<i8"), ("t_ns", "<i8"), ("lane", "<i4"), ("outlet", "<i4"), ("state", "u1"), ("cup", "<i8")])
_READING = np.dtype([("tick", "<i8"), ("t_ns", "<i8"), ("lane", "<i4"), ("kind", "u1"), ("value", "<f8")])
_VIEWS, _JOINED, _SCANS, _PULSES, _REPORTS, _READINGS_KIND, _COMMANDS = range(7)


def scan_dtype(n_pixels: int) -> np.dtype[Any]:
    """Return the record of one scan."""
    return np.dtype([("lane", "<i4"), ("seq", "<i4"), ("tick", "<i8"), ("counts", "<u2", (n_pixels,))])


def ros_fields(dtype: np.dtype[Any]) -> str:
    """Return a record type as the lines of a ROS 1 message."""
    lines = []
    for name in dtype.names or ():
        base, shape = dtype[name].base, dtype[name].shape
        size = f"[{math.prod(shape)}]" if shape else ""
        lines.append(f"{_ROS[base.str[1:]]}{size} {name}")
    return "\n".join(lines)


def _ros_tables(tables: Sequence[tuple[str, str, np.dtype[Any]]]) -> str:
    head = "\n".join(f"{kind}[] {name}" for name, kind, _ in tables)
    rule = "\n" + "=" * 80 + "\n"
    kinds = {kind: dtype for _, kind, dtype in tables}
    return head + "".join(f"{rule}MSG: citrus/{kind}\n{ros_fields(dtype)}" for kind, dtype in kinds.items())


DECISIONS_SCHEMA = _ros_tables([("decisions", "Decision", DECISION)])


def messages_schema(n_pixels: int) -> str:
    """Return the ROS 1 description of `pack`'s bytes."""
    return "uint8[] order\n" + _ros_tables(
        [
            ("views_heads", "ViewsHead", _VIEWS_HEAD),
            ("views", "View", VIEW),
            ("clarity", "Clarity", CLARITY),
            ("joined_counts", "Count", _COUNT),
            ("joined", "Fruit", FRUIT),
            ("scans_heads", "ScansHead", _SCANS_HEAD),
            ("scans", "Scan", scan_dtype(n_pixels)),
            ("pulses", "Pulse", _PULSE),
            ("reports", "OutletReport", _REPORT),
            ("readings", "Reading", _READING),
        ]
    ).replace("Reading[] readings", "Reading[] readings\nstring commands", 1)


_COUNT = np.dtype([("n", "<i4")])


def _array(rows: NDArray[Any]) -> bytes:
    return struct.pack("<I", len(rows)) + rows.tobytes()


def _records(dtype: np.dtype[Any], rows: list[tuple[Any, ...]]) -> bytes:
    return _array(np.array(rows, dtype))


def pack_decisions(rows: Table) -> bytes:
    """Return decisions as the bytes of a record."""
    return _array(rows)


def unpack_decisions(data: bytes) -> Table:
    """Return the decisions of a record, without a copy."""
    return _take(data, 0, DECISION)[0]


def _references_dtype(n_pixels: int) -> np.dtype[Any]:
    floats = [("dark", "<f8", (n_pixels,)), ("white", "<f8", (n_pixels,))]
    return np.dtype([("tick", "<i8"), ("lane", "<i4"), ("reference_id", "<u8"), *floats])


def references_schema(n_pixels: int) -> str:
    """Return the ROS 1 description of `pack_references`' bytes."""
    return ros_fields(_references_dtype(n_pixels))


def pack_references(new: References) -> bytes:
    """Return a lane's new references as the bytes of a record."""
    row = (new.tick, new.lane, new.reference_id, new.dark, new.white)
    return np.array(row, _references_dtype(len(new.dark))).tobytes()


def unpack_references(data: bytes, n_pixels: int) -> References:
    """Return the references of a record."""
    row = np.frombuffer(data, _references_dtype(n_pixels))[0]
    return References(row["tick"].item(), row["lane"].item(), row["reference_id"].item(), row["dark"], row["white"])


class Batch:
    """Messages waiting to be written as one record, in order."""

    def __init__(self, n_pixels: int) -> None:
        self._scan = scan_dtype(n_pixels)
        self._clear()

    def __len__(self) -> int:
        return len(self._order)

    def _clear(self) -> None:
        self._order = bytearray()
        self._waiting: tuple[list[Any], ...] = tuple([] for _ in _KIND)

    def add(self, message: Message) -> None:
        """Append one message; frames are records of their own."""
        kind = _KIND[type(message)]
        self._order.append(kind)
        self._waiting[kind].append(message)

    def pack(self) -> bytes:
        """Return all messages as the bytes of one record, and start anew."""
        order, (views, joined, scans, pulses, reports, readings, commands) = self._order, self._waiting
        self._clear()
        text = json.dumps([[m.tick, m.t_ns, m.kind, m.value] for m in commands]).encode() if commands else b""
        return b"".join(
            (
                struct.pack("<I", len(order)),
                order,
                _records(_VIEWS_HEAD, [(m.camera, m.seq, m.tick, m.t_ns, len(m.rows), len(m.clarity)) for m in views]),
                _array(stack([m.rows for m in views], VIEW)),
                _array(stack([m.clarity for m in views], CLARITY)),
                _records(_COUNT, [(len(m.rows),) for m in joined]),
                _array(stack([m.rows for m in joined], FRUIT)),
                _records(_SCANS_HEAD, [(m.t_ns, len(m.lane)) for m in scans]),
                self._scans(scans),
                _records(_PULSE, [(m.tick, m.head_tick, m.t_ns) for m in pulses]),
                _records(_REPORT, [(m.tick, m.t_ns, m.lane, m.outlet, _STATES.index(m.state), m.cup) for m in reports]),
                _records(_READING, [(m.tick, m.t_ns, m.lane, _READINGS.index(m.kind), m.value) for m in readings]),
                struct.pack("<I", len(text)),
                text,
            )
        )

    def _scans(self, scans: list[Scans]) -> bytes:
        rows = np.empty(sum(len(m.lane) for m in scans), self._scan)
        start = 0
        for message in scans:
            part = rows[start : start + len(message.lane)]
            part["lane"], part["seq"], part["tick"], part["counts"] = message.lane, message.seq, message.tick, message.counts
            start += len(message.lane)
        return _array(rows)


_KIND: dict[type, int] = {
    Views: _VIEWS,
    Joined: _JOINED,
    Scans: _SCANS,
    Pulse: _PULSES,
    OutletReport: _REPORTS,
    Reading: _READINGS_KIND,
    Command: _COMMANDS,
}


def _take(data: bytes, at: int, dtype: np.dtype[Any]) -> tuple[NDArray[Any], int]:
    (n,) = struct.unpack_from("<I", data, at)
    rows: NDArray[Any] = np.frombuffer(data, dtype, n, at + 4)
    return rows, at + 4 + n * dtype.itemsize


def unpack(data: bytes, n_pixels: int) -> Iterator[Message]:
    """Yield the messages of a record in the order they were fed."""
    order, at = _take(data, 0, np.dtype("u1"))
    tables = []
    for dtype in (_VIEWS_HEAD, VIEW, CLARITY, _COUNT, FRUIT, _SCANS_HEAD, scan_dtype(n_pixels), _PULSE, _REPORT, _READING):
        rows, at = _take(data, at, dtype)
        tables.append(rows)
    text = data[at + 4 :]
    sources: tuple[Iterator[Message], ...] = (
        _views(*tables[:3]),
        (Joined(rows) for rows in _split(tables[3]["n"], tables[4])),
        _scans_messages(tables[5], tables[6]),
        (Pulse(*row.tolist()) for row in tables[7]),
        (
            OutletReport(
                r["tick"].item(), r["t_ns"].item(), r["lane"].item(), r["outlet"].item(), _STATES[r["state"]], r["cup"].item()
            )
            for r in tables[8]
        ),
        (
            Reading(r["tick"].item(), r["t_ns"].item(), r["lane"].item(), _READINGS[r["kind"]], r["value"].item())
            for r in tables[9]
        ),
        (Command(*fields) for fields in (json.loads(text) if text else [])),
    )
    for kind in order:
        yield next(sources[kind])


def _split(counts: NDArray[Any], rows: Table) -> Iterator[Table]:
    start = 0
    for n in counts.tolist():
        yield rows[start : start + n]
        start += n


def _views(heads: Table, rows: Table, clarity: Table) -> Iterator[Views]:
    for head, own, clear in zip(heads, _split(heads["n"], rows), _split(heads["places"], clarity), strict=True):
        camera, seq, tick, t_ns = head.tolist()[:4]
        yield Views(camera, seq, tick, t_ns, own, clear)


def _scans_messages(heads: Table, rows: Table) -> Iterator[Scans]:
    # Arrays of their own: what lies in a record is aligned or not by chance, and to the compiler those are two types.
    lane, seq, tick, counts = (np.array(rows[name], order="C") for name in ("lane", "seq", "tick", "counts"))
    start = 0
    for t_ns, n in heads.tolist():
        part = slice(start, start + n)
        yield Scans(t_ns, lane[part], seq[part], tick[part], counts[part])
        start += n
