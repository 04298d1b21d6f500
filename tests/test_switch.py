"""Artefacts switched while the line runs: from a cup on, by a message, and a replay does the same."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.grading.chance import probability_within
from citrus_grade.grading.classifier import GradeModel, arrays
from citrus_grade.grading.plan import Plan
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Alarm, Command, Decisions, Frame, Joined, Message, Pulse, Reason, Scans
from citrus_grade.replay import replay
from citrus_grade.rundir import Loaded
from citrus_grade.runlog import LogReader, LogWriter
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import DECISION, Table, fruit_of, stack

SECONDS = 1.5
IDS = {"A": "a1" * 8, "B": "b2" * 8}
MODEL, DULL = "c3" * 8, "d4" * 8


def tells(feature: str, cut: float, classes: tuple[str, ...] = ("small", "large")) -> GradeModel:
    """The odds of the second class are even at ``cut``."""
    held = arrays(fill=[cut], size=[1, 1], weight=[1.0], bias=[-cut], base=[0.0])
    return GradeModel("logistic", classes, (feature,), held, "sigmoid")


CLASSIFIERS = {IDS["A"]: tells("diameter_mm", 60.0), IDS["B"]: tells("diameter_mm", 66.0)}
BY_CLASS = """
name = "by class"
[[rule]]
grade = "large"
outlets = ["1"]
class = ["large"]
[[rule]]
grade = "small"
outlets = ["2"]
"""
BY_CHANCE = """
name = "by chance"
[[rule]]
grade = "gift"
outlets = ["1"]
ssc_brix = { min = 11.5, probability = 0.7 }
[[rule]]
grade = "rest"
outlets = ["2"]
"""


@dataclass(frozen=True)
class Bench:
    """A simulated line and its messages at the seam behind imaging."""

    loaded: Loaded
    messages: list[Message]

    def plan(self, text: str, classifier: GradeModel | None = None) -> Plan:
        loaded = self.loaded
        outlets = loaded.config.outlet_names[:-1]
        return plans.parse(text, loaded.targets, outlets, classifier=classifier, residuals=loaded.residuals)

    def line(self, plan: Plan, classifier: str = "", **held: object) -> Line:
        loaded = self.loaded
        assert loaded.model is not None
        mine = {"plans": {plan.id: plan}, "models": {MODEL: loaded.model}, "classifiers": CLASSIFIERS} | held
        artefacts = Artefacts(calibrations={loaded.calibration.id: loaded.calibration}, **mine)
        return Line(loaded.config, artefacts, plan=plan.id, calibration=loaded.calibration.id, model=MODEL, classifier=classifier)

    def graded(self, classifier: str = "A") -> Line:
        return self.line(self.plan(BY_CLASS, CLASSIFIERS[IDS["A"]]), IDS[classifier])

    def with_commands(self, switches: list[tuple[int, str]]) -> list[Message]:
        """The messages, each switch to a classifier right behind a pulse."""
        messages, pulses = [], 0
        for message in self.messages:
            messages.append(message)
            if isinstance(message, Pulse):
                own = [name for at, name in switches if at == pulses]
                messages += [Command(message.tick, message.t_ns, "classifier", IDS[name]) for name in own]
                pulses += 1
        return messages


@pytest.fixture(scope="module")
def bench(loaded: Loaded) -> Bench:
    line, messages = loaded.line(), []
    for message in SimPlant(loaded.config, SimOptions(seed=5, seconds=SECONDS, season=4)).messages():
        rows = [output.rows for output in line.feed(message) if isinstance(output, Decisions)]
        messages += [Joined(fruit_of(own)) for own in rows]
        messages += [] if isinstance(message, Frame) else [message]
    return Bench(loaded, messages)


def decide(line: Line, messages: list[Message]) -> Table:
    outputs = [output for message in messages for output in line.feed(message)]
    return stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)


def told(line: Line, command: Command) -> list[str]:
    return [output.kind for output in line.feed(command) if isinstance(output, Alarm)]


some_switches = st.lists(st.tuples(st.integers(0, 60), st.sampled_from("AB")), max_size=6)


@given(switches=some_switches)
@settings(max_examples=20)
def test_a_classifier_grades_from_the_cup_after_its_command_on(bench: Bench, switches: list[tuple[int, str]]) -> None:
    alone = {name: decide(bench.graded(name), bench.messages) for name in "AB"}
    rows = decide(bench.graded(), bench.with_commands(switches))
    assert len(rows) == len(alone["A"])
    pulse_of = {message.tick: k for k, message in enumerate(m for m in bench.messages if isinstance(m, Pulse))}
    for row, *each in zip(rows, alone["A"], alone["B"], strict=True):
        so_far = [name for at, name in sorted(switches, key=lambda one: one[0]) if at < pulse_of[int(row["tick"])]]
        name = so_far[-1] if so_far else "A"
        assert row["classifier_id"] == int(IDS[name], 16)
        assert row.tobytes() == each["AB".index(name)].tobytes()


def test_the_two_classifiers_do_not_agree(bench: Bench) -> None:
    one, other = (decide(bench.graded(name), bench.messages) for name in "AB")
    assert (one["grade_class"] != other["grade_class"]).sum() > 10


@given(switches=some_switches, at=st.floats(0, 1))
@settings(max_examples=10)
def test_a_line_goes_on_from_a_snapshot_with_the_classifier_it_had(
    bench: Bench, switches: list[tuple[int, str]], at: float
) -> None:
    messages = bench.with_commands(switches)
    cut = round(at * len(messages))
    first, second = bench.graded(), bench.graded()
    for message in messages[:cut]:
        first.feed(message)
    second.restore(first.snapshot())
    assert decide(second, messages[cut:]).tobytes() == decide(first, messages[cut:]).tobytes()


@given(switches=some_switches)
@settings(max_examples=10)
def test_what_the_log_holds_is_decided_again(
    bench: Bench, tmp_path_factory: pytest.TempPathFactory, switches: list[tuple[int, str]]
) -> None:
    line, path = bench.graded(), tmp_path_factory.mktemp("log") / "000000.mcap"
    log, rows = LogWriter(path, bench.loaded.config, line.snapshot(), "normal"), []
    for message in bench.with_commands(switches):
        log.take(message)
        outputs = line.feed(message)
        log.gave(outputs)
        rows += [output.rows for output in outputs if isinstance(output, Decisions)]
    log.close()
    assert decide(bench.graded(), kept_in(path)).tobytes() == stack(rows, DECISION).tobytes()


def kept_in(path: Path) -> list[Message]:
    """What a log holds, as a replay at the seam feeds it: the joined fruit of each record of decisions ahead of its messages."""
    messages, waiting = [], []
    for entry in LogReader(path, frames=False):
        if isinstance(entry, Fed):
            messages += waiting
            waiting = entry.messages
        elif isinstance(entry, Decisions):
            messages += [Joined(fruit_of(entry.rows)), *waiting]
            waiting = []
    return [*messages, *waiting]


@pytest.mark.parametrize(
    "other",
    [tells("diameter_mm", 60.0, ("A", "B")), tells("firmness_n", 4.0)],
    ids=["other classes", "a feature nobody measures"],
)
def test_a_classifier_that_does_not_fit_is_an_alarm_and_changes_nothing(bench: Bench, other: GradeModel) -> None:
    plan = bench.plan(BY_CLASS, CLASSIFIERS[IDS["A"]])
    line = bench.line(plan, IDS["A"], classifiers=CLASSIFIERS | {"e5" * 8: other})
    before = line.snapshot()
    assert told(line, Command(0, 0, "classifier", "e5" * 8)) == ["unfit_artefact"]
    assert told(line, Command(0, 0, "classifier", "f6" * 8)) == ["unknown_artefact"]
    assert line.snapshot() == before
    assert decide(line, bench.messages).tobytes() == decide(bench.graded(), bench.messages).tobytes()


def test_a_plan_for_other_classes_is_not_switched_to(bench: Bench) -> None:
    by_class, by_chance = bench.plan(BY_CLASS, CLASSIFIERS[IDS["A"]]), bench.plan(BY_CHANCE)
    line = bench.line(by_class, IDS["A"], plans={by_class.id: by_class, by_chance.id: by_chance})
    assert told(line, Command(0, 0, "plan", by_chance.id)) == ["unfit_artefact"]
    assert line.state.plan_id == by_class.id


def test_whether_a_class_needs_a_spectrum_follows_the_classifier_in_use(bench: Bench) -> None:
    sweet = {IDS["A"]: tells("ssc_brix", 11.0), IDS["B"]: tells("diameter_mm", 60.0)}
    line = bench.line(bench.plan(BY_CLASS, sweet[IDS["A"]]), IDS["A"], classifiers=sweet)
    blind = [message for message in bench.with_commands([(24, "B")]) if not isinstance(message, Scans)]
    rows = decide(line, blind)
    by_sugar = rows["classifier_id"] == int(IDS["A"], 16)
    assert Reason.GRADED not in rows["reason"][by_sugar]
    assert Reason.MISSING_SPECTRUM in rows["reason"][by_sugar]
    assert Reason.GRADED in rows["reason"][~by_sugar]


def test_a_model_without_residuals_is_not_switched_to_under_a_plan_that_asks_how_sure_it_is(bench: Bench) -> None:
    model = bench.loaded.model
    assert model is not None
    dull = replace(model, targets=tuple(replace(target, residuals=np.zeros(0)) for target in model.targets))
    line = bench.line(bench.plan(BY_CHANCE), models={MODEL: model, DULL: dull}, classifiers={})
    assert told(line, Command(0, 0, "model", DULL)) == ["unfit_artefact"]
    assert line.state.model_id == MODEL
    by_value = bench.plan(BY_CHANCE.replace(", probability = 0.7", ""))
    assert told(bench.line(by_value, models={MODEL: model, DULL: dull}, classifiers={}), Command(0, 0, "model", DULL)) == []


def test_a_probability_is_of_the_corrected_value_and_of_the_bundles_own_errors(bench: Bench) -> None:
    """Lane 2 reads 0.4 Brix low and is corrected; after an upkeep the errors are half as wide again."""
    model = bench.loaded.model
    assert model is not None
    corrections = np.tile([0.0, 1.0], (2, len(model.targets), 1))
    corrections[1, 0, 0] = 0.4
    wider = tuple(replace(target, residuals=1.5 * target.residuals) for target in model.targets)
    kept = replace(model, targets=wider, lanes=("2",), corrections=corrections)
    plan = bench.plan(BY_CHANCE)
    plain, after = (decide(bench.line(plan, models={MODEL: own}, classifiers={}), bench.messages) for own in (model, kept))
    weighed = 0
    for before, row in zip(plain, after, strict=True):
        if row["reason"] != Reason.GRADED:
            continue
        moved = 0.4 if row["lane"] == 2 else 0.0
        assert row["trait"][0] == pytest.approx(before["trait"][0] + moved)
        said = row["rule_probability"] if row["rule"] == 0 else row["missed_probability"]
        assert said == probability_within(kept.targets[0].residuals, row["trait"][0], 11.5, np.inf)
        assert (row["rule"] == 0) == (said >= 0.7)
        weighed += 1
    assert weighed > 15
    assert set(after["rule"]) == {-1, 0, 1}


def test_a_run_by_probabilities_replays_to_the_bit_and_a_stricter_plan_takes_fewer(line_toml: Path, tmp_path: Path) -> None:
    own = tmp_path / "line.toml"
    plan, strict = tmp_path / "plan.toml", tmp_path / "strict.toml"
    plan.write_text(BY_CHANCE, encoding="utf-8")
    strict.write_text(BY_CHANCE.replace("0.7", "0.95"), encoding="utf-8")
    text = line_toml.read_text(encoding="utf-8").replace('"model"', f'"{line_toml.parent}/model"')
    own.write_text(text.replace('"calibration"', f'"{line_toml.parent}/calibration"'), encoding="utf-8")
    run_line(own, tmp_path / "run", profile="normal", seconds=SECONDS)
    report = replay(tmp_path / "run")
    assert (report.diff_fields, report.compared) == (0, report.decisions)
    what_if = replay(tmp_path / "run", plan=strict).what_if
    assert what_if is not None
    assert 0 < what_if["packout_after"]["gift"] < what_if["packout_before"]["gift"]
