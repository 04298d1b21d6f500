"""Text files as lines, whatever encoding they came in."""

import codecs
from pathlib import Path

from citrus_grade.spectra_table.errors import SpectraTableError
from citrus_grade.words import _

_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
ENCODINGS = ("utf-8", "gb18030", "latin-1")


def lines_of(path: Path) -> list[str]:
    """Return a text file's lines without their ends.

    A byte order mark decides the encoding; without one it is the first of `ENCODINGS` that fits.

    Raises
    ------
    SpectraTableError : the file is empty, or no text.
    OSError : it cannot be read.
    """
    raw = path.read_bytes()
    if not raw.strip():
        raise SpectraTableError(_("{path}: is empty; was it damaged in copying?").format(path=path))
    text = _decoded(raw)
    if "\x00" in text[:4096]:
        raise SpectraTableError(_("{path}: is no text file; save the table as CSV").format(path=path))
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _decoded(raw: bytes) -> str:
    marked = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    for encoding in (marked,) if marked else ENCODINGS:
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")
