"""Temperature's directions are taken out where they matter, and only as many."""

import numpy as np
import pytest

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.pls import fit_path
from citrus_grade.calibration.temperature import steady

CHANNELS = 50
AT = np.arange(CHANNELS)
BANDS = np.exp(-0.5 * ((AT[None, :] - np.array([5, 13, 22, 30, 44])[:, None]) / 5) ** 2)
WATER = np.gradient(np.exp(-0.5 * ((AT - 27) / 9) ** 2))


def orchard(seed, per_degree):
    """Training fruit, all at 20 degrees, of 6 lots; 15 fruit at four temperatures; fruit of the same kind at 5 degrees."""
    rng = np.random.default_rng(seed)

    def measured(amounts, celsius):
        noise = 0.003 * rng.standard_normal((len(amounts), CHANNELS))
        return amounts @ BANDS + per_degree * (celsius - 20)[:, None] * WATER + noise

    amounts, tests = rng.normal(0, 1, (120, 5)), rng.normal(0, 1, (80, 5))
    some = np.repeat(rng.normal(0, 1, (15, 5)), 4, axis=0)
    repeats = measured(some, np.tile([5.0, 12, 20, 28], 15))
    x = measured(amounts, np.full(120, 20.0))
    cold = measured(tests, np.full(80, 5.0))
    return x, 11 + amounts[:, 2], np.arange(120) % 6, repeats, np.repeat(np.arange(15), 4), cold, 11 + tests[:, 2]


def biases(seed, per_degree):
    """Mean error at 5 degrees: of the steadied model, and of the plain one."""
    x, y, groups, repeats, fruit, cold, true = orchard(seed, per_degree)
    found = steady(x, y, groups, repeats, fruit)
    model = found.away.fold(fit_path(found.away(x), y, found.n_components))
    plain = fit_path(x, y, found.n_components)
    return found, float((model.predict(cold)[:, -1] - true).mean()), float((plain.predict(cold)[:, -1] - true).mean())


@pytest.mark.parametrize("seed", range(3))
def test_one_direction_is_enough_for_a_shift_of_water(seed):
    found, bias, plain = biases(seed, 1.0)
    assert found.n_directions == 1
    assert abs(bias) < 0.1 < 0.5 < abs(plain)
    assert found.wobble[1] < 0.1 * found.wobble[0]
    assert found.error[1] < 0.2


def test_nothing_is_taken_out_where_temperature_does_nothing():
    found, bias, plain = biases(4, 0.0)
    assert found.n_directions == 0
    assert np.array_equal(found.away.matrix, np.eye(CHANNELS))
    assert bias == pytest.approx(plain)


def test_order_of_rows_makes_no_difference():
    x, y, groups, repeats, fruit, *_ = orchard(5, 1.0)
    order, other = np.random.default_rng(0).permutation(120), np.random.default_rng(1).permutation(60)
    found = steady(x, y, groups, repeats, fruit)
    turned = steady(x[order], y[order], groups[order], repeats[other], fruit[other])
    assert turned.n_directions == found.n_directions
    assert turned.away.matrix == pytest.approx(found.away.matrix, abs=1e-9)
    assert turned.error == pytest.approx(found.error, abs=1e-6)


def test_too_few_repeats_and_one_lot_are_told():
    x, y, groups, repeats, fruit, *_ = orchard(6, 1.0)
    with pytest.raises(CalibrationError, match="4 fruit were measured at more than one temperature"):
        steady(x, y, groups, repeats[:16], fruit[:16])
    with pytest.raises(CalibrationError, match="one lot or season only"):
        steady(x, y, np.zeros(120), repeats, fruit)
