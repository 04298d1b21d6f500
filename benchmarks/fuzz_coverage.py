"""One driver, led by what the bytes reach in it: ``python -m benchmarks.fuzz_coverage NAME [libFuzzer's options]``.

Needs ``pip install atheris``. Begins with the transcripts of `benchmarks.fuzz_targets`; stops at the first
escape or hang and leaves the bytes in a file ``crash-...``, which given as an argument repeats it. ``-max_total_time=60`` stops
after a minute.
"""

import importlib
import struct
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

# Any: atheris carries no types. What is imported from here on tells which of its branches are taken.
atheris = importlib.import_module("atheris")
with atheris.instrument_imports(include=["citrus_grade.drivers"]):
    from benchmarks.fuzz_targets import TARGETS, Target
    from citrus_grade.ports import DeviceError, DeviceGone

LENGTH = struct.Struct(">H")
MARGIN_S = 10


def framed(pieces: list[bytes]) -> bytes:
    """Return pieces as one input: each behind its length."""
    return b"".join(LENGTH.pack(len(piece)) + piece for piece in pieces)


def pieces_of(data: bytes) -> list[bytes]:
    """Return the pieces of any input; the last may be short of its length."""
    pieces = []
    while len(data) >= LENGTH.size:
        (size,) = LENGTH.unpack_from(data)
        pieces.append(data[LENGTH.size : LENGTH.size + size])
        data = data[LENGTH.size + size :]
    return pieces


def _feed(target: Target, data: bytes) -> None:
    with suppress(DeviceError, DeviceGone):
        target.feed(pieces_of(data), False)


def main() -> None:
    name, options = sys.argv[1], sys.argv[2:]
    with TARGETS[name]() as target, tempfile.TemporaryDirectory() as corpus:
        for number, said in enumerate(target.transcripts):
            (Path(corpus) / str(number)).write_bytes(framed(said))
        atheris.Setup(
            [sys.argv[0], *options, f"-timeout={round(target.bound_s) + MARGIN_S}", corpus], lambda data: _feed(target, data)
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main()
