"""``citrus-grade demo``: a first model and a simulated minute, from nothing."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out, summary
from citrus_grade.cli.newrun import new_run
from citrus_grade.cli.options import Json, Seconds, Seed
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

HELP = N_(
    "Fit a first model on a simulated labelled batch, run a simulated six-lane line and show the packout.\n\n"
    "Needs no device. Writes a run folder with the log, the fruit table, pictures and a report to open in a browser. "
    "The same seed gives the same packout."
)
EXAMPLES = "citrus-grade demo\ncitrus-grade demo --seconds 10 --seed 7 --json"


def verb(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help=N_("New run folder; otherwise one under runs/."))] = None,
    seed: Seed = 1,
    seconds: Seconds = 60.0,
    as_json: Json = False,
) -> int:
    """Fit, run, show."""
    run_dir = new_run(folder, "demo")
    from citrus_grade.runtime import warming

    with ExitStack() as stack:
        compiled: Callable[[], None] = _nothing
        if not warming.is_cached():
            out.note(_("The first start compiles the program for this machine; that takes a minute or two."))
            compiled = stack.enter_context(warming.compiled_beside())
        from citrus_grade.report import page  # what these load compiles; it is to do so beside the other
        from citrus_grade.runtime.demo import run_demo

        with bar(_("grading simulated fruit")) as progress:
            ended = run_demo(run_dir, seed=seed, seconds=seconds, progress=progress, compiled=compiled)
    data = page.with_report(ended).to_dict()
    out.as_json(data) if as_json else summary.show(data)
    return errors.DONE


def _nothing() -> None:
    """Wait for nothing."""
