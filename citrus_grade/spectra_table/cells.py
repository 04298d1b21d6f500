"""What a cell of a table holds: a number, however it is written, or nothing."""

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

NUMBER: Final = re.compile(r"[+-]?(?:\d+(?:[.,]\d*)?|[.,]\d+)(?:[eE][+-]?\d+)?")
MISSING: Final = (
    "", "na", "n/a", "n.a.", "n.a", "nan", "null", "none", "nil", "-", "--", "–", "—", "/", "?", "m", "*", "missing", "nd",
    "n.d.", "n.d", "n/d", "#n/a", "#div/0!", "#value!", "#ref!", "#num!", "#null!", "#name?", "无", "缺失", "未测", "未检出",
)  # fmt: skip
"""What stands for no value where numbers stand, in small letters."""
SENTINELS: Final = (-99.0, -999.0, -9999.0, -99999.0, 999.0, 9999.0, 99999.0, -32768.0)
"""Numbers that instruments and spreadsheets write for no value; they are one where they lie far from most others."""
FAR: Final = 3.0
"""Far is so many times what all others but a fiftieth span."""
NO_NUMBER: Final = 1e20
"""So large a number is none."""
_LIMIT: Final = re.compile(r"[<>≤≥]\s*(?:lod|loq|dl|mdl|[+-]?\d+(?:[.,]\d+)?)", re.IGNORECASE)
"""Beyond what the laboratory can measure: how much is not known."""
_BLANK_GROUPS: Final = re.compile(r"[+-]?\d{1,3}(?:[ \u00a0\u2009\u202f'’]\d{3})+(?:[.,]\d+)?")
_POINT_GROUPS: Final = re.compile(r"[+-]?\d{1,3}(?:\.\d{3})+,\d+|[+-]?\d{1,3}(?:\.\d{3}){2,}")
_COMMA_GROUPS: Final = re.compile(r"[+-]?\d{1,3}(?:,\d{3})+\.\d+|[+-]?\d{1,3}(?:,\d{3}){2,}")


def number(text: str) -> float | None:
    """Return what a cell holds: a number, NaN for one of `MISSING` and for a limit such as <LOD, None for any other text.

    Decimal commas, marks between thousands and a sign of per cent are read; 12,130 is a decimal comma.
    """
    stripped = text.strip().replace("\u2212", "-").removesuffix("%").rstrip()
    if NUMBER.fullmatch(stripped):
        return float(stripped.replace(",", "."))
    if text.strip().lower() in MISSING or _LIMIT.fullmatch(stripped):
        return float("nan")
    if (plain := _without_groups(stripped)) is not None:
        return float(plain)
    return float(stripped) if stripped.lower().lstrip("+-") in ("inf", "infinity") else None


def _without_groups(text: str) -> str | None:
    """Return a number without the marks between its thousands, where these cannot be meant as a decimal sign."""
    if _BLANK_GROUPS.fullmatch(text):
        return re.sub(r"[^\d.,+-]", "", text).replace(",", ".")
    if _POINT_GROUPS.fullmatch(text):
        return text.replace(".", "").replace(",", ".")
    return text.replace(",", "") if _COMMA_GROUPS.fullmatch(text) else None


def sentinels(values: Floats) -> NDArray[np.bool_]:
    """Return which of ``values``, of any shape, stand for no value.

    These are finite numbers beyond `NO_NUMBER`, and `SENTINELS` far from most others, or below zero where most others are not.
    """
    huge = np.isfinite(values) & (np.abs(values) >= NO_NUMBER)
    listed = np.isin(values, SENTINELS)
    others = values[np.isfinite(values) & ~huge & ~listed]
    if not listed.any() or not len(others):
        return huge
    low, high = np.percentile(others, (1, 99))
    reach = FAR * max(high - low, 1.0)
    far = (values < low - reach) | (values > high + reach) | ((values < 0) & (low >= 0))
    return np.asarray(huge | (listed & far), np.bool_)
