"""What the values of a configuration are made of: numbers as TOML writes them, and tables that allow no unknown key."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def from_list(value: Any) -> Any:
    """Return a TOML list as the tuple a frozen section holds."""
    return tuple(value) if isinstance(value, list) else value


def from_int(value: Any) -> Any:
    """Return a whole number as a float: TOML's ``30`` is as good as ``30.0``."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[float, BeforeValidator(from_int), Field(allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(from_int), Field(gt=0, allow_inf_nan=False)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(from_list)]


class Section(BaseModel):
    """A table of ``line.toml``: a key it does not know is an error, and it does not change."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
