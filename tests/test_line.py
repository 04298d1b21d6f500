"""`Line.feed` as a specification: what may change about the messages without changing a decision, and what must be said."""

import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from citrus_grade import artefacts
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.grading.classifier import GradeModel, arrays
from citrus_grade.grading.plan import Plan
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import (
    Alarm,
    Command,
    Decisions,
    Ejection,
    Frame,
    Joined,
    Message,
    OutletReport,
    Output,
    Pulse,
    Reading,
    Reason,
    Scans,
    Views,
)  # fmt: skip
from citrus_grade.rundir import with_section
from citrus_grade.runtime.accuracy import against_truth
from citrus_grade.runtime.demo import set_up
from citrus_grade.spectra import bundle as bundles
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.tables import CLARITY, DECISION, VIEW, Table, differing_fields, fruit_of, stack
from citrus_grade.templates import LINE

SECONDS = 2.0
PHASES = "min_views = 7\nlane_phase_cups = [0.0, 0.25, -0.3, 0.1, -0.1, 0.4]\n"
PLAN = """
name = "one outlet a grade"
[[rule]]
grade = "sweet"
outlets = ["1"]
diameter_mm = { min = 50, max = 80 }
ssc_brix = { min = 11 }
[[rule]]
grade = "rest"
outlets = ["2"]
"""

CLASSIFIER = GradeModel(
    "logistic",
    ("small", "large"),
    ("diameter_mm", "ssc_brix"),
    arrays(fill=[60.0, 11.0], size=[2, 1], weight=[1.0, 0.5], bias=[-62.0 - 5.5], base=[0.0]),
    "sigmoid",
)
"""The logarithm of the odds of "large" is the diameter less 62 mm, and half the sugar less 11 Brix."""
CLASS_PLAN = """
name = "by class"
[[rule]]
grade = "surely large"
outlets = ["1"]
class = ["large"]
probability.large = { min = 0.9 }
[[rule]]
grade = "large"
outlets = ["2"]
class = ["large"]
[[rule]]
grade = "small"
outlets = ["3"]
class = ["small"]
"""


class Bench:
    """A calibrated six-lane line and two simulated seconds of messages."""

    def __init__(self, folder: Path) -> None:
        set_up(folder, 5)
        self.config = parse(LINE.read_text(encoding="utf-8"))
        stored = artefacts.load(folder / "model", bundles.KIND)
        self.model: SpectralModel = bundles.from_artefact(stored)
        self.calibration = CalibrationSet.of(artefacts.load(folder / "calibration", "calibration"))
        self.plan_targets = self.model.names
        self.plan = plans.parse(PLAN, self.plan_targets, self.config.outlet_names[:-1])
        self.plant, self.messages = self.sense(self.config)

    def sense(self, config: LineConfig, seed: int = 5) -> tuple[SimPlant, list[Message]]:
        plant = SimPlant(config, SimOptions(seed=seed, seconds=SECONDS, season=4))
        return plant, list(plant.messages())

    def line(self, config: LineConfig | None = None, calibration: CalibrationSet | None = None, plan: Plan | None = None) -> Line:
        chosen, sorted_by = calibration or self.calibration, plan or self.plan
        held = Artefacts({sorted_by.id: sorted_by}, {"ab" * 8: self.model}, {chosen.id: chosen})
        return Line(config or self.config, held, plan=sorted_by.id, calibration=chosen.id, model="ab" * 8)

    def graded(self, rules: str = CLASS_PLAN) -> Line:
        """The line with a classifier, sorted by its classes."""
        plan = plans.parse(rules, self.plan_targets, self.config.outlet_names[:-1], classifier=CLASSIFIER)
        held = Artefacts({plan.id: plan}, {"ab" * 8: self.model}, {self.calibration.id: self.calibration}, {"cd" * 8: CLASSIFIER})
        ids = {"plan": plan.id, "calibration": self.calibration.id, "model": "ab" * 8, "classifier": "cd" * 8}
        return Line(self.config, held, **ids)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("line"))


def outputs_of(line: Line, messages: Iterable[Message]) -> list[Output]:
    return [output for message in messages for output in line.feed(message)]


def decide(line: Line, messages: Iterable[Message]) -> Table:
    return stack([output.rows for output in outputs_of(line, messages) if isinstance(output, Decisions)], DECISION)


def edited(**line_values: object) -> LineConfig:
    """The template line with other values, `encoder` or any other section given as a dict."""
    text = LINE.read_text(encoding="utf-8")
    for name, values in line_values.items():
        assert isinstance(values, dict)
        text = with_section(text, name, values)
    return parse(text)


def of_lane(rows: Table, lane: int) -> Table:
    return rows[rows["lane"] == lane]


def test_every_cup_of_every_lane_is_decided_once(bench: Bench) -> None:
    rows = decide(bench.line(), bench.messages)
    lanes, cups = bench.config.line.lanes, rows["cup"].max() + 1
    assert len(rows) == lanes * cups
    assert np.array_equal(rows["cup"], np.repeat(np.arange(cups), lanes))
    assert np.array_equal(rows["lane"], np.tile(np.arange(lanes), cups))


def test_a_fruit_not_graded_is_not_ejected(bench: Bench) -> None:
    rows = decide(bench.line(), bench.messages)
    graded = rows["reason"] == Reason.GRADED
    assert graded.sum() > 60
    assert np.array_equal(graded, rows["fire_tick"] >= 0)
    assert np.array_equal(graded, rows["outlet"] < len(bench.config.outlet))
    assert np.all(rows["reasons"][graded] == 0)


def test_the_simulated_line_agrees_with_its_truth(bench: Bench) -> None:
    plant, _ = bench.sense(bench.config)
    line, rows = bench.line(), []
    for message in plant.messages():
        outputs = line.feed(message)
        plant.eject([output for output in outputs if isinstance(output, Ejection)])
        rows += [output.rows for output in outputs if isinstance(output, Decisions)]
    accuracy = against_truth(stack(rows, DECISION), plant.truth(), bench.model.names)
    assert accuracy["delivery"] == 1.0
    assert accuracy["empties_exact"] == 1.0
    assert accuracy["size_class_exact"] >= 0.9


def test_a_frame_equals_its_views(bench: Bench) -> None:
    line = bench.line()
    imaged = [line._imagers[0](m) if isinstance(m, Frame) else m for m in bench.messages]
    assert any(isinstance(m, Views) for m in imaged)
    assert decide(bench.line(), imaged).tobytes() == decide(line, bench.messages).tobytes()


def test_joined_fruit_decide_without_pixels(bench: Bench) -> None:
    recorded = decide(bench.line(), bench.messages)
    line, replayed, at = bench.line(), [], 0
    for message in bench.messages:
        if isinstance(message, Frame):
            continue
        if isinstance(message, Pulse) and at < len(recorded):
            line.feed(Joined(fruit_of(recorded[at : at + 6])))
        batches = [o.rows for o in line.feed(message) if isinstance(o, Decisions)]
        at += sum(map(len, batches))
        replayed += batches
    assert stack(replayed, DECISION).tobytes() == recorded.tobytes()


def test_snapshot_and_restore_at_every_message(bench: Bench) -> None:
    whole, pieces = bench.line(), bench.line()
    for n, message in enumerate(bench.messages):
        if n % 7 == 0:
            snapshot, pieces = pieces.snapshot(), bench.line()
            pieces.restore(snapshot)
        a, b = whole.feed(message), pieces.feed(message)
        assert [o.rows.tobytes() if isinstance(o, Decisions) else o for o in a] == [
            o.rows.tobytes() if isinstance(o, Decisions) else o for o in b
        ]
    assert whole.snapshot() == pieces.snapshot()


def test_lanes_permuted_permute_the_decisions(bench: Bench) -> None:
    order = np.array([3, 0, 5, 1, 4, 2])  # new lane k is old lane order[k]
    place = np.argsort(order).astype(np.int32)
    y_px = bench.config.camera[0].lane_y_px
    camera = bench.config.camera[0].model_copy(update={"lane_y_px": tuple(y_px[k] for k in order)})
    config = bench.config.model_copy(update={"camera": (camera,)})
    old = bench.calibration
    by_lane = {name: getattr(old, name)[order] for name in ("scale", "scale_sigma_mm", "dark", "white")}
    calibration = replace(old, **by_lane)
    messages = [replace(m, lane=place[m.lane]) if isinstance(m, Scans) else m for m in bench.messages]
    plain, permuted = decide(bench.line(), bench.messages), decide(bench.line(config, calibration), messages)
    for new, lane in enumerate(order):
        a, b = of_lane(plain, lane).copy(), of_lane(permuted, new).copy()
        a["lane"] = b["lane"] = 0
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("lane", [0, 3, 5])
def test_a_lane_alone_equals_the_lane_in_the_batch(bench: Bench, lane: int) -> None:
    y = int(bench.config.camera[0].lane_y_px[lane])

    def alone(message: Message) -> Message:
        if isinstance(message, Frame):
            mosaic = np.zeros_like(message.mosaic)
            mosaic[y - 64 : y + 64] = message.mosaic[y - 64 : y + 64]
            return replace(message, mosaic=mosaic)
        if isinstance(message, Scans):
            own = message.lane == lane
            return Scans(message.t_ns, message.lane[own], message.seq[own], message.tick[own], message.counts[own])
        return message

    together, single = decide(bench.line(), bench.messages), decide(bench.line(), [alone(m) for m in bench.messages])
    assert of_lane(single, lane).tobytes() == of_lane(together, lane).tobytes()


@pytest.mark.parametrize("seed", range(5))
def test_streams_may_arrive_out_of_order_within_the_margin(bench: Bench, seed: int) -> None:
    rng, shuffled, pitch = random.Random(seed), [], []
    for message in bench.messages:
        if isinstance(message, Pulse):
            rng.shuffle(pitch)
            shuffled += pitch
            pitch = []
            shuffled.append(message)
        else:
            pitch.append(message)
    assert decide(bench.line(), shuffled + pitch).tobytes() == decide(bench.line(), bench.messages).tobytes()


def test_jitter_extra_lost_and_reverse_pulses_give_the_same_fruit(bench: Bench) -> None:
    rng, messages = random.Random(3), []
    for message in bench.messages:
        if isinstance(message, Pulse):
            back = replace(message, tick=message.tick - rng.randrange(1, 5000), head_tick=message.head_tick)
            messages += [back] if rng.random() < 0.3 else []
            if rng.random() < 0.1:
                continue
            messages += [message, replace(message, tick=message.tick - 3)]
        else:
            messages.append(message)
    plain, noisy = decide(bench.line(), bench.messages), decide(bench.line(), messages)
    n = min(len(plain), len(noisy))
    assert n > 100
    for name in ("cup", "lane", "diameter_mm", "trait", "reason", "rule", "fire_tick"):
        assert np.array_equal(plain[name][:n], noisy[name][:n], equal_nan=name in ("diameter_mm", "trait")), name


@pytest.mark.parametrize(
    "sections",
    [
        {"encoder": {"ticks_per_cup": "4096/7", "bits": 32}},
        {"encoder": {"ticks_per_cup": "100003/17", "bits": 16}},
        {"encoder": {"ticks_per_cup": 4096, "bits": 16}},
    ],
    ids=["4096/7", "100003/17 of 16 bits", "16 bits"],
)  # fmt: skip
def test_any_ticks_a_cup_and_any_counter_give_the_same_fruit(bench: Bench, sections: dict[str, dict[str, object]]) -> None:
    config = edited(**sections)
    _, messages = bench.sense(config)
    plain, other = decide(bench.line(), bench.messages), decide(bench.line(config), messages)
    assert np.array_equal(plain["cup"], other["cup"])
    assert np.array_equal(plain["state"], other["state"])
    full = plain["fruit_views"] > 0
    assert np.nanmax(np.abs(plain["diameter_mm"][full] - other["diameter_mm"][full])) < 1.5
    assert np.all(other["views"] == plain["views"])


def test_lane_phases_and_frames_off_the_pitch_lose_one_view_and_no_fruit(bench: Bench) -> None:
    text = LINE.read_text(encoding="utf-8").replace("lead_ms", PHASES + "lead_ms")
    config = parse(text.replace("station = 4 ", "station = 4.2 ").replace("decision_station = 17", "decision_station = 18"))
    plant, messages = bench.sense(config)
    rows = decide(bench.line(config), messages)
    accuracy = against_truth(rows, plant.truth(), bench.model.names)
    seen = rows[(rows["cup"] >= 0) & (rows["cup"] < plant.table.shape[1])]
    assert seen["views"].min() >= 7
    assert accuracy["empties_exact"] == 1.0
    assert accuracy["size_class_exact"] >= 0.85


def test_an_index_sensor_makes_a_slip_good(bench: Bench) -> None:
    """From the 40th pitch on the encoder lacks 700 ticks; the flag of each cup passes the index sensor at the pitch."""
    slipped: list[Message] = []
    for message in bench.messages:
        late = message.t_ns > 40 / 12 * 1e9 if not isinstance(message, Joined) else False
        lost = 700 if late else 0
        if isinstance(message, Pulse):
            slipped.append(Reading(message.tick - lost, message.t_ns, -1, "cup_index", 0.0))
            slipped.append(replace(message, tick=message.tick - lost, head_tick=message.head_tick - lost))
        elif isinstance(message, Frame | Scans):
            slipped.append(replace(message, tick=message.tick - lost))
        else:
            slipped.append(message)
    outputs = outputs_of(bench.line(), slipped)
    rows = stack([o.rows for o in outputs if isinstance(o, Decisions)], DECISION)
    plain = decide(bench.line(), bench.messages)
    assert sum(isinstance(o, Alarm) and o.kind == "encoder_slip" for o in outputs) == 1
    assert np.array_equal(rows["state"], plain["state"])
    full = plain["fruit_views"] > 0
    assert np.nanmax(np.abs(rows["diameter_mm"][full] - plain["diameter_mm"][full])) < 1.0


def test_a_stalled_core_ejects_nothing_late(bench: Bench) -> None:
    last = max(m.tick for m in bench.messages if isinstance(m, Pulse))
    stalled = [replace(m, head_tick=last) if isinstance(m, Pulse) else m for m in bench.messages]
    rows = decide(bench.line(), stalled)
    late = rows["reason"] == Reason.LATE
    assert late.sum() > 50
    assert np.all(rows["fire_tick"][late] == -1)
    lead = bench.line()._stations.routes.lead_ticks
    assert np.all(rows["fire_tick"][rows["fire_tick"] >= 0] - last >= lead)


def test_what_is_missing_is_named(bench: Bench) -> None:
    blind = [m for m in bench.messages if not (isinstance(m, Frame) and m.seq == 14)]
    outputs = outputs_of(bench.line(), blind)
    rows = stack([o.rows for o in outputs if isinstance(o, Decisions)], DECISION)
    assert any(isinstance(o, Alarm) and o.kind == "frame_gap" and o.count == 1 for o in outputs)
    hit = rows["views"] == 7
    assert hit.sum() == 8 * 6
    assert np.all(np.isin(rows["reason"][hit], (Reason.MISSING_VIEW, Reason.EMPTY, Reason.DOUBLE, Reason.BRIDGING)))
    mute = decide(bench.line(), [m for m in bench.messages if not isinstance(m, Scans)])
    assert Reason.MISSING_SPECTRUM in mute["reason"]
    assert Reason.GRADED not in mute["reason"]


def test_scans_whose_numbers_shift_stay_with_their_cups_and_are_counted(bench: Bench) -> None:
    half = len(bench.messages) // 2
    later = [replace(m, seq=m.seq + 1) if isinstance(m, Scans) and at >= half else m for at, m in enumerate(bench.messages)]
    outputs = outputs_of(bench.line(), later)
    gaps = sum(output.count for output in outputs if isinstance(output, Alarm) and output.kind == "scan_gap")
    assert gaps == bench.config.line.lanes
    rows = stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)
    assert rows.tobytes() == decide(bench.line(), bench.messages).tobytes()


def test_a_frame_that_is_none_is_an_alarm(bench: Bench) -> None:
    line = bench.line()
    for mosaic in (np.zeros((10, 10), np.uint8), np.zeros((768, 1024), np.uint16), np.zeros((768, 1024, 3), np.uint8)):
        assert [o.kind for o in line.feed(Frame(0, 0, 0, 0, mosaic)) if isinstance(o, Alarm)] == ["bad_frame"]
    unknown = Frame(7, 0, 0, 0, np.zeros((768, 1024), np.uint8))
    assert [o.kind for o in line.feed(unknown) if isinstance(o, Alarm)] == ["bad_frame"]


def test_scans_of_no_lane_and_of_another_length_are_counted(bench: Bench) -> None:
    line, one = bench.line(), np.ones(1, np.int32)
    for lane, pixels in ((9, 256), (-1, 256), (0, 128)):
        line.feed(Scans(0, lane * one, one, np.full(1, 20 * 4096, np.int64), np.zeros((1, pixels), np.uint16)))
    told = [o for o in line.feed(Pulse(20 * 4096, 20 * 4096, 0)) if isinstance(o, Alarm)]
    assert [(o.kind, o.count) for o in told] == [("scans_outside_window", 3)]


@pytest.mark.parametrize(
    "message",
    [
        Views(3, 0, 0, 0, np.empty(0, VIEW), np.empty(0, CLARITY)),
        Views(0, 0, 0, 0, np.empty(0, VIEW), np.empty(5, CLARITY)),
        OutletReport(0, 0, 9, 0, "jammed"),
        OutletReport(0, 0, 0, 9, "full"),
        Command(0, 0, "lane_off", "9"),
        Command(0, 0, "lane_off", "-1"),
        Command(0, 0, "lane_off", "two"),
        Command(0, 0, "lot", "L12"),
        Command(0, 0, "lot", "99999999999"),
    ],
)
def test_a_message_that_names_what_is_not_there_is_an_alarm_and_changes_nothing(bench: Bench, message: Message) -> None:
    line = bench.line()
    before = line.snapshot()
    assert [o.kind for o in line.feed(message) if isinstance(o, Alarm)] == ["bad_message"]
    assert line.snapshot() == before


def test_a_full_end_of_the_belt_is_told(bench: Bench) -> None:
    told = bench.line().feed(OutletReport(0, 0, -1, len(bench.config.outlet), "full"))
    assert [o.kind for o in told if isinstance(o, Alarm)] == ["outlet_full"]


def test_a_lot_begins_with_the_first_cup_not_yet_loaded(bench: Bench) -> None:
    pulses = [m for m in bench.messages if isinstance(m, Pulse)]
    at = pulses[9]
    messages = [*pulses[:10], Command(at.tick, at.t_ns, "lot", "7"), *pulses[10:]]
    rows = decide(bench.line(), messages)
    assert set(rows["lot"][rows["cup"] <= 9]) == {0}
    assert set(rows["lot"][rows["cup"] >= 10]) == {7}


def test_an_unknown_artefact_is_an_alarm_and_changes_nothing(bench: Bench) -> None:
    line = bench.line()
    for kind in ("plan", "model", "calibration"):
        assert [o.kind for o in line.feed(Command(0, 0, kind, "ff" * 8)) if isinstance(o, Alarm)] == ["unknown_artefact"]
    assert line.state.plan_id == bench.plan.id


def test_a_lane_switched_off_grades_nothing(bench: Bench) -> None:
    rows = decide(bench.line(), [Command(0, 0, "lane_off", "2"), *bench.messages])
    assert set(of_lane(rows, 2)["reason"]) <= {Reason.LANE_OFF, Reason.EMPTY}
    assert Reason.GRADED in of_lane(rows, 1)["reason"]


def test_a_jammed_outlet_gets_nothing_until_it_is_clear(bench: Bench) -> None:
    jammed = [OutletReport(0, 0, -1, 1, "jammed"), *bench.messages]
    rows = decide(bench.line(), jammed)
    assert 1 not in rows["outlet"]
    assert Reason.OUTLET_FAULT in rows["reason"]
    clear = [OutletReport(0, 0, -1, 1, "jammed"), OutletReport(0, 0, -1, 1, "clear"), *bench.messages]
    assert 1 in decide(bench.line(), clear)["outlet"]


def test_an_encoder_that_jumps_decides_nothing(bench: Bench) -> None:
    line, far = bench.line(), 10_000_000
    outputs = line.feed(Pulse(far, far, 0))
    assert [o.kind for o in outputs if isinstance(o, Alarm)] == ["encoder_jump"]
    assert not any(isinstance(o, Decisions) for o in outputs)
    outputs = line.feed(Pulse(17 * 4096, 17 * 4096, 0))
    assert any(isinstance(o, Decisions) for o in outputs), "one bad count does not stop the line"


def test_pulses_that_agree_on_a_far_place_move_the_line_there(bench: Bench) -> None:
    line, far = bench.line(), 10_000 * 4096
    outputs = outputs_of(line, [Pulse(far + k * 4096, far + k * 4096, 0) for k in range(4)])
    cups = np.concatenate([o.rows["cup"] for o in outputs if isinstance(o, Decisions)])
    assert sorted(set(cups.tolist())) == [10_000 - 17 + 2, 10_000 - 17 + 3]


def test_a_fruit_is_sorted_by_its_class_and_says_how_sure(bench: Bench) -> None:
    rows = decide(bench.graded(), bench.messages)
    told = rows[rows["grade_class"] >= 0]
    assert len(told) > 60
    odds = told["diameter_mm"] - 62 + 0.5 * (told["trait"][:, 0] - 11)
    large = 1 / (1 + np.exp(-odds))
    assert np.array_equal(told["grade_class"], (large > 0.5).astype(int))
    np.testing.assert_allclose(told["grade_probability"], np.maximum(large, 1 - large), rtol=1e-9)
    assert np.array_equal(told["rule"], np.where(large >= 0.9, 0, np.where(large > 0.5, 1, 2)))
    assert set(rows["classifier_id"].tolist()) == {int("cd" * 8, 16)}


def test_a_fruit_that_cannot_be_graded_has_no_class(bench: Bench) -> None:
    rows = decide(bench.graded(), [m for m in bench.messages if not isinstance(m, Scans)])
    fruit = rows[rows["fruit_views"] > 0]
    assert set(fruit["grade_class"]) == {-1}
    assert np.isnan(fruit["grade_probability"]).all()
    assert not (fruit["reason"] == Reason.GRADED).any()


def test_a_classifier_that_no_rule_asks_changes_no_grade(bench: Bench) -> None:
    with_it, without = decide(bench.graded(PLAN), bench.messages), decide(bench.line(), bench.messages)
    assert with_it["rule"].max() >= 1
    assert (with_it["grade_class"] >= 0).any()
    assert set(differing_fields(with_it, without)) <= {"grade_class", "grade_probability", "classifier_id"}


def test_a_plan_for_other_classes_is_no_plan_of_this_line(bench: Bench) -> None:
    held = Artefacts({bench.plan.id: bench.plan}, {}, {bench.calibration.id: bench.calibration}, {"cd" * 8: CLASSIFIER})
    with pytest.raises(ValueError, match="classes"):
        Line(bench.config, held, plan=bench.plan.id, calibration=bench.calibration.id, classifier="cd" * 8)


def test_a_line_with_a_classifier_goes_on_from_its_snapshot(bench: Bench) -> None:
    half = len(bench.messages) // 2
    first, second = bench.graded(), bench.graded()
    outputs_of(first, bench.messages[:half])
    second.restore(first.snapshot())
    assert decide(second, bench.messages[half:]).tobytes() == decide(first, bench.messages[half:]).tobytes()
