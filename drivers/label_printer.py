"""A printer of box labels that speaks ZPL II, on a network (``socket://HOST:9100``) or a serial line.

Text goes out as UTF-8 (``^CI28``); which letters come out depends on the font in the printer. The built-in ones have no Chinese:
a TrueType font must be stored in the printer and named. Source: Zebra, ZPL II Programming Guide (commands ^XA to ^XZ, ^BQ, ~HS).
"""

import re
import time
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_grade.config import ConfigError, explain
from citrus_grade.drivers.link import Link, dial
from citrus_grade.ports import DeviceError, Found
from citrus_grade.words import _

ANSWER_S: Final = 2.0
MOST_BYTES: Final = 256
_STATUS: Final = re.compile(rb"\x02([^\x02\x03]*)\x03")
"""~HS is answered by three of these, of values between commas."""
_MARGIN_MM, _LINE_MM, _CODE_MM = 4, 8, 28


class PrinterOptions(BaseModel):
    """Where the printer is and what lies in it. ``url`` : whatever pyserial opens; ``dots_mm`` : 8 of 203 dpi, 12 of 300 dpi.

    ``font`` : a letter of a built-in font, or a font stored in the printer as ``E:NAME.TTF``.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    driver: Literal["zpl"] = "zpl"
    url: str
    baud: int = Field(default=9600, ge=300, le=921600)
    dots_mm: Literal[6, 8, 12, 24] = 8
    width_mm: int = Field(default=100, ge=60, le=200)
    height_mm: int = Field(default=60, ge=55, le=300)
    font: str = Field(default="0", pattern=r"^([0-9A-Z]|[A-Z]:[A-Za-z0-9_]{1,16}\.(TTF|TTE|FNT))$")


class BoxLabel(NamedTuple):
    """What is printed: ``lines`` of text, the first the largest, and the ``code`` of a QR symbol."""

    lines: tuple[str, ...]
    code: str


def options_of(section: dict[str, Any]) -> PrinterOptions:
    """Return a checked section ``[printer]`` of ``line.toml``.

    Raises
    ------
    ConfigError : naming each bad key.
    """
    try:
        return PrinterOptions.model_validate(section)
    except ValidationError as error:
        raise ConfigError("[printer]", explain(error, PrinterOptions)) from None


def open_printer(section: dict[str, Any]) -> "ZplPrinter":
    """Open the printer that a section of ``line.toml`` names.

    Raises
    ------
    ConfigError : naming each bad key. DeviceGone : if it cannot be opened.
    """
    options = options_of(section)
    return ZplPrinter(dial(options.url, options.baud, _("the label printer at {url}").format(url=options.url)), options)


def look(section: dict[str, Any]) -> Found:
    """Ask the printer that a section names how it is; see `ports.Found`. Raises as `open_printer`."""
    printer = open_printer(section)
    try:
        found = printer.troubles()
    finally:
        printer.close()
    silent = _("it does not say how it is (~HS): see to its power and cable, or it is no ZPL printer")
    return Found(printer.identity, (silent,) if found is None else found)


class ZplPrinter:
    """One printer, open."""

    def __init__(self, link: Link, options: PrinterOptions) -> None:
        self.identity = f"{options.url}, ZPL"
        self._link, self._options = link, options

    def troubles(self) -> tuple[str, ...] | None:
        """Ask the printer what keeps it from printing; None if it does not answer.

        Raises
        ------
        DeviceGone : if the line is dead.
        """
        self._link.write(b"~HS\r\n")
        answer, until = b"", time.monotonic() + ANSWER_S
        while answer.count(b"\x03") < 3 and len(answer) < MOST_BYTES and (left_s := until - time.monotonic()) > 0:
            answer += self._link.read(1, left_s)
        return troubles_in(answer)

    def print(self, label: BoxLabel) -> None:
        """Print a label.

        Raises
        ------
        DeviceGone : if the line is dead. DeviceError : if the printer says that it cannot print, or has no letters for the text.
        """
        data = zpl(label, self._options)
        if found := self.troubles():
            raise DeviceError("; ".join((self.identity, *found)))
        self._link.write(data)

    def close(self) -> None:
        """Let go of the printer; a second call does nothing."""
        self._link.close()


def troubles_in(answer: bytes) -> tuple[str, ...] | None:
    """Return what the answer to ~HS says is wrong, None where it is no such answer."""
    rows = [found.decode("ascii", "replace").split(",") for found in _STATUS.findall(answer)]
    if len(rows) < 2 or len(rows[0]) < 12 or len(rows[1]) < 4:
        return None
    flags = {
        _("paper is out: put in a roll"): rows[0][1],
        _("it is paused: press its pause key"): rows[0][2],
        _("its head is open: close it"): rows[1][2],
        _("its ribbon is out: put one in"): rows[1][3],
    }
    return tuple(said for said, flag in flags.items() if flag == "1")


def zpl(label: BoxLabel, options: PrinterOptions) -> bytes:
    """Return the ZPL II program of a label: its lines of text on the left, below them on the right its QR symbol.

    Raises
    ------
    DeviceError : if the text needs letters that a built-in font does not have.
    """
    text = "".join(label.lines)
    if len(options.font) == 1 and not text.isascii():
        said = _(
            "printer.font: the built-in font {font} has no letters for {text!r}; store a TrueType font in the printer and name it"
        )
        raise DeviceError(said.format(font=options.font, text=text))
    dot = options.dots_mm
    rows = ["^XA", "^CI28", f"^PW{options.width_mm * dot}", f"^LL{options.height_mm * dot}"]
    for n, line in enumerate(label.lines):
        size = dot * (_LINE_MM - 1 if n == 0 else _LINE_MM - 3)
        rows.append(f"^FO{_MARGIN_MM * dot},{(_MARGIN_MM + n * _LINE_MM) * dot}{_font(options.font, size)}^FH^FD{_data(line)}^FS")
    right, below = options.width_mm - _MARGIN_MM - _CODE_MM, options.height_mm - _MARGIN_MM - _CODE_MM
    rows.append(f"^FO{right * dot},{below * dot}^BQN,2,{min(dot // 2, 10)}^FH^FDMA,{_data(label.code)}^FS")
    return "\n".join([*rows, "^XZ", ""]).encode()


def _font(font: str, size: int) -> str:
    return f"^A{font}N,{size},{size}" if len(font) == 1 else f"^A@N,{size},{size},{font}"


def _data(text: str) -> str:
    """Return text for a field with ^FH: what would be a command is written as hexadecimal digits, what is no letter left out."""
    return "".join(f"_{ord(c):02X}" if c in "^~_" else c for c in text if c.isprintable())
