"""Dates and times as people, spreadsheets and instruments write them."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra_table.cells import MISSING, number
from citrus_grade.spectra_table.table import Column
from citrus_grade.words import _

Floats = NDArray[np.float64]

DATED: Final = frozenset({"date", "datetime", "timestamp", "day", "日期", "时间"})
"""Words of a header whose numbers may be dates."""
DAY_S: Final = 86400.0
SERIAL: Final = (30000.0, 60000.0)
"""A spreadsheet's days since 1899-12-30, from 1982 to 2064."""
SERIAL_1970: Final = 25569.0
COMPACT: Final = (19820101.0, 20641231.0)
"""Numbers that are year, month and day."""
EPOCH_MS: Final = (3.8e11, 3.0e12)
"""Milliseconds since 1970."""
SECONDS: Final = 3.8e8
"""Seconds since 1970 are more than any other number that a column of dates holds."""
_TIME: Final = r"(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:[.,]\d+)?)?\s*([ap]\.?m\.?)?)?"
_YEAR_FIRST: Final = re.compile(r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?" + _TIME, re.IGNORECASE)
_YEAR_LAST: Final = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4}|\d{2})\.?,?" + _TIME, re.IGNORECASE)
_NAMED: Final = ("%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d %B %Y", "%b %d, %Y", "%B %d, %Y")


class DateError(ValueError):
    """A cell that is no date; ``row`` and the ``cell`` it is about, the text says why and what to write."""

    def __init__(self, row: int, cell: str, text: str) -> None:
        super().__init__(text)
        self.row, self.cell = row, cell


def dated(header: str) -> bool:
    """Return whether a header says that its column holds dates."""
    return bool(set(re.split(r"[\W_\d]+", header.casefold())) & DATED)


def moments(column: Column, header: str) -> Floats:
    """Return a column of dates or times as seconds since 1970, or other numbers as they are; NaN where nothing stands.

    Of 3/4/2026 the day comes first if another cell says so, as 13/4/2026 does, or if there are points between; a zone is heeded
    where it is named. Numbers are a spreadsheet's days, or year, month and day, where the header speaks of dates.

    Raises
    ------
    DateError : a cell that is neither, or of which nobody can tell day from month.
    """
    if column.dtype.kind in "fiub":
        return _numbers(np.asarray(column, np.float64), header)
    cells = [str(cell).strip() for cell in column]
    read = [number(cell) for cell in cells]
    if None not in read:
        return _numbers(np.array(read, np.float64), header)
    day_first = _day_first(cells)
    return np.array([_moment(row, cell, day_first) for row, cell in enumerate(cells)], np.float64)


def days(column: Column, header: str) -> NDArray[np.str_] | None:
    """Return the day (n,) of each cell of a column of dates that tells more than the day, or the same day in several ways.

    None for any other column. Of dates of which nobody can tell day from month either will do: days stay apart.
    """
    cells = [str(cell).strip() for cell in column]
    try:
        seconds = _seconds_of_dates(column, cells, header)
    except DateError:
        return None
    if seconds is None:
        return None
    named = ["" if np.isnan(one) else _iso(one) for one in seconds]
    return np.array(named, np.str_) if len(set(named)) < len(set(cells)) else None


def _seconds_of_dates(column: Column, cells: Sequence[str], header: str) -> Floats | None:
    if column.dtype.kind not in "fiub" and None in map(number, cells):
        day_first = _day_first(cells) is not False
        return np.array([_moment(k, cell, day_first) for k, cell in enumerate(cells)], np.float64)
    seconds = moments(column, header)
    return seconds if dated(header) and np.nanmax(seconds, initial=0.0) >= SECONDS else None


def _iso(seconds: float) -> str:
    return date.fromordinal(int(seconds // DAY_S) + date(1970, 1, 1).toordinal()).isoformat()


def _numbers(values: Floats, header: str) -> Floats:
    known = values[np.isfinite(values)]
    if not len(known) or not dated(header):
        return values
    if SERIAL[0] <= known.min() and known.max() <= SERIAL[1]:
        return (values - SERIAL_1970) * DAY_S
    if EPOCH_MS[0] <= known.min() and known.max() <= EPOCH_MS[1]:
        return values / 1e3
    if COMPACT[0] <= known.min() and known.max() <= COMPACT[1] and (known == np.rint(known)).all():
        cells = ["" if np.isnan(value) else f"{value:.0f}" for value in values]
        return np.array([_moment(row, cell, None) for row, cell in enumerate(cells)], np.float64)
    return values


def _day_first(cells: Iterable[str]) -> bool | None:
    """Return whether the day comes before the month where the year comes last, None where nobody can tell."""
    found = [match for cell in cells if (match := _YEAR_LAST.fullmatch(cell))]
    if any(int(match[1]) > 12 or match[2] == "." for match in found):
        return True
    return False if any(int(match[3]) > 12 for match in found) else None


def _moment(row: int, cell: str, day_first: bool | None) -> float:
    if cell.casefold() in (*MISSING, "nat"):
        return float("nan")
    value = number(cell)
    if value is not None and SERIAL[0] <= value <= SERIAL[1]:
        return (value - SERIAL_1970) * DAY_S
    when = _by_machine(cell) or _by_hand(row, cell, day_first)
    if when is None:
        raise DateError(row, cell, _("{cell!r} is no date or time; write it as 2026-11-05 or 2026-11-05 09:30").format(cell=cell))
    return (when - datetime(1970, 1, 1, tzinfo=None if when.tzinfo is None else UTC)).total_seconds()


def _by_machine(cell: str) -> datetime | None:
    try:
        return datetime.fromisoformat(cell)
    except ValueError:
        return None


def _by_hand(row: int, cell: str, day_first: bool | None) -> datetime | None:
    if match := _YEAR_FIRST.fullmatch(cell):
        return _at(match.groups()[:3], match.groups()[3:])
    if match := _YEAR_LAST.fullmatch(cell):
        if day_first is None:
            text = _("of {cell!r} nobody can tell day from month; write it as 2026-11-05")
            raise DateError(row, cell, text.format(cell=cell))
        day, month = (match[1], match[3]) if day_first else (match[3], match[1])
        return _at((match[4] if len(match[4]) == 4 else f"20{match[4]}", month, day), match.groups()[4:])
    for form in _NAMED:
        try:
            return datetime.strptime(cell, form)  # a day of the place has no zone
        except ValueError:
            continue
    return None


def _at(day: Sequence[str], time: Sequence[str | None]) -> datetime | None:
    year, month, day_of_month = map(int, day)
    hour, minute, second = (int(part or 0) for part in time[:3])
    if half := time[3]:
        hour = hour % 12 + (12 if half[0] in "pP" else 0)
    try:
        return datetime(year, month, day_of_month, hour, minute, second)
    except ValueError:
        return None
