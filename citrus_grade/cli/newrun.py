"""Where a new run is written: a recording never overwrites another."""

from datetime import datetime
from pathlib import Path

from citrus_grade.cli.errors import BadInput
from citrus_grade.words import _

RUNS = Path("runs")


def new_run(given: Path | None, prefix: str) -> Path:
    """Return ``given``, which must be new or empty, or a new folder under ``runs/`` named by date and time."""
    if given is not None:
        if given.exists() and (not given.is_dir() or any(given.iterdir())):
            raise BadInput(_("{path}: is not empty; a run never overwrites another, name a new folder").format(path=given))
        return given
    stamp = f"{prefix}-{datetime.now():%Y%m%d-%H%M%S}"
    candidates = (RUNS / (stamp + (f"-{n}" if n else "")) for n in range(1000))
    return next(path for path in candidates if not path.exists())
