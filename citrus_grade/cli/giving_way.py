"""Heavy work may be done on the machine of a running line: it gives way, and is the first to go when memory is short."""

import os
from contextlib import suppress
from pathlib import Path

HEAVY = frozenset({"train", "upkeep", "transfer", "evaluate", "harmony", "control"})
"""Verbs that learn or compare, as opposed to what a line or its operator waits for."""
NICER = 10
OOM_SCORE = 700
"""Of 1000: the kernel kills what has most memory and the highest score; a line's processes have 0 (proc_pid_oom_score_adj(5))."""


def give_way() -> None:
    """Have this process, and what it starts, give way to all else, as far as the system knows how to."""
    with suppress(OSError, AttributeError):
        os.nice(NICER)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
