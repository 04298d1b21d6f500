"""``[source]`` of a line whose pictures and spectra come from files."""

import os
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from citrus_grade.config import ConfigError, LineConfig, Number, Positive, explain

DATA_VARIABLE: Final = "CITRUS_GRADE_DATA"
DATA_BESIDE: Final = Path("../shared/data")


_FromList = BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PictureSet(_Section):
    """A folder of ``obj*/im*.png``: one folder a fruit, its successive views on black, turning about the picture's x axis.

    Such pictures carry no scale: ``assumed_diameter_mm`` is what the set's median fruit is taken to measure.
    """

    folder: str
    assumed_diameter_mm: Positive = Field(le=200)


class SpectraOfFile(_Section):
    """A table of spectra; ``train`` and ``held_out`` are values of ``split_column``."""

    table: str
    matrix: str | None = None
    signal: Literal["reflectance", "absorbance"] = "reflectance"
    column: str
    target: str = Field(pattern="^[a-z][a-z0-9_]*$")
    split_column: str
    train: str
    held_out: str


class FilesOptions(_Section):
    """``[source]`` of a line whose pictures and spectra come from files."""

    driver: str = "files"
    data: str | None = None
    seed: int = Field(default=1, ge=0)
    seconds: Positive = 20.0
    fill: Annotated[Number, Field(ge=0, le=1)] = 0.85
    pictures: Annotated[tuple[PictureSet, ...], _FromList, Field(min_length=1)]
    spectra: SpectraOfFile | None = None

    @property
    def data_folder(self) -> Path:
        """Return ``data``, or what the environment names, or the shared folder beside the checkout."""
        return Path(self.data or os.environ.get(DATA_VARIABLE) or DATA_BESIDE)


def options_of(config: LineConfig, *, seed: int | None = None, seconds: float | None = None) -> FilesOptions:
    """Read ``[source]``; ``seed`` and ``seconds`` take the place of its own.

    Raises
    ------
    ConfigError : naming each bad key, or the data folder that is not there.
    """
    given = {"seed": seed, "seconds": seconds}
    try:
        options = FilesOptions.model_validate(config.source | {key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise problem(*explain(error, FilesOptions)) from None
    if (options.spectra is None) != (config.spectrometer is None):
        raise problem("spectra: [source.spectra] and [spectrometer] belong together; give both or neither")
    if not options.data_folder.is_dir():
        raise problem(
            f"data: there is no folder {options.data_folder}; name the folder that holds the pictures and spectra"
            f" by data in [source] or by the environment variable {DATA_VARIABLE}"
        )
    return options


def problem(*problems: str) -> ConfigError:
    """Return the error that says what is wrong in ``[source]``."""
    return ConfigError("[source]", list(problems))
