"""Which candidate: the simplest one unless a richer one is better by more than chance."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.words import _

Floats = NDArray[np.float64]

MARGIN: Final = 0.03
"""A richer candidate that lowers the error by this share takes over, sure or not: it is shrunk already where it is not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The candidate's ``name``, the ``reason`` as a sentence, and every candidate's ``rmse``, in the unit of the trait."""

    name: str
    reason: str
    rmse: Mapping[str, float]


def choose(loo: Mapping[str, Floats], reference: Floats, simplest_first: Sequence[str]) -> Choice:
    """Choose by predictions of fruit the candidates were made without.

    From the simplest on, a richer candidate takes over if its root mean square error is lower by 3 %, or its mean squared error
    by more than one standard error of the difference, taken over the same fruit.

    Parameters
    ----------
    loo : (n,) predictions of every candidate. reference : (n,). simplest_first : names in ``loo``; words of the catalogue.
    """
    squares = {name: np.square(loo[name] - reference) for name in simplest_first}
    rmse = {name: float(np.sqrt(own.mean())) for name, own in squares.items()}
    best, *richer = simplest_first
    for name in richer:
        gain = squares[best] - squares[name]
        sure = gain.mean() > gain.std(ddof=1) / np.sqrt(len(gain))
        if sure or rmse[name] < (1 - MARGIN) * rmse[best]:
            best = name
    return Choice(best, _reason(best, rmse, simplest_first), rmse)


def _reason(best: str, rmse: Mapping[str, float], simplest_first: Sequence[str]) -> str:
    lowest = min(simplest_first, key=lambda name: rmse[name])
    if lowest == best:
        return _("{best} has the lowest error, {rmse:.3f}").format(best=_(best), rmse=rmse[best])
    text = _("{best}, error {rmse:.3f}: {lowest} with {low:.3f} is better by no more than chance, and less simple")
    return text.format(best=_(best), rmse=rmse[best], lowest=_(lowest), low=rmse[lowest])
