"""``citrus-grade calibrate``: measure what the line applies, or check that it still holds."""

from pathlib import Path
from typing import Annotated, Any

import typer

from citrus_grade.cli import calibrated, errors, out
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.help import Verb
from citrus_grade.cli.options import Json, Line, MaybeSeconds, positive
from citrus_grade.words import N_, _

HELP = N_("Measure what the line applies: lens, lanes, cups, millimetres, density; check in the season that it still holds.")
EXAMPLES = (
    "citrus-grade calibrate geometry line.toml --board pictures --empty runs/empty --balls runs/balls"
    " --balls-mm 45,62,80 --out calibration-2\n"
    "citrus-grade calibrate check line.toml --balls runs/balls-in-week-3 --balls-mm 45,62,80\n"
    "citrus-grade calibrate density line.toml runs/monday --weighed weighed.csv --variety Satsuma --out calibration-3\n"
    "citrus-grade calibrate outlets line.toml --speeds 6,12"
)

app = typer.Typer()


Out = Annotated[Path, typer.Option("--out", metavar="DIR", help=N_("New calibration set; its picture goes beside it."))]
BallsMm = Annotated[
    str | None,
    typer.Option(
        "--balls-mm",
        metavar="A,B,C",
        help=N_("Diameters of the gauge balls in mm, in the order in which they follow one another in every lane."),
    ),
]


@app.command(
    "geometry",
    cls=Verb,
    help=N_(
        "Measure lens, lanes, cups and scale, each from what is given for it, and write a calibration set.\n\n"
        "What is not measured is taken from the line's present calibration. A bad measurement is refused and nothing is written."
    ),
    epilog=EXAMPLES.splitlines()[0],
)
def geometry(
    line: Line,
    to: Out,
    board: Annotated[
        list[Path] | None,
        typer.Option(
            "--board",
            metavar="DIR",
            help=N_(
                "Pictures of a ChArUco board as the camera gives them, or a folder of them (with a folder a camera): the lens."
            ),
        ),
    ] = None,
    charuco: Annotated[
        str,
        typer.Option(
            "--charuco",
            metavar="WxH:MM:MM:DICT",
            help=N_("The board: squares across and down, their length, their markers' length, the markers' dictionary."),
        ),
    ] = "12x9:40:30:4X4_100",
    empty: Annotated[
        Path | None,
        typer.Option(
            "--empty",
            metavar="RUN",
            help=N_(
                "Run of the empty belt recorded with --profile full, or a LINE.toml whose driver is run now: lanes and cups."
            ),
        ),
    ] = None,
    balls: Annotated[
        Path | None,
        typer.Option("--balls", metavar="RUN", help=N_("The same of gauge balls of three sizes in every lane: the scale.")),
    ] = None,
    balls_mm: BallsMm = None,
    seconds: MaybeSeconds = None,
    as_json: Json = False,
) -> int:
    """Measure the geometry, say how well it fits, write calibration set and picture."""
    if not board and empty is None and balls is None:
        raise BadInput(_("nothing to measure: give --board, --empty or --balls"))
    sizes_mm = _sizes(balls, balls_mm)
    from citrus_grade.report.calibration import geometry_picture
    from citrus_grade.runtime.calibrating import calibrate_geometry

    _new(to)
    done = calibrate_geometry(
        line, to, board=board or (), spec=_spec(charuco), empty=empty, balls=balls, sizes_mm=sizes_mm, seconds=seconds
    )
    picture = to.with_name(to.name + ".png")
    geometry_picture(done, picture)
    told = calibrated.geometry(done) | {"written": [str(to), str(picture)]}
    out.as_json(told) if as_json else calibrated.show_geometry(told)
    return errors.DONE


@app.command(
    "check",
    cls=Verb,
    help=N_(
        "Say of every lane whether gauge balls still measure what they should.\n\n"
        "Drifted: the whole interval (95 %) of a mean error lies beyond --within-mm. Exit code 1 unless all lanes are within."
    ),
    epilog=EXAMPLES.splitlines()[1],
)
def check(
    line: Line,
    balls: Annotated[
        Path,
        typer.Option(
            "--balls",
            metavar="RUN",
            help=N_("Run of gauge balls recorded with --profile full, or a LINE.toml to run."),
        ),
    ],
    balls_mm: BallsMm = None,
    within_mm: Annotated[
        float, typer.Option("--within-mm", parser=positive, metavar="MM", help=N_("Error that is still good."))
    ] = 0.3,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="PNG", help=N_("Draw the intervals."))] = None,
    seconds: MaybeSeconds = None,
    as_json: Json = False,
) -> int:
    """Check the present calibration."""
    sizes_mm = _sizes(balls, balls_mm)
    from citrus_grade.report.calibration import check_picture
    from citrus_grade.runtime.calibrating import check as measure

    done = measure(line, balls, sizes_mm, within_mm=within_mm, seconds=seconds)
    if picture is not None:
        check_picture(done, picture)
    told = calibrated.checked(done) | ({"written": [str(picture)]} if picture is not None else {})
    out.as_json(told) if as_json else calibrated.show_checked(told)
    return errors.DONE if told["verdict"] == "within" else errors.FINDINGS


@app.command(
    "density",
    cls=Verb,
    help=N_(
        "Measure a variety's density from weighed fruit of a run, 50 or so, and write a calibration set with it.\n\n"
        "WEIGHED.csv holds lane, cup, mass_g a row."
    ),
    epilog=EXAMPLES.splitlines()[2],
)
def density(
    line: Line,
    run: Annotated[Path, typer.Argument(metavar="RUN", help=N_("Run in which the fruit passed, of any profile."))],
    weighed: Annotated[Path, typer.Option("--weighed", metavar="CSV", help=N_("Masses of fruit from the run."))],
    to: Out,
    variety: Annotated[str, typer.Option("--variety", metavar="NAME", help=N_("Variety, for the set's card."))] = "",
    as_json: Json = False,
) -> int:
    """Measure a variety's density."""
    from citrus_grade.report.calibration import density_picture
    from citrus_grade.runtime.calibrating import calibrate_density

    _new(to)
    done, simulated = calibrate_density(line, weighed, run, to, variety)
    picture = to.with_name(to.name + ".png")
    density_picture(done, variety, picture, simulated=simulated)
    kept, n = int(done.kept.sum()), len(done.kept)
    if as_json:
        told = {"mean_g_per_ml": done.mean, "sigma_g_per_ml": done.sigma, "fruit": kept, "left_out": n - kept}
        out.as_json(told | {"simulated": simulated, "written": [str(to), str(picture)]})
        return errors.DONE
    text = _("density {mean:.3f} ± {sigma:.3f} g/ml between fruit, n = {kept} ({out} far off, left out)")
    if simulated:
        out.text("SIMULATED", "bold red")
    out.text(text.format(mean=done.mean, sigma=done.sigma, kept=kept, out=n - kept))
    calibrated.show_written((to, picture))
    return errors.DONE


@app.command(
    "outlets",
    cls=Verb,
    help=N_(
        "Fire every outlet for a test: its delay, how soon it can fire again, which one misses.\n\n"
        "THE BELT STARTS AND EVERY OUTLET FIRES. The PLC must report its drop sensors, and no other program may drive it. Exit"
        " code 1 if an outlet misses or differs."
    ),
    epilog=EXAMPLES.splitlines()[3],
)
def outlets(
    line: Line,
    plc: Annotated[
        str | None,
        typer.Option("--plc", metavar="URL", help=N_("Not the PLC of line.toml but that at tcp://HOST:PORT or rtu:///dev/...")),
    ] = None,
    speeds: Annotated[
        str,
        typer.Option("--speeds", metavar="A,B", help=N_("Belt speeds in cups/s; two that differ tell a way from a delay.")),
    ] = "6,12",
    repeats: Annotated[int, typer.Option("--repeats", min=1, max=50, help=N_("How often all gaps are tried at a speed."))] = 2,
    as_json: Json = False,
) -> int:
    """Measure the outlets."""
    from citrus_grade.cli import outlets_told
    from citrus_grade.runtime.outlets import measure_outlets

    told = outlets_told.told(measure_outlets(line, plc, _speeds(speeds), repeats))
    out.as_json(told) if as_json else outlets_told.show(told)
    return errors.DONE if all(row["verdict"] == "as configured" for row in told["outlets"]) else errors.FINDINGS


def _speeds(given: str) -> tuple[float, ...]:
    """Return the speeds of ``6,12``."""
    try:
        speeds = tuple(float(part) for part in given.split(","))
    except ValueError:
        speeds = (0.0,)
    if not all(0 < speed <= 30 for speed in speeds):
        raise BadInput(_("--speeds {value}: is no list of speeds up to 30 cups/s, such as 6,12").format(value=given))
    return speeds


def _sizes(balls: Path | None, balls_mm: str | None) -> tuple[float, ...]:
    """Return the diameters of ``45,62,80``."""
    if (balls is None) != (balls_mm is None):
        raise BadInput(_("--balls and --balls-mm belong together: a run of gauge balls, and their diameters"))
    try:
        sizes = tuple(float(part) for part in (balls_mm or "").split(",") if part)
    except ValueError:
        sizes = (0.0,)
    if not all(0 < size < 1000 for size in sizes) or len(set(sizes)) < len(sizes):
        raise BadInput(_("--balls-mm {value}: is no list of different diameters in mm, such as 45,62,80").format(value=balls_mm))
    return sizes


def _new(to: Path) -> None:
    if to.exists():
        raise BadInput(_("{path}: exists already; a calibration set is never overwritten, name a new one").format(path=to))


def _spec(charuco: str) -> Any:
    from citrus_grade.calibration.lens import BoardSpec

    try:
        return BoardSpec.parse(charuco)
    except ValueError as error:
        text = _("--charuco {value}: no such board; for instance 12x9:40:30:4X4_100, with markers enough in the dictionary")
        raise BadInput(text.format(value=charuco)) from error
