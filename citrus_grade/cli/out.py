"""What verbs print: one JSON object for programs, or text and tables for people."""

import json
import math
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any


def as_json(data: dict[str, Any]) -> None:
    """Print ``data`` as one JSON object; a number that is none becomes null."""
    sys.stdout.write(json.dumps(_plain(data), ensure_ascii=False, allow_nan=False) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def text(line: str = "", style: str = "") -> None:
    """Print one line as it is, never wrapped."""
    from rich.console import Console

    Console().print(line, style=style or None, soft_wrap=True, highlight=False, markup=False)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], left: int = 1) -> None:
    """Print a table whose first ``left`` columns are words and the rest numbers."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        grid.add_column(Text(column), justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        grid.add_row(*(Text(str(cell)) for cell in row))
    text(title, "bold")
    Console().print(grid)


def note(line: str) -> None:
    """Print on stderr what people may want to know meanwhile."""
    _aside([line], "")


def errors(lines: Iterable[str]) -> None:
    """Print problems on stderr."""
    _aside(lines, "red")


def _aside(lines: Iterable[str], style: str) -> None:
    """Print on stderr, if anybody can be told: a terminal that is gone, or a full disk, ends nothing that goes on."""
    from rich.console import Console

    console = Console(stderr=True)
    console.on_broken_pipe = lambda: None  # type: ignore[method-assign]  # rich would close standard output, and exit
    with suppress(OSError):
        for line in lines:
            console.print(line, style=style or None, soft_wrap=True, highlight=False, markup=False)
