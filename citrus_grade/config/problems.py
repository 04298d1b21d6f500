"""A configuration that cannot be run, told to people: where, what was given, what to do."""

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from citrus_grade.words import N_, _


class ConfigError(ValueError):
    """A configuration that cannot be run; ``problems`` names each place, value and remedy."""

    def __init__(self, path: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def explain(error: ValidationError, table: type[BaseModel]) -> list[str]:
    """Return one line for people a problem of a pydantic validation of a ``table``."""
    return [_explain(dict(problem), table) for problem in error.errors()]


def _explain(problem: dict[str, Any], table: type[BaseModel]) -> str:
    loc = tuple(problem["loc"])
    where = ".".join(map(str, loc))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _keys(table, loc[:-1]), n=1)
        hint = _("; did you mean {near!r}?").format(near=near[0]) if near else ""
        return _("{where}: unknown key").format(where=where) + hint
    if problem["type"] == "missing":
        return _("{where}: is missing").format(where=where)
    known = _SAID.get(problem["type"])
    message = _(known).format(**problem.get("ctx", {})) if known else str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {problem['input']!r}: {message}"


_SAID = {
    "greater_than": N_("must be above {gt}"),
    "greater_than_equal": N_("must be at least {ge}"),
    "less_than": N_("must be below {lt}"),
    "less_than_equal": N_("must be at most {le}"),
    "multiple_of": N_("must be a multiple of {multiple_of}"),
    "finite_number": N_("must be a finite number"),
    "int_type": N_("must be a whole number, without quotes"),
    "float_type": N_("must be a number, without quotes"),
    "string_type": N_("must be text, in quotes"),
    "bool_type": N_("must be true or false"),
    "tuple_type": N_("must be a list in square brackets"),
    "dict_type": N_("must be a table"),
    "model_type": N_("must be a table"),
    "literal_error": N_("must be one of {expected}"),
    "too_short": N_("needs at least {min_length}"),
}
"""How people are told of pydantic's kinds of error."""


def _keys(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _section_of(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _section_of(arg))), None)
