"""``line.toml`` read: every table by itself, then the line as a whole."""

import tomllib
from pathlib import Path

from pydantic import ValidationError

from citrus_grade.config.cameras import check_cameras
from citrus_grade.config.devices import check_devices
from citrus_grade.config.lanes import check_lanes
from citrus_grade.config.problems import ConfigError, explain
from citrus_grade.config.sections import LineConfig
from citrus_grade.config.stations import check_outlets, check_stations
from citrus_grade.words import _


def parse(text: str, path: str = "line.toml") -> LineConfig:
    """Read a configuration, or say everything that is wrong with it at once.

    Raises
    ------
    ConfigError : naming file, key, value and remedy of every problem.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_("not valid TOML: {error}").format(error=error)]) from error
    try:
        config = LineConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(path, explain(error, LineConfig)) from None
    checks = (check_lanes, check_cameras, check_stations, check_outlets, check_devices)
    if problems := [problem for check in checks for problem in check(config)]:
        raise ConfigError(path, problems)
    return config


def load(path: Path) -> LineConfig:
    """Read ``path``; see `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [_("cannot be read: {error}").format(error=error.strerror)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [_("byte {at} is not UTF-8 text; save it as UTF-8").format(at=error.start)]) from error
    return parse(text, str(path))
