"""The faults of a line, how many are held, and their page: ``python -m benchmarks.fault_page`` rewrites ``docs/faults.md``.

Everything comes from ``docs/faults.toml``.
"""

import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
TABLE: Final = ROOT / "docs" / "faults.toml"
PAGE: Final = ROOT / "docs" / "faults.md"
BEGIN: Final = """# Faults

What may go wrong on a line, how it is made to go wrong here, and what happens then. After each, whatever it was:

1. every cup that passed has exactly one decision;
2. nothing fell that was not ordered, and what was not graded went to the default outlet;
3. nothing was fired late or twice;
4. the counts agree, and the log replays with 0 differing fields up to where it was cut.

Every row names the tests that hold it (`make test`; the whole-line ones are marked `fault`: `pytest -m fault`).
`python -m benchmarks.faults --json --only held` runs them and counts the numbered faults that are held. Devices are simulated or
emulated, so what is shown is SIMULATED; what happens to processes, files, sockets and clocks is real.
`python -m benchmarks.fault_page` makes this page from `faults.toml`.
"""


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong. ``number`` : by which it is counted, 0 where it is not. ``tests`` : files or node ids below ``tests/``."""

    group: str
    name: str
    made_by: str
    happens: str
    tests: tuple[str, ...]
    figures: str = ""
    number: int = 0

    @property
    def title(self) -> str:
        """Its number, if it has one, and its name."""
        return f"{self.number} {self.name}" if self.number else self.name


def read() -> tuple[list[Fault], list[str]]:
    """Return the faults, and what is not held, in the table's order."""
    table = tomllib.loads(TABLE.read_text(encoding="utf-8"))
    faults = [Fault(**row | {"tests": tuple(row["tests"])}) for row in table["fault"]]
    return faults, [row["what"] for row in table["not_held"]]


def page() -> str:
    """Return the page as Markdown."""
    faults, not_held = read()
    parts = [BEGIN]
    for group, found in groupby(faults, key=lambda fault: fault.group):
        head = [f"## {group}", "", "| | fault | made by | what happens | figures | tests |", "|---|---|---|---|---|---|"]
        parts.append("\n".join([*head, *map(_row, found), ""]))
    without = [f"- {fault.name.capitalize()}: {fault.happens}." for fault in faults if not fault.tests]
    parts.append("\n".join(["## Not held yet", "", *without, *(f"- {what}" for what in not_held), ""]))
    return "\n".join(parts)


def _row(fault: Fault) -> str:
    tests = "<br>".join(f"`{test}`" for test in fault.tests)
    cells = (str(fault.number or ""), fault.name, fault.made_by, fault.happens, fault.figures, tests)
    return "| " + " | ".join(cells) + " |"


def held(faults: Sequence[Fault]) -> dict[str, Any]:
    """Run the tests of numbered faults; return how many faults are held, of how many, and why the others are not."""
    counted = [fault for fault in faults if fault.number]
    asked = sorted({f"tests/{test}" for fault in counted for test in fault.tests})
    outcomes = _outcomes(asked)
    reasons = {fault.title: why for fault in counted if (why := failed(fault, outcomes))}
    return {
        "held": len(counted) - len(reasons),
        "of": len(counted),
        "failed": [f"{title}: {why}" for title, why in reasons.items()],
    }


def failed(fault: Fault, outcomes: Mapping[str, str]) -> str:
    """Return why a fault is not held, "" if it is: each of its tests has run and passed, whatever its parameters.

    ``outcomes`` : "passed", "failed" or "skipped" by ``file::test[parameters]``.
    """
    if not fault.tests:
        return "no test"
    for test in fault.tests:
        ran = {name: outcome for name, outcome in outcomes.items() if name == test or name.startswith((f"{test}::", f"{test}["))}
        if not ran:
            return f"{test} did not run"
        for name, outcome in ran.items():
            if outcome != "passed":
                return f"{name} {outcome}"
    return ""


def _outcomes(tests: Sequence[str]) -> dict[str, str]:
    """Run tests in another process; return how each ended."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}", *tests]
        subprocess.run(command, cwd=ROOT, stdout=sys.stderr, check=False)
        return dict(map(_outcome, ElementTree.parse(report).iter("testcase")))


def _outcome(case: ElementTree.Element) -> tuple[str, str]:
    kinds = {child.tag for child in case}
    outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
    file = case.attrib["classname"].removeprefix("tests.").replace(".", "/")
    return f"{file}.py::{case.attrib['name']}", outcome


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
