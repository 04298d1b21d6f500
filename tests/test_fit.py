"""Making spectral models."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from citrus_grade import artefacts
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.models import fit
from citrus_grade.models.demo import TARGETS, fit_demo, pass_fruit
from citrus_grade.models.fit import fit_absorbance, fit_counts
from citrus_grade.spectra import kernel
from citrus_grade.spectra.model import KIND, empty_traits, from_artefact, predict, to_artefact

NM = np.linspace(650.0, 1010.0, 256)
GROUPS = np.repeat(np.arange(6), 25)


@pytest.fixture(scope="module")
def batch():
    spectrometer = SimSpectrometer(8, 3, NM)
    fruit = orchard.grow(8, len(GROUPS))
    return fruit, *pass_fruit(spectrometer, fruit, 0)


def reference_of(fruit):
    return np.column_stack([fruit[target] for target in TARGETS])


def test_the_demo_model_holds_for_a_season_it_has_not_seen():
    model, report = fit_demo(2, NM, 6)
    assert report["SIMULATED"]
    assert model.targets == ("ssc_brix", "ta_pct")
    assert model.units == ("Brix", "%")
    for i, target in enumerate(TARGETS):
        assert report[target]["rpd"] > 1.3
        assert report[target]["rmsep"] < 1.5 * model.sigma[i]
    assert report["share_out_of_domain"] < 0.05


def test_the_same_batch_gives_the_same_model(batch, tmp_path):
    fruit, counts, dark, white = batch
    ids = {
        artefacts.save(
            tmp_path / name, KIND, *to_artefact(fit_counts(counts, dark, white, reference_of(fruit), GROUPS, NM, TARGETS))
        )
        for name in "ab"
    }
    assert len(ids) == 1
    again = from_artefact(artefacts.load(tmp_path / "a", KIND))
    out = empty_traits(len(fruit))
    predict(again, counts, np.ones(counts.shape[:2], bool), dark, white, 65000, out)
    assert np.corrcoef(out["value"][out["status"] == 0, 0], fruit["ssc_brix"][out["status"] == 0])[0, 1] > 0.85


def test_counts_are_gated_as_on_the_line(batch):
    fruit, counts, dark, white = batch
    model = fit_counts(counts, dark, white, reference_of(fruit), GROUPS, NM, TARGETS)
    traits, window = empty_traits(len(fruit)), np.empty((len(fruit), model.stop - model.start))
    kernel.gate(counts, np.ones(counts.shape[:2], bool), dark, white, model.start, 65000, window, traits)
    good = traits["status"] == 0
    full = np.zeros((good.sum(), len(NM)))
    full[:, model.start : model.stop] = window[good]
    other = fit_absorbance(full, reference_of(fruit)[good], GROUPS[good], NM, TARGETS)
    np.testing.assert_array_equal(model.coefs, other.coefs)
    assert model.training["n_left_out_by_scan_gates"] == (~good).sum()


def test_sigma_comes_from_groups_left_out():
    rng = np.random.default_rng(1)
    nm = np.linspace(700.0, 960.0, 120)
    y = rng.standard_normal(150)
    quirk = rng.standard_normal(6)[GROUPS]  # a lot's own offset, which random folds would learn
    spectra = np.exp(-0.5 * ((nm - 910) / 20) ** 2) * (0.02 * (y + quirk))[:, None] + np.exp(-0.5 * ((nm - 960) / 40) ** 2)
    model = fit_absorbance(spectra + 1e-4 * rng.standard_normal(spectra.shape), y, GROUPS, nm, ("ssc_brix",))
    assert model.sigma[0] > 0.5
    folds = GroupKFold(6).split(spectra, groups=GROUPS)
    assert all(set(GROUPS[train]).isdisjoint(GROUPS[test]) for train, test in folds)


def test_the_smaller_model_wins_within_the_margin(batch):
    fruit, counts, dark, white = batch
    model = fit_counts(counts, dark, white, reference_of(fruit), GROUPS, NM, TARGETS, reference_error=(0.15, 0.03))
    for i, target in enumerate(TARGETS):
        card = model.training["targets"][target]
        rmse = np.array(card["rmsecv"])
        k = card["components"]
        assert rmse[k - 1] <= fit.MARGIN * rmse.min()
        assert (rmse[: k - 1] > fit.MARGIN * rmse.min()).all()
        assert model.sigma[i] == rmse[k - 1]
    assert model.training["targets"]["ta_pct"]["reference_error"] == 0.03
    assert model.training["groups"] == {str(g): 25 - lost for g, lost in enumerate(_lost(model, batch))}
    assert model.training["n"] + model.training["n_left_out_by_scan_gates"] == len(fruit)


def _lost(model, batch):
    _, counts, dark, white = batch
    traits = empty_traits(len(counts))
    predict(model, counts, np.ones(counts.shape[:2], bool), dark, white, 65000, traits)
    return np.bincount(GROUPS, weights=np.isnan(traits["value"][:, 0])).astype(int)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(150)}, "at least two"),
        ({"groups": np.zeros(3)}, "lot or season for every fruit"),
        ({"targets": ("ssc_brix",)}, "2 columns"),
        ({"window_nm": (700.0, 710.0)}, "window 700.0-710.0 nm holds"),
        ({"reference": np.full((150, 2), np.nan)}, "NaN"),
    ],
)
def test_what_cannot_make_a_model_is_refused(change, message):
    rng = np.random.default_rng(0)
    given = {"absorbance": rng.random((150, 256)), "reference": rng.random((150, 2)), "groups": GROUPS, "wavelength_nm": NM}
    with pytest.raises(ValueError, match=message):
        fit_absorbance(**{**given, "targets": TARGETS, **change})


def test_a_batch_that_mostly_clipped_is_refused(batch):
    fruit, counts, dark, white = batch
    with pytest.raises(ValueError, match="look at exposure"):
        fit_counts(counts, dark, white, reference_of(fruit), GROUPS, NM, TARGETS, full_scale=12000)


def test_a_fruit_without_scans_is_left_out(batch):
    fruit, counts, dark, white = batch
    received = np.ones(counts.shape[:2], bool)
    received[:5] = False
    model = fit_counts(counts, dark, white, reference_of(fruit), GROUPS, NM, TARGETS, received=received)
    assert model.training["groups"]["0"] <= 20
