"""``citrus-grade simulate``: a simulated line, no device and no model needed."""

from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out, summary
from citrus_grade.cli.errors import BadInput
from citrus_grade.cli.newrun import new_run
from citrus_grade.cli.options import Json, MaybeSeconds, MaybeSeed, NewRun, Profile
from citrus_grade.cli.progress import bar
from citrus_grade.templates import LINE
from citrus_grade.words import N_, _

HELP = N_(
    "Run a simulated line as fast as the machine allows and record it.\n\n"
    "LINE.toml gives its geometry, sort plan and artefacts; without it the line of `citrus-grade init` is simulated."
)
EXAMPLES = "citrus-grade simulate --seconds 20\ncitrus-grade simulate my-line/line.toml --profile full --seed 7"


def verb(
    line: Annotated[
        Path | None, typer.Argument(metavar="LINE.toml", help=N_('Configuration whose [source] has driver = "sim".'))
    ] = None,
    run: NewRun = None,
    profile: Profile = None,
    seconds: MaybeSeconds = None,
    seed: MaybeSeed = None,
    as_json: Json = False,
) -> int:
    """Run a simulated line."""
    run_dir = new_run(run, "sim")
    from citrus_grade import config
    from citrus_grade.report import page
    from citrus_grade.runtime.session import run_line

    driver = config.load(line or LINE).source.get("driver", "sim")
    if driver != "sim":
        raise BadInput(
            _('{path}: source.driver: {driver!r} is no simulation; write driver = "sim", or use `citrus-grade run`').format(
                path=line, driver=driver
            )
        )
    with bar(_("grading simulated fruit")) as progress:
        ended = run_line(line or LINE, run_dir, profile=profile, seconds=seconds, seed=seed, progress=progress)
    data = page.with_report(ended).to_dict()
    out.as_json(data) if as_json else summary.show(data)
    return errors.DONE
