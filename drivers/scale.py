"""A box scale on a serial line, or on a network behind a serial server, that sends its readings without being asked."""

import time
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import ConfigError, explain
from citrus_grade.drivers.link import dial
from citrus_grade.drivers.scale_formats import FORMATS, State
from citrus_grade.ports import DeviceError, Found
from citrus_grade.words import _

GARBLED_BYTES: Final = 512
"""So many bytes without a reading are no noise: format or baud are wrong."""
LONGEST_FRAME: Final = 32
MOST_BYTES: Final = 4096
SHOWN_BYTES: Final = 24
LOOK_S: Final = 2.0


class ScaleOptions(BaseModel):
    """Where the scale is and what it sends. ``url`` : whatever pyserial opens, a device or ``socket://HOST:PORT``.

    ``silent_s`` : a scale that sends nothing for so long is gone; 0 of one that sends only when somebody presses its key.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    driver: Literal["serial"] = "serial"
    url: str
    baud: int = Field(default=9600, ge=300, le=921600)
    bits: Literal[7, 8] = 8
    parity: Literal["N", "E", "O"] = "N"
    format: Literal["st,gs", "xor", "status", "status,sum"] = "st,gs"
    unit: Literal["g", "kg", "t", "lb"] = "kg"
    silent_s: float = Field(default=5.0, ge=0, le=3600)


class Mass(NamedTuple):
    """A reading: ``t_ns`` is the host's `time.monotonic_ns` at arrival."""

    t_ns: int
    mass_g: float
    state: State


def open_scale(section: dict[str, Any]) -> "SerialScale":
    """Open the scale that a section of ``line.toml`` names.

    Raises
    ------
    ConfigError : naming each bad key.
    DeviceGone : if it cannot be opened.
    """
    try:
        return SerialScale(ScaleOptions.model_validate(section))
    except ValidationError as error:
        raise ConfigError("[scale]", explain(error, ScaleOptions)) from None


def look(section: dict[str, Any]) -> Found:
    """Wait for a reading of the scale that a section names; see `ports.Found`. Raises as `open_scale` and `SerialScale.read`."""
    scale = open_scale(section)
    try:
        mass = scale.read(LOOK_S)
    finally:
        scale.close()
    if mass is None:
        said = _("it sends nothing: see to its power and cable, and let it send readings without being asked")
        return Found(scale.identity, (said,))
    return Found(f"{scale.identity}; {mass.mass_g:g} g")


class SerialScale:
    """One scale, open. ``garbled`` counts readings whose checksum was wrong."""

    def __init__(self, options: ScaleOptions) -> None:
        self.identity = f"{options.url}, {options.format}"
        self.garbled = 0
        self._options, self._format = options, FORMATS[options.format]
        self._waiting = b""
        self._unread = 0
        name = _("the scale at {url}").format(url=options.url)
        self._link = dial(options.url, options.baud, name, bits=options.bits, parity=options.parity)
        self._heard_s = time.monotonic()

    def read(self, timeout_s: float) -> Mass | None:
        """Return the newest reading that has come since the last call, waiting for one; None after ``timeout_s`` without.

        Raises
        ------
        DeviceGone : if the line is dead, or nothing has come for ``silent_s``. DeviceError : if what comes is no reading in the
        configured format.
        """
        until = time.monotonic() + timeout_s
        while True:
            if (newest := self._newest()) is not None:
                return newest
            if time.monotonic() >= until:
                return None
            time.sleep(0.005)

    def close(self) -> None:
        """Let go of the scale; a second call does nothing."""
        self._link.close()

    def _newest(self) -> Mass | None:
        new = self._link.read(MOST_BYTES, 0.0)
        if not new:
            self._mind_silence()
            return None
        self._heard_s = time.monotonic()
        self._waiting += new
        newest, end = None, 0
        for found in self._format.frame.finditer(self._waiting):
            end = found.end()
            if (weight := self._format.read(found, self._options.unit)) is None:
                self.garbled += 1
            else:
                newest = Mass(time.monotonic_ns(), weight.mass_g, weight.state)
        self._unread = 0 if end else self._unread + len(new)
        if self._unread > GARBLED_BYTES:
            raise self._unreadable()
        self._waiting = self._waiting[end:][-LONGEST_FRAME:]
        return newest

    def _mind_silence(self) -> None:
        limit_s = self._options.silent_s
        if limit_s and time.monotonic() - self._heard_s > limit_s:
            said = _(
                "it sends nothing for {seconds:g} s; see to its power and cable, and let it send without being asked, or write"
                " silent_s = 0 if it sends only when its key is pressed"
            )
            raise self._link.gone(said.format(seconds=limit_s))

    def _unreadable(self) -> DeviceError:
        text = _(
            "the scale at {url} sends {bytes!r}, which is no reading in format {format!r}; correct format, baud, bits or parity"
        )
        return DeviceError(text.format(url=self._options.url, bytes=self._waiting[:SHOWN_BYTES], format=self._options.format))
