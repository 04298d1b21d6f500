"""Text files as lines, whatever encoding they came in."""

import codecs
import gzip
from pathlib import Path
from typing import Final

from citrus_grade.spectra_table.errors import SpectraTableError
from citrus_grade.words import _

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_GZIP: Final = b"\x1f\x8b"
_USUAL: Final = 0.5
_MOST_LINES: Final = 8


def lines_of(path: Path) -> list[str]:
    """Return a text file's lines without their ends, unpacked where gzip packed it.

    A byte order mark decides the encoding; without one it is UTF-8, UTF-16, GB18030 or Windows-1252, the first that fits.

    Raises
    ------
    SpectraTableError : the file is empty, or no text.
    OSError, EOFError, zlib.error : it cannot be read or unpacked.
    """
    raw = path.read_bytes()
    if raw.startswith(_GZIP):
        raw = gzip.decompress(raw)
    if not raw.strip():
        raise SpectraTableError(_("{path}: is empty; was it damaged in copying?").format(path=path))
    text = _decoded(raw)
    if "\x00" in text[:4096]:
        raise SpectraTableError(_("{path}: is no text file; save the table as CSV").format(path=path))
    return _whole_cells(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"))


def _decoded(raw: bytes) -> str:
    marked = next((name for mark, name in _MARKS if raw.startswith(mark)), None)
    for encoding in (marked,) if marked else _likely(raw):
        try:
            return raw.decode(encoding)
        except UnicodeDecodeError:
            continue
    return raw.decode("latin-1")


def _likely(raw: bytes) -> tuple[str, ...]:
    head = raw[:4096]
    zeros = [head[side::2].count(0) for side in (0, 1)]
    if max(zeros) > len(head) / 4 and min(zeros) == 0:
        return ("utf-16-le",) if zeros[1] else ("utf-16-be",)
    return ("utf-8", *(("gb18030",) if _is_chinese(raw) else ()), "cp1252")


def _is_chinese(raw: bytes) -> bool:
    """Return whether most bytes beyond ASCII are in pairs of the usual Chinese characters: a Western degree sign stands alone.

    Usual are the first level of GB 2312, its signs, and letters as wide as these.
    """
    try:
        pairs = [own for character in set(raw.decode("gb18030")) if len(own := character.encode("gb18030")) > 1]
    except UnicodeDecodeError:
        return False
    usual = [len(own) == 2 and own[1] >= 0xA1 and (0xB0 <= own[0] <= 0xD7 or 0xA1 <= own[0] <= 0xA3) for own in pairs]
    return sum(usual) > _USUAL * len(usual)


def _whole_cells(lines: list[str]) -> list[str]:
    """Join lines that are one cell between quotes; the lines after it are empty then, so that the others keep their number."""
    joined = list(lines)
    for k, line in enumerate(lines):
        if joined[k] == line and line.count('"') % 2:
            end = next((j for j in range(k + 1, min(k + _MOST_LINES, len(lines))) if lines[j].count('"') % 2), k)
            joined[k : end + 1] = [" ".join(lines[k : end + 1]), *[""] * (end - k)]
    return joined
