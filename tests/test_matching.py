"""A table beside a model: another kind of signal, lanes it does not name, samples that lack a reference."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from citrus_grade.cli.main import main
from citrus_grade.runtime.spectral import load_bundle

NM = np.arange(700, 961, 4)
Captured = pytest.CaptureFixture[str]


def fruit(n: int, seed: int, shift_nm: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return Brix (n,) and absorbance (n, p)."""
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    band, water = np.exp(-0.5 * ((NM - shift_nm - 910) / 18) ** 2), np.exp(-0.5 * ((NM - shift_nm - 960) / 40) ** 2)
    spectra = (1.0 + 0.05 * rng.standard_normal((n, 1))) * (0.5 + 0.4 * water + 0.01 * np.outer(brix, band))
    return brix, spectra + 2e-4 * rng.standard_normal(spectra.shape)


def write(path: Path, spectra: np.ndarray, axis: Any = NM, **columns: Any) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        out = csv.writer(file)
        out.writerow(["id", *columns, *axis])
        for k, row in enumerate(spectra):
            out.writerow([f"f{k}", *(column[k] for column in columns.values()), *row.round(8)])
    return path


def values(path: Path) -> list[float]:
    return [float(row["value"]) for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())]


def told(capsys: Captured) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("matching")
    brix, spectra = fruit(120, 1)
    table = write(folder / "fruit.csv", spectra, lot=[f"lot{k % 4}" for k in range(120)], brix=brix.round(3))
    call = ["train", "spectra", str(table), "--target", "brix", "--group", "lot", "--kind", "absorbance", "--family", "pls"]
    assert main([*call, "--out", str(folder / "model")]) == 0
    return folder / "model"


@pytest.fixture(scope="module")
def laned(model: Path) -> Path:
    """The model with corrections of the lanes 1 and 2."""
    brix, spectra = fruit(60, 3)
    lanes = [1 + k % 2 for k in range(60)]
    offset = np.where(np.array(lanes) == 1, 0.9, -0.9)
    table = write(model.parent / "samples.csv", spectra, lane=lanes, brix=(brix + offset).round(3))
    assert main(["upkeep", str(model), str(table), "--target", "brix", "--out", str(model.parent / "laned")]) == 0
    return model.parent / "laned"


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_another_signal_is_brought_to_the_models(model: Path, tmp_path: Path, capsys: Captured, scale: float) -> None:
    brix, spectra = fruit(50, 2)
    out = tmp_path / "said.csv"
    table = write(tmp_path / "t.csv", scale * 10**-spectra)
    assert main(["predict", str(model), str(table), "--out", str(out), "--json"]) == 0
    answer = told(capsys)
    assert answer["signal"] == "reflectance"
    assert "the model was made from absorbance" in answer["notes"][0]
    said = values(out)
    assert np.sqrt(np.mean(np.subtract(said, brix) ** 2)) < 0.5


def test_the_models_own_signal_needs_no_word(model: Path, tmp_path: Path, capsys: Captured) -> None:
    table = write(tmp_path / "t.csv", fruit(50, 2)[1])
    assert main(["predict", str(model), str(table), "--out", str(tmp_path / "said.csv"), "--json"]) == 0
    answer = told(capsys)
    assert (answer["signal"], answer["notes"]) == ("absorbance", [])


def test_counts_need_their_white(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(50, 2)
    lamp = 40000 * np.exp(-(((NM - 820) / 90) ** 2)) + 3000
    counts = np.rint(lamp * 10**-spectra + 500)
    bare, out = write(tmp_path / "bare.csv", counts), tmp_path / "said.csv"
    assert main(["predict", str(model), str(bare), "--out", str(out)]) == 2
    assert "without a white reference" in capsys.readouterr().err
    assert not out.exists()
    sides = np.broadcast_to(np.r_[lamp + 500, np.full(len(NM), 500.0)], (50, 2 * len(NM)))
    axis = [*NM, *(f"white_{nm}" for nm in NM), *(f"dark_{nm}" for nm in NM)]
    whole = write(tmp_path / "whole.csv", np.hstack([counts, sides]), axis)
    assert main(["predict", str(model), str(whole), "--out", str(out), "--json"]) == 0
    assert told(capsys)["signal"] == "counts"
    said = values(out)
    assert np.sqrt(np.mean(np.subtract(said, brix) ** 2)) < 0.5


def test_upkeep_knows_another_signal_too(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(40, 4)
    table = write(tmp_path / "t.csv", 10**-spectra, brix=brix.round(3))
    assert main(["upkeep", str(model), str(table), "--target", "brix", "--out", str(tmp_path / "kept"), "--json"]) == 0
    answer = told(capsys)
    assert answer["targets"]["brix"]["rmse"]["none"] < 0.5
    assert "the model was made from absorbance" in answer["notes"][0]


def test_a_model_of_lanes_says_what_it_does_without_them(laned: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(40, 5)
    out = tmp_path / "said.csv"
    call = ["predict", str(laned), "", "--out", str(out), "--json"]
    call[2] = str(write(tmp_path / "none.csv", spectra))
    assert main(call) == 0
    assert "no column of lanes" in told(capsys)["notes"][0]
    said = values(out)
    assert abs(np.mean(np.subtract(said, brix))) < 0.3
    call[2] = str(write(tmp_path / "other.csv", spectra, lane=["7"] * 20 + ["1"] * 20))
    assert main(call) == 0
    assert "no correction for lanes 7, only for 1, 2" in told(capsys)["notes"][0]
    call[2] = str(write(tmp_path / "known.csv", spectra, lane=["1.0"] * 20 + ["2"] * 20))
    assert main(call) == 0
    assert told(capsys)["notes"] == []


def test_upkeep_never_loses_lanes_unsaid(laned: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(40, 6)
    call = ["upkeep", str(laned), "", "--target", "brix", "--out", str(tmp_path / "kept"), "--json"]
    call[2] = str(write(tmp_path / "none.csv", spectra, brix=brix.round(3)))
    assert main(call) == 2
    assert "name the column with --lane" in capsys.readouterr().out
    assert not (tmp_path / "kept").exists()
    call[2] = str(write(tmp_path / "one.csv", spectra, brix=brix.round(3), lane=[1] * 40))
    assert main(call) == 0
    assert "lanes 2 have no sample fruit" in told(capsys)["notes"][0]


@pytest.mark.parametrize("option", [[], ["--master-kind", "absorbance", "--slave-kind", "reflectance"]])
def test_master_and_slave_may_hold_other_signals(model: Path, tmp_path: Path, capsys: Captured, option: list[str]) -> None:
    brix, master = fruit(40, 7)
    _brix, slave = fruit(40, 7, shift_nm=1.5)
    a, b = write(tmp_path / "a.csv", master, brix=brix.round(3)), write(tmp_path / "b.csv", 10**-slave)
    assert main(["transfer", str(model), str(a), str(b), "--out", str(tmp_path / "moved"), "--json", *option]) == 0
    answer = told(capsys)
    assert answer["signal"] == "reflectance"
    assert min(answer["targets"]["brix"]["rmse"].values()) < 0.5
    moved, _id = load_bundle(tmp_path / "moved")
    assert moved.training["signal"] == "reflectance"


def test_samples_without_a_reference_take_no_part_in_a_transfer(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, master = fruit(40, 8)
    slave = fruit(40, 8, shift_nm=1.5)[1]
    some = [*brix[:30].round(3), *[""] * 10]
    a, b = write(tmp_path / "a.csv", master, brix=some), write(tmp_path / "b.csv", slave)
    call = ["transfer", str(model), str(a), str(b), "--target", "brix", "--out", str(tmp_path / "moved"), "--json"]
    assert main(call) == 0
    answer = told(capsys)
    assert answer["targets"]["brix"]["samples"] == 30
    assert "10 of 40 samples have no value in 'brix'" in answer["notes"][0]
    write(tmp_path / "a.csv", master, brix=[*brix[:3], *[""] * 37])
    assert main([*call[:-2], str(tmp_path / "again"), "--json"]) == 2
    assert "3 samples have a value in 'brix', and 8 are needed" in capsys.readouterr().out


def test_references_of_other_fruit_make_no_model(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(40, 9)
    other = np.random.default_rng(1).permutation(brix).round(3)
    table = write(tmp_path / "t.csv", spectra, brix=other)
    assert main(["upkeep", str(model), str(table), "--target", "brix", "--out", str(tmp_path / "kept")]) == 2
    assert "the references do not go with the spectra" in capsys.readouterr().err
    slave = write(tmp_path / "b.csv", fruit(40, 10)[1])
    call = [
        "transfer",
        str(model),
        str(write(tmp_path / "a.csv", spectra, brix=brix)),
        str(slave),
        "--out",
        str(tmp_path / "moved"),
    ]
    assert main(call) == 2
    assert "the references do not go with the spectra" in capsys.readouterr().err
    assert not (tmp_path / "kept").exists()
    assert not (tmp_path / "moved").exists()


def test_references_in_another_unit_are_asked_about(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(40, 9)
    table = write(tmp_path / "t.csv", spectra, brix=(10 * brix).round(3))
    assert main(["upkeep", str(model), str(table), "--target", "brix", "--out", str(tmp_path / "kept"), "--json"]) == 0
    assert "are they in another unit?" in told(capsys)["notes"][0]


def test_samples_without_a_whole_spectrum_are_not_charted(model: Path, tmp_path: Path, capsys: Captured) -> None:
    brix, spectra = fruit(20, 11)
    spectra[4, 7] = np.nan
    table = write(tmp_path / "t.csv", spectra, brix=brix.round(3))
    assert main(["control", str(model), str(table), "--target", "brix", "--json"]) == 0
    answer = told(capsys)
    assert answer["added"] == 19
    assert "line 6: the spectrum has no value at 728 nm" in answer["notes"][0]


def test_a_column_of_lanes_that_is_not_there_is_refused(model: Path, tmp_path: Path, capsys: Captured) -> None:
    table = write(tmp_path / "t.csv", fruit(20, 12)[1])
    assert main(["predict", str(model), str(table), "--lane", "track", "--out", str(tmp_path / "said.csv")]) == 2
    assert "no column 'track' of lanes" in capsys.readouterr().err
