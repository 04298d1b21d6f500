"""Counts of a passage -> absorbance -> traits."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from citrus_grade.artefacts import Artefact
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.models.demo import fit_demo
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.spectra import gate
from citrus_grade.spectra.bundle import KIND, from_artefact, to_artefact
from citrus_grade.spectra.predict import absorbance, align, predict, predict_absorbance
from citrus_grade.spectra.traits import MISSING, OK, OUT_OF_DOMAIN, SATURATED, empty_traits

NM = np.linspace(650.0, 1010.0, 256)
N_LANES, N_BINS, FULL = 6, 16, 65000
SPECTROMETER = SimSpectrometer(5, N_LANES, NM)
MODEL, _ = fit_demo(5, NM, N_LANES)
DARK, WHITE = SPECTROMETER.dark(), SPECTROMETER.white()
ALIGNED = align(np.tile(NM, (N_LANES, 1)), MODEL.wavelength_nm)
START, STOP = ALIGNED.start, ALIGNED.stop


def passage(fruit, offsets, first_seq=0):
    """Scans of one fruit a lane in the middle bins: (6, 16, 256) counts and (6, 16) received."""
    counts, received = np.zeros((N_LANES, N_BINS, len(NM)), np.uint16), np.zeros((N_LANES, N_BINS), bool)
    lanes, present = np.arange(N_LANES), np.ones(N_LANES, bool)
    for b, offset in enumerate(offsets):
        counts[:, b + 4] = SPECTROMETER.scan(first_seq + b, lanes, fruit, np.full(N_LANES, offset), present)
        received[:, b + 4] = True
    return counts, received


def ordinary(n=N_LANES):
    """Fruit near the middle of every range, so that none clips."""
    fruit = orchard.grow(11, n)
    for name, value in zip(
        ("diameter_mm", "scatter_a_per_cm", "peel_cm", "chlorophyll_per_cm"), (64.0, 8.0, 0.3, 0.25), strict=True
    ):
        fruit[name] = value
    return fruit


def traits_of(counts, received, dark=DARK, white=WHITE, model=MODEL, full_scale=FULL):
    out = empty_traits(len(counts))
    predict(model, ALIGNED.of(np.arange(len(counts))), counts, received, dark, white, full_scale, out)
    return out


COUNTS, RECEIVED = passage(ordinary(), np.linspace(-0.5, 0.5, 8))


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(N_LANES)), st.integers(0, 2**32 - 1))
def test_row_alone_equals_row_in_any_batch_to_the_bit(order, seed):
    received = RECEIVED & (np.random.default_rng(seed).random(RECEIVED.shape) < 0.8)
    whole = traits_of(COUNTS, received)
    order = np.array(order)
    shuffled = traits_of(COUNTS[order], received[order], DARK[order], WHITE[order])
    assert shuffled.tobytes() == whole[order].tobytes()
    for i in range(N_LANES):
        assert (
            traits_of(COUNTS[i : i + 1], received[i : i + 1], DARK[i : i + 1], WHITE[i : i + 1]).tobytes()
            == whole[i : i + 1].tobytes()
        )


def test_bins_that_were_not_received_do_not_matter():
    noise = COUNTS.copy()
    noise[~RECEIVED] = 12345
    assert traits_of(noise, RECEIVED).tobytes() == traits_of(COUNTS, RECEIVED).tobytes()


def test_read_only_inputs_are_welcome():
    frozen = [array.copy() for array in (COUNTS, RECEIVED, DARK, WHITE)]
    for array in frozen:
        array.flags.writeable = False
    assert traits_of(*frozen).tobytes() == traits_of(COUNTS, RECEIVED).tobytes()


def plain_gate(counts, received, dark, white, start, stop):
    """The gates again, in plain numpy: (kept bins, absorbance of their mean)."""
    scans = [b for b in np.flatnonzero(received) if counts[b, start:stop].max() < FULL]
    light = {b: counts[b, start:stop].astype(float).sum() - dark[start:stop].sum() for b in scans}
    scans = [b for b in scans if light[b] < gate.BRIGHT * sorted(light.values())[1]]
    edges = start + gate.BLOCK * np.arange((stop - start) // gate.BLOCK)

    def blocks(row):
        return np.array([row[e : e + gate.BLOCK].sum() for e in edges])

    shapes = np.array([-np.log10(blocks(counts[b] - dark) / blocks(white - dark)) for b in scans])
    shapes = (shapes - shapes.mean(1, keepdims=True)) / shapes.std(1, keepdims=True)
    far = np.sqrt(((shapes - np.median(shapes, 0)) ** 2).mean(1))
    kept = [b for b, distance in zip(scans, far, strict=True) if distance <= gate.ODD * np.median(far)]
    mean = counts[kept].mean(0) - dark
    return kept, -np.log10(np.maximum(mean, 0.5) / (white - dark))[start:stop]


def test_gates_and_absorbance_match_plain_numpy():
    counts, received = passage(orchard.grow(12, N_LANES), np.linspace(-0.8, 0.8, 10), first_seq=50)
    spectra, traits = absorbance(ALIGNED, counts, received, DARK, WHITE, FULL)
    good = np.flatnonzero(traits["status"] == OK)
    assert len(good) >= 3
    for i in good:
        kept, expected = plain_gate(counts[i], received[i], DARK[i], WHITE[i], START, STOP)
        assert traits["scans_kept"][i] == len(kept)
        np.testing.assert_allclose(spectra[i], expected, atol=1e-12)


def synthetic(n=120, p=150, seed=3):
    """Absorbance with two hidden causes, path length and noise: (n, p), (n, 2) causes, axis."""
    rng = np.random.default_rng(seed)
    nm = np.linspace(700.0, 1000.0, p)
    causes = rng.standard_normal((n, 2)) * (1.2, 0.2) + (11.0, 1.0)
    shapes = np.exp(-0.5 * ((nm - np.array([[910.0], [840.0]])) / 20.0) ** 2) * ([[0.01], [0.05]])
    base = 2.0 + np.exp(-0.5 * ((nm - 970.0) / 30.0) ** 2)
    path = rng.uniform(0.8, 1.2, (n, 1))
    return path * (base + causes @ shapes) + 1e-4 * rng.standard_normal((n, p)), causes, nm


def test_fewer_than_three_scans_is_missing():
    received = RECEIVED.copy()
    received[0], received[1, 6:] = False, False
    traits = traits_of(COUNTS, received)
    assert list(traits["status"][:3]) == [MISSING, MISSING, OK]
    assert list(traits["scans_received"][:3]) == [0, 2, 8]
    assert np.isnan(traits["value"][:2]).all()
    assert np.isnan(traits["sigma"][:2]).all()
    assert np.isnan(traits["t2"][:2]).all()


def test_too_few_scans_because_of_clipping_is_saturated():
    counts = COUNTS.copy()
    counts[2, 4:10, START + 30] = FULL
    traits = traits_of(counts, RECEIVED)
    assert traits["status"][2] == SATURATED
    assert traits["clipped_scans"][2] == 6
    assert np.isnan(traits["value"][2]).all()


def test_a_clipped_pixel_outside_the_window_does_no_harm():
    counts = COUNTS.copy()
    counts[:, :, START - 1] = counts[:, :, STOP] = FULL
    assert traits_of(counts, RECEIVED).tobytes() == traits_of(COUNTS, RECEIVED).tobytes()


def test_one_clipped_scan_is_left_out_and_the_rest_is_used():
    counts, received = COUNTS.copy(), RECEIVED.copy()
    counts[3, 5, START : START + 40] = FULL
    received[3, 5] = False
    without, clipped = traits_of(COUNTS, received)[3], traits_of(counts, RECEIVED)[3]
    assert clipped["clipped_scans"] == 1
    assert (clipped["value"] == without["value"]).all()


def test_ordinary_fruit_is_in_domain_and_a_strange_one_is_not():
    fruit = ordinary()
    fruit["ssc_brix"][1], fruit["ta_pct"][1], fruit["peel_cm"][1] = 60.0, 0.0, 0.2  # nothing a tree has borne
    traits = traits_of(*passage(fruit, np.linspace(-0.4, 0.4, 8)))
    assert list(traits["status"]) == [OK, OUT_OF_DOMAIN, OK, OK, OK, OK]
    assert np.isfinite(traits["value"]).all()


def test_scans_that_see_light_past_the_fruit_are_dropped():
    under, _ = passage(ordinary(), [0.0, 0.1, -0.1, 0.05, -0.05, 0.15], first_seq=100)
    leaking, received = passage(ordinary(), [0.0, 0.1, -0.1, 0.05, -0.05, 0.15, 0.74, -0.76], first_seq=100)
    assert (leaking[:, 4:10] == under[:, 4:10]).all()
    alone = received.copy()
    alone[:, 10:] = False
    with_leaks, without = traits_of(leaking, received), traits_of(leaking, alone)
    assert (with_leaks["scans_received"] == 8).all()
    assert (with_leaks["scans_kept"] <= 6).all()
    assert np.abs(with_leaks["value"][:, 0] - without["value"][:, 0]).max() < 0.5


def test_more_sugar_reads_as_more_sugar():
    fruit, sweeter = ordinary(), ordinary()
    sweeter["ssc_brix"] += 2.0
    offsets = np.linspace(-0.4, 0.4, 8)
    rise = traits_of(*passage(sweeter, offsets))["value"] - traits_of(*passage(fruit, offsets))["value"]
    assert 1.0 < rise[:, 0].mean() < 3.0


def test_a_model_of_one_target_leaves_the_other_nan():
    spectra, causes, nm = synthetic()
    model = train(Samples(nm, spectra, causes[:, :1], np.arange(120) % 5), ("dry_matter_pct",), families=("pls",)).model
    out = predict_absorbance(model, spectra[:, np.isin(nm, model.wavelength_nm)])
    assert model.units == ("%",)
    for name in ("value", "sigma", "low90", "high90"):
        assert np.isfinite(out[name][:, 0]).all()
        assert np.isnan(out[name][:, 1]).all()


def test_a_model_survives_its_artefact_to_the_bit():
    card, arrays = to_artefact(MODEL)
    again = from_artefact(Artefact("0" * 16, KIND, card, arrays))
    assert traits_of(COUNTS, RECEIVED, model=again).tobytes() == traits_of(COUNTS, RECEIVED).tobytes()
    assert to_artefact(again)[0] == card


def test_an_artefact_without_its_loadings_is_refused():
    card, arrays = to_artefact(MODEL)
    del arrays["domain_loadings"]
    with pytest.raises(ValueError, match="domain_loadings is missing"):
        from_artefact(Artefact("0" * 16, KIND, card, arrays))


def test_an_artefact_of_the_wrong_shape_is_refused():
    card, arrays = to_artefact(MODEL)
    with pytest.raises(ValueError, match=r"centre is float64 \(5,\)"):
        from_artefact(Artefact("0" * 16, KIND, card, arrays | {"domain_centre": np.zeros(5)}))


def test_counts_of_another_spectrometer_are_refused():
    with pytest.raises(ValueError, match="6 lanes of 256 pixels"):
        traits_of(COUNTS[:, :, :200].copy(), RECEIVED)
