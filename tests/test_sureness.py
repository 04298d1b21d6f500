"""A plan's probabilities in words, in the report of a run and at the doctor's."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.cli.doctor_line import examine
from citrus_grade.grading import plan as plans
from citrus_grade.grading.chance import readings
from citrus_grade.lots import columns
from citrus_grade.report import page
from citrus_grade.report.charts import _cuts
from citrus_grade.report.rundata import read
from citrus_grade.report.sureness import asked, conditions
from citrus_grade.rundir import Loaded
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import DECISION, empty

PLAN = """
name = "sure"
[[rule]]
grade = "gift"
outlets = ["1"]
ssc_brix = { min = 11.5, probability = 0.7 }
[[rule]]
grade = "mild"
outlets = ["2"]
ta_pct = { min = 0.3, max = 1.2, probability = 0.5 }
[[rule]]
grade = "rest"
outlets = ["3"]
"""


@pytest.fixture(scope="module")
def sure_line(line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A simulated line that sorts by probabilities: its ``line.toml``."""
    folder = tmp_path_factory.mktemp("sure")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    text = line_toml.read_text(encoding="utf-8")
    for name in ("model", "calibration"):
        text = text.replace(f'"{name}"', f'"{line_toml.parent / name}"')
    (folder / "line.toml").write_text(text, encoding="utf-8")
    return folder / "line.toml"


def test_a_condition_is_said_with_the_readings_it_takes(loaded: Loaded) -> None:
    plan = plans.parse(PLAN, loaded.targets, loaded.config.outlet_names[:-1], residuals=loaded.residuals)
    (gift, sweet, reads), (mild, sour, between) = conditions(plan, loaded.residuals)
    assert (gift, mild) == ("gift", "mild")
    assert "11.5 and more" in sweet
    assert "0.7" in sweet
    assert "0.3 up to 1.2" in sour
    least, most = readings(plan.chances[0], loaded.residuals["ssc_brix"])
    assert reads == f"{least:.2f} and more"
    assert 11.5 < least < 12.5
    assert most == np.inf
    assert re.fullmatch(r"0\.\d\d up to 1\.\d\d", between)
    assert asked(replace(plan.chances[1], low=-np.inf)).startswith("acid (TA), citric acid %: below 1.2")


def test_the_fruit_table_names_the_grade_that_was_missed() -> None:
    rows = empty(DECISION, 2)
    rows["rule"], rows["missed_rule"] = (1, 0), (0, -1)
    named = columns(rows, ("ssc_brix",), ("gift", "rest"), ("1", "2", "default"))
    assert named["missed_grade"].tolist() == ["gift", ""]
    assert named["grade"].tolist() == ["rest", "gift"]
    assert {"rule_probability", "missed_probability"} <= set(named)


def test_report_and_doctor_say_how_sure_a_grade_is(sure_line: Path, tmp_path: Path) -> None:
    run_line(sure_line, tmp_path / "run", profile="normal", seconds=1.5)
    run = read(tmp_path / "run")
    missed = int((run.fruit["missed_grade"] == "gift").sum())
    assert missed > 0
    text = page.write(tmp_path / "run").read_text(encoding="utf-8")
    (row,) = re.findall(r"<tr><td>gift</td><td>[^<]*0\.7[^<]*</td><td>([^<]*)</td>.*?<td class=n>(\d+)</td></tr>", text)
    assert row[0].endswith("and more")
    assert int(row[1]) == missed
    least, _most = readings(run.loaded.plan.chances[0], run.loaded.residuals["ssc_brix"])
    assert _cuts(run, "ssc_brix") == [round(least, 6)]
    said = [finding for finding in examine(sure_line) if "11.5" in finding.found]
    assert [finding.state for finding in said] == ["ok"]
    assert f"{least:.2f}" in said[0].found
