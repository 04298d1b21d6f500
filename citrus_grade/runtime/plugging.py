"""A model from elsewhere taken in: an ONNX file and labelled fruit in, a bundle out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from citrus_grade import artefacts
from citrus_grade.models import recipes
from citrus_grade.models.batch import Batch
from citrus_grade.models.plug import plug
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.search import Samples
from citrus_grade.runtime.spectral import Source, batches, free, samples_of
from citrus_grade.spectra import bundle
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTableError
from citrus_grade.words import _

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """What a graph takes: absorbance at ``wavelength_nm`` (p,), None for those of the table, then ``scatter`` none or snv, then
    a Savitzky-Golay ``derivative`` over ``points`` (1: none)."""

    wavelength_nm: Floats | None
    scatter: str
    points: int
    derivative: int


def take_in(
    onnx: Path, wanted: Wanted, source: Source, targets: Sequence[str], original: Sequence[str], out: Path
) -> tuple[SpectralModel, list[Batch], str]:
    """Write a bundle of an ONNX graph; return the model, the fruit its error was found with, and its id.

    Parameters
    ----------
    source : labelled fruit that the graph was not made from. targets : their columns of references.
    original : columns of what the original model says of them, one per target, or none.

    Raises
    ------
    SpectraTableError, PlugError, ArtefactError, OSError : what cannot be used, with the remedy; nothing is written then.
    """
    free(out)
    found = batches(source, targets)
    samples = _at(source.table, samples_of(found), wanted.wavelength_nm)
    nm = samples.wavelength_nm
    if wanted.points > len(nm):
        text = _("{path}: a filter over {points} points needs as many wavelengths; there are {n}")
        raise SpectraTableError(text.format(path=source.table, points=wanted.points, n=len(nm)))
    recipe = Recipe(float(nm[0]), float(nm[-1]), wanted.scatter, wanted.derivative, wanted.points)
    made = recipes.preprocessing(recipe, nm, samples.absorbance)
    story = {
        "table": source.table.name,
        "signal": found[0].kind.kind,
        "group_column": source.group,
        "rows_left_out": len(found[0].left_out),
        "graph": onnx.name,
        "prepared": str(recipe),
        "checked_against": list(original) or "its own values, for no column of the original's was given",
        "left_out": "all, by the word of who took the model in",
    }
    said = np.column_stack([_numbers(found[0], name) for name in original]) if original else None
    model = plug(onnx.read_bytes(), made, samples, targets, said, story)
    return model, found, artefacts.save(out, bundle.KIND, *bundle.to_artefact(model))


def _at(path: Path, samples: Samples, wavelength_nm: Floats | None) -> Samples:
    """Return samples at other wavelengths."""
    if wavelength_nm is None:
        return samples
    try:
        made = interpolation(samples.wavelength_nm, wavelength_nm)
    except ValueError as error:
        raise SpectraTableError(f"{path}: {error}") from error
    absorbance = samples.absorbance @ matrix_of(made, len(samples.wavelength_nm))
    return Samples(wavelength_nm, np.ascontiguousarray(absorbance), samples.reference, samples.groups)


def _numbers(batch: Batch, name: str) -> Floats:
    """Return a column of what the original says, a number for every fruit."""
    there = batch.columns
    values = np.asarray(there[name]) if name in there else np.zeros(0)
    if values.dtype.kind not in "fiu" or not len(values):
        text = _("{path}: there is no column {name!r} of numbers; there are {there}")
        raise SpectraTableError(text.format(path=batch.path, name=name, there=", ".join(there)))
    lost = np.flatnonzero(~np.isfinite(values))
    if len(lost):
        text = _("{path}: {place}: column {name!r} holds no number; the original must have a value for every fruit")
        raise SpectraTableError(text.format(path=batch.path, place=batch.places[int(lost[0])], name=name))
    return np.asarray(values, np.float64)
