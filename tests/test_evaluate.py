"""The accuracy card: its figures against other libraries and by hand, its page, its verb."""

import csv
import dataclasses
import json
import math
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from citrus_grade.cli import main
from citrus_grade.models.evaluate import Basis, Told, accuracy, evaluate, sep_limit, share, trend
from citrus_grade.models.judgement import findings
from citrus_grade.report.accuracy import write
from citrus_grade.runtime.columns import TIMES, WARM, called
from citrus_grade.runtime.evaluating import evaluate_table, facts, target_of
from citrus_grade.runtime.spectral import Source, load_bundle, predict_table, train_spectra
from citrus_grade.spectra_table import SpectraTableError

REFERENCE = np.array([10.0, 11.0, 12.0, 13.0, 14.0])
PREDICTED = np.array([10.2, 10.8, 12.4, 12.6, 13.5])


def told(n=200, seed=1, bias=0.0):
    rng = np.random.default_rng(seed)
    predicted = rng.normal(11.0, 1.0, n)
    reference = predicted + 0.3 * rng.standard_normal(n) + bias
    half = 0.3 * stats.norm.ppf(0.95)
    return Told(reference, predicted, predicted - half, predicted + half, rng.chisquare(3, n), rng.chisquare(3, n))


BASIS = Basis(error=0.3, n=150, components=6, t2_limit=1e9, q_limit=1e9)


def test_five_fruit_by_hand():
    found = accuracy(REFERENCE, PREDICTED)
    # residuals -0.2, 0.2, -0.4, 0.4, 0.5: their sum is 0.5, of their squares 0.65
    assert found.n == 5
    assert (found.low, found.high, found.mean) == (10.0, 14.0, 12.0)
    assert found.bias == pytest.approx(0.1)
    assert found.rmsep == pytest.approx(math.sqrt(0.13))
    assert found.sep == pytest.approx(math.sqrt((0.65 - 5 * 0.01) / 4))
    assert found.bias_limit == pytest.approx(2.776445 * found.sep / math.sqrt(5), rel=1e-6)  # t of 4 degrees in any table
    assert found.r2 == pytest.approx(1 - 0.65 / 10.0)
    assert found.rpd == pytest.approx(math.sqrt(2.5) / found.sep)
    assert not found.has_bias


@given(st.integers(0, 1000), st.integers(5, 60), st.floats(0.5, 2.0), st.floats(-1.0, 1.0))
def test_figures_are_those_of_scipy(seed, n, slope, offset):
    rng = np.random.default_rng(seed)
    predicted = rng.normal(11.0, 1.0, n)
    reference = slope * predicted + offset + 0.3 * rng.standard_normal(n)
    found = accuracy(reference, predicted)
    paired = stats.ttest_1samp(reference - predicted, 0.0)
    assert found.has_bias == (paired.pvalue < 0.05)
    interval = paired.confidence_interval(0.95)
    assert found.bias - found.bias_limit == pytest.approx(interval.low)
    line = stats.linregress(predicted, reference)
    assert (found.slope, found.intercept) == pytest.approx((line.slope, line.intercept))
    assert found.slope_limit == pytest.approx(stats.t.ppf(0.975, n - 2) * line.stderr)
    assert found.rmsep**2 == pytest.approx(found.bias**2 + found.sep**2 * (n - 1) / n)
    assert found.sep_low < found.sep < found.sep_high


def test_one_fruit_has_a_bias_and_nothing_that_takes_more():
    found = accuracy(REFERENCE[:1], PREDICTED[:1])
    assert found.bias == pytest.approx(-0.2)
    assert all(math.isnan(v) for v in (found.sep, found.bias_limit, found.slope, found.r2, found.rpd))
    assert not found.has_bias
    assert not found.has_slope


def test_the_sep_limit_is_a_ratio_of_variances():
    # F(0.95; 9, 100) = 1.975 in any table
    assert sep_limit(0.4, 100, 10) == pytest.approx(0.4 * math.sqrt(1.975), rel=1e-3)
    assert math.isnan(sep_limit(0.4, 0, 10))


@given(st.integers(0, 40), st.integers(0, 40))
def test_a_share_has_the_interval_of_scipy(k, rest):
    if k + rest == 0:
        assert math.isnan(share(np.zeros(0, bool)).share)
        return
    found = share(np.r_[np.ones(k, bool), np.zeros(rest, bool)])
    peer = stats.binomtest(k, k + rest).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((peer.low, peer.high))


def test_coverage_counts_references_inside_their_interval():
    assert evaluate(told(2000), BASIS).overall.coverage.share == pytest.approx(0.9, abs=0.02)
    assert evaluate(told(2000, bias=0.5), BASIS).overall.coverage.share < 0.7


def test_lanes_and_lots_are_judged_each_by_its_own():
    one = told()
    which = np.arange(200) % 2
    fair = one.predicted + (np.bincount(which, one.residual) / 100)[which]
    lots = np.array(["A", "B"])[np.arange(200) // 100]
    shifted = dataclasses.replace(one, predicted=fair - which)
    card = evaluate(shifted, dataclasses.replace(BASIS, lots=("A",)), lanes=np.array(["0", "1"])[which], lots=lots)
    assert not card.lanes["0"].accuracy.has_bias
    assert card.lanes["1"].accuracy.has_bias
    assert card.lanes["1"].accuracy.bias == pytest.approx(1.0)
    assert card.lots_trained_on == ("A",)
    assert card.lots["A"].accuracy.n == 100


def test_fruit_beyond_the_domain_are_counted_and_left_out_of_one_line():
    one = told()
    card = evaluate(one, dataclasses.replace(BASIS, t2_limit=6.0, q_limit=6.0))
    far = (one.t2 > 6.0) | (one.q > 6.0)
    assert card.beyond.share == pytest.approx(far.mean())
    assert card.in_domain is not None
    assert card.in_domain.accuracy.n == int((~far).sum())
    assert evaluate(one, dataclasses.replace(BASIS, t2_limit=-1.0)).in_domain is None


def test_the_laboratorys_error_is_taken_off_where_it_is_the_smaller():
    card = evaluate(told(), dataclasses.replace(BASIS, sel=0.1))
    assert card.sep_without_lab == pytest.approx(math.sqrt(card.overall.accuracy.sep**2 - 0.01))
    assert evaluate(told(), dataclasses.replace(BASIS, sel=0.5)).sep_without_lab is None


def test_warm_fruit_that_read_low_are_a_trend():
    temperature = np.linspace(5.0, 30.0, 200)
    temperature[:5] = np.nan
    one = told()
    found = trend(temperature, one.residual + np.nan_to_num(0.05 * temperature))
    assert found is not None
    assert found.slope == pytest.approx(0.05, abs=0.01)
    assert found.is_there
    assert trend(np.full(200, 20.0), one.residual) is None


def test_the_spread_inside_lots_forgets_the_lots_means():
    lots = np.array(["A", "A", "B", "B", "B"])
    card = evaluate(Told(*[REFERENCE] * 2, REFERENCE - 1, REFERENCE + 1, *[np.zeros(5)] * 2), BASIS, lots=lots)
    # A: 10, 11 about 10.5; B: 12, 13, 14 about 13; squares 0.5 + 2 over 5 - 2
    assert card.sd_within_lots == pytest.approx(math.sqrt(2.5 / 3))


def codes(card):
    return [one.code for one in findings(card, "Brix")]


def test_a_sound_model_on_new_fruit_has_nothing_found():
    one = told(400, seed=5)
    basis = dataclasses.replace(BASIS, error=0.32, lots=("A",))
    assert codes(evaluate(one, basis, lots=np.array(["B", "C"])[np.arange(400) % 2])) == []
    assert codes(evaluate(one, basis, seen=np.zeros(400, bool))) == []
    assert codes(evaluate(one, basis)) == ["lots_unnamed"]


@pytest.mark.parametrize(
    ("fruit", "basis", "code"),
    [
        (told(bias=0.5), BASIS, "bias"),
        (told(bias=0.5), BASIS, "coverage"),
        (told(), dataclasses.replace(BASIS, error=0.1), "sep"),
        (told(), dataclasses.replace(BASIS, t2_limit=1.0), "out_of_domain"),
        (told(10), BASIS, "few_fruit"),
    ],
)
def test_what_is_wrong_is_found(fruit, basis, code):
    assert code in codes(evaluate(fruit, basis))


def test_bias_says_which_way():
    text = next(one.text for one in findings(evaluate(told(bias=0.5), BASIS), "Brix") if one.code == "bias")
    assert "+0.473" in text
    assert "too little" in text


def test_lots_of_training_are_grave():
    lots = np.array(["A", "B"])[np.arange(200) % 2]
    found = findings(evaluate(told(), dataclasses.replace(BASIS, lots=("B", "C")), lots=lots))
    assert [one.code for one in found if one.grave] == ["training_lots"]


def test_a_lane_that_differs_from_the_others_is_named():
    which = np.arange(200) % 2
    one = told()
    lanes = np.array(["0", "1"])[which]
    card = evaluate(dataclasses.replace(one, predicted=one.predicted - which), BASIS, lanes=lanes)
    text = next(found.text for found in findings(card, "Brix") if found.code == "lanes")
    assert "1 (+0" in text
    assert "0 (-0" in text


NM = np.linspace(700.0, 1000.0, 60)


def write_fruit(path, seed, n, lots, shift=0.0):
    """A table of fruit whose absorbance tells sugar; lane 1 reads ``shift`` too little."""
    rng = np.random.default_rng(seed)
    brix = rng.normal(11.0, 1.0, n)
    spectra = 2.0 + 0.05 * brix[:, None] * np.exp(-0.5 * ((NM - 900.0) / 30.0) ** 2) + 0.002 * rng.standard_normal((n, 60))
    lane, lot = np.arange(n) % 2, rng.integers(0, len(lots), n)
    temperature = rng.uniform(5, 30, n)
    brix = brix + 0.1 * rng.standard_normal(n) + shift * (lane == 1)
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "lot", "lane", "fruit_temperature_c", "date", "brix", *NM])
        for i in range(n):
            when = f"2026-11-{1 + i * 20 // n:02d}"
            rows.writerow([f"{path.stem}{i}", lots[lot[i]], lane[i], temperature[i], when, brix[i], *spectra[i]])
    return path


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    table = write_fruit(folder / "train.csv", 1, 60, ["A1", "A2", "A3"])
    train_spectra(Source(table, group="lot"), ["brix"], folder / "model", families=("pls",))
    return folder / "model"


def test_the_verb_tells_figures_lanes_lots_and_writes_one_page(bundle, tmp_path, capsys):
    table = write_fruit(tmp_path / "new.csv", 2, 80, ["B1", "B2"], shift=0.8)
    page = tmp_path / "card.html"
    args = ["evaluate", str(bundle), str(table), "--target", "brix", "--group", "lot", "--report", str(page), "--by", "Li <Wei>"]
    assert main.main([*args, "--json", "--reference-error", "0.05"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["n"] == 80
    assert said["lanes"]["1"]["bias"] - said["lanes"]["0"]["bias"] == pytest.approx(0.8, abs=0.15)
    assert set(said["lots"]) == {"B1", "B2"}
    assert "lanes" in {one["code"] for one in said["findings"]}
    assert said["sep_without_lab"] < said["sep"]
    assert said["SIMULATED"] is False
    assert said["temperature_per_c"] is not None
    text = page.read_text(encoding="utf-8")
    assert "data:image/svg+xml;base64," in text
    assert "Li &lt;Wei&gt;" in text
    assert said["model_id"] in text
    assert said["table_hash"] in text
    assert "<script" not in text
    assert "http" not in text
    assert 'class="stamp"' not in text
    assert main.main(args) == 0
    assert f"{said['sep']:.3g}" in capsys.readouterr().out


def test_the_jsons_figures_are_those_of_the_predictions(bundle, tmp_path):
    table = write_fruit(tmp_path / "new.csv", 2, 80, ["B1", "B2"])
    predicted = predict_table(bundle, Source(table)).columns()
    found = facts(evaluate_table(bundle, Source(table), "brix"))
    residual = predicted["value"] - np.genfromtxt(table, delimiter=",", skip_header=1, usecols=5)
    assert found["rmsep"] == pytest.approx(float(np.sqrt((residual**2).mean())))
    assert found["share_out_of_domain"] == pytest.approx(float((~predicted["in_domain"]).mean()))


def test_lots_of_training_and_simulated_fruit_are_said_on_the_page(bundle, tmp_path):
    table = write_fruit(tmp_path / "old.csv", 3, 40, ["A1", "A2"])
    lines = table.read_text(encoding="utf-8").splitlines()
    lines = [line + ("," + ("true" if k else "simulated")) for k, line in enumerate(lines)]
    table.write_text("\n".join(lines), encoding="utf-8")
    found = evaluate_table(bundle, Source(table, group="lot"), "brix")
    assert found.card.lots_trained_on == ("A1", "A2")
    write(found, tmp_path / "card.html", when=datetime(2026, 11, 28, tzinfo=UTC))
    text = (tmp_path / "card.html").read_text(encoding="utf-8")
    assert 'class="stamp">SIMULATED' in text
    assert "class=grave" in text
    assert "2026-11-28 00:00 +0000" in text


def test_fruit_of_training_are_known_again_under_other_names(bundle, tmp_path):
    old = write_fruit(tmp_path / "renamed.csv", 1, 60, ["C1", "C2", "C3"]).read_text(encoding="utf-8").splitlines()
    new = write_fruit(tmp_path / "new.csv", 2, 40, ["B1"]).read_text(encoding="utf-8").splitlines()
    (tmp_path / "both.csv").write_text("\n".join([*new, *old[1:11]]), encoding="utf-8")
    found = evaluate_table(bundle, Source(tmp_path / "both.csv", group="lot"), "brix")
    assert facts(found)["fruit_trained_on"] == 10
    assert "10 of 50" in next(one.text for one in found.findings if one.code == "training_fruit" and one.grave)
    assert facts(evaluate_table(bundle, Source(tmp_path / "new.csv"), "brix"))["fruit_trained_on"] == 0


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("2026-11-05", "2026-11-28"),
        ("2026/11/5 9:05", "2026/11/5 10:00"),
        ("2026年9月5日", "2026年11月5日"),
        ("2026-11-28T13:00:00+08:00", "2026-11-28T06:00:00Z"),
        ("5", "40"),
    ],
)
def test_times_are_read_as_people_write_them(earlier, later):
    name, values = called({"lot": np.array(["a", "b", "c"]), "Date": np.array([later, earlier, ""])}, TIMES)
    assert name == "Date"
    assert values[1] < values[0]
    assert math.isnan(values[2])


@pytest.mark.parametrize("column", [["soon", "later"], ["2026-13-45", "2026-11-01"], ["3", "3"], ["", ""]])
def test_what_is_no_time_is_not_taken_for_one(column):
    assert called({"date": np.array(column)}, TIMES) == (None, None)


def test_the_lamps_temperature_is_not_the_fruits():
    warm = np.array([20.0, 25.0])
    name, _values = called({"lamp_temperature_c": warm, "integration_time_us": warm, "pulp_temp": np.array(["5,5", "7"])}, WARM)
    assert name == "pulp_temp"


def test_a_model_made_from_simulated_fruit_stamps_its_card(tmp_path):
    table = write_fruit(tmp_path / "train.csv", 1, 40, ["A1", "A2", "A3"])
    train_spectra(Source(table, group="lot"), ["brix"], tmp_path / "model", families=("pls",), story={"SIMULATED": True})
    found = evaluate_table(tmp_path / "model", Source(write_fruit(tmp_path / "new.csv", 2, 30, ["B1"])), "brix")
    assert facts(found)["SIMULATED"] is True


def test_time_orders_the_control_chart_and_a_moved_lane_signals(bundle, tmp_path):
    table = write_fruit(tmp_path / "new.csv", 4, 80, ["B1", "B2"], shift=1.5)
    found = evaluate_table(bundle, Source(table), "brix")
    assert found.time == "date"
    assert not found.signals["0"]
    assert found.signals["1"]
    assert found.signals["1"][0].size == pytest.approx(1.5, abs=0.5)


def test_a_column_that_is_not_there_is_named(bundle, tmp_path, capsys):
    table = write_fruit(tmp_path / "new.csv", 2, 30, ["B1"])
    assert main.main(["evaluate", str(bundle), str(table), "--target", "brix", "--lane", "track"]) == 2
    assert "'track'" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "value"), [("--reference-error", "-1"), ("--report", "card.png"), ("--target", "sugar")])
def test_what_makes_no_sense_is_refused_and_nothing_is_written(bundle, tmp_path, capsys, option, value):
    table = write_fruit(tmp_path / "new.csv", 2, 30, ["B1"])
    args = ["evaluate", str(bundle), str(table), "--target", "brix", "--report", str(tmp_path / "card.html"), option, value]
    assert main.main(args) == 2
    assert value in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_a_model_of_two_targets_is_asked_by_name(bundle):
    model, _id = load_bundle(bundle)
    two = dataclasses.replace(
        model,
        targets=(model.targets[0], dataclasses.replace(model.targets[0], name="ta_pct")),
        corrections=np.repeat(model.corrections, 2, axis=1),
    )
    assert target_of(two, "ta_pct") == 1
    assert target_of(model, "whatever") == 0
    with pytest.raises(SpectraTableError, match="brix, ta_pct"):
        target_of(two, "whatever")
