"""``plan.toml``: the sort plan, an ordered list of rules; the first whose every condition holds wins.

Size codes of standards overlap, so a plan is a list, not a partition. A guard band moves a cut so that a fruit must clear it
by that much; what no rule takes goes to the default outlet.
"""

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from citrus_grade.config import ConfigError, Number, explain
from citrus_grade.grading.chance import Chance, objection
from citrus_grade.grading.classifier import GradeModel
from citrus_grade.grading.conditions import Bounds, Known, bounds_of
from citrus_grade.grading.features import CAMERA, N_CAMERA, names
from citrus_grade.words import _

Floats = NDArray[np.float64]


class _Rule(BaseModel):
    model_config = ConfigDict(extra="allow", strict=True, frozen=True)
    grade: str
    outlets: Annotated[tuple[str, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v), Field(min_length=1)]
    guard: dict[str, Number] = Field(default_factory=dict)


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    name: str
    rule: Annotated[tuple[_Rule, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v), Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Plan:
    """A sort plan compiled against the names of a line's features, of its classifier's classes, and of its outlets.

    ``low``, ``high`` (n_rules, n_features + 2 n_classes + n_chances): half-open, guard bands folded in; behind the features
    stand each class's probability, then 1 for the fruit's class and 0 for the others, then the probability of each of
    ``chances``. ``allowed`` (n_rules, n_outlets): where a rule's fruit may go; ``asks_inside``, ``asks_class``: whether any rule
    asks for what a spectral model says, or for a class.
    """

    id: str
    name: str
    grades: tuple[str, ...]
    features: tuple[str, ...]
    classes: tuple[str, ...]
    chances: tuple[Chance, ...]
    low: Floats
    high: Floats
    allowed: NDArray[np.bool_]
    asks_inside: bool
    asks_class: bool

    def needs_spectrum(self, classifier: GradeModel | None) -> bool:
        """Whether any rule asks for a spectral trait, or for a class that this classifier tells by one."""
        inside = classifier is not None and not set(CAMERA).issuperset(classifier.features)
        return self.asks_inside or (self.asks_class and inside)


def parse(
    text: str,
    targets: tuple[str, ...],
    outlets: tuple[str, ...],
    path: str = "plan.toml",
    classifier: GradeModel | None = None,
    residuals: Mapping[str, Floats] | None = None,
) -> Plan:
    """Read a plan, or say everything that is wrong with it at once.

    Parameters
    ----------
    targets : what the spectral model predicts. outlets : names of the fired outlets, in order. classifier : the line's, if any.
    residuals : (n,) sorted, of each target that has any: what a rule's probability is read from.

    Raises
    ------
    ConfigError : naming file, rule, key, value and remedy of every problem.
    """
    try:
        plan = _Plan.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_("not valid TOML: {error}").format(error=error)]) from error
    except ValidationError as error:
        raise ConfigError(path, explain(error, _Plan)) from None
    known = Known(names(targets), classifier.classes if classifier else (), targets)
    allowed = np.zeros((len(plan.rule), len(outlets)), np.bool_)
    problems: list[str] = []
    made = []
    for index, rule in enumerate(plan.rule):
        where = f"rule.{index} ({rule.grade})"
        own = bounds_of(index, where, dict(rule.__pydantic_extra__ or {}), rule.guard, known)
        problems += [*_outlets(where, rule, outlets, allowed[index]), *own.problems]
        problems += [
            f"{where}.{chance.target}.probability: {chance.probability:g}: {problem}"
            for chance in own.chances
            if (problem := objection(chance, residuals or {}))
        ]
        made.append(own)
    if problems:
        raise ConfigError(path, problems)
    return _compiled(hashlib.sha256(text.encode()).hexdigest()[:16], plan, known, made, allowed)


def _compiled(plan_id: str, plan: _Plan, known: Known, made: Sequence[Bounds], allowed: NDArray[np.bool_]) -> Plan:
    chances = tuple(chance for own in made for chance in own.chances)
    sure = np.full((len(made), len(chances)), -np.inf)
    for k, chance in enumerate(chances):
        sure[chance.rule, k] = chance.probability
    low = np.hstack([np.stack([own.low for own in made]), sure])
    high = np.hstack([np.stack([own.high for own in made]), np.full_like(sure, np.inf)])
    bounded, n = (np.isfinite(low) | np.isfinite(high)).any(0), len(known.features)
    for array in (low, high, allowed):
        array.setflags(write=False)
    return Plan(
        id=plan_id,
        name=plan.name,
        grades=tuple(rule.grade for rule in plan.rule),
        features=known.features,
        classes=known.classes,
        chances=chances,
        low=low,
        high=high,
        allowed=allowed,
        asks_inside=bool(chances) or bool(bounded[N_CAMERA:n].any()),
        asks_class=bool(bounded[n : n + 2 * len(known.classes)].any()),
    )


def load(
    path: Path,
    targets: tuple[str, ...],
    outlets: tuple[str, ...],
    classifier: GradeModel | None = None,
    residuals: Mapping[str, Floats] | None = None,
) -> Plan:
    """Read ``path``; see `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [_("cannot be read: {error}").format(error=error.strerror)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [_("byte {at} is not UTF-8 text; save it as UTF-8").format(at=error.start)]) from error
    return parse(text, targets, outlets, str(path), classifier, residuals)


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


def misfits(plan: Plan, residuals: Mapping[str, Floats], classifier: GradeModel | None) -> list[str]:
    """Return why a plan cannot sort by a classifier and a model with these residuals of its targets; nothing if it can."""
    features, classes = names(tuple(residuals)), classifier.classes if classifier else ()
    problems = []
    if plan.features != features:
        problems.append(f"the plan is not for a model that predicts {', '.join(residuals) or 'nothing'}")
    if plan.classes != classes:
        problems.append(f"the plan asks for classes {plan.classes}, not those of the line's classifier, {classes}")
    unseen = [name for name in classifier.features if name not in features] if classifier else []
    if unseen:
        problems.append(f"the classifier looks at {', '.join(unseen)}, which this line does not measure")
    return problems + [problem for chance in plan.chances if (problem := objection(chance, residuals))]
