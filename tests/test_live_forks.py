"""The servers that processes of a live line are forked from: what they give, and what becomes of a line without them."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks import invariant
from citrus_grade.messages import Reason
from citrus_grade.replay import replay
from citrus_grade.rundir import create, load_line
from citrus_grade.runtime.live import events, processes, wire
from citrus_grade.runtime.live.devices import CAMERAS, PLCS, SCALES, SPECTROMETERS
from citrus_grade.runtime.live.played import played
from citrus_grade.runtime.live.processes import ForkServers
from citrus_grade.runtime.live.session import run_live
from citrus_grade.runtime.live.supervisor import Supervisor
from citrus_grade.runtime.live.work import CORE, RECORDER

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 6.0


@pytest.fixture
def line(line_toml: Path, tmp_path: Path) -> Iterator[Supervisor]:
    folder = tmp_path / "run"
    text = line_toml.read_text(encoding="utf-8")
    create(folder, load_line(line_toml), seed=None, profile="normal", config_text=text)
    made = Supervisor(folder, "normal")
    yield made
    made.stop(lambda: True)


@pytest.fixture
def servers(line: Supervisor) -> ForkServers:
    """Two fork servers of a line of which nothing else runs."""
    line._forks.begin(lambda: True)
    _until(lambda: len(line.fork_servers) == 2, line._forks.watch)
    return line._forks


def _until(true: Callable[[], bool], look: Callable[[], None], seconds: float = 120.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not happen"
        look()
        time.sleep(0.02)


def _threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def test_a_fork_server_is_one_thread_and_so_are_all_drivers(servers: ForkServers) -> None:
    assert [_threads(process.pid) for process in servers.processes] == [1, 1]
    groups = (CAMERAS, SPECTROMETERS, PLCS, SCALES)
    code = f"""
import os
from importlib.metadata import entry_points
drivers = [entry.load() for group in {groups} for entry in entry_points(group=group)]
print(len(drivers), len(os.listdir("/proc/self/task")))
"""
    environment = os.environ | processes.ONE_THREAD
    said = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True, timeout=120)
    drivers, threads = map(int, said.stdout.split())
    assert drivers >= 9
    assert threads == 1


def test_what_is_forked_is_our_own_child_and_has_its_name(line: Supervisor, servers: ForkServers) -> None:
    started = servers.fork(line._spec("nobody", {}))
    assert started is not None
    process, parent = started
    assert process.pid not in {server.pid for server in servers.processes}
    assert process.wait() == process.poll() == 1  # it has no place on the board, and dies of that
    parent.close()
    assert {Path(f"/proc/{server.pid}/comm").read_text().strip() for server in servers.processes} == {"citrus forkserv"}


def test_what_was_forked_and_is_not_wanted_ends(line: Supervisor, servers: ForkServers) -> None:
    asked, unwanted = wire.pair()
    with unwanted:
        pid = processes._asked(servers._servers[0].parent, unwanted)
    assert pid
    asked.close()
    assert processes.Forked(pid).wait() == 0


@pytest.mark.fault
def test_a_fork_server_that_stands_still_is_passed_over_and_replaced(line: Supervisor, servers: ForkServers) -> None:
    stood = servers.processes[0]
    os.kill(stood.pid, signal.SIGSTOP)
    started = servers.fork(line._spec("nobody", {}))
    assert started is not None
    started[0].kill()
    started[0].wait()
    started[1].close()
    _until(lambda: len(line.fork_servers) == 2, servers.watch)
    assert stood.pid not in {server.pid for server in servers.processes}
    assert line.observer.counted.times["process_died"] == 1


@pytest.mark.fault
def test_a_line_without_fork_servers_starts_its_processes_from_nothing(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    live, fell = tmp_path / "live.toml", tmp_path / "fell"
    live.write_text(played(line_toml, loop, cups_per_s=CUPS_PER_S, fell=fell), encoding="utf-8")
    for name in ("plan.toml", "model", "calibration"):
        (tmp_path / name).symlink_to(line_toml.parent / name)
    killed_at: list[int] = []

    def during(supervisor: Supervisor) -> bool:
        decided = int(supervisor.board.shared["decided_cup"][0])
        victims = [supervisor.children[role] for role in (CORE, RECORDER)]
        if decided >= 20 and not killed_at and len(supervisor.fork_servers) == 2:
            killed_at.append(decided)
            for process in (*supervisor.fork_servers, *(child.process for child in victims)):
                assert process is not None
                process.kill()
        return bool(killed_at) and all(child.recovery_s for child in victims) and decided > killed_at[0] + 60

    run_live(live, tmp_path / "run", seconds=180.0, during=during)
    started = [event["forked"] for event in events.read(tmp_path / "run") if event["event"] == "process_started"]
    assert started[:5] == [True] * 5
    assert started[5:] == [False] * 2
    held = invariant.look(tmp_path / "run", fell)
    assert held.broken == []
    assert replay(tmp_path / "run").diff_fields == 0
    assert np.any(held.rows["reason"][held.rows["cup"] > held.rows["cup"].max() - 10] == Reason.GRADED)
