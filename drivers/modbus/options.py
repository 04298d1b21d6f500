"""The section of ``line.toml`` that says where the PLC is."""

from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from citrus_grade.config import ConfigError, Number, Positive, explain
from citrus_grade.words import _

TCP_PORT = 502
BAUD = 115200


class ModbusOptions(BaseModel):
    """Where the PLC is and how long to wait for it. ``base`` is the address of the map's first register in the PLC."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    driver: Literal["modbus"] = "modbus"
    url: str
    unit: int = Field(default=1, ge=0, le=247)
    base: int = Field(default=0, ge=0, le=60000)
    timeout_ms: Annotated[Positive, Field(le=5000)] = 200.0
    hold_cups: Annotated[Number, Field(gt=0, le=0.9)] = 0.5

    @field_validator("url")
    @classmethod
    def _usable(cls, value: str) -> str:
        endpoint(value)
        return value


class Tcp(BaseModel):
    """A PLC on the network."""

    host: str
    port: int


class Rtu(BaseModel):
    """A PLC on a serial line: ``port`` is a device or whatever else pyserial's ``serial_for_url`` opens."""

    port: str
    baud: int = Field(ge=300, le=4_000_000)
    parity: Literal["N", "E", "O"]
    stopbits: int = Field(ge=1, le=2)


Endpoint = Tcp | Rtu


def endpoint(url: str) -> Endpoint:
    """Read ``tcp://HOST:PORT`` or ``rtu:///dev/ttyUSB0?baud=115200&parity=E&stopbits=1``.

    Raises
    ------
    ValueError : saying what is wrong with it.
    """
    example = _("write tcp://192.168.1.10:502 or rtu:///dev/ttyUSB0?baud=115200")
    try:
        parts = urlsplit(url)
        if parts.scheme == "tcp" and parts.hostname and not parts.path and not parts.query:
            return Tcp(host=parts.hostname, port=TCP_PORT if parts.port is None else parts.port)
        if parts.scheme == "rtu" and parts.path and not parts.netloc:
            given = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
            if given.keys() <= {"baud", "parity", "stopbits"}:
                return Rtu.model_validate({"port": parts.path, "baud": BAUD, "parity": "N", "stopbits": 1} | given)
    except ValueError as error:
        raise ValueError(_("{url}: {why}; {example}").format(url=url, why=_reason(error), example=example)) from None
    raise ValueError(_("{url} names no PLC; {example}").format(url=url, example=example))


def _reason(error: ValueError) -> str:
    return "; ".join(explain(error, Rtu)) if isinstance(error, ValidationError) else str(error)


def options_of(section: dict[str, Any], where: str = "[plc]") -> ModbusOptions:
    """Check a section of ``line.toml``.

    Raises
    ------
    ConfigError : naming each bad key.
    """
    try:
        return ModbusOptions.model_validate(section)
    except ValidationError as error:
        raise ConfigError(where, explain(error, ModbusOptions)) from None
