"""Which fruit are of the kind a model knows: T2's limit goes by how dark the fruit is."""

from dataclasses import replace

import numpy as np
import pytest

from citrus_grade.artefacts import Artefact
from citrus_grade.models.assemble import DOMAIN, limit_of, stretched
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.spectra.bundle import KIND, from_artefact, to_artefact
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra.traits import OUT_OF_DOMAIN

NM = np.linspace(700.0, 960.0, 100)


def fruit(seed, n, strange=0.0):
    """Absorbance with disturbances that grow with darkness, and sugar; ``strange`` is so much of them whatever the darkness."""
    rng = np.random.default_rng(seed)
    brix, dark = 11.0 + 1.2 * rng.standard_normal(n), rng.uniform(0.0, 1.0, n)
    sugar, *stray = (np.exp(-0.5 * ((NM - at) / 22.0) ** 2) for at in (910.0, 730.0, 780.0, 840.0, 875.0, 940.0))
    spectra = 1.5 + dark[:, None] + 0.01 * np.outer(brix, sugar)
    spectra += (2e-4 * 10 ** (2.0 * dark[:, None]) * rng.standard_normal((n, 5)) + strange) @ np.array(stray)
    return spectra + 1e-5 * rng.standard_normal((n, 100)), brix, dark


@pytest.fixture(scope="module")
def model():
    spectra, brix, _dark = fruit(1, 300)
    return train(Samples(NM, spectra, brix[:, None], np.arange(300) % 6), ("ssc_brix",), families=("pls",)).model


def flat(model):
    """The same model with one limit for all."""
    return replace(model, domain=replace(model.domain, stretch=np.ones(2)))


def flagged(model, spectra):
    return predict_absorbance(model, spectra)["status"] == OUT_OF_DOMAIN


def test_a_strange_fruit_that_is_bright_does_not_hide_behind_dark_ones(model):
    spectra, _brix, dark = fruit(2, 300, strange=0.02)
    bright = dark < 0.3
    found, found_flat = flagged(model, spectra)[bright], flagged(flat(model), spectra)[bright]
    assert found.mean() > 0.95
    assert found_flat.mean() < 0.5


def test_ordinary_fruit_stay_in_domain_dark_or_bright(model):
    spectra, _brix, dark = fruit(3, 1500)
    found = flagged(model, spectra)
    assert found.mean() < 0.02
    assert found[dark < 0.3].mean() < 0.03


def test_t2_is_stretched_by_mean_absorbance_and_held_beyond_the_ends(model):
    spectra, _brix, _dark = fruit(4, 50)
    low, high = model.domain.darkness
    wide = np.vstack([spectra, spectra - 2.0, spectra + 2.0])
    t2, plain = predict_absorbance(model, wide)["t2"], predict_absorbance(flat(model), wide)["t2"]
    knots = np.linspace(low, high, len(model.domain.stretch))
    np.testing.assert_allclose(t2 / plain, np.interp(wide.mean(1), knots, model.domain.stretch), rtol=1e-12)
    assert len(np.unique((t2 / plain).round(9))) > 20


def test_the_stretch_makes_fruit_of_every_darkness_as_rare():
    rng = np.random.default_rng(5)
    dark = rng.uniform(1.0, 2.0, 5000)
    t2 = 3.0 ** (2 * (dark - 1.0)) * np.exp(0.5 * rng.standard_normal(5000))
    darkness, stretch = stretched(t2, dark)
    assert (stretch >= 1.0).all()
    assert (np.diff(stretch) <= 0.0).all()
    beyond = t2 * np.interp(dark, np.linspace(*darkness, len(stretch)), stretch) > limit_of(t2)
    for part in (dark < 1.25, (dark > 1.25) & (dark < 1.5)):
        assert 0.1 * (1 - DOMAIN) < beyond[part].mean() < 6 * (1 - DOMAIN)
    assert (t2 > limit_of(t2))[dark < 1.5].mean() == 0.0


def test_nothing_is_stretched_where_darkness_tells_nothing():
    rng = np.random.default_rng(6)
    _darkness, stretch = stretched(rng.chisquare(8, 400), rng.uniform(1.0, 2.0, 400))
    assert stretch.max() < 1.25
    same, one = stretched(rng.chisquare(8, 40), np.full(40, 1.5))
    assert same[0] < same[1]
    assert (one == 1.0).all()


def test_a_spectrum_that_is_no_number_is_out_of_domain(model):
    assert flagged(model, np.full((1, 100), np.nan)).all()


def test_the_stretch_survives_the_bundle(model):
    again = from_artefact(Artefact("0" * 16, KIND, *to_artefact(model)))
    spectra, _brix, _dark = fruit(7, 20)
    assert predict_absorbance(again, spectra).tobytes() == predict_absorbance(model, spectra).tobytes()


@pytest.mark.parametrize("change", [{"darkness": np.array([2.0, 1.0])}, {"stretch": np.ones(1)}])
def test_a_stretch_that_makes_no_sense_is_refused(model, change):
    with pytest.raises(ValueError, match="stretch"):
        replace(model, domain=replace(model.domain, **change))
