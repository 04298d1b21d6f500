"""A candidate model and the live one on a labelled table of fruit that neither was made from."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models import fingerprints
from citrus_grade.models.batch import Batch
from citrus_grade.models.compare import Comparison, Said, compare
from citrus_grade.runtime.matching import lanes_of
from citrus_grade.runtime.spectral import BEYOND_NM, Source, batches, load_bundle, to_model
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_FRUIT: Final = 10
"""Fruit below which two models are not compared."""


@dataclass(frozen=True, slots=True)
class Model:
    """A loaded model with its id and folder."""

    model: SpectralModel
    id: str
    path: Path

    @classmethod
    def load(cls, path: Path) -> "Model":
        """Load a bundle; raise `ArtefactError` if it cannot be used."""
        return cls(*load_bundle(path), path)


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a comparison found, and on what: enough to be kept with a promotion."""

    live: str
    candidate: str
    table: str
    table_sha256: str
    comparisons: tuple[Comparison, ...]
    left_out: int
    notes: tuple[str, ...]
    simulated: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "live": self.live,
            "candidate": self.candidate,
            "table": self.table,
            "table_sha256": self.table_sha256,
            "simulated": self.simulated,
            "left_out": self.left_out,
            "notes": list(self.notes),
            "comparisons": {one.target: one.to_dict() for one in self.comparisons},
        }


def compare_table(live: Path, candidate: Path, source: Source, targets: Sequence[str]) -> Evidence:
    """Compare two models on the fruit of a labelled table that neither was made from.

    Fruit of a lot that either model knows, or whose spectrum it was made from, whatever it is called, are left out and counted.

    Raises
    ------
    ArtefactError, SpectraTableError : what cannot be used, with the place and the remedy; among it a table of which too few fruit
        are left.
    """
    models = Model.load(live), Model.load(candidate)
    columns = [[column_of(one, target) for target in targets] for one in models]
    found = batches(_within_reach(source, models), targets, LEAST_FRUIT)
    first = found[0]
    spectra = [to_model(one.model, first.path, first.wavelength_nm, first.absorbance) for one in models]
    known, notes = _known(first, models)
    keep = ~known
    if keep.sum() < LEAST_FRUIT:
        raise SpectraTableError(_too_few(first, int(keep.sum()), notes))
    traits = [
        predict_absorbance(one.model, absorbance, lanes_of(first.columns, None) if one.model.lanes else None)[keep]
        for one, absorbance in zip(models, spectra, strict=True)
    ]
    groups = first.groups[keep] if source.group is not None else None
    comparisons = tuple(
        compare(
            models[0].model.names[a],
            batch.reference[keep],
            _said(models[0].model, traits[0], a),
            _said(models[1].model, traits[1], b),
            groups,
        )
        for batch, a, b in zip(found, *columns, strict=True)
    )
    lots = [] if source.group is not None else [_("no lots were named (--group): fruit of one lot were taken for independent")]
    simulated = any(bool(one.model.training.get("SIMULATED")) for one in models)
    digest = _sha256(source.table)
    return Evidence(
        models[0].id, models[1].id, source.table.name, digest, comparisons, int(known.sum()), (*notes, *lots), simulated
    )


def column_of(one: Model, target: str) -> int:
    """Return which of a model's targets a column of references speaks of: the one of its name, or the only one."""
    names = one.model.names
    if target in names:
        return names.index(target)
    if len(names) == 1:
        return 0
    raise SpectraTableError(
        _("{path}: predicts {names}, not {target!r}; call the column of references like the target").format(
            path=one.path, names=", ".join(names), target=target
        )
    )


def _within_reach(source: Source, models: Sequence[Model]) -> Source:
    axes = [one.model.wavelength_nm for one in models]
    ends = min(float(nm[0]) for nm in axes) - BEYOND_NM, max(float(nm[-1]) for nm in axes) + BEYOND_NM
    return replace(source, kind=source.kind or models[0].model.training.get("signal"), range_nm=ends)


def _known(batch: Batch, models: Sequence[Model]) -> tuple[NDArray[np.bool_], list[str]]:
    """Return which fruit (n,) a model was made from, and what there is to say of it."""
    known, notes = np.zeros(len(batch.reference), np.bool_), []
    for one in models:
        training = one.model.training
        of_lot = np.isin(batch.groups, list(training.get("groups", ()))) & (batch.groups != "")
        seen = fingerprints.known(training, batch.wavelength_nm, batch.absorbance)
        if of_lot.any():
            said = _("{n} fruit left out: model {id} was made from lots of that name ({lots}); if they are others, rename them")
            lots = ", ".join(np.unique(batch.groups[of_lot])[:5])
            notes.append(said.format(n=int(of_lot.sum()), id=one.id, lots=lots))
        if seen.any():
            said = _("{n} fruit left out: model {id} was made from these very spectra")
            notes.append(said.format(n=int(seen.sum()), id=one.id))
        if not fingerprints.tells(training):
            said = _("model {id} does not tell which spectra it was made from: only lots of its name were left out")
            notes.append(said.format(id=one.id))
        known |= of_lot | seen
    return known, notes


def _too_few(batch: Batch, left: int, notes: Sequence[str]) -> str:
    text = _("{path}: {left} of {n} fruit are left that neither model was made from, {least} are needed; bring other fruit")
    told = text.format(path=batch.path, left=left, n=len(batch.reference), least=LEAST_FRUIT)
    return "\n  ".join([told, *notes])


def _said(model: SpectralModel, traits: NDArray[Any], j: int) -> Said:
    inside = (traits["t2"] <= model.domain.t2_limit) & (traits["q"] <= model.domain.q_limit)
    return Said(traits["value"][:, j], traits["low90"][:, j], traits["high90"][:, j], inside)


def _sha256(table: Path) -> str:
    """Return the hash of a table that is one file."""
    return hashlib.sha256(table.read_bytes()).hexdigest() if table.is_file() else ""
