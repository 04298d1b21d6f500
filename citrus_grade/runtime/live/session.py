"""One live run: processes up, watched until it is told to stop, everything kept."""

import math
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from citrus_grade.drivers.sim import tape
from citrus_grade.lots import FruitTable, Packout
from citrus_grade.rundir import Loaded, create, load_line
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.live import health, store
from citrus_grade.runtime.live.emulated import FELL, TAPE
from citrus_grade.runtime.live.looks import noted
from citrus_grade.runtime.live.played import truth
from citrus_grade.runtime.live.supervisor import LOOK_S, Supervisor
from citrus_grade.runtime.session import Progress, RunSummary, Told, flat
from citrus_grade.tables import DECISION, stack
from citrus_grade.words import _

FRUIT, TRUTH = "fruit.parquet", "truth.parquet"
During = Callable[[Supervisor], bool | None]


def run_live(
    config_path: Path,
    run_dir: Path,
    *,
    profile: str | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
    during: During | None = None,
) -> RunSummary:
    """Run a line of devices until ``seconds`` are over, or it is told to stop (SIGINT, SIGTERM); keep it in ``run_dir``.

    ``told`` is called with each alarm as it comes, ``during`` at every look of the
    supervisor: the line stops when it says True.

    Raises
    ------
    ConfigError, ArtefactError : before anything moves. FileExistsError : if ``run_dir`` holds something.
    DeviceError : if a device can't be used as configured, or a process not be started.
    """
    loaded = load_line(config_path)
    kept = profile or loaded.config.log.profile
    seen = noted(loaded.config)
    create(run_dir, loaded, seed=None, profile=kept, config_text=config_path.read_text(encoding="utf-8"))
    supervisor = Supervisor(run_dir, kept, told)
    status = health.Keeper(supervisor)

    def keeping(asked: Callable[[], bool]) -> Callable[[], bool]:
        """While the supervisor waits it asks whether to go on: a moment for `status`, too."""

        def ask() -> bool:
            status.keep()
            return asked()

        return ask

    began = started = time.monotonic()
    with _signals() as came:
        try:
            supervisor.start(keeping(lambda: bool(came)), seen)
            started = time.monotonic()
            while not came and (seconds is None or time.monotonic() - started < seconds):
                supervisor.watch()
                status.keep()
                if during and during(supervisor):
                    break
                if progress:
                    progress(time.monotonic() - started, seconds or 0.0)
                time.sleep(LOOK_S)
        finally:
            line_s = time.monotonic() - started
            supervisor.stop(keeping(lambda: len(came) > 1))
            status.close()
    return _summary(run_dir, loaded, supervisor, line_s, time.monotonic() - began)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield the signals to stop that have come: the first stops the line in good order, the second in a hurry, and only the
    third is as it always was. One that is ignored, as SIGHUP under nohup, stays ignored."""
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def stop(number: int, _frame: Any) -> None:
        came.append(number)
        if len(came) > 1:
            for number, handler in before.items():
                signal.signal(number, handler)

    for number in before:
        signal.signal(number, stop)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _summary(run_dir: Path, loaded: Loaded, supervisor: Supervisor, line_s: float, wall_s: float) -> RunSummary:
    packout = Packout(loaded.plan.grades, loaded.config.outlet_names)
    with _or_told(supervisor, store.NAME):
        for rows in store.decisions(run_dir):
            packout.add(rows)
    with _or_told(supervisor, FRUIT):
        _write_fruit(run_dir, loaded)
    state, accuracy = health.state(supervisor), None
    if loaded.config.emulation:
        with _or_told(supervisor, TRUTH):
            accuracy = _against_emulation(run_dir, loaded, state["origin"])
    return RunSummary(
        run_dir=str(run_dir),
        line_s=line_s,
        wall_s=wall_s,
        fruit=packout.fruit,
        cups=packout.cups,
        fruit_per_s=packout.fruit / max(line_s, 1e-9),
        x_realtime=1.0,
        packout=packout.table(),
        reasons=packout.reasons(),
        alarms=dict(supervisor.observer.counted.times),
        alarm_places=supervisor.observer.counted.places,
        accuracy=accuracy,
        live=state,
    )


@contextmanager
def _or_told(supervisor: Supervisor, name: str) -> Iterator[None]:
    """Tell of a file that the disk does not take, or give, at the end of a run: that is no reason to end without a summary."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        said = getattr(error, "strerror", None) or str(error)
        words = _(
            "{name}: {error}; every decision kept is in {table}, and `citrus-grade log export {run} --kind fruit` writes it where"
            " there is room"
        )
        told = words.format(name=name, error=said, table=store.NAME, run=supervisor.run_dir)
        supervisor.observer.alarm("file_disk", told)


def _write_fruit(run_dir: Path, loaded: Loaded) -> None:
    table = FruitTable(run_dir / FRUIT, loaded.targets, loaded.plan.grades, loaded.config.outlet_names, loaded.plan.classes)
    for rows in store.decisions(run_dir):
        table.add(rows)
    table.close()


def _against_emulation(run_dir: Path, loaded: Loaded, origin: int) -> dict[str, Any] | None:
    """Compare decisions with what lay on an emulated belt and where it fell; of cups that have passed the last outlet."""
    config = loaded.config
    folder = Path(str(config.emulation))
    decided = stack(list(store.decisions(run_dir)), DECISION)
    last = int(decided["cup"].max(initial=-1)) + config.line.decision_station
    passed = last - math.ceil(max(outlet.station for outlet in config.outlet) + max(map(abs, config.phases))) - 1
    if passed < 1 or not np.any(decided["fruit_views"][decided["cup"] < passed] > 0):
        return None
    known = truth(tape.load(folder / TAPE), folder / FELL, config, origin, passed)
    pq.write_table(flat(known), run_dir / TRUTH)
    return against_truth(decided[decided["cup"] < passed], known, loaded.targets)
