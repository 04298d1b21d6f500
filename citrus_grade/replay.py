"""Replay: the recorded messages through the same `Line.feed`, every field of every decision compared to the bit.

A ``full`` run is replayed from its pixels, a ``normal`` one from the joined measurements of each fruit. With another plan,
model, calibration or classifier the same messages answer what the lot would have been.
"""

import time
import zipfile
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from citrus_grade.config import LineConfig
from citrus_grade.line import ARTEFACTS, Line
from citrus_grade.messages import Command, Decisions, Joined, Message
from citrus_grade.rundir import Loaded, reopen, start_of
from citrus_grade.runlog import LogError, LogReader, files
from citrus_grade.runlog.reader import Fed, Snapshot
from citrus_grade.tables import Table, differing_fields, fruit_of
from citrus_grade.words import _

PIXELS, SEAM = "pixels", "imaging seam"
FIRST_DIFFERENCES = 20
Progress = Callable[[float, float], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of one decision that came out otherwise."""

    cup: int
    lane: int
    field: str
    recorded: str
    replayed: str


@dataclass(slots=True)
class ReplayReport:
    """What a replay found. ``diff_fields`` counts fields of decisions that differ in any bit, missing decisions with all
    their fields."""

    run: str
    entered: str
    decisions: int = 0
    compared: int = 0
    diff_fields: int = 0
    first_differences: list[Difference] = field(default_factory=list)
    truncated: bool = False
    line_s: float = 0.0
    x_realtime: float = 0.0
    what_if: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return asdict(self)

    def add(self, other: "ReplayReport") -> None:
        """Take in the report of another piece of the same run."""
        self.decisions += other.decisions
        self.compared += other.compared
        self.diff_fields += other.diff_fields
        self.first_differences = (self.first_differences + other.first_differences)[:FIRST_DIFFERENCES]
        self.truncated |= other.truncated
        self.line_s += other.line_s


def replay(
    run_dir: Path,
    *,
    plan: Path | None = None,
    model: Path | None = None,
    calibration: Path | None = None,
    classifier: Path | None = None,
    lanes: tuple[int, ...] | None = None,
    speed: float = 0.0,
    jobs: int = 1,
    progress: Progress | None = None,
) -> ReplayReport:
    """Replay a run and compare, or answer what it would have been.

    Parameters
    ----------
    plan, model, calibration, classifier : artefacts to use in place of the run's own; the report then holds ``what_if``.
    lanes : compare only these. speed : line seconds a second, 0 as fast as the machine can. jobs : log files replayed at a time.
    progress : called with files done (fractions counted) and files in all.

    Raises
    ------
    LogError : if the run can't be replayed as asked.
    """
    started = time.perf_counter()
    entered = _seam_of(run_dir)
    loaded = reopen(run_dir, plan=plan, model=model, calibration=calibration, classifier=classifier)
    paths = files(run_dir)
    if wrong := [lane for lane in lanes or () if not 0 <= lane < loaded.config.line.lanes]:
        raise LogError(
            _("{run}: no lane {lanes}; the line has lanes 0 to {last}").format(
                run=run_dir, lanes=", ".join(map(str, wrong)), last=loaded.config.line.lanes - 1
            )
        )
    if plan or model or calibration or classifier:
        report = _what_if(run_dir, loaded, paths, entered, lanes, progress)
    elif jobs > 1 and len(paths) > 1 and not speed:
        report = _in_parallel(run_dir, paths, entered, lanes, jobs, progress)
    else:
        report = ReplayReport(str(run_dir), entered)
        for index, path in enumerate(paths):
            report.add(_compare_file(run_dir, loaded, path, entered, lanes, speed))
            if progress:
                progress(index + 1, len(paths))
    report.x_realtime = report.line_s / (time.perf_counter() - started)
    return report


def _seam_of(run_dir: Path) -> str:
    profile = start_of(run_dir).get("profile")
    if profile not in ("full", "normal", "off"):
        raise LogError(
            _("{run}/run.json: profile is {profile!r}, not full, normal or off; it is no run of this program").format(
                run=run_dir, profile=profile
            )
        )
    if profile == "off":
        raise LogError(
            _("{run}: the log holds decisions only (profile off); record with profile normal or full to replay").format(
                run=run_dir
            )
        )
    return PIXELS if profile == "full" else SEAM


def _in_parallel(
    run_dir: Path, paths: list[Path], entered: str, lanes: tuple[int, ...] | None, jobs: int, progress: Progress | None
) -> ReplayReport:
    from joblib import Parallel, delayed  # only here: it comes with scikit-learn and takes its time to import

    report = ReplayReport(str(run_dir), entered)
    parts = Parallel(n_jobs=jobs, return_as="generator")(delayed(_compare_alone)(run_dir, path, entered, lanes) for path in paths)
    for index, part in enumerate(parts):
        report.add(part)
        if progress:
            progress(index + 1, len(paths))
    return report


def _compare_alone(run_dir: Path, path: Path, entered: str, lanes: tuple[int, ...] | None) -> ReplayReport:
    return _compare_file(run_dir, reopen(run_dir), path, entered, lanes, 0.0)


def _messages(reader: LogReader, entered: str) -> Iterator[Snapshot | Message | Decisions]:
    """Yield messages to feed, each followed by the decisions that were recorded of it.

    At the imaging seam the joined fruit go ahead of the messages that decide them; what a cut has parted from its decisions
    is left.
    """
    waiting: list[Message] = []
    for entry in reader:
        if isinstance(entry, Snapshot):
            yield entry
        elif isinstance(entry, Fed):
            if entered == PIXELS:
                yield from entry.messages
            else:
                yield from waiting
                waiting = entry.messages
        elif isinstance(entry, Decisions):
            if entered == SEAM:
                yield Joined(fruit_of(entry.rows))
                yield from waiting
                waiting = []
            yield entry
    if not reader.truncated:
        yield from waiting


def _compare_file(
    run_dir: Path, loaded: Loaded, path: Path, entered: str, lanes: tuple[int, ...] | None, speed: float
) -> ReplayReport:
    reader, line = LogReader(path, frames=entered == PIXELS), loaded.line()
    report = ReplayReport(str(run_dir), entered)
    replayed: deque[Table] = deque()
    pace = _Pace(loaded.config, speed)
    for item in _messages(reader, entered):
        if isinstance(item, Snapshot):
            _restore(line, item, path)
        elif isinstance(item, Decisions):
            pace.wait(item.rows)
            _compare(item.rows, replayed.popleft() if replayed else None, lanes, report)
        else:
            replayed.extend(output.rows for output in line.feed(item) if isinstance(output, Decisions))
    report.truncated = reader.truncated
    if replayed and not reader.truncated:
        for rows in replayed:
            _compare(rows[:0], rows, lanes, report)
    report.line_s = pace.line_s
    return report


def _restore(line: Line, snapshot: Snapshot, path: Path, adopt: Loaded | None = None) -> None:
    """Take a file's snapshot; ``adopt`` puts other artefacts in place of those it names."""
    try:
        line.restore(snapshot.state, **(adopt.ids if adopt else {}))
    except KeyError as error:
        raise LogError(
            _("{path}: needs the artefact {id} as it was; the folder does not hold it").format(path=path, id=error)
        ) from error
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise LogError(
            _("{path}: its snapshot is of another version; replay it with the software that run.json names").format(path=path)
        ) from error


@dataclass(slots=True)
class _Pace:
    """Line time, and the wait that keeps a replay to ``speed`` times it."""

    config: LineConfig
    speed: float
    first_tick: int | None = None
    line_s: float = 0.0
    started: float = field(default_factory=time.perf_counter)

    def wait(self, rows: Table) -> None:
        tick = int(rows["tick"][-1])
        if self.first_tick is None:
            self.first_tick = tick
        self.line_s = float((tick - self.first_tick) / self.config.encoder.ratio) / self.config.line.cups_per_s
        if self.speed:
            time.sleep(max(0.0, self.started + self.line_s / self.speed - time.perf_counter()))


def _compare(recorded: Table, replayed: Table | None, lanes: tuple[int, ...] | None, report: ReplayReport) -> None:
    replayed = recorded[:0] if replayed is None else replayed
    if lanes is not None:
        recorded, replayed = recorded[np.isin(recorded["lane"], lanes)], replayed[np.isin(replayed["lane"], lanes)]
    report.decisions += len(recorded)
    report.compared += min(len(recorded), len(replayed))
    if recorded.tobytes() == replayed.tobytes():
        return
    names = recorded.dtype.names or ()
    if len(recorded) != len(replayed):
        report.diff_fields += len(names) * abs(len(recorded) - len(replayed))
        longer, said = (recorded, ("decided", "missing")) if len(recorded) > len(replayed) else (replayed, ("missing", "decided"))
        for row in longer[min(len(recorded), len(replayed)) :][: FIRST_DIFFERENCES - len(report.first_differences)]:
            report.first_differences.append(Difference(int(row["cup"]), int(row["lane"]), "decision", *said))
    for a, b in zip(recorded, replayed, strict=False):
        for name in differing_fields(a.reshape(1), b.reshape(1)):
            report.diff_fields += 1
            if len(report.first_differences) < FIRST_DIFFERENCES:
                report.first_differences.append(Difference(int(a["cup"]), int(a["lane"]), name, str(a[name]), str(b[name])))


def _what_if(
    run_dir: Path, loaded: Loaded, paths: list[Path], entered: str, lanes: tuple[int, ...] | None, progress: Progress | None
) -> ReplayReport:
    """Feed the whole run to one line that keeps to the new artefacts, whatever the recorded commands say."""
    own = start_of(run_dir)
    fresh_line = True
    report, line, pace = ReplayReport(str(run_dir), entered), loaded.line(), _Pace(loaded.config, 0.0)
    before, after = Counter[str](), Counter[str]()
    changed = 0
    replayed: deque[Table] = deque()
    for index, path in enumerate(paths):
        reader = LogReader(path, frames=entered == PIXELS)
        for item in _messages(reader, entered):
            if isinstance(item, Decisions):
                pace.wait(item.rows)
                new = replayed.popleft() if replayed else item.rows[:0]
                old, new = _of_lanes(item.rows, lanes), _of_lanes(new, lanes)
                report.decisions += len(old)
                before.update(_grades(old, own["grades"]))
                after.update(_grades(new, loaded.plan.grades))
                changed += sum(
                    a != b for a, b in zip(_grades(old, own["grades"]), _grades(new, loaded.plan.grades), strict=False)
                )
            elif isinstance(item, Snapshot):
                if fresh_line:
                    _restore(line, item, path, adopt=loaded)
                    fresh_line = False
            elif not (isinstance(item, Command) and item.kind in ARTEFACTS):
                replayed.extend(output.rows for output in line.feed(item) if isinstance(output, Decisions))
        report.truncated |= reader.truncated
        if progress:
            progress(index + 1, len(paths))
    report.line_s = pace.line_s
    report.what_if = {"packout_before": dict(before), "packout_after": dict(after), "changed": changed}
    return report


def _of_lanes(rows: Table, lanes: tuple[int, ...] | None) -> Table:
    return rows if lanes is None else rows[np.isin(rows["lane"], lanes)]


def _grades(rows: Table, grades: Any) -> list[str]:
    """Return each fruit's grade, "ungraded" where it got none; empty cups have no fruit."""
    full = rows[rows["fruit_views"] > 0]
    return [grades[rule] if rule >= 0 else "ungraded" for rule in full["rule"].tolist()]
