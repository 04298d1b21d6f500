"""Bundles kept true: sample fruit in, a new bundle out; a model moved to another spectrometer."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from citrus_grade import artefacts
from citrus_grade.calibration.transfer import LEAST_SAMPLES, Transferred
from citrus_grade.models.batch import Batch, Unlabelled, unlabelled
from citrus_grade.models.fingerprints import remember
from citrus_grade.models.transfer import Pairs, move
from citrus_grade.models.upkeep import Kept, upkeep
from citrus_grade.runtime.matching import beside, lanes_of, recognised, told
from citrus_grade.runtime.spectral import Source, batches, free, load_bundle, near, to_model
from citrus_grade.runtime.warmth import at_training
from citrus_grade.spectra import bundle
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTable, SpectraTableError
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_FRUIT = 5
USELESS = 0.95
"""A share of the references' spread that no correction of use leaves as error."""
TELLING = 1.5
"""References that spread by so many of a model's errors tell whether it is of use."""
STEEP = 2.0
"""A slope no season makes."""


def keep_up(
    model_path: Path, source: Source, columns: Sequence[str], lane: str | None, out: Path
) -> tuple[SpectralModel, list[Kept], list[Batch], str]:
    """Bring a model up to date with sample fruit and write the new bundle.

    Parameters
    ----------
    columns : of the reference of each of the model's targets. lane : column of lanes, by default ``lane`` where there is one.

    Raises
    ------
    ArtefactError, SpectraTableError, CalibrationError : what cannot be used, with the remedy; nothing is written then.
    """
    free(out)
    model, model_id = load_bundle(model_path)
    named(model, columns, model_path)
    found = batches(source, columns, LEAST_FRUIT, near_to=model)
    found = [replace(own, reference=at_training(model, own, name)) for own, name in zip(found, model.names, strict=True)]
    first = found[0]
    absorbance = to_model(model, first.path, first.wavelength_nm, first.absorbance)
    lanes = lanes_of(first.columns, lane)
    gone = list(_lanes_kept(model, lanes, first.path))
    made, done = upkeep(model, absorbance, [batch.reference for batch in found], lanes)
    for kept, batch, target in zip(done, found, model.targets, strict=True):
        if _useless(kept.rmse[kept.chosen], batch.reference, target.sigma):
            raise SpectraTableError(_no_relation(str(batch.path), kept.target, kept.rmse[kept.chosen], batch.reference))
    found[0] = replace(first, notes=(*gone, *_other_unit(done), *first.notes))
    story = remember(made.training, model.wavelength_nm, absorbance)
    made = replace(made, training=story | {"kept_up_from": model_id})
    return made, done, found, artefacts.save(out, bundle.KIND, *bundle.to_artefact(made))


def _useless(rmse: float, reference: Floats, sigma: float) -> bool:
    """Return whether the best that was made of samples says no more than their mean, though the model's error is far less."""
    spread = float(reference.std(ddof=1))
    return rmse >= USELESS * spread and spread > TELLING * sigma


def _no_relation(path: str, name: str, rmse: float, reference: Floats) -> str:
    text = _(
        "{path}: {name}: the references do not go with the spectra: the best correction leaves an error of {rmse:.3g}, and they"
        " spread by {spread:.3g}; are the rows of the same fruit, in the same order, and is it the right column?"
    )
    return text.format(path=path, name=name, rmse=rmse, spread=float(reference.std(ddof=1)))


def _other_unit(done: Sequence[Kept]) -> Iterator[str]:
    for kept in done:
        if not 1 / STEEP <= kept.line.slope <= STEEP:
            text = _("{name}: the references rise {slope:.3g} times as steeply as the model's values: are they in another unit?")
            yield text.format(name=kept.target, slope=kept.line.slope)


def _lanes_kept(model: SpectralModel, lanes: Sequence[str] | None, path: Path) -> Iterator[str]:
    """Refuse sample fruit of no lane for a model that corrects lanes, and say which lanes lose their own correction."""
    if model.lanes and lanes is None:
        text = _(
            "{path}: has no column of lanes, and the model corrects lanes {lanes} each by its own; name the column with --lane,"
            " or these corrections would be lost"
        )
        raise SpectraTableError(text.format(path=path, lanes=", ".join(model.lanes)))
    gone = sorted(set(model.lanes) - set(lanes or ()))
    if gone:
        yield _("lanes {lanes} have no sample fruit here: they now get the correction of all lanes together").format(
            lanes=", ".join(gone)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """A ``model`` for another spectrometer, how each target was ``found``, the model's id, and what there is to know."""

    model: SpectralModel
    found: list[Transferred]
    model_id: str
    notes: tuple[str, ...]


def move_to(
    model_path: Path, master: Source, slave: Source, columns: Sequence[str], out: Path, also: Sequence[str] = ()
) -> Moved:
    """Move a model to another spectrometer by samples measured on both, and write the new bundle.

    Samples are told by their ids where both tables name them, else by their order.

    Parameters
    ----------
    columns : of references in either table, one per target; a target's own name where none is given; a target without one
        takes what the model says of the master's spectrum. Of references only some samples have, the others take no part.
    also : further ways to try, of `models.transfer.FURTHER`.

    Raises
    ------
    ArtefactError, SpectraTableError, CalibrationError : what cannot be used, with the remedy; nothing is written then.
    """
    free(out)
    model, model_id = load_bundle(model_path)
    if columns:
        named(model, columns, model_path)
    here, there = near(master.read(), model.rows.wavelength_nm if model.rows else model.wavelength_nm), slave.read()
    guess = recognised(model, here, master.kind)
    ours = unlabelled(here, master.id, kind=guess.kind)
    theirs = unlabelled(there, slave.id, kind=slave.kind or beside(there, ours).kind)
    a, b = _paired(ours, theirs)
    whole = ours.whole[a] & theirs.whole[b]
    wanted = [columns[j] if columns else name for j, name in enumerate(model.names)]
    known = [_reference(name, (here, a), (there, b), whole, given=bool(columns)) for name in wanted]
    keep = np.all([whole, *(np.isfinite(values) for values in known if values is not None)], axis=0)
    if keep.sum() < LEAST_SAMPLES:
        raise SpectraTableError(_too_few(ours, theirs, int(keep.sum())))
    notes = (*told(model, guess), *_notes(model, wanted, known, whole), *dict.fromkeys((*ours.notes, *theirs.notes)))
    a, b = a[keep], b[keep]
    reference = [None if values is None else values[keep] for values in known]
    pairs = Pairs(ours.wavelength_nm, ours.absorbance[a], theirs.wavelength_nm, theirs.absorbance[b], reference)
    made, found = move(model, pairs, also)
    for target, one, values in zip(model.targets, found, reference, strict=True):
        if values is not None and _useless(one.rmse[one.method], values, target.sigma):
            raise SpectraTableError(_no_relation(f"{ours.path}, {theirs.path}", target.name, one.rmse[one.method], values))
    story = made.training
    for nm, spectra in ((pairs.master_nm, pairs.master), (pairs.slave_nm, pairs.slave)):
        inside = (nm >= made.wavelength_nm[0]) & (nm <= made.wavelength_nm[-1])
        story = remember(story, nm[inside], spectra[:, inside])
    made = replace(made, training={**story, "moved_from": model_id, "signal": theirs.kind.kind})
    return Moved(made, found, artefacts.save(out, bundle.KIND, *bundle.to_artefact(made)), notes)


def named(model: SpectralModel, columns: Sequence[str], path: Path) -> None:
    """Refuse another number of columns than the model has targets.

    Raises
    ------
    SpectraTableError : it differs.
    """
    if len(columns) != len(model.names):
        raise SpectraTableError(
            _("{path}: predicts {names}; name a column of references for each with --target, in this order").format(
                path=path, names=", ".join(model.names)
            )
        )


def _paired(ours: Unlabelled, theirs: Unlabelled) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of both tables that are the same sample."""
    n, m = len(ours.ids), len(theirs.ids)
    counted = all(own.ids.tolist() == [str(k + 1) for k in range(len(own.ids))] for own in (ours, theirs))
    if counted and n != m:
        raise _unpaired(ours, theirs)  # rows that are only numbered are the same sample only where none is missing
    at = {name: row for row, name in enumerate(theirs.ids.tolist())}
    both = [(row, at[name]) for row, name in enumerate(ours.ids.tolist()) if name in at]
    if len(both) >= 2:
        a, b = np.array(both, np.int64).T
        return a, b
    if n == m:
        return np.arange(n), np.arange(n)
    raise _unpaired(ours, theirs)


def _unpaired(ours: Unlabelled, theirs: Unlabelled) -> SpectraTableError:
    return SpectraTableError(
        _(
            "{a} has {n} samples, {b} has {m}, and no ids in common: name their column with --id, or bring both into one order"
        ).format(a=ours.path, b=theirs.path, n=len(ours.ids), m=len(theirs.ids))
    )


def _too_few(ours: Unlabelled, theirs: Unlabelled, n: int) -> SpectraTableError:
    text = _("{a}, {b}: only {n} samples have whole spectra in both and every reference; {least} are needed")
    return SpectraTableError(text.format(a=ours.path, b=theirs.path, n=n, least=LEAST_SAMPLES))


def _notes(model: SpectralModel, names: Sequence[str], known: Sequence[Floats | None], whole: NDArray[np.bool_]) -> Iterator[str]:
    if not whole.all():
        yield _("{n} of {m} samples have no whole spectrum and took no part").format(n=int((~whole).sum()), m=len(whole))
    for name, values in zip(names, known, strict=True):
        if values is not None and (n := int(np.isnan(values[whole]).sum())):
            yield _("{n} of {m} samples have no value in {name!r} and took no part").format(n=n, m=int(whole.sum()), name=name)
    if model.lanes:
        yield _("the model's corrections of lanes {lanes} belong to its own spectrometer; the new model has none").format(
            lanes=", ".join(model.lanes)
        )


def _reference(
    name: str,
    ours: tuple[SpectraTable, NDArray[np.int64]],
    theirs: tuple[SpectraTable, NDArray[np.int64]],
    whole: NDArray[np.bool_],
    *,
    given: bool,
) -> Floats | None:
    """Return the references (m,) of pairs, the master's where it has them, NaN where neither has; None if these are too few."""
    values = np.full(len(whole), np.nan)
    for table, rows in (ours, theirs):
        if name in table.columns:
            values = np.where(np.isfinite(values), values, table.numbers(name)[rows])
    n = int((np.isfinite(values) & whole).sum())
    if n >= LEAST_SAMPLES:
        return values
    if given:
        raise SpectraTableError(
            _(
                "{a}, {b}: {n} samples have a value in {name!r}, and {least} are needed; leave --target out to use the model's"
                " own values"
            ).format(a=ours[0].path, b=theirs[0].path, n=n, name=name, least=LEAST_SAMPLES)
        )
    return None
