"""A log that is only ever appended to, one JSON line an event, each naming the hash of the line before it.

A line that was changed, taken out or put in no longer fits its neighbours; a line that a crash cut short is known by its missing
end and dropped, for what it announces has not begun.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

Json = Any  # a JSON value; what an event holds is its kind's affair
Event = dict[str, Json]

FIRST: Final = "0" * 64
"""What the first line names as the one before it."""


@dataclass(frozen=True, slots=True)
class Journal:
    """What a log holds: its events in order, the hash of the last, the bytes that are whole, and the first line (from 1) that
    does not fit, if any."""

    events: tuple[Event, ...]
    last: str
    whole: int
    broken_at: int | None


def read(path: Path) -> Journal:
    """Read a log and check its chain; a log that is not there is empty."""
    content = path.read_bytes() if path.exists() else b""
    whole = content.rfind(b"\n") + 1
    events: list[Event] = []
    last, broken_at = FIRST, None
    for k, line in enumerate(content[:whole].splitlines(), 1):
        event = _event(line, last)
        if event is None:
            broken_at = k
            break
        events.append(event)
        last = event["sha256"]
    return Journal(tuple(events), last, whole, broken_at)


def append(path: Path, event: Mapping[str, Json]) -> None:
    """Append an event and wait until it is on the disk; an end that a crash cut short is dropped first.

    Raises
    ------
    ValueError : the log's chain is broken; nothing is written to it any more.
    """
    journal = read(path)
    if journal.broken_at is not None:
        raise ValueError(f"{path}: line {journal.broken_at} was changed")
    body = {**event, "previous": journal.last}
    line = json.dumps({**body, "sha256": _hash(body)}, ensure_ascii=False, sort_keys=True, allow_nan=False).encode() + b"\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("r+b" if path.exists() else "xb") as file:
        file.truncate(journal.whole)
        file.seek(journal.whole)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def _event(line: bytes, previous: str) -> Event | None:
    """Return a line's event if it is whole and follows the line whose hash is ``previous``."""
    try:
        event = json.loads(line)
    except ValueError:
        return None
    if not isinstance(event, dict) or event.get("previous") != previous:
        return None
    body = {name: value for name, value in event.items() if name != "sha256"}
    return event if event.get("sha256") == _hash(body) else None


def _hash(body: Mapping[str, Json]) -> str:
    return hashlib.sha256(json.dumps(body, ensure_ascii=False, sort_keys=True).encode()).hexdigest()
