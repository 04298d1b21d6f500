"""``plan.toml``: the sort plan, an ordered list of rules; the first whose every condition holds wins.

Size codes of standards overlap, so a plan is a list, not a partition. A guard band moves a cut so that a fruit must clear it
by that much; what no rule takes goes to the default outlet.
"""

import difflib
import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from citrus_grade.config import ConfigError, Number, explain
from citrus_grade.grading.classifier import GradeModel
from citrus_grade.grading.features import CAMERA, N_CAMERA, names
from citrus_grade.words import _

PROBABILITY, CLASS = "probability.", "class."


class _Bound(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    min: Number = -math.inf
    max: Number = math.inf


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    grade: str
    outlets: Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v), Field(min_length=1)]
    guard: dict[str, Number] = Field(default_factory=dict)


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str
    rule: Annotated[tuple[_Rule, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v), Field(min_length=1)]


_BOUND = TypeAdapter(_Bound)


@dataclass(frozen=True, slots=True)
class Plan:
    """A sort plan compiled against the names of a line's features, of its classifier's classes, and of its outlets.

    ``low``, ``high`` (n_rules, n_features + 2 n_classes): half-open, guard bands folded in; behind the features stand each
    class's probability, and 1 for the fruit's class and 0 for the others. ``allowed`` (n_rules, n_outlets): where a rule's fruit
    may go; ``needs_spectrum``: whether any rule asks for a spectral trait, or for a class that is told by one.
    """

    id: str
    name: str
    grades: tuple[str, ...]
    features: tuple[str, ...]
    classes: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    needs_spectrum: bool


def parse(
    text: str,
    targets: tuple[str, ...],
    outlets: tuple[str, ...],
    path: str = "plan.toml",
    classifier: GradeModel | None = None,
) -> Plan:
    """Read a plan, or say everything that is wrong with it at once.

    Parameters
    ----------
    targets : what the spectral model predicts. outlets : names of the fired outlets, in order. classifier : the line's, if any.

    Raises
    ------
    ConfigError : naming file, rule, key, value and remedy of every problem.
    """
    try:
        plan = _Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_("not valid TOML: {error}").format(error=error)]) from error
    except ValidationError as error:
        raise ConfigError(path, explain(error)) from None
    features, classes = names(targets), classifier.classes if classifier else ()
    columns = (*features, *(PROBABILITY + name for name in classes), *(CLASS + name for name in classes))
    shape = (len(plan.rule), len(columns))
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    allowed = np.zeros((len(plan.rule), len(outlets)), np.bool_)
    problems: list[str] = []
    for index, rule in enumerate(plan.rule):
        where = f"rule.{index} ({rule.grade})"
        problems += _outlets(where, rule, outlets, allowed[index])
        conditions = dict(rule.__pydantic_extra__ or {})
        problems += _class(where, conditions.pop("class", None), classes, low[index], high[index])
        problems += _bounds(
            where, _flat(conditions), rule.guard, columns[: len(features) + len(classes)], low[index], high[index]
        )
    if problems:
        raise ConfigError(path, problems)
    bounded = np.isfinite(low) | np.isfinite(high)
    spectral = classifier is not None and not set(CAMERA).issuperset(classifier.features)
    for array in (low, high, allowed):
        array.setflags(write=False)
    return Plan(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        name=plan.name,
        grades=tuple(rule.grade for rule in plan.rule),
        features=features,
        classes=classes,
        low=low,
        high=high,
        allowed=allowed,
        needs_spectrum=bool(bounded[:, N_CAMERA : len(features)].any() or (bounded[:, len(features) :].any() and spectral)),
    )


def load(path: Path, targets: tuple[str, ...], outlets: tuple[str, ...], classifier: GradeModel | None = None) -> Plan:
    """Read ``path``; see `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [_("cannot be read: {error}").format(error=error.strerror)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [_("byte {at} is not UTF-8 text; save it as UTF-8").format(at=error.start)]) from error
    return parse(text, targets, outlets, str(path), classifier)


def _outlets(where: str, rule: _Rule, outlets: tuple[str, ...], allowed: NDArray[np.bool_]) -> list[str]:
    problems = []
    for name in rule.outlets:
        if name in outlets:
            allowed[outlets.index(name)] = True
        else:
            problems.append(
                _("{where}.outlets: the line has no outlet {name!r}; it has {names}").format(
                    where=where, name=name, names=", ".join(map(repr, outlets))
                )
            )
    return problems


def _class(where: str, asked: Any, classes: tuple[str, ...], low: NDArray[np.float64], high: NDArray[np.float64]) -> list[str]:
    """Bound a rule to the classes it asks for: the fruit is none of the others, and its class is known."""
    if asked is None:
        return []
    if not classes:
        return [_("{where}.class: this line has no classifier; name one in line.toml under [files]").format(where=where)]
    if not isinstance(asked, list) or not asked or not all(name in classes for name in asked):
        text = _("{where}.class: {asked!r} is no list of classes; the classifier knows {names}")
        return [text.format(where=where, asked=asked, names=", ".join(map(repr, classes)))]
    low[-len(classes) :] = 0.0
    high[-len(classes) :] = [np.inf if name in asked else 0.5 for name in classes]
    return []


def _flat(conditions: dict[str, Any]) -> dict[str, Any]:
    """Return conditions with each probability under a name of its own, as `parse` names its column."""
    asked = conditions.get("probability")
    if not isinstance(asked, dict):
        return conditions
    others = {name: bound for name, bound in conditions.items() if name != "probability"}
    return others | {PROBABILITY + name: bound for name, bound in asked.items()}


def _bounds(
    where: str,
    conditions: dict[str, Any],
    guards: dict[str, float],
    features: tuple[str, ...],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
) -> list[str]:
    problems = []
    for name in [*conditions, *guards]:
        if name not in features:
            near = difflib.get_close_matches(name, features, n=1)
            text = _("{where}.{name}: this line measures no such thing").format(where=where, name=name)
            known = _("; known are {names}").format(names=", ".join(features))
            problems.append(text + (_("; did you mean {near!r}?").format(near=near[0]) if near else known))
    for name, guard in guards.items():
        if guard < 0:
            text = _("{where}.guard.{name}: {guard:g} would widen the rule; a guard band is 0 or more")
            problems.append(text.format(where=where, name=name, guard=guard))
        if name in features and name not in conditions:
            problems.append(_("{where}.guard.{name}: the rule has no bound on it to guard").format(where=where, name=name))
    for name, value in conditions.items():
        if name not in features:
            continue
        try:
            bound = _BOUND.validate_python(value)
        except ValidationError as error:
            problems += [f"{where}.{name}: {line}" for line in explain(error)]
            continue
        guard = guards.get(name, 0.0)
        at = features.index(name)
        low[at], high[at] = bound.min + guard, bound.max - guard
        if not low[at] < high[at]:
            problems.append(
                _("{where}.{name}: nothing lies between {low:g} and {high:g} (guard band {guard:g} included)").format(
                    where=where, name=name, low=low[at], high=high[at], guard=guard
                )
            )
    return problems
