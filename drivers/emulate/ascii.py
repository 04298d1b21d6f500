"""A spectrometer of text: the device side of `ascii_spectrometer`."""

from dataclasses import dataclass

from citrus_grade.drivers.ascii_spectrometer import body_of, line_of
from citrus_grade.drivers.emulate.acquisition import Acquisition, Taken
from citrus_grade.drivers.emulate.spectra import Spectra


@dataclass(frozen=True)
class AsciiSpectrometer:
    """An emulated spectrometer as it left the factory."""

    serial: str
    pixels: int
    first_nm: float = 650.0
    last_nm: float = 1010.0
    model: str = "EMULATED"

    def device(self, spectra: Spectra, t_ns: int) -> "AsciiDevice":
        """Switch it on at ``t_ns``."""
        return AsciiDevice(self, spectra, t_ns)


class AsciiDevice:
    """A spectrometer that is switched on: `take` bytes in, `due` bytes out. ``closed``: a fault ended the connection."""

    def __init__(self, made: AsciiSpectrometer, spectra: Spectra, t_ns: int) -> None:
        self.made, self._on_ns = made, t_ns
        self.acquisition = Acquisition(spectra)
        self.lamp, self.closed = False, False
        self._buffer, self._ready = b"", b""
        self._scan: Taken | None = None

    def connected(self) -> None:
        """Begin anew with another client."""
        self._buffer, self._ready, self._scan = b"", b"", None
        self.acquisition.stop()

    def take(self, data: bytes, t_ns: int) -> None:
        """Take what a client sent by ``t_ns``."""
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            body = body_of(line)
            if body == "SC":
                self._scan = self._scan or self.acquisition.take(t_ns)
            else:
                self._ready += line_of("ER,bad checksum" if body is None else self._answer(*body.split(",")))

    @property
    def next_ns(self) -> int | None:
        """When something is due next; None if nothing is asked for."""
        return 0 if self._ready else self._scan.due_ns if self._scan else None

    def due(self, t_ns: int) -> bytes:
        """Return what is to be sent by ``t_ns``."""
        out, self._ready = self._ready, b""
        if self._scan and self._scan.due_ns <= t_ns:
            out += self._said(self._scan)
            self._scan = None
        return out

    def _answer(self, what: str, value: str = "") -> str:
        made = self.made
        if what == "ID?":
            return f"ID,{made.model},{made.serial},{made.pixels},{made.first_nm:g},{made.last_nm:g}"
        if what not in ("IT", "TR", "LA") or not value.isdigit():
            return f"ER,{what}: not understood"
        if what == "IT":
            self.acquisition.integration_us = int(value)
        elif what == "TR":
            self.acquisition.hardware = value == "1"
        else:
            self.lamp = value == "1"
        return "OK"

    def _said(self, scan: Taken) -> bytes:
        header = line_of(f"SC,{scan.number},{(scan.began_ns - self._on_ns) // 1000},{len(scan.counts)}")
        whole = header + line_of(",".join(map(str, scan.counts.tolist())))
        if scan.fault == "closed":
            self.closed = True
        spoilt = {
            "closed": b"",
            "silent": b"",
            "refused": line_of("ER,not ready"),
            "short": whole[: len(whole) // 2] + b"\n",
            "garbage": b"\xff\xfe*garbage\n" + whole,
            "bad_checksum": whole[:-3] + b"g\n",
        }
        return spoilt.get(scan.fault or "", whole)
