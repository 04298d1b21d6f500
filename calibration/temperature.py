"""A model that fruit temperature does not move: how many of its directions to take out of the spectra.

Some fruit are measured several times, cold to warm. What differs between the spectra of one fruit is temperature's doing; every
direction taken out makes predictions steadier, and takes some of sugar with it. Fruit left out say where the sum is least.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import refuse
from citrus_grade.calibration.pls import fit_path
from citrus_grade.calibration.standardise import Projection, away_from, of_each
from citrus_grade.words import _

Floats = NDArray[np.float64]
Groups = NDArray[np.generic]

LEAST_FRUIT: Final = 5
MOST_DIRECTIONS: Final = 4
MAX_COMPONENTS: Final = 15
MAX_FOLDS: Final = 10
MARGIN: Final = 1.03
"""Fewer directions, and fewer components, win while the error is within 3 % of the lowest."""


@dataclass(frozen=True, slots=True, eq=False)
class Steadied:
    """The projection ``away`` from ``n_directions`` of temperature, for a model of about ``n_components``.

    By number of directions from 0, of fruit left out and in the unit of the trait: ``error`` root mean square error of
    prediction, ``wobble`` root mean square of how far a fruit's predictions move with its temperature.
    """

    away: Projection
    n_directions: int
    n_components: int
    error: Floats
    wobble: Floats


def steady(
    x: Floats,
    y: Floats,
    groups: Groups,
    spectra: Floats,
    fruit: Groups,
    most: int = MOST_DIRECTIONS,
    n_components: int = MAX_COMPONENTS,
) -> Steadied:
    """Choose the directions so that error and wobble together are least.

    Parameters
    ----------
    x : (n, n_wavelengths) training spectra, preprocessed. y : (n,). groups : (n,) lots or seasons, left out whole.
    spectra : (m, n_wavelengths) of fruit measured at several temperatures, preprocessed alike; no reference is needed.
    fruit : (m,) which fruit each of them is of.

    Raises
    ------
    CalibrationError : too few fruit that were measured more than once, or one group only.
    """
    _check(groups, fruit)
    squares = [_squares(x, y, groups, spectra, fruit, n, n_components) for n in range(most + 1)]
    total = [error + wobble for error, wobble in squares]
    components = [_first_good(own) for own in total]
    chosen = _first_good(np.array([own[k] for own, k in zip(total, components, strict=True)]))
    error, wobble = np.sqrt([[part[k] for part in own] for own, k in zip(squares, components, strict=True)]).T
    away = away_from(of_each(spectra, fruit), chosen)
    return Steadied(away, chosen, components[chosen] + 1, error, wobble)


def _check(groups: Groups, fruit: Groups) -> None:
    _names, times = np.unique(fruit, return_counts=True)
    problems = []
    if (times > 1).sum() < LEAST_FRUIT:
        text = _("{n} fruit were measured at more than one temperature; at least {least} are needed, 15 at four are good")
        problems.append(text.format(n=int((times > 1).sum()), least=LEAST_FRUIT))
    if len(np.unique(groups)) < 2:
        problems.append(_("training spectra of one lot or season only; at least two are needed, or no error can be told"))
    refuse(problems)


def _first_good(squares: Floats) -> int:
    return int(np.argmax(squares <= MARGIN**2 * squares.min()))


def _folds(names: Groups) -> Iterator[NDArray[np.bool_]]:
    """Rows of each fold; whole groups, dealt in turn."""
    _unique, own = np.unique(names, return_inverse=True)
    fold = own % MAX_FOLDS
    return (fold == k for k in range(int(fold.max()) + 1))


def _squares(
    x: Floats, y: Floats, groups: Groups, spectra: Floats, fruit: Groups, n_directions: int, n_components: int
) -> tuple[Floats, Floats]:
    """Mean squared error and wobble (n_components,): neither the model nor the projection has seen what it is judged by."""
    difference = of_each(spectra, fruit)
    away = away_from(difference, n_directions)
    errors, wobbles = np.empty((len(y), n_components)), np.empty((len(spectra), n_components))
    for out in _folds(groups):
        errors[out] = fit_path(away(x[~out]), y[~out], n_components).predict(away(x[out])) - y[out, None]
    for out in _folds(fruit):
        without = away_from(difference[~out], n_directions)
        path = fit_path(without(x), y, n_components)
        wobbles[out] = without(difference[out]) @ path.coefs.T
    return np.square(errors).mean(0), np.square(wobbles).mean(0)
