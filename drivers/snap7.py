"""The line's PLC as a Siemens S7: the register map of ``docs/plc.md`` in a data block, one word a register, over ISO on TCP."""

import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import ConfigError, LineConfig, Number, Positive, explain
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import ModbusPlc, connect
from citrus_grade.drivers.modbus.look import look_at
from citrus_grade.ports import DeviceError, DeviceGone, Found
from citrus_grade.words import _

if TYPE_CHECKING:
    from snap7 import Client

# What goes wrong reaches people as DeviceError or DeviceGone; the library's own log would say it a second time.
logging.getLogger("snap7").setLevel(logging.CRITICAL)


CONNECT_S: Final = 0.6
"""It takes three steps to connect, and a process of a live line that is silent for 2 s is started again."""


class S7Options(BaseModel):
    """Where the PLC is, and in which data block the map lies from byte 0 on."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    driver: Literal["s7"] = "s7"
    host: str
    port: int = Field(default=102, ge=1, le=65535)
    rack: int = Field(default=0, ge=0, le=7)
    slot: int = Field(default=1, ge=0, le=31)
    db: int = Field(ge=1, le=60999)
    timeout_ms: Annotated[Positive, Field(le=5000)] = 200.0
    hold_cups: Annotated[Number, Field(gt=0, le=0.9)] = 0.5

    @property
    def url(self) -> str:
        """Where it is, for messages."""
        return f"s7://{self.host}:{self.port}/DB{self.db}"


def open_plc(config: LineConfig) -> ModbusPlc:
    """Open the S7 that ``[plc]`` of a line names; see `open_at`."""
    return open_at(config.plc, config)


def open_at(section: dict[str, Any], config: LineConfig) -> ModbusPlc:
    """Open the S7 that a section of ``line.toml`` names; raises as `modbus.client.open_at`."""
    options = options_of(section)
    return connect(_reached(options), options, config)


def look(config: LineConfig) -> Found:
    """Look at the S7 that ``[plc]`` of a line names; see `ports.Found`."""
    options = options_of(config.plc)
    return look_at(_reached(options), options.url, config)


def _reached(options: S7Options) -> "DataBlock":
    """Open the connection, and see that the block is long enough: its end is read only when reports come."""
    block = DataBlock(options)
    block.connect()
    block.read(m.MAP_WORDS - 1, 1)
    return block


def options_of(section: dict[str, Any]) -> S7Options:
    """Check a section of ``line.toml``.

    Raises
    ------
    ConfigError : naming each bad key.
    """
    try:
        return S7Options.model_validate(section)
    except ValidationError as error:
        raise ConfigError("[plc]", explain(error, S7Options)) from None


class DataBlock:
    """Registers as words of a data block; see `modbus.look.Registers`.

    What is longer than one telegram travels in several: the map's own marks show what arrived only in part.
    """

    def __init__(self, options: S7Options) -> None:
        self._options = options
        self.client = _client()
        self._served: set[tuple[str, int]] = set()

    def read(self, address: int, words: int) -> list[int]:
        """Return registers."""
        try:
            raw = bytes(self.client.db_read(self._options.db, 2 * address, 2 * words))
        # Malformed telegrams come out of the library as struct.error, IndexError and more; none may pass.
        except Exception as error:
            raise self._failed(error, "read", address, words) from error
        if len(raw) != 2 * words:
            raise self._gone(_("it answered {got} bytes instead of {wanted}").format(got=len(raw), wanted=2 * words))
        self._served.add(("read", address))
        return [raw[at] << 8 | raw[at + 1] for at in range(0, len(raw), 2)]

    def write(self, address: int, words: list[int]) -> None:
        """Set registers."""
        raw = bytearray(byte for word in words for byte in word.to_bytes(2, "big"))
        try:
            self.client.db_write(self._options.db, 2 * address, raw)
        except Exception as error:
            raise self._failed(error, "write", address, len(words)) from error
        self._served.add(("write", address))

    def connect(self) -> None:
        """Open the connection, anew if it is open; gives up after some `CONNECT_S`."""
        self.close()
        try:
            self.client.connect(self._options.host, self._options.rack, self._options.slot, self._options.port)
            _bound(self.client, self._options.timeout_ms / 1000)
        except Exception as error:
            raise self._gone(str(error)) from error

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        with suppress(Exception):
            self.client.disconnect()

    def _failed(self, error: Exception, verb: str, address: int, words: int) -> DeviceError | DeviceGone:
        """What it has never served it will refuse again; what it has, it may serve again."""
        from snap7.error import S7ProtocolError

        if type(error) is S7ProtocolError and (verb, address) not in self._served:
            self.close()
            return DeviceError(
                _(
                    "the PLC at {url} refuses bytes {first} to {last} of its data block: {why}; load the map of docs/plc.md into"
                    " it, all {all} bytes, without optimized access and not write-protected, and permit PUT/GET"
                ).format(url=self._options.url, first=2 * address, last=2 * (address + words) - 1, why=error, all=2 * m.MAP_WORDS)
            )
        return self._gone(str(error) or type(error).__name__)

    def _gone(self, why: str) -> DeviceGone:
        self.close()
        return DeviceGone(_("the PLC at {url} is gone: {why}").format(url=self._options.url, why=why))


def _client() -> "Client":
    """Return a client of the library that waits no longer than `CONNECT_S` for each step of connecting."""
    try:
        from snap7 import Client
    except ImportError as error:
        raise DeviceError(_("an S7 needs python-snap7: pip install 'citrus-grade[s7]'")) from error

    class Quick(Client):
        """Its connection is handed over before it connects, and has a time of its own for that."""

        def __setattr__(self, name: str, value: Any) -> None:
            if name == "connection" and value is not None:
                value.connect = partial(value.connect, CONNECT_S)
            super().__setattr__(name, value)

    client = Quick()
    # It would ask the PLC for more than we need.
    client.use_optimizer = False
    return client


def _bound(client: "Client", timeout_s: float) -> None:
    """Wait for answers as long as configured: the library has one time for connecting and answering."""
    connection = client.connection
    if connection is not None and connection.socket is not None:
        connection.timeout = timeout_s
        connection.socket.settimeout(timeout_s)
