"""A run whose references were taken anew on the way: kept, replayed to the bit, cut anywhere, and each decision explained."""

import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from citrus_grade.messages import Command, Decisions, References
from citrus_grade.replay import replay
from citrus_grade.report import seen as report_seen
from citrus_grade.rundir import reopen
from citrus_grade.runlog import LogReader, files
from citrus_grade.runlog.export import export
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime.session import run_line
from citrus_grade.spectra.predict import align, predict
from citrus_grade.spectra.traits import empty_traits

SECONDS = 5.0
ASKED = """
[[command]]
kind = "white_refresh"
at_min = 0.02

[[command]]
kind = "dark_refresh"
at_min = 0.02
every_min = 0.04
"""


@pytest.fixture(scope="module", params=["normal", "full"])
def run(request: pytest.FixtureRequest, line_toml: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Log files begin before, within and after refreshes."""
    folder = Path(shutil.copytree(line_toml.parent, tmp_path_factory.mktemp("refreshed") / "line"))
    text = (folder / "line.toml").read_text(encoding="utf-8").replace("file_minutes = 10.0", "file_minutes = 0.01")
    text = text.replace("[source]", "[source]\nnir_late_h = 40") + ASKED
    (folder / "line.toml").write_text(text, encoding="utf-8")
    run_line(folder / "line.toml", folder / "run", profile=request.param, seconds=SECONDS)
    return folder / "run"


def entries(run: Path) -> list[object]:
    return [entry for path in files(run) for entry in LogReader(path)]


def test_commands_and_new_references_stand_in_the_log(run: Path) -> None:
    log = entries(run)
    commands = [m.kind for entry in log if isinstance(entry, Fed) for m in entry.messages if isinstance(m, Command)]
    assert commands[:3] == ["lot", "white_refresh", "dark_refresh"]
    taken = [entry for entry in log if isinstance(entry, References)]
    assert {new.lane for new in taken} == set(range(6))
    named = {int(key) for entry in log if isinstance(entry, Decisions) for key in entry.rows["reference_id"]}
    assert named - {0} <= {new.reference_id for new in taken}
    assert len(named) > 6
    columns = pq.read_table(run / "fruit.parquet").to_pydict()["reference_id"]
    assert {int(text, 16) for text in columns} == named


def test_it_replays_to_the_bit(run: Path) -> None:
    report = replay(run)
    assert (report.diff_fields, report.compared) == (0, report.decisions)
    assert report.decisions > 300


@pytest.mark.parametrize("share", [0.15, 0.5, 0.85])
def test_a_file_cut_anywhere_replays_as_far_as_it_goes(run: Path, share: float, tmp_path: Path) -> None:
    for index in range(1, len(files(run)), 2):
        cut = Path(shutil.copytree(run, tmp_path / f"cut-{index}"))
        path = files(cut)[index]
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        report = replay(cut)
        assert report.diff_fields == 0
        assert report.truncated


def test_what_if_goes_through_the_same_refreshes(run: Path) -> None:
    calibration = next((run / "calibrations").iterdir())
    answer = replay(run, calibration=calibration).what_if
    assert answer is not None
    assert answer["changed"] == 0


def test_every_value_follows_from_the_references_its_decision_names(run: Path) -> None:
    loaded = reopen(run)
    assert loaded.model is not None
    assert loaded.config.spectrometer is not None
    rows = [row for entry in entries(run) if isinstance(entry, Decisions) for row in entry.rows]
    some = [row for row in rows if row["reference_id"] > 0 and row["scans_received"] == loaded.config.spectrometer.scans][::40]
    assert len(some) > 3
    for row in some:
        fruit = report_seen.look_up(run, loaded, int(row["lane"]), int(row["cup"]))
        aligned = align(loaded.calibration.axis_nm(loaded.config)[[row["lane"]]], loaded.model.wavelength_nm)
        counts, out = np.stack(fruit.counts)[None], empty_traits(1)
        received = np.ones(counts.shape[:2], np.bool_)
        full_scale = loaded.config.spectrometer.full_scale
        predict(loaded.model, aligned, counts, received, fruit.dark[None], fruit.white[None], full_scale, out)
        np.testing.assert_array_equal(out["value"][0], row["trait"])


def test_scans_of_a_shutter_belong_to_no_cup(run: Path, tmp_path: Path) -> None:
    export(run, tmp_path / "out", "parquet")
    scans = pq.read_table(tmp_path / "out" / "scans.parquet").to_pydict()
    dark = np.array([max(counts) for counts in scans["counts"]]) < 2000
    assert dark.sum() > 6 * 32
    assert set(np.array(scans["cup"])[dark]) == {-1}
