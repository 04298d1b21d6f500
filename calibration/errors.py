"""What is said of measurements that make no calibration."""

from collections.abc import Iterable

from citrus_grade.words import Refused


class CalibrationError(Refused):
    """Measurements no calibration can be made from; a line each says where, what is wrong, and what to do."""


def refuse(problems: Iterable[str]) -> None:
    """Raise a `CalibrationError` of all problems, if there are any."""
    if text := "\n".join(problems):
        raise CalibrationError(text)
