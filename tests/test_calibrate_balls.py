"""Gauge balls, their scale and its drift, from balls that were never on a belt."""

from dataclasses import replace

import numpy as np
import pytest

from citrus_grade.calibration.balls import Balls, fit_balls, name_sizes
from citrus_grade.calibration.drift import drifts, of_lane
from citrus_grade.calibration.errors import CalibrationError

SIZES = (45.0, 62.0, 80.0)
TRUE = np.array([[1.7, 0.99], [1.2, 1.01], [-0.5, 1.02]])
PRESENT = np.tile([0.0, 1.0], (3, 1))


def passed(of_a_size=5, noise_mm=0.05, scale=TRUE, sizes=SIZES, seed=1):
    """Return balls that passed three lanes in turn."""
    n = of_a_size * len(sizes)
    lane, cup = np.repeat(np.arange(len(scale)), n), np.tile(np.arange(n), len(scale)) + 7
    known = np.array(sizes)[(cup - 7) % len(sizes)]
    noise = noise_mm * np.random.default_rng(seed).standard_normal(len(lane))
    nominal = (known - scale[lane, 0]) / scale[lane, 1] + noise
    view = np.repeat(np.arange(len(lane)), 2)
    return Balls(
        lane, cup, nominal, np.zeros((len(lane), 2)), view, np.tile([0, 1], len(lane)), nominal[view], np.empty((0, 2), int)
    )


def without(balls, gone):
    kept = ~gone
    return replace(balls, **{name: getattr(balls, name)[kept] for name in ("lane", "cup", "nominal_mm", "aside_mm")})


def refused(balls, match, sizes=SIZES):
    with pytest.raises(CalibrationError, match=match):
        fit_balls(balls, PRESENT, sizes, 3)


def test_the_lanes_scales_are_found_again():
    fit = fit_balls(passed(), PRESENT, SIZES, 3)
    for size in SIZES:
        at = (size - TRUE[:, 0]) / TRUE[:, 1]
        assert fit.scale[:, 0] + fit.scale[:, 1] * at == pytest.approx(size, abs=0.08)
    assert (fit.sigma_mm < 0.09).all()
    assert fit.view_residual_mm.shape == fit.balls.view_mm.shape


def test_a_line_whose_pixels_are_far_off_still_names_its_balls():
    balls = passed(scale=TRUE * [1, 0.82])
    known = name_sizes(balls, balls.nominal_mm, SIZES)
    assert (known == np.array(SIZES)[(balls.cup - 7) % 3]).all()


def test_crowded_cups_keep_the_turn():
    balls = passed()
    gone = (balls.lane == 1) & (balls.cup == 9)
    fit = fit_balls(replace(without(balls, gone), crowded=np.array([[1, 9]]), view_ball=balls.view_ball[:0]), PRESENT, SIZES, 3)
    assert len(fit.known_mm) == len(balls.lane) - 1


def test_a_ball_out_of_turn_is_refused_with_its_place():
    balls = passed()
    swap = balls.nominal_mm.copy()
    swap[[4, 5]] = swap[[5, 4]]
    refused(replace(balls, nominal_mm=swap), r"lane 0, cup 11: a ball of 80 mm where one of 62 mm was to follow \(2 of 15")


def test_a_ball_of_no_known_size_is_refused():
    refused(passed(sizes=(45.0, 54.0, 80.0)), "is none of 45, 62, 80 mm")


@pytest.mark.parametrize("sizes", [(45.0, 80.0), (45.0, 47.0, 80.0)])
def test_sizes_that_fix_no_line_are_refused(sizes):
    refused(passed(sizes=sizes), "at least 3 sizes, 5 mm apart", sizes)


def test_too_few_balls_are_refused_lane_by_lane():
    balls = passed()
    few = (balls.lane == 2) & (balls.cup > 11)
    with pytest.raises(CalibrationError) as told:
        fit_balls(without(balls, few), PRESENT, SIZES, 3)
    assert str(told.value).splitlines() == [
        f"lane 2: {n} balls of {mm} mm were seen; at least 3 of each size are needed" for n, mm in ((2, 45), (2, 62), (1, 80))
    ]
    refused(without(balls, balls.lane == 1), "lane 1: no ball was seen")


def test_noise_that_is_no_gauge_balls_is_refused():
    refused(passed(noise_mm=0.5, of_a_size=9), r"residuals of 0\.\d+ mm")


def test_one_bad_ball_is_refused_by_name():
    balls = passed(of_a_size=20, noise_mm=0.02)
    bent = balls.nominal_mm.copy()
    bent[10] += 1.0
    refused(replace(balls, nominal_mm=bent), r"lane 0, cup 17: a ball of 62 mm measures \+0\.9\d mm more")


def test_a_wrong_px_per_mm_is_refused():
    refused(passed(scale=np.tile([0.0, 1.15], (3, 1))), r"lane 0: balls are \+15 % larger than px_per_mm makes them")


def test_balls_far_beside_their_cups_are_refused():
    balls = passed()
    refused(replace(balls, aside_mm=balls.aside_mm + np.array([14.0, 0.0])), r"lie \+14 mm downstream and \+0 mm across")


@pytest.mark.parametrize(
    ("off_mm", "noise_mm", "verdict"),
    [(0.05, 0.05, "within"), (0.6, 0.05, "drifted"), (-0.6, 0.05, "drifted"), (0.28, 0.3, "unsure")],
)
def test_a_lane_that_drifted_is_told_from_one_that_did_not(off_mm, noise_mm, verdict):
    balls = passed(noise_mm=noise_mm)
    known = name_sizes(balls, balls.measured_mm(TRUE), SIZES)
    found = drifts(balls.lane, known, balls.measured_mm(TRUE) + off_mm * (balls.lane == 1), 0.3, 3)
    assert of_lane(found, 1) == verdict
    assert verdict == "unsure" or of_lane(found, 0) == "within"
    own = [drift for drift in found if drift.lane == 1]
    assert all(drift.low_mm < off_mm < drift.high_mm or abs(drift.mean_mm - off_mm) < 3 * noise_mm / 5**0.5 for drift in own)


def test_a_scale_that_stretched_shows_at_the_largest_ball():
    balls = passed()
    found = drifts(balls.lane, name_sizes(balls, balls.measured_mm(TRUE), SIZES), balls.measured_mm(TRUE * [1, 1.006]), 0.3, 3)
    assert [drift.verdict for drift in found if drift.lane == 0][-1] == "drifted"


def test_a_lane_with_too_few_balls_is_not_judged():
    with pytest.raises(CalibrationError, match="lane 1: 0 balls"):
        drifts(np.zeros(5, int), np.full(5, 45.0), np.full(5, 45.0), 0.3, 2)
