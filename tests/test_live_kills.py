"""Every process of a live line killed at a random instant, as the benchmark does it fifty times: nothing acknowledged is lost."""

from pathlib import Path

import pytest

from benchmarks.faults import kills

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

CUPS_PER_S = 6.0
"""Slow enough for a machine that runs other tests beside."""
RECOVERY_S = {"core": 3.0, "recorder": 2.0, "camera": 2.0}
LOG_LOST_S, EVERY_S = 1.0, 4.0


@pytest.mark.fault
def test_whatever_is_killed_whenever_nothing_acknowledged_is_lost(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    (tmp_path / "line").mkdir()
    for name in ("line.toml", "plan.toml", "model", "calibration"):
        (tmp_path / "line" / name).symlink_to(line_toml.parent / name)
    (tmp_path / "tape").symlink_to(loop)
    found = kills(tmp_path, n=6, seed=7, cups_per_s=CUPS_PER_S, every_s=EVERY_S)
    assert found["kills"] == dict.fromkeys(("core", "recorder", "plc", "camera0", "spectra", "forkserver"), 1)
    assert found["acked_lost"] == 0
    assert found["broken"] == []
    assert found["fell"] > 0
    assert (found["replay_diff_fields"], found["replayed"] > 0) == (0, True)
    assert found["log_lost_s"] <= LOG_LOST_S
    back = found["recovery_s"]
    assert {role: back[role] <= limit_s for role, limit_s in RECOVERY_S.items()} == dict.fromkeys(RECOVERY_S, True), back
