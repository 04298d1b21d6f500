"""Processes of a live line killed at random instants, as the benchmark does it fifty times: nothing acknowledged is lost."""

from pathlib import Path

import pytest

from benchmarks.faults import kills
from citrus_grade.config import load
from citrus_grade.drivers.sim import tape
from citrus_grade.drivers.sim.plant import SimOptions

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")


@pytest.mark.fault
def test_whatever_is_killed_whenever_nothing_acknowledged_is_lost(line_toml: Path, tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    for name in ("line.toml", "plan.toml", "model", "calibration"):
        (tmp_path / "line" / name).symlink_to(line_toml.parent / name)
    (tmp_path / "tape").mkdir()
    tape.record(load(line_toml), tmp_path / "tape", SimOptions(seed=3, season=4), 24)
    found = kills(tmp_path, n=3, seed=7)
    assert found["killed"] == 3
    assert found["acked_lost"] == 0
    assert found["undecided_cups"] == 0
    assert found["replay_diff_fields"] == 0
    assert found["replayed"] > 0
