"""Replay: nothing differs, and what does is named."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from citrus_grade import artefacts
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.cli.doctor_line import artefacts as artefacts_of
from citrus_grade.messages import Decisions, OutletReport, Pulse
from citrus_grade.replay import PIXELS, SEAM, replay
from citrus_grade.rundir import with_value
from citrus_grade.runlog import LogError, LogReader, LogWriter, files, info, recover
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime import recorder
from citrus_grade.runtime.session import run_line
from citrus_grade.runtime.training import train_grade
from citrus_grade.spectra.bundle import KIND as MODEL
from citrus_grade.tables import fresh


def decisions_of(run):
    return [entry.rows for path in files(run) for entry in LogReader(path, frames=False) if isinstance(entry, Decisions)]


def assert_equal(report, n):
    assert report.first_differences == []
    assert report.diff_fields == 0
    assert report.decisions == report.compared == n


@pytest.mark.parametrize(("name", "entered"), [("full_run", PIXELS), ("normal_run", SEAM)])
def test_a_run_replays_to_the_same_bits_and_says_from_where(request, name, entered):
    run = request.getfixturevalue(name)
    report = replay(run.folder)
    assert report.entered == entered
    assert_equal(report, run.summary.cups)
    assert not report.truncated
    assert report.what_if is None
    assert report.line_s > 1
    json.dumps(report.to_dict())


def test_both_profiles_recorded_the_same_decisions(full_run, normal_run):
    full, normal = (b"".join(rows.tobytes() for rows in decisions_of(run.folder)) for run in (full_run, normal_run))
    assert full == normal


def test_an_undisturbed_line_alarms_nobody(normal_run):
    assert normal_run.summary.alarms == {}


@pytest.fixture(scope="module")
def several(line_toml, tmp_path_factory):
    """A run whose log changes files every 0.6 s of line time."""
    folder = tmp_path_factory.mktemp("several")
    text = re.sub(r"file_minutes = [\d.]+", "file_minutes = 0.01", line_toml.read_text(encoding="utf-8"))
    (line_toml.parent / "several.toml").write_text(text, encoding="utf-8")
    return folder, run_line(line_toml.parent / "several.toml", folder / "run", profile="normal", seconds=1.5)


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_file_of_a_long_run_replays_alone_and_in_parallel(several, jobs):
    folder, summary = several
    assert len(files(folder / "run")) > 3
    progress = []
    report = replay(folder / "run", jobs=jobs, progress=lambda done, total: progress.append((done, total)))
    assert_equal(report, summary.cups)
    n = len(files(folder / "run"))
    assert progress == [(k + 1, n) for k in range(n)]


def test_a_run_replays_when_its_first_files_are_gone(several, tmp_path):
    run = copy(several[0] / "run", tmp_path)
    for path in files(run)[:2]:
        path.unlink()
    report = replay(run)
    assert report.decisions > 0
    assert_equal(report, info(run)["decisions"])


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_another_plan_is_answered_over_all_files_and_from_the_middle_of_a_run(several, tmp_path, gone):
    run = copy(several[0] / "run", tmp_path)
    for path in files(run)[:gone]:
        path.unlink()
    what_if = replay(run, plan=same_plan(run, tmp_path)).what_if
    assert what_if["changed"] == 0
    assert what_if["packout_after"] == what_if["packout_before"] != {}


def copy(run, tmp_path):
    return shutil.copytree(run, tmp_path / "copy")


def plan_of(run):
    (path,) = (run / "plans").glob("*.toml")
    return path


def same_plan(run, tmp_path):
    """The run's own plan, with another id."""
    path = tmp_path / "same.toml"
    path.write_text(plan_of(run).read_text(encoding="utf-8") + "# by another name\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["full_run", "normal_run"])
def test_a_run_cut_at_any_byte_is_equal_up_to_the_cut(request, name, tmp_path):
    run = request.getfixturevalue(name)
    folder, size = run.copy(tmp_path / "run"), run.log.stat().st_size
    log, data = folder / "log" / "000000.mcap", run.log.read_bytes()
    log.unlink()
    compared = []
    for at in (0, 5, 300, size // 3, size // 2, size * 3 // 4, size - 40_000, size - 1):
        log.with_suffix(".mcap.active").write_bytes(data[:at])
        report = replay(folder)
        assert_equal(report, report.decisions)
        assert report.truncated
        compared.append(report.compared)
    assert compared == sorted(compared)
    assert compared[0] == 0
    assert compared[-1] == run.summary.cups


@pytest.mark.parametrize("name", ["full_run", "normal_run"])
def test_a_recovered_run_is_equal_and_counted_once(request, name, tmp_path):
    run = request.getfixturevalue(name)
    data = run.log.read_bytes()
    for share in (0.9, 0.95, 0.99):
        folder = run.copy(tmp_path / str(share))
        log = folder / "log" / "000000.mcap"
        log.with_name("000000.mcap.active").write_bytes(data[: int(share * len(data))])
        log.unlink()
        expected = replay(folder).compared
        recover(folder)
        assert_equal(replay(folder), expected)


def test_a_decision_that_was_tampered_with_is_found_and_named(line_toml, tmp_path, monkeypatch):
    class Forger(LogWriter):
        def gave(self, outputs):
            super().gave(tuple(Decisions(forged(o.rows)) if isinstance(o, Decisions) else o for o in outputs))

    def forged(rows):
        rows = fresh(rows)
        rows["diameter_mm"][(rows["lane"] == 3) & (rows["cup"] == 5)] = 99.5
        rows["outlet"][(rows["lane"] == 1) & (rows["cup"] == 7)] = 4
        return rows

    monkeypatch.setattr(recorder, "LogWriter", Forger)
    run_line(line_toml, tmp_path / "run", seconds=1.0)
    report = replay(tmp_path / "run")
    assert report.diff_fields == 2
    assert [(d.lane, d.cup, d.field) for d in report.first_differences] == [(3, 5, "diameter_mm"), (1, 7, "outlet")]
    assert report.first_differences[0].recorded == "99.5"
    assert report.first_differences[1].recorded == "4"
    assert replay(tmp_path / "run", lanes=(0, 2)).diff_fields == 0
    assert replay(tmp_path / "run", lanes=(1,)).diff_fields == 1


def test_a_decision_that_is_missing_is_counted_and_named(line_toml, tmp_path, monkeypatch):
    class Forgetful(LogWriter):
        def gave(self, outputs):
            super().gave(tuple(Decisions(short(o.rows)) if isinstance(o, Decisions) else o for o in outputs))

    def short(rows):
        return rows[:-1] if rows["cup"][0] == 4 else rows

    monkeypatch.setattr(recorder, "LogWriter", Forgetful)
    run_line(line_toml, tmp_path / "run", profile="full", seconds=0.5)
    report = replay(tmp_path / "run")
    assert report.diff_fields > 0
    assert (report.first_differences[0].lane, report.first_differences[0].cup) == (5, 4)


def test_chosen_lanes_are_all_that_is_compared(normal_run):
    report = replay(normal_run.folder, lanes=(0, 3))
    assert_equal(report, normal_run.summary.cups // 3)


def test_a_lane_that_the_line_does_not_have_is_an_error(normal_run):
    with pytest.raises(LogError, match="9"):
        replay(normal_run.folder, lanes=(0, 9))


def test_the_same_plan_by_another_name_changes_nothing(normal_run, tmp_path):
    report = replay(normal_run.folder, plan=same_plan(normal_run.folder, tmp_path))
    assert report.what_if["changed"] == 0
    assert report.what_if["packout_before"] == report.what_if["packout_after"]
    assert sum(report.what_if["packout_before"].values()) > 0


def test_another_plan_changes_the_packout(normal_run, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text('name = "all"\n[[rule]]\ngrade = "juice"\noutlets = ["6"]\n', encoding="utf-8")
    what_if = replay(normal_run.folder, plan=plan).what_if
    assert set(what_if["packout_after"]) <= {"juice", "ungraded"}
    assert what_if["packout_after"]["juice"] > 0
    assert 0 < what_if["changed"] <= sum(what_if["packout_before"].values())
    assert sum(what_if["packout_before"].values()) == sum(what_if["packout_after"].values())


def test_another_calibration_changes_the_packout(normal_run, loaded, tmp_path):
    arrays = loaded.calibration.arrays() | {"scale": loaded.calibration.scale * 0.8}
    artefacts.save(tmp_path / "smaller", CALIBRATION, {}, arrays)
    what_if = replay(normal_run.folder, calibration=tmp_path / "smaller").what_if
    assert what_if["changed"] > 0


def test_another_model_is_asked_and_the_same_one_agrees(normal_run, line_toml, tmp_path):
    assert replay(normal_run.folder, model=line_toml.parent / "model").what_if["changed"] == 0
    stored = artefacts.load(line_toml.parent / "model", MODEL)
    arrays = {name: array - [3.0, 0.0] if name == "corrections" else array for name, array in stored.arrays.items()}
    artefacts.save(tmp_path / "sour", MODEL, dict(stored.card), arrays)
    assert replay(normal_run.folder, model=tmp_path / "sour").what_if["changed"] > 0


def test_a_run_that_kept_decisions_only_cannot_be_replayed(line_toml, tmp_path):
    run_line(line_toml, tmp_path / "run", profile="off", seconds=0.3)
    assert info(tmp_path / "run")["messages"] == 0
    with pytest.raises(LogError, match="profile off"):
        replay(tmp_path / "run")


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(LogError, match=r"run\.json"):
        replay(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"software": "0.0.0"}', '{"profile": "half"}'])
def test_a_run_that_does_not_say_how_it_was_recorded_is_refused(normal_run, tmp_path, text):
    folder = normal_run.copy(tmp_path / "run")
    (folder / "run.json").write_text(text, encoding="utf-8")
    with pytest.raises(LogError, match="run"):
        replay(folder)


def test_a_run_whose_plan_was_changed_since_is_refused(normal_run, tmp_path):
    folder = normal_run.copy(tmp_path / "run")
    with plan_of(folder).open("a", encoding="utf-8") as file:
        file.write("# a note\n")
    with pytest.raises(LogError, match="plan"):
        replay(folder)


def test_a_log_of_another_line_is_refused(normal_run, tmp_path):
    folder = normal_run.copy(tmp_path / "run")
    text = (folder / "line.toml").read_text(encoding="utf-8")
    (folder / "line.toml").write_text(text.replace("decision_station = 17", "decision_station = 19"), encoding="utf-8")
    report = replay(folder)
    assert report.diff_fields > 0


def test_a_log_whose_snapshot_is_of_another_program_is_refused(config, normal_run, tmp_path):
    folder = normal_run.copy(tmp_path / "run")
    writer = LogWriter(folder / "log" / "000000.mcap", config, b"no snapshot of this program", "normal")
    writer.close()
    with pytest.raises(LogError, match="snapshot"):
        replay(folder)


def test_the_log_holds_what_the_plc_said(normal_run):
    fed = [entry for entry in LogReader(normal_run.log) if isinstance(entry, Fed)]
    reports = [m for entry in fed for m in entry.messages if isinstance(m, OutletReport)]
    pulses = [m for entry in fed for m in entry.messages if isinstance(m, Pulse)]
    rows = np.concatenate(decisions_of(normal_run.folder))
    ordered = rows[rows["fire_tick"] >= 0]
    assert {(r.lane, r.cup, r.outlet) for r in reports if r.state == "fired"} == set(
        zip(ordered["lane"].tolist(), ordered["cup"].tolist(), ordered["outlet"].tolist(), strict=True)
    )
    assert len(pulses) > 20


CLASS_PLAN = """
name = "by class"
[[rule]]
grade = "first"
outlets = ["1"]
class = ["A"]
[[rule]]
grade = "rest"
outlets = ["2"]
"""


@pytest.fixture(scope="module")
def classified(line_toml, normal_run, tmp_path_factory):
    """A run whose fruit were graded by a forest learnt from labels of another run."""
    place = tmp_path_factory.mktemp("classified")
    folder = Path(shutil.copytree(line_toml.parent, place / "line"))
    shutil.copytree(normal_run.folder, place / "earlier")
    fruit = pq.read_table(place / "earlier" / "fruit.parquet").to_pylist()
    rows = [
        {"run": "earlier", "lane": row["lane"], "cup": row["cup"], "day": k % 3, "class": "AB"[row["diameter_mm"] > 62]}
        for k, row in enumerate(row for row in fruit if row["fruit_views"] > 0)
    ]
    pq.write_table(pa.Table.from_pylist(rows), place / "labels.parquet")
    _report, classifier_id = train_grade(place / "labels.parquet", "class", folder / "grades", order=("A", "B"), family="forest")
    (folder / "plan.toml").write_text(CLASS_PLAN, encoding="utf-8")
    text = (folder / "line.toml").read_text(encoding="utf-8")
    (folder / "line.toml").write_text(with_value(text, "files", "classifier", "grades"), encoding="utf-8")
    summary = run_line(folder / "line.toml", place / "run", profile="normal", seconds=1.5)
    shutil.rmtree(folder)
    return place / "run", summary, classifier_id


def test_a_run_with_a_classifier_replays_to_the_same_bits_from_its_folder_alone(classified):
    run, summary, classifier_id = classified
    assert [path.name for path in (run / "classifiers").iterdir()] == [classifier_id]
    report = replay(run)
    assert report.first_differences == []
    assert (report.diff_fields, report.compared) == (0, summary.cups)


def test_the_doctor_names_the_classifier_of_a_line(classified):
    run, _summary, classifier_id = classified
    (found,) = artefacts_of(run / "line.toml", [])
    assert found.state == "ok"
    assert f"classifier {classifier_id}" in found.found


def fruit_table(run):
    return pq.read_table(run / "fruit.parquet").to_pylist()


def test_the_fruit_table_tells_the_class_in_words(classified):
    run, _summary, classifier_id = classified
    rows = fruit_table(run)
    graded = [row for row in rows if row["reason"] == "graded"]
    assert {row["grade_class"] for row in graded} == {"A", "B"}
    assert all((row["grade"] == "first") == (row["grade_class"] == "A") for row in graded)
    assert {row["grade_class"] for row in rows if row["reason"] == "empty"} == {""}
    assert {row["classifier_id"] for row in rows} == {classifier_id}
    assert np.mean([(row["diameter_mm"] > 62) == (row["grade_class"] == "B") for row in graded]) > 0.9


def test_another_plan_for_the_same_classifier_is_answered(classified, tmp_path):
    run, _summary, _id = classified
    (tmp_path / "plan.toml").write_text(CLASS_PLAN.replace('["A"]', '["B"]'), encoding="utf-8")
    what_if = replay(run, plan=tmp_path / "plan.toml").what_if
    before, after = what_if["packout_before"], what_if["packout_after"]
    assert (after["first"], after["rest"]) == (before["rest"], before["first"])


def test_a_run_recorded_without_a_classifier_is_answered_with_one(classified, normal_run, tmp_path):
    (folder,) = (classified[0] / "classifiers").iterdir()
    (tmp_path / "plan.toml").write_text(CLASS_PLAN, encoding="utf-8")
    what_if = replay(normal_run.folder, plan=tmp_path / "plan.toml", classifier=folder).what_if
    small = [row["diameter_mm"] < 62 for row in fruit_table(normal_run.folder) if row["reason"] == "graded"]
    assert what_if["packout_after"]["first"] == pytest.approx(sum(small), abs=0.15 * len(small))
    assert what_if["packout_after"]["rest"] > 0


def test_a_run_that_lost_its_classifier_is_refused_by_name(classified, tmp_path):
    run = copy(classified[0], tmp_path)
    shutil.rmtree(run / "classifiers")
    with pytest.raises(artefacts.ArtefactError, match="classifiers"):
        replay(run)
