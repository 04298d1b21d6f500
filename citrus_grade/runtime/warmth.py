"""The fruit's temperature as a table has it: for a model to be made from, and for one that allows for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models import temperature
from citrus_grade.models.batch import Batch, Unlabelled, unlabelled
from citrus_grade.models.temperature import Warmth
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTable, SpectraTableError
from citrus_grade.spectra_table.errors import refuse
from citrus_grade.spectra_table.ids import ids_of
from citrus_grade.words import _

Floats = NDArray[np.float64]


def warmth_of(
    batch: Batch, table: SpectraTable, column: str, id_column: str | None, range_nm: tuple[float, float] | None
) -> Warmth:
    """Return the temperatures of a batch's fruit, and the fruit of its ``table`` that were measured cold and warm.

    These need no reference.

    Raises
    ------
    SpectraTableError : no such column, text in it, or labelled rows without a temperature; each is named.
    """
    celsius = _bare(batch.path, batch.columns, batch.places).numbers(column)
    text = _("{place}: has no temperature in {column!r}; fill it in or leave the row out")
    refuse(batch.path, [text.format(place=batch.places[row], column=column) for row in np.flatnonzero(~np.isfinite(celsius))])
    all_c, fruit = table.numbers(column), np.array(ids_of(table, id_column).ids, np.str_)
    again = temperature.repeated(fruit, all_c)
    if not again.any():
        return Warmth(column, celsius, np.zeros((0, len(batch.wavelength_nm))), np.zeros(0), np.zeros(0, np.str_))
    rows = unlabelled(table, id_column, kind=batch.kind.kind, range_nm=range_nm)
    again &= rows.whole
    return Warmth(column, celsius, rows.absorbance[again], all_c[again], fruit[again])


def uses(model: SpectralModel) -> bool:
    """Say whether a model's values depend on a table's temperature."""
    return bool(model.training.get(temperature.KEY, {}).get("chosen") == temperature.COVARIATE)


def allow_for(model: SpectralModel, traits: NDArray[Any], rows: Unlabelled | Batch, column: str | None = None) -> int:
    """Move the values of rows whose temperature is known, in place, and return how many these are.

    Raises
    ------
    SpectraTableError : a column that was asked for and is not there, or that the model does not use.
    """
    told = model.training.get(temperature.KEY)
    if told is None or not uses(model):
        if column is not None:
            raise SpectraTableError(_("this model does not use temperature; leave --temperature out"))
        return 0
    name = column or told["column"]
    if column is None and name not in rows.columns:
        return 0
    celsius = _bare(rows.path, rows.columns, rows.places).numbers(name)
    known = np.isfinite(celsius)
    for j, target in enumerate(model.names):
        value = traits["value"][known, j] + temperature.allowed_for(told, target, celsius[known])
        low, high = told["targets"][target]["interval90"]
        for field, moved in (("value", value), ("low90", value + low), ("high90", value + high)):
            traits[field][known, j] = moved
    return int(known.sum())


def at_training(model: SpectralModel, batch: Batch, target: str) -> Floats:
    """Return a batch's references (n,) less what temperature adds to what the model says of each fruit."""
    told = model.training.get(temperature.KEY)
    if told is None or not uses(model) or told["column"] not in batch.columns:
        return batch.reference
    celsius = _bare(batch.path, batch.columns, batch.places).numbers(told["column"])
    return batch.reference - temperature.allowed_for(told, target, celsius)


def _bare(path: Path, columns: Any, places: Sequence[str]) -> SpectraTable:
    """A table's other columns, without its spectra."""
    n = len(places)
    return SpectraTable(path, np.zeros(0), np.zeros((n, 0)), columns, tuple(places))
