"""The density of a variety from weighed fruit."""

import numpy as np
import pytest

from citrus_grade.calibration.density import fit_density, read_weighed
from citrus_grade.calibration.errors import CalibrationError

RNG = np.random.default_rng(4)
VOLUME_ML = RNG.uniform(70, 160, 50)
OWN = 0.01
MASS_G = VOLUME_ML * (0.90 + 0.02 * RNG.standard_normal(50))


def fit(mass_g, volume_ml=VOLUME_ML):
    return fit_density(mass_g, volume_ml, OWN * volume_ml)


def test_mean_and_spread_are_found():
    found = fit(MASS_G * (1 + OWN * RNG.standard_normal(50)))
    assert found.mean == pytest.approx(0.90, abs=0.01)
    assert found.sigma == pytest.approx(0.02, abs=0.006)


def test_a_stone_among_the_fruit_is_left_out():
    mass_g = MASS_G.copy()
    mass_g[7] *= 1.6
    found = fit(mass_g)
    assert not found.kept[7]
    assert found.mean == pytest.approx(fit(MASS_G).mean, abs=0.004)


@pytest.mark.parametrize(
    ("mass_g", "told"),
    [(MASS_G[::-1], "do lanes and cups belong"), (MASS_G / 1000, "are the masses in g"), (MASS_G * 1.4, "none of citrus")],
    ids=["shuffled", "kilograms", "too heavy"],
)
def test_nonsense_is_refused(mass_g, told):
    with pytest.raises(CalibrationError, match=told):
        fit(mass_g)


def test_too_few_fruit_are_refused():
    with pytest.raises(CalibrationError, match="19 weighed fruit"):
        fit(MASS_G[:19], VOLUME_ML[:19])


def test_rows_are_read(tmp_path):
    path = tmp_path / "weighed.csv"
    path.write_text("\ufefflane,cup,mass_g,who\n0,12,98.5,Li\n5,3,101,Li\n", encoding="utf-8")
    weighed = read_weighed(path)
    assert (weighed.lane.tolist(), weighed.cup.tolist(), weighed.mass_g.tolist()) == ([0, 5], [12, 3], [98.5, 101.0])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("lane,cup\n0,1\n", "no column mass_g"),
        ("lane,cup,mass_g\n0,1,abc\n", r"row 2: 0,1,abc is no lane"),
        ("lane,cup,mass_g\n0,1,-3\n", "above zero"),
        ("lane,cup,mass_g\n0,1\n", "row 2"),
        ("lane,cup,mass_g\n0,1,90\n0,1,91\n", "row 3: lane 0, cup 1 was weighed before"),
    ],
)
def test_bad_rows_are_named(tmp_path, text, told):
    path = tmp_path / "weighed.csv"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=told):
        read_weighed(path)
