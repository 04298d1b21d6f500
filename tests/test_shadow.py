"""A model on trial: it predicts beside the live one on every fruit, and decides nothing."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError
from citrus_grade.cli import errors, main
from citrus_grade.replay import replay
from citrus_grade.rundir import Loaded, load_line, reopen, with_value
from citrus_grade.runtime.session import run_line
from citrus_grade.runtime.trial import compare_run
from citrus_grade.runtime.writing import write_table
from citrus_grade.spectra import bundle
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra_table import SpectraTableError
from tests.conftest import RUN_S, Run

HIGHER = (0.5, -0.1)


def higher(model: SpectralModel) -> SpectralModel:
    """The same model with its values moved: a candidate whose every answer is known."""
    corrections = np.array(model.corrections)
    corrections[:, :, 0] += HIGHER
    return replace(model, corrections=corrections)


@pytest.fixture(scope="module")
def trial(line_toml: Path, loaded: Loaded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The line with a model on trial."""
    folder = shutil.copytree(line_toml.parent, tmp_path_factory.mktemp("trial") / "line")
    assert loaded.model is not None
    candidate_id = artefacts.save(folder / "models" / "new", bundle.KIND, *bundle.to_artefact(higher(loaded.model)))
    (folder / "models" / "new").rename(folder / "models" / candidate_id)
    text = with_value((folder / "line.toml").read_text(encoding="utf-8"), "files", "shadow", f"models/{candidate_id}")
    (folder / "line.toml").write_text(text, encoding="utf-8")
    return folder / "line.toml"


@pytest.fixture(scope="module")
def trial_run(trial: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("trial-run") / "run"
    run_line(trial, run_dir, profile="normal", seconds=RUN_S)
    return run_dir


def test_a_model_on_trial_changes_no_decision(trial_run: Path, normal_run: Run) -> None:
    with_it = pq.read_table(trial_run / "fruit.parquet").to_pydict()
    without = pq.read_table(normal_run.folder / "fruit.parquet").to_pydict()
    for name in with_it:
        if "shadow" not in name:
            np.testing.assert_array_equal(with_it[name], without[name], err_msg=name)


def test_what_it_says_is_kept_beside_the_live_values(trial_run: Path, trial: Path) -> None:
    table = pq.read_table(trial_run / "fruit.parquet").to_pydict()
    seen = np.isfinite(table["ssc_brix"])
    assert seen.sum() > 20
    for name, by in zip(("ssc_brix", "ta_pct"), HIGHER, strict=True):
        difference = np.subtract(table[f"{name}_shadow"], table[name])
        np.testing.assert_allclose(difference[seen], by, atol=1e-9)
        assert np.isnan(difference[~seen]).all()
    assert set(table["shadow_model_id"]) == {load_line(trial).shadow_id}


def test_without_one_nothing_is_said(normal_run: Run) -> None:
    table = pq.read_table(normal_run.folder / "fruit.parquet").to_pydict()
    assert np.isnan(table["ssc_brix_shadow"]).all()
    assert set(table["shadow_model_id"]) == {"0" * 16}


def test_the_run_holds_all_it_takes_to_replay_it_exactly(trial_run: Path) -> None:
    start = json.loads((trial_run / "run.json").read_text(encoding="utf-8"))
    assert (trial_run / "models" / start["shadow"] / "card.json").is_file()
    report = replay(trial_run)
    assert (report.diff_fields, report.compared) == (0, report.decisions)
    assert report.decisions > 100


def test_another_model_is_asked_without_the_one_on_trial(trial_run: Path) -> None:
    start = json.loads((trial_run / "run.json").read_text(encoding="utf-8"))
    loaded = reopen(trial_run, model=trial_run / "models" / start["shadow"])
    assert (loaded.model_id, loaded.shadow_id) == (start["shadow"], "")
    assert replay(trial_run, model=trial_run / "models" / start["shadow"]).what_if is not None


def test_a_snapshot_brings_the_model_on_trial_back(trial: Path) -> None:
    line = load_line(trial).line()
    other = load_line(trial).line()
    other.state.shadow_id = ""
    other.restore(line.snapshot())
    assert other.state.shadow_id == load_line(trial).shadow_id


def references(run_dir: Path, path: Path, n: int = 60) -> Path:
    """What a laboratory would say of some of the run's fruit."""
    fruit = pq.read_table(run_dir / "fruit.parquet").to_pydict()
    truth = pq.read_table(run_dir / "truth.parquet").to_pydict()
    measured = {key for key, brix in zip(_keys(fruit), fruit["ssc_brix"], strict=True) if np.isfinite(brix)}
    rows = [k for k, key in enumerate(_keys(truth)) if key in measured and np.isfinite(truth["ssc_brix"][k])][:n]
    write_table({name: np.array(truth[name])[rows] for name in ("lane", "cup", "ssc_brix", "ta_pct")}, path)
    return path


def _keys(table: dict[str, list[Any]]) -> list[tuple[int, int]]:
    return list(zip(table["lane"], table["cup"], strict=True))


def test_a_run_tells_how_far_the_two_differ_and_which_errs_less(trial_run: Path, tmp_path: Path) -> None:
    found = compare_run(trial_run, references(trial_run, tmp_path / "lab.csv"))
    assert found.simulated
    for one in found.differences:
        assert one.mean == pytest.approx(HIGHER[0] if one.target == "ssc_brix" else HIGHER[1])
        assert one.q05 == pytest.approx(one.q95)
    lanes = [one.lane for one in found.differences if one.target == "ssc_brix"]
    assert lanes == [None, 0, 1, 2, 3, 4, 5]
    brix, acid = found.comparisons
    assert (brix.target, acid.target, brix.n) == ("ssc_brix", "ta_pct", 60)
    assert brix.candidate.bias == pytest.approx(brix.live.bias + HIGHER[0])
    assert brix.candidate.covered90 is not None


def test_a_run_on_the_command_line(trial_run: Path, normal_run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.main(["models", "compare", "--run", str(trial_run)]) == errors.DONE
    text = capsys.readouterr().out
    assert "SIMULATED" in text
    assert "+0.500" in text
    assert main.main(["models", "compare", "--run", str(normal_run.folder)]) == errors.BAD_INPUT
    assert "no model was on trial" in capsys.readouterr().err


def test_references_of_other_fruit_are_refused(trial_run: Path, tmp_path: Path) -> None:
    write_table({"lane": [0, 1], "cup": [10**6, 10**6], "ssc_brix": [10.0, 11.0]}, tmp_path / "other.csv")
    with pytest.raises(SpectraTableError, match="2 of 2 references have no spectrum"):
        compare_run(trial_run, tmp_path / "other.csv", ["ssc_brix"])
    few = references(trial_run, tmp_path / "few.csv", n=5)
    with pytest.raises(SpectraTableError, match="5 fruit of the run have 'ssc_brix'"):
        compare_run(trial_run, few, ["ssc_brix"])


def test_a_model_of_other_targets_cannot_stand_beside_the_live_one(trial: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(trial.parent, tmp_path / "line")
    live = load_line(trial).model
    assert live is not None
    alone = replace(live, targets=live.targets[:1], corrections=np.ascontiguousarray(live.corrections[:, :1]))
    artefacts.save(folder / "alone", bundle.KIND, *bundle.to_artefact(alone))
    text = with_value(trial.read_text(encoding="utf-8"), "files", "shadow", "alone")
    with pytest.raises(ArtefactError, match="must predict the same"):
        load_line(folder / "line.toml", text=text)
