"""Lanes and cups from the empty belt."""

import numpy as np
import pytest

from citrus_grade.calibration.belt import BeltFrame, fit_belt
from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.grey import grey_of
from citrus_grade.calibration.lens import straighten
from citrus_grade.config import load
from citrus_grade.drivers.sim.board import Lens, empty_belt
from citrus_grade.templates import LINE

LENS = Lens(262.3, 185.2, 1480.0, -0.22, 0.1)
PLAIN = Lens(255.5, 191.5, 1496.3)
WHOLE = load(LINE)
CAMERA = WHOLE.camera[0].model_copy(update={"width_px": 512, "height_px": 384, "lane_y_px": (64.0, 192.0, 320.0)})
CONFIG = WHOLE.model_copy(update={"line": WHOLE.line.model_copy(update={"lanes": 3}), "camera": (CAMERA,)})
PITCH_PX = CAMERA.px_per_mm * CONFIG.line.pitch_mm
THOUGHT = np.array(CAMERA.lane_y_px, np.float64)
STILL = np.zeros(3)


def frames(lens, lane_y_px, ahead_px, n=8):
    known = np.array([lens.axis_x_px, lens.axis_y_px, lens.focal_px, lens.k1, lens.k2])
    for frame in empty_belt(CONFIG, 0, lens, lane_y_px=lane_y_px, ahead_px=ahead_px, frames=n):
        yield BeltFrame(straighten(grey_of(frame.mosaic, CAMERA.bayer), known), STILL)


def fit(given, thought=THOUGHT):
    return fit_belt("camera top", given, thought, CAMERA.window_x_px, PITCH_PX)


@pytest.fixture(scope="module", params=[LENS, PLAIN], ids=["bent", "straight"])
def found(request):
    lane_y, ahead = 0.985 * THOUGHT + 3, np.array([-12.0, 5.5, 14.0])
    return fit(frames(request.param, lane_y, ahead)), lane_y, ahead


def test_lanes_are_found_to_a_fraction_of_a_pixel(found):
    belt, lane_y, _ahead = found
    assert np.abs(belt.lane_y_px - lane_y).max() < 0.3
    assert len(belt.edges_px) >= len(THOUGHT) - 1


def test_cups_are_found_to_a_millimetre(found):
    belt, _lane_y, ahead = found
    assert np.abs(belt.ahead_px - ahead).max() < CAMERA.px_per_mm
    assert (belt.ahead_sigma_px < 0.1).all()


def test_lanes_in_any_order_keep_their_numbers():
    order = np.array([2, 0, 1])
    given = list(frames(PLAIN, THOUGHT, STILL))
    assert fit(given, THOUGHT[order]).lane_y_px == pytest.approx(fit(given).lane_y_px[order])


def test_rollers_that_keep_no_step_with_the_cups_mark_none():
    rng = np.random.default_rng(2)
    given = [
        BeltFrame(np.roll(frame.grey, int(rng.integers(0, 64)), axis=1), frame.ahead_cups)
        for frame in frames(PLAIN, THOUGHT, STILL)
    ]
    belt = fit(given)
    assert np.isnan(belt.ahead_px).all()
    assert np.abs(belt.lane_y_px - THOUGHT).max() < 0.3


def test_too_few_frames_are_refused():
    with pytest.raises(CalibrationError, match="3 frames"):
        fit(frames(PLAIN, THOUGHT, STILL, n=3))


def test_a_belt_without_dividers_is_refused_with_the_lanes_and_rows():
    rng = np.random.default_rng(1)
    given = [BeltFrame(rng.normal(20, 5, (384, 512)).astype(np.float32), STILL) for _ in range(8)]
    with pytest.raises(CalibrationError, match=r"lane 1 / 2 is found in rows 211 to 301"):
        fit(given)


def test_lanes_half_a_lane_off_are_refused():
    with pytest.raises(CalibrationError, match="lane_y_px right"):
        fit(frames(PLAIN, THOUGHT, STILL), THOUGHT + 64)
