"""A live line on a machine that has no process, memory or open file left: it waits for them and says so."""

import resource
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from citrus_grade.ports import DeviceError
from citrus_grade.rundir import create, load_line
from citrus_grade.runtime.live import events, processes, supervisor
from citrus_grade.runtime.live.processes import Process
from citrus_grade.runtime.live.supervisor import Supervisor


class Clock:
    """The supervisor's clock in our hands."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.module = SimpleNamespace(
            monotonic=lambda: self.now_s, time=lambda: self.now_s, monotonic_ns=time.monotonic_ns, sleep=time.sleep
        )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (supervisor, processes):
        monkeypatch.setattr(module, "time", made.module)
    return made


@pytest.fixture
def run_dir(line_toml: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    create(folder, load_line(line_toml), seed=None, profile="normal", config_text=line_toml.read_text(encoding="utf-8"))
    return folder


@pytest.fixture
def line(run_dir: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Supervisor]:
    """A line that runs, whose processes only sleep."""
    begun: list[subprocess.Popen[bytes]] = []

    def sleeper(_command: list[str], **_options: Any) -> subprocess.Popen[bytes]:
        begun.append(real(["sleep", "600"]))
        return begun[-1]

    real = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", sleeper)
    made = Supervisor(run_dir, "normal")
    for role in made.roles:
        made._spawn(role)
        made.board.station(role).ready()
    made._started = True
    yield made
    made.stop(lambda: True)
    for process in begun:
        process.kill()
        process.wait()


def _kill(process: Process | None) -> None:
    assert process is not None
    process.kill()
    process.wait()


@contextmanager
def _no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_line_whose_processes_cannot_be_started_says_so(run_dir: Path) -> None:
    line = Supervisor(run_dir, "normal")
    with _no_more_files(), pytest.raises(DeviceError, match="recorder: can't be started: Too many open files"):
        line.start()
    line.stop(lambda: True)


@pytest.mark.fault
def test_a_process_that_cannot_be_started_is_tried_again_until_it_can(line: Supervisor, clock: Clock) -> None:
    camera = line.children["camera0"]
    _kill(camera.process)
    with _no_more_files():
        for _look in range(20):
            line.watch()
            clock.now_s += 1.0
        assert camera.process is None
    assert any("camera0: can't be started: Too many open files" in where for where in line.observer.counted.places["device"])
    assert line.observer.counted.times["process_died"] == camera.restarts == 1
    clock.now_s += 10.0
    line.watch()
    assert camera.pid is not None


@pytest.mark.fault
def test_a_fork_server_that_cannot_be_made_ends_no_line_and_leaves_no_file_open(
    line: Supervisor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_process(*_given: Any, **_options: Any) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    forks = line._forks
    forks._again_at = 0.0
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", no_process)
        before = _open_files()
        for _look in range(10):
            line.watch()
            clock.now_s += 100.0
        assert _open_files() == before
    line.watch()
    assert len(forks._servers) == 1


def test_a_fork_server_that_always_dies_is_made_ever_less_often(line: Supervisor, clock: Clock) -> None:
    forks = line._forks
    forks._again_at = 0.0
    made_at: list[float] = []
    while len(made_at) < 8:
        line.watch()
        if forks._servers:
            made_at.append(clock.now_s)
            _kill(forks._servers[0].process)
        clock.now_s += 0.5
    pauses = [after - before for before, after in pairwise(made_at)]
    assert pauses == sorted(pauses)
    assert pauses[-1] > 8 * pauses[0]
    line.observer.events.close()
    lost = [event for event in events.read(line.run_dir) if event["process"] == "forkserver"]
    assert [event["in_a_row"] for event in lost] == list(range(1, 8))
