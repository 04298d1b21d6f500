"""Linear maps between spectra."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from citrus_grade.spectra.bands import from_matrix, identity, interpolation, matrix_of, pass_through

NM = np.arange(700.0, 961.0, 2.0)


def through(made, rows):
    out = np.empty((len(rows), len(made.first)))
    for row, into in zip(rows, out, strict=True):
        pass_through(made.taps, made.first, made.run, row, into)
    return out


@given(st.integers(0, 2**32 - 1), st.integers(1, 5), st.integers(4, 30), st.integers(1, 30))
def test_any_matrix_is_a_band(seed, width, n_in, n_out):
    rng = np.random.default_rng(seed)
    matrix = np.zeros((n_in, n_out))
    for q in range(n_out):
        start = rng.integers(0, n_in)
        matrix[start : start + width, q] = rng.standard_normal(len(matrix[start : start + width, q]))
    made = from_matrix(matrix)
    np.testing.assert_array_equal(matrix_of(made, n_in), matrix)
    rows = rng.standard_normal((3, n_in))
    np.testing.assert_allclose(through(made, rows), rows @ matrix, atol=1e-12)


def test_an_identity_takes_a_window_as_it_is():
    rows = np.random.default_rng(0).standard_normal((2, 20))
    np.testing.assert_array_equal(through(identity(5, start=3), rows), rows[:, 3:8])


def test_cubic_interpolation_is_exact_for_cubics_and_near_for_spectra():
    want = np.linspace(701.3, 958.9, 90)
    made = interpolation(NM, want)
    cubic = ((NM - 800) / 50) ** 3 - 2 * ((NM - 800) / 50) ** 2
    np.testing.assert_allclose(through(made, cubic[None])[0], ((want - 800) / 50) ** 3 - 2 * ((want - 800) / 50) ** 2, atol=1e-10)
    band = np.exp(-0.5 * ((NM - 840) / 12) ** 2)
    np.testing.assert_allclose(through(made, band[None])[0], CubicSpline(NM, band)(want), atol=2e-4)


def test_points_an_axis_has_are_taken_to_the_bit():
    rows = np.random.default_rng(0).standard_normal((2, len(NM)))
    np.testing.assert_array_equal(through(interpolation(NM, NM[10:50:3]), rows), rows[:, 10:50:3])


@pytest.mark.parametrize(
    ("have", "want", "message"),
    [
        (NM, np.array([690.0, 800.0]), "needed are 690 to 800"),
        (NM[::-1], NM, "greater than the one before"),
        (NM[:3], NM[:2], "4 points"),
    ],
)
def test_axes_that_cannot_be_brought_together_are_refused(have, want, message):
    with pytest.raises(ValueError, match=message):
        interpolation(have, want)
