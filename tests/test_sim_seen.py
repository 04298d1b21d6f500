"""What the cameras could see of a simulated fruit: shares and counts that geometry gives as well."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade.config import load as load_config
from citrus_grade.drivers.sim.belt import CUP_SINGLE
from citrus_grade.drivers.sim.orchard import BLEMISH_KINDS, grow
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.drivers.sim.seen import LEAST_COS, seen
from citrus_grade.drivers.sim.skin import blemish_share, green_share_truth
from citrus_grade.templates import LINE

DARK_SPOT, ROT = BLEMISH_KINDS.index("dark_spot"), BLEMISH_KINDS.index("rot")


def ball(*blemishes: tuple[tuple[float, float, float], float], kind: int = ROT) -> NDArray[Any]:
    """Return one sphere of 60 mm with round blemishes: direction and radius in mm of each."""
    fruit = grow(5, 1)
    fruit["diameter_mm"] = fruit["height_mm"] = 60.0
    fruit["green_share"] = 0.0
    fruit["n_blemishes"] = len(blemishes)
    fruit["blemish_kind"], fruit["blemish_aspect"], fruit["blemish_strength"] = kind, 1.0, 0.9
    for i, (direction, radius_mm) in enumerate(blemishes):
        fruit["blemish_direction"][0, i] = np.asarray(direction) / np.linalg.norm(direction)
        fruit["blemish_radius_mm"][0, i] = radius_mm
    return fruit


def about_y(*degrees: float) -> NDArray[np.float64]:
    """Return poses (1, n, 3, 3) of a fruit that turns about its stem's axis and at 0 shows its own +y to the lens."""
    stem_along_y = np.array([[-1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    turn = np.radians(degrees)
    c, s, zero, one = np.cos(turn), np.sin(turn), np.zeros_like(turn), np.ones_like(turn)
    rolled = np.moveaxis(np.array([[c, zero, s], [zero, one, zero], [-s, zero, c]]), 2, 0)
    return np.asarray(rolled @ stem_along_y)[None]


ALL_ROUND = tuple(range(0, 360, 10))


def test_one_view_shows_the_cap_that_faces_it() -> None:
    for least in (0.0, LEAST_COS, 0.7):
        assert seen(ball(), about_y(0), least)["coverage"][0] == pytest.approx((1 - least) / 2, abs=0.002)


def test_a_whole_turn_hides_the_ends_of_the_axis_alone() -> None:
    row = seen(ball(), about_y(*ALL_ROUND))[0]
    assert row["coverage"] == pytest.approx(np.sqrt(1 - LEAST_COS**2), abs=0.003)
    assert not row["stem_seen"]
    assert not row["stylar_seen"]
    assert row["stem"] == pytest.approx((0.0, 1.0, 0.0))
    assert row["stylar"] == pytest.approx((0.0, -1.0, 0.0))


def test_flat_fruit_shows_by_its_normals() -> None:
    # Stem to the lens, a fruit of half the height: the zone with the least cosine lies where tan(normal) asks for it.
    fruit = ball()
    fruit["height_mm"] = 30.0
    facing = np.eye(3)[None, None]
    a, c = 30.0, 15.0
    z = c / np.sqrt(1 + (a / c) ** 2 * (1 / LEAST_COS**2 - 1))  # of the zone, from x^2 + z^2 a^2/c^2 = a^2

    def zone(low: float, high: float) -> float:
        """Return the area of a spheroid between two heights."""
        at = np.linspace(low, high, 20001)
        strip = np.sqrt(a * a + (a * a / (c * c) - 1) * (a * at / c) ** 2)
        return float(2 * np.pi * ((strip[1:] + strip[:-1]) / 2 * np.diff(at)).sum())

    row = seen(fruit, facing)[0]
    assert row["coverage"] == pytest.approx(zone(z, c) / zone(-c, c), abs=0.005)
    assert row["stem_seen"]
    assert not row["stylar_seen"]


def test_a_blemish_is_as_large_as_drawn_and_a_part_of_what_is_seen() -> None:
    fruit = ball(((0.0, 1.0, 0.0), 6.0))
    row = seen(fruit, about_y(0))[0]
    assert row["blemish_mm"][0] == pytest.approx(12.0, rel=0.12)
    assert np.isnan(row["blemish_mm"][1:]).all()
    assert row["blemish_seen"][0] == 1.0
    own_mm2 = np.pi / 4 * row["blemish_mm"][0] ** 2
    assert row["blemish_share"] == pytest.approx(own_mm2 / (row["coverage"] * np.pi * 60.0**2), rel=0.01)
    assert row["countable"] == 1
    away = seen(fruit, about_y(180))[0]
    assert (away["blemish_seen"][0], away["blemish_share"], away["countable"]) == (0.0, 0.0, 0)


def test_seen_from_all_sides_the_shares_are_those_of_the_whole_surface() -> None:
    fruit = grow(31, 60)
    six = np.concatenate([about_y(0, 90, 180, 270)[0], [np.eye(3), np.diag((1.0, -1.0, -1.0))]])
    rows = seen(fruit, np.repeat(six[None], len(fruit), axis=0))
    assert rows["coverage"] == pytest.approx(np.ones(len(fruit)))
    assert rows["blemish_share"] == pytest.approx(blemish_share(fruit), abs=0.006)
    assert rows["green_share"] == pytest.approx(green_share_truth(fruit), abs=0.012)


def test_half_of_a_blemish_makes_it_count() -> None:
    edge = np.degrees(np.arccos(LEAST_COS))
    for inward, counts in ((4.0, 1), (-4.0, 0)):
        at = np.radians(edge - inward)
        fruit = ball(((np.sin(at), np.cos(at), 0.0), 8.0))
        row = seen(fruit, about_y(0))[0]
        assert 0.2 < row["blemish_seen"][0] < 0.8
        assert (row["blemish_seen"][0] > 0.5) == (counts == 1)
        assert row["countable"] == counts


def test_touching_blemishes_are_one_and_specks_none() -> None:
    def at(degrees: float) -> tuple[float, float, float]:
        return float(np.sin(np.radians(degrees))), float(np.cos(np.radians(degrees))), 0.0

    apart = seen(ball((at(-20), 6.0), (at(20), 6.0)), about_y(0))[0]
    assert (apart["blemish_group"].tolist()[:3], apart["countable"]) == ([0, 1, -1], 2)
    overlapping = seen(ball((at(-6), 6.0), (at(6), 6.0)), about_y(0))[0]
    assert (overlapping["blemish_group"].tolist()[:3], overlapping["countable"]) == ([0, 0, -1], 1)
    both_mm2 = np.pi / 4 * np.sum(apart["blemish_mm"][:2] ** 2)
    assert overlapping["blemish_share"] * overlapping["coverage"] * np.pi * 60**2 < 0.88 * both_mm2
    bridged = seen(ball((at(-20), 6.0), (at(20), 6.0), (at(0), 8.0)), about_y(0))[0]
    assert (bridged["blemish_group"].tolist()[:3], bridged["countable"]) == ([0, 0, 0], 1)
    speck = seen(ball((at(0), 0.8), kind=DARK_SPOT), about_y(0))[0]
    assert speck["blemish_mm"][0] < 2.0
    assert speck["countable"] == 0


def test_what_the_stem_end_covers_does_not_count() -> None:
    fruit = ball(((0.0, 0.0, 1.0), 2.0), kind=DARK_SPOT)
    fruit["stem_radius_mm"] = 5.5
    row = seen(fruit, np.eye(3)[None, None])[0]
    assert row["blemish_under_end"][0]
    assert row["countable"] == 0


def test_the_plant_knows_what_its_views_showed() -> None:
    config = load_config(LINE)
    truth = SimPlant(config, SimOptions(seed=2, seconds=1.0)).truth()
    alone = truth["load"] == CUP_SINGLE
    rows = truth["seen"]
    assert not rows["coverage"][~alone].any()
    assert 0.90 < rows["coverage"][alone].mean() < 0.95
    stuck = SimPlant(config, SimOptions(seed=2, seconds=1.0, stuck_cups=1.0)).truth()
    assert stuck["seen"]["coverage"][alone] == pytest.approx(np.full(alone.sum(), (1 - LEAST_COS) / 2), abs=0.06)
