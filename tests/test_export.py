"""A run's way out: tables, pictures, and a file that other programs open."""

import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from mcap.reader import make_reader
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.messages import Frame, Pulse, Reading
from citrus_grade.runlog import LogError, LogReader
from citrus_grade.runlog.belt import Belt, next_cup
from citrus_grade.runlog.export import KINDS, demosaic, export
from citrus_grade.runlog.reader import Fed, Snapshot
from tests.conftest import Run


def cut(run: Run, to: Path, share: float) -> Path:
    """Return a copy of a run whose recording stopped in the middle: no fruit table, an unfinished log."""
    folder = run.copy(to)
    (folder / "fruit.parquet").unlink()
    log = folder / "log" / "000000.mcap"
    data = log.read_bytes()
    log.unlink()
    (folder / "log" / "000000.mcap.active").write_bytes(data[: int(len(data) * share)])
    return folder


def same(a: pa.Table, b: pa.Table) -> bool:
    """Compare two tables; what is not known equals what is not known."""
    columns = ((a[name].to_numpy(), b[name].to_numpy()) for name in a.column_names)
    return a.schema == b.schema and all(np.array_equal(x, y, equal_nan=x.dtype.kind == "f") for x, y in columns)


def frames_of(run: Run) -> list[Frame]:
    entries = (entry for entry in LogReader(run.log) if isinstance(entry, Fed))
    return [message for entry in entries for message in entry.messages if isinstance(message, Frame)]


def messages_of(path: Path) -> list[tuple[Any, Any, Any]]:
    with path.open("rb") as stream:
        return list(make_reader(stream, validate_crcs=True).iter_messages())


def image_of(data: bytes) -> tuple[int, int, str, NDArray[Any]]:
    """Take a ROS 1 sensor_msgs/CompressedImage apart: seq, time in ns, frame_id, picture."""
    seq, sec, nsec = struct.unpack_from("<III", data)
    at, parts = 12, []
    for _ in range(3):
        (size,) = struct.unpack_from("<I", data, at)
        parts.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    assert at == len(data), "nothing follows the picture"
    assert parts[1] == b"jpeg"
    picture = cv2.imdecode(np.frombuffer(parts[2], np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return seq, sec * 1_000_000_000 + nsec, parts[0].decode(), picture


def test_parquet_holds_the_same_fruit_table_as_the_run_and_every_scan(
    normal_run: Run, config: LineConfig, tmp_path: Path
) -> None:
    report = export(normal_run.folder, tmp_path / "out", "parquet")
    assert same(pq.read_table(tmp_path / "out" / "fruit.parquet"), pq.read_table(normal_run.folder / "fruit.parquet"))
    scans = pq.read_table(tmp_path / "out" / "scans.parquet")
    assert report["decisions"] == normal_run.summary.cups
    assert report["scans"] == len(scans) > 0
    assert config.spectrometer is not None
    assert len(scans["counts"][0]) == config.spectrometer.pixels
    seen = Counter(zip(scans["lane"].to_pylist(), scans["cup"].to_pylist(), strict=True))
    assert set(seen.values()) == {config.spectrometer.scans}, "every scan is put to the cup it saw"


def test_a_name_that_ends_in_parquet_gets_the_fruit_table_alone(normal_run: Run, tmp_path: Path) -> None:
    export(normal_run.folder, tmp_path / "fruit.parquet", "parquet")
    assert pq.read_table(tmp_path / "fruit.parquet").num_rows == normal_run.summary.cups


def test_pictures_are_the_recorded_frames(full_run: Run, config: LineConfig, tmp_path: Path) -> None:
    report = export(full_run.folder, tmp_path / "out", "pictures")
    frames = frames_of(full_run)
    paths = sorted((tmp_path / "out").iterdir())
    assert report["frames"] == len(frames) == len(paths)
    picture = cv2.imread(str(paths[-1]))
    assert np.array_equal(picture, demosaic(frames[-1].mosaic, config.camera[0].bayer))


@pytest.mark.parametrize("bayer", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_an_orange_fruit_is_orange_whatever_the_camera_calls_its_pattern(bayer: str) -> None:
    level = {"R": 200, "G": 120, "B": 40}
    mosaic = np.tile(np.array([level[letter] for letter in bayer], np.uint8).reshape(2, 2), (8, 8))
    assert demosaic(mosaic, bayer)[8, 8].tolist() == [40, 120, 200]


def test_foxglove_holds_one_message_a_fruit_with_its_schema(normal_run: Run, tmp_path: Path) -> None:
    report = export(normal_run.folder, tmp_path / "run.mcap", "foxglove")
    messages = [m for m in messages_of(tmp_path / "run.mcap") if m[1].topic.endswith("/fruit")]
    assert report["fruit"] == len(messages) == normal_run.summary.fruit
    table = pq.read_table(normal_run.folder / "fruit.parquet").to_pylist()
    expected = {(row["lane"], row["cup"]): row for row in table if row["reason"] != "empty"}
    kinds = {"integer": int, "number": float, "string": str}
    for schema, channel, message in messages:
        fruit = json.loads(message.data)
        assert (channel.message_encoding, schema.encoding, schema.name) == ("json", "jsonschema", "citrus.Fruit")
        assert channel.topic == f"/lane/{fruit['lane']}/fruit"
        row = expected.pop((fruit["lane"], fruit["cup"]))
        assert fruit == {name: value for name, value in row.items() if value == value}, "what is not known is left out"
        properties = json.loads(schema.data)["properties"]
        assert all(isinstance(value, kinds[properties[name]["type"]]) for name, value in fruit.items())
        assert set(row) == set(properties)
    assert expected == {}


def test_foxglove_times_are_the_lines_own(normal_run: Run, tmp_path: Path) -> None:
    export(normal_run.folder, tmp_path / "run.mcap", "foxglove")
    entries = (entry for entry in LogReader(normal_run.log) if isinstance(entry, Fed))
    pulses = {m.tick: m.t_ns for entry in entries for m in entry.messages if isinstance(m, Pulse)}
    fruit = [(json.loads(m.data), m) for _, channel, m in messages_of(tmp_path / "run.mcap") if channel.topic.endswith("/fruit")]
    assert all(message.log_time == pulses[row["tick"]] for row, message in fruit)


def test_foxglove_shows_the_frames_of_a_full_run_as_images(full_run: Run, config: LineConfig, tmp_path: Path) -> None:
    report = export(full_run.folder, tmp_path / "run.mcap", "foxglove")
    frames = frames_of(full_run)
    images = [m for m in messages_of(tmp_path / "run.mcap") if m[1].topic == f"/camera/{config.camera[0].name}"]
    assert report["frames"] == len(images) == len(frames)
    for (schema, channel, message), frame in zip(images, frames, strict=True):
        assert (channel.message_encoding, schema.encoding, schema.name) == ("ros1", "ros1msg", "sensor_msgs/CompressedImage")
        seq, t_ns, frame_id, picture = image_of(message.data)
        assert (seq, t_ns, frame_id) == (frame.seq, frame.t_ns, config.camera[0].name)
        assert message.log_time == frame.t_ns
        assert picture.shape == (*frame.mosaic.shape, 3)
    raw = demosaic(frames[-1].mosaic, config.camera[0].bayer).astype(float)
    assert np.abs(picture - raw).mean() < 4, "a JPEG, but the same picture"


def test_foxglove_shows_alarms_as_log_lines(normal_run: Run, tmp_path: Path) -> None:
    report = export(normal_run.folder, tmp_path / "run.mcap", "foxglove")
    alarms = [
        (schema, json.loads(m.data)) for schema, channel, m in messages_of(tmp_path / "run.mcap") if channel.topic == "/alarms"
    ]
    assert report["alarms"] == len(alarms)
    assert {schema.name for schema, _ in alarms} <= {"foxglove.Log"}
    assert {line["name"] for _, line in alarms} == set(normal_run.summary.alarms)


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_that_was_cut_short_is_exported_up_to_the_cut(full_run: Run, tmp_path: Path, kind: str) -> None:
    run = cut(full_run, tmp_path / "cut", 0.5)
    out = tmp_path / "out.mcap"
    report = export(run, out, kind)
    assert report["truncated"] is True
    if kind == "foxglove":
        assert 0 < report["fruit"] < full_run.summary.fruit
        assert len(messages_of(out)) == report["fruit"] + report["alarms"] + report["frames"]
    elif kind == "parquet":
        whole = pq.read_table(full_run.folder / "fruit.parquet")
        part = pq.read_table(out / "fruit.parquet")
        assert 0 < part.num_rows < whole.num_rows
        assert same(part, whole.slice(0, part.num_rows))
    else:
        assert 0 < len(list(out.iterdir())) == report["frames"]


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        ("video", "out", "no such export; there are parquet, pictures, foxglove"),
        ("pictures", "out", "frames were not recorded (profile normal)"),
        ("foxglove", "out", "ends in .mcap"),
        ("parquet", "taken", "exists already"),
    ],
)
def test_what_cannot_be_written_is_said_and_leaves_nothing(
    normal_run: Run, tmp_path: Path, kind: str, name: str, said: str
) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(LogError) as caught:
        export(normal_run.folder, tmp_path / name, kind)
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_folder_that_is_no_run_is_said(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"no run\.json"):
        export(tmp_path, tmp_path / "out", "parquet")


def test_an_export_that_fails_half_way_leaves_nothing(full_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("citrus_grade.runlog.foxglove.FoxgloveFile.image", full_disk)
    with pytest.raises(OSError, match="No space left"):
        export(full_run.folder, tmp_path / "run.mcap", "foxglove")
    assert list(tmp_path.iterdir()) == []


def test_progress_counts_log_files(normal_run: Run, tmp_path: Path) -> None:
    steps: list[tuple[float, float]] = []
    export(normal_run.folder, tmp_path / "out", "parquet", progress=lambda done, total: steps.append((done, total)))
    assert steps == [(1, 1)]


def test_the_belt_follows_the_index_sensor_as_the_line_does(normal_run: Run, config: LineConfig) -> None:
    belt = Belt.of(config)
    belt.follow(Reading(belt.ruler.num + 7, 0, -1, "cup_index", 1.0))
    assert belt.offset == -7 * belt.ruler.den
    snapshot = next(iter(LogReader(normal_run.log)))
    assert isinstance(snapshot, Snapshot)
    assert next_cup(snapshot) == 0
    belt.follow(snapshot)
    assert belt.offset == 0
