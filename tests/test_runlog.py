"""The run log: whole, unfinished, cut anywhere, flipped anywhere, on a full disk."""

import resource
import struct
from contextlib import contextmanager, suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mcap.reader import make_reader

from citrus_grade.messages import Alarm, Command, Decisions, Frame, Joined, Pulse, Scans, Views
from citrus_grade.runlog import LogError, LogReader, LogWriter, files, info, recover
from citrus_grade.runlog.reader import Fed, Snapshot
from citrus_grade.runlog.records import Batch
from citrus_grade.tables import CLARITY, DECISION, VIEW, empty

STATE = b"the state of a line"
HEAD = 9
"""Bytes of an MCAP record before its content: one of kind, eight of length."""


def bits(entry):
    """What an entry says, as something that compares."""
    if isinstance(entry, Fed):
        return [message_bits(message) for message in entry.messages]
    return entry.rows.tobytes() if isinstance(entry, Decisions) else entry


def message_bits(message):
    if isinstance(message, Frame):
        return (message.camera, message.seq, message.tick, message.t_ns, message.mosaic.tobytes())
    batch = Batch(message.counts.shape[1] if isinstance(message, Scans) else 256)
    batch.add(message)
    return batch.pack()


def read(path):
    reader = LogReader(path)
    return [bits(entry) for entry in reader], reader.truncated


def decisions(cup):
    rows = empty(DECISION, 6)
    rows["lane"], rows["cup"], rows["tick"] = np.arange(6), cup, (cup + 17) * 4096
    return rows


def write(writer, cups, sync_every=2):
    """Write what a line of six lanes says of some cups."""
    for cup in cups:
        writer.take(Scans(cup, np.arange(6, dtype=np.int32), np.full(6, cup, np.int32), np.full(6, cup), counts(cup)))
        writer.take(Pulse(cup * 4096, cup * 4096, cup))
        writer.gave((Decisions(decisions(cup)), Alarm(cup, "frame_gap", "camera 0", 2)))
        if cup % sync_every == 0:
            writer.sync()


def counts(cup):
    return np.random.default_rng(cup).integers(0, 65536, (6, 256)).astype(np.uint16)


@pytest.fixture(scope="module")
def small(config, tmp_path_factory):
    """A log of few bytes and many chunks."""
    path = tmp_path_factory.mktemp("small") / "000000.mcap"
    writer = LogWriter(path, config, STATE, "normal")
    write(writer, range(8))
    writer.close()
    return path


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("scratch") / "cut.mcap"


def marks(data):
    """Where records begin, and a byte before and after, and after their heads."""
    at, found = 8, {0, 1, 7, 8, len(data) - 9, len(data) - 8, len(data) - 1}
    while at + HEAD <= len(data) - 8:
        (length,) = struct.unpack_from("<Q", data, at + 1)
        found |= {at - 1, at, at + 1, at + HEAD - 1, at + HEAD, at + HEAD + 1, at + HEAD + length // 2}
        at += HEAD + length
    return sorted(found)


def test_a_file_begins_with_a_snapshot_and_keeps_the_order(small):
    reader = LogReader(small)
    entries = list(reader)
    assert entries[0] == Snapshot(STATE)
    assert [type(entry) for entry in entries[1:]] == [Fed, Decisions, Alarm] * 8
    assert [entry.rows["cup"][0] for entry in entries if isinstance(entry, Decisions)] == list(range(8))
    assert entries[3] == Alarm(0, "frame_gap", "camera 0", 2)
    assert (reader.profile, reader.truncated) == ("normal", False)


@pytest.mark.parametrize(
    ("profile", "kept"),
    [("full", [Frame, Views, Scans, Pulse, Command]), ("normal", [Views, Scans, Pulse, Command]), ("off", [])],
)
def test_a_profile_says_what_is_kept(config, tmp_path, profile, kept):
    mosaic = np.arange(64, dtype=np.uint8).reshape(8, 8)
    views = Views(0, 1, 2, 3, empty(VIEW, 2), empty(CLARITY, 2))
    scans = Scans(0, np.zeros(1, np.int32), np.zeros(1, np.int32), np.zeros(1, np.int64), np.zeros((1, 256), np.uint16))
    writer = LogWriter(tmp_path / "x.mcap", config, STATE, profile)
    for message in (Frame(0, 1, 2, 3, mosaic), views, Joined(empty(VIEW, 0)), scans, Pulse(1, 2, 3), Command(1, 2, "lot", "7")):
        writer.take(message)
    writer.gave((Decisions(decisions(1)),))
    writer.close()
    entries = list(LogReader(tmp_path / "x.mcap"))
    messages = [message for entry in entries if isinstance(entry, Fed) for message in entry.messages]
    assert [type(message) for message in messages] == kept
    assert isinstance(entries[-1], Decisions)
    if profile == "full":
        assert np.array_equal(messages[0].mosaic, mosaic)


def test_frames_are_passed_over_unless_asked_for(full_run):
    frames = [
        message
        for entry in LogReader(full_run.log, frames=False)
        for message in (entry.messages if isinstance(entry, Fed) else ())
        if isinstance(message, Frame)
    ]
    assert not frames


def test_an_unfinished_file_is_read_up_to_its_last_sync(config, tmp_path):
    run = tmp_path / "run"
    (run / "log").mkdir(parents=True)
    writer = LogWriter(run / "log" / "000000.mcap", config, STATE, "normal")
    write(writer, range(5))
    (active,) = files(run)
    assert active.name == "000000.mcap.active"
    entries, truncated = read(active)
    assert truncated
    assert entries[-2] == decisions(4).tobytes()
    assert info(run)["truncated"]
    assert info(run)["decisions"] == 5 * 6
    writer.close()
    assert [path.name for path in files(run)] == ["000000.mcap"]
    assert not info(run)["truncated"]


def test_a_log_cut_at_any_byte_reads_as_the_beginning_of_the_whole(small, scratch):
    data = small.read_bytes()
    whole, _ = read(small)
    lengths = []
    for at in sorted({*marks(data), *range(0, len(data), 977)}):
        scratch.write_bytes(data[:at])
        entries, truncated = read(scratch)
        assert entries == whole[: len(entries)]
        assert truncated or len(entries) == len(whole)
        lengths.append(len(entries))
    assert lengths == sorted(lengths)
    assert lengths[0] == 0
    assert lengths[-1] == len(whole)


@settings(max_examples=15)
@given(st.floats(0, 1))
def test_a_real_run_cut_anywhere_reads_as_the_beginning_of_the_whole(normal_run, scratch, share):
    data = normal_run.log.read_bytes()
    scratch.write_bytes(data[: int(share * len(data))])
    entries, _ = read(scratch)
    assert entries == read(normal_run.log)[0][: len(entries)]


def is_part(entries, whole):
    """Whether entries are some of the whole, in its order."""
    rest = iter(whole)
    return all(any(entry == one for one in rest) for entry in entries)


def test_a_flipped_bit_anywhere_never_makes_a_reader_fail_or_invent(small, scratch):
    data = small.read_bytes()
    whole, _ = read(small)
    for at in sorted({*marks(data), *range(8, 700), *range(0, len(data), 1999)}):
        for mask in (1, 128):
            flipped = bytearray(data)
            flipped[min(at, len(data) - 1)] ^= mask
            scratch.write_bytes(flipped)
            entries, _ = read(scratch)
            assert is_part(entries, whole), (at, mask)


def test_an_empty_file_holds_nothing_and_says_it_ends_early(scratch):
    scratch.write_bytes(b"")
    assert read(scratch) == ([], True)


@pytest.mark.parametrize("content", [b"", b"not a log at all, but long enough to look like one", b"\x89MCAP0\r\n"])
def test_nothing_can_be_recovered_from_what_is_no_log(tmp_path, content):
    (tmp_path / "x.mcap").write_bytes(content)
    with pytest.raises(LogError, match=r"x\.mcap: nothing can be read"):
        recover(tmp_path / "x.mcap")
    assert [path.name for path in tmp_path.iterdir()] == ["x.mcap"]


def test_what_is_recovered_is_a_sound_file_to_any_reader(small, tmp_path):
    data = small.read_bytes()
    for share in (0.3, 0.6, 0.9, 1.0):
        cut = tmp_path / f"{share}.mcap"
        cut.write_bytes(data[: int(share * len(data))])
        report = recover(cut)
        out = tmp_path / f"{share}.recovered.mcap"
        assert report["out"] == str(out)
        with out.open("rb") as stream:
            reader = make_reader(stream, validate_crcs=True)
            summary = reader.get_summary()
            assert summary is not None
            assert summary.statistics is not None
            n = sum(1 for _ in reader.iter_messages())
        assert n == summary.statistics.message_count == report["records"] == len(read(cut)[0])
        assert read(out)[0] == read(cut)[0]
        assert cut.read_bytes() == data[: int(share * len(data))]


def test_recovery_never_writes_over_a_file(small, tmp_path):
    cut, out = tmp_path / "x.mcap.active", tmp_path / "x.recovered.mcap"
    cut.write_bytes(small.read_bytes()[:-100])
    out.write_bytes(b"mine")
    with pytest.raises(LogError, match="exists already"):
        recover(cut)
    assert out.read_bytes() == b"mine"
    assert recover(cut, tmp_path / "other.mcap")["records"] > 0


def test_a_run_that_was_recovered_is_read_once(normal_run, tmp_path):
    run = normal_run.copy(tmp_path / "run")
    log = run / "log" / "000000.mcap"
    cut = log.with_name("000000.mcap.active")
    cut.write_bytes(log.read_bytes()[: log.stat().st_size * 9 // 10])
    log.unlink()
    expected = info(run)["decisions"]
    (report,) = recover(run)["recovered"]
    assert report["records"] > 0
    assert info(run)["decisions"] == expected


def test_info_counts_what_a_run_holds(normal_run):
    report = info(normal_run.folder)
    assert report["decisions"] == normal_run.summary.cups
    assert report["alarms"] == normal_run.summary.alarms
    assert report["bytes"] == normal_run.log.stat().st_size
    assert [file["profile"] for file in report["files"]] == ["normal"]
    assert report["first_tick"] < report["last_tick"]


def test_a_folder_without_logs_is_named(tmp_path):
    with pytest.raises(LogError, match=str(tmp_path)):
        files(tmp_path)


@contextmanager
def disk_of(n_bytes):
    """No file of this process may grow beyond ``n_bytes``: writing ends half way through, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("n_bytes", [60_000, 100_000, 131_072])
def test_what_was_recorded_before_the_disk_filled_can_be_read(config, tmp_path, n_bytes):
    writer = LogWriter(tmp_path / "x.mcap", config, STATE, "normal")
    with disk_of(n_bytes):
        with pytest.raises(OSError, match="large"):
            write(writer, range(100))
        with suppress(OSError):
            writer.close()
    active = tmp_path / "x.mcap.active"
    assert not (tmp_path / "x.mcap").exists()
    entries, truncated = read(active)
    assert truncated
    written = [entry for entry in entries if isinstance(entry, bytes)]
    # Two cups of scans and decisions and an alarm each take about 17 kB; at most the last chunk is lost.
    assert len(written) >= 2 * (n_bytes // 18_000 - 1)
    assert written == [decisions(cup).tobytes() for cup in range(len(written))]
    assert recover(active)["records"] == len(entries)


@pytest.mark.parametrize(
    "mosaic",
    [np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), np.uint16), np.zeros((8, 1), np.uint8), np.zeros((0, 0), np.uint8)],
    ids=["colour", "deep", "narrow", "nothing"],
)
def test_a_frame_that_no_camera_should_send_does_not_stop_the_recording(config, tmp_path, mosaic):
    writer = LogWriter(tmp_path / "x.mcap", config, STATE, "full")
    writer.take(Frame(0, 0, 0, 0, mosaic))
    writer.take(Pulse(1, 2, 3))
    writer.gave((Decisions(decisions(1)),))
    writer.close()
    entries = list(LogReader(tmp_path / "x.mcap"))
    assert isinstance(entries[-1], Decisions)
    assert any(isinstance(entry, Fed) and isinstance(entry.messages[-1], Pulse) for entry in entries)
