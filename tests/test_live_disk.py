"""What a live line does when its disk is full, slow, or loses power: grading goes on, and nothing acknowledged is lost."""

import errno
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.replay import replay
from citrus_grade.runtime.live import events, store
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.session import RunSummary
from citrus_grade.tables import DECISION, Table, empty

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 5.0
SHIM = Path(__file__).with_name("failing_disk.c")


def _run(
    line_toml: Path, loop: Path, run: Path, during: Callable[[Supervisor], bool], profile: str = "normal"
) -> tuple[RunSummary, Table]:
    live = line_toml.with_name("disk.toml")
    fell = run.with_name("fell")
    live.write_text(played(line_toml, loop, fell=fell, cups_per_s=CUPS_PER_S), encoding="utf-8")
    ended = run_live(live, run, seconds=90.0, during=during, profile=profile)
    held = invariant.look(run, fell)
    assert held.broken == []
    assert len(held.fell) > 0
    assert ended.cups == sum(ended.reasons.values()) == len(held.rows)
    return ended, held.rows


@pytest.mark.fault
def test_a_full_disk_ends_the_log_and_not_the_grading(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """Files of the recorder may grow no further, from a moment on and until another: to it that is a full disk."""
    steps: list[int] = []

    def during(supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        pid = supervisor.children["recorder"].pid
        assert pid
        if decided >= 8 and not steps:
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
            steps.append(decided)
        elif len(steps) == 1 and decided >= steps[0] + 15:
            assert int(supervisor.board.shared["committed_cup"][0]) < decided
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            steps.append(decided)
        return len(steps) == 2 and decided >= steps[1] + 45

    ended, rows = _run(line_toml, loop, tmp_path / "run", during)
    assert rows["cup"].max() >= steps[1] + 40
    assert ended.live is not None
    assert ended.live["processes"]["recorder"]["restarts"] == 0
    assert ended.alarm_places["log_disk"] == [os.strerror(errno.EFBIG)]
    assert not any(os.strerror(errno.EFBIG) in place for place in ended.alarm_places.get("device", ()))
    files = list((tmp_path / "run" / "log").iterdir())
    assert len(files) >= 2
    assert min(file.stat().st_size for file in files) > 0
    assert replay(tmp_path / "run").diff_fields == 0


@pytest.mark.fault
@pytest.mark.parametrize("error", [errno.EIO, errno.EROFS])
def test_a_disk_that_answers_with_errors_ends_the_log_and_not_the_grading(
    error: int, line_toml: Path, loop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every write of the recorder fails, as on a broken disk, or one that the system has made read-only; a core that dies
    meanwhile is replaced all the same."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make the disk with")
    library, control, run = tmp_path / "disk.so", tmp_path / "errno", tmp_path / "run"
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
    control.write_bytes(bytes(4))
    for name, value in {"LD_PRELOAD": library, "FAILING_DISK": control, "FAILING_UNDER": run}.items():
        monkeypatch.setenv(name, str(value))
    steps: list[int] = []

    def during(supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        core = supervisor.children["core"]
        if decided >= 8 and not steps and supervisor.fork_servers and core.pid:
            _say(control, error)
            steps.append(decided)
        elif len(steps) == 1 and decided >= steps[0] + 8 and core.pid:
            assert int(supervisor.board.shared["committed_cup"][0]) < decided
            os.kill(core.pid, signal.SIGKILL)
            steps.append(decided)
        elif len(steps) == 2 and decided >= steps[1] + 15:
            _say(control, 0)
            steps.append(decided)
        return len(steps) == 3 and decided >= steps[2] + 45

    ended, rows = _run(line_toml, loop, run, during)
    assert rows["cup"].max() >= steps[2] + 40
    assert ended.live is not None
    assert ended.live["processes"]["recorder"]["restarts"] == 0
    assert ended.live["processes"]["core"]["restarts"] == 1
    assert ended.alarm_places["log_disk"] == [os.strerror(error)]
    assert ended.alarms["table_disk"]
    assert not any(os.strerror(error) in place for place in ended.alarm_places.get("device", ()))
    assert len(list((run / "log").iterdir())) >= 2
    assert replay(run).diff_fields == 0


def test_a_log_that_may_not_grow_keeps_its_newest_files_and_those_replay(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    short = re.sub(r"file_minutes = [\d.]+", "file_minutes = 0.02\nkeep_gb = 0.0002", line_toml.read_text(encoding="utf-8"))
    kept = line_toml.with_name("kept.toml")
    kept.write_text(short, encoding="utf-8")
    run = tmp_path / "run"
    _, rows = _run(kept, loop, run, lambda supervisor: int(supervisor.board.shared["decided_cup"][0]) >= 60)
    removed = [event["file"] for event in events.read(run) if event["event"] == "file_removed"]
    there = sorted(path.name for path in (run / "log").iterdir())
    assert removed
    assert there
    assert max(removed) < min(there)
    report = replay(run)
    assert (report.diff_fields, report.truncated) == (0, False)
    assert 0 < report.compared < len(rows)


def _say(control: Path, error: int) -> None:
    with control.open("r+b") as file:
        file.write(error.to_bytes(4, sys.byteorder))


@pytest.mark.fault
@pytest.mark.parametrize("profile", ["normal", "full"])
def test_a_disk_that_stands_still_holds_up_no_fruit(profile: str, line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """The recorder is stopped for seconds, as a disk stops whoever writes to it; pixels do not wait so long in their ring."""
    stopped: list[float] = []
    decided_at: list[int] = []

    def during(supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        pid = supervisor.children["recorder"].pid
        assert pid
        if decided >= 8 and not stopped:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(time.monotonic())
            decided_at.append(decided)
        elif len(stopped) == 1 and time.monotonic() > stopped[0] + 4.0:
            os.kill(pid, signal.SIGCONT)
            stopped.append(time.monotonic())
            decided_at.append(decided)
        return len(stopped) == 2 and decided >= decided_at[1] + 10

    ended, rows = _run(line_toml, loop, tmp_path / "run", during, profile)
    assert decided_at[1] >= decided_at[0] + 10
    assert ended.live is not None
    report = replay(tmp_path / "run")
    assert report.diff_fields == 0
    if profile == "normal":
        assert ended.live["processes"]["core"]["counted"].get("shed_messages", 0) == 0
        assert report.compared == len(rows)
    else:  # a file ends early, the next begins with a snapshot; what waits for it between the two is counted
        assert report.truncated
        assert 0 < report.compared < len(rows)


@pytest.mark.fault
def test_power_lost_at_any_byte_leaves_whole_cups(tmp_path: Path) -> None:
    """The database's log cut anywhere: what is there is a beginning of what was committed, each cup with all its lanes."""
    table = store.Store(tmp_path / "whole") if (tmp_path / "whole").mkdir() is None else None
    assert table is not None
    for cup in range(12):
        rows = empty(DECISION, 3)
        rows["cup"], rows["lane"] = cup, np.arange(3)
        table.add(rows)
        table.commit()
    wal = Path(f"{table.path}-wal")
    held, size = wal.read_bytes(), wal.stat().st_size
    seen = set()
    for at in np.linspace(0, size, 60).astype(int).tolist():
        folder = tmp_path / f"cut{at}"
        folder.mkdir()
        shutil.copy(table.path, folder / store.NAME)
        (folder / f"{store.NAME}-wal").write_bytes(held[:at])
        with sqlite3.connect(folder / store.NAME) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            there = db.execute("SELECT name FROM sqlite_master WHERE name = 'fruit'").fetchone()
            cups = [cup for (cup,) in db.execute("SELECT cup FROM fruit ORDER BY cup, lane")] if there else []
        db.close()
        last = max(cups, default=-1)
        assert cups == [cup for cup in range(last + 1) for _ in range(3)]
        seen.add(last)
    table.close()
    assert {-1, 11} <= seen
    assert len(seen) > 6
