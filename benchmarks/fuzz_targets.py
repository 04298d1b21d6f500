"""The drivers that `benchmarks.fuzz` feeds: what each is asked, and what a sound device answers."""

import tempfile
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from benchmarks.fuzz_cameras import GENTL_ANSWERS, GIGE_ANSWERS, gentl_camera, gige_camera
from benchmarks.fuzz_wires import Answering, modbus_answers, s7_answers
from citrus_grade.drivers.emulate import fuzz as spectrometers
from citrus_grade.drivers.emulate.transcript import answers, load
from citrus_grade.drivers.genicam_options import GigeOptions, options_of, read_parameters
from citrus_grade.drivers.gentl import GentlOptions
from citrus_grade.drivers.modbus import fuzz as modbus
from citrus_grade.drivers.scale import open_scale
from citrus_grade.drivers.scale_formats import FORMATS
from citrus_grade.drivers.snap7 import open_at
from citrus_grade.messages import Ejection

TRANSCRIPTS: Final = Path(__file__).parents[1] / "tests" / "transcripts"
GRAB_S: Final = 0.02
LOOKS: Final = 4
S7_CONNECTS_S: Final = 5.0


def _unsigned(data: bytes) -> bytes:
    return data


class Target(NamedTuple):
    """``feed`` opens the driver on answers, piece by piece, and uses it; ``silent`` share of the devices that then neither answer
    nor close their connection. ``bound_s``: the sum of all the driver's timeouts. ``signed`` mends an answer's checksum."""

    feed: Callable[[list[bytes], bool], object]
    transcripts: Sequence[list[bytes]]
    bound_s: float
    silent: float = 0.1
    signed: Callable[[bytes], bytes] = _unsigned


Open = Callable[[], AbstractContextManager[Target]]


def _spectrometer(name: str) -> Open:
    @contextmanager
    def open_() -> Iterator[Target]:
        target = spectrometers.TARGETS[name]
        said = answers(load(TRANSCRIPTS / f"{name}.txt"))
        # Opening asks for at most 16 coefficients twice and a dozen things more, each within 20 ms.
        yield Target(lambda pieces, silent: target.fuzz(b"".join(pieces), silent=silent), [said], 1.0, signed=target.signed)

    return open_


@contextmanager
def _modbus() -> Iterator[Target]:
    yield Target(lambda pieces, silent: modbus.fuzz(modbus.framed(pieces), silent=silent), [modbus_answers()], 1.0)


@contextmanager
def _s7() -> Iterator[Target]:
    said = s7_answers()
    with Answering() as device:

        def feed(pieces: list[bytes], silent: bool) -> None:
            device.says(b"".join(pieces), silent)
            plc = open_at(
                {"driver": "s7", "host": "127.0.0.1", "port": device.port, "db": 1, "timeout_ms": 20}, modbus.fuzz_line()
            )
            plc.poll()
            plc.eject([Ejection(0, 0, 0, 0)])

        yield Target(feed, [said], S7_CONNECTS_S + 1.0, silent=0.002)


SCALE_ANSWERS: Final = {
    "st,gs": [b"ST,GS,+  12.345kg\r\n", b"US,NT,-    0.20kg\r\n", b"OL,GS,+ 99999.9 g\r\n"],
    "xor": [b"\x02+012345218\x03", b"\x02-000005119\x03"],
    "status": [b"\x0240 001234000000\r", b"\x0252 012345000000\r"],
    "status,sum": [b"\x0240 001234000000\r" + bytes([-sum(b"\x0240 001234000000\r") & 0x7F])],
}


class PiecePort(spectrometers.FuzzPort):
    """The same, which hands over one piece after the other."""

    def __init__(self, pieces: list[bytes], *, silent: bool) -> None:
        super().__init__(b"", silent=silent)
        self._pieces = iter(pieces)

    def read(self, size: int) -> bytes:
        """Return the next piece."""
        return next(self._pieces, None) or super().read(size)


def _scale(name: str) -> Open:
    @contextmanager
    def open_() -> Iterator[Target]:
        def feed(pieces: list[bytes], silent: bool) -> None:
            with patch("serial.serial_for_url", lambda _url, **_how: PiecePort(pieces, silent=silent)):
                scale = open_scale({"url": "fuzz", "format": name})
            for _look in range(LOOKS):
                scale.read(GRAB_S)
            scale.close()

        yield Target(feed, [SCALE_ANSWERS[name] * LOOKS], 1.0)

    return open_


OPTIONS: Final = b"""driver = "genicam"
serial = "CG0"
address = "127.0.0.1"
trigger = "hardware"
trigger_source = "Line1"
count_chunk = "FrameID"
packet_size = 8000
packet_delay_us = 1.5
parameters = { Gain = 2.0, GainAuto = "Off", ReverseX = true }
"""
PARAMETERS: Final = b"""# as the maker's viewer saved it
ExposureTime = 2000.0
GainAuto = "Off"
ReverseX = true
Width = 1_280
"""


@contextmanager
def _camera_options() -> Iterator[Target]:
    def feed(pieces: list[bytes], _silent: bool) -> None:
        section: dict[str, Any] = {}
        with suppress(ValueError, RecursionError):
            section = tomllib.loads(b"".join(pieces).decode("utf-8"))
        for kind in (GigeOptions, GentlOptions):
            with suppress(RuntimeError):
                options_of(kind, section | {"driver": section.get("driver", "")}, "camera.0.device").all_parameters("camera.0")

    yield Target(feed, [[OPTIONS], [OPTIONS.replace(b'"genicam"\n', b'"gentl"\ncti = "a.cti"\n')]], 1.0, silent=0.0)


@contextmanager
def _parameter_file() -> Iterator[Target]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "camera.toml"

        def feed(pieces: list[bytes], _silent: bool) -> None:
            path.write_bytes(b"".join(pieces))
            read_parameters(path, "camera.0.device")

        yield Target(feed, [[PARAMETERS]], 1.0, silent=0.0)


def _camera(use: Callable[[list[bytes]], object], transcripts: Sequence[list[bytes]]) -> Open:
    @contextmanager
    def open_() -> Iterator[Target]:
        yield Target(lambda pieces, _silent: use(pieces), transcripts, 2.0, silent=0.0)

    return open_


TARGETS: Final[dict[str, Open]] = {
    "modbus": _modbus,
    "s7": _s7,
    **{name: _spectrometer(name) for name in spectrometers.TARGETS},
    **{f"scale {name}": _scale(name) for name in FORMATS},
    "camera options": _camera_options,
    "camera parameter file": _parameter_file,
    "gige camera": _camera(gige_camera, GIGE_ANSWERS),
    "gentl camera": _camera(gentl_camera, GENTL_ANSWERS),
}
"""By name."""
