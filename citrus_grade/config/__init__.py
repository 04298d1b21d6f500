"""``line.toml``: what the line is made of, checked as a whole before anything moves."""

from citrus_grade.config.fields import Number, Numbers, Positive
from citrus_grade.config.problems import ConfigError, explain
from citrus_grade.config.reading import load, parse
from citrus_grade.config.sections import (
    CameraSection,
    EncoderSection,
    FilesSection,
    LineConfig,
    LineSection,
    LogSection,
    OutletSection,
    SpectrometerSection,
)
from citrus_grade.config.stations import least_decision_station

__all__ = [
    "CameraSection",
    "ConfigError",
    "EncoderSection",
    "FilesSection",
    "LineConfig",
    "LineSection",
    "LogSection",
    "Number",
    "Numbers",
    "OutletSection",
    "Positive",
    "SpectrometerSection",
    "explain",
    "least_decision_station",
    "load",
    "parse",
]
