"""The kernel against its plain twin: two programs, one measurement."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, parse
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.disc import SPOT
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.kernel import OUTLIER_SHARE
from citrus_grade.messages import Frame
from citrus_grade.tables import DOUBLE, EMPTY, FRUIT_SEEN, GRID, VIEW, Table, stack
from citrus_grade.templates import LINE

TICKS = 4096
FINE = {
    "width_px = 1024": "width_px = 2048",
    "height_px = 768": "height_px = 1536",
    "px_per_mm = 1.28": "px_per_mm = 2.56",
    "window_x_px = 64": "window_x_px = 128",
    "[64, 192, 320, 448, 576, 704]": "[128, 384, 640, 896, 1152, 1408]",
    "tile_px = 128": "tile_px = 256",
}
"""A camera of twice the resolution over the same line."""


def line(changes: dict[str, str]) -> LineConfig:
    text = LINE.read_text(encoding="utf-8")
    for old, new in changes.items():
        text = text.replace(old, new, 1)
    return parse(text)


def both(config: LineConfig, frame: Frame) -> tuple[Table, Table]:
    kernel, twin = (Imager.of(config, config.camera[0], engine=engine)(frame).rows for engine in ("kernel", "twin"))
    return kernel, twin


@pytest.fixture(scope="module", params=[{}, FINE, {'"RGGB"': '"GBRG"'}], ids=["1.28", "2.56", "GBRG"])
def seen(request: pytest.FixtureRequest) -> tuple[Table, Table]:
    """All views of some simulated frames, the belt between two pitches, as both measure them."""
    config = line(request.param)
    plant = SimPlant(config, SimOptions(seed=11, seconds=3.0, doubles=0.06, bridging=0.03))
    frames = [message for message in plant.messages() if isinstance(message, Frame)][16:28:3]
    pairs = [both(config, frame) for frame in frames]
    return stack([kernel for kernel, _ in pairs], VIEW), stack([twin for _, twin in pairs], VIEW)


@pytest.fixture(scope="module")
def fruit(seen: tuple[Table, Table]) -> tuple[Table, Table]:
    kernel, twin = seen
    good = (kernel["state"] == FRUIT_SEEN) & (twin["state"] == FRUIT_SEEN)
    return kernel[good], twin[good]


def off(pair: tuple[Table, Table], name: str) -> NDArray[Any]:
    """Return how far apart the two are."""
    return np.abs(pair[0][name].astype(np.float64) - pair[1][name])


def test_every_cup_has_the_same_name_and_state(seen: tuple[Table, Table]) -> None:
    kernel, twin = seen
    for name in ("lane", "cup", "view_index"):
        assert np.array_equal(kernel[name], twin[name]), name
    assert set(kernel["state"].tolist()) == {EMPTY, FRUIT_SEEN, DOUBLE}
    # Two fruit, or a part of one: whether that is an ellipse hangs by a ray.
    differ = kernel["state"] != twin["state"]
    assert differ.mean() < 0.02
    assert (np.abs(kernel["residual"][differ] - OUTLIER_SHARE) < 0.2).all()


def test_what_one_leaves_unmeasured_the_other_does_too(seen: tuple[Table, Table]) -> None:
    same = seen[0]["state"] == seen[1]["state"]
    kernel, twin = (rows[same] for rows in seen)
    for name in VIEW.names or ():
        if VIEW[name].base.kind == "f" and name != "spot":
            assert np.array_equal(np.isnan(kernel[name]), np.isnan(twin[name])), name


def test_lines_of_sight_are_alike(seen: tuple[Table, Table]) -> None:
    assert max(off(seen, "sight_x").max(), off(seen, "sight_y").max()) < 1e-12


@pytest.mark.parametrize("name", ["x_px", "y_px", "major_px", "minor_px"])
def test_outlines_agree_to_a_fraction_of_a_pixel(fruit: tuple[Table, Table], name: str) -> None:
    apart, clean = off(fruit, name), fruit[0]["residual"] == 0
    assert np.median(apart) < 0.001
    assert apart[clean].max() < 0.1
    # Where rays end in a blemish the two may differ about which of them to trust.
    assert np.quantile(apart, 0.9) < 0.1
    assert (apart / fruit[0]["major_px"]).max() < 0.03


def test_a_share_of_rays_off_the_ellipse_differs_by_few(fruit: tuple[Table, Table]) -> None:
    assert np.quantile(off(fruit, "residual"), 0.98) <= 3 / 64


def test_angles_agree_as_far_as_the_outline_is_long(fruit: tuple[Table, Table]) -> None:
    turn = (fruit[0]["angle_rad"] - fruit[1]["angle_rad"] + math.pi / 2) % math.pi - math.pi / 2
    at_the_tip_px = np.abs(turn) * (fruit[0]["major_px"] - fruit[0]["minor_px"])
    assert np.median(at_the_tip_px) < 0.001
    assert (at_the_tip_px / fruit[0]["major_px"]).max() < 0.03


def test_planes_of_skin_agree_in_the_hundredths(fruit: tuple[Table, Table]) -> None:
    kernel, twin = (rows["skin"].view(np.int8).reshape(-1, GRID, GRID, 4)[..., :SPOT].astype(int) for rows in fruit)
    apart = np.abs(kernel - twin)
    assert np.median(apart, axis=(1, 2)).max() <= 2
    # A hair's breadth of the outline gives a cell the next quad.
    assert np.mean(apart > 2) < 0.02
    assert np.mean(np.mean(apart > 6, axis=(1, 2)) > 0.1) < 0.02


def test_spots_cover_the_same_skin(fruit: tuple[Table, Table]) -> None:
    kernel, twin = (rows["skin"] >> 8 * SPOT > 0 for rows in fruit)
    assert kernel.any()
    assert (kernel != twin).sum() < 0.25 * kernel.sum()
    assert np.array_equal(fruit[0]["skin_cells"], fruit[1]["skin_cells"])


def test_colours_agree(fruit: tuple[Table, Table]) -> None:
    for name in ("colour", "hue"):
        assert np.mean(fruit[0][name] == fruit[1][name]) > 0.98
    for name in ("red", "green", "blue"):
        assert np.median(off(fruit, name)) < 0.01
        assert off(fruit, name).max() < 4


ROUND = line({'bayer = "RGGB"': 'bayer = "RGGB"\nlens_height_mm = 1000000.0'})
ROWS, COLUMNS = np.mgrid[:384, :512] * 2.0 + 0.5


def put(rgb: NDArray[np.float64], x: float, y: float, major: float, minor: float, angle: float, colour: Any) -> None:
    """Draw an ellipse on quads of red, green, blue; lengths in pixels."""
    dx, dy, c, s = COLUMNS - x, ROWS - y, math.cos(angle), math.sin(angle)
    rho = np.hypot((dx * c + dy * s) / (major / 2), (dy * c - dx * s) / (minor / 2))
    rgb += np.clip(0.5 + (1 - rho) * 0.25 * minor, 0, 1)[..., None] * (np.array(colour) - rgb)


def frame_of(rgb: NDArray[np.float64], seed: int) -> Frame:
    mosaic = np.empty((768, 1024))
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[y::2, x::2] = rgb[..., channel]
    noisy = mosaic + 1.5 * np.random.default_rng(seed).standard_normal(mosaic.shape)
    return Frame(0, 0, 11 * TICKS, 0, np.clip(noisy + 0.5, 0, 255).astype(np.uint8))


@settings(max_examples=20)
@given(
    st.floats(50, 108), st.floats(0.72, 1), st.floats(0, math.pi), st.floats(-8, 8), st.floats(-8, 8),
    st.tuples(st.integers(120, 240), st.integers(80, 160), st.integers(10, 80)), st.integers(0, 9),
)  # fmt: skip
def test_any_ellipse_of_any_colour_is_one_measurement(
    major: float, aspect: float, angle: float, dx: float, dy: float, colour: Any, seed: int
) -> None:
    rgb = np.ones((384, 512, 3)) * (40.0, 42.0, 48.0)
    put(rgb, 448 + dx, 320 + dy, major, major * aspect, angle, colour)
    kernel, twin = both(ROUND, frame_of(rgb, seed))
    assert np.array_equal(kernel["state"], twin["state"])
    at = (kernel["lane"] == 2) & (kernel["view_index"] == 3)
    pair = kernel[at], twin[at]
    assert kernel["state"][at] == FRUIT_SEEN
    for name, limit in (("x_px", 0.1), ("y_px", 0.1), ("major_px", 0.2), ("minor_px", 0.2), ("red", 1), ("green", 1)):
        assert off(pair, name).max() < limit, name


@settings(max_examples=10)
@given(st.floats(44, 54), st.floats(0, math.pi), st.integers(0, 9))
def test_two_fruit_in_a_cup_are_two_to_both(size: float, angle: float, seed: int) -> None:
    rgb = np.ones((384, 512, 3)) * (40.0, 42.0, 48.0)
    for sign in (-0.5, 0.5):
        put(rgb, 448 + sign * size * math.cos(angle), 320 + sign * size * math.sin(angle), size, size, 0.0, (205, 118, 32))
    kernel, twin = both(ROUND, frame_of(rgb, seed))
    assert np.array_equal(kernel["state"], twin["state"])
    assert DOUBLE in kernel["state"]


def test_the_engine_is_the_kernel_unless_asked() -> None:
    camera = ROUND.camera[0]
    assert Imager.of(ROUND, camera).measure is Imager.of(ROUND, camera, engine="kernel").measure
    assert Imager.of(ROUND, camera).measure is not Imager.of(ROUND, camera, engine="twin").measure


def test_a_lens_that_bends_is_undone_alike_and_undone_at_all() -> None:
    config = line({})
    camera = config.camera[0]
    plant = SimPlant(config, SimOptions(seed=4, seconds=1.5))
    frame = next(message for k, message in enumerate(m for m in plant.messages() if isinstance(m, Frame)) if k == 14)
    straight = np.array([[camera.width_px / 2, camera.height_px / 2, 1496.0, 0.0, 0.0]])
    sizes = {}
    for name, k1 in (("straight", 0.0), ("barrel", -0.02)):
        lens = straight.copy()
        lens[0, 3] = k1
        calibration = replace(CalibrationSet.nominal(config), lens=lens)
        kernel, twin = (Imager.of(config, camera, calibration, engine=engine)(frame).rows for engine in ("kernel", "twin"))
        good = (kernel["state"] == FRUIT_SEEN) & (twin["state"] == FRUIT_SEEN)
        assert good.sum() > 20
        assert np.median(np.abs(kernel["major_px"] - twin["major_px"])[good]) < 0.02
        sizes[name] = {(int(row["lane"]), int(row["view_index"])): row["major_px"] for row in kernel[good]}
    away = [np.hypot(64 + 128 * v - 512, 64 + 128 * lane - 384) / 1496 for lane, v in sizes["straight"]]
    grown = np.array([sizes["barrel"].get(key, np.nan) / size for key, size in sizes["straight"].items()])
    # What a barrel lens shows at the edge is larger than it looks: by 1 / (1 + k1 r^2) across, by more along.
    assert np.nanmean(grown[np.array(away) > 0.25]) > 1.0008
    assert np.nanmean(np.abs(grown[np.array(away) < 0.1] - 1)) < 0.001
