"""What many tests share: one calibrated simulated line a worker, and short runs of it."""

import fcntl
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions
from citrus_grade.rundir import Loaded, load_line
from citrus_grade.runtime.demo import set_up
from citrus_grade.runtime.session import RunSummary, run_line

# No test measures time, and two runs of the suite see the same examples.
settings.register_profile("line", deadline=None, derandomize=True)
settings.load_profile("line")

SEED = 3
_BEGUN: dict[str, Any] = {}
"""Where each module's RNG stood when imported."""
RUN_S = 2.0


@pytest.fixture(autouse=True)
def _same_draws(request: pytest.FixtureRequest) -> None:
    """Begin each test with its module's RNG as imported: tests are shared out anew each time, and none hangs on the others."""
    rng = getattr(request.module, "RNG", None)
    if rng is not None:
        rng.bit_generator.state = _BEGUN.setdefault(request.module.__name__, rng.bit_generator.state)


@dataclass(frozen=True)
class Run:
    """A recorded run and what it came to. Copy the folder before changing anything in it."""

    folder: Path
    summary: RunSummary

    @property
    def log(self) -> Path:
        return self.folder / "log" / "000000.mcap"

    def copy(self, to: Path) -> Path:
        return Path(shutil.copytree(self.folder, to))


@pytest.fixture(scope="session")
def line_toml(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A calibrated simulated line with a first model: its ``line.toml``."""
    return set_up(tmp_path_factory.mktemp("line"), SEED)


@pytest.fixture(scope="session")
def loaded(line_toml: Path) -> Loaded:
    return load_line(line_toml)


@pytest.fixture(scope="session")
def config(loaded: Loaded) -> LineConfig:
    return loaded.config


@pytest.fixture(scope="session")
def loop(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A loop of 24 cups of that line, which simulated devices play: its folder, only to be read."""
    folder = tmp_path_factory.mktemp("tape")
    tape.record(load(line_toml), folder, SimOptions(seed=3, season=4), 24)
    return folder


def _run(line_toml: Path, factory: pytest.TempPathFactory, profile: str) -> Run:
    folder = factory.mktemp(profile) / "run"
    return Run(folder, run_line(line_toml, folder, profile=profile, seconds=RUN_S))


@pytest.fixture(scope="session")
def normal_run(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _run(line_toml, tmp_path_factory, "normal")


@pytest.fixture(scope="session")
def full_run(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _run(line_toml, tmp_path_factory, "full")


@pytest.fixture
def gige_network() -> Iterator[None]:
    """One test at a time has cameras: all of this machine listen at the same port, and each answers every call."""
    with (Path(tempfile.gettempdir()) / "citrus_grade-gige.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
