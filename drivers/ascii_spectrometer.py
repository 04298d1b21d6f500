"""A spectrometer that speaks in lines of text, as hand-held NIR meters do; ``docs/add_a_driver.md`` walks through this file.

Each line, of either side, is ``BODY*CRC`` and a line feed: CRC is the CRC-16/CCITT-FALSE of BODY, four hex digits.

| asked | answered |
|---|---|
| ``ID?`` | ``ID,model,serial number,pixels,first nm,last nm`` |
| ``IT,us`` integration time; ``TR,0`` free or ``TR,1`` hardware trigger; ``LA,0`` or ``LA,1`` lamp | ``OK`` |
| ``SC`` one scan, at the next trigger | ``SC,number,us of its clock,pixels``, and a line of counts with commas between |
| ``SC`` again before that came | nothing more: it is the same scan |
| anything it does not do | ``ER,why`` |
"""

import binascii
import time
from typing import Annotated, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import LineConfig, Positive, explain
from citrus_grade.drivers.lanes import check_serial, unnamed
from citrus_grade.drivers.link import Link, dial, transfer_ns
from citrus_grade.ports import DeviceError, DeviceGone, Found, Spectrometer, Spectrum
from citrus_grade.words import _

MOST_BYTES: Final = 65536
BROKEN_AT_MOST: Final = 24
AXIS_NM: Final = 5.0
"""The first and last pixel may lie so far from where ``line.toml`` has them."""


class AsciiOptions(BaseModel):
    """Options of ``driver = "ascii"``."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    driver: Literal["ascii"] = "ascii"
    url: str = Field(min_length=1)
    baud: int = Field(default=115200, ge=1200, le=4_000_000)
    serial: str | None = None
    integration_us: int = Field(ge=1, le=60_000_000)
    trigger: Literal["hardware", "free"] = "hardware"
    timeout_ms: Annotated[Positive, Field(le=5000)] = 500.0


def open_spectrometer(config: LineConfig, lane: int) -> Spectrometer:
    """Open the spectrometer of a lane.

    Raises
    ------
    DeviceError : if it is not the one that ``line.toml`` describes. DeviceGone : if nothing answers.
    """
    link, options = _dialled(config, lane)
    return connect(link, options, config)


def look(config: LineConfig, lane: int) -> Found:
    """Ask the spectrometer of a lane who it is, and change nothing in it; see `ports.Found`."""
    link, options = _dialled(config, lane)
    try:
        device = AsciiSpectrometer(link, options, config)
        return Found(f"{device.identity}, {options.url}", unnamed(device.serial, options.serial, lane))
    finally:
        link.close()


def _dialled(config: LineConfig, lane: int) -> tuple[Link, AsciiOptions]:
    assert config.spectrometer is not None
    section: dict[str, Any] = config.spectrometer.device[lane]
    try:
        options = AsciiOptions.model_validate(section)
    except ValidationError as error:
        raise DeviceError("\n".join(f"spectrometer.device.{lane}.{said}" for said in explain(error, AsciiOptions))) from None
    name = _("lane {lane}: the spectrometer at {url}").format(lane=lane, url=options.url)
    return dial(options.url, options.baud, name), options


def connect(link: Link, options: AsciiOptions, config: LineConfig) -> "AsciiSpectrometer":
    """Make the spectrometer of an open link; closes it where that fails. Raises as `open_spectrometer`."""
    try:
        device = AsciiSpectrometer(link, options, config)
        device.start()
    except Exception:
        link.close()
        raise
    return device


def line_of(body: str) -> bytes:
    """Return a line as it is sent."""
    return f"{body}*{binascii.crc_hqx(body.encode('ascii'), 0xFFFF):04X}\n".encode("ascii")


def body_of(line: bytes) -> str | None:
    """Return what a line says, or None if its checksum does not fit."""
    body, _star, crc = line.rpartition(b"*")
    sound = crc.strip() == b"%04X" % binascii.crc_hqx(body, 0xFFFF)
    return body.decode("ascii", "replace") if sound else None


class AsciiSpectrometer:
    """A spectrometer of text; see `ports.Spectrometer`. From `start` on a scan is always asked for."""

    def __init__(self, link: Link, options: AsciiOptions, config: LineConfig) -> None:
        self._link, self._options = link, options
        self._buffer = b""
        self._header: tuple[int, ...] | None = None
        self._broken = self.dropped = 0
        self._shortest = MOST_BYTES
        self._heard_s = time.monotonic()
        model, self.serial, pixels, first_nm, last_nm = self._who()
        self.identity = f"{model} {self.serial}"
        check_serial(link.name, self.serial, options.serial, config)
        self._check_axis(pixels, first_nm, last_nm, config)
        self.wavelength_nm: NDArray[np.float64] = np.linspace(first_nm, last_nm, pixels)

    def start(self) -> None:
        """Set what the options name, and ask for the first scan."""
        self._order(f"IT,{self._options.integration_us}")
        self._order(f"TR,{int(self._options.trigger == 'hardware')}")
        self._scan()

    def grab(self, timeout_s: float) -> Spectrum | None:
        until = time.monotonic() + timeout_s
        while (body := self._next(until)) is not None:
            if body.startswith("ER,"):
                raise self._gone(_("it refuses a scan: {why}").format(why=body[3:]))
            header, self._header = self._header, self._header_of(body)
            if self._header is None:
                self._scan()
                counts = self._counts(body)
                if header is not None and counts is not None:
                    return Spectrum(header[0], header[1] * 1000, time.monotonic_ns(), counts, self._transit_ns(len(body)))
        self._check_silence()
        return None

    def lamp(self, on: bool) -> None:
        """Switch the lamp. Raises DeviceError if there is none, DeviceGone if nothing answers."""
        self._order(f"LA,{int(on)}")
        self._scan()

    def close(self) -> None:
        """Let go of the spectrometer; a second call does nothing."""
        self._link.close()

    def _scan(self) -> None:
        self._heard_s = time.monotonic()
        self._link.write(line_of("SC"))

    def _ask(self, body: str, answer: str) -> list[str]:
        """Ask, and return the fields of an answer that begins with ``answer``; scans that come meanwhile are passed over."""
        self._link.write(line_of(body))
        until = time.monotonic() + self._options.timeout_ms / 1000
        while (said := self._next(until)) is not None:
            fields = said.split(",")
            if fields[0] == answer:
                return fields[1:]
            if fields[0] == "ER":
                raise DeviceError(
                    _("{name} refuses {what}: {why}").format(name=self._link.name, what=body, why=",".join(fields[1:]))
                )
        raise self._gone(_("it was asked for {what}").format(what=body))

    def _order(self, body: str) -> None:
        self._ask(body, "OK")

    def _who(self) -> tuple[str, str, int, float, float]:
        fields = self._ask("ID?", "ID")
        try:
            model, serial, pixels, first_nm, last_nm = fields
            return model, serial, int(pixels), float(first_nm), float(last_nm)
        except ValueError:
            said = _("{name} says {said!r} of itself; ID,model,serial,pixels,first nm,last nm is due")
            raise DeviceError(said.format(name=self._link.name, said=",".join(fields))) from None

    def _check_axis(self, pixels: int, first_nm: float, last_nm: float, config: LineConfig) -> None:
        assert config.spectrometer is not None
        wanted_nm = config.spectrometer.axis_nm
        near = abs(first_nm - wanted_nm[0]) <= AXIS_NM and abs(last_nm - wanted_nm[-1]) <= AXIS_NM
        if pixels != len(wanted_nm) or not near:
            said = _("{name} has {found}, line.toml says {wanted}; correct [spectrometer], or put the right spectrometer there")
            found = _("{pixels} pixels, {first:g} to {last:g} nm")
            raise DeviceError(
                said.format(
                    name=self._link.name,
                    found=found.format(pixels=pixels, first=first_nm, last=last_nm),
                    wanted=found.format(pixels=len(wanted_nm), first=wanted_nm[0], last=wanted_nm[-1]),
                )
            )

    def _next(self, until_s: float) -> str | None:
        """Return the next line, an empty one in place of one that is not sound, or None when it is ``until_s``."""
        while b"\n" not in self._buffer:
            data = self._link.read(1, until_s - time.monotonic())
            self._buffer += data + (self._link.read(4096, 0.0) if data else b"")
            if len(self._buffer) > MOST_BYTES:
                raise self._gone(_("what it sends has no lines; check url and baud"))
            if not data and time.monotonic() >= until_s:
                return None
        line, _lf, self._buffer = self._buffer.partition(b"\n")
        body = body_of(line)
        self._broken = self._broken + 1 if body is None else 0
        self.dropped += body is None
        if self._broken >= BROKEN_AT_MOST:
            raise self._gone(_("no line it sends is sound; check url and baud"))
        return body or ""

    def _header_of(self, body: str) -> tuple[int, ...] | None:
        """Return number, clock and pixels of a scan whose counts are the next line."""
        kind, *fields = body.split(",")
        sound = kind == "SC" and len(fields) == 3 and all(_is_number(field, 18) for field in fields)
        numbers = tuple(map(int, fields)) if sound else (0, 0, 0)
        return numbers if numbers[2] == len(self.wavelength_nm) else None

    def _counts(self, body: str) -> NDArray[np.uint16] | None:
        fields = body.split(",")
        if len(fields) != len(self.wavelength_nm) or not all(_is_number(field, 5) for field in fields):
            return None
        return np.minimum(np.array(fields, np.int64), 65535).astype(np.uint16)

    def _transit_ns(self, n_bytes: int) -> int:
        """Return the least time from the middle of an integration: the shortest text so far has come the soonest."""
        self._shortest = min(self._shortest, n_bytes)
        options = self._options
        return options.integration_us * 500 + transfer_ns(options.url, options.baud, self._shortest)

    def _check_silence(self) -> None:
        """A device that waits for triggers may be silent for any time."""
        longest_s = (self._options.integration_us / 1000 + self._options.timeout_ms) / 1000
        if self._options.trigger == "free" and time.monotonic() - self._heard_s > longest_s:
            raise self._gone(_("no spectrum for {s:g} s").format(s=longest_s))

    def _gone(self, why: str) -> DeviceGone:
        return self._link.gone(why)


def _is_number(field: str, digits: int) -> bool:
    return field.isascii() and field.isdigit() and len(field) <= digits
