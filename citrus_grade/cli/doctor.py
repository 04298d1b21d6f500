"""``citrus-grade doctor``: is this machine, and this line, fit to grade?"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from citrus_grade.cli import errors, out
from citrus_grade.cli.findings import Finding
from citrus_grade.cli.options import Json
from citrus_grade.words import N_, _

HELP = N_(
    "Check this machine, and with LINE.toml also its configuration, plan, artefacts, drivers and devices.\n\n"
    "Devices of a live line are asked who they are; nothing is set, started or moved. "
    "Each finding says what was found and how to mend it. Exit code 1 where something fails; warnings leave it at 0."
)
EXAMPLES = "citrus-grade doctor\ncitrus-grade doctor my-line/line.toml --json"
STYLES = {"ok": "green", "warn": "yellow", "fail": "bold red"}
WORDS = {"ok": N_("ok"), "warn": N_("warning"), "fail": N_("FAILS")}


def verb(
    line: Annotated[Path | None, typer.Argument(metavar="LINE.toml", help=N_("Configuration of the line."))] = None,
    as_json: Json = False,
) -> int:
    """Examine the machine and the line."""
    from citrus_grade.cli.newrun import RUNS

    return examined(line, RUNS, as_json)


def examined(line: Path | None, folder: Path, as_json: bool) -> int:
    """Say what was found of this machine and of a line whose run would be written to ``folder``; return the exit code."""
    from citrus_grade.cli import doctor_line, doctor_machine

    findings = list(doctor_machine.examine(folder))
    if line is not None:
        findings += doctor_line.examine(line, folder)
    failed = any(finding.state == "fail" for finding in findings)
    if as_json:
        out.as_json({"ok": not failed, "findings": [finding.to_dict() for finding in findings]})
    else:
        _show(findings)
    return errors.FINDINGS if failed else errors.DONE


def _show(findings: Iterable[Finding]) -> None:
    for finding in findings:
        state = _(WORDS[finding.state])
        out.text(f"{state:8} {finding.what}: {finding.found}", STYLES[finding.state])
        if finding.fix:
            out.text(f"{'':8} -> {finding.fix}")
