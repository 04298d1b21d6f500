"""Search, choice and assembly of spectral models, against scikit-learn and SciPy done the long way."""

import numpy as np
import pytest
from scipy.signal import savgol_filter
from sklearn.cross_decomposition import PLSRegression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.svm import SVR

from citrus_grade.calibration import pls
from citrus_grade.models import recipes
from citrus_grade.models import train as training
from citrus_grade.models.assemble import Fitted, Limits, Part, assemble
from citrus_grade.models.recipes import Recipe
from citrus_grade.models.score_models import Kernel, gaussian_process, mean_of, representative, support_vectors, tune
from citrus_grade.models.search import MARGIN, Samples, Tried, basis_of, choose, fewest, search_pls
from citrus_grade.models.train import TrainError, train
from citrus_grade.spectra.predict import predict_absorbance

GROUPS = np.arange(120) % 5


def synthetic(n=120, p=150, seed=3, bend=0.0):
    """Absorbance with two hidden causes, path length and noise: (n, p), (n, 2) causes, axis."""
    rng = np.random.default_rng(seed)
    nm = np.linspace(700.0, 1000.0, p)
    causes = rng.standard_normal((n, 2)) * (1.2, 0.2) + (11.0, 1.0)
    shown = causes + bend * (causes - causes.mean(0)) ** 2
    shapes = np.exp(-0.5 * ((nm - np.array([[910.0], [840.0]])) / 20.0) ** 2) * ([[0.01], [0.05]])
    base = 2.0 + np.exp(-0.5 * ((nm - 970.0) / 30.0) ** 2)
    path = rng.uniform(0.8, 1.2, (n, 1))
    return path * (base + shown @ shapes) + 1e-4 * rng.standard_normal((n, p)), causes, nm


def fitted_of(name, made, fit):
    return Fitted(name, "", Part(made.after, fit, len(fit.answers)), None, 1.0, np.zeros(3))


def plain_features(recipe, spectra, reference_spectra):
    """The recipe by NumPy and SciPy."""
    if recipe.scatter == "snv":
        z = (spectra - spectra.mean(1, keepdims=True)) / spectra.std(1, keepdims=True)
    elif recipe.scatter in ("msc", "emsc"):
        across = np.linspace(-1, 1, spectra.shape[1])
        extra = [across, across**2] if recipe.scatter == "emsc" else []
        shapes = np.stack([reference_spectra.mean(0), np.ones_like(across), *extra])
        share = np.linalg.lstsq(shapes.T, spectra.T, rcond=None)[0].T
        z = (spectra - share[:, 1:] @ shapes[1:]) / share[:, :1]
    else:
        z = spectra
    return z if recipe.points == 1 else savgol_filter(z, recipe.points, 2, deriv=recipe.derivative, axis=1, mode="interp")


@pytest.mark.parametrize("scatter", recipes.SCATTERS)
@pytest.mark.parametrize(("derivative", "points"), [(0, 1), (1, 13), (2, 21)])
def test_a_folded_model_equals_the_unfolded_one(scatter, derivative, points):
    spectra, causes, nm = synthetic()
    recipe = Recipe(700.0, 1000.0, scatter, derivative, points)
    made = recipes.preprocessing(recipe, nm, spectra)
    features = recipes.features(made, spectra)
    plain = plain_features(recipe, spectra, spectra)
    np.testing.assert_allclose(features, plain, atol=1e-10)
    fits = [fitted_of(name, made, pls.fit(features, y, 5)) for name, y in zip("ab", causes.T, strict=True)]
    out = predict_absorbance(assemble(made, np.zeros((0, 150)), fits, 5, Limits(9.0, 9.0), {}), spectra)
    for j in range(2):
        peer = PLSRegression(5, scale=False).fit(plain, causes[:, j])
        np.testing.assert_allclose(out["value"][:, j], peer.predict(plain).ravel(), atol=1e-7, rtol=0)
        np.testing.assert_allclose(out["value"][:, j], fits[j].part.fit.predict_all(plain)[4], atol=1e-9, rtol=0)
    if scatter == "none" and points == 1:
        return  # raw absorbance: the peer's own last digits differ by more
    peer = PLSRegression(5, scale=False).fit(plain, causes[:, 0])
    centred = plain - plain.mean(0)
    scores = centred @ peer.x_rotations_
    np.testing.assert_allclose(out["t2"], ((scores / scores.std(0, ddof=1)) ** 2).sum(1), atol=1e-9, rtol=1e-9)
    np.testing.assert_allclose(out["q"], ((centred - scores @ peer.x_loadings_.T) ** 2).sum(1), atol=1e-9)


def test_removed_directions_change_nothing_any_more():
    spectra, causes, nm = synthetic()
    made = recipes.preprocessing(Recipe(700.0, 1000.0, "none", 0, 1), nm, spectra)
    features = recipes.features(made, spectra)
    warm = np.gradient(np.exp(-0.5 * ((nm - 900.0) / 30.0) ** 2))[None]
    warm /= np.linalg.norm(warm)
    cleaned = features - features @ warm.T @ warm
    fit = fitted_of("a", made, pls.fit(cleaned, causes[:, 0], 4))
    model = assemble(made, warm, [fit], 4, Limits(1e9, 1e9), {})
    np.testing.assert_allclose(
        predict_absorbance(model, spectra)["value"][:, 0], fit.part.fit.predict_all(cleaned)[3], atol=1e-9, rtol=0
    )
    moved = predict_absorbance(model, spectra + 0.05 * warm)
    still = predict_absorbance(model, spectra)
    np.testing.assert_allclose(moved["value"][:, 0], still["value"][:, 0], atol=1e-8)
    np.testing.assert_allclose(moved["q"], still["q"], rtol=1e-6)


@pytest.mark.parametrize("family", ["gpr", "svr", "mean"])
def test_a_nonlinear_model_folds_exactly(family):
    spectra, causes, nm = synthetic(bend=0.3)
    trained = train(Samples(nm, spectra, causes[:, :1], GROUPS), ("ssc_brix",), families=(family,))
    one = min((t for t in trained.tried[0] if t.family == family), key=lambda t: t.rmse)
    batch = Samples(nm, spectra, causes[:, :1], GROUPS)
    ready = training.prepare(batch, one.recipe, batch.folds())
    fitted = training._fit(batch, batch.folds(), causes[:, 0], "ssc_brix", one)
    made = recipes.preprocessing(one.recipe, nm, spectra)
    model = assemble(made, np.zeros((0, ready.features.shape[1])), [fitted], 2, Limits(1e9, 1e9), {})
    inside = spectra[:, np.isin(nm, made.wavelength_nm)]
    scores = fitted.part.fit.scores(ready.features, one.components)
    unfused = fitted.score_model.predict(scores)
    np.testing.assert_allclose(predict_absorbance(model, inside)["value"][:, 0], unfused, atol=1e-9, rtol=0)


def test_the_gaussian_process_is_scikit_learns():
    rng = np.random.default_rng(0)
    scores, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    kernel = Kernel(0.5, 0.8, 0.2, np.array([0.7, 0.2, 1.1]))
    ours = gaussian_process(scores, y, kernel)
    peer_kernel = (
        ConstantKernel(0.5, "fixed") * DotProduct(0.0, "fixed")
        + ConstantKernel(0.8, "fixed") * RBF(1.0, "fixed")
        + ConstantKernel(1.0, "fixed")
        + WhiteKernel(0.2, "fixed")
    )
    peer = GaussianProcessRegressor(peer_kernel, alpha=1e-8, optimizer=None).fit(
        scores * kernel.stretch, (y - y.mean()) / y.std()
    )
    new = rng.standard_normal((20, 3))
    np.testing.assert_allclose(ours.predict(new), peer.predict(new * kernel.stretch) * y.std() + y.mean(), atol=1e-8)


def test_the_support_vectors_are_scikit_learns():
    rng = np.random.default_rng(0)
    scores, y = rng.standard_normal((60, 3)), rng.standard_normal(60)
    stretch = np.array([0.7, 0.2, 1.1])
    ours = support_vectors(scores, y, 10.0, stretch, 2.0)
    peer = SVR(C=10.0, epsilon=0.05, gamma=0.125).fit(scores * stretch, (y - y.mean()) / y.std())
    new = rng.standard_normal((20, 3))
    np.testing.assert_allclose(ours.predict(new), peer.predict(new * stretch) * y.std() + y.mean(), atol=1e-10)
    both = mean_of([ours, gaussian_process(scores, y, Kernel(1.0, 1.0, 0.1, stretch))])
    other = gaussian_process(scores, y, Kernel(1.0, 1.0, 0.1, stretch))
    np.testing.assert_allclose(both.predict(new), (ours.predict(new) + other.predict(new)) / 2, atol=1e-12)


def test_tuning_finds_which_scores_matter():
    rng = np.random.default_rng(1)
    scores = rng.standard_normal((150, 4))
    y = np.sin(2 * scores[:, 1]) + 0.05 * rng.standard_normal(150)
    found = tune(scores, y)
    assert found.stretch[1] > 5 * np.delete(found.stretch, 1).max()
    assert found.noise < 0.05


def test_pls_folds_are_those_of_refitting():
    spectra, causes, _ = synthetic(n=60, p=90)
    folds = [np.arange(k, 60, 4) for k in range(4)]
    narrow, turn = pls.compress(spectra)
    np.testing.assert_allclose(narrow @ turn.T, spectra - spectra.mean(0), atol=1e-10)
    said = pls.validate(narrow, causes[:, 0], folds, 6)
    for rows in folds:
        rest = np.setdiff1d(np.arange(60), rows)
        for k in range(1, 7):
            peer = PLSRegression(k, scale=False).fit(spectra[rest], causes[rest, 0])
            np.testing.assert_allclose(said[k - 1, rows], peer.predict(spectra[rows]).ravel(), atol=1e-8)


def test_a_weight_of_two_is_the_row_twice():
    spectra, causes, _ = synthetic(n=40, p=30)
    weight = np.where(np.arange(40) < 10, 2.0, 1.0)
    twice = np.r_[np.arange(40), np.arange(10)]
    ours, peer = pls.fit(spectra, causes[:, 0], 4, weight), pls.fit(spectra[twice], causes[twice, 0], 4)
    np.testing.assert_allclose(ours.coefs(4), peer.coefs(4), rtol=1e-7, atol=1e-12)


def test_an_average_of_derivatives_folds_exactly():
    spectra, causes, nm = synthetic()
    batch = Samples(nm, spectra, causes, GROUPS)
    found = search_pls(batch, recipes.recipes(nm, (700.0, 1000.0)), lambda what: None)
    one = next(one for one in found[0] if one.beside)
    fitted = training._fit(batch, batch.folds(), causes[:, 0], "a", one)
    made = recipes.preprocessing(one.recipe, nm, spectra)
    model = assemble(made, np.zeros((0, 150)), [fitted], 1, Limits(9.0, 9.0), {})
    apart = []
    for recipe, k in ((one.recipe, one.components), *one.beside):
        features = plain_features(recipe, spectra, spectra)
        apart.append(PLSRegression(k, scale=False).fit(features, causes[:, 0]).predict(features).ravel())
    np.testing.assert_allclose(predict_absorbance(model, spectra)["value"][:, 0], np.mean(apart, 0), atol=1e-6)


def test_fewer_components_win_within_a_standard_error():
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(100) ** 2
    clearly, hardly = noise + 1.0, noise + 0.3 * rng.standard_normal(100)
    assert fewest(np.stack([clearly, noise])) == 1
    assert fewest(np.stack([hardly + 0.01, noise])) == 0


def test_whole_groups_are_left_out():
    batch = Samples(np.arange(5.0), np.zeros((120, 5)), np.zeros((120, 1)), GROUPS)
    folds = batch.folds()
    assert sorted(np.concatenate(folds)) == list(range(120))
    for rows in folds:
        assert set(GROUPS[rows]).isdisjoint(GROUPS[np.setdiff1d(np.arange(120), rows)])


def test_sigma_and_interval_come_from_groups_left_out():
    rng = np.random.default_rng(1)
    nm, lots = np.linspace(700.0, 960.0, 120), np.repeat(np.arange(6), 25)
    y = rng.standard_normal(150)
    quirk = rng.standard_normal(6)[lots]  # a lot's own offset, which random folds would learn
    spectra = np.exp(-0.5 * ((nm - 910) / 20) ** 2) * (0.02 * (y + quirk))[:, None] + np.exp(-0.5 * ((nm - 960) / 40) ** 2)
    spectra = spectra + 1e-4 * rng.standard_normal(spectra.shape)
    target = train(Samples(nm, spectra, y[:, None], lots), ("ssc_brix",)).model.targets[0]
    assert target.sigma > 0.5
    assert target.residuals[142] - target.residuals[7] > 1.5
    blind = train(Samples(nm, spectra, y[:, None], None), ("ssc_brix",)).model
    assert blind.training["groups"] == {}


def test_the_simpler_model_wins_within_the_margin_or_by_chance():
    rng = np.random.default_rng(0)
    y, noise = rng.standard_normal((2, 60))

    def tried(family, said):
        return Tried(Recipe(700.0, 900.0, "snv", 1, 7), family, 3, said, float(np.sqrt(np.mean((said - y) ** 2))))

    plain = tried("pls", y + noise)
    assert choose([plain, tried("gpr", y + 0.98 * noise)], y) is plain
    surely = tried("gpr", y + 0.9 * noise)
    assert choose([plain, surely], y) is surely
    noise[0] = 6.0  # one fruit that only one of them happens to know
    plain = tried("pls", y + noise)
    lucky = tried("svr", y + np.where(np.arange(60) == 0, 0.3, 1.04) * noise)
    assert lucky.rmse * MARGIN < plain.rmse
    assert choose([plain, lucky], y) is plain


def test_a_bent_answer_is_left_to_a_nonlinear_family():
    spectra, causes, nm = synthetic(n=200)
    bent = np.sin(1.2 * (causes[:, :1] - 11.0))
    trained = train(Samples(nm, spectra, bent, np.arange(200) % 8), ("x",))
    assert trained.chosen[0].family != "pls"
    linear = min(one.rmse for one in trained.tried[0] if one.family == "pls")
    assert trained.chosen[0].rmse < 0.5 * linear


def test_two_targets_share_the_preprocessing():
    spectra, causes, nm = synthetic()
    trained = train(Samples(nm, spectra, causes, GROUPS), ("ssc_brix", "ta_pct"), families=("pls",))
    assert basis_of(trained.chosen[0].recipe) == basis_of(trained.chosen[1].recipe)
    assert trained.model.names == ("ssc_brix", "ta_pct")


def test_a_wrong_reference_is_named():
    spectra, causes, nm = synthetic()
    causes[17, 0] += 8.0
    assert train(Samples(nm, spectra, causes[:, :1], GROUPS), ("ssc_brix",), families=("pls",)).suspects == [17]


def test_representative_rows_cover_the_range():
    values = np.random.default_rng(0).standard_normal(5000)
    rows = representative(values, 100)
    assert len(np.unique(rows)) == 100
    assert np.abs(np.quantile(values[rows], [0.1, 0.5, 0.9]) - np.quantile(values, [0.1, 0.5, 0.9])).max() < 0.05
    assert {values.argmin(), values.argmax()} <= set(rows)
    np.testing.assert_array_equal(representative(values[:50], 100), np.arange(50))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"groups": np.zeros(120)}, "of one lot"),
        ({"reference": np.ones((120, 2))}, "2 columns"),
        ({"reference": np.full((120, 1), np.nan)}, "row 1: NaN"),
        ({"reference": np.full((120, 1), 11.0)}, "is 11 for every fruit"),
    ],
)
def test_what_cannot_make_a_model_is_refused(change, message):
    spectra, causes, nm = synthetic()
    given = {"wavelength_nm": nm, "absorbance": spectra, "reference": causes[:, :1], "groups": GROUPS}
    with pytest.raises(TrainError, match=message):
        train(Samples(**given | change), ("ssc_brix",))


def test_a_range_without_wavelengths_and_too_few_fruit_are_refused():
    spectra, causes, nm = synthetic()
    with pytest.raises(TrainError, match="widen it"):
        train(Samples(nm, spectra, causes[:, :1], GROUPS), ("ssc_brix",), range_nm=(700.0, 701.0))
    with pytest.raises(TrainError, match="bring 20"):
        train(Samples(nm, spectra[:10], causes[:10, :1], GROUPS[:10]), ("ssc_brix",))
