"""The simulated spectrometers."""

import numpy as np
import pytest

from citrus_grade.drivers.sim import nir_physics as physics
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim import spectrometer as module
from citrus_grade.drivers.sim.nir_light import absorbers
from citrus_grade.drivers.sim.nir_physics import TISSUE
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer

NM = np.linspace(650.0, 1010.0, 256)
LANES = np.arange(6)
THERE = np.ones(6, bool)
FRUIT = orchard.grow(1, 60)


def absorbance(counts, spectrometer, lanes=LANES):
    dark, white = spectrometer.dark()[lanes], spectrometer.white()[lanes]
    return -np.log10(np.maximum(counts - dark, 0.5) / (white - dark))


def test_a_scan_depends_on_its_seed_and_number_and_nothing_else():
    one, other = SimSpectrometer(3, 6, NM), SimSpectrometer(3, 6, NM)
    offsets = np.linspace(-0.6, 0.6, 8)
    forward = [one.scan(s, LANES, FRUIT[:6], np.full(6, u), THERE) for s, u in enumerate(offsets)]
    for s in reversed(range(8)):
        for lane in reversed(range(6)):
            alone = other.scan(s, LANES[[lane]], FRUIT[[lane]], offsets[[s]], THERE[:1])
            assert (alone[0] == forward[s][lane]).all()
    assert (one.scan(9, LANES, FRUIT[:6], np.zeros(6), THERE) != one.scan(10, LANES, FRUIT[:6], np.zeros(6), THERE)).mean() > 0.9
    assert (SimSpectrometer(4, 6, NM).scan(0, LANES, FRUIT[:6], np.full(6, -0.6), THERE) != forward[0]).any()


def test_a_forgotten_fruit_comes_back_to_the_same_bits(monkeypatch):
    monkeypatch.setattr(module, "SLOTS", 8)
    spectrometer = SimSpectrometer(3, 6, NM)
    first = spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), THERE)
    for i in range(6, 60, 6):
        spectrometer.scan(i, LANES, FRUIT[i : i + 6], np.zeros(6), THERE)
    assert (spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), THERE) == first).all()
    twice = spectrometer.scan(0, np.array([2, 2]), FRUIT[[2, 2]], np.zeros(2), THERE[:2])
    assert (twice == first[2]).all()


def test_an_empty_cup_is_the_brightest_of_all():
    spectrometer = SimSpectrometer(3, 6, NM)
    empty = spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), ~THERE)
    assert (empty == spectrometer.full_scale).mean() > 0.9
    assert (spectrometer.scan(1, LANES, FRUIT[:6], np.zeros(6), THERE) <= empty).all()


def test_light_leaks_past_the_limb():
    spectrometer = SimSpectrometer(3, 6, NM)
    bright = [spectrometer.scan(2, LANES, FRUIT[:6], np.full(6, u), THERE).mean() for u in (0.0, 0.4, 0.6, 0.75, 0.9, 1.2)]
    assert bright == sorted(bright)
    assert bright[-1] > 3 * bright[0]


def test_exposure_lets_only_the_brightest_clip_in_the_middle():
    spectrometer = SimSpectrometer(3, 6, NM)
    fruit, n = orchard.grow(2, 900), 900
    peaks = spectrometer.scan(np.arange(n), np.arange(n) % 6, fruit, np.zeros(n), np.ones(n, bool)).max(1) / 65000
    assert 0.36 < np.median(peaks) < 0.46
    clipped = peaks == 1
    assert 0.002 < clipped.mean() < 0.03
    assert np.median(fruit["diameter_mm"][clipped]) < np.median(fruit["diameter_mm"])


@pytest.mark.parametrize(
    ("name", "step", "band_nm", "sign"),
    [
        ("ssc_brix", 4.0, 970.0, -1),  # sugar takes the place of water
        ("chlorophyll_per_cm", 0.5, 672.0, 1),
        ("diameter_mm", 10.0, 800.0, 1),
        ("peel_cm", 0.15, 800.0, 1),
        ("scatter_a_per_cm", 3.0, 800.0, 1),
    ],
)
def test_truth_shows_where_physics_puts_it(name, step, band_nm, sign):
    fruit = FRUIT[:6].copy()
    fruit["diameter_mm"], fruit["scatter_a_per_cm"], fruit["peel_cm"] = 52.0, 7.0, 0.2
    changed = fruit.copy()
    changed[name] += step
    slopes = []
    for rows in (fruit, changed):
        log_t = _transmittance(rows[0])
        slopes.append(-log_t[np.argmin(abs(NM - band_nm))] + (0 if name != "ssc_brix" else log_t[np.argmin(abs(NM - 800.0))]))
    assert sign * (slopes[1] - slopes[0]) > 0


def _transmittance(row, lane=0):
    spectrometer = SimSpectrometer(3, 6, NM)
    slot = spectrometer.prepare(row[None], np.array([lane]))
    return spectrometer._spectra[slot[0], 0]


def _changed(fruit=FRUIT[0], **fields):
    changed = fruit.copy()
    for name, value in fields.items():
        changed[name] = value
    return changed


def at(nm):
    return int(np.argmin(abs(NM - nm)))


def curve(log_t, nm, width_nm):
    """Second difference: what a band adds to absorbance above its neighbours."""
    return log_t[at(nm - width_nm)] + log_t[at(nm + width_nm)] - 2 * log_t[at(nm)]


def test_light_meets_a_part_of_a_fruit_that_is_not_alike_all_through():
    spectrometer = SimSpectrometer(3, 1, NM)
    flat = _changed(brix_rise=0.0, ta_rise_pct=0.0)
    rising = _changed(flat, brix_rise=(0.0, 0.0, -2.0))
    slots = spectrometer.prepare(np.array([flat, rising]), np.zeros(2, np.int64))
    middle, along = spectrometer._spectra[slots, 0], spectrometer._spectra[slots, 2]
    assert (along[0] == 0).all()
    assert np.abs(along[1]).max() > 1e-4
    assert np.abs(middle[1] - middle[0]).max() > 1e-4


def test_what_the_light_meets_is_a_quarter_brix_beside_the_juice():
    fruit = orchard.grow(5, 400)
    rise = np.linalg.norm(fruit["brix_rise"], axis=1)
    assert 0.20 < TISSUE.sight_depth * np.sqrt((rise**2).mean() / 3) < 0.30
    assert fruit["brix_rise"][:, 2].mean() < -0.4, "the stylar end is the sweeter one"


def test_a_fruit_lies_otherwise_in_another_lane(monkeypatch):
    monkeypatch.setattr(physics, "LANES", physics.LaneSpread(0, 0, (9.0, 0.0), (2e-4, 0.0), 0, 0, 0))
    rising = _changed(brix_rise=(0.0, 0.0, -2.0))
    assert np.abs(_transmittance(rising, 0) - _transmittance(rising, 3)).max() > 1e-4
    flat = _changed(brix_rise=0.0, ta_rise_pct=0.0)
    np.testing.assert_allclose(_transmittance(flat, 0), _transmittance(flat, 3), atol=1e-12)


def test_dry_flesh_scatters_more_and_shows_less_water():
    sound, dry = _changed(dryness=0.0), _changed(dryness=0.5)
    assert (_transmittance(dry) < _transmittance(sound))[NM < 900].all()
    bump = [
        curve(_transmittance(_changed(row, ssc_brix=14.0)) - _transmittance(_changed(row, ssc_brix=8.0)), 912.0, 30.0)
        for row in (sound, dry)
    ]
    assert 0 < bump[1] < bump[0], "the sugar of dry flesh shows less"


def test_a_gap_under_the_peel_dims_the_fruit_and_lets_light_round_the_flesh():
    firm, puffed = _transmittance(_changed(air_gap_cm=0.0)), _transmittance(_changed(air_gap_cm=0.2))
    assert puffed[at(800.0)] < firm[at(800.0)] - 0.2
    assert puffed[at(970.0)] > firm[at(970.0)], "where the flesh lets nothing through"


def test_a_wet_skin_pipes_light_round_the_fruit():
    assert _transmittance(_changed(film_cm=0.1))[at(970.0)] > _transmittance(_changed(film_cm=0.0))[at(970.0)] + 0.5


@pytest.mark.parametrize(
    ("name", "step", "nm", "beyond_nm"),
    [("pigment_per_cm", 0.01, 660.0, 800.0), ("anthocyanin_per_cm", 3.0, 690.0, 760.0), ("peel_oil_pct", 1.0, 930.0, 830.0)],
)
def test_pigment_and_oil_darken_their_own_bands(name, step, nm, beyond_nm):
    more = _changed(**{name: FRUIT[0][name] + step})
    fall = _transmittance(FRUIT[0]) - _transmittance(more)
    assert fall[at(nm)] > 3 * abs(fall[at(beyond_nm)])
    assert fall[at(nm)] > 5e-3


def test_cell_walls_absorb_and_take_the_place_of_water():
    change = _transmittance(_changed(solids_pct=3.0)) - _transmittance(_changed(solids_pct=1.0))
    assert curve(change, 918.0, 40.0) > 0
    assert change[at(840.0)] > change[at(918.0)]


def test_water_is_the_table_without_its_kinks():
    table_nm, table = np.array(physics.WATER).T
    assert np.abs(absorbers(table_nm)[1] / table - 1).max() < 0.10
    bend = np.diff(np.log(absorbers(np.arange(700.0, 960.0, 2.0))[1]), 3)
    assert np.abs(bend).max() < 5e-3, "kinks of the table itself reach ten times as much"


def test_bound_water_shifts_as_warm_water_does():
    warmer = _changed(pulp_temperature_c=FRUIT[0]["pulp_temperature_c"] + 1.0)
    shifted = _changed(band_shift_nm=FRUIT[0]["band_shift_nm"] + TISSUE.shift_nm_per_c)
    moved = _transmittance(shifted) - _transmittance(FRUIT[0])
    assert np.abs(moved).max() > 1e-3
    assert np.corrcoef(moved, _transmittance(warmer) - _transmittance(FRUIT[0]))[0, 1] > 0.95


def test_warm_water_absorbs_at_shorter_wavelengths():
    cold, warm = FRUIT[:1].copy(), FRUIT[:1].copy()
    cold["pulp_temperature_c"], warm["pulp_temperature_c"] = 5.0, 30.0
    rise = _transmittance(cold[0]) - _transmittance(warm[0])
    assert rise[at(945.0)] > 0 > rise[at(984.0)]


def test_lanes_differ_a_little_and_white_takes_the_lamp_out():
    spectrometer = SimSpectrometer(3, 6, NM)
    same = FRUIT[[0, 0, 0, 0, 0, 0]]
    counts = np.mean([spectrometer.scan(i, LANES, same, np.zeros(6), THERE) for i in range(20)], axis=0)
    window = (NM > 720) & (NM < 900)
    shapes = absorbance(counts, spectrometer)[:, window]
    shapes -= shapes.mean(1, keepdims=True)
    assert 1e-4 < np.abs(shapes - shapes.mean(0)).max() < 0.06


def test_lamp_and_dark_drift_with_age():
    spectrometer = SimSpectrometer(3, 6, NM)
    assert (spectrometer.dark(10.0) - spectrometer.dark()).mean() == pytest.approx(30.0, abs=0.2)
    fresh = spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), THERE)
    assert (spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), THERE, age_h=10.0) != fresh).any()


def lit(spectrometer, age_h):
    return spectrometer.white(age_h) - spectrometer.dark(age_h)


def test_an_old_lamp_is_dimmer_and_redder(monkeypatch):
    monkeypatch.setattr(physics, "AGEING", physics.Ageing(dust_per_h=0.0))
    spectrometer = SimSpectrometer(3, 6, NM)
    kept = np.median(lit(spectrometer, 100.0) / lit(spectrometer, 0.0), axis=0)
    assert kept[at(800.0)] == pytest.approx(np.exp(-0.2), rel=0.01)
    cooler_k = physics.LAMP_K - 33.0
    planck = [1 / np.expm1(1.4388e7 / (at_nm * k)) for at_nm in (700.0, 900.0) for k in (cooler_k, physics.LAMP_K)]
    assert kept[at(900.0)] / kept[at(700.0)] == pytest.approx(planck[2] / planck[3] / (planck[0] / planck[1]), rel=5e-3)


def test_dust_settles_on_every_window_at_its_own_rate_and_throws_light_in(monkeypatch):
    monkeypatch.setattr(physics, "AGEING", physics.Ageing(lamp_fade_per_h=0.0, lamp_k_per_h=0.0))
    spectrometer = SimSpectrometer(3, 6, NM)
    lost = -np.log(np.median(lit(spectrometer, 24.0) / lit(spectrometer, 0.0), axis=1))
    assert 0.05 < np.median(lost) < 0.5
    assert lost.max() > 1.5 * lost.min()
    assert -np.log(np.median(lit(spectrometer, 48.0) / lit(spectrometer, 0.0), axis=1)) == pytest.approx(2 * lost, rel=0.02)
    clean, dusty = (
        spectrometer.scan(0, LANES, FRUIT[:6], np.zeros(6), THERE, age_h=h) - spectrometer.dark(h) for h in (0.0, 24.0)
    )
    share = (dusty / lit(spectrometer, 24.0)) / (clean / lit(spectrometer, 0.0))
    assert (share[:, at(945.0)] > 1.01).all(), "the veil shows where the fruit is dark"


def test_many_scans_of_one_call_are_those_of_many_calls():
    one, other = SimSpectrometer(3, 6, NM), SimSpectrometer(3, 6, NM)
    seq = np.arange(60) // 6
    many = one.scan(seq, np.arange(60) % 6, FRUIT, np.linspace(-0.7, 0.7, 60), np.ones(60, bool))
    for i in range(0, 60, 6):
        rows = slice(i, i + 6)
        few = other.scan(i // 6, LANES, FRUIT[rows], np.linspace(-0.7, 0.7, 60)[rows], THERE)
        assert (few == many[rows]).all()


@pytest.mark.parametrize("nm", [np.linspace(400, 800, 10), np.linspace(700, 1100, 10), np.array([700.0, 690.0])])
def test_wavelengths_the_physics_does_not_know_are_refused(nm):
    with pytest.raises(ValueError, match="640-1060 nm"):
        SimSpectrometer(1, 6, nm)


def test_a_full_scale_beyond_16_bits_is_refused():
    with pytest.raises(ValueError, match="16 bits"):
        SimSpectrometer(1, 6, NM, 70000)
