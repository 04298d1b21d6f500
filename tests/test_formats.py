"""Frames of every kind of camera come in through one door, and no frame breaks it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from citrus_grade.config import ConfigError, LineConfig, parse
from citrus_grade.imaging.disc import BLUE, DARK, GREEN, N_COLOUR_CELLS
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.replay import replay
from citrus_grade.runlog import codec
from citrus_grade.runtime.session import run_line
from citrus_grade.tables import DOUBLE, EMPTY, FRUIT_SEEN, GRID, Table
from citrus_grade.templates import LINE, PLAN

TICKS = 4096
BAYER = {"RGGB": ((0, 1), (1, 2)), "BGGR": ((2, 1), (1, 0)), "GRBG": ((1, 0), (2, 1)), "GBRG": ((1, 2), (0, 1))}
FORMATS = (*BAYER, "rgb", "mono")
SHAPE = (768, 1024)
BELT, SKIN, DARK_SPOT = (40.0, 42.0, 48.0), (205.0, 118.0, 32.0), (80.0, 44.0, 14.0)


def line(bayer: str, profile: str = "normal") -> LineConfig:
    text = LINE.read_text(encoding="utf-8").replace('bayer = "RGGB"', f'bayer = "{bayer}"\nlens_height_mm = 1000000.0')
    return parse(text.replace('profile = "normal"', f'profile = "{profile}"', 1))


IMAGERS = {bayer: Imager.of(line(bayer), line(bayer).camera[0]) for bayer in FORMATS}


def measure(bayer: str, pixels: NDArray[np.uint8], tick: int = 11 * TICKS) -> Table:
    assert IMAGERS[bayer].accepts(pixels)
    return IMAGERS[bayer](Frame(0, 0, tick, 0, pixels)).rows


def scene(seed: int = 0) -> NDArray[np.uint8]:
    """Return a frame of red, green, blue: four spotted fruit of 80 px on a grey belt."""
    rng = np.random.default_rng(seed)
    rgb = np.full((*SHAPE, 3), BELT, np.float32) + rng.normal(0, 1.5, (*SHAPE, 1)).astype(np.float32)
    y, x = np.mgrid[-64:64, -64:64] - rng.uniform(-4, 4, 2)[:, None, None]
    for lane, window in ((0, 0), (2, 3), (5, 7), (3, 1)):
        cup = rgb[128 * lane :, 128 * window :][:128, :128]
        for dx, dy, radius, colour in ((0.0, 0.0, 40.0, SKIN), (9.0, -11.0, 5.0, DARK_SPOT)):
            cup += np.clip(radius + 0.5 - np.hypot(x - dx, y - dy), 0, 1)[..., None] * (np.array(colour) - cup)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def as_sensor(rgb: NDArray[np.uint8], bayer: str) -> NDArray[np.uint8]:
    """Return what a camera of this kind sends of a picture."""
    if bayer == "rgb":
        return rgb
    if bayer == "mono":
        return np.asarray((0.3 * rgb[..., 0] + 0.6 * rgb[..., 1] + 0.1 * rgb[..., 2] + 0.5).astype(np.uint8))
    mosaic = np.empty(SHAPE, np.uint8)
    for (y, x), channel in np.ndenumerate(np.array(BAYER[bayer])):
        mosaic[y::2, x::2] = rgb[y::2, x::2, channel]
    return mosaic


def test_colours_are_measured_as_a_bayer_sensor_would_have_seen_them() -> None:
    assert measure("rgb", scene()).tobytes() == measure("RGGB", as_sensor(scene(), "RGGB")).tobytes()


@pytest.mark.parametrize("bayer", FORMATS)
def test_a_frame_need_not_lie_in_one_piece_of_memory(bayer: str) -> None:
    pixels = as_sensor(scene(), bayer)
    whole = np.zeros((2 * SHAPE[0], SHAPE[1] + 6, *pixels.shape[2:]), np.uint8)
    whole[::2, 3:-3] = pixels
    scattered = whole[::2, 3:-3]
    assert not scattered.flags.c_contiguous
    assert measure(bayer, scattered).tobytes() == measure(bayer, pixels).tobytes()


@pytest.mark.parametrize("bayer", FORMATS)
def test_a_frame_is_only_read(bayer: str) -> None:
    pixels = as_sensor(scene(), bayer)
    before = pixels.tobytes()
    pixels.setflags(write=False)
    measure(bayer, pixels)
    assert pixels.tobytes() == before


@settings(max_examples=4)
@given(st.integers(0, 1000))
def test_every_camera_sees_the_same_size_place_and_spot(seed: int) -> None:
    seen = {bayer: measure(bayer, as_sensor(scene(seed), bayer)) for bayer in FORMATS}
    for rows in seen.values():
        assert np.array_equal(rows["state"], seen["rgb"]["state"])
        fruit = rows[rows["state"] == FRUIT_SEEN]
        assert len(fruit) == 4
        for axis in ("major_px", "minor_px"):
            assert fruit[axis] == pytest.approx(np.full(4, 80.0), abs=0.8)
        for at in ("x_px", "y_px"):
            assert fruit[at] == pytest.approx(seen["rgb"][at][rows["state"] == FRUIT_SEEN], abs=0.6)
        assert (fruit["blemish_cells"] > 5).all()
        assert (fruit["blemish_cells"] < 60).all()


def test_a_frame_without_colour_moves_no_edge() -> None:
    """The four pixels of a quad are worth the same: the centre lies where it lies."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    disc = 40 + 120 * np.clip(40.5 - np.hypot(x - 448.0, y - 320.0), 0, 1)  # in the middle of a cup
    row = next(row for row in measure("mono", (disc + 0.5).astype(np.uint8)) if row["state"] == FRUIT_SEEN)
    assert (row["x_px"], row["y_px"]) == pytest.approx((0, 0), abs=0.1)


def test_what_a_frame_without_colour_says_of_colour_is_unmeasured() -> None:
    rows = measure("mono", as_sensor(scene(), "mono"))
    fruit = rows[rows["state"] == FRUIT_SEEN]
    for name in ("red", "green", "blue"):
        assert np.isnan(fruit[name]).all()
    for name in ("colour_cells", "colour", "hue"):
        assert not fruit[name].any()
    planes = fruit["skin"].view(np.int8).reshape(-1, GRID, GRID, 4)
    assert not planes[..., [BLUE, GREEN]].any()
    assert planes[..., DARK].any()
    assert (fruit["skin_cells"] > 0).all()


@settings(max_examples=10)
@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255), st.integers(0, 255))
def test_a_quad_without_colour_is_its_mean_rounded(a: int, b: int, c: int, d: int) -> None:
    mean = (a + b + c + d + 2) // 4
    grey = np.tile(np.array([[a, b], [c, d]], np.uint8), (SHAPE[0] // 2, SHAPE[1] // 2))
    assert measure("mono", grey).tobytes() == measure("mono", np.full(SHAPE, mean, np.uint8)).tobytes()


@pytest.mark.parametrize("bayer", FORMATS)
def test_a_frame_of_another_size_or_depth_is_not_accepted(bayer: str) -> None:
    right = as_sensor(scene(), bayer)
    wrong: list[NDArray[Any]] = [right[:-2], right[:, :-2], right[0], right[None], right.swapaxes(0, 1)]
    wrong += [right.astype(dtype) for dtype in (np.int8, np.uint16, np.float32, np.bool_)]
    wrong += [right[..., None], right[..., :2], as_sensor(scene(), "rgb" if bayer == "mono" else "mono")[..., :1]]
    wrong += [scene() if bayer != "rgb" else as_sensor(scene(), "RGGB"), np.zeros((*SHAPE, 4), np.uint8), np.zeros(0, np.uint8)]
    assert IMAGERS[bayer].accepts(right)
    assert [frame.shape for frame in wrong if IMAGERS[bayer].accepts(frame)] == []


def odd_frame(kind: str, seed: int, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return a frame no line should send."""
    rng = np.random.default_rng(seed)
    if kind in ("black", "white"):
        return np.full(shape, 255 * (kind == "white"), np.uint8)
    if kind == "noise":
        return rng.integers(0, 256, shape, np.uint8)
    if kind == "two levels":
        return (255 * rng.integers(0, 2, shape)).astype(np.uint8)
    frame = scene(seed) if len(shape) == 3 else as_sensor(scene(seed), "RGGB")
    torn = int(rng.integers(0, SHAPE[0]))
    frame[torn:] = 0 if kind == "torn" else np.roll(frame[torn:], int(rng.integers(1, 1000)), axis=1)
    return frame


KINDS = ("black", "white", "noise", "two levels", "torn", "shifted")


def assert_sane(rows: Table) -> None:
    assert len(rows) == 48
    assert set(rows["state"].tolist()) <= {EMPTY, FRUIT_SEEN, DOUBLE}
    fruit = rows[rows["state"] == FRUIT_SEEN]
    for name in ("x_px", "y_px", "major_px", "minor_px", "angle_rad", "residual"):
        assert np.isfinite(fruit[name]).all()
    assert ((fruit["minor_px"] > 0) & (fruit["minor_px"] <= fruit["major_px"])).all()
    assert (fruit["blemish_cells"] <= fruit["skin_cells"]).all()
    assert not rows["skin_cells"][rows["state"] != FRUIT_SEEN].any()


@pytest.mark.parametrize("bayer", FORMATS)
@settings(max_examples=8)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(-TICKS, 10**9))
def test_no_frame_makes_a_camera_fail(bayer: str, kind: str, seed: int, tick: int) -> None:
    rows = measure(bayer, odd_frame(kind, seed, (*SHAPE, 3) if bayer == "rgb" else SHAPE), tick)
    if len(rows) == 48:  # a cup half way out of the picture is not measured
        assert_sane(rows)
    if kind in ("black", "white"):
        assert set(rows["state"].tolist()) == {EMPTY if kind == "black" else DOUBLE}
    if bayer != "mono":
        assert np.array_equal(rows["colour_cells"].sum(axis=1) > 0, rows["state"] == FRUIT_SEEN)
        assert rows["colour_cells"].sum(axis=1).max() in (0, N_COLOUR_CELLS)


@settings(max_examples=6)
@given(st.sampled_from(KINDS), st.sampled_from(FORMATS), st.integers(0, 2**32 - 1))
def test_no_frame_makes_the_twin_fail(kind: str, bayer: str, seed: int) -> None:
    config = line(bayer)
    twin = Imager.of(config, config.camera[0], engine="twin")
    assert_sane(twin(Frame(0, 0, 11 * TICKS, 0, odd_frame(kind, seed, (*SHAPE, 3) if bayer == "rgb" else SHAPE))).rows)


@settings(max_examples=10)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1))
def test_the_log_keeps_any_frame_of_one_value_a_pixel(kind: str, seed: int) -> None:
    frame = odd_frame(kind, seed, SHAPE)
    assert codec.accepts(frame)
    assert np.array_equal(codec.decode(codec.encode(frame), *SHAPE), frame)


def test_another_word_for_a_pattern_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"bayer.*mono.*rgb"):
        line("RGBG")


@pytest.mark.parametrize("bayer", ["rgb", "mono"])
def test_a_simulated_line_of_such_cameras_grades_and_replays_equal(bayer: str, tmp_path: Path) -> None:
    (tmp_path / "line.toml").write_text(LINE.read_text(encoding="utf-8").replace('"RGGB"', f'"{bayer}"'), encoding="utf-8")
    shutil.copy(PLAN, tmp_path / "plan.toml")
    ended = run_line(tmp_path / "line.toml", tmp_path / "run", profile="full", seconds=1.0)
    assert ended.alarms == {}
    assert ended.accuracy is not None
    assert ended.accuracy["empties_exact"] == 1.0
    assert abs(ended.accuracy["diameter_bias_mm"]) < 2.0  # nobody has calibrated it
    report = replay(tmp_path / "run")
    assert report.diff_fields == 0
    assert report.compared == ended.cups > 100
