"""One live run: processes up, watched until it is told to stop, everything kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.lots import FruitTable, Packout
from citrus_grade.rundir import Loaded, create, load_line
from citrus_grade.runtime.live import store
from citrus_grade.runtime.live.memory import STAGES, quantile_us
from citrus_grade.runtime.live.supervisor import Supervisor, Told

Progress = Callable[[float, float], None]


@dataclass(slots=True)
class LiveSummary:
    """What a live run came to."""

    run_dir: str
    line_s: float
    fruit: int
    cups: int
    packout: list[dict[str, Any]]
    reasons: dict[str, int]
    counters: dict[str, dict[str, int]]
    times_us: dict[str, dict[str, float]]
    restarts: dict[str, int]
    recovery_s: dict[str, list[float]]
    origin: int


def run_live(
    config_path: Path,
    run_dir: Path,
    *,
    profile: str | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
    during: Callable[[Supervisor], None] | None = None,
) -> LiveSummary:
    """Run a line of devices until ``seconds`` are over or Ctrl-C; keep it in ``run_dir``.

    ``during`` is called at every look of the supervisor.

    Raises
    ------
    ConfigError, ArtefactError : before anything moves. FileExistsError : if ``run_dir`` holds something.
    RuntimeError : if a process or a device can't be started.
    """
    loaded = load_line(config_path)
    kept = profile or loaded.config.log.profile
    create(run_dir, loaded, seed=None, profile=kept, config_text=config_path.read_text(encoding="utf-8"))
    supervisor = Supervisor(run_dir, kept, told)
    started = time.monotonic()
    try:
        supervisor.start()
        started = time.monotonic()
        while seconds is None or time.monotonic() - started < seconds:
            supervisor.watch()
            if supervisor.failed:
                raise RuntimeError(supervisor.failed)
            if during:
                during(supervisor)
            if progress:
                progress(time.monotonic() - started, seconds or 0.0)
            time.sleep(0.02)
    except KeyboardInterrupt:
        pass
    finally:
        line_s = time.monotonic() - started
        supervisor.stop()
    return _summary(run_dir, loaded, supervisor, line_s)


def _summary(run_dir: Path, loaded: Loaded, supervisor: Supervisor, line_s: float) -> LiveSummary:
    packout = Packout(loaded.plan.grades, loaded.config.outlet_names)
    words = (loaded.targets, loaded.plan.grades, loaded.config.outlet_names, loaded.plan.classes)
    table = FruitTable(run_dir / "fruit.parquet", *words)
    for rows in store.decisions(run_dir):
        table.add(rows)
        packout.add(rows)
    table.close()
    stations = {role: supervisor.board.station(role) for role in supervisor.roles}
    times = {
        f"{role}.{stage}": _quantiles(found)
        for role, station in stations.items()
        for stage in STAGES
        if (found := station.times(stage)).any()
    }
    return LiveSummary(
        run_dir=str(run_dir),
        line_s=line_s,
        fruit=packout.fruit,
        cups=packout.cups,
        packout=packout.table(),
        reasons=packout.reasons(),
        counters={role: {k: v for k, v in station.counted().items() if v} for role, station in stations.items()},
        times_us=times,
        restarts={role: child.restarts for role, child in supervisor.children.items() if child.restarts},
        recovery_s={role: child.recovery_s for role, child in supervisor.children.items() if child.recovery_s},
        origin=int(supervisor.board.shared["origin"][0]),
    )


def _quantiles(histogram: NDArray[np.int64]) -> dict[str, float]:
    return {f"p{share * 100:g}": quantile_us(histogram, share) for share in (0.5, 0.99, 0.999)} | {"n": int(histogram.sum())}
