"""What a spectrometer can be asked for, one function each (message types of the STS and QE Pro data sheets)."""

import math
import struct
from contextlib import suppress
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.ocean.talk import Refused, Talk
from citrus_grade.ports import DeviceError
from citrus_grade.words import _

SERIAL_NUMBER: Final = 0x0000_0100
SERIAL_NUMBER_LENGTH: Final = 0x0000_0101
MODEL: Final = 0x0000_0E11
ABORT: Final = 0x0010_0000
BUFFERED_SPECTRUM: Final = 0x0010_0928
CORRECTED_SPECTRUM: Final = 0x0010_1000
RAW_SPECTRUM: Final = 0x0010_1100
GET_INTEGRATION_US: Final = 0x0011_0000
SET_INTEGRATION_US: Final = 0x0011_0010
SET_TRIGGER: Final = 0x0011_0110
GET_BINNING: Final = 0x0011_0280
SET_BINNING: Final = 0x0011_0290
SET_LAMP: Final = 0x0011_0410
WAVELENGTH_COUNT: Final = 0x0018_0100
WAVELENGTH_COEFFICIENT: Final = 0x0018_0101
NONLINEARITY_COUNT: Final = 0x0018_1100
NONLINEARITY_COEFFICIENT: Final = 0x0018_1101
TEMPERATURE: Final = 0x0040_0001
FREE, HARDWARE = 0, 1
"""Trigger modes: as soon as asked; at the rising edge of the trigger input."""
SPECTRUM_KINDS: Final = {"corrected": CORRECTED_SPECTRUM, "raw": RAW_SPECTRUM, "buffered": BUFFERED_SPECTRUM}
_METADATA: Final = struct.Struct("<LQL16x")
"""Before the pixels of a buffered spectrum: its number, microseconds of the device's clock, integration time (QE Pro)."""
MOST_COEFFICIENTS: Final = 16


class Metadata(NamedTuple):
    """What a device says about a spectrum: its own number of it, and its own clock."""

    number: int
    device_us: int


def serial_number(talk: Talk) -> str:
    """Return the serial number, printable."""
    return _text(talk.ask(_("the serial number"), SERIAL_NUMBER))


def model(talk: Talk) -> str:
    """Return the model, or "spectrometer" of a device that does not say."""
    with suppress(Refused):
        return _text(talk.ask(_("the model"), MODEL)) or "spectrometer"
    return "spectrometer"


def stop(talk: Talk) -> None:
    """Give up an acquisition that is under way; a device that cannot has none."""
    with suppress(Refused):
        talk.order(_("to stop"), ABORT)


def integration_us(talk: Talk) -> int:
    """Return the integration time in us."""
    return int(_unpacked(talk, talk.ask(_("the integration time"), GET_INTEGRATION_US), "<L"))


def set_integration(talk: Talk, us: int) -> None:
    """Set the integration time in us."""
    talk.order(_("an integration time of {us} us").format(us=us), SET_INTEGRATION_US, struct.pack("<L", us))


def set_trigger(talk: Talk, mode: int) -> None:
    """Set the trigger mode, `FREE` or `HARDWARE`."""
    talk.order(_("trigger mode {mode}").format(mode=mode), SET_TRIGGER, bytes([mode]))


def binning(talk: Talk) -> int:
    """Return the binning factor: 2 ** factor pixels of the detector make one."""
    return int(_unpacked(talk, talk.ask(_("the binning factor"), GET_BINNING), "<B"))


def set_binning(talk: Talk, factor: int) -> None:
    """Set the binning factor."""
    talk.order(_("a binning factor of {factor}").format(factor=factor), SET_BINNING, bytes([factor]))


def set_lamp(talk: Talk, on: bool) -> None:
    """Set the lamp-enable output."""
    talk.order(_("to switch the lamp"), SET_LAMP, bytes([on]))


def temperature_c(talk: Talk, sensor: int = 0) -> float:
    """Return what a temperature sensor reads, degrees C; 0 is the detector's."""
    return _unpacked(talk, talk.ask(_("the temperature"), TEMPERATURE, bytes([sensor])), "<f")


def wavelength_coefficients(talk: Talk) -> NDArray[np.float64]:
    """Return the polynomial from pixel to nm, lowest order first."""
    return _coefficients(talk, _("the wavelength coefficients"), WAVELENGTH_COUNT, WAVELENGTH_COEFFICIENT)


def nonlinearity_coefficients(talk: Talk) -> NDArray[np.float64]:
    """Return the polynomial from counts to their relative response, lowest order first."""
    return _coefficients(talk, _("the nonlinearity coefficients"), NONLINEARITY_COUNT, NONLINEARITY_COEFFICIENT)


def spectrum(kind: int, payload: bytes) -> tuple[Metadata | None, NDArray[np.uint16]]:
    """Return the metadata, where the kind of spectrum has it, and the counts (n_pixels,).

    A QE Pro's pixels are 32 bits wide: what exceeds 16 bits becomes 65535, and so is saturated.
    """
    if kind != BUFFERED_SPECTRUM:
        return None, np.frombuffer(payload[: len(payload) // 2 * 2], "<u2").astype(np.uint16)
    if len(payload) < _METADATA.size:
        return None, np.zeros(0, np.uint16)
    number, device_us, _integration = _METADATA.unpack_from(payload)
    wide = np.frombuffer(payload[_METADATA.size : len(payload) // 4 * 4], "<u4")
    return Metadata(number, device_us), np.minimum(wide, 65535).astype(np.uint16)


def spectrum_bytes(kind: int, pixels: int) -> int:
    """Return the size of a spectrum's payload."""
    return _METADATA.size + 4 * pixels if kind == BUFFERED_SPECTRUM else 2 * pixels


def pixel_nm(coefficients: NDArray[np.float64], pixels: int) -> NDArray[np.float64]:
    """Return the wavelength of each pixel, (pixels,)."""
    return _polynomial(coefficients, np.arange(pixels, dtype=np.float64))


def linearised(counts: NDArray[np.uint16], coefficients: NDArray[np.float64]) -> NDArray[np.uint16]:
    """Return counts divided by their relative response, rounded; saturated ones stay as they are."""
    response = _polynomial(coefficients, counts.astype(np.float64))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        straight = np.nan_to_num(np.rint(counts / response), nan=65535.0)
    return np.where(counts == 65535, 65535, np.clip(straight, 0, 65535)).astype(np.uint16)


def _polynomial(coefficients: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    y = np.zeros_like(x)
    for coefficient in coefficients[::-1]:
        y = y * x + coefficient
    return y


def _coefficients(talk: Talk, what: str, count: int, one: int) -> NDArray[np.float64]:
    n = int(_unpacked(talk, talk.ask(what, count), "<B"))
    if not 1 <= n <= MOST_COEFFICIENTS:
        said = _("{name} says that it has {n} coefficients; 1 to {most} can be right")
        raise DeviceError(said.format(name=talk.name, n=n, most=MOST_COEFFICIENTS))
    return np.array([_unpacked(talk, talk.ask(what, one, bytes([k])), "<f") for k in range(n)])


def _unpacked(talk: Talk, payload: bytes, layout: str) -> float:
    """Return the one number of an answer."""
    if len(payload) != struct.calcsize(layout):
        said = _("{name} answered {found} bytes where {wanted} are due")
        raise DeviceError(said.format(name=talk.name, found=len(payload), wanted=struct.calcsize(layout)))
    number: float = struct.unpack(layout, payload)[0]
    if not math.isfinite(number):
        raise DeviceError(_("{name} answered with a number that is none").format(name=talk.name))
    return number


def _text(payload: bytes) -> str:
    text = payload.split(b"\0")[0].decode("ascii", "replace")
    return "".join(letter for letter in text if letter.isprintable()).strip()
