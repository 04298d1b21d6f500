"""Grade classifiers as arrays: the probabilities of the estimators they were taken from, to the bit alone and in a batch."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from citrus_grade import artefacts
from citrus_grade.artefacts import ArtefactError
from citrus_grade.grading.classifier import KIND, GradeModel, arrays, bind, from_artefact, predict_proba, to_artefact
from citrus_grade.grading.features import FEATURES, fill, names
from citrus_grade.models.flatten import flatten
from citrus_grade.tables import DECISION, empty

USED = FEATURES[:9]


def prepared(last):
    return make_pipeline(SimpleImputer(strategy="median"), StandardScaler(), last)


ESTIMATORS = {
    "logistic": lambda: prepared(LogisticRegression()),
    **{
        f"mlp {how}": lambda how=how: prepared(
            MLPClassifier((9, 5), activation=how, max_iter=3000, alpha=0.1, random_state=0, tol=1e-3)
        )
        for how in ("relu", "tanh", "logistic", "identity")
    },
    "forest": lambda: RandomForestClassifier(30, random_state=0),
    "extra trees": lambda: ExtraTreesClassifier(30, random_state=0),
    "boosting": lambda: HistGradientBoostingClassifier(max_iter=30, min_samples_leaf=5, random_state=0),
}


def batch(n_classes, n=240, missing=0.1, seed=0):
    """Fruit whose class follows from three features, some values of the others not measured."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, len(USED))) * np.geomspace(0.01, 100, len(USED)) + 5
    score = (x[:, :3] / x[:, :3].std(axis=0)).sum(axis=1) + 0.5 * rng.normal(size=n)
    y = np.searchsorted(np.quantile(score, np.arange(1, n_classes) / n_classes), score)
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def classes(n):
    return tuple("ABCDE"[:n])


@pytest.fixture(scope="module")
def forest():
    x, y = batch(3)
    return flatten(RandomForestClassifier(20, random_state=0).fit(x, y), USED, classes(3))


@pytest.mark.parametrize("n_classes", [2, 3, 5])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_loop_gives_what_predict_proba_gives(name, n_classes):
    x, y = batch(n_classes)
    estimator = ESTIMATORS[name]().fit(x[:160], y[:160])
    model = flatten(estimator, USED, classes(n_classes))
    np.testing.assert_allclose(predict_proba(model, x), estimator.predict_proba(x), rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["forest", "extra trees", "boosting"])
def test_a_value_that_training_never_missed_goes_where_the_estimator_sends_it(name):
    x, y = batch(3, missing=0.0)
    estimator = ESTIMATORS[name]().fit(x, y)
    x[::2, 1] = np.nan
    np.testing.assert_allclose(predict_proba(flatten(estimator, USED, classes(3)), x), estimator.predict_proba(x), atol=1e-6)


@pytest.mark.parametrize("name", ["forest", "extra trees", "boosting"])
def test_whether_a_value_was_measured_may_be_what_a_tree_asks(name):
    x, _y = batch(2, missing=0.0)
    y = np.arange(len(x)) % 2
    x[y == 1, 4] = np.nan
    estimator = ESTIMATORS[name]().fit(x, y)
    model = flatten(estimator, USED, classes(2))
    said = predict_proba(model, x)
    np.testing.assert_allclose(said, estimator.predict_proba(x), atol=1e-6)
    assert ((said[:, 1] > 0.5) == (y == 1)).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_fruit_alone_equals_it_in_a_batch_to_the_bit(name):
    x, y = batch(3)
    model = flatten(ESTIMATORS[name]().fit(x, y), USED, classes(3))
    together = predict_proba(model, x)
    alone = np.vstack([predict_proba(model, row[None]) for row in x])
    assert together.tobytes() == alone.tobytes()
    assert together[::-1].tobytes() == predict_proba(model, x[::-1]).tobytes()


def calibrated(model, kind, **knots):
    return replace(model, calibration=kind, arrays=dict(model.arrays) | {k: v for k, v in arrays(**knots).items() if k in knots})


def test_a_temperature_sharpens_or_flattens(forest):
    x, _y = batch(3)
    p = np.maximum(predict_proba(forest, x), 1e-4) ** 0.6
    said = predict_proba(calibrated(forest, "temperature", knot_x=[0.6]), x)
    np.testing.assert_allclose(said, p / p.sum(axis=1, keepdims=True), atol=1e-12)


def test_a_sigmoid_moves_the_odds_of_each_class(forest):
    x, _y = batch(3)
    p = np.clip(predict_proba(forest, x), 1e-4, 1 - 1e-4)
    slope, shift = np.array([0.5, 1.0, 2.0]), np.array([0.3, 0.0, -0.4])
    q = 1 / (1 + np.exp(-(slope * np.log(p / (1 - p)) + shift)))
    said = predict_proba(calibrated(forest, "sigmoid", knot_x=slope, knot_y=shift), x)
    np.testing.assert_allclose(said, q / q.sum(axis=1, keepdims=True), atol=1e-12)


def test_an_isotonic_table_is_scikit_learns(forest):
    x, y = batch(3)
    p = predict_proba(forest, x)
    tables = [IsotonicRegression(y_min=0.01, y_max=0.99, out_of_bounds="clip").fit(p[:, k], y == k) for k in range(3)]
    q = np.column_stack([table.predict(p[:, k]) for k, table in enumerate(tables)])
    model = calibrated(
        forest,
        "isotonic",
        knot_x=np.concatenate([table.X_thresholds_ for table in tables]),
        knot_y=np.concatenate([table.y_thresholds_ for table in tables]),
        first=np.cumsum([0, *(len(table.X_thresholds_) for table in tables)]),
    )
    np.testing.assert_allclose(predict_proba(model, x), q / q.sum(axis=1, keepdims=True), atol=1e-9)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_artefact_gives_back_the_model(tmp_path, name):
    x, y = batch(2)
    model = flatten(ESTIMATORS[name]().fit(x, y), USED, classes(2))
    artefacts.save(tmp_path / "grades", KIND, *to_artefact(model))
    back = from_artefact(artefacts.load(tmp_path / "grades", KIND), tmp_path / "grades")
    assert (back.kind, back.classes, back.features) == (model.kind, model.classes, model.features)
    assert predict_proba(back, x).tobytes() == predict_proba(model, x).tobytes()


def stored(tmp_path, model, **changes):
    card, held = to_artefact(model)
    artefacts.save(tmp_path / "grades", KIND, card | changes, held)
    return artefacts.load(tmp_path / "grades", KIND)


@pytest.mark.parametrize(
    ("changes", "word"),
    [({"feature_version": 99}, "version 99"), ({"kind": "oracle"}, "oracle"), ({"link": "sigmoid"}, "2 classes"),
     ({"classes": ["A"]}, "base"), ({"calibration": "isotonic"}, "knot")],
)  # fmt: skip
def test_a_card_that_does_not_fit_is_refused_with_its_place(tmp_path, forest, changes, word):
    with pytest.raises(ArtefactError, match=word) as error:
        from_artefact(stored(tmp_path, forest, **changes), tmp_path / "grades")
    assert "grades" in str(error.value)


def test_a_line_that_does_not_measure_what_the_classifier_looks_at_is_refused(tmp_path, forest):
    seen = replace(forest, features=(*USED[:-1], "ssc_brix"))
    assert bind(seen, FEATURES, tmp_path).column[-1] == FEATURES.index("ssc_brix")
    with pytest.raises(ArtefactError, match="ssc_brix"):
        bind(seen, names(()), tmp_path)


@pytest.mark.parametrize(
    "broken",
    [{"child": 0}, {"child": 10**6}, {"child": -5}, {"feature": 99}, {"feature": -1}, {"root": 10**6}, {"output": 9}],
)
def test_trees_that_lead_nowhere_are_refused(forest, broken):
    ((name, value),) = broken.items()
    changed = forest.arrays[name].copy()
    inner = 1 + int(np.flatnonzero(forest.arrays["child"][1:] != np.arange(1, len(forest.arrays["child"])))[0])
    changed[inner if name in ("child", "feature") else 0] = value
    with pytest.raises(ValueError, match="tree"):
        replace(forest, arrays=dict(forest.arrays) | {name: changed})


def test_what_cannot_be_taken_apart_is_refused():
    x, y = batch(2, missing=0.0)
    for estimator in (KNeighborsClassifier(), make_pipeline(MinMaxScaler(), LogisticRegression())):
        with pytest.raises(TypeError, match="cannot be taken apart"):
            flatten(estimator.fit(x, y), USED, classes(2))


def test_another_number_of_features_is_refused(forest):
    with pytest.raises(ValueError, match="looks at"):
        predict_proba(forest, np.zeros((4, 3)))


def test_a_model_without_a_class_is_no_model():
    with pytest.raises(ValueError, match="2 classes"):
        GradeModel("logistic", ("A",), USED, arrays(fill=np.zeros(9), base=[0.0]), "sigmoid")


def decision(**fields):
    row = empty(DECISION, 1)
    for name, value in fields.items():
        row[name] = value
    return row


@pytest.mark.parametrize("targets", [(), ("dry_matter_pct",), ("dry_matter_pct", "ssc_brix"), ("ssc_brix", "ta_pct")])
def test_a_vector_holds_every_name_of_its_line(targets):
    row = decision(diameter_mm=60.0, mass_sigma_g=3.0, coverage_pct=90.0, trait=(11.0, 0.8), trait_sigma=(0.4, 0.1))
    row["colour_pct"][0, 1], row["hue_deg"][0, 2] = 70.0, 55.0
    known = names(targets)
    vector = np.full(len(known), -1.0)
    fill(row[0], vector)
    value = dict(zip(known, vector.tolist(), strict=True))
    assert (value["diameter_mm"], value["mass_sigma_g"], value["coverage_pct"]) == (60.0, 3.0, 90.0)
    assert (value["skin_orange_pct"], value["hue_q90_deg"], value["blemish_count"]) == (70.0, 55.0, 0.0)
    assert [value[name] for name in targets] == [11.0, 0.8][: len(targets)]
    assert [value[f"{name}_sigma"] for name in targets] == [0.4, 0.1][: len(targets)]
    assert value.get("maturity_index") == (pytest.approx(13.75) if targets == ("ssc_brix", "ta_pct") else None)
    assert np.isnan(value["shape_index"])
