"""A short soak: minutes of a line with a fault every few seconds."""

from pathlib import Path

import pytest

from benchmarks.soak import FAULTS, soak


@pytest.mark.fault
@pytest.mark.parametrize("seed", [3, 4])
def test_a_line_keeps_its_promises_through_one_fault_after_another(seed: int, tmp_path: Path) -> None:
    found = soak(tmp_path, hours=0.02, seed=seed, every_s=4.0)
    assert sum(found["faults"].values()) >= 15
    assert sum(n > 0 for n in found["faults"].values()) >= len(FAULTS) // 2
    assert found["fds_growth"] <= 2  # what else runs in a worker of the tests opens a file now and then
    assert found["graded"] > 100
