"""``[references]`` and ``[[command]]``: how a running line's spectral references are kept true, and what is asked of it when."""

from typing import Annotated, Final, Literal

from pydantic import BeforeValidator, Field

from citrus_grade.config.fields import Positive, Section, from_int
from citrus_grade.messages import Position

_NotNegative = Annotated[float, BeforeValidator(from_int), Field(ge=0, allow_inf_nan=False)]

SHUTTER_OF: Final = {"dark_refresh": Position.CLOSED, "white_refresh": Position.ATTENUATOR}
"""Where a command of this kind sends shutters."""


class ReferencesSection(Section):
    """When a new dark or white is refused, and when the watch over lamps and spectra speaks; see `spectra.references` and
    `spectra.watch`."""

    scans: int = Field(default=32, ge=3, le=256)
    patience_cups: int = Field(default=60, ge=1)
    dark_light_pct: Positive = Field(default=2.0, le=100)
    dark_noise_pct: Positive = Field(default=0.2, le=100)
    white_change_pct: Positive = Field(default=60.0, lt=100)
    white_shape_pct: Positive = Field(default=30.0, le=100)
    white_noise_pct: Positive = Field(default=3.0, le=100)
    lamp_level_pct: Positive = Field(default=10.0, le=100)
    lamp_colour_pct: Positive = Field(default=2.0, le=100)
    unlike_times: Positive = Field(default=2.5, gt=1)


class CommandSection(Section):
    """A command that the running line is given ``at_min`` minutes after its start, and every ``every_min`` from then on."""

    kind: Literal["dark_refresh", "white_refresh", "lot", "lane_on", "lane_off"]
    value: str = ""
    at_min: _NotNegative
    every_min: Positive | None = None
