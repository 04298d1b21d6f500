"""The simulated orchard: what seeds, seasons, cultivars and stores do to fruit."""

import numpy as np
import pytest

from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.nir_light import MEDIAN, OPTICS
from citrus_grade.drivers.sim.nir_physics import Spread
from citrus_grade.drivers.sim.orchard import CULTIVAR_NAMES, TRUTH, grow

SEEN_BY_CAMERAS = TRUTH.names[: TRUTH.names.index("scatter_a_per_cm")]


def test_the_same_seed_grows_the_same_fruit():
    assert (grow(3, 40, season=2) == grow(3, 40, season=2)).all()
    assert (grow(3, 40) != grow(4, 40)).all()


def test_the_median_fruit_is_the_one_that_exposure_is_set_on():
    fruit = grow(1, 4000)
    for name, median in zip(OPTICS, MEDIAN, strict=True):
        assert np.median(fruit[name]) == pytest.approx(median, rel=0.06, abs=2e-3), name


def test_a_season_changes_what_spectra_show_and_not_only_means():
    seasons = [grow(1, 400, season=season) for season in range(1, 13)]
    for name, least in (
        ("scatter_b", 0.02), ("solids_pct", 0.05), ("band_shift_nm", 0.015), ("peel_oil_pct", 0.04),
        ("pigment_per_cm", 0.001), ("dryness", 0.005), ("air_gap_cm", 0.003),
    ):  # fmt: skip
        assert np.std([np.median(fruit[name]) for fruit in seasons]) > least, name


def test_the_reference_season_has_no_shift():
    np.testing.assert_array_equal(grow(1, 9)["solids_pct"], grow(1, 9, season=0)["solids_pct"])
    assert np.median(grow(1, 4000)["scatter_b"]) == pytest.approx(0.8, abs=0.01)


def test_a_lot_from_a_store_has_its_temperature_and_is_otherwise_the_same():
    own, stored = grow(6, 300), grow(6, 300, temperature_c=5.0)
    assert stored["pulp_temperature_c"].mean() == pytest.approx(5.0, abs=0.1)
    assert 0.3 < stored["pulp_temperature_c"].std() < 0.7
    for name in TRUTH.names:
        assert name == "pulp_temperature_c" or (own[name] == stored[name]).all()


def test_puffed_fruit_are_light():
    fruit = grow(7, 2000)
    assert np.corrcoef(np.log(fruit["air_gap_cm"]), fruit["mass_g"] / fruit["volume_ml"])[0, 1] < -0.4


def test_cultivars_differ_in_what_is_said_of_them():
    satsuma, navel, tarocco = (grow(8, 300, cultivar=name) for name in ("satsuma", "navel", "tarocco"))
    assert np.median(navel["peel_cm"]) > 1.3 * np.median(satsuma["peel_cm"])
    assert (satsuma["anthocyanin_per_cm"] == 0).all()
    assert (tarocco["anthocyanin_per_cm"] > 0.5).all()
    assert (tarocco["cultivar"] == CULTIVAR_NAMES.index("tarocco")).all()
    density = navel["mass_g"] / navel["volume_ml"]
    np.testing.assert_allclose(density, satsuma["mass_g"] / satsuma["volume_ml"])


def test_what_only_spectrometers_meet_has_a_stream_of_its_own(monkeypatch):
    before = grow(1, 50, season=3)
    monkeypatch.setattr(orchard, "SPREAD", Spread(dryness=(0.5, 0.0), stylar_brix=(0.0, 0.0)))
    after = grow(1, 50, season=3)
    assert (after["dryness"] != before["dryness"]).all()
    for name in SEEN_BY_CAMERAS:
        assert (after[name] == before[name]).all(), name


def test_an_unknown_cultivar_is_named():
    with pytest.raises(ValueError, match=r"'lemon' is not known; use one of satsuma, "):
        grow(1, 2, cultivar="lemon")
