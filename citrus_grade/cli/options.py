"""Options and argument types that several verbs share."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.words import N_, _


def whole(least: int) -> Callable[[int | str], int]:
    """Return a parser of whole numbers from ``least`` up."""

    def parse(value: int | str) -> int:
        try:
            number = int(value)
        except ValueError:
            number = least - 1
        if number < least:
            raise typer.BadParameter(_("{value!r} is not a whole number of at least {least}").format(value=value, least=least))
        return number

    return parse


def positive(value: float | str) -> float:
    """Parse a number above zero."""
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise typer.BadParameter(_("{value!r} is not a number above zero").format(value=value))
    return number


def page(text: str) -> Path:
    """Parse the name of a page."""
    path = Path(text)
    if path.suffix.lower() not in (".html", ".htm"):
        raise typer.BadParameter(_("{value!r} is no page; end it in .html").format(value=text))
    return path


def choice(*names: str) -> Callable[[str], str]:
    """Return a parser of one of ``names``."""

    def parse(value: str) -> str:
        if value not in names:
            raise typer.BadParameter(_("{value!r} is none of {names}").format(value=value, names=", ".join(names)))
        return value

    return parse


PROFILES = ("full", "normal", "off")

Json = Annotated[bool, typer.Option("--json", help=N_("Print one JSON object instead of text."))]
Seed = Annotated[int, typer.Option("--seed", parser=whole(0), metavar="N", help=N_("Seed of the simulated orchard and belt."))]
MaybeData = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="DIR", help=N_("Folder of pictures and spectra of a line of files; otherwise as line.toml says.")
    ),
]
MaybeSeed = Annotated[
    int | None,
    typer.Option("--seed", parser=whole(0), metavar="N", help=N_("Seed of a simulated source; otherwise as line.toml says.")),
]
Seconds = Annotated[float, typer.Option("--seconds", parser=positive, metavar="S", help=N_("Line time to run, in seconds."))]
MaybeSeconds = Annotated[
    float | None,
    typer.Option(
        "--seconds", parser=positive, metavar="S", help=N_("Line time to run, in seconds; otherwise until the source ends.")
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        parser=choice(*PROFILES),
        metavar="|".join(PROFILES),
        help=N_("What the log keeps; otherwise as line.toml says."),
    ),
]
NewRun = Annotated[
    Path | None,
    typer.Option("--run", metavar="DIR", help=N_("New run folder; otherwise one named by date and time under runs/.")),
]
Line = Annotated[Path, typer.Argument(metavar="LINE.toml", help=N_("Configuration of the line."))]
Run = Annotated[Path, typer.Argument(metavar="RUN", help=N_("Run folder."))]
