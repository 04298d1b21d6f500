"""Training on the machine of a running line gives way to it."""

import subprocess
import sys

import pytest

from citrus_grade.cli.giving_way import NICER, OOM_SCORE

PROGRAM = """
import os, sys
from citrus_grade.cli.main import main
main()
print(os.nice(0), open("/proc/self/oom_score_adj").read())
"""


@pytest.mark.fault
@pytest.mark.parametrize(("words", "gives_way"), [(["--lang", "zh", "train", "spectra"], True), (["run"], False), ([], False)])
def test_what_learns_gives_way_and_dies_first_and_a_line_does_neither(words: list[str], gives_way: bool) -> None:
    def told(*command: str) -> list[int]:
        done = subprocess.run([sys.executable, "-c", *command], capture_output=True, text=True, check=True)
        return [int(word) for word in done.stdout.split()[-2:]]

    nice, score = told('import os; print(os.nice(0), open("/proc/self/oom_score_adj").read())')
    assert told(PROGRAM, *words, "--help") == ([min(nice + NICER, 19), OOM_SCORE] if gives_way else [nice, score])
