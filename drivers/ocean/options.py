"""The section of ``line.toml`` that says where a lane's spectrometer is, and how it measures."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import Number, Positive, explain
from citrus_grade.ports import DeviceError

TCP_PORT = 57357


class OceanOptions(BaseModel):
    """Options of ``driver = "oceanbinary"``; `docs/spectrometers.md` says what each does."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    driver: Literal["oceanbinary"] = "oceanbinary"
    url: str = Field(min_length=1)
    baud: int = Field(default=115200, ge=1200, le=4_000_000)
    serial: str | None = None
    integration_us: int = Field(ge=1, le=60_000_000)
    trigger: Literal["hardware", "free"] = "hardware"
    spectrum: Literal["corrected", "raw", "buffered"] = "corrected"
    binning: int | None = Field(default=None, ge=0, le=8)
    nonlinearity: bool = False
    checksum: bool = True
    timeout_ms: Annotated[Positive, Field(le=5000)] = 500.0
    silent_s: Annotated[Positive, Field(le=3600)] | None = None
    axis_nm: Annotated[Number, Field(ge=0, le=500)] = 5.0

    @property
    def timeout_s(self) -> float:
        """How long an answer may take."""
        return self.timeout_ms / 1000


def options_of(section: dict[str, Any], where: str) -> OceanOptions:
    """Check a device's section.

    Raises
    ------
    DeviceError : naming each bad key.
    """
    try:
        return OceanOptions.model_validate(section)
    except ValidationError as error:
        raise DeviceError("\n".join(f"{where}.{problem}" for problem in explain(error, OceanOptions))) from None
