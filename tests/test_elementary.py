"""Exponential and logarithm."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from citrus_grade.spectra.elementary import exponential, logarithm

SMALL = st.lists(st.floats(-590.0, 0.5), min_size=1, max_size=40)
POSITIVE = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=40)


@njit
def each(function, values):
    out = np.empty_like(values)
    for i in range(len(values)):
        out[i] = function(values[i])
    return out


@given(SMALL)
def test_exponentials_are_numpys_to_the_last_digits(given_values):
    values = np.array(given_values)
    np.testing.assert_allclose(each(exponential, values), np.exp(values), rtol=3e-15)


def test_what_is_far_below_becomes_nothing():
    assert (each(exponential, np.array([-1e6, -750.0])) < 1e-250).all()


@given(POSITIVE)
def test_logarithms_are_numpys_to_the_last_digits(given_values):
    values = np.array(given_values)
    np.testing.assert_allclose(each(logarithm, values), np.log(values), rtol=1e-14, atol=1e-15)


@given(POSITIVE)
def test_a_number_alone_gives_the_bits_it_gives_among_others(given_values):
    values = np.array(given_values)
    alone = np.array([each(logarithm, values[i : i + 1])[0] for i in range(len(values))])
    assert alone.tobytes() == each(logarithm, values).tobytes()
