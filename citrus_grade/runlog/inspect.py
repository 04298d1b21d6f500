"""What is in a log, and what is left of a damaged one."""

from pathlib import Path
from typing import Any

from mcap.records import Channel, Chunk, Header, Metadata, Schema
from mcap.records import Message as Record
from mcap.writer import CompressionType, Writer

from citrus_grade.alarms import Alarms
from citrus_grade.messages import Alarm, Decisions
from citrus_grade.runlog.errors import LogError
from citrus_grade.runlog.reader import DAMAGE, RECOVERED, Fed, LogReader, files, records
from citrus_grade.runlog.writer import CHUNK_BYTES, ENDS_EARLY
from citrus_grade.words import _


def info(run_dir: Path) -> dict[str, Any]:
    """Return what a run's log holds: files, bytes, messages, decisions, alarms, ticks, whether it ends early."""
    report: dict[str, Any] = {"run": str(run_dir), "files": [], "decisions": 0, "messages": 0, "truncated": False}
    alarms = Alarms()
    for path in files(run_dir):
        reader = LogReader(path, frames=False)
        decisions = messages = 0
        for entry in reader:
            if isinstance(entry, Decisions):
                decisions += len(entry.rows)
                report.setdefault("first_tick", int(entry.rows["tick"][0]))
                report["last_tick"] = int(entry.rows["tick"][-1])
            elif isinstance(entry, Fed):
                messages += len(entry.messages)
            elif isinstance(entry, Alarm):
                alarms.add(entry)
        size = path.stat().st_size
        report["files"].append(
            {"file": path.name, "bytes": size, "profile": reader.profile, "decisions": decisions, "truncated": reader.truncated}
        )
        report["decisions"] += decisions
        report["messages"] += messages
        report["truncated"] |= reader.truncated
    report["bytes"] = sum(file["bytes"] for file in report["files"])
    return report | {"alarms": dict(alarms.times), "alarm_places": alarms.places}


def recover(path: Path, out: Path | None = None) -> dict[str, Any]:
    """Copy all that can still be read of a cut or damaged log file into a sound one.

    Parameters
    ----------
    path : the file, or a run folder: then every unfinished file is put right in place, the old one kept as ``NAME.mcap.cut``.
    out : the new file; default: beside the old one, as ``NAME.recovered.mcap``. The old file is never changed.

    Raises
    ------
    LogError : if nothing at all can be read.
    """
    if path.is_dir():
        return {"recovered": [_in_place(file) for file in files(path) if file.suffix == ".active"]}
    target = out or path.with_name(path.name.removesuffix(".active").removesuffix(".mcap") + RECOVERED)
    if target.exists():
        raise LogError(_("{path}: exists already; name another file or remove it").format(path=target))
    partial = target.with_name(target.name + ".part")
    copied, damage = _copy(path, partial)
    if not copied:
        partial.unlink(missing_ok=True)
        raise LogError(
            _("{path}: nothing can be read from it ({damage}); is it a log of this program?").format(path=path, damage=damage)
        )
    partial.replace(target)
    return {"file": str(path), "out": str(target), "records": copied, "damage": damage}


def _in_place(active: Path) -> dict[str, Any]:
    report = recover(active, active.with_suffix(""))
    active.replace(active.with_suffix(".cut"))
    return report


def _copy(path: Path, target: Path) -> tuple[int, str]:
    copied, damage = 0, ""
    with path.open("rb") as stream, target.open("wb") as sink:
        writer = Writer(sink, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        writer.start()
        schemas, channels = {0: 0}, {}
        try:
            for record in records(stream, path.stat().st_size):
                if isinstance(record, Schema):
                    if record.id not in schemas:
                        schemas[record.id] = writer.register_schema(record.name, record.encoding, record.data)
                elif isinstance(record, Channel):
                    if record.id not in channels:
                        channels[record.id] = writer.register_channel(
                            record.topic, record.message_encoding, schemas[record.schema_id]
                        )
                elif isinstance(record, Metadata):
                    writer.add_metadata(record.name, record.metadata)
                elif isinstance(record, Record):
                    writer.add_message(
                        channels[record.channel_id], record.log_time, record.data, record.publish_time, sequence=copied
                    )
                    copied += 1
                elif not isinstance(record, Header | Chunk):
                    continue
        except DAMAGE as error:
            damage = f"{type(error).__name__}: {error}"
            writer.add_metadata(ENDS_EARLY, {"damage": damage})
        writer.finish()  # type: ignore[no-untyped-call]  # mcap
    return copied, damage
