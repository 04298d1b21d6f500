"""A model and the temperature of its fruit: left alone, its directions taken out of the spectra, or allowed for where known.

Fruit of lots left out decide. Directions taken out need no thermometer afterwards. Temperature as a covariate moves a value by so
much a degree where a table has the column; where it has none, and on the line, the model says what it said without.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration import pls
from citrus_grade.calibration.pls import Fold, fit_path
from citrus_grade.calibration.standardise import Projection, away_from, of_each
from citrus_grade.calibration.temperature import LEAST_FRUIT, steady
from citrus_grade.models import recipes
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.search import MARGIN, Prepared, Samples, Tried, fewest, prepare
from citrus_grade.spectra.interval import interval
from citrus_grade.words import N_, Refused, _

Floats = NDArray[np.float64]

NONE, PROJECTION, COVARIATE = N_("none"), N_("projection"), N_("covariate")
"""What may be done about temperature, simplest first."""
KEY: Final = "temperature"
"""Where a model's story tells of it."""
LEAST_RANGE_C: Final = 3.0
FOLDS: Final = 10
"""Of fruit measured cold and warm, left out in turn."""
SPAN_C: Final = 15.0
"""Over so many degrees a bias is told: from a cold morning to a warm afternoon."""


class TemperatureError(Refused):
    """Temperatures from which nothing can be learnt; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class Warmth:
    """How warm the fruit were: ``celsius`` (n,) of the batch's rows, from a ``column``.

    Fruit that were measured cold and warm tell most, and need no reference: ``absorbance`` (m, p) of theirs at the batch's
    wavelengths, ``repeated_c`` (m,), ``fruit`` (m,) which fruit each is of; m may be 0.
    """

    column: str
    celsius: Floats
    absorbance: Floats
    repeated_c: Floats
    fruit: NDArray[np.str_]

    @property
    def n_fruit(self) -> int:
        """How many fruit were measured cold and warm."""
        return len(np.unique(self.fruit))

    @property
    def told(self) -> bool:
        """Whether they are enough to tell what temperature does."""
        return self.n_fruit >= LEAST_FRUIT


def repeated(fruit: NDArray[np.str_], celsius: Floats) -> NDArray[np.bool_]:
    """Return which rows (n,) are of fruit that were measured at more than one temperature; NaN is no temperature."""
    _names, own = np.unique(fruit, return_inverse=True)
    low, high = np.full(len(_names), np.inf), np.full(len(_names), -np.inf)
    known = np.isfinite(celsius)
    np.minimum.at(low, own[known], celsius[known])
    np.maximum.at(high, own[known], celsius[known])
    return np.asarray(known & (high > low)[own])


@dataclass(frozen=True, slots=True, eq=False)
class Steadied:
    """What fruit left out chose: per target what is to be fitted, the directions ``removed`` (d, n_out), what to tell of it."""

    chosen: list[Tried]
    removed: Floats
    told: dict[str, Any]


def steadied(batch: Samples, names: Sequence[str], folds: Sequence[Fold], chosen: Sequence[Tried], warmth: Warmth) -> Steadied:
    """Choose what is done about temperature, the same for all targets.

    Judged are the errors of fruit of lots left out and, of fruit measured cold and warm, how far their predictions move.

    Parameters
    ----------
    chosen : what was chosen without it, per target; a projection is made on the first one's recipe, with PLS.

    Raises
    ------
    TemperatureError : temperatures that are all but alike.
    """
    span_c = _span(warmth)
    ready = prepare(batch, chosen[0].recipe, folds)
    features = _Features(ready, _features(ready.recipe, batch, warmth))
    n_directions, components = _directions(features, batch.reference[:, 0], folds, warmth)
    ways: dict[str, list[_Way]] = {NONE: [], PROJECTION: [], COVARIATE: []}  # simplest first
    for one, y in zip(chosen, batch.reference.T, strict=True):
        plain = _Way(one, _wobble(features, y, warmth, 0, one.components))
        ways[NONE].append(plain)
        ways[COVARIATE].append(_with_covariate(plain, y, folds, warmth))
        if n_directions:
            ways[PROJECTION].append(_projected(features, batch.reference, y, folds, warmth, n_directions, components))
    best = _choose({way: own for way, own in ways.items() if own}, batch.reference)
    took_out = best == PROJECTION
    removed = _away(features.batch, features.repeats, batch.reference, warmth, n_directions).directions[: n_directions * took_out]
    told = {
        "column": warmth.column,
        "range_c": list(span_c),
        "at_c": float(warmth.celsius.mean()),
        "fruit_cold_and_warm": warmth.n_fruit,
        "chosen": best,
        "directions": len(removed),
        "targets": {
            name: _told({way: own[j] for way, own in ways.items() if own}, best, y, warmth)
            for j, (name, y) in enumerate(zip(names, batch.reference.T, strict=True))
        },
    }
    return Steadied([own.tried for own in ways[PROJECTION]] if took_out else list(chosen), removed, told)


def projected(ready: Prepared, removed: Floats) -> Prepared:
    """Return features without the directions ``removed`` (d, n_out)."""
    if not len(removed):
        return ready
    features = Projection(removed)(ready.features)
    narrow, turn = pls.compress(features)
    return replace(ready, features=features, narrow=narrow, turn=turn)


def allowed_for(told: dict[str, Any], name: str, celsius: Floats) -> Floats:
    """Return what temperatures (n,) add to the values of a target: nothing where they are NaN or the model uses none.

    Beyond the temperatures of its training a model stays at their ends.
    """
    per_c = told["targets"][name].get("per_c", 0.0)
    return np.asarray(np.nan_to_num((np.clip(celsius, *told["range_c"]) - told["at_c"]) * per_c), np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """One way for one target: what it says of fruit left out, and how far it moves with temperature, ``wobble`` (m,)."""

    tried: Tried
    wobble: Floats


@dataclass(frozen=True, slots=True, eq=False)
class _Features:
    """Features of a batch, and ``repeats`` (m, n_out) of fruit measured cold and warm."""

    ready: Prepared
    repeats: Floats

    @property
    def batch(self) -> Floats:
        """(n, n_out)."""
        return self.ready.features


def _span(warmth: Warmth) -> tuple[float, float]:
    both = np.r_[warmth.celsius, warmth.repeated_c] if warmth.told else warmth.celsius
    low, high = float(both.min()), float(both.max())
    if not high - low >= LEAST_RANGE_C:
        text = _(
            "{column!r}: all fruit are within {span:.2g} degrees, and nothing can be learnt of temperature; measure 15 or more of"
            " them cold and warm, 5 to 28 degrees, or leave --temperature out"
        )
        raise TemperatureError(text.format(column=warmth.column, span=high - low))
    return low, high


def _features(recipe: Recipe, batch: Samples, warmth: Warmth) -> Floats:
    made = recipes.preprocessing(recipe, batch.wavelength_nm, batch.absorbance)
    return recipes.features(made, warmth.absorbance[:, recipes.window(batch.wavelength_nm, recipe)])


def _directions(features: _Features, y: Floats, folds: Sequence[Fold], warmth: Warmth) -> tuple[int, int]:
    """How many directions to try, with how many components: what fruit measured cold and warm call for, else the one slope."""
    if not warmth.told:
        return int(np.ptp(warmth.celsius) >= LEAST_RANGE_C), 0
    fold = np.empty(len(y), np.int64)
    for k, own in enumerate(folds):
        fold[own] = k
    narrow, turn = pls.compress(features.batch)
    found = steady(narrow, y, fold, (features.repeats - features.batch.mean(0)) @ turn, warmth.fruit)
    return found.n_directions, found.n_components


def _away(
    x: Floats, repeats: Floats, reference: Floats, warmth: Warmth, n_directions: int, kept: Any = slice(None)
) -> Projection:
    """What fruit measured cold and warm tell of temperature, else rows ``kept``: the slope on it at equal reference (n, k)."""
    if warmth.told:
        return away_from(of_each(repeats, warmth.fruit), n_directions)
    design = np.column_stack([warmth.celsius[kept], reference[kept], np.ones(len(x[kept]))])
    return away_from(np.linalg.lstsq(design, x[kept], rcond=None)[0][:1], n_directions)


def _projected(
    features: _Features, reference: Floats, y: Floats, folds: Sequence[Fold], warmth: Warmth, n_directions: int, components: int
) -> _Way:
    """PLS on projected features; neither has seen what it is judged by."""
    most = features.ready.components
    said = np.empty((most, len(y)))
    for rows in folds:
        kept = np.setdiff1d(np.arange(len(y)), rows)
        away = _away(features.batch, features.repeats, reference, warmth, n_directions, kept)
        narrow, turn = pls.compress(away(features.batch[kept]))
        own = pls.fit(narrow, y[kept], most).predict_all((away(features.batch[rows]) - away(features.batch[kept]).mean(0)) @ turn)
        said[: len(own), rows] = own
        said[len(own) :, rows] = own[-1]
    k = min(components, most) - 1 if components else fewest((said - y) ** 2)
    tried = Tried(features.ready.recipe, "pls", k + 1, said[k], _rmse(said[k], y))
    return _Way(tried, _wobble(features, y, warmth, n_directions, k + 1))


def _wobble(features: _Features, y: Floats, warmth: Warmth, n_directions: int, components: int) -> Floats:
    """How far predictions (m,) of fruit measured cold and warm lie off their fruit's mean, the projection made without them.

    Of PLS with so many components, whatever the family: it is the linear part that temperature moves.
    """
    if not warmth.told:
        return np.zeros(0)
    difference = of_each(features.repeats, warmth.fruit)
    _names, own = np.unique(warmth.fruit, return_inverse=True)
    out = np.empty(len(own))
    for fold in range(FOLDS if n_directions else 1):
        rows = own % FOLDS == fold if n_directions else np.ones(len(own), np.bool_)
        away = away_from(difference[~rows] if n_directions else difference, n_directions)
        out[rows] = away(difference[rows]) @ fit_path(away(features.batch), y, components).coefs[-1]
    return out


def _with_covariate(plain: _Way, y: Floats, folds: Sequence[Fold], warmth: Warmth) -> _Way:
    """The same model, moved by so much a degree; each fold by the slope of the others."""
    said = plain.tried.said.copy()
    for rows in folds:
        kept = np.setdiff1d(np.arange(len(y)), rows)
        said[rows] += _per_c(plain, y, warmth, kept) * (warmth.celsius[rows] - warmth.celsius.mean())
    wobble = plain.wobble + _per_c(plain, y, warmth) * _off_mean(warmth)
    return _Way(replace(plain.tried, said=said, rmse=_rmse(said, y)), wobble)


def _choose(ways: dict[str, list[_Way]], reference: Floats) -> str:
    """Return the simplest way, unless another is better by `MARGIN` and beyond chance, over all targets together.

    Mean squares of errors and of wobbles count alike, each target in units of its error without: of few fruit measured cold and
    warm as of many labelled ones. A projection comes before a covariate: it holds where nobody knows the temperature.
    """
    unit = [one.tried.rmse for one in ways[NONE]]
    squares = {way: _squares(own, reference, unit) for way, own in ways.items()}
    best, *richer = ways
    for way in richer:
        gains = [was - now for was, now in zip(squares[best], squares[way], strict=True) if len(was)]
        chance = np.sqrt(sum(gain.var(ddof=1) / len(gain) for gain in gains))
        better = MARGIN**2 * _total(squares[way]) < _total(squares[best])
        if better and sum(gain.mean() for gain in gains) > chance:
            best = way
    return best


def _squares(way: Sequence[_Way], reference: Floats, unit: Sequence[float]) -> tuple[Floats, Floats]:
    """Squared errors (n,) and wobbles (m,), summed over targets."""
    own = list(zip(way, reference.T, unit, strict=True))
    errors, wobbles = (
        [np.square((one.tried.said - y) / s) for one, y, s in own],
        [np.square(one.wobble / s) for one, _y, s in own],
    )
    return np.sum(errors, axis=0), np.sum(wobbles, axis=0)


def _total(parts: Sequence[Floats]) -> float:
    return sum(float(part.mean()) for part in parts if len(part))


def _told(ways: dict[str, _Way], best: str, y: Floats, warmth: Warmth) -> dict[str, Any]:
    told: dict[str, Any] = {
        "rmse": {way: one.tried.rmse for way, one in ways.items()},
        "bias_per_15c": [SPAN_C * _per_c(ways[way], y, warmth) for way in (NONE, best)],
    }
    if warmth.told:
        told["wobble"] = {way: _rmse(one.wobble, np.zeros(1)) for way, one in ways.items()}
    if best == COVARIATE:
        told["per_c"] = _per_c(ways[NONE], y, warmth)
        told["interval90"] = list(interval(np.sort(y - ways[best].tried.said)))
    return told


def _per_c(way: _Way, y: Floats, warmth: Warmth, kept: Any = slice(None)) -> float:
    """How far reference minus predicted moves a degree: over rows ``kept`` and over fruit measured cold and warm."""
    celsius, error = warmth.celsius[kept], (y - way.tried.said)[kept]
    warm = np.r_[celsius - celsius.mean(), _off_mean(warmth)]
    moved = np.r_[error - error.mean(), -way.wobble]
    square = float(warm @ warm)
    return float(warm @ moved) / square if square > 0 else 0.0


def _off_mean(warmth: Warmth) -> Floats:
    """(m,) temperatures less the mean of their own fruit, none where these fruit are too few to be used."""
    return of_each(warmth.repeated_c[:, None], warmth.fruit)[:, 0] if warmth.told else np.zeros(0)


def _rmse(said: Floats, y: Floats) -> float:
    return float(np.sqrt(np.mean((said - y) ** 2)))
