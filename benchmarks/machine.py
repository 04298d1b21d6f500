"""What a benchmark ran on."""

import os
import platform
import resource
from pathlib import Path
from typing import Any

import numba
import numpy as np

from citrus_grade import __version__


def machine() -> dict[str, Any]:
    """Return processor, cores and versions."""
    models = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(), "cores": os.cpu_count(), "load_1min": round(os.getloadavg()[0], 2),
        "python": platform.python_version(), "numpy": np.__version__, "numba": numba.__version__, "citrus_grade": __version__,
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def rss_mb() -> float:
    """Return the resident memory of this process, in MB."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * resource.getpagesize() / 1e6


def one_core() -> None:
    """Keep this process to one core, where the system allows it."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
