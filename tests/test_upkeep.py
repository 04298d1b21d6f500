"""Sample fruit choose what becomes of a model; samples on two spectrometers move it."""

from dataclasses import replace

import numpy as np
import pytest

from citrus_grade.artefacts import Artefact
from citrus_grade.models import refit
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.models.transfer import FURTHER, Pairs, move
from citrus_grade.models.upkeep import upkeep
from citrus_grade.spectra.bundle import KIND, from_artefact, to_artefact
from citrus_grade.spectra.interval import interval
from citrus_grade.spectra.predict import predict_absorbance

NM = np.linspace(700.0, 960.0, 100)


def fruit(seed, n, extra=0.0, path=0.0):
    """Absorbance of fruit and their sugar; ``extra`` of a substance the calibration has never seen, tied to nothing."""
    rng = np.random.default_rng(seed)
    brix = 11.0 + 1.2 * rng.standard_normal(n)
    other = rng.standard_normal(n)
    bands = [np.exp(-0.5 * ((NM - at) / width) ** 2) for at, width in ((910, 18), (840, 30), (960, 40), (780, 25))]
    spectra = 1.5 + 0.01 * np.outer(brix, bands[0]) + 0.05 * np.outer(other, bands[1]) + bands[2]
    spectra = spectra + np.outer(extra * rng.uniform(0.5, 1.5, n), bands[3])
    return (1.0 + 0.05 * rng.standard_normal((n, 1)) + path) * spectra + 2e-4 * rng.standard_normal((n, 100)), brix


@pytest.fixture(scope="module")
def model():
    spectra, brix = fruit(1, 240)
    noisy = brix + 0.1 * np.random.default_rng(2).standard_normal(240)
    return train(Samples(NM, spectra, noisy[:, None], np.arange(240) % 6), ("ssc_brix",), families=("pls",)).model


def rmse(model, spectra, brix, lane=None):
    return float(np.sqrt(np.mean((predict_absorbance(model, spectra, lane)["value"][:, 0] - brix) ** 2)))


def test_a_true_model_is_left_alone(model):
    spectra, brix = fruit(3, 40)
    kept, (done,) = upkeep(model, spectra, [brix], ["1"] * 20 + ["2"] * 20)
    fresh = fruit(4, 300)
    assert rmse(kept, *fresh, ["1"] * 300) <= 1.05 * rmse(model, *fresh)
    assert set(done.rmse) >= {"none", "bias", "refit"}


def test_lanes_that_read_apart_are_brought_together(model):
    spectra, brix = fruit(5, 120)
    lane = np.arange(120) % 3
    offset = np.array([0.6, 0.0, -0.4])
    kept, (done,) = upkeep(model, spectra, [brix + offset[lane]], [str(k) for k in lane])
    assert done.chosen in ("bias", "refit")
    fresh, sugar = fruit(6, 300)
    for k in range(3):
        assert rmse(kept, fresh, sugar + offset[k], [str(k)] * 300) < 0.25
    assert rmse(model, fresh, sugar + 0.6) > 0.5


def test_the_intervals_of_a_lane_that_reads_low_are_seen_not_to_hold(model):
    spectra, brix = fruit(5, 120)
    lane = np.arange(120) % 2
    offset = np.array([0.0, 0.6])
    _kept, (done,) = upkeep(model, spectra, [brix + offset[lane]], [str(k) for k in lane])
    low, high = interval(model.targets[0].residuals)
    error = (brix + offset[lane] - done.before)[lane == 1]
    assert np.mean((low <= error) & (error <= high)) < 0.5
    assert done.levels.seen.sum() == 120 - len(done.suspicious)
    assert done.levels.missed[1] > 2 * done.levels.missed[0]
    assert done.levels.outside[1] < 0.05


def test_what_was_never_seen_is_learnt_from_the_samples():
    spectra, brix = fruit(1, 240)
    model = train(Samples(NM, spectra, brix[:, None], np.arange(240) % 6), ("ssc_brix",), families=("pls",)).model
    strange, sugar = fruit(7, 40, extra=0.05)
    kept, (done,) = upkeep(model, strange, [sugar], None)
    assert done.chosen == "refit"
    fresh = fruit(8, 300, extra=0.05)
    assert rmse(kept, *fresh) < 0.6 * rmse(model, *fresh)
    assert kept.rows is not None
    assert len(kept.rows.reference) == 280
    assert kept.training["upkeep"][0]["targets"]["ssc_brix"]["chosen"] == "refit"


def test_a_wrong_reference_takes_no_part(model):
    spectra, brix = fruit(9, 60)
    brix[7] += 6.0
    _kept, (done,) = upkeep(model, spectra, [brix], None)
    assert 7 in done.suspicious
    assert len(done.suspicious) < 6
    assert done.levels.seen.tolist() == [60 - len(done.suspicious)]


@pytest.mark.parametrize("off", [14.0, 1.0])  # of the smaller only a model fitted anew can tell
def test_a_wrong_reference_spoils_no_model_fitted_anew(off):
    spectra, brix = fruit(1, 240)
    model = train(Samples(NM, spectra, brix[:, None], np.arange(240) % 6), ("ssc_brix",), families=("pls",)).model
    spectra, brix = fruit(7, 40, extra=0.05)
    wrong, fresh = brix.copy(), fruit(8, 300, extra=0.05)
    wrong[4] += off
    (clean, _), (kept, (done,)) = upkeep(model, spectra, [brix], None), upkeep(model, spectra, [wrong], None)
    assert done.chosen == "refit"
    assert done.suspicious == (4,)
    assert rmse(kept, *fresh) < 1.1 * rmse(clean, *fresh)
    np.testing.assert_array_equal(kept.rows.reference[240:, 0], np.delete(brix, 4))
    assert len(clean.rows.reference) == 280


def test_a_kept_model_survives_its_artefact_and_can_be_kept_again(model):
    spectra, brix = fruit(5, 60)
    kept, _ = upkeep(model, spectra, [brix + 0.5], ["1", "2"] * 30)
    card, arrays = to_artefact(kept)
    again = from_artefact(Artefact("0" * 16, KIND, card, arrays))
    fresh, sugar = fruit(6, 50)
    lane = ["2"] * 50
    assert predict_absorbance(again, fresh, lane).tobytes() == predict_absorbance(kept, fresh, lane).tobytes()
    once_more, _ = upkeep(again, fresh, [sugar + 0.5], ["1"] * 50)
    assert len(once_more.training["upkeep"]) == 2


def test_refitting_with_nothing_new_is_the_model_itself(model):
    mixed = refit.mixture(model, 0, np.zeros((0, len(model.wavelength_nm))), np.zeros(0), 1.0)
    made = mixed.fit(np.ones(len(mixed.reference), np.bool_))
    spectra = refit.own_absorbance(model)
    said = predict_absorbance(model, spectra)["value"][:, 0]
    for row in (0, 17, 100):
        assert made.predict(mixed, row) == pytest.approx(said[row], abs=1e-4)  # rows are kept as float32


def test_a_bundle_without_rows_says_so(model):
    with pytest.raises(refit.RefitError, match="train it again"):
        refit.rows_of(replace(model, rows=None))


def slave_of(spectra):
    """Another instrument: shifted by 1.5 nm, tilted, on its own axis."""
    nm = np.linspace(690.0, 970.0, 120)
    bent = np.array([np.interp(nm - 1.5, NM, row) for row in spectra])
    return nm, 0.97 * bent + 0.05 * (nm - 800) / 100


def test_a_model_moves_to_another_spectrometer(model):
    spectra, brix = fruit(11, 30)
    nm, seen = slave_of(spectra)
    moved, (found,) = move(model, Pairs(NM, spectra, nm, seen, [brix]))
    fresh, sugar = fruit(12, 300)
    inside = np.stack([np.interp(moved.wavelength_nm, nm, row) for row in slave_of(fresh)[1]])
    unmoved = np.stack([np.interp(model.wavelength_nm, nm, row) for row in slave_of(fresh)[1]])
    assert rmse(moved, inside, sugar) < 0.6 * rmse(model, unmoved, sugar)
    assert (predict_absorbance(moved, inside)["status"] == 0).mean() > 0.9
    assert found.method in found.rmse
    assert moved.training["transfer"][0]["samples"] == 30


def test_without_a_laboratory_the_models_own_values_serve(model):
    spectra, _brix = fruit(11, 30)
    nm, seen = slave_of(spectra)
    moved, _ = move(model, Pairs(NM, spectra, nm, seen, [None]))
    fresh, sugar = fruit(12, 300)
    inside = np.stack([np.interp(moved.wavelength_nm, nm, row) for row in slave_of(fresh)[1]])
    assert rmse(moved, inside, sugar) < 0.4


def test_further_ways_are_candidates_where_they_are_asked_for(model):
    spectra, brix = fruit(11, 30)
    nm, seen = slave_of(spectra)
    pairs = Pairs(NM, spectra, nm, seen, [brix])
    _moved, (usual,) = move(model, pairs)
    moved, (found,) = move(model, pairs, FURTHER)
    assert set(found.rmse) - set(usual.rmse) == set(FURTHER)
    assert found.rmse[found.method] <= usual.rmse[usual.method]
    fresh, sugar = fruit(12, 300)
    inside = np.stack([np.interp(moved.wavelength_nm, nm, row) for row in slave_of(fresh)[1]])
    assert rmse(moved, inside, sugar) < 0.4


def test_a_handful_of_samples_hardly_moves_the_spread():
    old = np.random.default_rng(1).normal(0.2, 0.4, 600)
    few = refit.resized(old, np.full(5, 0.05))
    assert few.std() == pytest.approx(old.std(), rel=0.05)
    assert np.median(few) == pytest.approx(0.0, abs=1e-12)


def test_many_samples_do():
    rng = np.random.default_rng(2)
    old, errors = rng.normal(0.0, 0.4, 600), rng.normal(0.0, 0.2, 600)
    assert refit.resized(old, errors).std() < 0.6 * old.std()


def test_a_mistyped_reference_does_not_stretch_the_intervals():
    rng = np.random.default_rng(3)
    old, errors = rng.normal(0.0, 0.4, 600), rng.normal(0.0, 0.4, 60)
    plain = refit.resized(old, errors).std()
    errors[7] = 60.0
    assert refit.resized(old, errors).std() < 1.1 * plain


def test_samples_that_are_sure_of_more_are_believed():
    rng = np.random.default_rng(4)
    old, errors = rng.normal(0.0, 0.01, 60), rng.normal(0.0, 0.14, 25)
    assert refit.resized(old, errors).std() > 0.6 * 0.14
    assert refit.resized(np.zeros(30), errors).std() == pytest.approx(errors.std())


def test_intervals_of_a_moved_model_hold_what_they_promise(model):
    inside = []
    for seed in range(8):
        spectra, brix = fruit(20 + seed, 25)
        laboratory = brix + 0.1 * np.random.default_rng(seed).standard_normal(25)
        nm, seen = slave_of(spectra)
        moved, _found = move(model, Pairs(NM, spectra, nm, seen + 2e-3 * noise(seed, seen), [laboratory]))
        fresh, sugar = fruit(120 + seed, 300)
        seen = slave_of(fresh)[1]
        at = np.stack([np.interp(moved.wavelength_nm, nm, row) for row in seen + 2e-3 * noise(50 + seed, seen)])
        told = predict_absorbance(moved, at)
        checked = sugar + 0.1 * np.random.default_rng(90 + seed).standard_normal(300)
        inside.append(((told["low90"][:, 0] <= checked) & (checked <= told["high90"][:, 0])).mean())
    assert 0.87 < np.mean(inside) < 0.97


def noise(seed, like):
    return np.random.default_rng(1000 + seed).standard_normal(like.shape)


def test_few_samples_on_both_give_intervals_to_either_side(model):
    spectra, brix = fruit(11, 10)
    nm, seen = slave_of(spectra)
    moved, (found,) = move(model, Pairs(NM, spectra, nm, seen, [brix]))
    errors = brix - found.honest
    np.testing.assert_allclose(moved.targets[0].residuals, np.sort(np.r_[errors, -errors]))
    assert moved.targets[0].sigma == pytest.approx(np.sqrt(np.mean(errors**2)))


def test_limits_go_with_the_season(model):
    """Fruit that vary more than those of the calibration, all alike: a quarter is out of domain until samples of them tell."""
    spectra, brix = fruit(31, 120, extra=0.004)
    kept, _done = upkeep(model, spectra, [brix], None)
    fresh, strange = fruit(32, 1000, extra=0.004)[0], fruit(33, 300, extra=0.05)[0]

    def flagged(one, rows):
        return (predict_absorbance(one, rows)["status"] != 0).mean()

    assert flagged(kept, fresh) < 0.5 * flagged(model, fresh)
    assert flagged(kept, strange) > 0.99


def test_a_handful_of_samples_hardly_moves_the_limits(model):
    spectra, brix = fruit(34, 6)
    kept, _done = upkeep(model, spectra, [brix], None)
    assert kept.domain.q_limit == pytest.approx(model.domain.q_limit, rel=0.4)
    assert kept.domain.t2_limit == pytest.approx(model.domain.t2_limit, rel=0.4)


def test_a_model_fitted_anew_has_the_limits_of_whole_lots_left_out():
    """Each lot has a background of its own: fruit of a lot left out lie farther off than fruit drawn at random."""
    spectra, brix = fruit(35, 240)
    lot, at = np.arange(240) // 40, np.linspace(0.0, 1.0, 100)
    spectra = spectra + 0.02 * np.sin(np.outer(1.0 + np.arange(6), 3.0 * at))[lot]
    new, sugar = fruit(36, 40, extra=0.05)
    at_random = train(Samples(NM, spectra, brix[:, None], None), ("ssc_brix",), families=("pls",)).model
    assert at_random.rows is not None
    by_lot = replace(at_random, rows=replace(at_random.rows, groups=lot.astype(np.str_)))
    lots, drawn = (refit.refitted(one, new, [sugar], [3.0], [np.ones(9)], {}).domain for one in (by_lot, at_random))
    assert lots.t2_limit > 1.5 * drawn.t2_limit


def test_many_fruit_are_left_out_in_parts_and_none_speaks_for_itself(model, monkeypatch):
    spectra, brix = fruit(8, 12)
    believed = np.ones(12, np.bool_)
    one_by_one = refit.leave_one_out(refit.mixture(model, 0, spectra, brix, 3.0), believed)
    monkeypatch.setattr(refit, "MOST_FITS", 5)
    said = refit.leave_one_out(refit.mixture(model, 0, spectra, brix, 3.0), believed)
    assert said == pytest.approx(one_by_one, abs=0.2)
    wrong = brix.copy()
    wrong[7] += 5.0
    again = refit.leave_one_out(refit.mixture(model, 0, spectra, wrong, 3.0), believed)
    assert again[7] == said[7]
    assert again[2] == said[2]
    assert again[0] != said[0]
