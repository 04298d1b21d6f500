"""Exponentials and logarithms of many numbers at once."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from citrus_grade.spectra.elementary import exponentials, logarithms

SMALL = st.lists(st.floats(-690.0, 0.5), min_size=1, max_size=40)
POSITIVE = st.lists(st.floats(1e-9, 1e9), min_size=1, max_size=40)


@given(SMALL)
def test_exponentials_are_numpys_to_the_last_digits(given_values):
    values = np.array(given_values)
    expected = np.exp(values)
    exponentials(values, np.empty_like(values))
    np.testing.assert_allclose(values, expected, rtol=3e-15)


def test_what_is_far_below_becomes_nothing():
    values = np.array([-1e6, -750.0])
    exponentials(values, np.empty(2))
    assert (values < 1e-300).all()


@given(POSITIVE)
def test_logarithms_are_numpys_to_the_last_digits(given_values):
    values = np.array(given_values)
    expected = -0.5 * np.log(values)
    logarithms(values, np.empty_like(values), -0.5)
    np.testing.assert_allclose(values, expected, rtol=1e-14, atol=1e-15)
