"""Turns of a fruit measured from its skin, on skin whose turns are known by construction."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.imaging.disc import BLUE, DARK, GREEN, INNER
from citrus_grade.imaging.skin_match import blank_skin, look
from citrus_grade.imaging.turn import measure_turns, usual_turn
from citrus_grade.tables import GRID

AXIS = (2 * np.arange(GRID) + 1) / GRID - 1
X, Y = np.meshgrid(AXIS, AXIS)
ON_DISC = X * X + Y * Y <= INNER
Q = np.stack([X, Y, np.sqrt(np.maximum(1 - X * X - Y * Y, 0))])
SEEDS = st.integers(0, 10_000)


def about(x=0.0, y=0.0, z=0.0):
    """Rotation by a vector."""
    angle = np.sqrt(x * x + y * y + z * z) or 1.0
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) / angle
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross


def chain(steps):
    """Rotations of every view, from those between neighbours."""
    turns = [np.eye(3)]
    for step in steps:
        turns.append(step @ turns[-1])
    return np.array(turns)


def texture(turn, seed, marks=120, noise=2.0, still=0.0):
    """A view of a fruit with dark and greenish marks; ``still`` is shading that does not turn with it."""
    rng = np.random.default_rng(seed)
    where = rng.standard_normal((marks, 3))
    where /= np.linalg.norm(where, axis=1, keepdims=True)
    width, dark, green = rng.uniform(0.05, 0.15, marks), rng.normal(0, 12, marks), rng.normal(0, 8, marks)
    shape = np.exp((np.einsum("mk,kji->mji", where @ turn.T, Q) - 1) / width[:, None, None] ** 2)
    out = np.zeros((3, GRID, GRID))
    out[DARK] = np.tensordot(dark, shape, 1) + still * (np.sin(5 * X) + np.exp(-((X - 0.2) ** 2 + Y**2) / 0.02))
    out[GREEN] = np.tensordot(green, shape, 1)
    out += noise * np.random.default_rng([seed, int(1e6 * abs(turn[0, 2]))]).standard_normal(out.shape)
    return (np.clip(np.rint(out), -127, 127) * ON_DISC).astype(np.int8)


def measured(textures, expected):
    skin, turns, score = blank_skin(len(textures)), expected.copy(), np.full(len(textures) - 1, np.nan)
    for v, one in enumerate(textures):
        look(np.stack([*one, np.zeros_like(one[0])], axis=-1).view(np.uint32)[..., 0], skin, v)
    measure_turns(skin, len(textures), turns, score)
    return turns, score


def off_deg(found, true):
    """Angles between rotations."""
    trace = np.einsum("nij,nij->n", found, true)
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def steps_of(turns):
    return turns[1:] @ turns[:-1].transpose(0, 2, 1)


@settings(max_examples=15)
@given(SEEDS, st.floats(0.25, 0.6), st.lists(st.floats(-0.12, 0.12), min_size=5, max_size=5), st.floats(-0.08, 0.08))
def test_irregular_turns_are_found_to_a_cell(seed, usual, deviation, yaw):
    steps = np.array([about(yaw, usual + more, -yaw / 2) for more in deviation])
    turns, score = measured([texture(t, seed) for t in chain(steps)], chain([about(y=usual)] * 5))
    assert off_deg(steps_of(turns), steps).max() < 6
    assert score.min() > 0.5


def test_a_turn_of_two_views_that_overlap_little_is_found_nearly_always():
    step = about(0.1, 1.15, -0.1)
    off = []
    for seed in range(80):
        turns, _ = measured([texture(np.eye(3), seed), texture(step, seed)], chain([about(y=1.05)]))
        off.append(off_deg(turns[1:], step[None])[0])
    assert np.mean(np.array(off) < 3) > 0.95


@settings(max_examples=10)
@given(SEEDS)
def test_shading_that_stands_still_does_not_hold_the_fruit(seed):
    steps = np.array([about(y=0.42)] * 5)
    turns, _ = measured([texture(t, seed, still=8.0) for t in chain(steps)], chain([about(y=0.3)] * 5))
    assert off_deg(steps_of(turns), steps).max() < 6


@given(SEEDS, st.floats(0.2, 1.2))
def test_plain_skin_says_nothing_and_what_is_expected_stays(seed, usual):
    expected = chain([about(0.02, usual, 0.05)] * 7)
    turns, score = measured([np.zeros((3, GRID, GRID), np.int8)] * 8, expected)
    assert turns == pytest.approx(expected, abs=1e-9)
    assert not score.any()


@settings(max_examples=10)
@given(SEEDS)
def test_noise_says_next_to_nothing(seed):
    expected = chain([about(y=0.4)] * 7)
    turns, score = measured([texture(t, seed, marks=0) for t in expected], expected)
    assert np.count_nonzero(score) <= 1
    assert np.median(off_deg(steps_of(turns), steps_of(expected))) < 1


@settings(max_examples=10)
@given(SEEDS, st.integers(1, 6))
def test_a_plain_view_turns_as_its_fruit_usually_does(seed, plain):
    steps = np.array([about(0.08, 0.5, 0.0)] * 7)
    textures = [texture(t, seed) for t in chain(steps)]
    textures[plain][:] = 0
    turns, score = measured(textures, chain([about(y=0.4)] * 7))
    assert list(np.flatnonzero(score == 0)) == [plain - 1, plain]
    assert off_deg(steps_of(turns), steps).max() < 6


@settings(max_examples=10)
@given(SEEDS)
def test_views_meet_again_after_a_whole_turn(seed):
    steps = np.array([about(0.05, 1.05 + 0.02 * k, 0.03) for k in range(7)])
    true = chain(steps)
    turns, _ = measured([texture(t, seed) for t in true], chain([about(y=1.0)] * 7))
    assert off_deg(turns[6:], true[6:]).max() < 3


@settings(max_examples=10)
@given(SEEDS, st.integers(2, 6))
def test_a_missing_view_leaves_the_others_their_turns(seed, missing):
    true, expected = (np.delete(chain([about(y=usual)] * 8), missing, axis=0) for usual in (0.5, 0.42))
    turns, _ = measured([texture(t, seed) for t in true], expected)
    assert off_deg(turns, true).max() < 5


@given(SEEDS, st.integers(1, 8))
def test_results_are_rotations_the_first_as_given_and_the_same_again(seed, n):
    first = about(0.2, -0.3, 0.1)
    true = chain([about(y=0.7)] * (n - 1)) @ first
    textures = [texture(t, seed) for t in true]
    one, score = measured(textures, true)
    again, score_again = measured(textures, true)
    assert one @ one.transpose(0, 2, 1) == pytest.approx(np.broadcast_to(np.eye(3), one.shape), abs=1e-12)
    assert np.array_equal(one[0], first)
    assert np.array_equal(one, again)
    assert np.array_equal(score, score_again)


@given(SEEDS)
def test_only_lightness_and_green_are_looked_at(seed):
    true = chain([about(y=0.5)] * 2)
    textures = [texture(t, seed) for t in true]
    one, _ = measured(textures, true)
    for patch in textures:
        patch[BLUE] = 100
    other, _ = measured(textures, true)
    assert np.array_equal(one, other)


def test_the_usual_turn_is_the_median_of_pairs_that_agree():
    steps = np.array([about(0.1, y, -0.1) for y in (0.1, 0.4, 0.42, 0.44, 2.0)])
    assert usual_turn(steps, np.array([0.2, 0.7, 0.9, 0.8, 0.1])) == pytest.approx(0.42, abs=0.01)
