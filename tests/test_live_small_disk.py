"""A live line whose whole run folder lies on a disk that fills up, or that the system makes read-only: grading goes on."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.config import load
from citrus_grade.replay import replay
from citrus_grade.runtime.live import health, store
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary

# Real time: one such line at a time, or each is late for the other.
pytestmark = [pytest.mark.xdist_group("live"), pytest.mark.fault]

CUPS_PER_S = 5.0


@contextmanager
def _mounted(at: Path, *how: str) -> Iterator[Path]:
    at.mkdir()
    if subprocess.run(["mount", *how, str(at)], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield at
    finally:
        subprocess.run(["umount", str(at)], check=True)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of a few megabytes."""
    with _mounted(tmp_path / "small", "-t", "tmpfs", "-o", "size=8m", "none") as at:
        yield at


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[Path]:
    """A disk of which `_break` makes what a kernel makes of one with errors: nobody may write, files open or not."""
    if shutil.which("mkfs.ext4") is None:
        pytest.skip("no mkfs.ext4 to make a disk with")
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(32 << 20)
    subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
    with _mounted(tmp_path / "failing", "-o", "loop", str(image)) as at:
        yield at


def _break(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,abort", str(disk)], check=True)


def _run(line_toml: Path, loop: Path, run: Path, during: Callable[[Supervisor], bool], told: list[str]) -> RunSummary:
    live = line_toml.with_name("small.toml")
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S), encoding="utf-8")
    return run_live(live, run, seconds=90.0, during=during, told=lambda alarm: told.append(alarm.where))


def _decided(supervisor: Supervisor) -> int:
    return int(supervisor.board.shared["decided_cup"][0])


def test_a_disk_that_may_only_be_read_ends_no_line(line_toml: Path, loop: Path, failing: Path) -> None:
    """The whole program; what it says at the end it says on its standard output."""
    run, live = failing / "run", line_toml.with_name("failing.toml")
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S), encoding="utf-8")
    command = [sys.executable, "-m", "citrus_grade.cli", "run", str(live), "--run", str(run), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as program:
        try:
            _await(lambda: (run / health.NAME).exists() and health.read(run)["decided_cup"] >= 8)
            _break(failing)
            broken = health.read(run)["decided_cup"]
            time.sleep(30 / CUPS_PER_S)
            program.send_signal(signal.SIGINT)
            said, problems = program.communicate(timeout=60.0)
        finally:
            program.kill()
    assert program.returncode == 0
    ended = json.loads(said)
    state = ended["live"]
    assert state["decided_cup"] >= broken + 20
    assert [state["processes"][role]["restarts"] for role in ("core", "recorder", "plc")] == [0, 0, 0]
    places = ended["alarm_places"]
    assert places["log_disk"] == [os.strerror(errno.EROFS)]
    assert places["table_disk"]
    assert [words.partition(":")[0] for words in places["file_disk"]] == ["fruit.parquet"]
    assert "device" not in places
    assert "this disk can only be read" in problems
    rows = np.concatenate(list(store.decisions(run)))
    last = int(rows["cup"].max())
    np.testing.assert_array_equal(rows["cup"], np.repeat(np.arange(last + 1), load(line_toml).line.lanes))
    assert ended["cups"] == len(rows)
    assert state["processes"]["recorder"]["counted"]["shed_decisions"] == state["decided_cup"] - last
    assert replay(run).diff_fields == 0


def _await(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 90.0
    while not true():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.1)


def test_a_disk_that_is_full_ends_no_line_and_what_was_kept_can_be_read(line_toml: Path, loop: Path, small: Path) -> None:
    full: list[int] = []
    told: list[str] = []

    def during(supervisor: Supervisor) -> bool:
        if _decided(supervisor) >= 8 and not full:
            _fill(small / "filler")
            full.append(_decided(supervisor))
        return bool(full) and _decided(supervisor) >= full[0] + 20

    ended = _run(line_toml, loop, small / "run", during, told)
    assert ended.live is not None
    assert ended.live["decided_cup"] >= full[0] + 20
    assert [ended.live["processes"][role]["restarts"] for role in ("core", "recorder", "plc")] == [0, 0, 0]
    assert any(words.startswith("fruit.parquet") for words in told)
    rows = np.concatenate(list(store.decisions(small / "run")))
    np.testing.assert_array_equal(rows["cup"], np.repeat(np.arange(rows["cup"].max() + 1), load(line_toml).line.lanes))
    assert ended.cups == len(rows)
    (small / "filler").unlink()
    assert replay(small / "run").diff_fields == 0


def _fill(path: Path) -> None:
    """Leave no byte of the disk free."""
    with path.open("wb", buffering=0) as file:
        for n_bytes in (1 << 20, 4096, 1):
            try:
                while file.write(bytes(n_bytes)):
                    pass
            except OSError:
                continue
