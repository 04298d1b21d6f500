"""What line.toml says of a GenICam camera, whichever way it is reached."""

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, TypeAdapter, ValidationError

from citrus_grade.config import Positive, explain
from citrus_grade.ports import DeviceError
from citrus_grade.words import _


def _one_value(value: Any) -> Any:
    fits = isinstance(value, bool | str) or (isinstance(value, int) and abs(value) < 1 << 63)
    if not (fits or (isinstance(value, float) and math.isfinite(value))):
        raise ValueError(_("must be one number, one text in quotes, true or false"))
    return value


Name = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
Value = Annotated[bool | int | float | str, PlainValidator(_one_value)]
Parameters = dict[Name, Value]
_PARAMETERS: TypeAdapter[Parameters] = TypeAdapter(Parameters, config=ConfigDict(strict=True))


class CameraOptions(BaseModel):
    """How the camera is triggered and set.

    ``trigger`` "hardware": a pulse a pitch at the camera's ``trigger_source``; "free": as often as the camera is set to.
    ``count_chunk``: the chunk that numbers the frames, "FrameID" or "CounterValue", in place of the transport's own number.
    ``parameter_file``: a TOML file of GenICam features and values, set in its order, then ``parameters``, in theirs; a command is
    carried out, whatever its value. ``answer_s``: how long a camera may take to answer before it counts as gone.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    driver: str
    serial: str | None = Field(default=None, min_length=1)
    trigger: Literal["hardware", "free"] = "hardware"
    trigger_source: Name = "Line1"
    trigger_activation: Name = "RisingEdge"
    count_chunk: Name | None = None
    parameter_file: str | None = None
    parameters: Parameters = Field(default_factory=dict)
    answer_s: Positive = Field(default=0.4, le=10)

    def all_parameters(self, where: str) -> Parameters:
        """Return what is to be set, in order.

        Raises
        ------
        DeviceError : if the file cannot be used.
        """
        return (read_parameters(Path(self.parameter_file), where) if self.parameter_file else {}) | self.parameters


class GigeOptions(CameraOptions):
    """A camera on the network: by its ``serial`` number, its ``address``, or both. ``packet_size`` in bytes, headers included, as
    GevSCPSPacketSize; left out, the camera's own. ``discover_s``: how long cameras have to answer a call for all."""

    driver: Literal["genicam"] = "genicam"
    address: Annotated[str, BeforeValidator(lambda value: _dotted(value))] | None = None
    packet_size: int | None = Field(default=None, ge=576, le=65535)
    packet_delay_us: Positive | None = Field(default=None, le=1000)
    discover_s: Positive = Field(default=0.3, le=10)


def _dotted(value: Any) -> Any:
    parts = value.split(".") if isinstance(value, str) else []
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 4 and int(part) < 256 for part in parts):
        raise ValueError(_('must be an IPv4 address such as "192.168.10.11"'))
    return value


Options = TypeVar("Options", bound=CameraOptions)


def options_of(kind: type[Options], section: Mapping[str, Any], where: str) -> Options:
    """Check a camera's section.

    Raises
    ------
    DeviceError : naming each bad key.
    """
    try:
        return kind.model_validate(section)
    except ValidationError as error:
        raise DeviceError("\n".join(f"{where}.{problem}" for problem in explain(error, kind))) from None


def read_parameters(path: Path, where: str) -> Parameters:
    """Read a file of features and values.

    Raises
    ------
    DeviceError : if it cannot be read, or holds anything else.
    """
    if not path.is_absolute():
        raise DeviceError(
            _("{where}.parameter_file: {path} must be an absolute path; a run reads a copy of line.toml elsewhere").format(
                where=where, path=path
            )
        )
    try:
        return parse_parameters(path.read_bytes())
    except (OSError, ValueError) as error:
        raise DeviceError(
            _("{where}.parameter_file: {path}: {error}; write one feature a line: ExposureTime = 2000.0").format(
                where=where, path=path, error=error
            )
        ) from None


def parse_parameters(data: bytes) -> Parameters:
    """Return features and values, in order, of a flat TOML document.

    Raises
    ------
    ValueError : if it is anything else.
    """
    try:
        return _PARAMETERS.validate_python(tomllib.loads(data.decode("utf-8-sig")))
    except ValidationError as error:
        raise ValueError("; ".join(explain(error, CameraOptions))) from None
    except RecursionError:
        raise ValueError(_("brackets are nested too deep")) from None


def fuzz(data: bytes) -> None:
    """Feed any bytes to the only parser of a camera's that is ours: whatever they are, a `ValueError` at worst."""
    try:
        parsed = parse_parameters(data)
    except ValueError:
        return
    assert all(isinstance(value, bool | int | float | str) for value in parsed.values())
