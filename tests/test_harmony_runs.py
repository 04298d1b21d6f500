"""Lanes of runs against each other, as `citrus-grade harmony` does it: what is told, proposed, written and refused."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from citrus_grade import artefacts
from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.cli.main import main
from citrus_grade.messages import Reason
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.runlog import LogError
from citrus_grade.runtime.harmony import agree, corrected, write
from citrus_grade.runtime.spectral import load_bundle
from citrus_grade.spectra import bundle
from citrus_grade.spectra.predict import predict_absorbance

NM = np.linspace(700.0, 960.0, 60)
OFFSET, TOLERANCE = 0.8, [0.3]


def spectra(seed, n):
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    band, water = np.exp(-0.5 * ((NM - 910) / 18) ** 2), np.exp(-0.5 * ((NM - 960) / 40) ** 2)
    light = 1.0 + 0.05 * rng.standard_normal((n, 1))
    return light * (1.5 + water + 0.01 * np.outer(brix, band)) + 3e-4 * rng.standard_normal((n, len(NM))), brix


@pytest.fixture(scope="module")
def model():
    x, brix = spectra(1, 120)
    return train(Samples(NM, x, brix[:, None], np.arange(120) % 4), ("ssc_brix",), families=("pls",)).model


def a_run(folder, model, *, lanes=4, per_lane=150, off=None, lot=0, seed=5):
    """A run folder with what harmony reads: start, model and fruit table; ``off`` of each lane is added to its values."""
    model_id = artefacts.save(folder / "models" / "draft", bundle.KIND, *bundle.to_artefact(model))
    (folder / "models" / "draft").rename(folder / "models" / model_id)
    (folder / "run.json").write_text(json.dumps({"model": model_id, "targets": ["ssc_brix"]}))
    rng, n = np.random.default_rng(seed), lanes * per_lane
    lane = np.repeat(np.arange(lanes, dtype=np.int32), per_lane)
    hue, own = rng.normal(60, 5, n), np.zeros(lanes) if off is None else np.array(off)
    fruit = {
        "lane": lane, "cup": np.arange(n), "lot": np.full(n, lot, np.int32), "reasons": np.ones(n, np.uint32),
        "model_id": np.full(n, model_id, object), "hue_q50_deg": hue, "grade": np.full(n, "A", object),
        "ssc_brix": 11 + (60 - hue) / 8 + 0.6 * rng.standard_normal(n) + own[lane],
    }  # fmt: skip
    store(folder, fruit)
    return folder


def store(folder, fruit):
    pq.write_table(pa.table(fruit), folder / "fruit.parquet")


def fruit_of(folder):
    table = pq.read_table(folder / "fruit.parquet")
    return {name: table[name].to_numpy(zero_copy_only=False).copy() for name in table.column_names}


@pytest.fixture(scope="module")
def off(model, tmp_path_factory):
    return a_run(tmp_path_factory.mktemp("runs") / "monday", model, off=[0, 0, OFFSET, 0])


def test_the_lane_that_is_off_is_found_and_only_it_is_corrected(off, model):
    agreement = agree([off], TOLERANCE)
    (one,) = agreement.targets
    assert one.drifted == (2,)
    made = corrected(agreement)
    x, _brix = spectra(9, 3)
    for lane in "0123":
        moved = predict_absorbance(made, x, [lane] * 3)["value"] - predict_absorbance(model, x, [lane] * 3)["value"]
        wanted = -one.found.offset[2] if lane == "2" else 0.0
        assert moved[:, 0] == pytest.approx(wanted, abs=1e-9)
    assert one.found.offset[2] == pytest.approx(0.75 * OFFSET, abs=0.2)  # of the mean of all, which the lane itself pulls


def test_a_proposal_comes_on_top_of_the_corrections_a_model_has(model, tmp_path):
    before = replace(model, lanes=("2",), corrections=np.array([[[0.1, 1.0]], [[0.3, 0.9]]]))
    agreement = agree([a_run(tmp_path / "run", before, off=[0, OFFSET, OFFSET, 0])], tolerance=[0.1])
    made = corrected(agreement)
    added = agreement.targets[0].found.proposed
    assert set(made.lanes) == {"0", "1", "2", "3"}
    assert made.corrections[0].tolist() == [[0.1, 1.0]]
    assert made.correction("2")[0] == pytest.approx([0.3 + added[2], 0.9])
    assert made.correction("1")[0] == pytest.approx([0.1 + added[1], 1.0])


def test_covariates_that_explain_the_spread_make_the_intervals_narrower(off):
    plain, told = agree([off]).targets[0].found, agree([off], covariates=["hue_q50_deg"]).targets[0].found
    assert told.explained > 0.4
    assert ((told.high - told.low) < 0.85 * (plain.high - plain.low)).all()


def test_what_is_no_single_fruit_of_the_model_does_not_count(off, model, tmp_path):
    run = a_run(tmp_path / "run", model, off=[0, 0, OFFSET, 0])
    fruit = fruit_of(run)
    fruit["reasons"][::3] = 1 << Reason.DOUBLE
    fruit["ssc_brix"][::3] += 50.0
    fruit["model_id"][1::3] = "f" * 16
    fruit["ssc_brix"][1::3] -= 50.0
    store(run, fruit)
    (one,) = agree([run], TOLERANCE).targets
    assert one.found.n.tolist() == [50] * 4
    assert one.drifted == (2,)


def test_a_silent_lane_and_a_short_lot_are_left_out_and_named(model, tmp_path):
    run = a_run(tmp_path / "a", model)
    fruit = fruit_of(run)
    fruit["ssc_brix"][fruit["lane"] == 3] = np.nan
    fruit["ssc_brix"][-2:] = 11.0
    store(run, fruit)
    short = a_run(tmp_path / "b", model, per_lane=20, lot=1)
    (one,) = agree([run, short]).targets
    assert one.lanes == (0, 1, 2)
    assert one.lots == 1
    assert any("lane 3" in note for note in one.notes)
    assert any("1 of 2 lots" in note for note in one.notes)


@pytest.mark.parametrize(
    ("kind", "told"),
    [({"lanes": 1}, "line of one lane is kept true with sample fruit"), ({"per_lane": 3}, "two or more with 30 fruit")],
)
def test_one_lane_and_three_fruit_are_refused_with_what_to_do(model, tmp_path, kind, told):
    with pytest.raises(CalibrationError, match=told):
        agree([a_run(tmp_path / "run", model, **kind)])


def test_constant_values_and_columns_that_are_not_there_are_refused(model, tmp_path):
    run = a_run(tmp_path / "run", model)
    with pytest.raises(CalibrationError, match="nothing that the cameras measured"):
        agree([run], covariates=["colour"])
    with pytest.raises(CalibrationError, match="once for each"):
        agree([run], tolerance=[0.1, 0.1])
    fruit = fruit_of(run)
    store(run, {**fruit, "hue_q50_deg": np.full(len(fruit["lane"]), 60.0)})
    with pytest.raises(CalibrationError, match="alike in all fruit"):
        agree([run], covariates=["hue_q50_deg"])
    store(run, {**fruit, "ssc_brix": np.full(len(fruit["lane"]), 11.0)})
    with pytest.raises(CalibrationError, match="is 11 for every fruit"):
        agree([run])


def test_runs_of_two_models_and_of_none_are_refused(off, model, tmp_path):
    other = a_run(tmp_path / "other", replace(model, training={**model.training, "note": "another"}))
    with pytest.raises(LogError, match="give runs of one model"):
        agree([off, other])
    (other / "run.json").write_text(json.dumps({"model": "", "targets": []}))
    with pytest.raises(LogError, match="had no model"):
        agree([other])


def test_lanes_that_agree_leave_nothing_to_write(model, tmp_path):
    agreement = agree([a_run(tmp_path / "run", model, per_lane=600)], TOLERANCE)
    assert set(agreement.targets[0].found.verdict) == {"within"}
    assert write(agreement, tmp_path / "made") is None
    assert not (tmp_path / "made").exists()


def test_the_verb_tells_writes_and_changes_nothing_by_itself(off, model, tmp_path, capsys):
    made, page = tmp_path / "made", tmp_path / "page.html"
    assert main(["harmony", str(off), "--tolerance", "0.3", "--out", str(made), "--report", str(page)]) == 1
    said = capsys.readouterr().out
    assert "OFF" in said
    assert "models promote" in said
    assert "SIMULATED" not in said
    assert load_bundle(made)[0].training["harmony"][0]["added"]["ssc_brix"].keys() == {"2"}
    assert load_bundle(off / "models" / agree([off]).model_id)[0].lanes == model.lanes
    assert page.with_suffix(".png").stat().st_size > 10_000
    assert "SIMULATED" not in page.read_text(encoding="utf-8")


def test_the_verb_as_json_stamps_what_is_simulated(model, tmp_path, capsys):
    run = a_run(tmp_path / "run", model, per_lane=600)
    store(run, fruit_of(run))
    (run / "truth.parquet").write_bytes(b"")
    page = tmp_path / "page.html"
    assert main(["harmony", str(run), "--tolerance", "0.3", "--json", "--report", str(page)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["SIMULATED"] is True
    assert [lane["n"] for lane in told["targets"]["ssc_brix"]["lanes"]] == [600] * 4
    assert "SIMULATED" in page.read_text(encoding="utf-8")
