"""Sample checks gathered over a season, and the control chart they make.

A history is a `journal` of events ``checks``: model and target, and of each fruit its id, lane, time, reference and NIR value.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade import __version__
from citrus_grade.calibration import control
from citrus_grade.runtime import journal
from citrus_grade.runtime.evaluating import target_of
from citrus_grade.runtime.sampling import Check, Found, of_runs, of_table
from citrus_grade.runtime.spectral import Source, load_bundle
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.words import _

Floats = NDArray[np.float64]

EVENT: Final = "checks"
LEAST_TO_TELL: Final = 10
"""Samples that a shift of one sigma takes on average to be seen."""
BACK: Final = 20
"""A lane that gave no signal in so many samples after its last is in control again."""


@dataclass(frozen=True, slots=True, eq=False)
class LaneChart:
    """One lane's ``checks`` (n) in order, ``sums`` (n, 2) of the CUSUM up and down, in sigma, and its ``signals``."""

    lane: str
    sigma: float
    checks: tuple[Check, ...]
    sums: Floats
    signals: tuple[control.Signal, ...]

    @property
    def deviation(self) -> Floats:
        """(n,) reference minus NIR."""
        return np.array([one.reference - one.nir for one in self.checks])

    @property
    def out_since(self) -> int | None:
        """The sample, from 1, since which the lane is out of control; None where it is in control, or is so again."""
        if not self.signals or len(self.checks) - self.signals[-1].sample >= BACK:
            return None
        since, after = self.signals[-1].since, self.signals[-1].sample
        for earlier in reversed(self.signals[:-1]):
            if after - earlier.sample >= BACK:
                break
            since, after = earlier.since, earlier.sample
        return since


@dataclass(frozen=True, slots=True, eq=False)
class Charts:
    """The charts of a model's target, lane by lane; ``added`` checks that are new, ``others`` of the history that are of other
    models, ``in_time`` whether all checks have a time, ``lost`` samples that the line gave no value, ``notes`` of the tables."""

    model_id: str
    target: str
    unit: str
    lanes: tuple[LaneChart, ...]
    added: int
    others: int
    in_time: bool
    simulated: bool
    lost: int
    notes: tuple[str, ...]


def chart(
    model_path: Path,
    sources: Sequence[Source],
    column: str | None = None,
    *,
    lane: str | None = None,
    time: str | None = None,
    history: Path | None = None,
    runs: Sequence[Path] = (),
    references: Path | None = None,
) -> Charts:
    """Chart the sample checks of tables and of a history, and append to the history those that are new to it.

    Parameters
    ----------
    column : of references; may be left out if it is called as the model's only target. lane : column of lanes, ``lane`` by
        default. time : column of times, otherwise found. history : file that gathers checks, made where there is none.
    runs : of this model, whose values as the line said them are held against ``references``, a table by run, lane and cup.

    Raises
    ------
    ArtefactError, SpectraTableError, CalibrationError : what cannot be used, with the remedy; nothing is appended then.
    """
    model, model_id = load_bundle(model_path)
    j, column = _target(model, column)
    target, unit = model.names[j], model.units[j]
    past = _past(history) if history is not None else []
    own = [one for one in past if one["model"] == model_id and one["target"] == target]
    known = [Check(*row) for one in own for row in one["checks"]]
    fresh = [of_table(model, j, source, column, lane, time) for source in sources]
    if runs:
        fresh.append(of_runs(runs, model_id, model, target, references, column, time))
    new = _new(known, [found.checks for found in fresh])
    checks = [*known, *(one for found in new for one in found)]
    if not checks:
        raise SpectraTableError(_nothing(model_path, history))
    in_time = all(one.when is not None for one in checks)
    if in_time:
        checks.sort(key=lambda one: one.when or 0.0)
    lanes = tuple(_lane(name, [one for one in checks if one.lane == name], model.targets[j].sigma) for name in _names(checks))
    for found, own_new in zip(fresh, new, strict=True):
        if history is not None and own_new:
            journal.append(history, _event(model_id, target, found, own_new))
    others = sum(len(one["checks"]) for one in past if one["model"] != model_id and one["target"] == target)
    unreal = any(found.simulated for found in fresh) or any(one["simulated"] for one in own)
    notes = tuple(note for found in fresh for note in found.notes)
    return Charts(model_id, target, unit, lanes, sum(map(len, new)), others, in_time, unreal, sum(f.lost for f in fresh), notes)


def facts(charts: Charts) -> dict[str, Any]:
    """Return the charts as plain data."""
    return {
        "model_id": charts.model_id,
        "target": charts.target,
        "unit": charts.unit,
        "SIMULATED": charts.simulated,
        "added": charts.added,
        "of_other_models": charts.others,
        "in_time": charts.in_time,
        "notes": list(charts.notes),
        "lanes": {one.lane: _facts(one) for one in charts.lanes},
    }


def _facts(one: LaneChart) -> dict[str, Any]:
    return {
        "n": len(one.checks),
        "mean": float(one.deviation.mean()),
        "sigma": one.sigma,
        "in_control": one.out_since is None,
        "out_since_sample": one.out_since,
        "signals": [
            {name: value for name, value in asdict(found).items() if name not in ("lane", "row")} for found in one.signals
        ],
    }


def _target(model: SpectralModel, column: str | None) -> tuple[int, str]:
    if column is not None:
        return target_of(model, column), column
    if len(model.names) > 1:
        raise SpectraTableError(_("the model tells {names}; say which with --target").format(names=", ".join(model.names)))
    return 0, model.names[0]


def _nothing(model_path: Path, history: Path | None) -> str:
    if history is None:
        return _("no sample checks: give a table of spectra with references, or --history")
    return _("{path}: holds no checks of {model} yet; give a table of spectra with references").format(
        path=history, model=model_path
    )


def _past(history: Path) -> list[journal.Event]:
    found = journal.read(history)
    if found.broken_at is not None:
        text = _(
            "{path}: line {line} was changed, taken out or put in by hand; take the log from a backup, or move it away to"
            " begin a new one"
        )
        raise SpectraTableError(text.format(path=history, line=found.broken_at))
    strange = next((one for one in found.events if one.get("event") != EVENT), None)
    if strange is not None:
        text = _("{path}: is no history of sample checks; name another file with --history")
        raise SpectraTableError(text.format(path=history))
    return list(found.events)


def _new(known: Sequence[Check], tables: Sequence[Sequence[Check]]) -> list[list[Check]]:
    """Return of each table the checks that stand nowhere before it."""
    seen = {_key(one) for one in known}
    new = []
    for found in tables:
        new.append([one for one in found if _key(one) not in seen])
        seen |= {_key(one) for one in found}
    return new


def _key(one: Check) -> tuple[Any, ...]:
    """What tells a check; another processor may give the NIR value another last digit."""
    return one.id, one.lane, one.when, one.reference, round(one.nir, 6)


def _names(checks: Sequence[Check]) -> Iterator[str]:
    """Lanes in the order of their numbers."""
    return iter(sorted({one.lane for one in checks}, key=lambda name: (len(name), name)))


def _lane(name: str, checks: Sequence[Check], sigma: float) -> LaneChart:
    state = control.start(sigma)
    sums, signals = np.zeros((len(checks), 2)), []
    only = np.zeros(1, np.int64)
    for row, one in enumerate(checks):
        far = (one.reference - one.nir) / sigma
        sums[row] = np.maximum(state.sums[:, 0] + np.array([far, -far]) - state.slack, 0.0)
        state, found = control.follow(state, only, np.array([one.reference - one.nir]))
        signals += [replace(signal, row=row) for signal in found]
    return LaneChart(name, sigma, tuple(checks), sums, tuple(signals))


def _event(model_id: str, target: str, found: Found, checks: Sequence[Check]) -> journal.Event:
    return {
        "event": EVENT,
        "model": model_id,
        "target": target,
        "table": found.name,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "software": __version__,
        "simulated": found.simulated,
        "checks": [list(astuple(one)) for one in checks],
    }
