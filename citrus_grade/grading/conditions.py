"""The conditions of one rule: what a grader wrote -> bounds on columns, and all that is wrong with them."""

import difflib
import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from citrus_grade.config import Number, explain
from citrus_grade.grading.chance import Chance
from citrus_grade.words import _

PROBABILITY: Final = "probability."


class _Bound(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    min: Number = -math.inf
    max: Number = math.inf
    probability: Number | None = Field(default=None, gt=0, lt=1)


_BOUND = TypeAdapter(_Bound)


@dataclass(frozen=True, slots=True)
class Known:
    """What a rule may ask for: features of a fruit, the classes of its classifier, and the targets of its model."""

    features: tuple[str, ...]
    classes: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what can be bounded: the features, then each class's probability."""
        return (*self.features, *(PROBABILITY + name for name in self.classes))


@dataclass(frozen=True, slots=True, eq=False)
class Bounds:
    """A rule's conditions: ``low`` and ``high`` (n_columns + n_classes,), the last 1 for the fruit's class and 0 for others;
    ``chances`` beside them, and what is wrong."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    chances: list[Chance] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def bounds_of(rule: int, where: str, conditions: dict[str, Any], guards: dict[str, float], known: Known) -> Bounds:
    """Return what rule number ``rule`` asks of a fruit; ``where`` names it to people."""
    n = len(known.columns) + len(known.classes)
    made = Bounds(np.full(n, -np.inf), np.full(n, np.inf))
    own = dict(conditions)
    _class(where, own.pop("class", None), known.classes, made)
    flat = _flat(own)
    made.problems.extend(_names(where, flat, guards, known.columns))
    for name, value in flat.items():
        if name in known.columns:
            _bound(rule, where, name, value, guards.get(name), known, made)
    return made


def _class(where: str, asked: Any, classes: tuple[str, ...], made: Bounds) -> None:
    """Bound a rule to the classes it asks for: the fruit is none of the others, and its class is known."""
    if asked is None:
        return
    if not classes:
        text = _("{where}.class: this line has no classifier; name one in line.toml under [files]")
        made.problems.append(text.format(where=where))
    elif not isinstance(asked, list) or not asked or not all(name in classes for name in asked):
        text = _("{where}.class: {asked!r} is no list of classes; the classifier knows {names}")
        made.problems.append(text.format(where=where, asked=asked, names=", ".join(map(repr, classes))))
    else:
        made.low[-len(classes) :] = 0.0
        made.high[-len(classes) :] = [np.inf if name in asked else 0.5 for name in classes]


def _flat(conditions: dict[str, Any]) -> dict[str, Any]:
    """Return conditions with each probability of a class under a name of its own, as `Known.columns` has it."""
    asked = conditions.get("probability")
    if not isinstance(asked, dict):
        return conditions
    others = {name: bound for name, bound in conditions.items() if name != "probability"}
    return others | {PROBABILITY + name: bound for name, bound in asked.items()}


def _names(where: str, conditions: dict[str, Any], guards: dict[str, float], columns: tuple[str, ...]) -> list[str]:
    problems = []
    for name in [*conditions, *guards]:
        if name not in columns:
            near = difflib.get_close_matches(name, columns, n=1)
            text = _("{where}.{name}: this line measures no such thing").format(where=where, name=name)
            known = _("; known are {names}").format(names=", ".join(columns))
            problems.append(text + (_("; did you mean {near!r}?").format(near=near[0]) if near else known))
    for name, guard in guards.items():
        if guard < 0:
            text = _("{where}.guard.{name}: {guard:g} would widen the rule; a guard band is 0 or more")
            problems.append(text.format(where=where, name=name, guard=guard))
        if name in columns and name not in conditions:
            problems.append(_("{where}.guard.{name}: the rule has no bound on it to guard").format(where=where, name=name))
    return problems


def _bound(rule: int, where: str, name: str, value: Any, guard: float | None, known: Known, made: Bounds) -> None:
    try:
        bound = _BOUND.validate_python(value)
    except ValidationError as error:
        made.problems.extend(f"{where}.{name}: {line}" for line in explain(error, _Bound))
        return
    band = guard or 0.0
    low, high = bound.min + band, bound.max - band
    if not low < high:
        made.problems.append(
            _("{where}.{name}: nothing lies between {low:g} and {high:g} (guard band {guard:g} included)").format(
                where=where, name=name, low=low, high=high, guard=band
            )
        )
    elif bound.probability is None:
        at = known.columns.index(name)
        made.low[at], made.high[at] = low, high
    elif problem := _no_chance(where, name, bound, guard, known):
        made.problems.append(problem)
    else:
        made.chances.append(Chance(rule, name, low, high, bound.probability))


def _no_chance(where: str, name: str, bound: _Bound, guard: float | None, known: Known) -> str:
    """Return why a bound cannot ask for a probability, "" if it can."""
    if name not in known.targets:
        return _("{where}.{name}.probability: it is known only of what the model predicts: {names}").format(
            where=where, name=name, names=", ".join(known.targets) or "-"
        )
    if math.isinf(bound.min) and math.isinf(bound.max):
        text = _("{where}.{name}.probability: of what? give a min or a max beside it")
        return text.format(where=where, name=name)
    if guard is not None:
        text = _("{where}.{name}: has a guard band and a probability, which is a guard band by itself; leave one out")
        return text.format(where=where, name=name)
    return ""
