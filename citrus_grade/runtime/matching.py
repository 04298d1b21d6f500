"""A table beside the model that is to be used on it: what kind of signal it holds, and which lane each row is of."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.models.batch import Unlabelled, unlabelled
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTable, SpectraTableError
from citrus_grade.spectra_table.ids import as_text
from citrus_grade.spectra_table.signal import Guess, Kind, guess_kind, with_references
from citrus_grade.words import _

Floats = NDArray[np.float64]

LIKE: Final = 0.5
"""Spectra are of a kind if at least so many of them lie in the model's domain as this kind."""
ENOUGH: Final = 200
"""Rows that tell."""
FORMULAE: Final[tuple[tuple[Kind, ...], ...]] = (("absorbance",), ("reflectance", "transmittance"), ("counts",))
"""Kinds that become absorbance in the same way."""


def recognised(model: SpectralModel, table: SpectraTable, asked: Kind | None) -> Guess:
    """Return what kind of signal a table holds, by what the model knows.

    The caller's word counts first; then the kind of the model's own table, if that puts the spectra into the model's domain; then
    another that does; then what `guess_kind` is sure of.

    Raises
    ------
    SpectraTableError : counts and something else, of which neither can be brought to the other.
    """
    if asked is not None:
        return Guess(asked, _("the caller says so"))
    own: Kind | None = model.training.get("signal")
    guess = guess_kind(table)
    if own is None:
        return guess
    if table.kind is not None:
        _no_counts(table, own, guess)
        return guess
    others: list[Kind] = [kinds[0] for kinds in FORMULAE if own not in kinds]
    for kind in (own, *others):
        if _like(model, table, kind) >= LIKE:
            return Guess(kind, _("its spectra are then like the model's"))
    if _same_formula(own, guess.kind) or not guess.sure:
        return Guess(own, _("as in the model's own table"))
    _no_counts(table, own, guess)
    return guess


def told(model: SpectralModel, guess: Guess) -> Iterator[str]:
    """Say that a table's signal is not the one the model was made from."""
    own = model.training.get("signal")
    if own is not None and not _same_formula(own, guess.kind):
        said = _("the table holds {kind} ({why}), the model was made from {own}: both were brought to absorbance")
        yield said.format(kind=_(guess.kind), why=guess.reason, own=_(own))


def beside(table: SpectraTable, master: Unlabelled) -> Guess:
    """Return what kind of signal a second spectrometer's table holds, beside the master's absorbance of the same samples."""
    guess = guess_kind(table)
    if guess.sure:
        return guess
    likeness = {kind: _likeness(table, kind, master) for kind in ("absorbance", "reflectance")}
    best: Kind = "absorbance" if likeness["absorbance"] > likeness["reflectance"] else "reflectance"
    return Guess(best, _("its spectra are then like the master's"))


def _same_formula(a: Kind, b: Kind) -> bool:
    return any(a in kinds and b in kinds for kinds in FORMULAE)


def _no_counts(table: SpectraTable, own: Kind, guess: Guess) -> None:
    """Refuse counts beside what a white reference went into: the lamp would be taken for fruit."""
    if _same_formula(own, guess.kind):
        return
    if guess.kind == "counts" and with_references(table).white is None:
        text = _(
            "{path}: holds counts ({why}) without a white reference, and the model was made from {own}; add the white and dark"
            " references (columns white_700, dark_700, or rows called white and dark), or say what the spectra are with --kind"
        )
        raise SpectraTableError(text.format(path=table.path, why=guess.reason, own=_(own)))
    if own == "counts":
        text = _(
            "{path}: holds {kind} ({why}), and the model was made from counts; give counts of the same spectrometer, move the"
            " model with citrus-grade transfer, or say what the spectra are with --kind"
        )
        raise SpectraTableError(text.format(path=table.path, kind=_(guess.kind), why=guess.reason))


def _like(model: SpectralModel, table: SpectraTable, kind: Kind) -> float:
    """Return the share of a table's spectra in the model's domain, taken for this kind."""
    some = table.rows(np.unique(np.linspace(0, len(table.places) - 1, ENOUGH).astype(np.int64)))
    try:
        rows = unlabelled(some if kind != "counts" else with_references(table), kind=kind)
        made = interpolation(rows.wavelength_nm, model.wavelength_nm)
    except ValueError:  # none has such an absorbance, or the axis is too short: both are told when the table is used
        return 0.0
    absorbance = rows.absorbance[rows.whole] @ matrix_of(made, len(rows.wavelength_nm))
    said = predict_absorbance(model, np.ascontiguousarray(absorbance))
    inside = (said["t2"] <= model.domain.t2_limit) & (said["q"] <= model.domain.q_limit)
    return float(inside.sum()) / len(rows.ids)


def _likeness(table: SpectraTable, kind: Kind, master: Unlabelled) -> float:
    """Return the correlation of both tables' mean absorbance where both have one."""
    try:
        rows = unlabelled(table, kind=kind)
    except SpectraTableError:
        return -1.0
    low, high = (max(rows.wavelength_nm[0], master.wavelength_nm[0]), min(rows.wavelength_nm[-1], master.wavelength_nm[-1]))
    if low >= high:
        return -1.0
    nm = np.linspace(low, high, ENOUGH)
    means = [np.interp(nm, one.wavelength_nm, one.absorbance[one.whole].mean(0)) for one in (rows, master)]
    return float(np.corrcoef(*means)[0, 1])


def lanes_of(columns: Mapping[str, Any], lane: str | None) -> list[str] | None:
    """Return the lane of each row, None where no column names it."""
    name = lane if lane is not None else "lane"
    if lane is None and name not in columns:
        return None
    if name not in columns:
        raise SpectraTableError(
            _("there is no column {name!r} of lanes; there are {there}").format(name=name, there=", ".join(columns))
        )
    return [text.removesuffix(".0") for text in as_text(columns[name])]


def lanes_told(model: SpectralModel, lanes: Sequence[str] | None) -> Iterator[str]:
    """Say which rows a model that corrects each lane by its own gives the correction of all lanes together."""
    if not model.lanes:
        return
    own = ", ".join(model.lanes)
    if lanes is None:
        said = _(
            "the model corrects lanes {own} each by its own, and the table has no column of lanes (--lane): every row got the"
            " correction of all lanes together"
        )
        yield said.format(own=own)
    elif unknown := sorted(set(lanes) - set(model.lanes)):
        said = _("the model has no correction for lanes {unknown}, only for {own}: these rows got that of all lanes together")
        yield said.format(unknown=", ".join(name or "-" for name in unknown), own=own)
