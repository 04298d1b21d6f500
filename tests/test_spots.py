"""Spots of a view, on skin drawn for the purpose: what stands out is found where it is, and nothing else is."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from citrus_grade.imaging.disc import BLUE, DARK, INNER, SPOT
from citrus_grade.imaging.forest import COARSE_QUADS, ask, forest
from citrus_grade.imaging.spots import find_spots, spot_room
from citrus_grade.imaging.stand_out import COARSE, MOST_RUNS, SpotRoom
from citrus_grade.tables import CHANCE_STEM, N_SPOTS, SPOT_RADIUS, SPOT_X, SPOT_Y

N, RADIUS, CENTRE = 64, 24.0, (31.3, 32.1)
ROOT = (RADIUS, 0.0, 0.0, RADIUS)
ROWS, COLUMNS = np.mgrid[:N, :N]
AWAY = np.hypot(COLUMNS - CENTRE[0], ROWS - CENTRE[1]) / RADIUS


def span_of(away: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the columns of each row inside the disc, and inside the limit where skin is judged, (n, 4)."""
    within = [away <= np.sqrt(INNER) + 0.75 / RADIUS, away <= np.sqrt(INNER)]
    return np.stack([end for inside in within for end in (inside.argmax(1), inside.argmax(1) + inside.sum(1))], axis=1)


SPAN = span_of(AWAY)


def words(planes: NDArray[Any]) -> NDArray[np.uint32]:
    """Return skin as the kernel holds it, (n, n), from planes (3, n, n)."""
    four = np.concatenate([np.clip(planes, -127, 127).astype(np.int8), np.zeros((1, N, N), np.int8)])
    return np.ascontiguousarray(four.transpose(1, 2, 0)).view(np.uint32)[..., 0].copy()


def disc(x: float, y: float, radius: float) -> NDArray[np.bool_]:
    return np.asarray(np.hypot(COLUMNS - x, ROWS - y) <= radius)


def found(skin: NDArray[np.uint32], room: SpotRoom | None = None) -> NDArray[np.float32]:
    spot = np.full((N_SPOTS, 6), np.nan, np.float32)
    n = find_spots(N, *CENTRE, ROOT, SPAN, skin, forest(), room or spot_room(N, forest()), spot)
    assert np.isnan(spot[n:]).all()
    return spot[:n]


def plain(seed: int, noise: float = 2.0) -> NDArray[np.float64]:
    return noise * np.random.default_rng(seed).standard_normal((3, N, N))


@pytest.mark.parametrize("seed", range(5))
def test_plain_skin_has_no_spots(seed: int) -> None:
    skin = words(plain(seed, 3.0))
    assert len(found(skin)) == 0
    assert not (skin >> 8 * SPOT).any()


def test_shading_is_no_spot_or_sound_skin() -> None:
    planes = plain(0)
    planes[DARK] += 10 * (COLUMNS - CENTRE[0]) / RADIUS - 5 * AWAY**2
    assert len(found(words(planes))) == 0
    planes[DARK] += 10 * (COLUMNS - CENTRE[0]) / RADIUS - 5 * AWAY**2
    assert (found(words(planes))[:, CHANCE_STEM:].sum(axis=1) < 0.05).all()


@pytest.mark.parametrize(("x", "y", "radius"), [(31, 32, 3), (22.5, 40, 2.5), (42, 24, 4), (31, 14, 3)])
@pytest.mark.parametrize(("plane", "value"), [(DARK, -50), (BLUE, 70)])
def test_a_spot_is_found_where_it_is(x: float, y: float, radius: float, plane: int, value: float) -> None:
    planes = plain(1)
    planes[plane][disc(x, y, radius)] += value
    skin = words(planes)
    spots = found(skin)
    assert len(spots) == 1
    place = np.array([x - CENTRE[0], y - CENTRE[1]]) / RADIUS
    assert np.hypot(*(spots[0, [SPOT_X, SPOT_Y]] - place)) < 0.04
    # Of sums of 3 x 3 the edge lies a quad further out.
    assert (radius - 0.5) / RADIUS < spots[0, SPOT_RADIUS] < (radius + 2) / RADIUS
    own = skin >> 8 * SPOT == 1
    assert own[disc(x, y, radius - 0.5)].all()
    assert not own[~disc(x, y, radius + 3)].any()


def test_light_spots_are_gloss() -> None:
    planes = plain(2)
    planes[DARK][disc(30, 30, 4)] += 60
    assert (found(words(planes))[:, CHANCE_STEM:].max(axis=1, initial=0) < 0.25).all()


def test_what_touches_is_one_spot_and_what_does_not_are_two() -> None:
    one, two = plain(3), plain(3)
    one[DARK][(abs(COLUMNS - ROWS) <= 1) & disc(31, 31, 9)] -= 60
    two[DARK][disc(22, 30, 3) | disc(40, 34, 3)] -= 60
    assert [len(found(words(planes))) for planes in (one, two)] == [1, 2]


def test_the_limb_is_not_judged() -> None:
    planes = plain(4)
    planes[DARK][AWAY > 0.98] -= 90
    assert len(found(words(planes))) == 0


def test_no_more_spots_than_there_is_room_for_and_the_strongest_of_them() -> None:
    planes = plain(5, 0.0)
    places = [(x, y) for x in range(14, 52, 8) for y in range(14, 52, 8) if np.hypot(x - 31.3, y - 32.1) < 19]
    assert len(places) > N_SPOTS
    for k, (x, y) in enumerate(places):
        planes[DARK][disc(x, y, 1.5)] -= 50 + 2 * k
    spots = found(words(planes))
    assert len(spots) == N_SPOTS
    kept = {min(range(len(places)), key=lambda k: np.hypot(*(np.array(places[k]) - CENTRE - s * RADIUS))) for s in spots[:, :2]}
    assert min(kept) >= len(places) - N_SPOTS - 2


def test_a_checkerboard_fills_the_room_for_runs_and_breaks_nothing() -> None:
    planes = np.zeros((3, N, N))
    planes[DARK] = np.where((COLUMNS // 3 + ROWS // 3) % 2, 100, -100)
    room = spot_room(N, forest())
    assert len(found(words(planes), room)) <= N_SPOTS
    assert len(room.run) == MOST_RUNS


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(0, 60))
def test_what_was_seen_before_leaves_no_trace(seed: int, noise: float) -> None:
    other, room = words(plain(seed + 1, 60)), spot_room(N, forest())
    fresh, used = words(plain(seed, noise)), words(plain(seed, noise))
    found(other, room)
    one, again = found(fresh), found(used, room)
    assert np.array_equal(one, again)
    assert np.array_equal(fresh, used)
    assert (np.hypot(one[:, SPOT_X], one[:, SPOT_Y]) < 1).all()


@pytest.mark.parametrize("radius", [0.5 * COARSE_QUADS, 2.0 * COARSE_QUADS])
def test_trees_walked_side_by_side_say_what_each_says_alone(radius: float) -> None:
    trees = forest()
    which = int(radius > COARSE_QUADS)
    roots = trees.root[which].tolist()
    features = np.random.default_rng(6).normal(0, 20, (200, int(trees.feature.max()) + 1)).astype(np.float32)
    for feature in features:
        odds = trees.start[which].astype(float)
        for root in roots:
            at = root
            while trees.low[at] != at:
                at = int(trees.low[at]) + int(feature[trees.feature[at]] > trees.threshold[at])
            odds += trees.odds[at]
        chances = np.empty(3, np.float32)
        ask(trees, which, feature, np.zeros(len(roots), np.uint32), chances)
        assert chances == pytest.approx(np.exp(odds) / (1 + np.exp(odds).sum()), abs=1e-4)
        assert chances.min() >= 0
        assert chances.sum() <= 1 + 1e-6


def test_small_spots_count_on_small_fruit_only() -> None:
    """What is two quads wide is a spot on a fruit of 24 quads; on one of twice the size it is no more than a pore."""
    large, planes = np.zeros((2 * N, 2 * N)), plain(8, 0.0)
    planes[DARK][31:33, 31:33] -= 24
    assert len(found(words(planes))) == 1
    large[62:64, 62:64] = -24
    skin = np.zeros((2 * N, 2 * N), np.uint32)
    skin[:] = np.clip(large, -127, 127).astype(np.int8).view(np.uint8)
    away = np.hypot(*(np.mgrid[: 2 * N, : 2 * N] - N + 0.5)) / (2 * RADIUS)
    root, spot = (2 * RADIUS, 0.0, 0.0, 2 * RADIUS), np.zeros((N_SPOTS, 6), np.float32)
    assert find_spots(2 * N, N - 0.5, N - 0.5, root, span_of(away), skin, forest(), spot_room(2 * N, forest()), spot) == 0


def test_chances_are_those_of_its_features() -> None:
    planes, room = plain(7), spot_room(N, forest())
    planes[DARK][disc(28, 36, 3)] -= 60
    spots = found(words(planes), room)
    chances = np.empty(3, np.float32)
    ask(forest(), int(RADIUS >= COARSE_QUADS), room.feature[0], room.node, chances)
    assert np.array_equal(spots[0, CHANCE_STEM : CHANCE_STEM + 3], chances)
    assert room.level.shape == (COARSE, COARSE)
