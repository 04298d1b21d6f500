"""The simulated camera draws what the truth says: sizes, colours, blemishes, and the same bytes every time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade.drivers.sim.camera import Optics, SimCamera
from citrus_grade.drivers.sim.orchard import BLEMISH_KINDS, grow
from citrus_grade.drivers.sim.skin import blemish_share, green_share_truth

OPTICS = Optics(320, 240, 2.56, 900.0)
QUIET = replace(OPTICS, read_noise=0.0, full_well_e=1e12)
MIDDLE = (159.5, 119.5)
STEM_UP = np.eye(3)
STEM_ALONG_BELT = np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]])


def plain_fruit(**fields: Any) -> NDArray[Any]:
    """Return one fruit, ripe and unblemished, changed by ``fields``."""
    fruit = grow(5, 1)
    fruit["green_share"] = 0.0
    fruit["n_blemishes"] = 0
    for name, value in fields.items():
        fruit[name] = value
    return fruit


def blemished(kind: str, radius_mm: float) -> NDArray[Any]:
    """Return a plain fruit with one round blemish on its equator, at +x."""
    fruit = plain_fruit(n_blemishes=1)
    fruit["blemish_kind"][0, 0] = BLEMISH_KINDS.index(kind)
    fruit["blemish_direction"][0, 0] = (1.0, 0.0, 0.0)
    fruit["blemish_radius_mm"][0, 0] = radius_mm
    fruit["blemish_aspect"][0, 0] = 1.0
    fruit["blemish_strength"][0, 0] = 0.9
    return fruit


def take(
    fruit: NDArray[Any],
    optics: Optics = QUIET,
    at: tuple[float, float] = MIDDLE,
    pose: NDArray[np.float64] = STEM_UP,
    seq: int = 0,
) -> NDArray[np.uint8]:
    """Return a frame of one fruit."""
    x, y = np.full(len(fruit), at[0]), np.full(len(fruit), at[1])
    return SimCamera(optics, 1, (119.5,)).expose(seq, 0.0, fruit, x, y, np.repeat(pose[None], len(fruit), axis=0))


def green_plane(raw: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the mean of the two greens of each Bayer cell of an RGGB frame."""
    return (raw[0::2, 1::2].astype(float) + raw[1::2, 0::2]) / 2


def red_plane(raw: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the red of each Bayer cell of an RGGB frame."""
    return raw[0::2, 0::2].astype(float)


def extent_px(raw: NDArray[np.uint8], axis: int) -> float:
    """Return a fruit's greatest width along an axis: full red cells plus the edges' parts, in pixels."""
    red = red_plane(raw)
    return float(np.clip((red - 35) / 60, 0, 1).sum(axis=axis).max()) * 2


def test_same_arguments_give_the_same_bytes_in_any_order() -> None:
    fruit, pose = grow(2, 3), np.repeat(STEM_UP[None], 3, axis=0)
    x, y = np.array([60.0, 160.0, 270.0]), np.array([60.0, 120.0, 200.0])
    one, two = (SimCamera(OPTICS, 7, (60.0, 180.0)) for _ in range(2))
    first = [one.expose(seq, 10.0 * seq, fruit, x, y, pose).tobytes() for seq in range(3)]
    second = [two.expose(seq, 10.0 * seq, fruit, x, y, pose).tobytes() for seq in (2, 1, 0)]
    assert first == second[::-1]
    assert len(set(first)) == 3


def test_noise_follows_seed_and_frame() -> None:
    fruit = plain_fruit()
    a, b = take(fruit, OPTICS, seq=1), take(fruit, OPTICS, seq=2)
    difference = (a.astype(float) - b)[100:140, 140:180]
    assert 2.0 < difference.std() / np.sqrt(2) < 4.0


@pytest.mark.parametrize("bayer", ["GRBG", "GBRG", "BGGR"])
def test_bayer_orders_agree_wherever_they_see_the_same_colour(bayer: str) -> None:
    fruit = grow(2, 1)
    rggb, other = take(fruit), take(fruit, replace(QUIET, bayer=bayer))
    for cell, (one, two) in enumerate(zip("RGGB", bayer, strict=True)):
        same = rggb[cell // 2 :: 2, cell % 2 :: 2] == other[cell // 2 :: 2, cell % 2 :: 2]
        assert bool(same.all()) == (one == two)


def test_a_sensor_of_three_colours_and_one_of_none_see_the_same_light() -> None:
    fruit = grow(2, 1)
    rggb, rgb, grey = (take(fruit, replace(QUIET, bayer=bayer)).astype(int) for bayer in ("RGGB", "rgb", "mono"))
    assert rgb.shape == (240, 320, 3)
    for cell, channel in enumerate((0, 1, 1, 2)):
        at = np.s_[cell // 2 :: 2, cell % 2 :: 2]
        assert np.abs(rggb[at] - rgb[at][..., channel]).max() <= 1
    assert np.abs(rgb @ [0.3, 0.6, 0.1] - grey).max() <= 1.1


def test_a_sensor_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="RGGB"):
        replace(OPTICS, bayer="RGBG")


@pytest.mark.parametrize("at", [MIDDLE, (110.0, 119.5), (205.0, 140.0)])
def test_diameter_follows_truth_and_perspective(at: tuple[float, float]) -> None:
    fruit = plain_fruit(diameter_mm=60.0, height_mm=54.0, stem_radius_mm=2.2)
    half = 27.0
    # A spheroid at height z: the cone that touches it is a little wider than the fruit's own section.
    reach = QUIET.lens_height_mm - half
    expected = 60.0 * QUIET.px_per_mm * QUIET.lens_height_mm / np.sqrt(reach**2 - half**2)
    assert extent_px(take(fruit, at=at), 0) == pytest.approx(expected, rel=0.01)


def test_height_shows_when_the_stem_lies_along_the_belt() -> None:
    fruit = plain_fruit(diameter_mm=60.0, height_mm=48.0)
    raw = take(fruit, pose=STEM_ALONG_BELT)
    assert extent_px(raw, 1) / extent_px(raw, 0) == pytest.approx(0.8, rel=0.01)


def test_a_fruit_off_the_axis_shifts_outwards_by_its_height() -> None:
    fruit = plain_fruit(diameter_mm=60.0, height_mm=60.0)
    red = np.clip((red_plane(take(fruit, at=(219.5, 119.5))) - 35) / 60, 0, 1)
    centre_px = 2 * float((red.sum(axis=0) * np.arange(red.shape[1])).sum() / red.sum())
    assert centre_px == pytest.approx(159.5 + 60.0 * 900.0 / 870.0, abs=1.0)


def test_a_fruit_over_the_edge_is_clipped() -> None:
    whole, cut = take(plain_fruit()), take(plain_fruit(), at=(0.0, 119.5))
    assert cut.shape == whole.shape
    assert np.count_nonzero(cut > 100) < 0.6 * np.count_nonzero(whole > 100)
    assert np.array_equal(take(plain_fruit(), at=(-900.0, 119.5)), take(grow(1, 0)[:0], pose=STEM_UP))


def test_an_empty_belt_stays_dark_and_travels() -> None:
    camera = SimCamera(QUIET, 1, (60.0, 180.0))
    none = np.empty(0)
    still, moved = (camera.expose(0, mm, grow(1, 0), none, none, np.empty((0, 3, 3))).astype(int) for mm in (0.0, 100 / 2.56))
    for frame in (still, moved):
        signal = frame[0::2, 0::2] + frame[0::2, 1::2] + frame[1::2, 0::2] - frame[1::2, 1::2]
        assert signal.max() < 110
        assert 4 < frame.mean() < 45
    assert np.abs(moved[:, 100:] - still[:, :-100]).mean() < 1.5
    assert np.abs(moved - still).mean() > 2


def test_ripe_skin_is_orange_and_nowhere_clipped() -> None:
    fruit = grow(11, 12)
    fruit["n_blemishes"], fruit["green_share"] = 0, 0.0
    for i in range(len(fruit)):
        raw = take(fruit[i : i + 1], OPTICS)[80:160, 120:200]
        red, green, blue = red_plane(raw).mean(), green_plane(raw).mean(), raw[1::2, 1::2].mean()
        assert 165 < red < 245
        assert 0.50 < green / red < 0.85
        assert 0.2 < blue / red < 0.45
        assert np.count_nonzero(raw == 255) < 0.01 * raw.size


@pytest.mark.parametrize("kind", BLEMISH_KINDS)
def test_a_blemish_shows_where_it_lies(kind: str) -> None:
    facing = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])  # fruit +x towards the lens
    sound, hurt = (green_plane(take(f, pose=facing)) for f in (plain_fruit(), blemished(kind, 6.0)))
    ratio = hurt / np.maximum(sound, 1.0)
    assert ratio[56:64, 76:84].mean() < 0.85
    assert ratio[56:64, 110:118].mean() == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("kind", BLEMISH_KINDS)
def test_blemish_share_is_near_the_ellipse(kind: str) -> None:
    fruit = blemished(kind, 8.0)
    a, c = fruit["diameter_mm"][0] / 2, fruit["height_mm"][0] / 2
    e = np.sqrt(1 - (c / a) ** 2)
    surface = 2 * np.pi * a * a * (1 + (1 - e * e) / e * np.arctanh(e))
    assert blemish_share(fruit)[0] == pytest.approx(np.pi * 64 / surface, rel=0.35)
    assert blemish_share(plain_fruit())[0] == 0.0


def test_overlapping_blemishes_count_once() -> None:
    once = blemished("rot", 8.0)
    twice = once.copy()
    twice["n_blemishes"] = 2
    for name in ("kind", "direction", "radius_mm", "aspect", "strength"):
        twice["blemish_" + name][:, 1] = once["blemish_" + name][:, 0]
    assert blemish_share(twice)[0] == pytest.approx(blemish_share(once)[0], rel=0.02)


def test_green_share_is_the_truths() -> None:
    fruit = grow(21, 40)
    assert green_share_truth(fruit) == pytest.approx(fruit["green_share"], abs=0.02)


def test_the_stem_end_is_dark() -> None:
    raw = green_plane(take(plain_fruit(stem_radius_mm=4.5)))
    assert raw[53:67, 73:87].min() < 0.7 * np.median(raw[45:75, 65:95])
