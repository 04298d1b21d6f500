"""Grade classifiers learnt from labelled fruit: what is read, how it is judged, and what is said when it cannot be used."""

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import brier_score_loss, cohen_kappa_score
from sklearn.metrics import log_loss as sklearn_log_loss

from benchmarks.graded_fruit import GRADES, graded_fruit
from citrus_grade import artefacts
from citrus_grade.cli import main
from citrus_grade.grading.classifier import KIND, from_artefact, predict_proba
from citrus_grade.grading.features import FEATURES
from citrus_grade.models import agreement, belief
from citrus_grade.models.grades import FAMILIES, MARGIN, fit_grades
from citrus_grade.models.grades import fitted as fitted_estimator
from citrus_grade.models.labels import LabelError, read_labels
from citrus_grade.runtime.training import train_grade

FRUIT = graded_fruit(1, 240)
SOME = ("diameter_mm", "blemish_pct", "green_pct", "ssc_brix")


def rows_of(fruit=FRUIT, names=FEATURES):
    """Labelled fruit as a table a person would keep."""
    at = [FEATURES.index(name) for name in names]
    return [
        {name: "" if v != v else float(v) for name, v in zip(names, x[at], strict=True)}
        | {"lot": f"lot {lot}", "ann": GRADES[a], "ben": GRADES[b]}
        for x, lot, a, b in zip(fruit.x, fruit.lot, fruit.grade, fruit.second, strict=True)
    ]


def written(path: Path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    path = written(tmp_path_factory.mktemp("labels") / "labels.csv", rows_of())
    return read_labels(path, "ann", second="ben", order=GRADES)


@pytest.fixture(scope="module")
def fitted(labelled):
    return fit_grades(labelled)


def test_labels_are_read_as_they_were_written(labelled):
    at = [FEATURES.index(name) for name in labelled.features]
    np.testing.assert_array_equal(labelled.x, FRUIT.x[:, at])
    assert (labelled.grade == FRUIT.grade).all()
    assert (labelled.second == FRUIT.second).all()
    assert [labelled.groups[k] for k in labelled.group] == [f"lot {lot}" for lot in FRUIT.lot]
    assert "skin_black_pct" not in labelled.features  # the same on all fruit
    assert not labelled.ignored


def test_parquet_says_the_same_as_csv(tmp_path, labelled):
    rows = [{name: None if value == "" else value for name, value in row.items()} for row in rows_of()]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "labels.parquet")
    again = read_labels(tmp_path / "labels.parquet", "ann", second="ben", order=GRADES)
    np.testing.assert_array_equal(again.x, labelled.x)
    assert (again.grade == labelled.grade).all()


def test_without_an_order_classes_are_as_the_file_has_them(tmp_path):
    path = written(tmp_path / "labels.csv", rows_of())
    assert read_labels(path, "ann").classes == tuple(dict.fromkeys(GRADES[g] for g in FRUIT.grade))


def test_what_is_no_feature_is_left_alone_and_said(tmp_path):
    rows = [row | {"remark": "leafy", "tick": k} for k, row in enumerate(rows_of())]
    assert read_labels(written(tmp_path / "labels.csv", rows), "ann").ignored == ("ben", "remark")


def test_the_maturity_index_follows_from_sugar_and_acid(tmp_path):
    path = written(tmp_path / "labels.csv", rows_of(names=("ssc_brix", "ta_pct")))
    read = read_labels(path, "ann")
    assert read.features[-1] == "maturity_index"
    np.testing.assert_array_equal(read.x[:, -1], read.x[:, 0] / read.x[:, 1])


def test_labels_of_a_run_take_the_fruit_as_it_was_measured(tmp_path, normal_run):
    run = normal_run.copy(tmp_path / "monday")
    seen = [row for row in pq.read_table(run / "fruit.parquet").to_pylist() if row["fruit_views"] > 0]
    rows = [
        {"run": "monday", "lane": row["lane"], "cup": row["cup"], "day": k % 2, "class": "AB"[row["diameter_mm"] < 62]}
        for k, row in enumerate(seen)
    ]
    read = read_labels(written(tmp_path / "labels.csv", rows), "class")
    assert read.simulated
    assert read.x[:, read.features.index("diameter_mm")].tolist() == [row["diameter_mm"] for row in seen]
    assert read.x[:, read.features.index("skin_orange_pct")].tolist() == [row["skin_orange_pct"] for row in seen]
    assert len(read.groups) == 2
    with pytest.raises(LabelError, match=r"row 3: run monday decided no fruit in lane 0, cup 999999"):
        read_labels(written(tmp_path / "labels.csv", [rows[0], rows[1] | {"lane": 0, "cup": 999999}, *rows[2:]]), "class")
    with pytest.raises(LabelError, match="tuesday has no fruit table"):
        read_labels(written(tmp_path / "labels.csv", [row | {"run": "tuesday"} for row in rows]), "class")


def changed(at, **fields):
    rows = rows_of(names=SOME)
    rows[at] = rows[at] | fields
    return rows


BAD = {
    "text in a number": (changed(4, ssc_brix="sweet"), ("row 6", "ssc_brix", "sweet")),
    "infinity": (changed(4, ssc_brix="inf"), ("row 6", "ssc_brix")),
    "an empty class": (changed(7, ann=""), ("row 9", "ann", "empty")),
    "a class too rare": (changed(7, ann="Z"), ("Z (1)", "5")),
    "an unknown second class": (changed(7, ben="Q"), ("row 9", "'Q'", "A")),
    "no second class at all": ([row | {"ben": ""} for row in rows_of(names=SOME)], ("ben", "--second")),
    "one class": ([row | {"ann": "A"} for row in rows_of(names=SOME)], ("every fruit", "'A'")),
    "one lot": ([row | {"lot": "x"} for row in rows_of(names=SOME)], ("one lot", "--group")),
    "an empty lot": (changed(3, lot=""), ("row 5", "lot")),
    "a feature misspelt": ([row | {"diametre_mm": 1} for row in rows_of(names=SOME)], ("'diametre_mm'", "'diameter_mm'")),
    "no feature": (rows_of(names=()), ("run, lane and cup", "diameter_mm")),
    "nothing that differs": ([row | dict.fromkeys(SOME, 1) for row in rows_of(names=SOME)], ("no feature differs",)),
    "a fruit twice": ([*rows_of(), rows_of()[2]], ("row 242", "row 4 ")),
    "a cup twice": ([r | {"run": "m", "lane": k % 6, "cup": k // 12} for k, r in enumerate(rows_of(names=SOME))],
                    ("row 8", "row 2 ")),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_what_is_wrong_with_labels_is_said_with_its_place(tmp_path, what):
    rows, words = BAD[what]
    with pytest.raises(LabelError) as error:
        read_labels(written(tmp_path / "labels.csv", rows), "ann", second="ben")
    for word in (*words, "labels.csv"):
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no column 'ann'"),
        ("ann,lot,mass_g\n", "no fruit"),
        ("ann,lot,mass_g\nA,1\n", "row 2: 2 cells"),
        ("ann,ann\nA,B\n", "twice"),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path, text, word):
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(LabelError, match=word):
        read_labels(tmp_path / "labels.csv", "ann")


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"PAR1"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, content):
    path = tmp_path / ("labels.parquet" if content[:1] == b"P" else "labels.csv")
    path.write_bytes(content)
    with pytest.raises(LabelError, match="cannot be read"):
        read_labels(path, "ann")


def test_an_order_must_name_the_classes(tmp_path):
    path = written(tmp_path / "labels.csv", rows_of())
    with pytest.raises(LabelError, match="A, B, D"):
        read_labels(path, "ann", order=("A", "B", "D"))


def test_lots_of_one_class_each_teach_nothing(tmp_path):
    rows = [row | {"lot": row["ann"]} for row in rows_of(names=SOME) if row["ann"] != "C"]
    with pytest.raises(LabelError, match="one class alone"):
        fit_grades(read_labels(written(tmp_path / "labels.csv", rows), "ann"), "logistic")


def test_the_simplest_family_within_the_margin_wins(fitted):
    _model, report = fitted
    best = min(report.log_loss_by_family.values())
    first = next(name for name in FAMILIES if report.log_loss_by_family[name] <= MARGIN * best)
    assert tuple(report.log_loss_by_family) == FAMILIES
    assert (report.family, report.log_loss) == (first, report.log_loss_by_family[first])


def test_the_report_counts_every_fruit_once(fitted, labelled):
    _model, report = fitted
    assert report.confusion.sum() == report.fruit == len(labelled.grade)
    assert report.confusion.sum(axis=1).tolist() == np.bincount(labelled.grade).tolist()
    assert report.same + report.adjacent + report.skip == pytest.approx(1)
    assert all(sum(bins.n) == report.fruit for bins in report.reliability)
    assert json.loads(json.dumps(report.to_dict()))["graded_twice"] == len(labelled.grade)


def test_simulated_grades_are_learnt_about_as_well_as_two_graders_agree(fitted):
    _model, report = fitted
    assert report.same > 0.6
    assert report.skip < 0.05
    assert report.kappa["graders"] - 0.15 < report.kappa["classifier_first"] < 1
    own = np.array([np.eye(3)[g] for g in FRUIT.grade])
    know_nothing = np.tile(own.mean(axis=0), (len(own), 1))
    assert report.log_loss < 0.8 * agreement.log_loss(know_nothing, FRUIT.grade)


def test_the_same_labels_give_the_same_classifier(tmp_path):
    path = written(tmp_path / "labels.csv", rows_of(names=SOME))
    ids = {train_grade(path, "ann", tmp_path / name, family="forest")[1] for name in ("one", "two")}
    assert len(ids) == 1


def test_a_class_that_a_fold_never_saw_is_no_fault(tmp_path):
    rows = rows_of(names=SOME)
    for row in rows:
        row["ann"] = {"A": "A", "B": "C", "C": "C"}[row["ann"]] if row["lot"] == "lot 0" else {"A": "A"}.get(row["ann"], "B")
    read = read_labels(written(tmp_path / "labels.csv", rows), "ann", order=GRADES)
    for family in ("logistic", "forest"):
        model, report = fit_grades(read, family)
        assert model.classes == GRADES
        assert np.isfinite(report.log_loss)


@pytest.mark.parametrize("kind", ["temperature", "sigmoid", "isotonic"])
def test_calibration_makes_overconfident_probabilities_honest(kind):
    rng = np.random.default_rng(0)
    true = rng.dirichlet((1, 1, 1), 4000)
    grade = (true.cumsum(axis=1) > rng.random((4000, 1))).argmax(axis=1)
    sharp = true**2.5 / (true**2.5).sum(axis=1, keepdims=True)
    learnt = belief.fit(kind, sharp[:2000], grade[:2000])(sharp[2000:])
    before, after, best = (agreement.log_loss(p, grade[2000:]) for p in (sharp[2000:], learnt, true[2000:]))
    assert after - best < 0.25 * (before - best)
    np.testing.assert_allclose(learnt.sum(axis=1), 1)


def test_steps_are_not_learnt_from_few_fruit():
    grade = np.repeat([0, 1], [belief.LEAST_ISOTONIC, belief.LEAST_ISOTONIC - 1])
    assert "isotonic" not in belief.kinds_for(grade, 2)
    assert "isotonic" in belief.kinds_for(np.append(grade, 1), 2)


def test_figures_are_those_of_the_literature():
    rng = np.random.default_rng(1)
    one, other = rng.integers(0, 4, 200), rng.integers(0, 4, 200)
    other[:120] = one[:120]
    confusion = agreement.confusion_of(one, other, 4)
    assert agreement.weighted_kappa(confusion) == pytest.approx(cohen_kappa_score(one, other, weights="quadratic"))
    p = rng.dirichlet(np.ones(4), 200)
    assert agreement.log_loss(p, one) == pytest.approx(sklearn_log_loss(one, p))
    assert agreement.brier(p, one) == pytest.approx(sum(brier_score_loss(one == k, p[:, k]) for k in range(4)))
    assert agreement.steps_off(np.array([[5, 2, 1], [0, 6, 2], [3, 0, 1]])) == (12 / 20, 4 / 20, 4 / 20)
    assert np.isnan(agreement.weighted_kappa(np.array([[9, 0], [0, 0]])))


def test_probabilities_as_said_lie_on_the_diagonal():
    p = np.repeat([0.05, 0.55, 0.95], 1000)
    bins = agreement.reliability(p, np.random.default_rng(0).random(3000) < p)
    assert bins.n == (1000, 1000, 1000)
    np.testing.assert_allclose(bins.seen, bins.said, atol=0.05)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_written_and_says_what_its_estimator_says(tmp_path, labelled, family):
    path = written(tmp_path / "labels.csv", rows_of())
    report, classifier_id = train_grade(path, "ann", tmp_path / "grades", order=GRADES, family=family)
    stored = artefacts.load(tmp_path / "grades", KIND)
    model = from_artefact(stored, tmp_path / "grades")
    assert (stored.id, model.kind, model.calibration) == (classifier_id, family, report.calibration)
    reference = fitted_estimator(family, labelled.x, labelled.grade).predict_proba(labelled.x)
    calibration = belief.Calibration(model.calibration, {name: model.arrays[name] for name in belief.KNOTS})
    np.testing.assert_allclose(predict_proba(model, labelled.x), calibration(reference), atol=1e-6)


def test_the_verb_tells_people_and_programs_the_same(tmp_path, capsys):
    path = written(tmp_path / "labels.csv", rows_of(names=SOME))
    asked = ["train", "grade", str(path), "--class", "ann", "--second", "ben", "--order", "A,B,C", "--family", "logistic"]
    assert main.main([*asked, "--out", str(tmp_path / "one"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["classifier_id"] == artefacts.load(tmp_path / "one", KIND).id
    assert all(Path(name).exists() for name in told["written"])
    assert main.main([*asked, "--out", str(tmp_path / "two")]) == 0
    said = capsys.readouterr().out
    for word in (f"{told['same']:.1%}", f"{told['skip']:.1%}", f"{told['kappa']['graders']:.2f}", str(tmp_path / "two.png")):
        assert word in said
    assert main.main([*asked[:-1], "oracle", "--out", str(tmp_path / "three")]) == 2
    assert not (tmp_path / "three").exists()
