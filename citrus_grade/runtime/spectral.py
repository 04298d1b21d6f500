"""Tables of spectra in, model bundles and predictions out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError
from citrus_grade.models.batch import Batch, Unlabelled, labelled, lacking, lot_columns, need_lots, unlabelled
from citrus_grade.models.references import join
from citrus_grade.models.search import FAMILIES, Samples
from citrus_grade.models.temperature import TemperatureError
from citrus_grade.models.train import LEAST, Trained, TrainError, train
from citrus_grade.runtime.matching import lanes_of, lanes_told, recognised, told
from citrus_grade.runtime.warmth import allow_for, uses, warmth_of
from citrus_grade.spectra import bundle
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTable, SpectraTableError, read
from citrus_grade.spectra_table.ids import ids_of
from citrus_grade.spectra_table.signal import Kind
from citrus_grade.words import _

Floats = NDArray[np.float64]
Step = Callable[[str], None]

BEYOND_NM = 60.0
"""A table's wavelengths so far outside a model's are not even looked at."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where labelled spectra come from: a ``table``, a ``matrix`` of it, ``references`` in a file of their own, and what its
    columns mean."""

    table: Path
    matrix: str | None = None
    references: Path | None = None
    group: str | None = None
    id: str | None = None
    kind: Kind | None = None
    range_nm: tuple[float, float] | None = None

    def read(self) -> SpectraTable:
        """Read the table, its references joined to it."""
        table = read(self.table, self.matrix)
        return table if self.references is None else join(self.references, table)


def batches(
    source: Source, targets: Sequence[str], least: int = LEAST, near_to: SpectralModel | None = None, *, again: bool = False
) -> list[Batch]:
    """Return a batch of the rows that have every target, once per target; of no more wavelengths than a model needs.

    ``near_to``: the model they are for, which tells what kind of signal they hold. ``again``: some fruit were measured several
    times on purpose.
    """
    table = source.read() if near_to is None else near(source.read(), near_to.wavelength_nm)
    guess = None if near_to is None else recognised(near_to, table, source.kind)
    kind = source.kind if guess is None else guess.kind
    notes = () if near_to is None or guess is None else tuple(told(near_to, guess))
    gone: dict[int, str] = {}
    for target in targets if len(targets) > 1 else ():
        gone |= lacking(table, ids_of(table, source.id).ids, target, table.numbers(target))
    rows = table.rows(~np.isin(np.arange(len(table.places)), list(gone)))
    found = [
        labelled(rows, target, source.group, source.id, kind=kind, range_nm=source.range_nm, least=least, again=again)
        for target in targets
    ]
    return [
        replace(batch, left_out=(*gone.values(), *batch.left_out), notes=(*notes, *batch.notes), kind=guess or batch.kind)
        for batch in found
    ]


def samples_of(found: Sequence[Batch]) -> Samples:
    """Return batches of the same rows, one per target, as what a model is made from."""
    first = found[0]
    groups = first.groups if (first.groups != "").any() else None
    reference = np.column_stack([batch.reference for batch in found])
    return Samples(first.wavelength_nm, first.absorbance, reference, groups)


def train_spectra(
    source: Source,
    targets: Sequence[str],
    out: Path,
    *,
    families: Sequence[str] = FAMILIES,
    reference_error: Sequence[float] | None = None,
    temperature: str | None = None,
    story: Mapping[str, Any] | None = None,
    step: Step = lambda what: None,
) -> tuple[Trained, list[Batch], str]:
    """Make a model and write its bundle; return what training found, the batches and the model's id.

    Parameters
    ----------
    temperature : column of the fruit's temperature in °C, whose effect is to be taken out or allowed for if that is better.

    Raises
    ------
    SpectraTableError, TrainError, ArtefactError : what cannot be used, with the place and the remedy; nothing is written then.
    """
    free(out)
    columns = [*targets, *([] if source.group is None else [source.group])]
    if twice := next((name for k, name in enumerate(columns) if name in columns[:k]), None):
        text = _("{path}: {name!r} is named twice; name each target once, and another column for the groups")
        raise SpectraTableError(text.format(path=source.table, name=twice))
    found = batches(source, targets, again=temperature is not None)
    warmth = None if temperature is None else warmth_of(found[0], source.read(), temperature, source.id, source.range_nm)
    if source.group is not None:
        need_lots(found[0])
    told = {
        "table": source.table.name,
        "signal": found[0].kind.kind,
        "group_column": source.group,
        "rows_left_out": len(found[0].left_out),
        "columns_that_may_name_lots": [] if source.group else lot_columns(found[0]),
        **(story or {}),
    }
    try:
        trained = train(
            samples_of(found), targets, range_nm=source.range_nm, families=families, reference_error=reference_error,
            warmth=warmth, story=told, step=step,
        )  # fmt: skip
    except (TrainError, TemperatureError) as error:
        raise SpectraTableError(f"{source.table}: {error}") from error
    model_id = artefacts.save(out, bundle.KIND, *bundle.to_artefact(trained.model))
    return trained, found, model_id


def free(out: Path) -> None:
    """Refuse a folder that holds something.

    Raises
    ------
    ArtefactError : it does.
    """
    if out.exists() and any(out.iterdir()):
        raise ArtefactError(_("{folder}: holds something already; name a new folder").format(folder=out))


def load_bundle(path: Path) -> tuple[SpectralModel, str]:
    """Load a model bundle; return it with its id.

    Raises
    ------
    ArtefactError : missing, damaged, of another kind or version.
    """
    stored = artefacts.load(path, bundle.KIND)
    try:
        return bundle.from_artefact(stored), stored.id
    except ValueError as error:
        raise ArtefactError(f"{path}: {error}") from error


def to_model(model: SpectralModel, path: Path, wavelength_nm: Floats, absorbance: Floats) -> Floats:
    """Return absorbance (n, p) at a model's wavelengths.

    Raises
    ------
    SpectraTableError : the table's wavelengths do not reach as far as the model's.
    """
    try:
        made = interpolation(wavelength_nm, model.wavelength_nm)
    except ValueError as error:
        raise SpectraTableError(_("{path}: {error}; this model cannot be used on it").format(path=path, error=error)) from error
    return np.ascontiguousarray(absorbance @ matrix_of(made, len(wavelength_nm)))


@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """Rows of a table with the traits (n,) of `traits.TRAITS` a model gives them; ``warm`` of them by their temperature, where
    the model uses it; ``notes`` what else there is to know."""

    model: SpectralModel
    model_id: str
    rows: Unlabelled
    traits: NDArray[Any]
    warm: int = 0
    notes: tuple[str, ...] = ()

    @property
    def by_temperature(self) -> bool:
        """Whether the values depend on the table's temperature."""
        return uses(self.model)

    def columns(self) -> dict[str, NDArray[Any]]:
        """Return what is written: id, then value, lo90 and hi90 of each target, t2, q and in_domain."""
        named: dict[str, NDArray[Any]] = {"id": self.rows.ids}
        for j, target in enumerate(self.model.names):
            suffix = "" if j == 0 else f"_{target}"
            for name, field in (("value", "value"), ("lo90", "low90"), ("hi90", "high90")):
                named[name + suffix] = self.traits[field][:, j]
        domain = self.model.domain
        inside = (self.traits["t2"] <= domain.t2_limit) & (self.traits["q"] <= domain.q_limit)
        return named | {"t2": self.traits["t2"], "q": self.traits["q"], "in_domain": inside}


def predict_table(model_path: Path, source: Source, lane: str | None = None, temperature: str | None = None) -> Predicted:
    """Predict every row of a table.

    Parameters
    ----------
    lane : the column of lanes, for a model that corrects lanes each by its own; by default ``lane`` where there is one.
    temperature : that of temperatures, for a model that uses them; by default the one called as in its training, if any.

    Raises
    ------
    ArtefactError, SpectraTableError : what cannot be used, with the place and the remedy.
    """
    model, model_id = load_bundle(model_path)
    table = near(source.read(), model.wavelength_nm)
    guess = recognised(model, table, source.kind)
    rows = replace(unlabelled(table, source.id, kind=guess.kind), kind=guess)
    absorbance = to_model(model, rows.path, rows.wavelength_nm, rows.absorbance)
    lanes = lanes_of(rows.columns, lane)
    traits = predict_absorbance(model, absorbance, lanes if model.lanes else None)
    warm = allow_for(model, traits, rows, temperature)
    notes = (*told(model, guess), *lanes_told(model, lanes), *rows.notes)
    return Predicted(model, model_id, rows, traits, warm, notes)


def near(table: SpectraTable, wavelength_nm: Floats) -> SpectraTable:
    """Cut a table to what a model needs, for elsewhere it may hold anything; a table that lacks it is told later."""
    low, high = float(wavelength_nm[0]) - BEYOND_NM, float(wavelength_nm[-1]) + BEYOND_NM
    inside = (table.wavelength_nm >= low) & (table.wavelength_nm <= high)
    return table.between(low, high) if inside.sum() >= 4 else table
