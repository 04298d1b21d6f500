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
from citrus_grade.grading.features import N_CAMERA, names
from citrus_grade.words import _


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
    """A sort plan compiled against the names of a line's features and outlets.

    ``low``, ``high`` (n_rules, n_features): half-open, guard bands folded in; ``allowed`` (n_rules, n_outlets): where a
    rule's fruit may go; ``needs_spectrum``: whether any rule asks for a spectral trait.
    """

    id: str
    name: str
    grades: tuple[str, ...]
    features: tuple[str, ...]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    needs_spectrum: bool


def parse(text: str, targets: tuple[str, ...], outlets: tuple[str, ...], path: str = "plan.toml") -> Plan:
    """Read a plan, or say everything that is wrong with it at once.

    Parameters
    ----------
    targets : what the spectral model predicts. outlets : names of the fired outlets, in order.

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
    features = names(targets)
    shape = (len(plan.rule), len(features))
    low, high = np.full(shape, -np.inf), np.full(shape, np.inf)
    allowed = np.zeros((len(plan.rule), len(outlets)), np.bool_)
    problems: list[str] = []
    for index, rule in enumerate(plan.rule):
        where = f"rule.{index} ({rule.grade})"
        problems += _outlets(where, rule, outlets, allowed[index])
        problems += _bounds(where, rule, features, low[index], high[index])
    if problems:
        raise ConfigError(path, problems)
    bounded = np.isfinite(low) | np.isfinite(high)
    for array in (low, high, allowed):
        array.setflags(write=False)
    return Plan(
        id=hashlib.sha256(text.encode()).hexdigest()[:16],
        name=plan.name,
        grades=tuple(rule.grade for rule in plan.rule),
        features=features,
        low=low,
        high=high,
        allowed=allowed,
        needs_spectrum=bool(bounded[:, N_CAMERA:].any()),
    )


def load(path: Path, targets: tuple[str, ...], outlets: tuple[str, ...]) -> Plan:
    """Read ``path``; see `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [_("cannot be read: {error}").format(error=error.strerror)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [_("byte {at} is not UTF-8 text; save it as UTF-8").format(at=error.start)]) from error
    return parse(text, targets, outlets, str(path))


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


def _bounds(where: str, rule: _Rule, features: tuple[str, ...], low: NDArray[np.float64], high: NDArray[np.float64]) -> list[str]:
    problems = []
    conditions: dict[str, Any] = rule.__pydantic_extra__ or {}
    for name in [*conditions, *rule.guard]:
        if name not in features:
            near = difflib.get_close_matches(name, features, n=1)
            text = _("{where}.{name}: this line measures no such thing").format(where=where, name=name)
            known = _("; known are {names}").format(names=", ".join(features))
            problems.append(text + (_("; did you mean {near!r}?").format(near=near[0]) if near else known))
    for name, guard in rule.guard.items():
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
        guard = rule.guard.get(name, 0.0)
        at = features.index(name)
        low[at], high[at] = bound.min + guard, bound.max - guard
        if not low[at] < high[at]:
            problems.append(
                _("{where}.{name}: nothing lies between {low:g} and {high:g} (guard band {guard:g} included)").format(
                    where=where, name=name, low=low[at], high=high[at], guard=guard
                )
            )
    return problems
