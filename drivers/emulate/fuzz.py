"""What a spectrometer sends must never do more than end its use: any bytes at all, fed to the drivers as the answers."""

import hashlib
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers import ascii_spectrometer
from citrus_grade.drivers.link import Link
from citrus_grade.drivers.ocean import spectrometer as ocean
from citrus_grade.drivers.ocean.options import OceanOptions
from citrus_grade.drivers.ocean.protocol import FOOTER, TAIL_BYTES
from citrus_grade.ports import DeviceError, DeviceGone, Spectrometer

PIXELS: Final = 16
GRABS: Final = 3
OCEAN: Final = OceanOptions(url="fuzz", integration_us=2000, spectrum="corrected", timeout_ms=20)
OCEAN_BUFFERED: Final = OceanOptions(url="fuzz", integration_us=2000, spectrum="buffered", nonlinearity=True, timeout_ms=20)
ASCII: Final = ascii_spectrometer.AsciiOptions(url="fuzz", integration_us=2000, timeout_ms=20)


class FuzzPort:
    """A `link.Port` that answers with given bytes, whatever it is asked, and then is closed, or ``silent``."""

    timeout: float | None = None

    def __init__(self, data: bytes, *, silent: bool = False) -> None:
        self._data, self._at, self._silent = data, 0, silent

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        if self._at >= len(self._data):
            if not self._silent:
                raise OSError("closed")
            time.sleep(self.timeout or 0.0)
            return b""
        at, self._at = self._at, self._at + size
        return self._data[at : self._at]

    def write(self, data: bytes) -> int:
        """Take anything."""
        return len(data)

    def close(self) -> None:
        """Nothing to let go of."""


@cache
def fuzz_line() -> LineConfig:
    """Return the line whose spectrometer is opened: the template's, with few pixels."""
    config = load(templates.LINE)
    assert config.spectrometer is not None
    return config.model_copy(update={"spectrometer": config.spectrometer.model_copy(update={"pixels": PIXELS})})


def fuzz_ocean(data: bytes, options: OceanOptions = OCEAN, *, silent: bool = False) -> int:
    """Open a spectrometer of the Ocean Binary Protocol and take spectra; ``data`` is all it answers, then its link is closed, or
    ``silent``. Return how far that came.

    0: not opened, 1: opened, 2 and more: so many spectra less one. Anything but `DeviceError` and `DeviceGone` is a fault.
    """
    return _used(lambda link: ocean.connect(link, options, fuzz_line(), 0), FuzzPort(data, silent=silent))


def fuzz_ocean_buffered(data: bytes, *, silent: bool = False) -> int:
    """Do as `fuzz_ocean` does, with spectra that carry metadata."""
    return fuzz_ocean(data, OCEAN_BUFFERED, silent=silent)


def fuzz_ascii(data: bytes, *, silent: bool = False) -> int:
    """Do as `fuzz_ocean` does, with a spectrometer of text."""
    return _used(lambda link: ascii_spectrometer.connect(link, ASCII, fuzz_line()), FuzzPort(data, silent=silent))


def _used(open_: Callable[[Link], Spectrometer], port: FuzzPort) -> int:
    reached = 0
    with suppress(DeviceError, DeviceGone):
        device = open_(Link(port, "the probe"))
        reached = 1
        for _grab in range(GRABS):
            reached += device.grab(0.02) is not None
    return reached


class Target(NamedTuple):
    """A driver to be fuzzed, and how an answer gets a checksum that fits it again."""

    fuzz: Callable[..., int]
    signed: Callable[[bytes], bytes]


def _signed_ocean(data: bytes) -> bytes:
    body = data[:-TAIL_BYTES]
    return body + hashlib.md5(body, usedforsecurity=False).digest() + FOOTER


def _signed_ascii(data: bytes) -> bytes:
    body = data.rpartition(b"*")[0].decode("ascii", "ignore")
    return ascii_spectrometer.line_of(body)


TARGETS: Final = {
    "ocean_corrected": Target(fuzz_ocean, _signed_ocean),
    "ocean_buffered": Target(fuzz_ocean_buffered, _signed_ocean),
    "ascii": Target(fuzz_ascii, _signed_ascii),
}
"""By the name of the transcript whose answers are changed."""


def fuzz_many(target: Target, answers: Sequence[bytes], inputs: int, seed: int) -> Counter[int]:
    """Feed ``inputs`` changed transcripts, half of them with checksums that fit. Return how many came how far."""
    rng = random.Random(seed)
    return Counter(target.fuzz(b"".join(_changed(target, answers, rng))) for _input in range(inputs))


def _changed(target: Target, answers: Sequence[bytes], rng: random.Random) -> list[bytes]:
    changed = list(answers)
    for _change in range(rng.randint(1, 3)):
        which = rng.randrange(len(changed))
        data = bytearray(changed[which])
        at = rng.randrange(len(data) + 1)
        data[at : at + rng.randrange(4)] = rng.randbytes(rng.randrange(4))
        changed[which] = target.signed(bytes(data)) if rng.random() < 0.5 else bytes(data)
    return changed
