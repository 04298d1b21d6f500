"""The simulated spectrometers."""

import numpy as np
import pytest

from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim import spectrometer as module
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


def _transmittance(row):
    spectrometer = SimSpectrometer(3, 1, NM)
    slot = spectrometer.prepare(row[None], np.array([0]))
    return spectrometer._spectra[slot[0], 0]


def test_warm_water_absorbs_at_shorter_wavelengths():
    cold, warm = FRUIT[:1].copy(), FRUIT[:1].copy()
    cold["pulp_temperature_c"], warm["pulp_temperature_c"] = 5.0, 30.0
    rise = _transmittance(cold[0]) - _transmittance(warm[0])
    near, far = np.argmin(abs(NM - 945.0)), np.argmin(abs(NM - 984.0))
    assert rise[near] > 0 > rise[far]


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


@pytest.mark.parametrize("nm", [np.linspace(400, 800, 10), np.linspace(700, 1100, 10), np.array([700.0, 690.0])])
def test_wavelengths_the_physics_does_not_know_are_refused(nm):
    with pytest.raises(ValueError, match="640-1060 nm"):
        SimSpectrometer(1, 6, nm)


def test_a_full_scale_beyond_16_bits_is_refused():
    with pytest.raises(ValueError, match="16 bits"):
        SimSpectrometer(1, 6, NM, 70000)
