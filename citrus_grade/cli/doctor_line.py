"""The doctor's look at a line: its configuration, its drivers and devices, and the artefacts it names."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from citrus_grade.cli import doctor_devices, doctor_live
from citrus_grade.cli.findings import Finding
from citrus_grade.cli.newrun import RUNS
from citrus_grade.words import _

if TYPE_CHECKING:
    from citrus_grade.config import LineConfig


def examine(path: Path, folder: Path = RUNS) -> Iterator[Finding]:
    """Look at the line that ``path`` describes; ``folder`` is where its run would be written."""
    from citrus_grade.config import ConfigError, load

    what = _("configuration")
    try:
        line = load(path)
    except ConfigError as error:
        yield from (Finding(what, "fail", problem, _("correct it in {path}").format(path=path)) for problem in error.problems)
        return
    yield Finding(
        what, "ok", _("{name}: {lanes} lanes, {n} outlets").format(name=line.line.name, lanes=line.line.lanes, n=len(line.outlet))
    )
    if line.is_live:
        yield from doctor_live.examine(line, folder)
        yield from doctor_devices.drivers(line)
        yield from doctor_devices.devices(line)
    else:
        yield driver(str(line.source.get("driver", "sim")))
    yield from artefacts(path, _to_be_made(line, path.parent))
    if line.spectrometer and line.files.model is None:
        yield Finding(_("model"), "warn", _("none: no sugar and no acid is known"), _("name one in line.toml, files.model"))
    if line.files.calibration is None:
        yield Finding(
            _("calibration"),
            "warn",
            _("none: sizes are those of the drawing board"),
            _("name one in line.toml, files.calibration"),
        )


def driver(name: str) -> Finding:
    """Is there a driver of this name?"""
    from importlib.metadata import entry_points

    known = sorted(entry_points(group="citrus_grade.drivers").names)
    fix = _("write one of {names} as source.driver, or install the package that brings it").format(names=", ".join(known) or "-")
    if name not in known:
        return Finding(_("driver"), "fail", _("there is no driver {name!r}").format(name=name), fix)
    try:
        entry_points(group="citrus_grade.drivers", name=name)[name].load()
    except (ImportError, AttributeError) as error:
        return Finding(_("driver"), "fail", f"{name}: {error}", _("install what it needs"))
    return Finding(_("driver"), "ok", name)


def _to_be_made(line: "LineConfig", folder: Path) -> list[str]:
    """Return the artefacts that a line of files makes itself at its first run and has not made yet."""
    if line.source.get("driver") != "files":
        return []
    return [name for name in (line.files.model, line.files.calibration) if name and not (folder / name).exists()]


def artefacts(path: Path, to_be_made: list[str]) -> Iterator[Finding]:
    """Do plan, model and calibration load, and fit the line?"""
    from citrus_grade.artefacts import ArtefactError
    from citrus_grade.config import ConfigError
    from citrus_grade.report.sureness import conditions
    from citrus_grade.rundir import load_line

    what = _("plan and artefacts")
    if to_be_made:
        text = _("not made yet: {names}").format(names=", ".join(to_be_made))
        yield Finding(what, "warn", text, _("the first `citrus-grade run` of this line makes them"))
        return
    try:
        loaded = load_line(path)
    except (ConfigError, ArtefactError) as error:
        for problem in str(error).splitlines():
            yield Finding(what, "fail", problem, _("correct the file or name another in line.toml"))
        return
    found = _("plan {plan}, model {model}, calibration {calibration}").format(
        plan=loaded.plan.id, model=loaded.model_id or "-", calibration=loaded.calibration.id
    )
    for text, artefact_id in ((_(", classifier {id}"), loaded.classifier_id), (_(", model on trial {id}"), loaded.shadow_id)):
        found += text.format(id=artefact_id) if artefact_id else ""
    yield Finding(what, "ok", found)
    for grade, condition, reads in conditions(loaded.plan, loaded.residuals):
        text = _("{grade}: {condition}; met by readings of {reads}").format(grade=grade, condition=condition, reads=reads)
        yield Finding(_("sort plan"), "ok", text)
