"""Gauge balls through a lens that bends: the board tells how, and the balls measure alike wherever they lie."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from citrus_grade import artefacts
from citrus_grade.calibration.balls import Balls, fit_balls
from citrus_grade.calibration_set import KIND, CalibrationSet
from citrus_grade.cli.main import main
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim.board import BoardCamera, Lens
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.messages import Frame, Message
from citrus_grade.rundir import create, load_line
from citrus_grade.runtime.gauge import see_balls
from citrus_grade.runtime.recorder import Recorder
from citrus_grade.templates import LINE, PLAN

SIZES_MM = (45.0, 62.0, 80.0)
WIDTH, HEIGHT, MARGIN = 1040, 272, 64
BENT = Lens((WIDTH - 1) / 2, (HEIGHT - 1) / 2, 1.28 * (1200 - 31), -0.12, 0.05)
"""At the outer windows it draws 2 % too small."""


def line_text(margin: int = 0) -> str:
    """Two lanes under a camera of three colours a pixel, whose picture has so many pixels more on every side."""
    text = LINE.read_text(encoding="utf-8")
    text = text[: text.index("[spectrometer]")] + text[text.index("# Fired outlets") :]
    for old, new in (
        ("lanes = 6 ", "lanes = 2 "), ('"RGGB"', '"rgb"'), ("width_px = 1024", f"width_px = {WIDTH + 2 * margin}"),
        ("height_px = 768", f"height_px = {HEIGHT + 2 * margin}"), ("window_x_px = 64 ", f"window_x_px = {72 + margin} "),
        ("[64, 192, 320, 448, 576, 704]", f"[{72 + margin}, {200 + margin}]"),
    ):  # fmt: skip
        assert old in text
        text = text.replace(old, new)
    return text


def balls_through(lens: Lens, seed: int, seconds: float) -> Iterator[Message]:
    """Yield what the line senses of gauge balls through a lens."""
    plant = SimPlant(parse(line_text(MARGIN)), SimOptions(seed=seed, seconds=seconds, gauge_mm=SIZES_MM))
    rays = lens.rays(WIDTH, HEIGHT)
    fine = rays * lens.focal_px + np.array([lens.axis_x_px + MARGIN, lens.axis_y_px + MARGIN], np.float32)
    for message in plant.messages():
        if isinstance(message, Frame):
            seen = cv2.remap(message.mosaic, fine[..., 0], fine[..., 1], cv2.INTER_CUBIC)
            message = replace(message, mosaic=cv2.resize(seen, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA))
        yield message


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> tuple[LineConfig, CalibrationSet, CalibrationSet, dict]:
    """The line, its calibration before and after board and balls, and what the balls' card says."""
    folder = tmp_path_factory.mktemp("bent")
    (folder / "plan.toml").write_text(PLAN.read_text(encoding="utf-8"), encoding="utf-8")
    (folder / "line.toml").write_text(line_text(), encoding="utf-8")
    loaded = load_line(folder / "line.toml")
    record(folder, balls_through(BENT, seed=5, seconds=1.5))
    photograph(folder / "board", loaded.config)
    args = ["--board", folder / "board", "--balls", folder / "run", "--balls-mm", ",".join(map(str, SIZES_MM))]
    assert main(["calibrate", "geometry", str(folder / "line.toml"), "--out", str(folder / "cal"), *map(str, args)]) == 0
    after = artefacts.load(folder / "cal", KIND)
    return loaded.config, loaded.calibration, CalibrationSet.of(after), json.loads(json.dumps(after.card["geometry"]))


def record(folder: Path, messages: Iterator[Message]) -> None:
    """Keep what a line sensed as a run recorded in full."""
    loaded = load_line(folder / "line.toml")
    text = (folder / "line.toml").read_text(encoding="utf-8")
    create(folder / "run", loaded, seed=5, profile="full", config_text=text)
    recorder = Recorder(folder / "run", loaded, loaded.line(), "full")
    for message in messages:
        recorder.take(message, message)
    recorder.close()


def photograph(folder: Path, config: LineConfig) -> None:
    folder.mkdir()
    eye, rng = BoardCamera(config.camera[0], BENT), np.random.default_rng(1)
    for i in range(14):
        turn, at = rng.uniform(-0.5, 0.5, 3) * (1, 1, 0.2), rng.uniform(-1, 1, 2) * (300, 30)
        picture = eye.take(tuple(turn), (*at, 1100.0))
        cv2.imwrite(str(folder / f"{i:02}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def spread_mm(balls: Balls) -> float:
    """How much larger or smaller than in the middle windows the same balls look in the outer ones."""
    own = balls.view_mm - balls.nominal_mm[balls.view_ball]
    outer, inner = (own[np.isin(balls.view_window, windows)].mean() for windows in ((0, 7), (3, 4)))
    return float(outer - inner)


def test_the_lens_is_found_and_the_balls_fit(calibrated) -> None:
    _line, _before, after, card = calibrated
    assert after.lens is not None
    edge = WIDTH / 2 / BENT.focal_px
    bends = [1 + k1 * edge**2 + k2 * edge**4 for k1, k2 in (after.lens[0, 3:], (BENT.k1, BENT.k2))]
    assert bends[0] == pytest.approx(bends[1], abs=0.002)
    assert card["balls"]["n"] == 36
    assert card["balls"]["rms_mm"] < 0.12


def test_a_ball_measures_the_same_in_every_window(calibrated) -> None:
    line, before, after, _card = calibrated
    bent, undone = (see_balls(line, balls_through(BENT, seed=6, seconds=1.0), held) for held in (before, after))
    assert spread_mm(bent) < -1.0
    assert abs(spread_mm(undone)) < 0.15
    assert undone.measured_mm(after.scale) == pytest.approx(np.array(SIZES_MM)[undone.cup % 3], abs=0.3)


def test_a_bent_lens_gives_the_scale_of_a_straight_one(calibrated) -> None:
    line, before, after, _card = calibrated
    straight = see_balls(line, balls_through(replace(BENT, k1=0.0, k2=0.0), seed=5, seconds=1.5), before)
    scale = fit_balls(straight, before.scale, SIZES_MM, 2).scale
    for size_mm in SIZES_MM:
        assert after.scale @ [1, size_mm] == pytest.approx(scale @ [1, size_mm], abs=0.25)
