"""A live line on a machine that is not its own: somebody sets the clock, others take the processor."""

import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcap.records import Message as Record
from mcap.stream_reader import StreamReader

from benchmarks import invariant
from citrus_grade.alarms import QUIET_S
from citrus_grade.config import load
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.runlog import files
from citrus_grade.runtime.live import events, health
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.supervisor import Supervisor
from tests.test_live_faults import Failed

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

SHIM = Path(__file__).with_name("wall_clock.c")
HOUR_S = 3600
CUPS_PER_S = 6.0


class WallClock:
    """A wall clock that can be set, for programs begun with ``env``."""

    def __init__(self, folder: Path) -> None:
        library, self._file = folder / "wall_clock.so", folder / "ahead"
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(library), str(SHIM), "-ldl"], check=True)
        self._file.write_bytes(bytes(8))
        self.env = os.environ | {"LD_PRELOAD": str(library), "WALL_CLOCK": str(self._file)}

    def set(self, ahead_s: int) -> None:
        """Set the clock so far from the true time, in one write of the same file."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", ahead_s))


@pytest.mark.fault
def test_a_clock_that_is_set_moves_nothing_but_the_times_people_are_told(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    """The clock of every process of the line goes an hour forward, then two back, as a real one is set while they run."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler to make the clock with")
    clock, live, run = WallClock(tmp_path), tmp_path / "live.toml", tmp_path / "run"
    live.write_text(played(line_toml, loop, fell=tmp_path / "fell", cups_per_s=CUPS_PER_S), encoding="utf-8")
    for name in ("plan.toml", "model", "calibration"):
        (tmp_path / name).symlink_to(line_toml.parent / name)
    command = [sys.executable, "-m", "citrus_grade.cli", "run", str(live), "--run", str(run), "--seconds", "150"]
    with subprocess.Popen(command, env=clock.env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as program:
        try:
            seen = [_told_time(run, 6)]
            for ahead_s in (HOUR_S, -HOUR_S):
                clock.set(ahead_s)
                seen.append(_told_time(run, int(seen[-1][0]) + 20))
            ended = _ended(run, "clock_set", 2)
            program.send_signal(signal.SIGINT)
            assert program.wait(60.0) == 0
        finally:
            program.kill()
    ahead_s = [at_s - true_s for _cup, at_s, true_s in seen]
    np.testing.assert_allclose(ahead_s, [0, HOUR_S, -HOUR_S], atol=60)  # the line was told, or this proves nothing
    held = invariant.look(run, tmp_path / "fell")
    assert held.broken == []
    rows, lanes = held.rows, load(line_toml).line.lanes
    assert np.all(np.diff(rows["tick"][::lanes]) >= 0)
    assert np.any(rows["reason"][rows["cup"] > seen[-1][0] - 15] == Reason.GRADED)
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, len(rows))
    times = [message.log_time for path in files(run) for message in _messages(path)]
    assert times == sorted(times)
    assert times[-1] < 150 * 10**9  # counted from the start
    assert [alarm["where"] for alarm in ended] == ["+3600 s", "-7200 s"]
    lasted_s = [event["lasted_s"] for event in events.read(run) if event["event"] == "alarm_ended"]
    assert all(0 <= each < HOUR_S / 2 for each in lasted_s)
    assert all(QUIET_S - 1 < alarm["ended_s"] - alarm["began_s"] < HOUR_S / 2 for alarm in ended)
    state = health.read(run)
    kinds = {alarm["kind"] for alarm in (*state["alarms"], *state["ended_alarms"])}
    assert not kinds & {"process_died", "process_silent", "encoder_jump"}


def _ended(run: Path, kind: str, n: int) -> list[dict[str, Any]]:
    """Wait until so many alarms of a kind have ended; return them."""
    until = time.monotonic() + 60.0
    while len(found := [alarm for alarm in health.read(run)["ended_alarms"] if alarm["kind"] == kind]) < n:
        assert time.monotonic() < until, f"of {kind} only {len(found)} ended"
        time.sleep(0.2)
    return found


def _told_time(run: Path, cup: int) -> tuple[int, float, float]:
    """Wait for a state that tells of a cup; return the cup, when the line says it is, and when it is."""

    def there() -> bool:
        return (run / health.NAME).exists() and health.read(run)["committed_cup"] >= cup

    until = time.monotonic() + 120.0
    while not there():
        assert time.monotonic() < until, f"cup {cup} did not come"
        time.sleep(0.1)
    state = health.read(run)
    return int(state["committed_cup"]), float(state["at_utc_s"]), time.time()


def _messages(path: Path) -> Iterator[Record]:
    with path.open("rb") as file:
        yield from (record for record in StreamReader(file).records if isinstance(record, Record))


HOGS_A_CORE, HOGGED_CUPS = 2, 90
HOG = "import os, time\nos.nice(5)\nuntil = time.monotonic() + 60\nwhile time.monotonic() < until: pass"
"""Ends by itself, should nobody end it."""
TAKEN_MB, FLOOD = 512, 100
TAKER = f"import os, time\nos.nice(5)\ntaken = bytearray(os.urandom(1 << 20)) * {TAKEN_MB}\ntime.sleep(60)"
"""Writes to all the memory it takes."""
STOPPED_S, STOPPED_AT_CUP = 1.5, 25
"""Shorter than a core may be silent before another takes its place, longer than its lead."""


class Crowded(Failed):
    """A line beside others that would take all there is of every processor, much memory, and start one process after another."""

    _others: tuple[subprocess.Popen[bytes], ...] = ()
    _until = 0.0

    def _during(self, supervisor: Supervisor) -> bool:
        belt = supervisor.board.belt()
        if belt is None:
            return False
        if not self._others:
            programs = [[sys.executable, "-c", HOG]] * (HOGS_A_CORE * (os.cpu_count() or 1)) + [[sys.executable, "-c", TAKER]]
            flood = [["sleep", f"{10 + number / 10:.1f}"] for number in range(FLOOD)]
            self._others = tuple(subprocess.Popen(command) for command in programs + flood)
            self._until = belt[0] / 4096 + HOGGED_CUPS
        if belt[0] / 4096 < self._until:
            return False
        for other in self._others:
            other.kill()
            other.wait()
        return True


@pytest.mark.fault
def test_a_crowded_machine_makes_fruit_late_at_most(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    crowded = Crowded(line_toml, loop, tmp_path, [])
    rows, config = crowded.rows, crowded.config
    assert len(rows) >= (HOGGED_CUPS - config.line.decision_station - 5) * config.line.lanes
    assert np.any(rows["reason"] == Reason.GRADED)
    assert len(crowded.fell) > 0
    assert crowded.ended.live is not None
    assert all(process["restarts"] == 0 for process in crowded.ended.live["processes"].values())


class Stopped(Failed):
    """A line whose core stands still for longer than its ejections may take, as on a machine that has none of it to spare."""

    _cups_per_s = 10.0
    _stopped_at = 0.0

    def _during(self, supervisor: Supervisor) -> bool:
        pid, cup = supervisor.children["core"].pid, int(supervisor.board.shared["decided_cup"][0])
        assert pid
        if cup >= STOPPED_AT_CUP and not self._stopped_at:
            os.kill(pid, signal.SIGSTOP)
            self._stopped_at = time.monotonic()
        elif self._stopped_at and time.monotonic() > self._stopped_at + STOPPED_S:
            os.kill(pid, signal.SIGCONT)
        return cup > STOPPED_AT_CUP + 80


@pytest.mark.fault
def test_what_is_decided_too_late_does_not_fall_and_is_counted(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    stopped = Stopped(line_toml, loop, tmp_path, [])
    late = stopped.ended.alarms["outlet_late"]
    assert late > 0
    assert stopped.counted["ejections_late"] >= late
    rows = stopped.rows[(stopped.rows["fire_tick"] >= 0) & (stopped.rows["cup"] < STOPPED_AT_CUP + 40)]
    there = set(zip(stopped.fell["lane"].tolist(), (stopped.fell["cup"] - stopped.shift).tolist(), strict=True))
    unfallen = [row for row in rows if (int(row["lane"]), int(row["cup"])) not in there]
    assert len(unfallen) == late
