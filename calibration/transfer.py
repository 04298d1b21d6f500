"""A model for a new spectrometer from samples measured on both: every way is tried on samples it was made without.

Whatever the way, the result is linear in the slave's preprocessed spectra and folds into a model like any other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.choice import Choice, choose
from citrus_grade.calibration.errors import refuse
from citrus_grade.calibration.joint import fit_joint
from citrus_grade.calibration.pls import Path, fit_path
from citrus_grade.calibration.standardise import away_from, direct, piecewise
from citrus_grade.words import N_, _

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_SAMPLES: Final = 8
MAX_COMPONENTS: Final = 15
FOLDS: Final = 10
MARGIN: Final = 1.03
"""Fewer components win while their error is within 3 % of the lowest."""
HALF_POINTS: Final = (0, 1, 2, 4)
DIRECTIONS: Final = (1, 2, 3, 5, 8)


@dataclass(frozen=True, slots=True, eq=False)
class Spectra:
    """Preprocessed one way, on one axis: ``train`` (n, n_wavelengths) of the master; the samples' ``master`` and ``slave``
    (m, n_wavelengths)."""

    train: Floats
    master: Floats
    slave: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """``train`` (n,) references of the training spectra, ``samples`` (m,) those of the samples, or the old model's own values of
    their master spectra; ``row`` (m,) where a sample is among the training spectra, -1 where it is not."""

    train: Floats
    samples: Floats
    row: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Transferred:
    """A model of the slave's spectra: ``coefs`` (n_wavelengths,) and ``intercept`` on spectra preprocessed as ``option`` says.

    ``method`` is a key of ``rmse``, the error of each method's best on samples it was made without, and of ``predicted`` (m,),
    its values of them. ``honest`` (m,) are values by what would have been chosen without the sample and a tenth of the others: an
    error that something was chosen by looks lower than it is. ``detail`` is the method's own number: half of a window in
    channels, or directions taken out.
    """

    method: str
    option: str
    detail: int
    n_components: int
    coefs: Floats
    intercept: float
    reason: str
    rmse: Mapping[str, float]
    predicted: Mapping[str, Floats]
    honest: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """What a method may see, and the master's models ``path`` of it."""

    x: Floats
    y: Floats
    master: Floats
    slave: Floats
    reference: Floats
    path: Path


def _none(data: _Data, _detail: int) -> Path:
    return data.path


def _bias(data: _Data, _detail: int) -> Path:
    return data.path.moved(data.reference.mean() - data.path.predict(data.slave).mean(0))


def _slope(data: _Data, _detail: int) -> Path:
    values = data.path.predict(data.slave)
    centred = values - values.mean(0)
    slope = (data.reference - data.reference.mean()) @ centred / np.maximum(np.square(centred).sum(0), 1e-300)
    turned = Path(data.path.coefs * slope[:, None], data.path.intercepts * slope)
    return turned.moved(data.reference.mean() - turned.predict(data.slave).mean(0))


def _direct(data: _Data, _detail: int) -> Path:
    return direct(data.master, data.slave).fold(data.path)


def _piecewise(data: _Data, half_points: int) -> Path:
    return piecewise(data.master, data.slave, half_points).fold(data.path)


def _projected(data: _Data, n_directions: int) -> Path:
    away = away_from(data.slave - data.master, n_directions)
    return away.fold(fit_path(away(data.x), data.y, len(data.path.coefs)))


def _joint(data: _Data, _detail: int) -> Path:
    return fit_joint(data.x, data.y, data.master, data.slave, data.reference, len(data.path.coefs))


METHODS: Final[Mapping[str, tuple[Callable[[_Data, int], Path], tuple[int, ...]]]] = {
    N_("none"): (_none, (0,)),
    N_("bias"): (_bias, (0,)),
    N_("slope"): (_slope, (0,)),
    N_("direct standardisation"): (_direct, (0,)),
    N_("piecewise standardisation"): (_piecewise, HALF_POINTS),
    N_("projection"): (_projected, DIRECTIONS),
    N_("joint"): (_joint, (0,)),
}
"""Simplest first: what each does, and the numbers that are tried with it."""
CHOSEN_FROM: Final = (N_("none"), N_("bias"), N_("slope"), N_("joint"))
"""The others are not better on real sets, and the more there is to choose from the worse is a choice by 25 samples."""


def transfer(
    options: Mapping[str, Spectra],
    values: Values,
    methods: tuple[str, ...] = CHOSEN_FROM,
    n_components: int = MAX_COMPONENTS,
) -> Transferred:
    """Make the slave's model by the method, preprocessing and number of components that do best on samples left out.

    Parameters
    ----------
    options : the spectra under each preprocessing's name. methods : keys of `METHODS`, simplest first.

    Raises
    ------
    CalibrationError : too few samples, numbers that are none, or shapes that do not fit.
    """
    _check(options, values)
    fold = np.random.default_rng(0).permutation(len(values.samples)) % FOLDS
    tried = {name: list(_tried(name, options, values, fold, n_components)) for name in methods}
    best, choice = _chosen(tried, values.samples, np.ones(len(fold), np.bool_))
    own = best[choice.name]
    everything = _data(options[own.option], values, np.ones(len(fold), np.bool_), n_components)
    path = METHODS[choice.name][0](everything, own.detail)
    return Transferred(
        method=choice.name,
        option=own.option,
        detail=own.detail,
        n_components=own.k + 1,
        coefs=path.coefs[own.k],
        intercept=float(path.intercepts[own.k]),
        reason=choice.reason,
        rmse=choice.rmse,
        predicted={name: one.predicted for name, one in best.items()},
        honest=_chosen_without(tried, values.samples, fold),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """``paths`` (m, n_components), what a method's models with 1, 2, ... components say of samples left out."""

    option: str
    detail: int
    paths: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Best:
    """The best of a method: ``k`` + 1 components, ``predicted`` (m,) samples left out."""

    option: str
    detail: int
    k: int
    predicted: Floats
    rmse: float


def _tried(name: str, options: Mapping[str, Spectra], values: Values, fold: Ints, n_components: int) -> Iterator[_Tried]:
    make, details = METHODS[name]
    for option, spectra in options.items():
        left_out = [(fold == k, _data(spectra, values, fold != k, n_components)) for k in range(FOLDS) if (fold == k).any()]
        for detail in details:
            paths = np.empty((len(fold), n_components))
            for out, data in left_out:
                paths[out] = make(data, detail).predict(spectra.slave[out])
            yield _Tried(option, detail, paths)


def _best(one: _Tried, reference: Floats, rows: NDArray[np.bool_]) -> _Best:
    """The fewest components that do well on these rows."""
    rmse = np.sqrt(np.square(one.paths[rows] - reference[rows, None]).mean(0))
    k = int(np.argmax(rmse <= MARGIN * rmse.min()))
    return _Best(one.option, one.detail, k, one.paths[:, k], float(rmse[k]))


def _chosen(tried: Mapping[str, Sequence[_Tried]], reference: Floats, rows: NDArray[np.bool_]) -> tuple[dict[str, _Best], Choice]:
    """The best of each method and the choice among them, by these rows."""
    best = {name: min((_best(one, reference, rows) for one in own), key=lambda one: one.rmse) for name, own in tried.items()}
    return best, choose({name: one.predicted[rows] for name, one in best.items()}, reference[rows], tuple(best))


def _chosen_without(tried: Mapping[str, Sequence[_Tried]], reference: Floats, fold: Ints) -> Floats:
    """What is said of each sample (m,) by what would have been chosen without its fold; as in `calibration.correction`."""
    out = np.empty(len(fold))
    for k in np.unique(fold):
        best, choice = _chosen(tried, reference, fold != k)
        out[fold == k] = best[choice.name].predicted[fold == k]
    return out


def _data(spectra: Spectra, values: Values, kept: NDArray[np.bool_], n_components: int) -> _Data:
    """What is left without the samples left out; nor does their training spectrum take part."""
    hidden = values.row[~kept]
    seen = np.ones(len(values.train), np.bool_)
    seen[hidden[hidden >= 0]] = False
    x, y = spectra.train[seen], values.train[seen]
    return _Data(x, y, spectra.master[kept], spectra.slave[kept], values.samples[kept], fit_path(x, y, n_components))


def _check(options: Mapping[str, Spectra], values: Values) -> None:
    m, n = len(values.samples), len(values.train)
    if m < LEAST_SAMPLES:
        text = _("{n} samples were measured on both spectrometers; at least {least} are needed, 25 are good")
        refuse([text.format(n=m, least=LEAST_SAMPLES)])
    good, fine = np.isfinite(values.samples), np.isfinite(values.train)
    for name, own in options.items():
        n_channels = own.train.shape[1]
        shapes = own.train.shape[0] == n and own.master.shape == own.slave.shape == (m, n_channels)
        if not shapes:
            told = _("{name}: {train} training, {master} master and {slave} slave spectra for {n} and {m} references")
            shapes_of = {"train": own.train.shape, "master": own.master.shape, "slave": own.slave.shape}
            refuse([told.format(name=name, n=n, m=m, **shapes_of)])
        good = good & np.isfinite(own.master).all(1) & np.isfinite(own.slave).all(1)
        fine = fine & np.isfinite(own.train).all(1)
    text = _("{table} row {row}: a spectrum or reference is no number; leave it out")
    if np.ptp(values.samples) == 0:
        refuse([_("all references are {value:g}; look whether they were filled in by hand").format(value=values.samples[0])])
    rows = ((_("samples"), good), (_("training"), fine))
    refuse(text.format(table=table, row=int(row)) for table, usable in rows for row in np.flatnonzero(~usable))
