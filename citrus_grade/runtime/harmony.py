"""Lanes of finished runs against each other: how far each one's predictions lie off, and the model that takes it back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade import artefacts
from citrus_grade.calibration.drift import DRIFTED
from citrus_grade.calibration.errors import refuse
from citrus_grade.calibration.harmony import LEAST_FRUIT, Harmony, harmonise
from citrus_grade.messages import Reason
from citrus_grade.rundir import start_of
from citrus_grade.runlog import LogError
from citrus_grade.runtime.fruit import Columns, fruit_of
from citrus_grade.runtime.spectral import free, load_bundle
from citrus_grade.spectra import bundle
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.words import _

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TOLERATED: Final = 0.5
"""Of the model's own error: a lane that is off by so much errs by 12 % more."""
UNUSABLE: Final = (Reason.EMPTY, Reason.DOUBLE, Reason.BRIDGING, Reason.MISSING_SPECTRUM, Reason.SATURATED)
"""What its value was predicted from is not one whole fruit."""
SEEN: Final = ("_mm", "_ml", "_g", "_deg", "_pct", "shape_index")
"""How columns end that hold what the cameras measured of a fruit."""


@dataclass(frozen=True, slots=True, eq=False)
class Harmonised:
    """One target: ``found`` of the ``lanes`` (k,) that were compared, in that order, ``tolerance`` in ``unit``; ``strange`` (k,)
    share of each lane's fruit out of domain; ``lots`` that counted; ``notes`` on what was left out."""

    target: str
    unit: str
    tolerance: float
    lanes: tuple[int, ...]
    found: Harmony
    strange: Floats
    lots: int
    notes: tuple[str, ...]

    @property
    def drifted(self) -> tuple[int, ...]:
        """Lanes beyond the tolerance for sure."""
        return tuple(lane for lane, verdict in zip(self.lanes, self.found.verdict, strict=True) if verdict == DRIFTED)


@dataclass(frozen=True, slots=True, eq=False)
class Agreement:
    """Every target of the ``model`` that the ``runs`` had live; ``covariates`` of the fruit that were allowed for."""

    runs: tuple[Path, ...]
    model: SpectralModel
    model_id: str
    covariates: tuple[str, ...]
    targets: tuple[Harmonised, ...]
    simulated: bool


def agree(runs: Sequence[Path], tolerance: Sequence[float] = (), covariates: Sequence[str] = ()) -> Agreement:
    """Compare the lanes of runs that had the same model.

    Parameters
    ----------
    tolerance : offset that is still good, in the unit of each target; by default half of the model's own error.
    covariates : columns of the fruit table that go with the trait, such as ``hue_q50_deg``.

    Raises
    ------
    LogError, CalibrationError : folders that are no runs of one model, columns that are not there, lanes with too few fruit.
    """
    starts = {run: start_of(run) for run in runs}
    model_id = _one_model(starts)
    model, _id = load_bundle(runs[0] / "models" / model_id)
    if tolerance and len(tolerance) != len(model.names):
        text = _("the model predicts {names}; give --tolerance once for each, in this order")
        refuse([text.format(names=", ".join(model.names))])
    fruit = _together([_usable(fruit_of(run), model_id, k) for k, run in enumerate(runs)])
    extra = np.column_stack([np.empty((len(fruit["lane"]), 0)), *(_covariate(fruit, name, model.names) for name in covariates)])
    allowed = tolerance or [TOLERATED * target.sigma for target in model.targets]
    targets = tuple(
        _harmonised(target.name, target.unit, own, fruit, extra) for target, own in zip(model.targets, allowed, strict=True)
    )
    simulated = any((run / "truth.parquet").exists() for run in runs) or bool(model.training.get("SIMULATED"))
    return Agreement(tuple(runs), model, model_id, tuple(covariates), targets, simulated)


def write(agreement: Agreement, out: Path) -> str | None:
    """Write the model with the corrections proposed as a new bundle and return its id; with nothing to correct write nothing.

    Raises
    ------
    ArtefactError : the folder holds something.
    """
    free(out)
    if not any(one.drifted for one in agreement.targets):
        return None
    return artefacts.save(out, bundle.KIND, *bundle.to_artefact(corrected(agreement)))


def corrected(agreement: Agreement) -> SpectralModel:
    """Return the model that takes back what its lanes lie off; lanes that did not drift keep the correction they have."""
    model = agreement.model
    moved = [str(lane) for lane in sorted({lane for one in agreement.targets for lane in one.drifted})]
    lanes = (*model.lanes, *(lane for lane in moved if lane not in model.lanes))
    rows = [model.corrections[0], *(model.correction(lane)[: len(model.names)] for lane in lanes)]
    corrections = np.array(rows)
    for j, one in enumerate(agreement.targets):
        for lane, add in zip(one.lanes, one.found.proposed, strict=True):
            if add:
                corrections[1 + lanes.index(str(lane)), j, 0] += add
    told = {
        "runs": [run.resolve().name for run in agreement.runs],
        "added": {one.target: _added(one) for one in agreement.targets},
    }
    story = {**model.training, "harmony": [*model.training.get("harmony", []), told], "harmonised_from": agreement.model_id}
    return replace(model, lanes=lanes, corrections=corrections, training=story)


def facts(agreement: Agreement) -> dict[str, Any]:
    """Return it as plain data."""
    return {
        "model_id": agreement.model_id,
        "runs": [str(run) for run in agreement.runs],
        "covariates": list(agreement.covariates),
        "SIMULATED": agreement.simulated,
        "targets": {one.target: _facts(one) for one in agreement.targets},
    }


def _facts(one: Harmonised) -> dict[str, Any]:
    found = one.found
    columns = {
        "lane": one.lanes, "n": found.n.tolist(), "offset": found.offset.tolist(), "low90": found.low.tolist(),
        "high90": found.high.tolist(), "verdict": found.verdict, "proposed": found.proposed.tolist(),
        "share_out_of_domain": one.strange.tolist(),
    }  # fmt: skip
    lanes = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return {"unit": one.unit, "tolerance": one.tolerance, "explained": found.explained, "lots": one.lots, "lanes": lanes,
            "notes": list(one.notes)}  # fmt: skip


def _added(one: Harmonised) -> dict[str, float]:
    return {str(lane): float(add) for lane, add in zip(one.lanes, one.found.proposed, strict=True) if add}


def _one_model(starts: dict[Path, dict[str, Any]]) -> str:
    """Return the model that all runs began with."""
    (first, begun), *others = starts.items()
    if not begun["model"]:
        text = _("{run}: had no model, so its lanes predict nothing; name one in line.toml, [files] model, and run again")
        raise LogError(text.format(run=first))
    for run, other in others:
        if other["model"] != begun["model"]:
            text = _("{run} ran with model {model}, {first} with {wanted}; give runs of one model")
            raise LogError(text.format(run=run, model=other["model"] or "-", first=first, wanted=begun["model"]))
    return str(begun["model"])


def _usable(fruit: Columns, model_id: str, run: int) -> Columns:
    """Return single fruit of a model; ``batch`` names their lot within all runs."""
    unusable = np.bitwise_or.reduce([np.uint32(1 << reason) for reason in UNUSABLE])
    good = (fruit["reasons"].astype(np.uint32) & unusable == 0) & (fruit["model_id"] == model_id)
    named = {**fruit, "batch": np.array([f"{run}/{lot}" for lot in fruit["lot"].tolist()], np.str_)}
    return {name: column[good] for name, column in named.items()}


def _together(parts: Sequence[Columns]) -> Columns:
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def _covariate(fruit: Columns, name: str, targets: Sequence[str]) -> Floats:
    there = [
        own
        for own, column in fruit.items()
        if column.dtype.kind == "f" and own.endswith(SEEN) and not own.startswith(tuple(targets))
    ]
    if name not in there:
        text = _("{name!r} is nothing that the cameras measured of the fruit; there are {names}")
        refuse([text.format(name=name, names=", ".join(there))])
    values = np.asarray(fruit[name], np.float64)
    known = values[np.isfinite(values)]
    if not len(known) or np.ptp(known) == 0:
        refuse([_("{name!r} is alike in all fruit and explains nothing; leave it out").format(name=name)])
    return values


def _harmonised(target: str, unit: str, tolerance: float, fruit: Columns, covariates: Floats) -> Harmonised:
    good = np.isfinite(fruit[target]) & np.isfinite(covariates).all(1)
    own = {name: fruit[name][good] for name in ("lane", "batch", "reasons", target)}
    value = np.asarray(own[target], np.float64)
    if len(value) and np.ptp(value) == 0:
        refuse(
            [_("{target}: is {value:g} for every fruit; lanes cannot be compared by it").format(target=target, value=value[0])]
        )
    numbers, counts = np.unique(own["lane"], return_counts=True)
    lanes = numbers[counts >= LEAST_FRUIT]
    if len(lanes) < 2:
        _too_few(target, dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
    rows, lots, left_out = _whole_lots(own["lane"], own["batch"], lanes)
    if not lots:
        text = _("{target}: no lot has {least} fruit in each of the lanes {lanes}; run longer, or give more runs of this model")
        refuse([text.format(target=target, least=LEAST_FRUIT, lanes=", ".join(map(str, lanes)))])
    which = np.searchsorted(lanes, own["lane"][rows])
    found = harmonise(value[rows], which, len(lanes), tolerance, covariates[good][rows], own["batch"][rows])
    strange = (own["reasons"][rows].astype(np.int64) >> Reason.OUT_OF_DOMAIN) & 1
    few = [(int(lane), int(n)) for lane, n in zip(numbers, counts, strict=True) if n < LEAST_FRUIT]
    notes = tuple(_notes(few, left_out, lots))
    share = np.bincount(which, strange, len(lanes)) / found.n
    return Harmonised(target, unit, tolerance, tuple(lanes.tolist()), found, share, lots, notes)


def _too_few(target: str, counts: dict[int, int]) -> None:
    there = ", ".join(f"{lane}: {n}" for lane, n in counts.items()) or "-"
    text = _(
        "{target}: lanes are compared with each other, and two or more with {least} fruit are needed; fruit by lane {there}. Run"
        " longer, or give more runs of this model; a line of one lane is kept true with sample fruit (citrus-grade upkeep)"
    )
    refuse([text.format(target=target, least=LEAST_FRUIT, there=there)])


def _whole_lots(lane: Ints, batch: NDArray[np.str_], lanes: Ints) -> tuple[NDArray[np.bool_], int, int]:
    """Return the rows of lots that every lane has enough fruit of, how many lots these are, and how many are not."""
    names, which = np.unique(batch, return_inverse=True)
    among = np.isin(lane, lanes)
    counts = np.zeros((len(names), len(lanes)), np.int64)
    np.add.at(counts, (which[among], np.searchsorted(lanes, lane[among])), 1)
    whole: NDArray[np.bool_] = np.all(counts >= LEAST_FRUIT, axis=1)
    return among & whole[which], int(whole.sum()), int((~whole).sum())


def _notes(few: Sequence[tuple[int, int]], left_out: int, lots: int) -> Iterator[str]:
    for lane, n in few:
        yield _("lane {lane}: only {n} fruit with a value, left out; is it switched off?").format(lane=lane, n=n)
    if left_out:
        text = _("{k} of {n} lots were left out: not every lane has {least} fruit of them")
        yield text.format(k=left_out, n=left_out + lots, least=LEAST_FRUIT)
