"""Encoder counts to cups: exact against rational arithmetic, without drift."""

from fractions import Fraction
from math import ceil, floor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.geometry import MILLI, Ruler, Unwrapper, locate, milli

RATIOS = st.fractions(min_value=8, max_value=20_000, max_denominator=1000)
TICKS = st.integers(-(10**7), 4 * 10**9)
STATIONS = st.integers(0, 4_000_000)
OFFSETS = st.integers(-(10**7), 10**7)
HALF = Fraction(1, 2)


def cups_at(tick: int, offset: int, station_milli: int, ratio: Fraction) -> Fraction:
    """Where a station lies on the belt, in cups, exactly."""
    return (tick + Fraction(offset, ratio.denominator)) / ratio - Fraction(station_milli, MILLI)


@given(TICKS, OFFSETS, STATIONS, RATIOS)
def test_the_nearest_cup_and_its_distance_are_exact(tick, offset, station, ratio):
    cup, ahead, unit = locate(tick, offset, station, ratio.numerator, ratio.denominator)
    exact = cups_at(tick, offset, station, ratio)
    assert cup == floor(exact + HALF)
    assert Fraction(ahead, unit) == exact - cup
    assert -HALF <= Fraction(ahead, unit) < HALF


@given(st.integers(-1000, 10**6), st.integers(1, 5000), st.integers(1, 1000))
def test_a_tie_between_two_cups_goes_to_the_later_one(cup, half_ticks, den):
    ratio = Fraction(2 * half_ticks, 1)
    tick = cup * 2 * half_ticks + half_ticks
    assert locate(tick, 0, 0, ratio.numerator, 1)[0] == cup + 1
    assert locate(tick - 1, 0, 0, ratio.numerator, 1)[0] == cup
    # An offset of less than a tick before the tie still belongs to the earlier cup.
    assert locate(tick * den, -1, 0, ratio.numerator * den, 1)[0] == cup


@given(st.integers(-1000, 10**7), st.floats(-0.499, 0.499), st.integers(0, 40), RATIOS)
def test_a_lane_ahead_of_lane_0_shows_the_same_cup_that_much_later(cup, phase, station, ratio):
    at = int(milli([station + phase])[0])
    tick = Ruler.of(ratio).tick_at(cup, at)
    seen, ahead, unit = locate(tick, 0, at, ratio.numerator, ratio.denominator)
    assert seen == cup
    assert 0 <= Fraction(ahead, unit) < 1 / ratio


def test_stations_are_rounded_to_thousandths():
    assert milli([0.0004, 0.25, 14, 3.9996]).tolist() == [0, 250, 14000, 4000]
    assert milli(()).dtype == np.int64


@given(st.integers(-100, 10**7), STATIONS, OFFSETS, RATIOS)
def test_tick_at_is_the_first_tick_at_which_a_cup_has_reached_a_station(cup, station, offset, ratio):
    tick = Ruler.of(ratio).tick_at(cup, station, offset)
    exact = (cup + Fraction(station, MILLI)) * ratio - Fraction(offset, ratio.denominator)
    assert tick == ceil(exact)


@given(st.integers(-100, 10**7), st.integers(0, 4000), OFFSETS, RATIOS)
def test_a_cup_has_passed_from_that_tick_on_and_not_before(cup, station, offset, ratio):
    ruler = Ruler.of(ratio)
    tick = ruler.tick_at(cup, station * MILLI, offset)
    assert ruler.passed(tick, station, offset) == cup
    assert ruler.passed(tick - 1, station, offset) == cup - 1


def test_ten_hours_of_an_uneven_ratio_lose_no_cup():
    ratio = Fraction(4096, 7)
    ruler, cups = Ruler.of(ratio), 10 * 3600 * 12
    assert ruler.passed(ruler.tick_at(cups, 0), 0) == cups
    assert ruler.tick_at(cups, 0) == ceil(cups * ratio)


@given(TICKS, OFFSETS, RATIOS)
def test_slip_is_the_distance_to_the_nearest_boundary_and_taking_it_off_leaves_none(tick, offset, ratio):
    ruler = Ruler.of(ratio)
    slip = ruler.slip(tick, offset)
    exact = tick * ratio.denominator + offset
    assert (exact - slip) % ruler.num == 0
    assert -ruler.num <= 2 * slip < ruler.num
    assert ruler.slip(tick, offset - slip) == 0


@given(st.integers(0, 10**6), st.integers(-1500, 1500))
def test_slip_names_what_the_counter_lost_or_won(cup, ticks):
    ruler = Ruler.of(Fraction(4096))
    assert ruler.slip(cup * 4096 + ticks) == ticks


@given(st.floats(0, 1000), RATIOS)
def test_lengths_are_rounded_to_whole_ticks(cups, ratio):
    assert abs(Ruler.of(ratio).ticks(cups) - Fraction(cups) * ratio) <= HALF + Fraction(1, 1000)


@given(st.sampled_from((16, 32)), st.data())
def test_a_wrapping_counter_becomes_one_rising_count(bits, data):
    half = 1 << (bits - 1)
    # Forward by up to nearly half the counter, with jitter and short moves backwards.
    step = st.one_of(st.integers(0, half - 1), st.integers(-half // 64, 0), st.integers(-2, 2))
    steps = data.draw(st.lists(step, max_size=60))
    start = data.draw(st.integers(0, (1 << bits) - 1))
    unwrap, true = Unwrapper(bits), start
    assert unwrap(start) == start
    for ticks in steps:
        true += ticks
        assert unwrap(true % (1 << bits)) == true


@given(st.sampled_from((16, 32, 64)), st.integers(0, 2**40), st.integers(-1000, 1000))
def test_an_unwrapper_goes_on_from_a_count_it_is_given(bits, last, ticks):
    assert Unwrapper(bits, last)((last + ticks) % (1 << bits)) == last + ticks
