"""References taken anew on the running line: what is believed, what is refused, and that nothing else can change a decision."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.config.references import ReferencesSection
from citrus_grade.drivers.sim.belt import CUP_EMPTY, CUP_SINGLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.line import Line
from citrus_grade.messages import (
    Alarm,
    Command,
    Decisions,
    Joined,
    Message,
    Output,
    Position,
    Pulse,
    Reading,
    Reason,
    References,
    Scans,
    Shutter,
)
from citrus_grade.report.labels import label, remedy
from citrus_grade.rundir import Loaded
from citrus_grade.spectra import references
from citrus_grade.tables import DECISION, EMPTY, FRUIT, FRUIT_SEEN, Table, empty, stack

LIMITS = ReferencesSection()
FULL = 65000
N, PIXELS = 32, 64


def scans(level: Any, noise: float = 2.0, n: int = N, seed: int = 1) -> np.ndarray:
    light = np.broadcast_to(np.asarray(level, np.float64), (n, PIXELS))
    return np.clip(light + noise * np.random.default_rng(seed).standard_normal((n, PIXELS)) + 0.5, 0, FULL).astype(np.uint16)


DARK, WHITE = np.full(PIXELS, 600.0), 600.0 + np.linspace(20000.0, 50000.0, PIXELS)


def dark_said(level: Any, **how: Any) -> str | None:
    found = references.judge_dark(references.mean_of(scans(level, **how)), DARK, WHITE, LIMITS, FULL)
    return found.kind if found else None


def white_said(level: Any, **how: Any) -> str | None:
    found = references.mean_of(scans(level, **how))
    refused = references.judge_white(found, found.counts - DARK, WHITE - DARK, LIMITS, FULL)
    return refused.kind if refused else None


def test_what_is_dark_is_believed_and_what_is_not_is_told() -> None:
    assert dark_said(600) is None
    assert dark_said(720) is None  # a detector that has warmed up
    assert dark_said(0.04 * (WHITE - DARK) + 600) == "dark_bright"
    assert dark_said(600, noise=300.0) == "dark_noisy"


def test_what_is_white_is_believed_and_what_is_not_is_told() -> None:
    assert white_said(WHITE) is None
    assert white_said(600 + 0.6 * (WHITE - DARK)) is None  # a lamp near its end
    assert white_said(600 + 0.3 * (WHITE - DARK)) == "white_level"
    assert white_said(DARK) == "white_level"
    assert white_said(np.minimum(1.4 * WHITE, FULL)) == "white_clipped"
    assert white_said(600 + (WHITE - DARK) * np.linspace(1.4, 0.6, PIXELS)) == "white_shape"
    assert white_said(WHITE, noise=3000.0) == "white_noisy"


def test_a_scan_that_lies_apart_takes_no_part_in_the_mean() -> None:
    quiet = scans(600)
    one_open = quiet.copy()
    one_open[7] = 40000
    without = references.mean_of(np.delete(quiet, 7, axis=0))
    found = references.mean_of(one_open)
    assert found.n == N - 1
    np.testing.assert_array_equal(found.counts, without.counts)
    assert found.noise_counts == without.noise_counts


def test_the_mean_does_not_depend_on_the_order_of_scans() -> None:
    some = scans(600, noise=5.0)
    found, turned = references.mean_of(some), references.mean_of(some[::-1])
    assert found.counts.tobytes() == turned.counts.tobytes()
    assert found[1:] == turned[1:]


def test_noise_is_the_standard_deviation_of_a_pixel() -> None:
    assert references.mean_of(scans(600, noise=9.0, n=200)).noise_counts == pytest.approx(9.0, rel=0.02)


@dataclass
class Bed:
    """A simulated line without pictures: what lies in a cup is told as if it had been seen."""

    loaded: Loaded
    config: LineConfig
    calibration: CalibrationSet

    def line(self) -> Line:
        held = replace(self.loaded.artefacts(), calibrations={self.calibration.id: self.calibration})
        return Line(self.config, held, **self.loaded.ids | {"calibration": self.calibration.id})

    def plant(self, seconds: float, **faults: float) -> SimPlant:
        options = SimOptions.model_validate(
            {"seed": 3, "season": 4, "seconds": seconds, "doubles": 0.0, "bridging": 0.0} | faults
        )
        return SimPlant(self.config.model_copy(update={"camera": ()}), options)

    def run(
        self, plant: SimPlant, commands: dict[int, list[tuple[str, str]]], line: Line | None = None
    ) -> tuple[list[Message], list[Output]]:
        """Drive a line from a plant, with commands (kind, value) at pitches; return what was fed and what followed."""
        line, fed, given = line or self.line(), [], []
        for message in self.told(plant, commands):
            outputs = line.feed(message)
            plant.move([output for output in outputs if isinstance(output, Shutter)])
            fed.append(message)
            given += outputs
        return fed, given

    def told(self, plant: SimPlant, commands: dict[int, list[tuple[str, str]]]) -> Iterator[Message]:
        pitch = -1
        for message in plant.messages():
            if isinstance(message, Pulse):
                pitch += 1
                for kind, value in commands.get(pitch, []):
                    yield Command(message.tick, message.t_ns, kind, value)  # type: ignore[arg-type]  # as from a configuration
                if (cup := pitch - self.config.line.decision_station) >= 0 and cup < plant.table.shape[1]:
                    yield Joined(_seen(plant.table[:, cup], cup))
            yield message


def _seen(loads: Table, cup: int) -> Table:
    rows = empty(FRUIT, len(loads))
    there = loads["load"] == CUP_SINGLE
    rows["lane"], rows["cup"], rows["views"] = np.arange(len(loads)), cup, 8
    rows["state"], rows["fruit_views"] = np.where(there, FRUIT_SEEN, EMPTY), 8 * there
    assert (there | (loads["load"] == CUP_EMPTY)).all()
    for name, value in (("diameter_px", 80.0), ("height_px", 68.0), ("diameter_sigma_px", 0.5), ("height_sigma_px", 0.5)):
        rows[name][there] = value
    return rows


@pytest.fixture(scope="module")
def bed(loaded: Loaded) -> Bed:
    return Bed(loaded, loaded.config, loaded.calibration)


def alarms(outputs: Iterable[Output]) -> list[Alarm]:
    return [output for output in outputs if isinstance(output, Alarm)]


def decided(outputs: Iterable[Output]) -> Table:
    return stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)


def new_references(outputs: Iterable[Output]) -> list[References]:
    return [output for output in outputs if isinstance(output, References)]


def test_a_command_takes_a_dark_and_a_white_and_opens_the_light_again(bed: Bed) -> None:
    plant = bed.plant(4.0, nir_dark_speed=1000.0, nir_late_h=0.1)
    _, outputs = bed.run(plant, {12: [("white_refresh", ""), ("dark_refresh", "")]})
    moves = [(output.lane, output.position) for output in outputs if isinstance(output, Shutter)]
    in_turn = [Position.ATTENUATOR, Position.CLOSED, Position.ATTENUATOR, Position.OPEN]
    assert [position for lane, position in moves if lane == 4] == in_turn
    assert alarms(outputs) == []
    taken = [new for new in new_references(outputs) if new.lane == 4]
    assert len(taken) == 2
    age = plant.options.age(2.0)
    np.testing.assert_allclose(taken[0].dark, plant.spectrometer.dark(age)[4], atol=4.0)
    np.testing.assert_allclose(taken[0].white - taken[0].dark, (bed.calibration.white - bed.calibration.dark)[4], atol=1e-9)
    np.testing.assert_allclose(taken[1].white, plant.spectrometer.white(age)[4], atol=12.0)
    assert taken[1].dark.tobytes() == taken[0].dark.tobytes()


def test_decisions_name_the_references_from_a_cup_boundary_on(bed: Bed) -> None:
    _, outputs = bed.run(bed.plant(4.0), {12: [("dark_refresh", "2")]})
    rows = decided(outputs)
    (new,) = new_references(outputs)
    mine = rows[rows["lane"] == 2]
    first = mine["cup"][mine["tick"] == new.tick][0]
    np.testing.assert_array_equal(mine["reference_id"], np.where(mine["cup"] >= first, new.reference_id, 0))
    assert not rows["reference_id"][rows["lane"] != 2].any()


def test_while_the_light_is_blocked_a_lane_has_no_spectra_and_the_others_do(bed: Bed) -> None:
    calm = decided(bed.run(bed.plant(4.0, fill=1.0), {})[1])
    fed, outputs = bed.run(bed.plant(4.0, fill=1.0), {12: [("dark_refresh", "2")]})
    rows = decided(outputs)
    missing = rows["reason"] == Reason.MISSING_SPECTRUM
    assert set(rows["lane"][missing & (calm["reason"] != Reason.MISSING_SPECTRUM)]) == {2}
    others = rows["lane"] != 2
    assert rows[others].tobytes() == calm[others].tobytes()
    opened = next(m.tick for m in fed if isinstance(m, Reading) and m.value == Position.OPEN)
    station = bed.config.spectrometer.station if bed.config.spectrometer else 0.0
    after = (rows["lane"] == 2) & ((rows["cup"] + station - 0.5) * bed.config.encoder.ratio > opened)
    assert after.sum() > 10
    assert not missing[after & (calm["reason"] != Reason.MISSING_SPECTRUM)].any()


def spoilt(messages: Iterable[Message], value: int) -> list[Message]:
    """The same messages with a light in lane 1 that no shutter keeps out."""
    return [
        replace(m, counts=np.where((m.lane == 1)[:, None], np.uint16(value), m.counts)) if isinstance(m, Scans) else m
        for m in messages
    ]


def test_what_is_refused_leaves_the_old_reference_and_says_what_was_measured(bed: Bed) -> None:
    fed, _ = bed.run(bed.plant(4.0), {12: [("dark_refresh", "")]})
    line = bed.line()
    outputs = [output for message in spoilt(fed, 9000) for output in line.feed(message)]
    (told,) = [alarm for alarm in alarms(outputs) if alarm.kind.startswith("dark")]
    assert (told.kind, told.where.split()[:2]) == ("dark_bright", ["lane", "1"])
    assert {new.lane for new in new_references(outputs)} == {0, 2, 3, 4, 5}
    assert line.state.references.dark[1].tobytes() == bed.calibration.dark[1].tobytes()
    assert line.state.references.lanes["reference_id"][1] == 0
    assert "of the white's light" in remedy(told.kind, told.where)
    assert label(told.kind) != told.kind


def test_a_shutter_that_never_moves_is_told_and_patience_ends(bed: Bed) -> None:
    line, plant = bed.line(), bed.plant(9.0)
    outputs = [output for message in bed.told(plant, {12: [("dark_refresh", "3")]}) for output in line.feed(message)]
    assert [alarm.kind for alarm in alarms(outputs)] == ["dark_few"]
    rows = decided(outputs)
    mine = rows[(rows["lane"] == 3) & (rows["cup"] < plant.table.shape[1])]
    received = mine["scans_received"] > 0
    assert not received[(mine["cup"] > 12) & (mine["cup"] < 60)].any()
    assert received[mine["cup"] > 70].all()  # the light was never blocked
    assert [output.position for output in outputs if isinstance(output, Shutter)] == [Position.CLOSED, Position.OPEN]


def test_a_shutter_that_does_not_open_again_is_told_once(bed: Bed) -> None:
    line, plant, outputs = bed.line(), bed.plant(16.0), []
    for message in bed.told(plant, {12: [("dark_refresh", "3")]}):
        given = line.feed(message)
        plant.move([output for output in given if isinstance(output, Shutter) and output.position != Position.OPEN])
        outputs += given
    assert [(alarm.kind, alarm.where) for alarm in alarms(outputs)] == [("shutter_stuck", "lane 3 position 1")]
    tried = bed.line()
    tried.restore(line.snapshot())
    assert alarms(tried.feed(Command(0, 0, "dark_refresh", "3"))) == [Alarm(0, "shutter_stuck", "lane 3", 0)]
    freed = Reading(0, 0, 3, "shutter", float(Position.OPEN))
    assert line.feed(freed) == (Alarm(0, "shutter_stuck", "lane 3", 0),)
    assert line.feed(freed) == ()


def test_a_snapshot_at_any_message_goes_on_as_if_nothing_had_been(bed: Bed) -> None:
    fed, outputs = bed.run(bed.plant(2.5), {6: [("dark_refresh", ""), ("white_refresh", "1")]})
    line, given = bed.line(), []
    for n, message in enumerate(fed):
        if n % 5 == 0:
            snapshot, line = line.snapshot(), bed.line()
            line.restore(snapshot)
        given += line.feed(message)
    assert len(new_references(given)) == 7
    assert decided(given).tobytes() == decided(outputs).tobytes()
    assert [told(output) for output in given] == [told(output) for output in outputs]


def told(output: Output) -> Any:
    if isinstance(output, Decisions):
        return output.rows.tobytes()
    if isinstance(output, References):
        return output.tick, output.lane, output.reference_id, output.dark.tobytes(), output.white.tobytes()
    return output


def test_a_lane_alone_takes_the_same_reference(bed: Bed) -> None:
    fed, outputs = bed.run(bed.plant(2.5), {6: [("dark_refresh", ""), ("white_refresh", "")]})

    def own(message: Message) -> Message:
        if not isinstance(message, Scans):
            return message
        mine = message.lane == 2
        return Scans(message.t_ns, message.lane[mine], message.seq[mine], message.tick[mine], message.counts[mine])

    line = bed.line()
    alone = [output for message in fed for output in line.feed(own(message))]
    assert [told(new) for new in new_references(alone) if new.lane == 2] == [
        told(new) for new in new_references(outputs) if new.lane == 2
    ]


def test_another_calibration_brings_its_own_references(bed: Bed) -> None:
    line = bed.line()
    _, outputs = bed.run(bed.plant(2.5), {6: [("dark_refresh", "")]}, line)
    assert new_references(outputs)
    line.feed(Command(0, 0, "calibration", bed.calibration.id))
    assert line.state.references.dark.tobytes() == bed.calibration.dark.tobytes()
    assert not line.state.references.lanes["reference_id"].any()


def test_a_white_through_an_attenuator_of_known_transmission_stands_at_the_calibrations_level(bed: Bed) -> None:
    """An attenuator half as strong as the calibration's counts twice the light; the white must not move."""
    known = replace(bed.calibration, transmission=np.full_like(bed.calibration.white, 0.5))
    fed, _ = bed.run(bed.plant(2.5), {6: [("white_refresh", "")]})
    half = [
        replace(m, counts=((m.counts + bed.calibration.dark[m.lane]) / 2).astype(np.uint16)) if isinstance(m, Scans) else m
        for m in fed
    ]
    line = Bed(bed.loaded, bed.config, known).line()
    outputs = [output for message in half for output in line.feed(message)]
    assert len(new_references(outputs)) == 6
    for new in new_references(outputs):
        np.testing.assert_allclose(new.white, bed.calibration.white[new.lane], atol=25.0)


def test_scans_exposed_otherwise_than_the_references_are_told_and_no_reference_is_taken(bed: Bed) -> None:
    known = replace(bed.calibration, integration_us=np.full(bed.config.line.lanes, 5000.0))
    line = Bed(bed.loaded, bed.config, known).line()
    assert line.feed(Reading(0, 0, -1, "integration_us", 5000.0)) == ()
    (said,) = line.feed(Reading(0, 0, 4, "integration_us", 5200.0))
    assert said == Alarm(0, "integration_differs", "lane 4 measured 5200 limit 5000")
    _, outputs = bed.run(bed.plant(2.5), {6: [("dark_refresh", "")]}, line)
    assert {new.lane for new in new_references(outputs)} == {0, 1, 2, 3, 5}
    assert [alarm.kind for alarm in alarms(outputs)] == ["integration_differs"]
    assert line.feed(Reading(0, 0, -1, "integration_us", 5000.0)) == (Alarm(0, "integration_differs", "lane 4", 0),)
    assert line.feed(Reading(0, 0, -1, "integration_us", 5000.0)) == ()


def test_a_calibration_made_at_the_exposure_in_use_ends_what_was_told_of_it(bed: Bed) -> None:
    lanes = bed.config.line.lanes
    old, new = (replace(bed.calibration, integration_us=np.full(lanes, us)) for us in (5000.0, 5200.0))
    line = Bed(bed.loaded, bed.config, old).line()
    line.artefacts = replace(line.artefacts, calibrations={old.id: old, new.id: new})
    assert [said.kind for said in alarms(line.feed(Reading(0, 0, 4, "integration_us", 5200.0)))] == ["integration_differs"]
    assert line.feed(Command(0, 0, "calibration", new.id)) == (Alarm(0, "integration_differs", "lane 4", 0),)


@pytest.mark.parametrize(
    "message",
    [
        Command(0, 0, "dark_refresh", "9"),
        Command(0, 0, "white_refresh", "two"),
        Reading(0, 0, 9, "shutter", 1.0),
        Reading(0, 0, 0, "shutter", 4.0),
        Reading(0, 0, 0, "shutter", float("nan")),
    ],
)
def test_what_names_nothing_there_is_an_alarm_and_changes_nothing(bed: Bed, message: Message) -> None:
    line = bed.line()
    before = line.snapshot()
    assert [alarm.kind for alarm in alarms(line.feed(message))] == ["bad_message"]
    assert line.snapshot() == before


def test_a_shutter_that_closes_unasked_hides_its_lane(bed: Bed) -> None:
    fed, _ = bed.run(bed.plant(2.5, fill=1.0), {})
    line = bed.line()
    line.feed(Reading(-1, 0, 2, "shutter", 1.0))
    rows = decided(output for message in fed for output in line.feed(message))
    assert not rows["scans_received"][rows["lane"] == 2].any()
    assert rows["scans_received"][rows["lane"] == 1].any()


@pytest.mark.parametrize("position", [Position.CLOSED, Position.ATTENUATOR, Position.BETWEEN])
def test_what_a_lane_saw_before_it_was_told_of_a_shutter_is_not_believed(bed: Bed, position: Position) -> None:
    fed, _ = bed.run(bed.plant(2.5, fill=1.0), {})
    line, half = bed.line(), len(fed) // 2
    for message in fed[:half]:
        line.feed(message)
    assert line.state.scans_seen[:, 2].any()
    line.feed(Reading(line.state.next_cup * 4096, 0, 2, "shutter", float(position)))
    rows = decided(output for message in fed[half:] for output in line.feed(message))
    assert not rows["scans_received"][rows["lane"] == 2].any()
    assert rows["scans_received"][rows["lane"] == 1].any()


def test_a_shutter_that_was_asked_to_close_leaves_what_was_seen_before(bed: Bed) -> None:
    fed, _ = bed.run(bed.plant(2.5, fill=1.0), {})
    line = bed.line()
    for message in fed[: len(fed) // 2]:
        line.feed(message)
    seen = line.state.scans_seen[:, 2].copy()
    line.feed(Command(0, 0, "dark_refresh", "2"))
    line.feed(Reading(line.state.next_cup * 4096, 0, 2, "shutter", float(Position.CLOSED)))
    np.testing.assert_array_equal(line.state.scans_seen[:, 2], seen)
