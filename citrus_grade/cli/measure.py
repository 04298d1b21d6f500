"""``citrus-grade measure``: fruit in anyone's photographs, no line needed."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.options import Json, positive
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.measure.measure import Measured
    from citrus_grade.measure.scale import Board, Known

HELP = N_(
    "Measure the fruit in photographs: size, mass, green skin, blemishes, stem and stylar end, each with its sigma.\n\n"
    "Fruit may lie on anything of another colour and may touch. Millimetres need a scale: --mm-per-px, or --board. "
    "Without one sizes are in pixels. The skin is that of the side seen."
)
EXAMPLES = (
    "citrus-grade measure photos --mm-per-px 0.21 --out measured\n"
    "citrus-grade measure basket.jpg --board 5x7x30 --out measured\n"
    "citrus-grade measure a.jpg b.jpg --json"
)


def verb(
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help=N_("Photographs, or folders of them: jpg, png, tif."))],
    mm_per_px: Annotated[
        float | None,
        typer.Option("--mm-per-px", parser=positive, metavar="X", help=N_("Millimetres a pixel at the fruits' middles.")),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option(
            "--board",
            metavar="COLUMNSxROWSxMM",
            help=N_("Squares and side of a square of a ChArUco board in each photograph, as high as the fruits' middles."),
        ),
    ] = None,
    density: Annotated[
        float, typer.Option("--density", parser=positive, metavar="G_PER_ML", help=N_("Density that turns volume into mass."))
    ] = 0.90,
    to: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help=N_("New folder for fruit.csv, fruit.parquet and the photographs drawn in.")),
    ] = None,
    as_json: Json = False,
) -> int:
    """Measure photographs, show the table and write it."""
    scale = _scale(mm_per_px, board)
    if to is not None and to.exists():
        raise BadInput(_("{path}: exists already; nothing is overwritten, name another folder").format(path=to))
    from citrus_grade.measure import table
    from citrus_grade.measure.photo import expand

    ended = list(_measured(expand(photos), scale, density, to))
    rows = [row for one in ended for row in one["rows"]]
    written = [str(one["picture"]) for one in ended if one["picture"]]
    if to is not None and rows:
        written = [*map(str, table.write(rows, to)), *written]
    problems = [problem for one in ended for problem in one["problems"]]
    if as_json:
        left = [{name: one[name] for name in ("file", "fruit", "cut", "unclear", "problems")} for one in ended]
        out.as_json({"fruit": rows, "photos": left, "written": written})
    else:
        _show(ended, rows, scale is not None)
        if to is not None and written:
            out.text(_("written: {path}").format(path=to))
        out.errors(problems)
    return errors.FINDINGS if problems else errors.DONE


def _scale(mm_per_px: float | None, board: str | None) -> "Known | Board | None":
    if mm_per_px is not None and board is not None:
        raise BadInput(_("--mm-per-px and --board: give one of them, each is a scale"))
    from citrus_grade.measure.scale import Board, Known

    if board is None:
        return None if mm_per_px is None else Known(mm_per_px)
    try:
        return Board.parse(board)
    except ValueError as error:
        raise BadInput(
            _("--board: {value!r} is not COLUMNSxROWSxMM; a board of 5 by 7 squares of 30 mm is 5x7x30").format(value=board)
        ) from error


def _measured(paths: list[Path], scale: "Known | Board | None", density: float, to: Path | None) -> Iterator[dict[str, Any]]:
    """Yield what is kept of each photograph; the photograph itself is let go."""
    from citrus_grade.measure.measure import measure

    with bar(_("measuring photographs")) as progress:
        for k, path in enumerate(paths):
            one = measure(path, scale, density)
            picture = _draw(one, to, k) if to is not None and (one.fruit or one.cut or one.unclear) else None
            if progress:
                progress(k + 1, len(paths))
            yield {
                "file": str(path), "fruit": len(one.fruit), "cut": len(one.cut), "unclear": len(one.unclear),
                "problems": list(one.problems), "rows": one.rows, "picture": picture,
            }  # fmt: skip


def _draw(one: "Measured", to: Path, k: int) -> Path:
    from citrus_grade.measure import picture

    path = to / f"{one.path.stem}.png"
    return picture.write(one, to / f"{one.path.stem}-{k + 1}.png" if path.exists() else path)


def _show(ended: list[dict[str, Any]], rows: list[dict[str, Any]], scaled: bool) -> None:
    """Print the table and what was left out."""
    if rows:
        unit = "mm" if any(row["diameter_mm"] == row["diameter_mm"] for row in rows) else "px"
        names = ((f"diameter_{unit}", 1), (f"height_{unit}", 1), ("mass_g", 0), ("green_pct", 0), ("blemish_pct", 1))
        heads = (
            _("photo"),
            "n",
            _("diameter {unit}"),
            _("height {unit}"),
            _("mass g"),
            _("green %"),
            _("blemish %"),
            _("blemishes"),
        )
        short = _short([row["file"] for row in rows])
        lines = [
            (
                short[row["file"]] if row["fruit"] == 1 else "",
                row["fruit"],
                *(_figure(row, name, digits) for name, digits in names),
                f"{row['blemish_count']:.0f}",
            )
            for row in rows
        ]
        out.table(_("Fruit, each figure ± its sigma"), [head.format(unit=unit) for head in heads], lines)
    out.text(_("{n:,} fruit measured in {photos:,} photographs").format(n=len(rows), photos=len(ended)))
    for name, text in (
        ("cut", N_("{n:,} fruit cut by the edge of their photograph were not measured")),
        ("unclear", N_("{n:,} shapes that are not one round fruit were not measured")),
    ):
        if n := sum(one[name] for one in ended):
            out.text(_(text).format(n=n), "yellow")
    if rows and not scaled:
        out.text(
            _("no scale given, so sizes are in pixels; give --mm-per-px, or lay a board beside the fruit and give --board"),
            "yellow",
        )


def _short(files: list[str]) -> dict[str, str]:
    """Return names of files without the folders they share."""
    parents = {str(Path(file).parent) for file in files}
    shared = os.path.commonpath(parents) if len({Path(parent).anchor for parent in parents}) == 1 else ""
    return {file: str(Path(file).relative_to(shared)) if shared else file for file in files}


def _figure(row: dict[str, Any], name: str, digits: int) -> str:
    value, sigma = row[name], row[name + "_sigma"]
    return "-" if value != value else f"{value:.{digits}f}±{sigma:.{digits}f}"
