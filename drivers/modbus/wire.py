"""Registers over a wire: two requests, bounded in time, and two ways to fail."""

import logging
from collections.abc import Callable
from contextlib import suppress

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.constants import ExcCodes
from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import ReadHoldingRegistersResponse, WriteMultipleRegistersResponse

from citrus_grade.drivers.modbus.options import ModbusOptions, Tcp, endpoint
from citrus_grade.ports import DeviceError, DeviceGone
from citrus_grade.words import _

# What goes wrong reaches people as DeviceError or DeviceGone; the library's own log would say it a second time.
logging.getLogger("pymodbus.logging").setLevel(logging.CRITICAL)

_REFUSED_FOR_GOOD = (ExcCodes.ILLEGAL_FUNCTION, ExcCodes.ILLEGAL_ADDRESS, ExcCodes.ILLEGAL_VALUE)


class Wire:
    """A connection to one PLC. A request takes at most twice ``timeout_ms``; one that failed leaves the connection closed.

    Raises
    ------
    DeviceError : where the PLC refuses what it will refuse again.
    DeviceGone : where it does not answer, or not in Modbus.
    """

    def __init__(self, options: ModbusOptions) -> None:
        self._options = options
        self.client = _client(options)

    def read(self, address: int, words: int) -> list[int]:
        """Return ``words`` holding registers (function 3)."""
        at = self._options.base + address
        got = self._ask(lambda: self.client.read_holding_registers(at, count=words, device_id=self._options.unit), at, words)
        if not isinstance(got, ReadHoldingRegistersResponse) or len(got.registers) != words:
            raise self._gone(_("it answered something else than the {n} registers asked for").format(n=words))
        return [int(word) & 0xFFFF for word in got.registers]

    def write(self, address: int, words: list[int]) -> None:
        """Set holding registers (function 16)."""
        at = self._options.base + address
        got = self._ask(lambda: self.client.write_registers(at, words, device_id=self._options.unit), at, len(words))
        if not isinstance(got, WriteMultipleRegistersResponse) or (got.address, got.count) != (at, len(words)):
            raise self._gone(_("it answered something else than that {n} registers were written").format(n=len(words)))

    def connect(self) -> None:
        """Open the connection, anew if it is open."""
        self.close()
        try:
            connected = self.client.connect()
        except Exception as error:
            raise self._gone(str(error)) from error
        if not connected:
            raise self._gone(_("nothing can be reached there; see to its power and cable, and that url is its address"))

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        # A serial adapter that was pulled out raises where it is closed.
        with suppress(Exception):
            self.client.close()  # type: ignore[no-untyped-call]  # pymodbus leaves it without types

    def _ask(self, request: Callable[[], ModbusPDU], at: int, words: int) -> ModbusPDU:
        if not self.client.connected:
            raise self._gone(_("the connection is closed"))
        try:
            got = request()
        # Malformed frames come out of the library as its own exceptions, struct.error, IndexError and more; none may pass.
        except Exception as error:
            raise self._gone(str(error) or type(error).__name__) from error
        if isinstance(got, ExceptionResponse):
            raise self._refused(got.exception_code, at, words)
        return got

    def _refused(self, code: int, at: int, words: int) -> DeviceError | DeviceGone:
        if code not in _REFUSED_FOR_GOOD:
            return self._gone(_("it answered with Modbus exception {code}").format(code=code))
        return DeviceError(
            _(
                "the PLC at {url} refuses registers {first} to {last} (Modbus exception {code}): load the register map of"
                " docs/plc.md into it as holding registers, or correct base and unit"
            ).format(url=self._options.url, first=at, last=at + words - 1, code=int(code))
        )

    def _gone(self, why: str) -> DeviceGone:
        # A late answer must not be taken for the next one's.
        self.close()
        return DeviceGone(_("the PLC at {url} is gone: {why}").format(url=self._options.url, why=why))


def _client(options: ModbusOptions) -> ModbusTcpClient | ModbusSerialClient:
    at, timeout_s = endpoint(options.url), options.timeout_ms / 1000
    if isinstance(at, Tcp):
        return ModbusTcpClient(at.host, port=at.port, timeout=timeout_s, retries=0)
    return ModbusSerialClient(at.port, baudrate=at.baud, parity=at.parity, stopbits=at.stopbits, timeout=timeout_s, retries=0)
