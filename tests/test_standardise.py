"""Maps from a slave's spectra to the master's, and projections: what they are made to undo they undo, and no more."""

import numpy as np
import pytest

from citrus_grade.calibration.pls import fit_path
from citrus_grade.calibration.standardise import away_from, direct, of_each, piecewise

RNG = np.random.default_rng(5)
CHANNELS = 60
BANDS = np.exp(-0.5 * ((np.arange(CHANNELS)[None, :] - RNG.uniform(-5, 65, 12)[:, None]) / 5) ** 2)


def spectra(n, shift=0.0):
    """Sums of smooth bands; ``shift`` moves them by so many channels."""
    amounts = np.abs(RNG.normal(1, 0.4, (n, 12)))
    own = amounts @ BANDS
    at = np.arange(CHANNELS)
    moved = np.array([np.interp(at + shift, at, row) for row in own])
    return own, moved


@pytest.mark.parametrize("make", [direct, lambda m, s: piecewise(m, s, 2)], ids=["direct", "piecewise"])
def test_equal_instruments_need_no_map(make):
    own, _same = spectra(40)
    new, _same = spectra(10)
    assert make(own, own)(new) == pytest.approx(new, abs=5e-3)


@pytest.mark.parametrize("shift", [-1.6, 0.4, 1.0])
def test_piecewise_undoes_a_shift_of_wavelengths_on_new_samples(shift):
    own, moved = spectra(25, shift)
    new, new_moved = spectra(20, shift)
    standard = piecewise(own, moved, 2)
    inside = slice(4, -4)
    before = np.abs(new_moved - new)[:, inside].max()
    assert np.abs(standard(new_moved) - new)[:, inside].max() < 0.05 * before


def test_direct_repeats_its_own_samples_exactly():
    own, _same = spectra(10)
    other = own @ RNG.normal(0, 0.3, (CHANNELS, CHANNELS)) + 0.7
    assert direct(own, other)(other) == pytest.approx(own, abs=1e-6)


def test_piecewise_touches_only_its_window():
    own, moved = spectra(25, 0.5)
    matrix = piecewise(own, moved, 3).matrix
    apart = np.abs(np.subtract.outer(np.arange(CHANNELS), np.arange(CHANNELS)))
    assert not matrix[apart > 6].any()
    assert matrix[:, 30].nonzero()[0].tolist() == list(range(27, 34))


def test_a_folded_map_predicts_what_the_mapped_spectra_do():
    own, moved = spectra(30, 0.8)
    path = fit_path(own, own[:, 20] - own[:, 41], 4)
    for standard in (direct(own, moved), piecewise(own, moved, 1), away_from(moved - own, 2)):
        assert standard.fold(path).predict(moved) == pytest.approx(path.predict(standard(moved)), abs=1e-9)


def test_a_projection_removes_given_directions_and_nothing_else():
    directions = RNG.normal(0, 1, (2, CHANNELS))
    own, _same = spectra(10)
    away = away_from(RNG.normal(0, 1, (30, 2)) @ directions, 2)
    assert away(directions) == pytest.approx(0, abs=1e-12)
    assert away(own + RNG.normal(0, 1, (10, 2)) @ directions) == pytest.approx(away(own), abs=1e-12)
    assert away(away(own)) == pytest.approx(away(own), abs=1e-12)
    square = np.linalg.qr(directions.T)[0]
    beside = own - own @ square @ square.T
    assert away(beside) == pytest.approx(beside, abs=1e-12)


def test_a_fruit_s_own_level_is_no_difference():
    fruit = np.array([3, 7, 3, 3, 7])
    own = RNG.normal(0, 1, (8, CHANNELS))[fruit]
    assert of_each(own, fruit) == pytest.approx(0, abs=1e-15)
    names = np.array(["b", "a", "b", "b", "a"])
    plain = RNG.normal(0, 1, (5, CHANNELS))
    assert np.array_equal(of_each(plain, names), of_each(plain, fruit))
