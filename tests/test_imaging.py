"""Frames to views, on pictures whose truth is known by construction."""

import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.config import parse
from citrus_grade.imaging import colour
from citrus_grade.imaging.disc import N_COLOUR_CELLS
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame, Views
from citrus_grade.runlog import LogReader
from citrus_grade.runlog.reader import Fed
from citrus_grade.tables import COLOURS, DOUBLE, EMPTY, FRUIT_SEEN, GRID
from citrus_grade.templates import LINE

TICKS = 4096
PITCH_PX = 128.0
BELT, SKIN, DARK = (60.0, 62.0, 70.0), (205.0, 118.0, 32.0), (40.0, 24.0, 12.0)
FAR = "lens_height_mm = 1000000.0"
BAYER = {"RGGB": ((0, 1), (1, 2)), "BGGR": ((2, 1), (1, 0)), "GRBG": ((1, 0), (2, 1)), "GBRG": ((1, 2), (0, 1))}


def imager(bayer="RGGB", optics=FAR, lanes=None):
    text = LINE.read_text(encoding="utf-8").replace('bayer = "RGGB"', f'bayer = "{bayer}"\n{optics}')
    if lanes is not None:
        text = text.replace("lane_y_px = [64, 192, 320, 448, 576, 704]", f"lane_y_px = {lanes}")
    config = parse(text)
    return Imager.of(config, config.camera[0])


IMAGER = imager()


@dataclass(frozen=True)
class Ellipse:
    """One fruit's silhouette in a frame, in pixels."""

    x: float
    y: float
    major: float
    minor: float
    angle: float = 0.0
    colour: tuple = SKIN

    @property
    def box(self):
        """Rows and columns of the quads that it may touch."""
        reach = self.major / 4 + 3
        return tuple(slice(max(int(c / 2 - reach), 0), max(int(c / 2 + reach), 0)) for c in (self.y, self.x))

    def rho(self):
        """Distance of each quad of its box from its centre, in radii."""
        rows, columns = self.box
        y, x = np.mgrid[rows, columns] * 2.0 + 0.5
        dx, dy = x - self.x, y - self.y
        ca, sa = math.cos(self.angle), math.sin(self.angle)
        return np.hypot((dx * ca + dy * sa) / (self.major / 2), (dy * ca - dx * sa) / (self.minor / 2))

    def coverage(self):
        """Share of each quad of its box that it covers."""
        return np.clip(0.5 + (1 - self.rho()) * 0.25 * self.minor, 0, 1)[..., None]


def blend(rgb, ellipse, light=1.0, inside=None):
    """Put a silhouette on top of what is there."""
    part = rgb[ellipse.box]
    height, width = part.shape[:2]
    cover = ellipse.coverage()[:height, :width]
    if inside is not None:
        cover = cover * np.clip((inside.major / 2 - np.hypot(*_from(inside, ellipse.box)))[:height, :width, None] / 2 + 0.5, 0, 1)
    part += cover * (np.array(ellipse.colour) * light - part)


def _from(ellipse, box):
    y, x = np.mgrid[box] * 2.0 + 0.5
    return y - ellipse.y, x - ellipse.x


def picture(*ellipses, light=1.0, inside=None):
    """Quads of red, green and blue of these silhouettes on the belt, later ones on top; the last only ``inside`` another."""
    rgb = np.ones((384, 512, 3)) * BELT
    for e in ellipses:
        blend(rgb, e, light, inside if e is ellipses[-1] else None)
    return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)


def frame(rgb, tick=11 * TICKS, bayer="RGGB"):
    mosaic = np.empty((rgb.shape[0] * 2, rgb.shape[1] * 2), np.uint8)
    for (dy, dx), channel in np.ndenumerate(np.array(BAYER[bayer])):
        mosaic[dy::2, dx::2] = rgb[..., channel]
    return Frame(0, 0, tick, 0, mosaic)


def at(lane, window):
    return 64 + window * PITCH_PX, 64 + lane * 128.0


def row_of(views, lane, window):
    rows = views.rows[(views.rows["lane"] == lane) & (views.rows["view_index"] == window)]
    assert len(rows) == 1
    return rows[0]


def fruit(lane=2, window=3, dx=0.0, dy=0.0, major=84.0, minor=76.0, angle=0.4):
    x, y = at(lane, window)
    return Ellipse(x + dx, y + dy, major, minor, angle)


@settings(max_examples=25)
@given(st.floats(60, 104), st.floats(0.76, 1), st.floats(0, math.pi), st.floats(-5, 5), st.floats(-5, 5))
def test_an_ellipse_is_measured_to_a_fraction_of_a_pixel(major, aspect, angle, dx, dy):
    row = row_of(IMAGER(frame(picture(fruit(major=major, minor=major * aspect, angle=angle, dx=dx, dy=dy)))), 2, 3)
    assert row["state"] == FRUIT_SEEN
    assert row["major_px"] == pytest.approx(major, abs=0.6)
    assert row["minor_px"] == pytest.approx(major * aspect, abs=0.6)
    assert (row["x_px"], row["y_px"]) == pytest.approx((dx, dy), abs=0.3)
    if aspect < 0.9:
        assert abs((row["angle_rad"] - angle + math.pi / 2) % math.pi - math.pi / 2) < 0.06
    assert row["skin_cells"] > 0
    assert row["blemish_cells"] <= 0.02 * row["skin_cells"]
    assert row["colour_cells"].sum() == N_COLOUR_CELLS


def test_a_cup_is_named_by_the_clock_and_its_window():
    views = IMAGER(frame(picture(), tick=200 * TICKS))
    assert len(views.rows) == 6 * 8
    # Window 0 lies at station 4, the others downstream of it: earlier cups.
    assert {(int(r["view_index"]), int(r["cup"])) for r in views.rows} == {(w, 196 - w) for w in range(8)}


def test_a_line_that_has_just_started_names_cups_before_the_first_one():
    assert IMAGER(frame(picture(), tick=0)).rows["cup"].min() == -11


@pytest.mark.parametrize("bayer", BAYER)
def test_four_orders_of_bayer_pixels_say_the_same_to_the_bit(bayer):
    rgb = picture(fruit(), fruit(4, 6, major=70, minor=60), Ellipse(330, 300, 20, 12, 0.2, (90.0, 60.0, 20.0)))
    expected = IMAGER(frame(rgb)).rows
    assert imager(bayer)(frame(rgb, bayer=bayer)).rows.tobytes() == expected.tobytes()


@settings(max_examples=20)
@given(st.floats(-0.4, 0.4), st.floats(-3, 3))
def test_a_frame_need_not_be_aligned_to_a_pitch(ahead, dx):
    row = row_of(IMAGER(frame(picture(fruit(dx=dx + ahead * PITCH_PX)), tick=11 * TICKS + round(ahead * TICKS))), 2, 3)
    assert row["cup"] == 4
    assert row["x_px"] == pytest.approx(dx, abs=0.3)
    assert (row["major_px"], row["minor_px"]) == pytest.approx((84, 76), abs=0.6)


def test_an_encoder_correction_moves_the_tiles_as_the_ticks_would():
    rgb = picture(fruit(dx=20))
    moved = IMAGER(frame(rgb, tick=11 * TICKS + 640)).rows
    assert IMAGER(frame(rgb), offset=640).rows.tobytes() == moved.tobytes()


@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_what_lies_in_other_cups_changes_no_bit_of_a_fruit(seed):
    x, y = (int(v) - 64 for v in at(2, 3))
    own = frame(picture(fruit())).mosaic
    noise = np.random.default_rng(seed).integers(0, 256, own.shape, np.uint8)
    noise[y : y + 128, x : x + 128] = own[y : y + 128, x : x + 128]
    expected = row_of(IMAGER(Frame(0, 0, 11 * TICKS, 0, own)), 2, 3)
    assert row_of(IMAGER(Frame(0, 0, 11 * TICKS, 0, noise)), 2, 3).tobytes() == expected.tobytes()


@settings(max_examples=10)
@given(st.permutations(range(6)))
def test_lanes_permuted_give_permuted_views(order):
    rgb = picture(*(fruit(lane, window, major=60 + 5 * lane, minor=58 + 4 * lane) for lane in range(6) for window in (1, 5)))
    whole = imager(optics="")(frame(rgb)).rows
    permuted = imager(optics="", lanes=[64 + 128 * lane for lane in order])(frame(rgb)).rows.copy()
    permuted["lane"] = np.array(order)[permuted["lane"]]
    by_lane = np.concatenate([permuted[permuted["lane"] == lane] for lane in range(6)])
    assert by_lane.tobytes() == whole.tobytes()


def test_a_sphere_off_the_axis_is_a_circle_once_perspective_is_taken_out():
    near = imager(optics="lens_height_mm = 600.0")
    focal = 1.28 * (600 - 31)
    x, y = at(0, 0)
    away = (x - 512, y - 384)
    stretch = math.sqrt(1 + (math.hypot(*away) / focal) ** 2)
    row = row_of(near(frame(picture(Ellipse(x, y, 70 * stretch, 70, math.atan2(away[1], away[0]))))), 0, 0)
    assert (row["major_px"], row["minor_px"]) == pytest.approx((70, 70), abs=0.7)


def test_a_black_frame_is_a_line_of_empty_cups():
    rows = IMAGER(frame(np.zeros((384, 512, 3), np.uint8))).rows
    assert len(rows) == 48
    assert set(rows["state"].tolist()) == {EMPTY}


KINDS = ("white", "noise", "stripes", "red", "blue", "half")


@settings(max_examples=20)
@given(st.sampled_from(KINDS), st.integers(0, 2**32 - 1), st.integers(-TICKS, 10**9))
def test_no_picture_makes_a_camera_fail(kind, seed, tick):
    rng = np.random.default_rng(seed)
    rgb = np.full((384, 512, 3), 255, np.uint8)
    if kind == "noise":
        rgb = rng.integers(0, 256, rgb.shape, np.uint8)
    elif kind == "stripes":
        rgb[:, :: int(rng.integers(2, 9))] = 0
    elif kind in ("red", "blue"):
        rgb[..., {"red": (1, 2), "blue": (0, 1)}[kind]] = 0
    elif kind == "half":
        rgb[: int(rng.integers(1, 384))] = 0
    rows = IMAGER(frame(rgb, tick=tick)).rows
    assert set(rows["state"].tolist()) <= {EMPTY, FRUIT_SEEN, DOUBLE}
    assert FRUIT_SEEN not in rows["state"] or kind in ("noise", "half")
    assert not rows.flags.writeable


@pytest.mark.parametrize("shape", [(768, 1022), (384, 512), (1024, 768), (768, 1024, 3), (0, 0)])
def test_a_mosaic_of_another_size_is_not_accepted(shape):
    assert not IMAGER.accepts(np.zeros(shape, np.uint8))


def test_a_mosaic_of_another_depth_is_not_accepted():
    assert not IMAGER.accepts(np.zeros((768, 1024), np.uint16))


@pytest.mark.parametrize("size", [14, 20, 26, 30])
def test_a_big_dark_blemish_at_the_limb_does_not_break_the_diameter(size):
    x, y = at(2, 3)
    whole = Ellipse(x, y, 80, 80)
    for where in np.arange(24) * math.pi / 12:
        blot = Ellipse(x + 34 * math.cos(where), y + 34 * math.sin(where), size, size, 0.0, DARK)
        row = row_of(IMAGER(frame(picture(whole, blot, inside=whole))), 2, 3)
        assert row["state"] == FRUIT_SEEN
        assert row["major_px"] == pytest.approx(80, rel=0.015)


def spots(rng, n, radius_px):
    """Spots well inside a fruit of 84 px in lane 2, window 3, none on another."""
    x, y = at(2, 3)
    centres = [(-18, -14), (16, 15), (3, -22), (-12, 18), (20, -12)][:n]
    places = np.array(centres) + np.array([x, y]) + rng.uniform(-2, 2, (n, 2))
    return [Ellipse(cx, cy, 2 * radius_px, 2 * radius_px, 0.0, (92.0, 52.0, 16.0)) for cx, cy in places.tolist()]


@settings(max_examples=15)
@given(st.integers(1, 5), st.floats(4, 6), st.integers(0, 2**32 - 1))
def test_dark_spots_are_counted_as_blemish_by_their_area(n, radius_px, seed):
    row = row_of(IMAGER(frame(picture(fruit(angle=0.0), *spots(np.random.default_rng(seed), n, radius_px)))), 2, 3)
    # The sum of 3 x 3 quads that finds a spot widens it, on a fruit of 20 quads by about a quad.
    wide_px = radius_px + 2.0
    expected = n * math.pi * (wide_px / 42) * (wide_px / 38) * (GRID / 2) ** 2
    assert row["blemish_cells"] == pytest.approx(expected, rel=0.4)


@pytest.mark.parametrize("limb", [0.0, 0.25, 0.4])
@pytest.mark.parametrize("tilt", [0.0, 0.3])
def test_shading_of_the_whole_fruit_is_no_blemish(limb, tilt):
    x, y = at(2, 3)
    ball = Ellipse(x, y, 84, 84)
    right = np.clip(_from(ball, ball.box)[1] / 42, -1.1, 1.1)
    light = (1 - limb * np.minimum(ball.rho(), 1.1) ** 4) * (1 + tilt * right)
    row = row_of(IMAGER(frame(picture(ball, light=light[..., None]))), 2, 3)
    assert row["state"] == FRUIT_SEEN
    assert row["blemish_cells"] <= 0.01 * row["skin_cells"]


@settings(max_examples=15)
@given(st.floats(0, math.pi), st.floats(46, 54))
def test_two_fruit_in_a_cup_are_a_double(angle, size):
    x, y = at(2, 3)
    dx, dy = 0.5 * size * math.cos(angle), 0.5 * size * math.sin(angle)
    pair = (Ellipse(x + dx, y + dy, size, size), Ellipse(x - dx, y - dy, size, size))
    assert row_of(IMAGER(frame(picture(*pair))), 2, 3)["state"] == DOUBLE


def test_a_cup_with_less_than_the_smallest_fruit_is_empty():
    x, y = at(2, 3)
    assert row_of(IMAGER(frame(picture(Ellipse(x, y, 18, 18)))), 2, 3)["state"] == EMPTY


@pytest.mark.parametrize(
    ("rgb", "name"),
    [((0.8, 0.3, 0.05), "deep_orange"), ((0.8, 0.45, 0.1), "orange"), ((0.8, 0.64, 0.1), "yellow"), ((0.3, 0.6, 0.1), "green"),
     ((0.1, 0.25, 0.05), "dark_green"), ((0.25, 0.1, 0.02), "brown"), ((0.5, 0.5, 0.5), "grey"), ((0.02, 0.02, 0.02), "black")],
)  # fmt: skip
def test_colours_have_the_names_people_give_them(rgb, name):
    red, green, blue = (int(v * 32) for v in rgb)
    assert COLOURS[colour.table()[red << 10 | green << 5 | blue] & 255] == name


def test_every_colour_has_a_name_and_each_name_a_colour():
    assert set((colour.table() & 255).tolist()) == set(range(len(COLOURS)))


def test_feeding_a_frame_equals_feeding_its_views(full_run, loaded):
    by_frame, by_views = loaded.line(), loaded.line()
    eye = Imager.of(loaded.config, loaded.config.camera[0])
    frames = 0
    for entry in LogReader(full_run.log):
        for message in entry.messages if isinstance(entry, Fed) else ():
            seen = eye(message, by_views.state.offset) if isinstance(message, Frame) else message
            frames += isinstance(seen, Views)
            expected, given_ = by_frame.feed(message), by_views.feed(seen)
            assert [type(output) for output in given_] == [type(output) for output in expected]
            for a, b in zip(expected, given_, strict=True):
                assert a.rows.tobytes() == b.rows.tobytes() if hasattr(a, "rows") else a == b
    assert frames > 20
    assert by_frame.snapshot() == by_views.snapshot()
