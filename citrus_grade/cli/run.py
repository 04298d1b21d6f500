"""``citrus-grade run``: run the line that line.toml describes."""

from typing import Annotated

import typer

from citrus_grade.cli import alarms, doctor, errors, out, summary
from citrus_grade.cli.newrun import new_run
from citrus_grade.cli.options import Json, Line, MaybeData, MaybeSeconds, MaybeSeed, NewRun, Profile
from citrus_grade.cli.progress import bar
from citrus_grade.words import N_, _

HELP = N_(
    "Run the line that LINE.toml describes, with the driver it names, until the source ends.\n\n"
    "Checks the whole configuration, and who answers, before anything moves. Every run is recorded into a new run folder."
)
EXAMPLES = (
    "citrus-grade run my-line/line.toml --check\n"
    "citrus-grade run my-line/line.toml --seconds 60\n"
    "citrus-grade run my-line/line.toml --profile full --run runs/monday"
)


def verb(
    line: Line,
    run: NewRun = None,
    profile: Profile = None,
    seconds: MaybeSeconds = None,
    seed: MaybeSeed = None,
    data: MaybeData = None,
    check: Annotated[
        bool, typer.Option("--check", help=N_("Only say what this machine lacks for the line, as `doctor LINE.toml` does."))
    ] = False,
    as_json: Json = False,
) -> int:
    """Run a line."""
    run_dir = new_run(run, "run")
    if check:
        return doctor.examined(line, run_dir, as_json)
    from citrus_grade.config import load
    from citrus_grade.report import page
    from citrus_grade.runlog import LogError
    from citrus_grade.runtime import registry
    from citrus_grade.runtime.live.session import run_live
    from citrus_grade.runtime.session import run_line

    if settled := registry.settle(line):
        out.errors([settled])
    with bar(_("running the line")) as progress:
        config = load(line)
        tell = alarms.telling(config.outlet_names)
        if config.is_live:
            ended = run_live(line, run_dir, profile=profile, seconds=seconds, progress=progress, told=tell)
        else:
            told = alarms.once(tell)
            ended = run_line(line, run_dir, profile=profile, seconds=seconds, seed=seed, data=data, progress=progress, told=told)
    try:
        ended = page.with_report(ended)
    except (OSError, LogError) as error:  # a disk that takes no report, or gives no log, is no reason to say nothing of the run
        out.errors(errors.explain(error).problems)
    summed = ended.to_dict()
    out.as_json(summed) if as_json else summary.show(summed)
    return errors.DONE
