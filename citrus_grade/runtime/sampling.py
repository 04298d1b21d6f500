"""Where sample checks come from: tables of spectra with references, and runs with what the laboratory measured."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models.batch import unlabelled
from citrus_grade.models.references import join
from citrus_grade.rundir import start_of
from citrus_grade.runtime.columns import TIMES, called, named
from citrus_grade.runtime.evaluating import simulated
from citrus_grade.runtime.fruit import fruit_of, keyed
from citrus_grade.runtime.matching import lanes_of, lanes_told, recognised, told
from citrus_grade.runtime.spectral import Source, near, to_model
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.spectra_table.dates import DateError, moments
from citrus_grade.spectra_table.errors import unknown
from citrus_grade.words import _

MANY: Final = 5
"""So many references that are all alike were not measured."""


@dataclass(frozen=True, slots=True)
class Check:
    """A sample fruit; ``when`` in seconds or whatever its column counts, None where nobody said; ``lane`` "" likewise."""

    id: str
    lane: str
    when: float | None
    reference: float
    nir: float


@dataclass(frozen=True, slots=True)
class Found:
    """The checks of one place ``name``; ``lost`` samples that the line gave no value; ``notes`` what else there is to know."""

    name: str
    checks: list[Check]
    simulated: bool
    lost: int = 0
    notes: tuple[str, ...] = ()


def of_table(model: SpectralModel, j: int, source: Source, column: str, lane: str | None, time: str | None) -> Found:
    """Return the fruit of a table that have a reference, with what the model says of them.

    Raises
    ------
    SpectraTableError : no references, all alike, or spectra the model gives no value; with the place and the remedy.
    """
    table = near(source.read(), model.wavelength_nm)
    known = np.isfinite(table.numbers(column))
    if not known.any():
        text = _("{path}: no row has a value in {column!r}; fill in what the laboratory measured")
        raise SpectraTableError(text.format(path=source.table, column=column))
    guess = recognised(model, table, source.kind)
    own = table.rows(known)
    every = unlabelled(own, source.id, kind=guess.kind)
    own = own.rows(every.whole)
    reference = own.numbers(column)
    if len(reference) >= MANY and np.ptp(reference) == 0:
        text = _("{path}: {column!r} is {value:g} in all {n} rows; look whether it was filled in by hand")
        raise SpectraTableError(text.format(path=source.table, column=column, value=reference[0], n=len(reference)))
    rows = unlabelled(own, source.id, kind=guess.kind)
    lanes = lanes_of(rows.columns, lane)
    absorbance = to_model(model, rows.path, rows.wavelength_nm, rows.absorbance)
    nir = predict_absorbance(model, absorbance, lanes if model.lanes else None)["value"][:, j]
    lost = np.flatnonzero(~np.isfinite(nir))
    if len(lost):
        text = _("{path}: {place}: the model gives no value for this spectrum ({n} such rows); is it flat? leave it out")
        raise SpectraTableError(text.format(path=source.table, place=rows.places[int(lost[0])], n=len(lost)))
    when, unread = _times(rows.columns, rows.places, time, column, source.table)
    parts = rows.ids.tolist(), lanes or [""] * len(nir), when, reference.tolist(), nir.tolist()
    checks = [Check(*row) for row in zip(*parts, strict=True)]
    notes = (*told(model, guess), *lanes_told(model, lanes), *unread, *every.faulty.values(), *rows.notes)
    return Found(source.table.name, checks, simulated(model, rows.columns), notes=notes)


def of_runs(
    runs: Sequence[Path], model_id: str, model: SpectralModel, target: str, references: Path | None, column: str, time: str | None
) -> Found:
    """Return the fruit of runs that the laboratory measured, with what the line said of them.

    Raises
    ------
    SpectraTableError : no references, or runs of another model; with the remedy.
    """
    if references is None:
        raise SpectraTableError(
            _("{path}: is a run; give the laboratory's table by run, lane and cup: --references").format(path=runs[0])
        )
    for run in runs:
        ran = start_of(run)["model"]
        if ran != model_id:
            text = _("{run} ran with model {ran}, not {model}; give the model it ran with: {place}")
            raise SpectraTableError(
                text.format(run=run, ran=ran or "-", model=model_id, place=run / "models" / ran if ran else "-")
            )
    tables = [(run, fruit_of(run)) for run in runs]
    joined = join(references, keyed(tables))
    reference, nir = joined.numbers(column), np.concatenate([fruit[target] for _run, fruit in tables])
    live = np.concatenate([fruit["model_id"] == model_id for _run, fruit in tables])
    measured, told = np.isfinite(reference), np.isfinite(nir) & live
    when, unread = _times(joined.columns, joined.places, time, column, references)
    keys = [joined.columns[name].tolist() for name in ("run", "lane", "cup")]
    checks = [
        Check("/".join(map(str, key)), str(key[1]), when[row], float(reference[row]), float(nir[row]))
        for row, key in enumerate(zip(*keys, strict=True))
        if measured[row] and told[row]
    ]
    unreal = bool(model.training.get("SIMULATED")) or any((run / "truth.parquet").exists() for run in runs)
    return Found(references.name, checks, unreal, int((measured & ~told).sum()), tuple(unread))


def _times(
    columns: Mapping[str, NDArray[Any]], places: Sequence[str], time: str | None, column: str, path: Path
) -> tuple[list[float | None], list[str]]:
    """Return when each row was measured, and what there is to know of it."""
    if time is None:
        name, when = called(columns, TIMES, but=column, alike=True)
        notes = [] if name is not None else list(_unread(columns, places, column))
    elif time in columns:
        notes = []
        try:
            when = moments(columns[time], time)
        except DateError as error:
            text = _("{path}: {place}: column {name!r}: {why}")
            raise SpectraTableError(text.format(path=path, place=places[error.row], name=time, why=error)) from None
    else:
        raise SpectraTableError(f"{path}: {unknown(time, list(columns))}")
    values = np.full(len(places), np.nan) if when is None else when
    return [None if np.isnan(value) else float(value) for value in values], notes


def _unread(columns: Mapping[str, NDArray[Any]], places: Sequence[str], column: str) -> Iterator[str]:
    """Say why no column of times could be read."""
    for name in named(columns, TIMES, but=column):
        try:
            moments(columns[name], name)
        except DateError as error:
            text = _("{place}: column {name!r} was not read as times: {why}")
            yield text.format(place=places[error.row], name=name, why=error)
