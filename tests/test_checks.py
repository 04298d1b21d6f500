"""Sample checks over a season: the control chart of each lane, the history they gather in, and what is told to do."""

import csv
import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from citrus_grade import artefacts
from citrus_grade.cli.main import main
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.report.control_words import findings
from citrus_grade.runtime.checks import BACK, chart, facts
from citrus_grade.runtime.spectral import Source
from citrus_grade.spectra import bundle
from citrus_grade.spectra_table import SpectraTableError

NM = np.arange(700, 961, 4)
LANES = 2


def spectra(seed, n, error=0.1):
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    band, water = np.exp(-0.5 * ((NM - 910) / 18) ** 2), np.exp(-0.5 * ((NM - 960) / 40) ** 2)
    x = (1.0 + 0.05 * rng.standard_normal((n, 1))) * (1.5 + water + 0.01 * np.outer(brix, band))
    return x + 2e-4 * rng.standard_normal(x.shape), brix + error * rng.standard_normal(n)


@pytest.fixture(scope="module")
def model():
    x, brix = spectra(1, 120)
    return train(Samples(NM.astype(float), x, brix[:, None], np.arange(120) % 4), ("ssc_brix",), families=("pls",)).model


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bundle") / "model"
    artefacts.save(folder, bundle.KIND, *bundle.to_artefact(model))
    return folder


def table(path, seed=2, n=40, off=0.0, since=0, lane=1, day=1, **columns):
    """Sample fruit of two lanes in turn; from row ``since`` on the reference of one lane is ``off`` higher."""
    x, brix = spectra(seed, n, 0.05)
    for row in range(since, n):
        brix[row] += off * (row % LANES == lane)
    named = {
        "id": [f"f{seed}-{k}" for k in range(n)], "lane": np.arange(n) % LANES, "date": [f"2026-11-{day:02d}"] * n,
        "brix": brix.round(4), **columns,
    }  # fmt: skip
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow([*named, *NM])
        out.writerows([*(named[name][k] for name in named), *x[k].round(6)] for k in range(n))
    return Source(path)


def test_lanes_that_are_true_are_in_control(path, tmp_path):
    charts = chart(path, [table(tmp_path / "a.csv")], "brix")
    assert [one.lane for one in charts.lanes] == ["0", "1"]
    assert [len(one.checks) for one in charts.lanes] == [20, 20]
    assert [one.out_since for one in charts.lanes] == [None, None]
    assert {kind for kind, _text in findings(charts)} == {"good", ""}


@pytest.mark.parametrize(("off", "reads"), [(0.6, "too low"), (-0.6, "too high")])
def test_a_lane_that_moved_is_found_with_the_sample_where_it_began(path, tmp_path, off, reads):
    charts = chart(path, [table(tmp_path / "a.csv", n=60, off=off, since=30)], "brix")
    true, moved = charts.lanes
    assert true.out_since is None
    assert moved.out_since is not None
    assert moved.out_since == 16
    grave = [text for kind, text in findings(charts) if kind == "grave"]
    assert len(grave) == 1
    assert "lane 1" in grave[0]
    assert reads in grave[0]
    assert "citrus-grade upkeep" in grave[0]


def test_lanes_that_moved_together_point_to_the_season(path, tmp_path):
    source = table(tmp_path / "a.csv", n=20, off=0.4, lane=0)
    both = table(tmp_path / "b.csv", seed=3, n=20, off=0.4, lane=1)
    assert not any("the season" in text for _kind, text in findings(chart(path, [source], "brix")))
    assert any("the season" in text for _kind, text in findings(chart(path, [source, both], "brix")))


def test_a_lane_is_in_control_again_after_enough_good_samples(path, tmp_path):
    first = table(tmp_path / "a.csv", n=30, off=1.0, since=16)
    assert chart(path, [first], "brix").lanes[1].out_since is not None
    after = table(tmp_path / "b.csv", seed=3, n=2 * BACK, day=2)
    charts = chart(path, [first, after], "brix")
    assert charts.lanes[1].signals
    assert charts.lanes[1].out_since is None
    assert any("in control again" in text for _kind, text in findings(charts))


def test_one_reference_gone_wrong_is_to_be_looked_at_first(path, tmp_path):
    x = table(tmp_path / "a.csv", n=20)
    text = x.table.read_text().splitlines()
    cells = text[-1].split(",")
    cells[3] = str(float(cells[3]) + 9.0)
    x.table.write_text("\n".join([*text[:-1], ",".join(cells)]))
    (grave,) = [told for kind, told in findings(chart(path, [x], "brix")) if kind == "grave"]
    assert "One sample alone" in grave


def test_checks_gather_in_a_history_and_are_counted_once(path, tmp_path):
    history, days = tmp_path / "checks.jsonl", [table(tmp_path / f"{day}.csv", seed=day, n=10, day=day) for day in (3, 2)]
    assert chart(path, [days[0]], "brix", history=history).added == 10
    both = chart(path, days, "brix", history=history)
    assert both.added == 10
    again = chart(path, [], None, history=history)
    assert (again.added, [len(one.checks) for one in again.lanes]) == (0, [10, 10])
    assert again.in_time
    assert [one.id for one in again.lanes[0].checks][:5] == [f"f2-{k}" for k in range(0, 10, 2)]
    assert facts(again)["lanes"] == facts(both)["lanes"]
    assert len(history.read_text().splitlines()) == 2


def test_a_shift_too_small_for_one_week_is_found_over_the_season(path, model, tmp_path):
    history, off = tmp_path / "checks.jsonl", 1.2 * model.targets[0].sigma
    found = [
        chart(path, [table(tmp_path / "w.csv", seed=20 + week, n=8, off=off, day=week)], "brix", history=history)
        .lanes[1]
        .out_since
        for week in range(1, 9)
    ]
    assert found[0] is None
    assert found[-1] is not None


def test_a_new_model_begins_a_new_chart(path, model, tmp_path):
    history, samples = tmp_path / "checks.jsonl", table(tmp_path / "a.csv")
    chart(path, [samples], "brix", history=history)
    other = tmp_path / "other"
    artefacts.save(other, bundle.KIND, *bundle.to_artefact(replace(model, training={**model.training, "note": "another"})))
    charts = chart(other, [samples], "brix", history=history)
    assert (charts.added, charts.others) == (40, 40)
    assert any("of other models" in text for _kind, text in findings(charts))


def test_without_lanes_and_times_there_is_one_chart_in_the_order_of_the_table(path, tmp_path):
    source = table(tmp_path / "a.csv", n=3)
    text = [line.split(",") for line in source.table.read_text().splitlines()]
    source.table.write_text("\n".join(",".join(cells[:1] + cells[3:]) for cells in text))
    charts = chart(path, [source], "brix")
    assert [one.lane for one in charts.lanes] == [""]
    assert not charts.in_time
    told = [text for _kind, text in findings(charts)]
    assert any("in 3 samples, which is few" in text for text in told)
    assert any("--time" in text for text in told)


@pytest.mark.parametrize(
    ("columns", "call", "told"),
    [
        ({}, {"column": "sugar"}, "sugar"),
        ({}, {"column": "brix", "lane": "track"}, "no column 'track' of lanes"),
        ({}, {"column": "brix", "time": "hour"}, "no column 'hour'"),
        ({"brix": [11.2] * 40}, {"column": "brix"}, "filled in by hand"),
        ({"brix": [""] * 40}, {"column": "brix"}, "no row has a value in 'brix'"),
    ],
)
def test_tables_that_cannot_be_charted_are_refused_and_nothing_is_kept(path, tmp_path, columns, call, told):
    history = tmp_path / "checks.jsonl"
    with pytest.raises(SpectraTableError, match=told):
        chart(path, [table(tmp_path / "a.csv", **columns)], **call, history=history)
    assert not history.exists()


def test_histories_that_are_none_are_refused(path, tmp_path):
    history = tmp_path / "checks.jsonl"
    with pytest.raises(SpectraTableError, match="give a table of spectra"):
        chart(path, [], None, history=history)
    with pytest.raises(SpectraTableError, match="or --history"):
        chart(path, [])
    chart(path, [table(tmp_path / "a.csv")], "brix", history=history)
    history.write_text(history.read_text().replace('"id"', '"ID"').replace("f2-0", "f2-00"))
    with pytest.raises(SpectraTableError, match="changed, taken out or put in by hand"):
        chart(path, [], None, history=history)
    from citrus_grade.runtime import journal

    journal.append(tmp_path / "other.jsonl", {"event": "promoted"})
    with pytest.raises(SpectraTableError, match="no history of sample checks"):
        chart(path, [], None, history=tmp_path / "other.jsonl")


def test_the_verb_tells_what_it_means_and_draws_it(path, tmp_path, capsys):
    source, history, picture = table(tmp_path / "a.csv", n=60, off=0.6, since=30), tmp_path / "c.jsonl", tmp_path / "c.png"
    call = ["control", str(path), str(source.table), "--target", "brix", "--history", str(history), "--picture", str(picture)]
    assert main(call) == 1
    said = capsys.readouterr().out
    assert "OUT since sample" in said
    assert "60 new checks" in said
    assert "SIMULATED" not in said
    assert picture.stat().st_size > 10_000
    assert main([*call, "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["added"], told["lanes"]["1"]["in_control"], told["lanes"]["0"]["in_control"]) == (0, False, True)


def test_simulated_checks_are_stamped_also_when_they_come_from_the_history(path, tmp_path, capsys):
    source, history = table(tmp_path / "a.csv", simulated=[1] * 40), tmp_path / "c.jsonl"
    assert main(["control", str(path), str(source.table), "--target", "brix", "--history", str(history)]) == 0
    assert main(["control", str(path), "--history", str(history)]) == 0
    assert capsys.readouterr().out.count("SIMULATED") == 2


def test_references_of_two_tables_at_once_are_refused(path, tmp_path, capsys):
    tables = [str(table(tmp_path / name).table) for name in ("a.csv", "b.csv")]
    assert main(["control", str(path), *tables, "--target", "brix", "--references", tables[0]]) == 2
    assert "give one TABLE, or RUN" in capsys.readouterr().err


def run_of(folder, model, n=40, off=0.0):
    """A run whose line said sugar of two lanes, and the laboratory's table of every second fruit."""
    model_id = artefacts.save(folder / "models" / "draft", bundle.KIND, *bundle.to_artefact(model))
    (folder / "models" / "draft").rename(folder / "models" / model_id)
    (folder / "run.json").write_text(json.dumps({"model": model_id, "targets": ["ssc_brix"]}))
    rng = np.random.default_rng(4)
    lane, cup, nir = np.arange(n) % LANES, np.arange(n) // LANES, 11 + rng.standard_normal(n)
    fruit = {"lane": lane, "cup": cup, "lot": np.zeros(n, int), "model_id": np.full(n, model_id, object), "ssc_brix": nir}
    pq.write_table(pa.table(fruit), folder / "fruit.parquet")
    lab = folder.parent / f"{folder.name}.csv"
    with lab.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["run", "lane", "cup", "ssc_brix", "date"])
        out.writerows(
            [folder.name, lane[k], cup[k], round(nir[k] + off * lane[k] + 0.05 * rng.standard_normal(), 4), "2026-11-03"]
            for k in range(n)
            if cup[k] % 2
        )
    return lab


def test_runs_are_watched_by_what_the_line_said(path, model, tmp_path, capsys):
    run = tmp_path / "monday"
    lab = run_of(run, model, off=0.5)
    charts = chart(path, [], runs=[run], references=lab)
    assert [len(one.checks) for one in charts.lanes] == [10, 10]
    assert [one.out_since is None for one in charts.lanes] == [True, False]
    assert charts.in_time
    assert charts.lanes[1].checks[0].id == "monday/1/1"
    assert main(["control", str(path), str(run), "--references", str(lab)]) == 1
    assert "OUT since sample" in capsys.readouterr().out
    table = pq.read_table(run / "fruit.parquet").to_pydict()
    table["ssc_brix"][2] = table["ssc_brix"][3] = float("nan")
    pq.write_table(pa.table(table), run / "fruit.parquet")
    lost = chart(path, [], runs=[run], references=lab)
    assert lost.lost == 2
    assert any("2 samples got no value" in text for _kind, text in findings(lost))


def test_runs_without_references_or_of_another_model_are_refused(path, model, tmp_path):
    run = tmp_path / "monday"
    lab = run_of(run, replace(model, training={**model.training, "note": "another"}))
    with pytest.raises(SpectraTableError, match="--references"):
        chart(path, [], runs=[run])
    with pytest.raises(SpectraTableError, match="give the model it ran with"):
        chart(path, [], runs=[run], references=lab)
