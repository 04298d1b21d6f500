"""The lens from pictures of a board whose camera is known."""

import numpy as np
import pytest

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.grey import grey_of
from citrus_grade.calibration.lens import BoardSpec, find_board, fit_lens, straighten
from citrus_grade.config import load
from citrus_grade.drivers.sim.board import BoardCamera, Lens
from citrus_grade.templates import LINE

TRUE = Lens(331.4, 236.2, 930.0, -0.14, 0.06)
SIZE = (640, 480)


def camera(bayer):
    return load(LINE).camera[0].model_copy(update={"width_px": SIZE[0], "height_px": SIZE[1], "bayer": bayer})


def held(n, tilt_rad=0.55, aside_mm=(150, 95)):
    """Return how a board is held before the lens: rotation vectors and places."""
    rng = np.random.default_rng(5)
    return [
        (
            (rng.uniform(-tilt_rad, tilt_rad), rng.uniform(-tilt_rad, tilt_rad), rng.uniform(-0.3, 0.3)),
            (rng.uniform(-1, 1) * aside_mm[0], rng.uniform(-1, 1) * aside_mm[1], rng.uniform(850, 1050)),
        )
        for _ in range(n)
    ]


def views(bayer, poses, spec=None):
    eye = BoardCamera(camera(bayer), TRUE)
    return [find_board(f"{i}.png", grey_of(eye.take(*pose), bayer), spec or BoardSpec()) for i, pose in enumerate(poses)]


@pytest.fixture(scope="module")
def seen():
    return views("RGGB", held(12))


@pytest.mark.parametrize("bayer", ["RGGB", "GBRG", "mono", "rgb"])
def test_a_known_lens_is_found_again(bayer, seen):
    fit = fit_lens("top", seen if bayer == "RGGB" else views(bayer, held(10)), SIZE)
    true = np.array([TRUE.axis_x_px, TRUE.axis_y_px, TRUE.focal_px, TRUE.k1, TRUE.k2])
    assert (np.abs(fit.lens - true) < 4 * fit.sigma + [0.2, 0.2, 0.5, 0.002, 0.02]).all()
    assert fit.lens[2] == pytest.approx(TRUE.focal_px, rel=0.003)
    assert fit.rms_px < 0.2
    edge = 0.35  # in focal lengths, where the corners of the picture are
    off_px = TRUE.focal_px * edge * (np.array([edge**2, edge**4]) @ (fit.lens[3:] - [TRUE.k1, TRUE.k2]))
    assert off_px == pytest.approx(0.0, abs=0.3)


def test_a_straightened_picture_has_straight_lines(seen):
    fit = fit_lens("top", seen, SIZE)
    picture = BoardCamera(camera("mono"), TRUE).take((0.0, 0.0, 0.0), (0.0, 0.0, 950.0))
    corners = find_board("", straighten(grey_of(picture, "mono"), fit.lens), BoardSpec())
    for row in np.unique(corners.on_board_mm[:, 1]):
        x, y = corners.seen_px[corners.on_board_mm[:, 1] == row].T
        assert np.abs(y - np.polyval(np.polyfit(x, y, 1), x)).max() < 0.35


def test_too_few_pictures_are_refused_by_name(seen):
    blind = views("RGGB", held(1), BoardSpec(7, 5, 40.0, 30.0, "6X6_250"))
    with pytest.raises(CalibrationError, match=r"seen in 5 of 6 pictures(.|\n)*0\.png"):
        fit_lens("camera top", seen[:5] + blind, SIZE)


def test_a_board_shown_in_the_middle_only_is_refused():
    with pytest.raises(CalibrationError, match="near all edges"):
        fit_lens("top", views("mono", [(turn, (0.0, 0.0, 1500.0)) for turn, _ in held(8)]), SIZE)


def test_a_board_that_never_tilts_is_refused():
    with pytest.raises(CalibrationError, match="tilt the board"):
        fit_lens("top", views("mono", held(8, tilt_rad=0.01)), SIZE)


def test_corners_off_their_places_are_refused(seen):
    rng = np.random.default_rng(0)
    bad = [type(v)(v.name, v.on_board_mm, v.seen_px + rng.normal(0, 1, v.seen_px.shape).astype(np.float32)) for v in seen]
    with pytest.raises(CalibrationError, match="off their places"):
        fit_lens("top", bad, SIZE)


@pytest.mark.parametrize("text", ["12x9", "12x9:30:40:4X4_100", "12x9:40:30:9X9", "axb:1:1:4X4_50", "40x40:10:8:4X4_50"])
def test_what_is_no_board_is_told(text):
    with pytest.raises(ValueError, match=r"."):
        BoardSpec.parse(text)


def test_a_board_is_read_from_its_words():
    assert BoardSpec.parse("8x6:25:18:5x5_50") == BoardSpec(8, 6, 25.0, 18.0, "5X5_50")
