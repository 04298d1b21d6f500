"""``citrus-grade calibrate`` on a simulated line: what it writes, what the line then measures, what it refuses."""

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from citrus_grade import artefacts, config
from citrus_grade.calibration_set import KIND, CalibrationSet
from citrus_grade.cli.main import main
from citrus_grade.drivers.sim.board import BoardCamera, Lens
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.line import Line
from citrus_grade.messages import Decisions, Scans
from citrus_grade.rundir import load_line, with_section
from citrus_grade.runtime.gauge import see_balls
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import DECISION, stack
from citrus_grade.templates import LINE, PLAN
from citrus_grade.words import set_language

SIZES = "45,62,80"
LANES = 2


def line_text(window_x_px=70, lane_y_px=(70, 198)):
    """Return a line of two lanes without spectrometers."""
    text = LINE.read_text(encoding="utf-8")
    text = text[: text.index("[spectrometer]")] + text[text.index("# Fired outlets") :]
    for old, new in (
        ("lanes = 6 ", f"lanes = {LANES} "),
        ("width_px = 1024", "width_px = 1040"),
        ("height_px = 768", "height_px = 272"),
        ("window_x_px = 64 ", f"window_x_px = {window_x_px} "),
        ("lane_y_px = [64, 192, 320, 448, 576, 704]", f"lane_y_px = {list(lane_y_px)}"),
    ):
        assert old in text
        text = text.replace(old, new)
    return text


def written(path: Path, text: str, **source) -> Path:
    path.write_text(with_section(text, "source", {"driver": "sim", "seed": 5, **source}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A line whose lanes and cups lie a few pixels beside where its line.toml has them, and drivers that show it."""
    folder = tmp_path_factory.mktemp("calibrate")
    (folder / "plan.toml").write_text(PLAN.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "bare").mkdir()
    written(folder / "line.toml", line_text(window_x_px=66, lane_y_px=(67, 202)))
    written(folder / "balls.toml", line_text(), seconds=1.5, gauge_mm=[45.0, 62.0, 80.0])
    written(folder / "empty.toml", line_text(), seconds=0.5, fill=0.0, doubles=0.0, bridging=0.0)
    assert calibrate(folder, "cal", "--empty", folder / "empty.toml", "--balls", folder / "balls.toml", "--balls-mm", SIZES) == 0
    written(folder / "good.toml", line_text(66, (67, 202)).replace('# calibration = "calibration"', 'calibration = "cal"'))
    return folder


def calibrate(folder, out, *args, line="line.toml"):
    return main(["calibrate", "geometry", str(folder / line), "--out", str(folder / out), *map(str, args)])


@pytest.fixture
def english():
    set_language("en")
    yield
    set_language("en")


def test_a_set_a_card_and_a_picture_are_written(place):
    artefact = artefacts.load(place / "cal", KIND)
    told = artefact.card["geometry"]
    assert told["simulated"]
    assert told["balls"] == {"n": LANES * 18, "sizes_mm": [45.0, 62.0, 80.0], "rms_mm": pytest.approx(0.05, abs=0.04)}
    assert (place / "cal.png").stat().st_size > 20_000
    measured = CalibrationSet.of(artefact)
    assert measured.lane_y_px[0] == pytest.approx([70, 198], abs=1.0)
    assert measured.cup_x_px[0] == pytest.approx([70, 70], abs=1.3)
    assert measured.lens is None
    assert measured.density_g_per_ml.tolist() == [0.90, 0.03]


def test_balls_then_lie_in_the_middle_of_their_cups(place):
    loaded = load_line(place / "good.toml")
    plant = SimPlant(config.load(place / "balls.toml"), SimOptions(seed=6, seconds=0.7, gauge_mm=(62.0,)))
    balls = see_balls(loaded.config, plant.messages(), loaded.calibration)
    assert np.abs(balls.aside_mm.mean(axis=0)).max() < 1.2
    assert balls.measured_mm(loaded.calibration.scale) == pytest.approx(62.0, abs=0.25)


def test_fruit_of_all_sizes_are_measured_to_a_quarter_of_a_millimetre(place):
    loaded = load_line(place / "good.toml")
    plant = SimPlant(config.load(place / "balls.toml"), SimOptions(seed=8, seconds=3.0, fill=1.0, doubles=0.0, bridging=0.0))
    fruit, rng = plant.table["fruit"], np.random.default_rng(8)
    factor = rng.uniform(40, 90, fruit["diameter_mm"].shape) / fruit["diameter_mm"]
    plant.table["turn_rad_per_cup"] /= factor[..., None]
    for name in ("diameter_mm", "height_mm"):
        fruit[name] *= factor
    line = Line(loaded.config, loaded.artefacts(), plan=loaded.plan.id, calibration=loaded.calibration.id)
    outputs = (output for message in plant.messages() if not isinstance(message, Scans) for output in line.feed(message))
    rows = stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)
    rows = rows[(rows["cup"] < fruit.shape[1]) & (rows["fruit_views"] > 0)]
    error = rows["diameter_mm"] - fruit["diameter_mm"][rows["lane"], rows["cup"]]
    assert len(error) > 60
    assert np.sqrt(np.mean(error**2)) < 0.25


def test_check_says_within_of_the_same_balls_and_drifted_of_others(place, capsys, english):
    args = ["calibrate", "check", str(place / "good.toml"), "--balls", str(place / "balls.toml"), "--json", "--balls-mm"]
    assert main([*args, SIZES, "--picture", str(place / "check.png")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "within"
    assert len(told["sizes"]) == 3 * LANES
    assert (place / "check.png").exists()
    assert main([*args, "44,61.2,79"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["verdict"] == "drifted"
    assert all(0.6 < row["mean_mm"] < 1.1 for row in told["sizes"])


def test_a_lens_is_measured_and_all_else_kept(place):
    loaded = load_line(place / "good.toml")
    camera = loaded.config.camera[0]
    eye = BoardCamera(camera, Lens(525.0, 140.0, 1490.0, -0.1, 0.04))
    (place / "board").mkdir()
    rng = np.random.default_rng(1)
    for i in range(10):
        turn, at = rng.uniform(-0.5, 0.5, 3) * (1, 1, 0.2), rng.uniform(-1, 1, 2) * (300, 30)
        cv2.imwrite(str(place / "board" / f"{i}.png"), eye.take(tuple(turn), (*at, 1100.0)))
    (place / "board" / "notes.txt").write_text("not a picture")
    assert calibrate(place, "with-lens", "--board", place / "board", line="good.toml") == 0
    after = CalibrationSet.of(artefacts.load(place / "with-lens", KIND))
    assert after.lens[0, :3] == pytest.approx([525.0, 140.0, 1490.0], rel=0.01)
    for name in ("scale", "lane_y_px", "cup_x_px", "dark"):
        assert (getattr(after, name) == getattr(loaded.calibration, name)).all()
    card = artefacts.load(place / "with-lens", KIND).card["geometry"]
    assert card["from"] == loaded.calibration.id


def test_the_kernel_gets_lens_lanes_and_cups(place):
    line = load_line(place / "good.toml").config
    camera, drawn = line.camera[0], CalibrationSet.nominal(line)
    plain, same = (Imager.of(line, camera, known).scene for known in (None, drawn))
    assert (plain.optics == same.optics).all()
    lens = np.array([[500.0, 130.0, 1400.0, -0.1, 0.02]])
    shifted = np.array([[camera.window_x_px + 1.28, camera.window_x_px - 12.8]])
    own = Imager.of(line, camera, replace(drawn, lens=lens, lane_y_px=np.array([[71.0, 199.0]]), cup_x_px=shifted)).scene
    assert own.optics.tolist() == [128.0, camera.window_x_px, *lens[0]]
    assert own.lane_y_px.tolist() == [71.0, 199.0]
    assert (own.station_milli - plain.station_milli).tolist() == [-10, 100]


REFUSED = {
    "fruit on the belt": (["--empty", "balls.toml"], "of the cups hold something"),
    "no balls": (["--balls", "empty.toml", "--balls-mm", SIZES], "lane 0: no ball was seen"),
    "wrong order": (["--balls", "balls.toml", "--balls-mm", "62,45,80"], "out of turn"),
    "wrong sizes": (["--balls", "balls.toml", "--balls-mm", "45,55,80"], "is none of 45, 55, 80 mm"),
    "too short": (["--balls", "balls.toml", "--balls-mm", SIZES, "--seconds", "0.5"], "at least 3 of each size"),
    "no pictures": (["--board", "bare"], "no pictures of the board"),
    "not a picture": (["--board", "plan.toml"], "is no picture"),
    "no such board": (["--board", "bare", "--charuco", "12x9:1:2:X"], "no such board"),
    "nothing": ([], "nothing to measure"),
    "balls without sizes": (["--balls", "balls.toml"], "belong together"),
    "sizes that are none": (["--balls", "balls.toml", "--balls-mm", "45,big"], "no list of different diameters"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_measurement_is_refused_and_nothing_is_written(place, case, capsys, english):
    args, why = REFUSED[case]
    assert calibrate(place, "new", *(place / arg if arg.endswith(".toml") or arg == "bare" else arg for arg in args)) == 2
    assert why in capsys.readouterr().err
    assert not (place / "new").exists()
    assert not (place / "new.png").exists()


def test_a_set_is_never_overwritten(place, capsys, english):
    assert calibrate(place, "cal", "--empty", place / "empty.toml") == 2
    assert "exists already" in capsys.readouterr().err


def test_a_recorded_run_gives_the_same_set_and_one_without_frames_none(place, tmp_path, capsys, english):
    run_line(place / "balls.toml", tmp_path / "full", profile="full")
    assert calibrate(place, "a", "--balls", tmp_path / "full", "--balls-mm", SIZES) == 0
    assert calibrate(place, "b", "--balls", place / "balls.toml", "--balls-mm", SIZES) == 0
    assert artefacts.load(place / "a", KIND).id == artefacts.load(place / "b", KIND).id
    run_line(place / "balls.toml", tmp_path / "normal", profile="normal")
    assert calibrate(place, "c", "--empty", tmp_path / "normal") == 2
    assert "--profile full" in capsys.readouterr().err


def test_density_comes_from_weighed_fruit(place, tmp_path, capsys, english):
    fruit = written(tmp_path / "fruit.toml", line_text(), seconds=3.0)
    (tmp_path / "plan.toml").write_text(PLAN.read_text(encoding="utf-8"), encoding="utf-8")
    run_line(fruit, tmp_path / "run", profile="normal")
    table = SimPlant(config.load(fruit), SimOptions(seed=5, seconds=3.0)).truth()
    table = table[table["load"] == 1][:50]
    rows = [f"{row['lane']},{row['cup']},{row['fruit']['mass_g']:.1f}" for row in table]
    (tmp_path / "weighed.csv").write_text("\n".join(["lane,cup,mass_g", *rows]))
    args = ["calibrate", "density", str(place / "good.toml"), str(tmp_path / "run"), "--variety", "Satsuma", "--json"]
    assert main([*args, "--weighed", str(tmp_path / "weighed.csv"), "--out", str(tmp_path / "new")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["mean_g_per_ml"] == pytest.approx(np.mean(table["fruit"]["mass_g"] / table["fruit"]["volume_ml"]), abs=0.015)
    assert 0.005 < told["sigma_g_per_ml"] < 0.04
    assert (tmp_path / "new.png").exists()
    after = artefacts.load(tmp_path / "new", KIND)
    assert after.card["density"]["variety"] == "Satsuma"
    assert after.card["geometry"] == artefacts.load(place / "cal", KIND).card["geometry"]
    (tmp_path / "other.csv").write_text("\n".join(["lane,cup,mass_g", *(f"0,{9000 + i},99" for i in range(30))]))
    assert main([*args, "--weighed", str(tmp_path / "other.csv"), "--out", str(tmp_path / "none")]) == 2
    assert not (tmp_path / "none").exists()
