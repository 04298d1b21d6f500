"""Options that the verbs about tables of spectra share."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli.options import choice
from citrus_grade.words import N_, _


@dataclass(frozen=True, slots=True)
class Wavelengths:
    """A range in nm, both ends included."""

    first_nm: float
    last_nm: float


def wavelengths(text: str) -> Wavelengths:
    """Parse ``700:1100``."""
    low, colon, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = 1.0, 0.0
    if not colon or not 0 < found[0] < found[1]:
        raise typer.BadParameter(_("{value!r} is no range of wavelengths such as 700:1100").format(value=text))
    return Wavelengths(*found)


Table = Annotated[Path, typer.Argument(metavar="TABLE", help=N_("Table of spectra: CSV, Parquet, NPZ, JCAMP-DX, or a folder."))]
Bundle = Annotated[Path, typer.Argument(metavar="BUNDLE", help=N_("Folder of a model."))]
Group = Annotated[
    str | None,
    typer.Option("--group", metavar="COL", help=N_("Column of lots, days or seasons: errors are told for a lot not seen.")),
]
Range = Annotated[
    Wavelengths | None,
    typer.Option("--range", parser=wavelengths, metavar="NM:NM", help=N_("Wavelengths to use; otherwise found.")),
]
KINDS = ("absorbance", "reflectance", "transmittance", "counts")
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        parser=choice(*KINDS),
        metavar="|".join(KINDS),
        help=N_("What the spectra are; otherwise guessed, and said."),
    ),
]
Matrix = Annotated[
    str | None,
    typer.Option("--matrix", metavar="NAME", help=N_("Of several sets of spectra, the one to take.")),
]
Id = Annotated[str | None, typer.Option("--id", metavar="COL", help=N_("Column of the fruit's ids; otherwise found."))]
Lane = Annotated[
    str | None, typer.Option("--lane", metavar="COL", help=N_("Column of lanes; otherwise the column 'lane' if there is one."))
]
Temperature = Annotated[
    str | None, typer.Option("--temperature", metavar="COL", help=N_("Column of the fruit's own temperature, in °C."))
]
