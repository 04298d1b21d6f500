"""A short soak: minutes of a live line with a fault every few seconds."""

import gc
from pathlib import Path

import numpy as np
import pytest

from benchmarks.soak import DEVICES, FAULTS, LOGS_KEPT, common_slope, soak


@pytest.mark.fault
@pytest.mark.parametrize("seed", [3, 4])
def test_a_line_keeps_its_promises_through_one_fault_after_another(seed: int, tmp_path: Path) -> None:
    found = soak(tmp_path, hours=0.02, seed=seed, every_s=4.0)
    assert sum(found["faults"].values()) >= 15
    assert len(set(found["faults"]) & set(DEVICES)) >= len(FAULTS) // 3
    assert found["fds_growth"] <= 2  # what else runs in a worker of the tests opens a file now and then
    assert found["graded"] > 500
    assert found["fell"] > 500
    assert (found["replay_diff_fields"], found["replayed"] > 1000) == (0, True)
    assert found["alarms"]["device"] > 0
    assert len(list((tmp_path / "run" / "log").iterdir())) <= LOGS_KEPT + 1
    assert gc.isenabled()


def test_a_leak_is_seen_beside_levels_that_shift() -> None:
    hours = np.linspace(0.0, 2.0, 100)
    replaced = np.floor(hours * 3)
    noise = np.random.default_rng(1).normal(0.0, 0.01, 100)
    slope, error, free = common_slope(hours, 300.0 + 11.0 * replaced + 2.5 * hours + noise, replaced)
    assert free == 100 - 7 - 1  # the last hour begins a group of its own
    assert abs(slope - 2.5) < 4 * error
    assert error < 0.05
