"""Text files as lines, whatever encoding they came in."""

import codecs
import re
from pathlib import Path
from typing import Final

from citrus_grade.spectra_table.errors import SpectraTableError
from citrus_grade.words import _

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_BEYOND_ASCII: Final = re.compile(rb"[\x80-\xff]+")
_FIRST_OF_PAIR: Final = 0xA1


def lines_of(path: Path) -> list[str]:
    """Return a text file's lines without their ends.

    A byte order mark decides the encoding; without one it is UTF-8, GB18030 or Latin-1, the first that fits.

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
    for encoding in (marked,) if marked else ("utf-8", *(("gb18030",) if _is_chinese(raw) else ())):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _is_chinese(raw: bytes) -> bool:
    """Return whether bytes beyond ASCII come in the pairs of the usual Chinese characters: a Western degree sign stands alone."""
    return all(len(run) % 2 == 0 and min(run) >= _FIRST_OF_PAIR for run in _BEYOND_ASCII.findall(raw))
