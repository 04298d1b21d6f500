"""Models of fruit that were cold and warm: what is done about it is chosen on fruit left out, told, and kept by the bundle."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

from citrus_grade.cli.main import main
from citrus_grade.models import refit, temperature
from citrus_grade.models.search import Samples
from citrus_grade.models.temperature import TemperatureError, Warmth, allowed_for, repeated
from citrus_grade.models.train import train
from citrus_grade.runtime.spectral import Source, load_bundle, predict_table, train_spectra
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTableError

NM = np.linspace(700.0, 960.0, 66)
SUGAR, WATER, OTHER = (np.exp(-0.5 * ((NM - at) / width) ** 2) for at, width in ((910, 16), (955, 30), (840, 30)))
SHIFT = np.gradient(WATER)
SEEN_C, UNSEEN_C = 20.0, 5.0


def fruit(seed, n, celsius, per_c=0.0, reading_per_c=0.0):
    """Absorbance and sugar: temperature moves the water band by ``per_c`` a degree, or what is read by hand."""
    rng = np.random.default_rng(seed)
    celsius = np.broadcast_to(np.asarray(celsius, float), n)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    x = 1.5 + WATER + 0.012 * np.outer(brix, SUGAR) + 0.05 * np.outer(rng.standard_normal(n), OTHER)
    x = x + per_c * np.outer(celsius - 20.0, SHIFT) + 2e-4 * rng.standard_normal(x.shape)
    return x, brix + reading_per_c * (celsius - 20.0) + 0.1 * rng.standard_normal(n)


def batch(kind, seed=1, n=160, repeats=0, spread=False):
    """Fruit of four lots at 20 degrees, or 5 to 28; ``repeats`` further ones at four temperatures, without a reference."""
    own = np.random.default_rng(seed + 50).uniform(5, 28, n) if spread else np.full(n, SEEN_C)
    x, brix = fruit(seed, n, own, **kind)
    same, _brix = fruit(seed + 20, repeats, SEEN_C, **kind)
    warm, again = np.tile([5.0, 12.0, 20.0, 28.0], repeats), np.repeat(np.arange(repeats), 4)
    noise = 2e-4 * np.random.default_rng(seed + 99).standard_normal((len(again), len(NM)))
    seen = same[again] + kind.get("per_c", 0.0) * np.outer(warm - SEEN_C, SHIFT) + noise
    return Samples(NM, x, brix[:, None], np.arange(n) % 4), Warmth("pulp_c", own, seen, warm, np.array([f"r{k}" for k in again]))


def made(kind, **how):
    samples, warmth = batch(kind, **how)
    return train(samples, ("ssc_brix",), families=("pls",), warmth=warmth).model


def error_at(model, celsius, kind):
    x, brix = fruit(77, 200, celsius, **kind)
    said = predict_absorbance(model, x[:, np.isin(NM, model.wavelength_nm)])
    return float(np.mean(said["value"][:, 0] - brix)), float((said["status"] == 0).mean())


MOVES = {"per_c": 0.01}


@pytest.mark.parametrize("how", [{"repeats": 20}, {"spread": True}])
def test_what_temperature_does_to_spectra_is_taken_out(how):
    model = made(MOVES, **how)
    told = model.training["temperature"]
    if "repeats" in how:
        assert told["chosen"] == "projection"
        assert told["fruit_cold_and_warm"] == 20
    bias, inside = error_at(model, UNSEEN_C, MOVES)
    assert abs(bias) < 0.15
    assert inside > 0.9


def test_the_same_without_temperature_is_blind_to_it():
    samples, _warmth = batch(MOVES)
    plain = train(samples, ("ssc_brix",), families=("pls",)).model
    bias, _inside = error_at(plain, UNSEEN_C, MOVES)
    assert abs(bias) > 0.3
    steadied, _inside = error_at(made(MOVES, repeats=20), UNSEEN_C, MOVES)
    assert abs(steadied) < 0.3 * abs(bias)


def test_the_story_tells_the_bias_before_and_after():
    one = made(MOVES, repeats=20).training["temperature"]["targets"]["ssc_brix"]
    before, after = one["bias_per_15c"]
    assert abs(after) < 0.5 * abs(before)
    assert set(one["rmse"]) == {"none", "projection", "covariate"}
    assert one["wobble"]["projection"] < 0.3 * one["wobble"]["none"]


def test_few_fruit_measured_cold_and_warm_weigh_as_much_as_many_labelled_ones():
    told = made({"per_c": 0.002}, n=600, repeats=6).training["temperature"]
    one = told["targets"]["ssc_brix"]
    assert one["wobble"]["none"] > 0.5 * one["rmse"]["none"]
    assert told["chosen"] == "projection"


def test_nothing_is_done_where_temperature_does_nothing():
    told = made({}, spread=True).training["temperature"]
    assert told["chosen"] == "none"
    assert told["directions"] == 0


def test_a_reading_that_depends_on_temperature_is_allowed_for_where_it_is_known():
    kind = {"reading_per_c": 0.05}
    told = made(kind, spread=True).training["temperature"]
    assert told["chosen"] == "covariate"
    assert told["targets"]["ssc_brix"]["per_c"] == pytest.approx(0.05, abs=0.01)
    moved = allowed_for(told, "ssc_brix", np.array([told["at_c"], told["range_c"][1], 60.0, np.nan]))
    assert moved[0] == 0.0
    assert moved[2] == moved[1] > 0.3
    assert moved[3] == 0.0


def test_a_model_fitted_anew_still_knows_nothing_of_temperature():
    model = made(MOVES, repeats=20)
    x, brix = fruit(31, 25, SEEN_C)
    again = refit.refitted(model, x[:, np.isin(NM, model.wavelength_nm)], [brix], [3.0], [model.targets[0].residuals], {})
    np.testing.assert_array_equal(refit.removed_of(again), refit.removed_of(model))
    bias, inside = error_at(again, UNSEEN_C, MOVES)
    assert abs(bias) < 0.15
    assert inside > 0.9


def test_two_targets_share_what_is_taken_out():
    samples, warmth = batch(MOVES, repeats=20)
    y = samples.reference[:, 0]
    both = Samples(NM, samples.absorbance, np.column_stack([y, 0.5 * y]), samples.groups)
    model = train(both, ("ssc_brix", "ta_pct"), families=("pls",), warmth=warmth).model
    assert model.training["temperature"]["chosen"] == "projection"
    x, _brix = fruit(77, 50, SEEN_C)
    rows = x[:, np.isin(NM, model.wavelength_nm)]
    value = predict_absorbance(model, rows)["value"]
    np.testing.assert_allclose(value[:, 1], 0.5 * value[:, 0], atol=0.1)


@pytest.mark.parametrize("celsius", [20.0, np.linspace(20, 21, 160)])
def test_fruit_that_are_all_alike_warm_are_refused(celsius):
    samples, warmth = batch({})
    with pytest.raises(TemperatureError, match="measure 15 or more of them cold and warm"):
        train(samples, ("brix",), families=("pls",), warmth=replace(warmth, celsius=np.broadcast_to(celsius, 160)))


def test_repeats_are_rows_of_one_fruit_at_several_temperatures():
    fruit, celsius = np.array(["a", "a", "b", "b", "c", "a"]), np.array([5.0, 20.0, 20.0, 20.0, 12.0, np.nan])
    assert repeated(fruit, celsius).tolist() == [True, True, False, False, False, False]


def table(path, kind, seed=1, n=160, repeats=0, spread=True, leave=(), cells=None):
    samples, warmth = batch(kind, seed, n, repeats, spread)
    named = {
        "id": [*(f"f{k}" for k in range(n)), *warmth.fruit],
        "lot": [*samples.groups, *[""] * len(warmth.fruit)],
        "brix": [*samples.reference[:, 0].round(4), *[""] * len(warmth.fruit)],
        "pulp_c": [*warmth.celsius.round(2), *warmth.repeated_c],
        **(cells or {}),
    }
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        kept = [name for name in named if name not in leave]
        out.writerow([*kept, *NM])
        spectra = np.vstack([samples.absorbance, warmth.absorbance])
        out.writerows([*(named[name][k] for name in kept), *row.round(6)] for k, row in enumerate(spectra))
    return Source(path, group="lot")


@pytest.fixture(scope="module")
def covariate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("covariate")
    source = table(folder / "fruit.csv", {"reading_per_c": 0.05})
    train_spectra(source, ["brix"], folder / "model", families=("pls",), temperature="pulp_c")
    return folder / "model"


def test_predict_works_with_and_without_the_column(covariate, tmp_path):
    kind = {"reading_per_c": 0.05}
    known = predict_table(covariate, table(tmp_path / "a.csv", kind, seed=2))
    blind = predict_table(covariate, table(tmp_path / "b.csv", kind, seed=2, leave=("pulp_c",)))
    _samples, warmth = batch(kind, 2, 160, 0, True)
    truth = _samples.reference[:, 0]
    errors = [np.sqrt(np.mean((own.traits["value"][:, 0] - truth) ** 2)) for own in (known, blind)]
    assert errors[0] < 0.7 * errors[1]
    assert (known.warm, blind.warm) == (160, 0)
    moved = known.traits["value"][:, 0] - blind.traits["value"][:, 0]
    told = known.model.training["temperature"]
    np.testing.assert_allclose(moved, allowed_for(told, "brix", warmth.celsius.round(2)), atol=1e-9)
    inside = (known.traits["low90"][:, 0] <= truth) & (truth <= known.traits["high90"][:, 0])
    assert inside.mean() > 0.8
    assert (known.traits["high90"] - known.traits["low90"])[0, 0] < (blind.traits["high90"] - blind.traits["low90"])[0, 0]


def test_a_cell_without_a_temperature_is_predicted_as_without(covariate, tmp_path):
    cells = {"pulp_c": np.r_[["", "n/a"], np.full(158, "8.5")]}
    predicted = predict_table(covariate, table(tmp_path / "a.csv", {}, seed=2, cells=cells))
    assert predicted.warm == 158


@pytest.mark.parametrize(
    ("column", "cells", "told"),
    [
        ("warmth", {}, "warmth"),
        ("pulp_c", {"pulp_c": np.r_[[""], np.linspace(5, 28, 159).astype(str)]}, "fill it in or leave the row out"),
        ("pulp_c", {"pulp_c": np.full(160, "20")}, "measure 15 or more"),
        ("lot", {"lot": np.array(["a", "b"] * 80)}, "holds text"),
    ],
)
def test_columns_that_tell_no_temperature_are_refused_and_nothing_is_written(tmp_path, column, cells, told):
    with pytest.raises(SpectraTableError, match=told):
        train_spectra(
            table(tmp_path / "a.csv", {}, cells=cells), ["brix"], tmp_path / "model", families=("pls",), temperature=column
        )
    assert not (tmp_path / "model").exists()


def test_the_verbs_tell_what_was_chosen(tmp_path, capsys):
    source = table(tmp_path / "a.csv", MOVES, repeats=20, spread=False)
    model = tmp_path / "model"
    call = ["train", "spectra", str(source.table), "--target", "brix", "--group", "lot", "--family", "pls", "--out", str(model)]
    assert main([*call, "--temperature", "pulp_c"]) == 0
    said = capsys.readouterr().out
    assert "20 fruit measured cold and warm" in said
    assert "taken out of the spectra" in said
    assert "over 15 degrees" in said
    assert main(["models", "show", str(model)]) == 0
    assert "over 15 degrees" in capsys.readouterr().out
    new = table(tmp_path / "new.csv", MOVES, seed=4, leave=("pulp_c",))
    assert main(["predict", str(model), str(new.table), "--out", str(tmp_path / "said.csv"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n_by_temperature"] == 0
    assert main(["predict", str(model), str(new.table), "--temperature", "pulp_c", "--out", str(tmp_path / "x.csv")]) == 2
    assert "does not use temperature" in capsys.readouterr().err


def test_predict_says_of_how_many_rows_the_temperature_is_known(covariate, tmp_path, capsys):
    new = table(tmp_path / "new.csv", {}, seed=4, leave=("pulp_c",))
    assert main(["predict", str(covariate), str(new.table), "--out", str(tmp_path / "said.csv")]) == 0
    assert "0 of 160 rows" in capsys.readouterr().out
    assert load_bundle(covariate)[0].training[temperature.KEY]["chosen"] == "covariate"
