"""The squeezed numbers of JCAMP-DX: ordinates as AFFN, packed, squeezed, differences and repeats.

R. S. McDonald, P. A. Wilks Jr., "JCAMP-DX: A Standard Form for Exchange of Infrared Spectra in Computer Readable Form",
Applied Spectroscopy 42 (1988) 151-162, section 5. The first digit of a number is a letter: @ A-I a-i squeezed (a value), % J-R
j-r a difference to the value before, S-Z s how often the token before stands in all. The first value of the line after one that
ends in a difference repeats that line's last value, as a check.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

_SQUEEZED: Final = {
    "@": "+0",
    **{c: f"+{k}" for k, c in enumerate("ABCDEFGHI", 1)},
    **{c: f"-{k}" for k, c in enumerate("abcdefghi", 1)},
}
_DIFFERENCE: Final = {
    "%": "+0",
    **{c: f"+{k}" for k, c in enumerate("JKLMNOPQR", 1)},
    **{c: f"-{k}" for k, c in enumerate("jklmnopqr", 1)},
}
_REPEAT: Final = {c: f"{k}" for k, c in enumerate("STUVWXYZs", 1)}
_NUMBER: Final = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]\d{1,3}(?!\d))?"
_TOKEN: Final = re.compile(rf"(?P<number>{_NUMBER})|(?P<coded>[@%A-Za-s]\d*(?:\.\d+)?)|(?P<missing>\?)")
FREE: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[Ee][+-]?\d{1,3})?")


class Line(NamedTuple):
    """One line: its number from 1 in the file, its abscissa, its values, and whether it ends in a difference."""

    number: int
    x: float
    values: list[float]
    difference: bool


class AsdfError(ValueError):
    """A line that cannot be read; ``args`` are its number from 1 and what stands there."""


class CheckError(ValueError):
    """A check value that differs; ``args``: line number, value there, value expected."""


def ordinates(numbered: Sequence[tuple[int, str]]) -> list[Line]:
    """Return the lines of a block ``(X++(Y..Y))`` with their values, check values tested and left out.

    Raises
    ------
    AsdfError, CheckError : see there.
    """
    lines: list[Line] = []
    for number, text in numbered:
        lines.append(_line(number, text, lines[-1] if lines else None))
    return lines


def _line(number: int, text: str, before: Line | None) -> Line:
    free = [cell for cell in re.split(r"[\s,;]+", text.strip()) if cell]
    if len(free) > 1 and all(FREE.fullmatch(cell) or cell == "?" for cell in free):
        x, values, difference = float(free[0]), [_free(cell) for cell in free[1:]], False
    else:
        x, values, difference = _squeezed(number, text)
    if before and before.difference:
        expected = before.values[-1] if before.values else values[0]
        if values[0] != expected:
            raise CheckError(number, values[0], expected)
        # A line may hold nothing but the check: then the next is checked against the same value.
        return Line(number, x, values[1:], difference) if len(values) > 1 else Line(number, x, [], False)
    return Line(number, x, values, difference)


def _free(cell: str) -> float:
    return float("nan") if cell == "?" else float(cell)


def _squeezed(number: int, text: str) -> tuple[float, list[float], bool]:
    tokens = _tokens(number, text)
    if len(tokens) < 2 or not FREE.fullmatch(tokens[0]):
        raise AsdfError(number, text)
    values: list[float] = []
    step: float | None = None
    for token in tokens[1:]:
        head, rest = token[0], token[1:]
        if head in _REPEAT and values:
            count = int(float(_REPEAT[head] + rest))
            for _time in range(count - 1):
                values.append(values[-1] + (step or 0.0))
        elif head in _DIFFERENCE and values:
            step = float(_DIFFERENCE[head] + rest)
            values.append(values[-1] + step)
        elif head in _SQUEEZED or head in "+-.?0123456789":
            step = None
            values.append(_free(_SQUEEZED[head] + rest if head in _SQUEEZED else token))
        else:
            raise AsdfError(number, text)
    return float(tokens[0]), values, step is not None


def _tokens(number: int, text: str) -> list[str]:
    tokens, at = [], 0
    packed = re.sub(r"[\s,;]+", " ", text.strip())
    while at < len(packed):
        match = _TOKEN.match(packed, at)
        if match:
            tokens.append(match.group())
        elif packed[at] != " ":
            raise AsdfError(number, text)
        at = match.end() if match else at + 1
    return tokens
