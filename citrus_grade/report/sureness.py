"""A sort plan's probabilities in words: what is asked, and which readings that takes. Imports no drawing."""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from citrus_grade.grading.chance import Chance, readings
from citrus_grade.grading.plan import Plan
from citrus_grade.report.labels import label
from citrus_grade.words import _


def conditions(plan: Plan, residuals: Mapping[str, NDArray[np.float64]]) -> Iterator[tuple[str, str, str]]:
    """Yield grade, condition and the readings that meet it, of every probability a plan asks for; ``residuals`` (n,) sorted, of
    each of the model's targets."""
    for chance in plan.chances:
        found = readings(chance, residuals[chance.target])
        yield plan.grades[chance.rule], asked(chance), between(*found, lambda value: f"{value:.2f}")


def asked(chance: Chance) -> str:
    """Return a condition in words."""
    text = _("{target}: {cuts}, with a probability of {probability:g} at least")
    cuts = between(chance.low, chance.high, lambda value: f"{value:g}")
    return text.format(target=label(chance.target), cuts=cuts, probability=chance.probability)


def between(low: float, high: float, written: Callable[[float], str]) -> str:
    """Return a half-open range in words."""
    if math.isinf(high):
        return _("{low} and more").format(low=written(low))
    if math.isinf(low):
        return _("below {high}").format(high=written(high))
    return _("{low} up to {high}").format(low=written(low), high=written(high))
