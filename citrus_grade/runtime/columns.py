"""Columns of a table found by what they are called: when a fruit was measured, how warm it was."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.cells import MISSING, number

Floats = NDArray[np.float64]

TIMES: Final = frozenset({"time", "date", "datetime", "timestamp", "day", "tick", "when", "时间", "日期"})
WARM: Final = frozenset({"temperature", "temp", "温度", "果温"})
NOT_FRUIT: Final = frozenset({"lamp", "detector", "device", "board", "ambient", "air", "room", "integration", "exposure"})
_DATE: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?")


def called(
    columns: Mapping[str, NDArray[Any]], words: frozenset[str], but: str = "", *, alike: bool = False
) -> tuple[str | None, Floats | None]:
    """Return the first column whose name holds one of the words and whose cells are numbers or dates, with its values (n,).

    Dates are seconds; what is missing is NaN. A column of one value only is none unless ``alike``, nor is the column ``but``.
    """
    for name, column in columns.items():
        parts = set(re.split(r"[\W_\d]+", name.casefold()))
        if name != but and parts & words and not parts & NOT_FRUIT and (values := values_of(column)) is not None:
            known = values[np.isfinite(values)]
            if len(known) and (alike or np.ptp(known) > 0):
                return name, values
    return None, None


def values_of(column: NDArray[Any]) -> Floats | None:
    """Return a column of numbers or dates as numbers (n,), None where it holds something else."""
    if column.dtype.kind in "fiub":
        values = column.astype(np.float64)
    else:
        cells = [str(cell).strip() for cell in column]
        read = [number(cell) for cell in cells]
        read = [moment(cell) for cell in cells] if None in read else read
        if None in read:
            return None
        values = np.array(read, np.float64)
    return values


def moment(text: str) -> float | None:
    """Return a date or time as seconds, NaN where nothing stands, None where it is none; a zone is heeded where it is named."""
    if text.casefold() in (*MISSING, "nat"):
        return float("nan")
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return _by_hand(text)
    return (when - datetime(1970, 1, 1, tzinfo=None if when.tzinfo is None else UTC)).total_seconds()


def _by_hand(text: str) -> float | None:
    """Read what people and spreadsheets write: 2026/11/5 9:05, 2026年11月5日."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(part or 0) for part in found.groups())
    try:
        return (datetime(year, month, day, hour, minute, second) - datetime(1970, 1, 1)).total_seconds()
    except ValueError:
        return None
