"""One run of a line: devices in, decisions out, everything kept."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from citrus_grade.config import ConfigError, LineConfig, load, parse
from citrus_grade.line import Line
from citrus_grade.messages import Alarm, Decisions, Ejection, Pulse, Shutter
from citrus_grade.ports import Plant, Shutters
from citrus_grade.rundir import Loaded, create, load_line, with_value
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.recorder import Recorder
from citrus_grade.runtime.schedule import scheduled
from citrus_grade.tables import DECISION, Table, stack
from citrus_grade.words import _

DRIVERS = "citrus_grade.drivers"
Progress = Callable[[float, float], None]
Told = Callable[[Alarm], None]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run came to."""

    run_dir: str
    line_s: float
    wall_s: float
    fruit: int
    cups: int
    fruit_per_s: float
    x_realtime: float
    packout: list[dict[str, Any]]
    reasons: dict[str, int]
    alarms: dict[str, int]
    alarm_places: dict[str, list[str]]
    accuracy: dict[str, Any] | None = None
    live: dict[str, Any] | None = None
    report: str | None = None
    pictures: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the summary as plain data."""
        return asdict(self)


def open_plant(config: LineConfig, *, seed: int | None = None, seconds: float | None = None) -> Plant:
    """Open what ``[source] driver`` names among the installed drivers.

    Raises
    ------
    ConfigError : if no such driver is installed.
    """
    name = config.source.get("driver", "sim")
    found = {entry.name: entry for entry in entry_points(group=DRIVERS)}
    if name not in found:
        raise ConfigError(
            "line.toml",
            [
                _("source.driver: {name!r} is not installed; there are {names}").format(
                    name=name, names=", ".join(sorted(found)) or "-"
                )
            ],
        )
    plant: Plant = found[name].load()(config, seed=seed, seconds=seconds)
    return plant


def run_line(
    config_path: Path,
    run_dir: Path,
    *,
    profile: str | None = None,
    seconds: float | None = None,
    seed: int | None = None,
    data: Path | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
) -> RunSummary:
    """Run the line that ``config_path`` describes until its source ends; keep the run in ``run_dir``.

    ``profile``, ``seconds``, ``seed`` and ``data`` (the folder of a line of files) take the place of the configuration's own;
    ``told`` is called with each alarm as it comes.

    Raises
    ------
    ConfigError, ArtefactError : before anything moves. FileExistsError : if ``run_dir`` holds something.
    """
    text = _text(config_path, data)
    loaded = load_line(config_path, text=text)
    kept = profile or loaded.config.log.profile
    plant = open_plant(loaded.config, seed=seed, seconds=seconds)
    create(run_dir, loaded, seed=seed, profile=kept, config_text=text)
    line = loaded.line()
    recorder = Recorder(run_dir, loaded, line, kept)
    started = time.perf_counter()
    try:
        line_s, decisions = _drive(line, plant, recorder, progress, told)
    finally:
        try:
            recorder.close()
        finally:
            plant.close()
    return _summary(run_dir, loaded, plant, recorder, decisions, line_s, time.perf_counter() - started)


def _text(config_path: Path, data: Path | None) -> str:
    """Return the configuration to run, with the data's folder in it; a line of files gets the artefacts it lacks."""
    config = load(config_path)
    text = config_path.read_text(encoding="utf-8")
    if data is not None:
        text = with_value(text, "source", "data", str(data.resolve()))
        config = parse(text, str(config_path))
    if config.source.get("driver") == "files":
        from citrus_grade.runtime import real  # loads the training code, which no other run needs

        real.prepare(config, config_path.parent)
    return text


def _drive(
    line: Line, plant: Plant, recorder: Recorder, progress: Progress | None, told: Told | None
) -> tuple[float, list[Table]]:
    """Feed the line until its source ends; return the line time in seconds and, where a truth awaits them, the decisions."""
    decisions: list[Table] = []
    knows_truth = plant.truth() is not None
    line_s = 0.0
    for message in scheduled(line.config.command, plant.messages()):
        fed = line.imaged(message)
        recorder.take(message, fed)
        outputs = line.feed(fed)
        recorder.gave(outputs)
        ejections = [output for output in outputs if isinstance(output, Ejection)]
        if ejections:
            plant.eject(ejections)
        shutters = [output for output in outputs if isinstance(output, Shutter)]
        if shutters and isinstance(plant, Shutters):
            plant.move(shutters)
        if told:
            for output in outputs:
                if isinstance(output, Alarm):
                    told(output)
        if knows_truth:
            decisions += [output.rows for output in outputs if isinstance(output, Decisions)]
        if isinstance(message, Pulse):
            line_s = message.t_ns / 1e9
            if progress:
                progress(line_s, plant.line_s)
    return line_s, decisions


def _summary(
    run_dir: Path, loaded: Loaded, plant: Plant, recorder: Recorder, decisions: list[Table], line_s: float, wall_s: float
) -> RunSummary:
    truth, packout = plant.truth(), recorder.packout
    accuracy = None
    if truth is not None:
        pq.write_table(flat(truth), run_dir / "truth.parquet")
        accuracy = against_truth(stack(decisions, DECISION), truth, loaded.targets, plant.truth_kind) if decisions else None
    return RunSummary(
        run_dir=str(run_dir),
        line_s=line_s,
        wall_s=wall_s,
        fruit=packout.fruit,
        cups=packout.cups,
        fruit_per_s=packout.fruit / max(wall_s, 1e-9),
        x_realtime=line_s / max(wall_s, 1e-9),
        packout=packout.table(),
        reasons=packout.reasons(),
        alarms=dict(recorder.alarms.times),
        alarm_places=recorder.alarms.places,
        accuracy=accuracy,
    )


def flat(truth: Table) -> pa.Table:
    """Return the scalar columns of a truth, the fruit's own with them, and as ``seen_...`` what could be seen of it."""
    named = {name: truth[name] for name in ("lane", "cup", "load", "fell")}
    fruit = truth["fruit"]
    named |= {name: fruit[name] for name in fruit.dtype.names or () if not fruit.dtype[name].shape}
    if "seen" in (truth.dtype.names or ()):
        seen = truth["seen"]
        named |= {f"seen_{name}": seen[name] for name in seen.dtype.names or () if not seen.dtype[name].shape}
    return pa.table({name: np.ascontiguousarray(column) for name, column in named.items()})
