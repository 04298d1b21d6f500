"""A model judged on a table of fruit with references: what an accuracy card is written from."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration import control
from citrus_grade.models import fingerprints
from citrus_grade.models.batch import Batch, labelled
from citrus_grade.models.evaluate import Basis, Evaluation, Part, Told, evaluate
from citrus_grade.models.judgement import Finding, findings
from citrus_grade.models.verdict import verdicts
from citrus_grade.runtime import matching
from citrus_grade.runtime.columns import TIMES, WARM, called
from citrus_grade.runtime.spectral import Source, load_bundle, near, to_model
from citrus_grade.runtime.warmth import allow_for
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.spectra_table.ids import as_text
from citrus_grade.words import _

Floats = NDArray[np.float64]
Texts = NDArray[np.str_]

LEAST: Final = 3
NO: Final = frozenset({"", "0", "0.0", "false", "no", "nan", "none"})


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """A model's card on a table.

    ``j`` the model's target; ``batch`` the fruit, ``told`` what the model says of them, (n,) each; ``lanes`` and ``lots`` (n,)
    where columns name them; ``temperature_c`` (n,) from the column ``temperature``; ``order`` (n,) the rows in the order of the
    column ``time``, as they stand where it is None; ``signals`` of the control chart by lane, only with a time; ``table_hash`` of
    the files read.
    """

    model: SpectralModel
    model_id: str
    j: int
    batch: Batch
    told: Told
    lanes: Texts | None
    lots: Texts | None
    temperature: str | None
    temperature_c: Floats | None
    time: str | None
    order: NDArray[np.int64]
    signals: Mapping[str, tuple[control.Signal, ...]]
    simulated: bool
    table_hash: str
    card: Evaluation
    findings: tuple[Finding, ...]
    verdicts: tuple[str, ...]

    @property
    def unit(self) -> str:
        """Unit of the target."""
        return self.model.units[self.j]


def evaluate_table(
    model_path: Path, source: Source, target: str, *, lane: str | None = None, reference_error: float | None = None
) -> Evaluated:
    """Judge a model by the fruit of a table that have a reference.

    Parameters
    ----------
    target : column of references; of a model with two targets it must be called as one of them.
    lane : column of lanes, ``lane`` by default if there is one. reference_error : sd of the laboratory's value.

    Raises
    ------
    ArtefactError, SpectraTableError : what cannot be used, with the place and the remedy.
    """
    model, model_id = load_bundle(model_path)
    j = target_of(model, target)
    table = near(source.read(), model.wavelength_nm)
    guess = matching.recognised(model, table, source.kind)
    batch = labelled(table, target, source.group, source.id, kind=guess.kind, least=LEAST)
    lanes = matching.lanes_of(batch.columns, lane)
    batch = replace(batch, notes=(*matching.told(model, guess), *matching.lanes_told(model, lanes), *batch.notes))
    told = _told(model, j, batch, lanes)
    lots = batch.groups if source.group is not None else None
    warm, temperature_c = called(batch.columns, WARM, but=target)
    time, when = called(batch.columns, TIMES, but=target)
    order = np.arange(len(batch.ids)) if when is None else np.argsort(when, kind="stable")
    basis = _basis(model, j, reference_error)
    named = None if lanes is None else np.array(lanes, np.str_)
    story = model.training
    seen = fingerprints.known(story, batch.wavelength_nm, batch.absorbance) if fingerprints.tells(story) else None
    card = evaluate(told, basis, lanes=named, lots=lots, temperature_c=temperature_c, seen=seen)
    return Evaluated(
        model=model, model_id=model_id, j=j, batch=batch, told=told, lanes=named, lots=lots,
        temperature=warm, temperature_c=temperature_c, time=time, order=order,
        signals={} if time is None else _signals(told.residual[order], None if named is None else named[order], basis.error),
        simulated=simulated(model, batch.columns),
        table_hash=hash_of(path for path in (source.table, source.references) if path is not None),
        card=card, findings=tuple(findings(card, model.units[j])), verdicts=tuple(_verdicts(model, j)),
    )  # fmt: skip


def target_of(model: SpectralModel, column: str) -> int:
    """Return which target of a model a column of references belongs to."""
    if column in model.names:
        return model.names.index(column)
    if len(model.names) == 1:
        return 0
    text = _("the model tells {names}; call the column of references as one of them, not {column!r}")
    raise SpectraTableError(text.format(names=", ".join(model.names), column=column))


def _told(model: SpectralModel, j: int, batch: Batch, lanes: list[str] | None) -> Told:
    absorbance = to_model(model, batch.path, batch.wavelength_nm, batch.absorbance)
    traits = predict_absorbance(model, absorbance, lanes if model.lanes else None)
    allow_for(model, traits, batch)
    value = traits["value"][:, j]
    lost = np.flatnonzero(~np.isfinite(value))
    if len(lost):
        text = _("{path}: {place}: the model gives no value for this spectrum ({n} such rows); is it flat? leave it out")
        raise SpectraTableError(text.format(path=batch.path, place=batch.places[int(lost[0])], n=len(lost)))
    return Told(batch.reference, value, traits["low90"][:, j], traits["high90"][:, j], traits["t2"], traits["q"])


def _basis(model: SpectralModel, j: int, reference_error: float | None) -> Basis:
    story, target = model.training, model.targets[j]
    own = story.get("targets", {}).get(target.name, {})
    return Basis(
        error=target.sigma,
        n=int(story.get("n", len(target.residuals))),
        components=int(own.get("components", model.domain.n_scores)),
        t2_limit=model.domain.t2_limit,
        q_limit=model.domain.q_limit,
        sel=reference_error if reference_error is not None else own.get("reference_error"),
        lots=tuple(story.get("groups") or ()),
    )


def _signals(residual: Floats, lanes: Texts | None, sigma: float) -> dict[str, tuple[control.Signal, ...]]:
    """Run the control chart over residuals in the order they were measured."""
    named = np.zeros(len(residual), np.str_) if lanes is None else lanes
    names, which = np.unique(named, return_inverse=True)
    if not sigma > 0:
        return {}
    _chart, found = control.follow(control.start(np.full(len(names), sigma)), which, residual)
    return {str(name): tuple(one for one in found if one.lane == k) for k, name in enumerate(names)}


def simulated(model: SpectralModel, columns: Mapping[str, NDArray[Any]]) -> bool:
    """Return whether a model or a table's own column ``simulated`` says that no fruit was real."""
    flags: Sequence[str] = [
        text for name, column in columns.items() if name.casefold() == "simulated" for text in as_text(column)
    ]
    return bool(model.training.get("SIMULATED")) or any(text.strip().casefold() not in NO for text in flags)


def _verdicts(model: SpectralModel, j: int) -> Iterator[str]:
    if {"targets", "groups"} <= set(model.training):
        for one in verdicts(model.training):
            if one.numbers.get("name", model.names[j]) == model.names[j]:
                yield one.text()


def hash_of(paths: Iterable[Path]) -> str:
    """Return the first 16 hex digits of the SHA-256 of files, or of folders of them with their names."""
    made = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file():
                made.update(file.name.encode() if path.is_dir() else b"")
                made.update(file.read_bytes())
    return made.hexdigest()[:16]


def facts(evaluated: Evaluated) -> dict[str, Any]:
    """Return the card as numbers for programs."""
    card, one = evaluated.card, evaluated
    return {
        "model_id": one.model_id,
        "target": one.model.names[one.j],
        "unit": one.unit,
        "SIMULATED": one.simulated,
        "table_hash": one.table_hash,
        "signal": one.batch.kind.kind,
        **_part(card.overall),
        "sep_limit": card.sep_limit,
        "sel": card.basis.sel,
        "sep_without_lab": card.sep_without_lab,
        "in_domain": None if card.in_domain is None else _part(card.in_domain),
        "share_beyond_t2": card.beyond_t2.share,
        "share_beyond_q": card.beyond_q.share,
        "share_out_of_domain": card.beyond.share,
        "fruit_trained_on": card.fruit_trained_on,
        "sd_within_lots": card.sd_within_lots,
        "temperature_per_c": None if card.temperature is None else card.temperature.slope,
        "lanes": {name: _part(part) for name, part in card.lanes.items()},
        "lots": {name: _part(part) for name, part in card.lots.items()},
        "findings": [{"code": found.code, "grave": found.grave, "text": found.text} for found in one.findings],
        "verdicts": list(one.verdicts),
        "notes": [*one.batch.notes],
        "left_out": len(one.batch.left_out),
    }


def _part(part: Part) -> dict[str, Any]:
    a = part.accuracy
    names = ("n", "low", "high", "mean", "sd", "bias", "bias_limit", "sep", "sep_low", "sep_high", "slope", "slope_limit")
    numbers = {name: getattr(a, name) for name in (*names, "intercept", "rmsep", "r2", "rpd")}
    return {**numbers, "cover90": part.coverage.share, "cover90_low": part.coverage.low, "cover90_high": part.coverage.high}
