"""The sort plan: bounds, guard bands, and everything wrong with a plan said at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.config import ConfigError
from citrus_grade.grading.chance import bind
from citrus_grade.grading.classifier import GradeModel, arrays
from citrus_grade.grading.decide import Rules, first_rule
from citrus_grade.grading.features import CAMERA, names
from citrus_grade.grading.plan import load, parse
from citrus_grade.templates import DEMO_PLAN, PLAN

TARGETS = ("ssc_brix", "ta_pct")
OUTLETS = ("1", "2", "3")


def plan_of(*rules, targets=TARGETS):
    text = 'name = "test"\n' + "".join(f"[[rule]]\n{rule}\n" for rule in rules)
    return parse(text, targets, OUTLETS)


def rules_of(plan, residuals=None):
    return Rules(plan.low, plan.high, plan.allowed, plan.asks_inside, bind(plan.chances, residuals or {}))


def rule_of(plan, **values):
    """The rule that takes a fruit of these features; what is not named is NaN."""
    row = np.full(len(plan.features), np.nan)
    for name, value in values.items():
        row[plan.features.index(name)] = value
    return first_rule(row, rules_of(plan))


def problems_of(*rules, targets=TARGETS):
    with pytest.raises(ConfigError) as error:
        plan_of(*rules, targets=targets)
    assert str(error.value).count("plan.toml: ") == len(error.value.problems)
    return error.value.problems


def test_bounds_are_half_open():
    plan = plan_of('grade = "M"\noutlets = ["1"]\ndiameter_mm = { min = 61, max = 67 }')
    assert rule_of(plan, diameter_mm=61.0) == 0
    assert rule_of(plan, diameter_mm=np.nextafter(67.0, 0)) == 0
    assert rule_of(plan, diameter_mm=67.0) == -1
    assert rule_of(plan, diameter_mm=np.nextafter(61.0, 0)) == -1


@given(st.floats(1, 200), st.floats(0, 5))
def test_a_guard_band_moves_both_cuts_inwards(value, guard):
    plan = plan_of(f'grade = "M"\noutlets = ["1"]\ndiameter_mm = {{ min = 50, max = 80 }}\nguard = {{ diameter_mm = {guard!r} }}')
    assert rule_of(plan, diameter_mm=value) == (0 if 50 + guard <= value < 80 - guard else -1)


def test_a_value_nobody_measured_satisfies_no_bound_but_a_rule_without_bounds_takes_it():
    plan = plan_of('grade = "sweet"\noutlets = ["1"]\nssc_brix = { min = 11 }', 'grade = "rest"\noutlets = ["2"]')
    assert rule_of(plan) == 1
    assert rule_of(plan, ssc_brix=11.0) == 0


def test_where_rules_overlap_the_first_wins():
    wide = 'grade = "a"\noutlets = ["1"]\ndiameter_mm = { min = 40, max = 90 }'
    narrow = 'grade = "b"\noutlets = ["1"]\ndiameter_mm = { min = 60, max = 70 }'
    assert rule_of(plan_of(wide, narrow), diameter_mm=65.0) == 0
    assert rule_of(plan_of(narrow, wide), diameter_mm=65.0) == 0
    assert rule_of(plan_of(narrow, wide), diameter_mm=75.0) == 1


def test_every_condition_must_hold():
    plan = plan_of('grade = "a"\noutlets = ["1"]\ndiameter_mm = { min = 50 }\nblemish_pct = { max = 5 }')
    assert rule_of(plan, diameter_mm=60.0, blemish_pct=1.0) == 0
    assert rule_of(plan, diameter_mm=60.0, blemish_pct=5.0) == -1
    assert rule_of(plan, diameter_mm=60.0) == -1


def test_a_plan_may_ask_for_the_cameras_features_the_models_targets_and_the_maturity_index():
    assert names(TARGETS) == (*CAMERA, "ssc_brix", "ta_pct", "ssc_brix_sigma", "ta_pct_sigma", "maturity_index")
    assert names(("dry_matter_pct",)) == (*CAMERA, "dry_matter_pct", "dry_matter_pct_sigma")
    assert names(()) == CAMERA


@pytest.mark.parametrize("name", names(TARGETS))
def test_a_plan_knows_whether_it_needs_a_spectrum(name):
    plan = plan_of(f'grade = "a"\noutlets = ["1"]\n{name} = {{ min = 1 }}')
    assert plan.asks_inside is (name not in CAMERA)


def test_outlets_are_marked_by_their_place_on_the_line():
    plan = plan_of('grade = "a"\noutlets = ["3", "1"]', 'grade = "b"\noutlets = ["2"]')
    assert plan.allowed.tolist() == [[True, False, True], [False, True, False]]
    assert plan.grades == ("a", "b")


def test_an_unknown_name_is_answered_with_the_nearest_known_one():
    (problem,) = problems_of('grade = "a"\noutlets = ["1"]\ndiametre_mm = { min = 50 }')
    assert "rule.0 (a).diametre_mm" in problem
    assert "'diameter_mm'" in problem


def test_a_name_like_no_other_is_answered_with_all_that_are_known():
    (problem,) = problems_of('grade = "a"\noutlets = ["1"]\nqqq = { min = 50 }')
    assert all(name in problem for name in names(TARGETS))


def test_a_trait_that_no_model_predicts_is_unknown():
    (problem,) = problems_of('grade = "a"\noutlets = ["1"]\nssc_brix = { min = 11 }', targets=())
    assert "ssc_brix" in problem


def test_an_unknown_outlet_is_named_with_those_the_line_has():
    (problem,) = problems_of('grade = "a"\noutlets = ["1", "9"]')
    assert "'9'" in problem
    assert "'1', '2', '3'" in problem


@pytest.mark.parametrize(
    "bounds",
    ["diameter_mm = { min = 80, max = 50 }", "diameter_mm = { min = 50, max = 50 }",
     "diameter_mm = { min = 50, max = 52 }\nguard = { diameter_mm = 1 }"],
)  # fmt: skip
def test_bounds_that_nothing_can_satisfy_are_refused(bounds):
    (problem,) = problems_of(f'grade = "a"\noutlets = ["1"]\n{bounds}')
    assert "rule.0 (a).diameter_mm: nothing lies between" in problem


def test_everything_wrong_is_said_at_once():
    problems = problems_of(
        'grade = "a"\noutlets = ["9"]\ndiametre_mm = { min = 1 }\nblemish_pct = { max = "5" }',
        'grade = "b"\noutlets = ["2"]\ndiameter_mm = { mim = 1 }\nmass_g = { min = 2, max = 1 }\nguard = { sugar = 1 }',
    )
    assert len(problems) == 6
    for word in ("'9'", "diametre_mm", "blemish_pct", "mim", "mass_g", "sugar"):
        assert any(word in problem for problem in problems)


RULE = 'name = "x"\n[[rule]]\n'


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("name = ", "TOML"),
        ("", "rule"),
        ('name = "x"\nrule = []', "rule"),
        ("rules = 1\n" + RULE + 'grade = "a"\noutlets = ["1"]', "rules"),
        (RULE + 'grade = "a"\noutlets = []', "outlets"),
        (RULE + 'outlets = ["1"]', "grade"),
        (RULE + 'grade = "a"\noutlets = ["1"]\ndiameter_mm = 50', "diameter_mm"),
        (RULE + 'grade = "a"\noutlets = ["1"]\ndiameter_mm = { min = nan }', "diameter_mm"),
    ],
)
def test_what_is_no_plan_is_refused_by_name(text, word):
    with pytest.raises(ConfigError, match=word):
        parse(text, TARGETS, OUTLETS)


def test_a_guard_band_that_widens_a_rule_is_refused():
    (problem,) = problems_of('grade = "a"\noutlets = ["1"]\ndiameter_mm = { min = 50 }\nguard = { diameter_mm = -1 }')
    assert "guard" in problem


def test_a_guard_band_without_a_bound_to_guard_is_refused():
    (problem,) = problems_of('grade = "a"\noutlets = ["1"]\ndiameter_mm = { min = 50 }\nguard = { ssc_brix = 0.3 }')
    assert "ssc_brix" in problem


def test_the_id_is_the_text():
    one = 'name = "x"\n[[rule]]\ngrade = "a"\noutlets = ["1"]\n'
    assert parse(one, TARGETS, OUTLETS).id == parse(one, TARGETS, OUTLETS).id
    assert parse(one, TARGETS, OUTLETS).id != parse(one + "# by hand\n", TARGETS, OUTLETS).id
    assert len(parse(one, TARGETS, OUTLETS).id) == 16


def test_a_plan_cannot_be_changed_once_read():
    plan = plan_of('grade = "a"\noutlets = ["1"]')
    for array in (plan.low, plan.high, plan.allowed):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


def test_the_templates_are_plans():
    outlets = tuple("123456")
    assert load(PLAN, (), outlets).grades[-1] == "juice"
    assert load(DEMO_PLAN, TARGETS, outlets).asks_inside


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: cannot be read"):
        load(tmp_path / "none.toml", (), OUTLETS)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "plan.toml").write_bytes(b"\xff\xfe\x00name")
    with pytest.raises(ConfigError, match=r"plan\.toml"):
        load(tmp_path / "plan.toml", (), OUTLETS)


NOTHING = np.zeros(3)
CLASSIFIER = GradeModel(
    "logistic", ("A", "B", "C"), ("diameter_mm",), arrays(fill=[0.0], size=[1, 3], weight=NOTHING, bias=NOTHING, base=NOTHING),
    "softmax",
)  # fmt: skip
WITH_SUGAR = GradeModel(
    "logistic", ("A", "B"), ("ssc_brix",), arrays(fill=[0.0], size=[1, 1], weight=[0.0], bias=[0.0], base=[0.0]), "sigmoid"
)
TO_1 = 'grade = "a"\noutlets = ["1"]\n'


def graded_plan(*rules, classifier=CLASSIFIER):
    text = 'name = "test"\n' + "".join(f"[[rule]]\n{rule}\n" for rule in rules)
    return parse(text, TARGETS, OUTLETS, classifier=classifier)


def rule_for(plan, probabilities, **values):
    """The rule that takes a fruit of these probabilities; None: a fruit that was not classified."""
    row = np.full(plan.low.shape[1], np.nan)
    n, k = len(plan.features), len(plan.classes)
    if probabilities is not None:
        row[n : n + k] = probabilities
        row[n + k :] = np.arange(k) == np.argmax(probabilities)
    for name, value in values.items():
        row[plan.features.index(name)] = value
    return first_rule(row, rules_of(plan))


def test_a_rule_takes_the_classes_it_asks_for():
    plan = graded_plan(TO_1 + 'class = ["A", "C"]')
    assert [rule_for(plan, row) for row in np.eye(3)] == [0, -1, 0]
    assert rule_for(plan, None) == -1


def test_a_rule_for_every_class_still_needs_one():
    plan = graded_plan(TO_1 + 'class = ["A", "B", "C"]')
    assert [rule_for(plan, row) for row in np.eye(3)] == [0, 0, 0]
    assert rule_for(plan, None) == -1


@given(st.floats(0, 1), st.floats(0, 0.3))
def test_a_probability_is_bounded_and_guarded_like_any_measurement(p, guard):
    plan = graded_plan(TO_1 + f'probability.B = {{ min = 0.5 }}\nguard = {{ "probability.B" = {guard!r} }}')
    assert rule_for(plan, (1 - p, p, 0.0)) == (0 if p >= 0.5 + guard else -1)


def test_class_probability_and_measurement_must_all_hold():
    plan = graded_plan(TO_1 + 'class = ["A"]\nprobability = { A = { min = 0.7 } }\ndiameter_mm = { min = 60 }')
    assert rule_for(plan, (0.8, 0.1, 0.1), diameter_mm=61.0) == 0
    assert rule_for(plan, (0.6, 0.2, 0.2), diameter_mm=61.0) == -1
    assert rule_for(plan, (0.8, 0.1, 0.1), diameter_mm=59.0) == -1
    assert rule_for(plan, (0.1, 0.8, 0.1), diameter_mm=61.0) == -1


def test_a_class_told_by_a_spectrum_needs_one():
    by_class = TO_1 + 'class = ["A"]'
    assert not graded_plan(by_class).needs_spectrum(CLASSIFIER)
    assert graded_plan(by_class, classifier=WITH_SUGAR).needs_spectrum(WITH_SUGAR)
    assert graded_plan(TO_1 + "probability.A = { min = 0.5 }", classifier=WITH_SUGAR).needs_spectrum(WITH_SUGAR)
    assert not graded_plan(TO_1 + "mass_g = { min = 1 }", classifier=WITH_SUGAR).needs_spectrum(WITH_SUGAR)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ('class = ["A", "Z"]', ("class", "'Z'", "'A', 'B', 'C'")),
        ('class = "A"', ("class", "no list")),
        ("class = []", ("class", "no list")),
        ("probability.Z = { min = 0.5 }", ("probability.Z",)),
        ("probability = 0.5", ("probability",)),
        ("probability.A = { mim = 0.5 }", ("probability.A", "mim")),
        ('guard = { "probability.A" = 0.1 }', ("probability.A", "no bound")),
    ],
)
def test_what_the_classifier_cannot_tell_is_refused(condition, words):
    with pytest.raises(ConfigError) as error:
        graded_plan(TO_1 + condition)
    (problem,) = error.value.problems
    for word in ("rule.0 (a)", *words):
        assert word in problem


def test_a_line_without_a_classifier_tells_no_class():
    (problem,) = problems_of(TO_1 + 'class = ["A"]')
    assert "line.toml" in problem
    assert "probability.A" in problems_of(TO_1 + "probability.A = { min = 0.5 }")[0]
