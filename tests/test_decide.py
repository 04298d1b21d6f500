"""The decision: size and mass, the first rule, the outlet, and a reason for everything else."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.grading.chance import bind
from citrus_grade.grading.classifier import nobody
from citrus_grade.grading.decide import BURST, OutletBooks, Routes, Rules, Scale, decide, first_rule, magnification
from citrus_grade.grading.features import CAMERA, N_CAMERA
from citrus_grade.messages import Reason
from citrus_grade.spectra.traits import MISSING, OK, OUT_OF_DOMAIN, SATURATED
from citrus_grade.tables import BRIDGING, DECISION, DOUBLE, EMPTY, FRUIT_SEEN, UNSEEN, empty

PX_PER_MM, TICKS, LEAD = 1.28, 4096, 2458
N_VIEWS, LANES = 8, 6
ONE_EACH = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
OPTICS = np.array([PX_PER_MM, 1200.0, 31.0])


class Grader:
    """Six lanes, three outlets at stations 24, 28 and 32, one rule for each of them, large fruit first."""

    def __init__(self, allowed=ONE_EACH, low=(67, 50, 20), needs_spectrum=False, interval=(0, 0, 0), gap=(0, 0, 0)):
        n = len(allowed)
        bounds = np.full((n, N_CAMERA + 4), -np.inf)
        bounds[:, 0] = low[:n]
        self.rules = Rules(bounds, np.full_like(bounds, np.inf), np.array(allowed, bool), needs_spectrum, bind((), {}))
        stations = np.tile(np.array([24000, 28000, 32000]), (LANES, 1))
        self.routes = Routes(stations, np.array(interval, np.int64), np.array(gap, np.int64), TICKS, 1, LEAD)
        self.scale = Scale(OPTICS, np.tile([0.0, 1.0], (LANES, 1)), np.full(LANES, 0.5), np.array([0.90, 0.03]))
        self.books = OutletBooks(
            np.zeros(3, np.int64), np.ones((LANES, 3), bool), np.ones((LANES, 3), bool), np.full((LANES, 3), -(1 << 40), np.int64)
        )
        self.lane_on = np.ones(LANES, bool)
        self.classifier = nobody()

    def decide(self, rows, status=OK, head=0, offset=0):
        """Decide rows of one cup, with the encoder ``head`` ticks past the pulse."""
        tick = int(rows["cup"][0] + 17) * TICKS
        codes = np.broadcast_to(np.uint8(status), len(rows)).copy()
        where = (self.scale, self.rules, self.routes, self.books, self.classifier)
        n = decide(rows, codes, self.lane_on, N_VIEWS, *where, tick, tick + head, offset)
        assert n == (rows["outlet"] < 3).sum() == (rows["fire_tick"] >= 0).sum()
        return rows

    def one(self, diameter_mm=60.0, lane=0, cup=100, status=OK, head=0, **fields):
        return self.decide(fruit(diameter_mm, lane, cup, **fields), status, head)[0]


def nominal_px(diameter_mm, shape=0.9):
    """Size in the picture of a fruit of a known diameter: a pinhole camera, the widest silhouette (d + h) / 4 up."""
    z = diameter_mm * (1 + shape) / 4
    return PX_PER_MM * diameter_mm * (1200 - 31) / (1200 - z)


def fruit(diameter_mm=60.0, lane=0, cup=100, shape=0.9, state=FRUIT_SEEN, views=N_VIEWS, **fields):
    rows = empty(DECISION, np.size(lane))
    rows["lane"], rows["cup"], rows["state"], rows["views"], rows["fruit_views"] = lane, cup, state, views, views
    rows["diameter_px"] = nominal_px(np.asarray(diameter_mm), shape)
    rows["height_px"], rows["diameter_sigma_px"], rows["height_sigma_px"] = rows["diameter_px"] * shape, 0.3, 0.4
    rows["green_pct"], rows["blemish_pct"], rows["trait"] = 1.0, 1.0, (12.0, 0.8)
    rows["coverage_pct"], rows["blemish_count"], rows["largest_blemish_share"] = 92.0, 1, 0.05
    for name, value in fields.items():
        rows[name] = value
    return rows


def reasons(row):
    return {reason for reason in Reason if int(row["reasons"]) >> reason & 1}


@given(st.floats(30, 120), st.floats(0.6, 1))
def test_size_solves_the_pinhole_camera(diameter_mm, shape):
    row = Grader().one(diameter_mm, shape=shape)
    assert row["diameter_mm"] == pytest.approx(diameter_mm, rel=1e-9)
    assert row["height_mm"] == pytest.approx(diameter_mm * shape, rel=1e-9)
    assert row["shape_index"] == pytest.approx(shape, rel=1e-9)


@given(st.floats(30, 120), st.floats(0.6, 1))
def test_mass_is_the_density_of_an_ellipsoid(diameter_mm, shape):
    row = Grader().one(diameter_mm, shape=shape)
    volume_ml = math.pi / 6 * diameter_mm**2 * (diameter_mm * shape) / 1000
    assert row["volume_ml"] == pytest.approx(volume_ml, rel=1e-9)
    assert row["mass_g"] == pytest.approx(0.90 * volume_ml, rel=1e-9)
    parts = (2 * row["diameter_sigma_mm"] / row["diameter_mm"], row["height_sigma_mm"] / row["height_mm"], 0.03 / 0.90)
    assert row["mass_sigma_g"] == pytest.approx(row["mass_g"] * math.hypot(*parts), rel=1e-9)
    assert row["diameter_sigma_mm"] == pytest.approx(math.hypot(0.3 / PX_PER_MM, 0.5), rel=1e-9)


def test_a_lanes_calibration_is_its_own():
    grader = Grader()
    grader.scale.scale[2] = (1.0, 1.02)
    assert grader.one(60.0, lane=2)["diameter_mm"] == pytest.approx(1 + 1.02 * 60)
    assert grader.one(60.0, lane=3)["diameter_mm"] == pytest.approx(60)


@given(st.lists(st.floats(20, 120), min_size=1, max_size=20))
def test_magnification_works_on_numbers_and_arrays_alike(nominal):
    assert magnification(np.array(nominal), 0.9, OPTICS).tolist() == [magnification(v, 0.9, OPTICS) for v in nominal]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=3, max_size=3), st.data())
def test_the_first_rule_whose_every_bound_holds_wins(values, data):
    bound = st.floats(-100, 100) | st.sampled_from([-math.inf, math.inf, *(v for v in values if v == v)])
    table = st.lists(st.lists(bound, min_size=3, max_size=3), min_size=4, max_size=4)
    low, high = np.array(data.draw(table)), np.array(data.draw(table))

    def holds(value, lowest, highest):
        return (lowest == -math.inf and highest == math.inf) or lowest <= value < highest

    rows = [all(map(holds, values, low[rule].tolist(), high[rule].tolist())) for rule in range(4)]
    rules = Rules(low, high, np.ones((4, 1), bool), False, bind((), {}))
    assert first_rule(np.array(values), rules) == (rows.index(True) if True in rows else -1)


@pytest.mark.parametrize("name", [name for name in CAMERA if name in (DECISION.names or ())])
def test_a_feature_is_where_a_plan_looks_for_it(name):
    grader = Grader(allowed=((1, 0, 0),), low=(-math.inf,))
    expected = grader.one()[name]
    at = CAMERA.index(name)
    grader.rules.low[0, at], grader.rules.high[0, at] = expected, np.nextafter(expected, np.inf)
    assert grader.one()["rule"] == 0
    grader.rules.low[0, at] = grader.rules.high[0, at]
    grader.rules.high[0, at] = np.inf
    assert grader.one()["reason"] == Reason.NO_RULE


def test_the_maturity_index_is_sugar_over_acid_and_unknown_without_acid():
    grader = Grader()
    low = np.full((1, N_CAMERA + 5), -np.inf)
    low[0, -1] = 15.0
    grader.rules = Rules(low, np.full_like(low, np.inf), np.array([[True, False, False]]), True, bind((), {}))
    assert grader.one(trait=(12.0, 0.8))["rule"] == 0
    assert grader.one(trait=(12.0, 0.81))["reason"] == Reason.NO_RULE
    assert grader.one(trait=(12.0, 0.0))["reason"] == Reason.NO_RULE
    assert grader.one(trait=(12.0, np.nan))["reason"] == Reason.NO_RULE


def test_a_graded_fruit_is_fired_when_it_reaches_the_outlet():
    row = Grader().one(60.0)
    assert (row["reason"], row["reasons"], row["rule"], row["outlet"]) == (Reason.GRADED, 0, 1, 1)
    assert row["fire_tick"] == (100 + 28) * TICKS


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": EMPTY, "views": N_VIEWS, "fruit_views": 0}, Reason.EMPTY),
        ({"state": DOUBLE}, Reason.DOUBLE),
        ({"state": BRIDGING}, Reason.BRIDGING),
        ({"state": UNSEEN, "views": 0}, Reason.MISSING_VIEW),
        ({"views": N_VIEWS - 1}, Reason.MISSING_VIEW),
        ({"status": MISSING}, Reason.MISSING_SPECTRUM),
        ({"status": SATURATED}, Reason.SATURATED),
        ({"status": OUT_OF_DOMAIN}, Reason.OUT_OF_DOMAIN),
        ({"head": 12 * TICKS}, Reason.LATE),
        ({"diameter_mm": 10.0}, Reason.NO_RULE),
    ],
)
def test_what_can_not_be_graded_goes_to_the_default_outlet_and_says_why(fields, reason):
    row = Grader(needs_spectrum=True).one(**fields)
    assert row["reason"] == reason
    assert reasons(row) == {reason}
    assert (row["outlet"], row["fire_tick"]) == (3, -1)


def test_a_plan_that_asks_for_no_trait_needs_no_spectrum():
    assert Grader(needs_spectrum=False).one(status=MISSING)["reason"] == Reason.GRADED


def test_a_lane_that_is_off_fires_nothing():
    grader = Grader()
    grader.lane_on[2] = False
    rows = grader.decide(fruit(60.0, lane=np.arange(LANES)))
    assert rows["reason"].tolist() == [0, 0, Reason.LANE_OFF, 0, 0, 0]
    assert grader.one(lane=2, state=EMPTY, fruit_views=0)["reason"] == Reason.EMPTY


def test_all_reasons_are_kept_and_the_first_is_named():
    row = Grader(needs_spectrum=True).one(state=DOUBLE, views=3, status=SATURATED)
    assert reasons(row) == {Reason.DOUBLE, Reason.MISSING_VIEW, Reason.SATURATED}
    assert row["reason"] == Reason.DOUBLE


def test_a_fruit_without_a_size_takes_no_rule_that_asks_for_one():
    row = Grader().one(diameter_px=np.nan)
    assert row["reason"] == Reason.NO_RULE
    assert np.isnan(row["mass_g"])


@given(st.integers(0, 12 * TICKS))
def test_late_is_less_than_the_lead_before_the_outlet(head):
    row = Grader().one(60.0, head=head)
    remaining = (100 + 28) * TICKS - (100 + 17) * TICKS - head
    assert row["reason"] == (Reason.GRADED if remaining >= LEAD else Reason.LATE)


def test_an_outlet_that_can_still_be_reached_takes_what_another_is_too_near_for():
    grader = Grader(allowed=((1, 0, 1),), low=(20,))
    assert grader.one(head=7 * TICKS)["outlet"] == 2


def test_a_full_outlet_is_passed_over_until_it_is_clear():
    grader = Grader()
    grader.books.open[0, 1] = False
    row = grader.one(60.0)
    assert (row["reason"], row["rule"], row["outlet"]) == (Reason.OUTLET_FULL, 1, 3)
    assert grader.one(60.0, lane=1)["reason"] == Reason.GRADED
    grader.books.open[0, 1] = True
    assert grader.one(60.0)["reason"] == Reason.GRADED


def test_a_jammed_outlet_is_a_fault_and_its_neighbour_serves():
    grader = Grader(allowed=((0, 1, 1),), low=(20,))
    grader.books.sound[0, 1] = False
    assert grader.one(60.0)["outlet"] == 2
    grader.books.sound[0, 2] = False
    assert reasons(grader.one(60.0)) == {Reason.OUTLET_FAULT}


def test_fruit_is_balanced_over_the_outlets_of_a_rule():
    grader = Grader(allowed=((1, 1, 1),), low=(20,))
    outlets = np.concatenate([grader.decide(fruit(60.0, np.arange(LANES), cup))["outlet"] for cup in range(100, 150)])
    assert np.bincount(outlets, minlength=4).tolist() == [100, 100, 100, 0]


@given(st.integers(400, 20_000), st.lists(st.integers(0, 3), min_size=1, max_size=400))
def test_an_outlet_never_gets_more_than_its_capacity_and_one_burst(interval, steps):
    """The generic cell rate algorithm: in any window of length ``t`` at most ``t / interval + burst + 1`` fruit."""
    grader = Grader(allowed=((1, 0, 0),), low=(20,), interval=(interval, 0, 0))
    cup, given_at = 100, []
    for step in steps:
        cup += step
        row = grader.one(cup=cup)
        assert row["reason"] in (Reason.GRADED, Reason.OUTLET_FULL)
        if row["reason"] == Reason.GRADED:
            given_at.append((cup + 17) * TICKS)
            # Two fruit on one lane can't share a cup: forget it, capacity is all that is looked at.
            grader.books.last_cup[:] = -(1 << 40)
    for first, start in enumerate(given_at):
        for last in range(first, len(given_at)):
            assert last - first + 1 <= (given_at[last] - start) / interval + BURST + 1


def test_an_outlet_below_its_capacity_refuses_nothing():
    grader = Grader(allowed=((1, 0, 0),), low=(20,), interval=(TICKS, 0, 0))
    assert all(grader.one(cup=cup)["reason"] == Reason.GRADED for cup in range(100, 300))


@pytest.mark.parametrize("gap", [0, 1, 3])
def test_an_outlet_rests_for_its_gap_on_each_lane(gap):
    grader = Grader(allowed=((1, 0, 0),), low=(20,), gap=(gap, 0, 0))
    fired = [cup for cup in range(100, 140) if grader.one(cup=cup)["reason"] == Reason.GRADED]
    assert fired == list(range(100, 140, gap + 1))
    assert grader.one(cup=139, lane=1)["reason"] == Reason.GRADED


@given(st.permutations(range(LANES)))
def test_what_a_lane_measures_does_not_depend_on_its_neighbours(order):
    sizes = np.array([45.0, 55.0, 60.0, 66.0, 70.0, 78.0])
    names = ("diameter_mm", "height_mm", "mass_g", "mass_sigma_g", "volume_ml", "rule", "reason")
    whole = Grader().decide(fruit(sizes, np.arange(LANES)))
    order = np.array(order)
    permuted = Grader().decide(fruit(sizes[order], np.arange(LANES)))
    for name in names:
        assert permuted[name].tobytes() == whole[name][order].tobytes()
