"""train spectra, predict, upkeep and transfer, as people call them."""

import csv
import json

import numpy as np
import pytest

from citrus_grade.cli.main import main

NM = np.arange(700, 961, 4)


def write(path, seed, n, offset=0.0, lots=4, lanes=0, shift=0.0):
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    band, water = np.exp(-0.5 * ((NM - shift - 910) / 18) ** 2), np.exp(-0.5 * ((NM - shift - 960) / 40) ** 2)
    spectra = (1.0 + 0.05 * rng.standard_normal((n, 1))) * (1.5 + water + 0.01 * np.outer(brix, band))
    spectra += 2e-4 * rng.standard_normal(spectra.shape)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["id", "lot", "lane", "brix", *NM])
        for k in range(n):
            out.writerow([f"f{k}", f"lot{k % lots}", k % lanes if lanes else 0, round(brix[k] + offset, 3), *spectra[k].round(6)])
    return path


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("spectra")
    table = write(made / "fruit.csv", 1, 120)
    call = ["train", "spectra", str(table), "--target", "brix", "--group", "lot", "--family", "pls", "--out", str(made / "model")]
    assert main(call) == 0
    return made


def test_training_writes_bundle_and_picture_and_tells_the_error(folder, capsys):
    assert (folder / "model" / "card.json").exists()
    assert (folder / "model.png").stat().st_size > 10_000
    table = str(folder / "fruit.csv")
    out = str(folder / "again")
    assert main(["train", "spectra", table, "--target", "brix", "--group", "lot", "--family", "pls", "--out", out, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["n"] == 120
    assert told["n_groups"] == 4
    assert 0.0 < told["targets"]["brix"]["rmsecv"] < 0.5
    assert told["model_id"] == json.loads((folder / "model" / "card.json").read_text())["id"]


def test_predictions_have_the_columns_promised(folder, tmp_path):
    out = tmp_path / "said.csv"
    table = write(tmp_path / "new.csv", 2, 50)
    assert main(["predict", str(folder / "model"), str(table), "--out", str(out)]) == 0
    rows = rows_of(out)
    assert list(rows[0]) == ["id", "value", "lo90", "hi90", "t2", "q", "in_domain"]
    truth = [float(row["brix"]) for row in rows_of(table)]
    inside = [float(r["lo90"]) <= t <= float(r["hi90"]) for r, t in zip(rows, truth, strict=True)]
    assert np.mean(inside) > 0.75
    assert {row["in_domain"] for row in rows} <= {"true", "false"}
    assert rows[3]["id"] == "f3"


def test_upkeep_moves_the_lanes(folder, tmp_path, capsys):
    samples = write(tmp_path / "samples.csv", 3, 60, offset=0.8, lanes=2)
    out = tmp_path / "kept"
    assert main(["upkeep", str(folder / "model"), str(samples), "--target", "brix", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["targets"]["brix"]["chosen"] in ("bias", "slope", "refit")
    assert told["no_refit_because"] == ""
    said = tmp_path / "said.csv"
    assert main(["predict", str(out), str(write(tmp_path / "new.csv", 4, 80, lanes=2)), "--out", str(said)]) == 0
    values = [float(row["value"]) for row in rows_of(said)]
    truth = [float(row["brix"]) for row in rows_of(tmp_path / "new.csv")]
    assert np.mean(np.subtract(values, truth)) == pytest.approx(0.8, abs=0.15)
    assert (tmp_path / "kept.png").exists()


def test_transfer_pairs_by_id_and_writes_a_bundle(folder, tmp_path, capsys):
    master, slave = write(tmp_path / "master.csv", 5, 30), write(tmp_path / "slave.csv", 5, 30, shift=1.5)
    call = [
        "transfer",
        str(folder / "model"),
        str(master),
        str(slave),
        "--target",
        "brix",
        "--out",
        str(tmp_path / "moved"),
        "--json",
    ]
    assert main(call) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["targets"]["brix"]["samples"] == 30
    assert (tmp_path / "moved" / "arrays.npz").exists()
    assert main([*call[:-2], str(tmp_path / "also"), "--also", "projection", "--json"]) == 0
    assert "projection" in json.loads(capsys.readouterr().out)["targets"]["brix"]["rmse"]
    assert "projection" not in told["targets"]["brix"]["rmse"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace("f5,", "f4,"), "stands already"),
        (lambda text: text.replace("lot0", "lot1").replace("lot2", "lot1").replace("lot3", "lot1"), "at least two lots"),
        (lambda text: text.replace(text.splitlines()[3].split(",")[8], "abc", 1), "abc"),
        (lambda text: "\n".join(text.splitlines()[:10]) + "\n", "at least 20"),
    ],
)
def test_a_bad_table_is_told_and_nothing_is_written(folder, tmp_path, capsys, change, said):
    bad = tmp_path / "bad.csv"
    bad.write_text(change((folder / "fruit.csv").read_text()))
    out = tmp_path / "model"
    assert main(["train", "spectra", str(bad), "--target", "brix", "--group", "lot", "--out", str(out)]) == 2
    assert said in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        (["--target", "birx"], "did you mean 'brix'"),
        (["--target", "brix", "--range", "1100:700"], "no range of wavelengths"),
        (["--target", "brix", "--range", "700:720"], "widen it"),
        (["--target", "brix", "--target", "lot"], "lot"),
    ],
)
def test_a_bad_command_is_told(folder, tmp_path, capsys, extra, said):
    assert main(["train", "spectra", str(folder / "fruit.csv"), *extra, "--out", str(tmp_path / "model")]) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_taken_is_not_written_over(folder, capsys):
    before = (folder / "model" / "card.json").read_bytes()
    assert main(["train", "spectra", str(folder / "fruit.csv"), "--target", "brix", "--out", str(folder / "model")]) == 2
    assert "name a new folder" in capsys.readouterr().err
    assert (folder / "model" / "card.json").read_bytes() == before


def test_a_table_of_other_wavelengths_is_refused(folder, tmp_path, capsys):
    table = tmp_path / "short.csv"
    lines = [",".join(row.split(",")[:30]) for row in (folder / "fruit.csv").read_text().splitlines()]
    table.write_text("\n".join(lines) + "\n")
    assert main(["predict", str(folder / "model"), str(table), "--out", str(tmp_path / "said.csv")]) == 2
    assert "cannot be used on it" in capsys.readouterr().err
    assert not (tmp_path / "said.csv").exists()
