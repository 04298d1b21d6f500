"""Plain practice, the anchor of the simulated spectra."""

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import KFold

from benchmarks import plain_spectra
from benchmarks.plain_spectra import (
    LAB_SD,
    N_SCANS,
    WAVELENGTH_NM,
    anchor,
    darkened,
    derivative,
    fit_plain,
    mean_absorbance,
    new_season,
    past_seasons,
    season_lot,
    swapped,
)

LOT = season_lot(2, 21, 240)


def test_plain_practice_errs_as_much_as_published_work_on_moving_fruit():
    report = anchor(5)
    assert report["SIMULATED"]
    assert 0.45 <= report["plain_brix_rmsep"] <= 0.65
    assert 0.15 <= report["plain_ta_rmsep"] <= 0.22
    for name in ("brix", "ta"):
        assert report[f"plain_{name}_rmsep_true"] < report[f"plain_{name}_rmsep"]


def test_a_lot_is_the_same_whenever_it_is_made():
    again = season_lot(2, 21, 240)
    season_lot(2, 22, 60)
    for one, other in ((LOT, again), (season_lot(2, 21, 240, lot=1), season_lot(2, 21, 240, lot=1))):
        assert (one.counts == other.counts).all()
        assert (one.reference == other.reference).all()
    assert (season_lot(2, 21, 240, lot=1).counts != LOT.counts).mean() > 0.9


def test_a_lot_has_the_shapes_it_promises():
    assert LOT.counts.shape == (240, N_SCANS, len(WAVELENGTH_NM))
    assert LOT.counts.dtype == np.uint16
    assert LOT.dark.shape == LOT.white.shape == (240, len(WAVELENGTH_NM))
    assert (np.bincount(LOT.lane) == 40).all()
    assert np.std(LOT.reference - LOT.truth, axis=0) == pytest.approx(LAB_SD, rel=0.15)
    part = LOT.rows(LOT.lane == 3)
    assert len(part) == 40
    assert (part.lane == 3).all()


def test_outer_scans_see_past_small_fruit():
    light = (LOT.counts.astype(float) - LOT.dark[:, None]).mean(2)
    outer = light[:, [0, -1]].max(1) / np.median(light[:, 3:5], axis=1)
    small = LOT.fruit["diameter_mm"] < np.quantile(LOT.fruit["diameter_mm"], 0.2)
    assert np.median(outer[small]) > 1.2 * np.median(outer[~small])


def test_a_wet_or_stored_lot_and_other_cultivars_are_what_they_say():
    assert season_lot(2, 21, 60, temperature_c=5.0).temperature_c.mean() == pytest.approx(5.0, abs=0.3)
    wet = season_lot(2, 21, 240, film_cm=0.1)
    assert (mean_absorbance(wet)[0][:, -1] < mean_absorbance(LOT)[0][:, -1]).mean() > 0.9
    assert (season_lot(2, 21, 12, cultivar="tarocco").fruit["anthocyanin_per_cm"] > 0).all()
    assert np.median(season_lot(2, 21, 240, age_h=24.0).counts) != np.median(LOT.counts)


def test_a_dark_and_a_swapped_lot_hold_no_fruit_as_it_was():
    dark = darkened(LOT)
    assert np.abs(dark.counts.astype(float) - LOT.dark[:, None]).max() < 30
    assert (swapped(swapped(LOT)).counts == LOT.counts).all()
    assert (swapped(LOT).white[:, 0] == LOT.white[:, -1]).all()


def test_clipped_scans_and_scans_past_the_fruit_are_left_out():
    counts = np.full((2, N_SCANS, len(WAVELENGTH_NM)), 5000, np.uint16)
    counts[0, 0] = 20000
    counts[1, :, 7] = LOT.full_scale
    lot = LOT.rows(np.arange(2))
    lot.counts[:] = counts
    absorbance, has = mean_absorbance(lot)
    assert has.tolist() == [True, False]
    window = (WAVELENGTH_NM >= 700) & (WAVELENGTH_NM < 960)
    expected = -np.log10((5000 - lot.dark[0]) / (lot.white[0] - lot.dark[0]))[window]
    np.testing.assert_allclose(absorbance[0], expected)


def test_cross_validation_chooses_what_a_fit_for_every_number_of_components_would(monkeypatch):
    monkeypatch.setattr(plain_spectra, "MAX_COMPONENTS", 5)
    absorbance, has = mean_absorbance(LOT)
    x, y = derivative(absorbance[has]), LOT.reference[has, 0]
    error = np.zeros(5)
    for train, test in KFold(10, shuffle=True, random_state=0).split(x):
        for k in range(5):
            predicted = PLSRegression(k + 1, scale=False).fit(x[train], y[train]).predict(x[test])
            error[k] += ((np.ravel(predicted) - y[test]) ** 2).sum()
    assert fit_plain(x, y).n_components == 1 + np.argmin(error)


def test_the_season_that_is_graded_is_none_of_the_past():
    assert new_season(3) not in past_seasons(3)
    assert not {*past_seasons(1), new_season(1)} & {*past_seasons(2), new_season(2)}
