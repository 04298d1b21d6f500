"""Columns of a table found by what they are called: when a fruit was measured, how warm it was."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.dates import DateError, moments

Floats = NDArray[np.float64]

TIMES: Final = frozenset({"time", "date", "datetime", "timestamp", "day", "tick", "when", "时间", "日期"})
WARM: Final = frozenset({"temperature", "temp", "温度", "果温"})
NOT_FRUIT: Final = frozenset({"lamp", "detector", "device", "board", "ambient", "air", "room", "integration", "exposure"})


def called(
    columns: Mapping[str, NDArray[Any]], words: frozenset[str], but: str = "", *, alike: bool = False
) -> tuple[str | None, Floats | None]:
    """Return the first column whose name holds one of the words and whose cells are numbers or dates, with its values (n,).

    Dates are seconds; what is missing is NaN. A column of one value only is none unless ``alike``, nor is the column ``but``.
    """
    for name in named(columns, words, but):
        try:
            values = moments(columns[name], name)
        except DateError:
            continue
        known = values[np.isfinite(values)]
        if len(known) and (alike or np.ptp(known) > 0):
            return name, values
    return None, None


def named(columns: Iterable[str], words: frozenset[str], but: str = "") -> Iterator[str]:
    """Yield the columns whose name holds one of the words, and none that speaks of something else than fruit."""
    for name in columns:
        parts = set(re.split(r"[\W_\d]+", name.casefold()))
        if name != but and parts & words and not parts & NOT_FRUIT:
            yield name
