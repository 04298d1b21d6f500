"""What a model on trial said in a run, beside the live one: fruit by fruit, and against references where there are any."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models.compare import Comparison, Said, compare
from citrus_grade.models.references import join
from citrus_grade.rundir import start_of
from citrus_grade.runlog import LogError
from citrus_grade.runtime.fruit import fruit_of, keyed
from citrus_grade.runtime.spectral import load_bundle
from citrus_grade.spectra.interval import interval
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.spectra_table.ids import as_text
from citrus_grade.words import _

Floats = NDArray[np.float64]
Columns = dict[str, NDArray[Any]]

LEAST_FRUIT: Final = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """Candidate minus live on one lane (None: on all) for one target: mean, standard deviation, the 5 % and 95 % quantiles."""

    target: str
    lane: int | None
    n: int
    mean: float
    sd: float
    q05: float
    q95: float


@dataclass(frozen=True, slots=True)
class Trial:
    """A run with a model on trial: how far the two differ, and, where references were given, which errs less."""

    run: str
    live: str
    candidate: str
    differences: tuple[Difference, ...]
    comparisons: tuple[Comparison, ...]
    notes: tuple[str, ...]
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self) | {"comparisons": {one.target: one.to_dict() for one in self.comparisons}}


def compare_run(run_dir: Path, references: Path | None = None, targets: Sequence[str] = (), group: str | None = None) -> Trial:
    """Compare the live model of a run with the one on trial.

    Parameters
    ----------
    references : a table of measured fruit by run, lane and cup, with a column of each of ``targets`` by the model's own name.
    group : its column of lots; by default the run's own lots.

    Raises
    ------
    LogError, SpectraTableError : no run, no model on trial in it, or references that cannot be used.
    """
    start = start_of(run_dir)
    if not start.get("shadow"):
        raise LogError(
            _("{run}: no model was on trial in this run; name one in line.toml, [files] shadow, and run again").format(
                run=run_dir
            )
        )
    fruit = fruit_of(run_dir)
    names = tuple(start["targets"])
    both = np.all([np.isfinite(fruit[name + suffix]) for name in names for suffix in ("", "_shadow")], axis=0)
    seen = {name: column[both] for name, column in fruit.items()}
    comparisons, notes = _against(run_dir, start, seen, references, targets or names, group) if references else ((), ())
    differences = tuple(one for name in names for one in _differences(name, seen))
    simulated = (run_dir / "truth.parquet").exists()
    return Trial(str(run_dir), start["model"], start["shadow"], differences, comparisons, notes, simulated)


def _differences(target: str, fruit: Columns) -> list[Difference]:
    apart, lane = fruit[f"{target}_shadow"] - fruit[target], fruit["lane"]
    parts: list[tuple[int | None, Floats]] = [(None, apart)]
    parts += [(int(own), apart[lane == own]) for own in np.unique(lane)]
    return [_difference(target, own, part) for own, part in parts if len(part)]


def _difference(target: str, lane: int | None, apart: Floats) -> Difference:
    q05, q95 = np.quantile(apart, (0.05, 0.95))
    sd = float(apart.std(ddof=1)) if len(apart) > 1 else float("nan")
    return Difference(target, lane, len(apart), float(apart.mean()), sd, float(q05), float(q95))


def _against(
    run_dir: Path, start: dict[str, Any], fruit: Columns, references: Path, targets: Sequence[str], group: str | None
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    if missing := [target for target in targets if target not in start["targets"]]:
        raise SpectraTableError(
            _("{path}: predicts {names}, not {target!r}; call the column of references like the target").format(
                path=run_dir, names=", ".join(start["targets"]), target=missing[0]
            )
        )
    table = join(references, keyed([(run_dir, fruit)]))
    groups = np.array(as_text(table.column(group or "lot")), np.str_)
    models = [load_bundle(run_dir / "models" / start[kind])[0] for kind in ("model", "shadow")]
    strange = ~np.isin(groups, [name for model in models for name in model.training.get("groups", ())])
    found = [_compared(target, models, fruit, table.numbers(target), groups, strange, references) for target in targets]
    note = _("a run keeps no absorbance: fruit a model was made from are told by the names of their lots only")
    return tuple(found), (note,)


def _compared(
    target: str,
    models: Sequence[SpectralModel],
    fruit: Columns,
    reference: Floats,
    groups: NDArray[np.str_],
    strange: NDArray[np.bool_],
    references: Path,
) -> Comparison:
    rows = np.isfinite(reference) & strange
    if rows.sum() < LEAST_FRUIT:
        raise SpectraTableError(
            _("{path}: {n} fruit of the run have {target!r} and are of no lot a model knows; {least} are needed").format(
                path=references, n=int(rows.sum()), target=target, least=LEAST_FRUIT
            )
        )
    live, candidate = (
        _said(model, target, fruit[target + suffix][rows]) for model, suffix in zip(models, ("", "_shadow"), strict=True)
    )
    return compare(target, reference[rows], live, candidate, groups[rows])


def _said(model: SpectralModel, target: str, value: Floats) -> Said:
    low, high = interval(model.targets[model.names.index(target)].residuals)
    return Said(value, value + low, value + high, None)
