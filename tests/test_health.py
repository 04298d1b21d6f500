"""The watch over lens and light: what it measures, when it speaks and when it keeps quiet."""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim import camera as sim_camera
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.imaging import health
from citrus_grade.imaging.health import AVERAGED, KINDS, LEARNT
from citrus_grade.imaging.imager import Imager
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Alarm, Command, Frame, Message
from citrus_grade.replay import replay
from citrus_grade.report import page
from citrus_grade.report.labels import remedy
from citrus_grade.rundir import reopen, with_section
from citrus_grade.runlog import LogReader, files, info
from citrus_grade.runlog.reader import Fed, Snapshot
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import CLARITY, Table
from citrus_grade.templates import LINE

PLAN = 'name = "all"\n[[rule]]\ngrade = "any"\noutlets = ["1"]\n'


def line_toml(per_s: float = 12.0, lane_y_px: tuple[int, ...] = (64, 192, 320), **camera: object) -> str:
    """The template's line, without spectrometer, with one small camera that sees three cups of each of three lanes."""
    text = re.sub(r"(?ms)^\[spectrometer\].*?(?=^# Fired)", "", LINE.read_text(encoding="utf-8"))
    values = {"lanes": len(lane_y_px), "cups_per_s": per_s, "roller_ratio": 0.9, "width_px": 384, "height_px": 384, "windows": 3}
    for key, value in (values | {"lane_y_px": list(lane_y_px), "bayer": '"RGGB"'} | camera).items():
        text = re.sub(rf"(?m)^{key} = [^#\n]*", f"{key} = {value}", text)
    return text


@pytest.fixture(scope="module")
def small() -> LineConfig:
    return parse(line_toml())


def frames(config: LineConfig, n: int, start: int = 7, **options: float) -> Iterator[Frame]:
    """Yield frames of the simulated line, its belt filled from the first of them on."""
    given = {"seed": 6, "seconds": (start + n + 5) / config.line.cups_per_s, "fill": 1.0, "doubles": 0.0} | options
    plant = SimPlant(config, SimOptions.model_validate(given))
    for pitch in range(start, start + n):
        yield Frame(0, pitch, pitch * 4096, 0, plant._expose(0, config.camera[0], Fraction(pitch)))


def look(config: LineConfig, frame: Frame) -> Table:
    return Imager.of(config, config.camera[0])(frame).clarity.reshape(config.line.lanes, -1)


class Watch:
    """A watch over one camera."""

    def __init__(self, config: LineConfig) -> None:
        memory, told = health.nothing_yet(config)
        self.memory, self.told, self.turned = memory[0], told[0], np.empty(len(KINDS), np.int8)
        self.ended: list[str] = []

    def feed(self, clarity: Table, times: int = 1) -> list[tuple[str, int, int]]:
        said = []
        for _ in range(times):
            lane, window = health.watch(self.memory, self.told, clarity, self.turned)
            said += [(KINDS[kind], lane, window) for kind in np.flatnonzero(self.turned > 0)]
            self.ended += [KINDS[kind] for kind in np.flatnonzero(self.turned < 0)]
        return said


def usual() -> Table:
    clarity = np.empty((3, 3), CLARITY)
    clarity["level"], clarity["edge"] = 60.0, 0.5
    return clarity


@pytest.fixture
def learnt(small: LineConfig) -> Watch:
    """The watch over a camera that has always seen the same."""
    watch = Watch(small)
    assert not watch.feed(usual(), LEARNT)
    return watch


def test_gap_and_outlines_are_measured_where_they_are(small: LineConfig) -> None:
    clarity = look(small, next(frames(small, 1)))
    # Dividers have 14 counts of grey, of which the belt's colours give 3.97 to a quad.
    assert clarity["level"] == pytest.approx(np.full((3, 3), 14 * 3.97), rel=0.1)
    assert ((clarity["edge"] > 0.25) & (clarity["edge"] < 0.85)).all()


def test_outlines_are_steep_or_soft_whatever_the_light(small: LineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_edge(**options: float) -> float:
        return float(np.nanmean([look(small, frame)["edge"] for frame in frames(small, 12, **options)]))

    sharp = mean_edge()
    assert mean_edge(lamp_fade_pct_per_h=3600.0 * 15) == pytest.approx(sharp, rel=0.03)  # about a fifth of the light
    monkeypatch.setattr(sim_camera, "DEFOCUS_PX", 1.0)
    assert mean_edge() < 0.88 * sharp


def test_no_fruit_no_outline(small: LineConfig) -> None:
    clarity = look(small, next(frames(small, 1, fill=0.0, bridging=0.0)))
    assert np.isfinite(clarity["level"]).all()
    assert np.isnan(clarity["edge"]).all()


def test_nothing_is_said_before_a_reference_is_learnt(small: LineConfig) -> None:
    watch, changed = Watch(small), usual()
    changed["level"] *= 3
    assert not watch.feed(usual(), LEARNT - 2)
    assert not watch.feed(changed)


@pytest.mark.parametrize(
    ("what", "factor", "kind"),
    [("level", 0.9, "light_low"), ("level", 1.1, "light_drift"), ("edge", 0.85, "focus_soft")],
)
def test_a_change_everywhere_is_told_once_and_ends_once_when_half_of_it_has_gone(
    learnt: Watch, what: str, factor: float, kind: str
) -> None:
    changed = usual()
    changed[what] *= factor
    assert [said[0] for said in learnt.feed(changed, 3 * AVERAGED)] == [kind]
    assert not learnt.ended
    assert not learnt.feed(usual(), 6 * AVERAGED)
    assert learnt.ended == [kind]
    assert [said[0] for said in learnt.feed(changed, 3 * AVERAGED)] == [kind]
    assert learnt.ended == [kind]


def test_a_change_in_one_place_is_dirt_and_named(learnt: Watch) -> None:
    changed = usual()
    changed["level"][2, 1] *= 1.2
    assert learnt.feed(changed, 3 * AVERAGED) == [("lens_dirty", 2, 1)]
    assert not learnt.feed(usual(), 6 * AVERAGED)
    assert learnt.ended == ["lens_dirty"]


def test_a_change_that_comes_and_goes_about_the_limit_does_not_flap(learnt: Watch) -> None:
    more, less = usual(), usual()
    more["level"] *= 0.93
    less["level"] *= 0.96
    told = [said[0] for _ in range(10) for said in (*learnt.feed(more, AVERAGED), *learnt.feed(less, AVERAGED))]
    assert told == ["light_low"]
    assert not learnt.ended


def test_what_was_not_seen_changes_nothing(learnt: Watch) -> None:
    before, unseen = learnt.memory.tobytes(), np.full((3, 3, 2), np.nan, np.float32).view(CLARITY)[..., 0]
    assert not learnt.feed(unseen, 50)
    assert learnt.memory.tobytes() == before


def line_of(config: LineConfig, *others: CalibrationSet) -> Line:
    """Return a line as it is drawn; commands may name the other calibrations."""
    plan, drawn = plans.parse(PLAN, (), config.outlet_names[:-1]), CalibrationSet.nominal(config)
    calibrations = {held.id: held for held in (drawn, *others)}
    return Line(config, Artefacts({plan.id: plan}, {}, calibrations), plan=plan.id, calibration=drawn.id)


def alarms_of(line: Line, messages: Iterable[Message]) -> list[Alarm]:
    return [output for message in messages for output in line.feed(message) if isinstance(output, Alarm)]


@pytest.mark.parametrize("bayer", ["BGGR", "GRBG", "GBRG", "rgb"])
def test_every_order_of_colours_shows_the_same(small: LineConfig, bayer: str) -> None:
    own = parse(line_toml(bayer=f'"{bayer}"'))
    assert (
        look(own, Frame(0, 7, 7 * 4096, 0, scene(bayer))).tobytes()
        == look(small, Frame(0, 7, 7 * 4096, 0, scene("RGGB"))).tobytes()
    )


def test_a_camera_without_colours_is_watched() -> None:
    clarity = look(parse(line_toml(bayer='"mono"', threshold=60)), Frame(0, 7, 7 * 4096, 0, scene("mono")))
    assert clarity["level"] == pytest.approx(np.full((3, 3), 80.0))
    assert np.isfinite(clarity["edge"]).all()


def scene(bayer: str) -> np.ndarray:
    """Nine discs with soft edges as a sensor sees them."""
    y, x = np.mgrid[:384, :384]
    away = np.hypot(y % 128 - 63.5, x % 128 - 63.5)
    rgb = (np.array([180, 100, 20]) * np.clip((45 - away) / 4, 0, 1)[..., None] + 20).astype(np.uint8)
    if bayer == "rgb":
        return rgb
    if bayer == "mono":
        return rgb[..., 1]
    return rgb[y, x, np.array(["RGB".index(colour) for colour in bayer]).reshape(2, 2)[y % 2, x % 2]]


@pytest.mark.parametrize("lane_y_px", [(192,), (320, 64, 192)], ids=["one lane", "lanes in another order"])
def test_the_gap_is_beside_the_lane_however_many_there_are(lane_y_px: tuple[int, ...]) -> None:
    config = parse(line_toml(lane_y_px=lane_y_px))
    clarity = look(config, next(frames(config, 1)))
    assert ((clarity["level"] > 40) & (clarity["level"] < 130)).all()


def test_a_frame_is_watched_as_its_views_are(small: LineConfig) -> None:
    whole, imaged = line_of(small), line_of(small)
    for frame in frames(small, 3):
        whole.feed(frame)
        imaged.feed(imaged.imaged(frame))
    assert whole.snapshot() == imaged.snapshot()
    assert whole.state.watched[0, 1, 1, 0, health.SAMPLES] == 3


def test_a_calibration_that_moves_the_lanes_begins_anew(small: LineConfig) -> None:
    drawn = CalibrationSet.nominal(small)
    denser = replace(drawn, id="1" * 16, density_g_per_ml=drawn.density_g_per_ml * 1.1)
    moved = replace(drawn, id="2" * 16, lane_y_px=np.array([[66.0, 194.0, 322.0]]))
    line = line_of(small, denser, moved)
    line.feed(next(frames(small, 1)))
    learnt = line.state.watched.tobytes()
    line.feed(Command(0, 0, "calibration", denser.id))
    assert line.state.watched.tobytes() == learnt
    line.feed(Command(0, 0, "calibration", moved.id))
    assert line.state.watched.tobytes() == line_of(small).state.watched.tobytes()


@pytest.mark.parametrize("seed", [1, 2])
def test_a_clean_line_says_nothing_in_ten_minutes(seed: int) -> None:
    config = parse(line_toml(per_s=2.0))
    usual_fruit = {"seed": seed, "season": seed, "fill": 0.85, "doubles": 0.008}
    assert alarms_of(line_of(config), frames(config, 1200, **usual_fruit)) == []


def fading(config: LineConfig) -> Iterator[Frame]:
    yield from frames(config, LEARNT + 200, lamp_fade_pct_per_h=1200.0)


def dirty(config: LineConfig) -> Iterator[Frame]:
    yield from frames(config, LEARNT + 220, dirt_from_s=22.0, dirt_pct_per_min=60.0)


def soft(config: LineConfig) -> Iterator[Frame]:
    yield from frames(config, LEARNT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sim_camera, "DEFOCUS_PX", 0.9)
        yield from frames(config, 200, start=7 + LEARNT)


@pytest.mark.parametrize(("fault", "kind"), [(fading, "light_low"), (dirty, "lens_dirty"), (soft, "focus_soft")])
def test_a_fault_is_told_once_and_by_its_name(
    small: LineConfig, fault: Callable[[LineConfig], Iterator[Frame]], kind: str
) -> None:
    (alarm,) = alarms_of(line_of(small), fault(small))
    assert alarm.kind == kind
    assert re.fullmatch(r"camera 0 lane \d window \d" if kind == "lens_dirty" else "camera 0", alarm.where)


def test_figures_have_not_drifted_when_dirt_is_told(small: LineConfig) -> None:
    line, plain, imager = line_of(small), frames(small, LEARNT + 220), Imager.of(small, small.camera[0])
    frame, clean = next(pair for pair in zip(dirty(small), plain, strict=True) if alarms_of(line, [pair[0]]))
    spoilt, sound = imager(frame).rows, imager(clean).rows
    assert np.array_equal(spoilt["state"], sound["state"])
    assert np.nanmax(np.abs(spoilt["major_px"] - sound["major_px"])) < 0.2 * small.camera[0].px_per_mm


@pytest.fixture(scope="module")
def dirty_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in profile normal on whose lens dirt grows, in several files."""
    folder = tmp_path_factory.mktemp("dirty")
    text = re.sub(r"file_minutes = [\d.]+", "file_minutes = 0.2", line_toml())
    source = {"driver": "sim", "seed": 3, "dirt_from_s": 22, "dirt_pct_per_min": 60}
    (folder / "line.toml").write_text(with_section(text, "source", source), encoding="utf-8")
    (folder / "plan.toml").write_text(PLAN, encoding="utf-8")
    told: list[Alarm] = []
    ended = run_line(folder / "line.toml", folder / "run", profile="normal", seconds=38.0, told=told.append)
    assert ended.alarms == {"lens_dirty": 1}
    assert ended.alarm_places == {"lens_dirty": [told[0].where]}
    return folder / "run"


def test_a_replay_without_pixels_is_exact_and_alarms_again(dirty_run: Path) -> None:
    report = replay(dirty_run)
    assert report.diff_fields == 0
    assert report.compared > 1000
    line, recorded, again = reopen(dirty_run).line(), list[Alarm](), list[Alarm]()
    assert len(files(dirty_run)) > 2
    for path in files(dirty_run):
        for entry in LogReader(path):
            if isinstance(entry, Snapshot):
                line.restore(entry.state)
            elif isinstance(entry, Fed):
                again += alarms_of(line, entry.messages)
            elif isinstance(entry, Alarm):
                recorded.append(entry)
    assert again == recorded != []


def test_the_report_says_what_to_clean(dirty_run: Path) -> None:
    told = info(dirty_run)
    ((kind, (where,)),) = told["alarm_places"].items()
    assert kind == "lens_dirty"
    assert remedy(kind, where) in page.write(dirty_run).read_text(encoding="utf-8")
    assert "camera 0" in remedy("bad_frame", "camera 0")
