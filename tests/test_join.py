"""Views of one fruit joined: medians, what is missing, what is not one fruit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from citrus_grade.imaging.disc import SPOT
from citrus_grade.imaging.join import BRIDGING_CUPS, join
from citrus_grade.imaging.surface import rolled, room
from citrus_grade.rings import join_lanes
from citrus_grade.tables import BRIDGING, COLOURS, DOUBLE, EMPTY, FRUIT, FRUIT_SEEN, N_SPOTS, UNSEEN, VIEW, empty

N = 8
PITCH_PX = 128.0
TURN_PX = 0.32 * PITCH_PX
TRAVEL = np.arange(float(N))
ROOM = room(N)
SIZES = st.floats(50, 110)
STATES = st.sampled_from((EMPTY, FRUIT_SEEN, DOUBLE))


def views(states=(FRUIT_SEEN,) * N, major=80.0, minor=72.0, x=0.0, y=0.0):
    rows = empty(VIEW, N)
    rows["state"] = states
    rows["sight_x"] = rows["sight_y"] = 0.0
    rows["major_px"], rows["minor_px"], rows["x_px"], rows["y_px"] = major, minor, x, y
    return rows


def joined(rows, seen=(True,) * N):
    out = empty(FRUIT, 1)
    join(rows, np.array(seen), PITCH_PX, TRAVEL, TURN_PX, ROOM, np.empty((2, N)), out[0])
    return out[0]


def test_no_view_says_nothing():
    fruit = joined(views(), (False,) * N)
    assert (fruit["state"], fruit["views"], fruit["fruit_views"]) == (UNSEEN, 0, 0)
    assert np.isnan(fruit["diameter_px"])
    assert np.isnan(fruit["blemish_pct"])


@given(st.lists(SIZES, min_size=N, max_size=N), st.lists(st.booleans(), min_size=N, max_size=N).filter(any))
def test_the_diameter_is_the_median_of_the_views_that_arrived(major, seen):
    seen = np.array(seen)
    fruit = joined(views(major=major, minor=np.array(major) * 0.9), seen)
    middle = np.median(np.array(major)[seen])
    mad = np.median(np.abs(np.array(major)[seen] - middle))
    assert fruit["diameter_px"] == middle
    assert fruit["diameter_sigma_px"] == pytest.approx(1.2533 * 1.4826 * mad / np.sqrt(seen.sum()))
    assert (fruit["views"], fruit["fruit_views"]) == (seen.sum(), seen.sum())


@given(st.lists(st.floats(40, 80), min_size=N, max_size=N))
def test_the_height_is_never_more_than_the_flattest_view_shows(minor):
    fruit = joined(views(major=80, minor=minor))
    assert fruit["height_px"] <= min(minor)


def thrown(semi, turns):
    """Views of an ellipsoid of these semi-axes, turned so."""
    rows = views()
    for row, turn in zip(rows, turns, strict=True):
        shadow = (turn @ np.diag(np.square(semi)) @ turn.T)[:2, :2]
        squares, axes = np.linalg.eigh(shadow)
        row["minor_px"], row["major_px"] = 2 * np.sqrt(squares)
        row["angle_rad"] = np.arctan2(axes[1, 1], axes[0, 1])
    return rows


@given(st.integers(0, 2**32 - 1), st.floats(24, 44), st.floats(0.7, 1.0))
def test_an_ellipsoids_height_is_found_from_views_that_never_show_it(seed, radius, flat):
    start = Rotation.random(random_state=seed).as_matrix()
    turns = np.zeros((N, 3, 3))
    for k, turn in enumerate(turns):
        rolled(TURN_PX / radius * k, 0.0, 0.0, turn)
    fruit = joined(thrown((radius, radius, flat * radius), turns @ start))
    assert fruit["diameter_px"] == pytest.approx(2 * radius)
    assert fruit["height_px"] == pytest.approx(2 * flat * radius, rel=1e-3)


@given(st.permutations(range(N)), st.lists(SIZES, min_size=N, max_size=N), st.lists(STATES, min_size=N, max_size=N))
def test_the_order_of_the_views_changes_neither_size_nor_state(order, major, states):
    rows = views(states, major=major, minor=np.array(major) * 0.8)
    one, other = joined(rows), joined(rows[list(order)])
    for name in ("state", "views", "fruit_views", "diameter_px", "height_px", "x_px"):
        assert np.array_equal(one[name], other[name], equal_nan=True)


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([FRUIT_SEEN] * 8, FRUIT_SEEN),
        ([FRUIT_SEEN] * 5 + [EMPTY] * 3, FRUIT_SEEN),
        ([FRUIT_SEEN] * 4 + [EMPTY] * 4, EMPTY),
        ([EMPTY] * 8, EMPTY),
        ([DOUBLE] * 5 + [FRUIT_SEEN] * 3, DOUBLE),
        ([DOUBLE] * 4 + [FRUIT_SEEN] * 4, FRUIT_SEEN),
        ([DOUBLE] * 8, DOUBLE),
    ],
)
def test_most_views_decide_what_lies_in_the_cup(states, state):
    assert joined(views(states))["state"] == state


@pytest.mark.parametrize("side", [-1, 1])
def test_a_fruit_far_from_its_cups_centre_rides_on_two(side):
    at = side * BRIDGING_CUPS * PITCH_PX
    assert joined(views(x=at * 1.01))["state"] == BRIDGING
    assert joined(views(x=at * 0.99))["state"] == FRUIT_SEEN


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.permutations(range(6)))
def test_a_row_alone_equals_the_row_in_any_batch_to_the_bit(seed, order):
    rng = np.random.default_rng(seed)
    rows = empty(VIEW, 6 * N).reshape(6, N)
    rows["state"] = rng.integers(EMPTY, DOUBLE + 1, (6, N))
    rows["sight_x"], rows["sight_y"] = rng.uniform(-0.3, 0.3, (2, 6, N))
    for name in ("x_px", "y_px", "major_px", "minor_px", "red", "green", "blue"):
        rows[name] = rng.uniform(1, 100, (6, N))
    rows["skin_cells"] = rng.integers(0, 3000, (6, N))
    rows["blemish_cells"] = rows["skin_cells"] // 7
    rows["colour"] = rng.integers(0, len(COLOURS), rows["colour"].shape)
    rows["hue"] = rng.integers(0, 180, rows["hue"].shape)
    rows["spots"] = rng.integers(0, N_SPOTS, (6, N))
    rows["spot"] = rng.uniform(0, 0.5, rows["spot"].shape)
    rows["skin"] = rng.integers(0, 3, rows["skin"].shape) << 8 * SPOT
    seen = rng.random((6, N)) < 0.8
    order = np.array(order)
    batch = batch_of(rows[order], seen[order])
    for place, lane in enumerate(order):
        alone = batch_of(rows[lane : lane + 1], seen[lane : lane + 1])[0]
        alone["lane"] = place
        assert alone.tobytes() == batch[place].tobytes()


def batch_of(rows, seen):
    out = empty(FRUIT, len(rows))
    join_lanes(
        rows, seen, empty(FRUIT, len(rows)), np.zeros(len(rows), bool), PITCH_PX, TRAVEL, TURN_PX, ROOM, 7, np.empty((2, N)), out
    )
    return out


def test_a_fruit_that_was_fed_joined_is_taken_as_it_is():
    ready = empty(FRUIT, 2)
    ready["lane"], ready["cup"], ready["diameter_px"], ready["state"] = (0, 1), 7, 77.0, FRUIT_SEEN
    rows, seen = np.stack([views(), views()]), np.ones((2, N), bool)
    out = empty(FRUIT, 2)
    join_lanes(rows, seen, ready, np.array([True, False]), PITCH_PX, TRAVEL, TURN_PX, ROOM, 7, np.empty((2, N)), out)
    assert out["diameter_px"].tolist() == [77.0, 80.0]
    assert out["lane"].tolist() == [0, 1]
