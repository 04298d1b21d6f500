"""Passages of a line -> spectral models, by the very code of the line."""

import numpy as np
import pytest

from citrus_grade import artefacts
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.models.demo import TARGETS, fit_demo, pass_fruit
from citrus_grade.models.passages import Passages, absorbance, train_passages
from citrus_grade.models.search import Samples
from citrus_grade.models.train import TrainError, train
from citrus_grade.spectra.bundle import KIND, from_artefact, to_artefact
from citrus_grade.spectra.predict import align, predict
from citrus_grade.spectra.traits import empty_traits

NM = np.linspace(650.0, 1010.0, 256)
GROUPS = np.repeat(np.arange(6), 25)


@pytest.fixture(scope="module")
def fruit():
    return orchard.grow(8, len(GROUPS))


@pytest.fixture(scope="module")
def passages(fruit):
    return Passages(*pass_fruit(SimSpectrometer(8, 3, NM), fruit, 0), NM)


def reference_of(fruit):
    return np.column_stack([fruit[target] for target in TARGETS])


def traits_of(model, passages):
    out, n = empty_traits(len(passages.counts)), len(passages.counts)
    received = np.ones(passages.counts.shape[:2], bool)
    aligned = align(np.tile(NM, (n, 1)), model.wavelength_nm)
    predict(model, aligned, passages.counts, received, passages.dark, passages.white, 65000, out)
    return out


def test_the_demo_model_holds_for_a_season_it_has_not_seen():
    model, report = fit_demo(2, NM, 6)
    assert report["SIMULATED"]
    assert model.names == ("ssc_brix", "ta_pct")
    assert model.units == ("Brix", "%")
    for target in model.targets:
        assert report[target.name]["rpd"] > 1.2
        assert report[target.name]["rmsep"] < 1.7 * target.sigma
    assert report["share_out_of_domain"] < 0.05


def test_the_same_batch_gives_the_same_model(fruit, passages, tmp_path):
    made = [train_passages(passages, reference_of(fruit), GROUPS, TARGETS, families=("pls",)).model for _ in range(2)]
    ids = {artefacts.save(tmp_path / name, KIND, *to_artefact(model)) for name, model in zip("ab", made, strict=True)}
    assert len(ids) == 1
    again = from_artefact(artefacts.load(tmp_path / "a", KIND))
    out = traits_of(again, passages)
    good = out["status"] == 0
    assert np.corrcoef(out["value"][good, 0], fruit["ssc_brix"][good])[0, 1] > 0.85


def test_counts_are_gated_as_on_the_line(fruit, passages):
    trained = train_passages(passages, reference_of(fruit), GROUPS, TARGETS, families=("pls",))
    want_nm = NM[(NM >= 700) & (NM <= 960)]
    spectra, traits = absorbance(passages, want_nm)
    good = traits["status"] == 0
    batch = Samples(want_nm, spectra[good], reference_of(fruit)[good], GROUPS[good])
    other = train(batch, TARGETS, range_nm=(700.0, 960.0), families=("pls",))
    np.testing.assert_array_equal(trained.model.targets[0].coefs, other.model.targets[0].coefs)
    assert trained.model.training["n_left_out_by_scan_gates"] == (~good).sum()
    np.testing.assert_array_equal(traits_of(trained.model, passages)["scans_kept"], traits["scans_kept"])


def test_a_lane_with_its_own_wavelengths_is_brought_to_the_models(fruit):
    """Scans of lanes that sit beside the nominal wavelengths, once with the axis known and once without."""
    spectrometer = SimSpectrometer(8, 3, NM)
    passages = Passages(*pass_fruit(spectrometer, fruit, 0), NM)
    moved = Passages(passages.counts, passages.dark, passages.white, np.stack([NM, NM + 1.0, NM - 1.0]), np.arange(150) % 3)
    want_nm = NM[40:200]
    plain, _ = absorbance(passages, want_nm)
    aligned, traits = absorbance(moved, want_nm)
    wider, other = absorbance(passages, NM[30:210])
    alike = (traits["status"] == 0) & (traits["scans_kept"] == other["scans_kept"])
    good = np.flatnonzero((np.arange(150) % 3 == 1) & alike)
    expected = np.array([np.interp(want_nm, NM[30:210] + 1.0, row) for row in wider[good]])
    assert np.median(np.abs(aligned[good] - expected).max(1)) < 0.002
    assert np.median(np.abs(plain[good] - expected).max(1)) > 0.01


def test_a_batch_that_mostly_clipped_is_refused(fruit, passages):
    clipped = Passages(passages.counts, passages.dark, passages.white, NM, full_scale=12000)
    with pytest.raises(TrainError, match="look at exposure"):
        train_passages(clipped, reference_of(fruit), GROUPS, TARGETS)


def test_a_fruit_without_scans_is_left_out(fruit, passages):
    received = np.ones(passages.counts.shape[:2], bool)
    received[:5] = False
    some = Passages(passages.counts, passages.dark, passages.white, NM, received=received)
    model = train_passages(some, reference_of(fruit), GROUPS, TARGETS, families=("pls",)).model
    assert model.training["groups"]["0"] <= 20
