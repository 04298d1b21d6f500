"""Pipelines compiled to bundles: the same values as the pipeline's own, and a clear word where that cannot be."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from citrus_grade import artefacts
from citrus_grade.models import estimators as ours
from citrus_grade.models import fingerprints, refit
from citrus_grade.models.affine import probe, then, unit
from citrus_grade.models.compile import CompileError, compile_pipeline
from citrus_grade.models.transfer import Pairs, move
from citrus_grade.models.upkeep import upkeep
from citrus_grade.spectra import bundle
from citrus_grade.spectra.predict import predict_absorbance

P = 48
NM = np.linspace(700.0, 1000.0, P)
GROUPS = np.arange(60) % 4


def fruit(n=60, seed=1):
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n, 2)) * (1.0, 0.2) + (11.0, 1.0)
    shapes = np.exp(-0.5 * ((NM - np.array([[910.0], [840.0]])) / 20.0) ** 2) * [[0.02], [0.1]]
    base = 1.5 + np.exp(-0.5 * ((NM - 970.0) / 30.0) ** 2) + causes @ shapes
    offset, path = rng.normal(0.0, 0.05, (n, 1)), rng.uniform(0.8, 1.2, (n, 1))
    return path * base + offset + 1e-3 * rng.standard_normal((n, P)), causes


SPECTRA, CAUSES = fruit()
NEW, CAUSES_NEW = fruit(40, seed=2)
BRIX = CAUSES[:, 0]


def window(model):
    return np.searchsorted(NM, model.wavelength_nm)


def agrees(pipeline, y=BRIX, names=("ssc_brix",)):
    """Compile, and compare on fruit that nobody has seen."""
    pipeline.fit(SPECTRA, y)
    model = compile_pipeline(pipeline, NM, SPECTRA, y, GROUPS, names)
    wanted = np.asarray(pipeline.predict(NEW)).reshape(40, -1)
    own = predict_absorbance(model, NEW[:, window(model)])["value"][:, : wanted.shape[1]]
    np.testing.assert_allclose(own, wanted, rtol=0, atol=1e-9)
    return model


ROW_WISE = [ours.StandardNormalVariate(), ours.MultiplicativeScatter(), ours.ExtendedMultiplicativeScatter(2)]
LINEAR = [ours.SavitzkyGolay(9, 1), ours.SavitzkyGolay(7, 2), StandardScaler(), PCA(6)]


@pytest.mark.parametrize("row_wise", [None, *ROW_WISE], ids=str)
@pytest.mark.parametrize("linear", [None, *LINEAR], ids=str)
@pytest.mark.parametrize(
    "regression", [ours.PartialLeastSquares(5), PLSRegression(4), PLSRegression(4, scale=False), Ridge(1e-3)], ids=str
)
def test_our_and_scikit_learns_steps_agree(row_wise, linear, regression):
    agrees(make_pipeline(*(step for step in (row_wise, linear) if step is not None), regression))


@pytest.mark.parametrize("regression", [ours.ScoreGaussianProcess(5), ours.ScoreSupportVectors(5)], ids=str)
@pytest.mark.parametrize("step", [ours.StandardNormalVariate(), StandardScaler()], ids=str)
def test_models_on_scores_agree(step, regression):
    model = agrees(make_pipeline(step, ours.SavitzkyGolay(9, 1), regression))
    assert model.targets[0].gaussians is not None


def test_a_compiled_bundle_keeps_its_fruit_and_moves_to_another_spectrometer():
    model = agrees(make_pipeline(ours.StandardNormalVariate(), PLSRegression(4)))
    assert model.rows.absorbance.shape == SPECTRA.shape
    slave = 1.1 * NEW + 0.05 + 0.02 * np.sin(NM / 30.0)
    moved, _found = move(model, Pairs(NM, NEW[:20], NM, slave[:20], [None]))
    said = predict_absorbance(moved, slave[20:][:, window(moved)])["value"][:, 0]
    here = predict_absorbance(model, NEW[20:][:, window(model)])["value"][:, 0]
    unmoved = predict_absorbance(model, slave[20:][:, window(model)])["value"][:, 0]
    assert np.abs(said - here).mean() < 0.5 * np.abs(unmoved - here).mean()


def test_upkeep_of_a_compiled_bundle_corrects_it_and_says_why_it_is_not_fitted_anew():
    model = agrees(make_pipeline(ours.StandardNormalVariate(), PLSRegression(4)))
    assert "compiled from a pipeline" in refit.hindrance(model)
    kept, done = upkeep(model, NEW[:, window(model)], [CAUSES_NEW[:, 0] + 1.0], None)
    assert set(done[0].rmse) <= {"none", "bias", "slope"}
    assert done[0].chosen in ("bias", "slope")
    assert kept.rows is model.rows


def test_two_targets_agree():
    model = agrees(make_pipeline(ours.StandardNormalVariate(), PLSRegression(5)), CAUSES, ("ssc_brix", "ta_pct"))
    assert model.units == ("Brix", "%")


def chemotools_steps():
    """The linear steps of chemotools, each fitted as a pipeline would."""
    from chemotools import baseline, derivative, feature_selection, projection, scale, smooth

    own = [smooth.MeanFilter(5), smooth.WhittakerSmooth(10.0), smooth.ModifiedSincFilter(9)]
    own += [smooth.SavitzkyGolayFilter(7, 2, mode=mode) for mode in ("nearest", "interp", "mirror", "wrap", "constant")]
    own += [derivative.SavitzkyGolay(9, 2, deriv=1, mode=mode) for mode in ("nearest", "interp", "mirror", "wrap", "constant")]
    own += [derivative.NorrisWilliams(5, 3, deriv=d) for d in (1, 2)]
    own += [baseline.LinearCorrection(), baseline.ConstantBaselineCorrection(0, 5), baseline.PolynomialCorrection(2)]
    own += [feature_selection.RangeCut(4, 40), feature_selection.IndexSelector(np.arange(3, 30, 2))]
    own += [projection.OrthogonalSignalCorrection(1), projection.OrthogonalPLS(1), projection.DirectOrthogonalization(1)]
    return [*own, scale.ParetoScaler()]


def chemotools_row_wise():
    from chemotools import scale, scatter

    rng = np.random.default_rng(0)
    return [
        scatter.StandardNormalVariate(),
        scatter.MultiplicativeScatterCorrection(),
        scatter.MultiplicativeScatterCorrection(weights=rng.uniform(0.5, 2.0, P)),
        scatter.ExtendedMultiplicativeScatterCorrection(order=2),
        scatter.ExtendedMultiplicativeScatterCorrection(order=1, weights=rng.uniform(0.5, 2.0, P)),
        scatter.ExtendedMultiplicativeScatterCorrection(order=1, interferences=np.sin(NM / 20.0)[None]),
        scale.PointScaler(20),
    ]


chemotools = pytest.importorskip("chemotools", reason="the extra 'compat' is not installed")


@pytest.mark.parametrize("step", chemotools_steps(), ids=str)
def test_chemotools_linear_steps_agree_before_alone_and_after_snv(step):
    agrees(make_pipeline(step, PLSRegression(4, scale=False)))
    agrees(make_pipeline(ours.StandardNormalVariate(), step, PLSRegression(4, scale=False)))


@pytest.mark.parametrize("step", chemotools_row_wise(), ids=lambda step: type(step).__name__)
def test_chemotools_normalisations_agree(step):
    from chemotools.derivative import SavitzkyGolay

    agrees(make_pipeline(step, SavitzkyGolay(9, 2, deriv=1), PLSRegression(4)))


def test_chemotools_pls_agrees():
    from chemotools.regression import PLSRegression as Peer

    agrees(make_pipeline(ours.StandardNormalVariate(), Peer(4)))


def test_a_projection_fitted_elsewhere_is_frozen_and_agrees():
    from chemotools.projection import ExternalParameterOrthogonalization

    warm = 1.5 + 0.1 * np.random.default_rng(3).standard_normal((10, 1)) * np.gradient(np.exp(-0.5 * ((NM - 960.0) / 30.0) ** 2))
    epo = ExternalParameterOrthogonalization(1).fit(SPECTRA, X_external=warm)
    agrees(make_pipeline(ours.StandardNormalVariate(), FrozenEstimator(epo), PLSRegression(4)))


STEPS = st.sampled_from(["sg", "mean", "cut", "line", "norris"])


def step_named(name, deriv):
    from chemotools import baseline, derivative, feature_selection, smooth

    return {
        "sg": lambda: derivative.SavitzkyGolay(7, 3, deriv=deriv),
        "mean": lambda: smooth.MeanFilter(3),
        "cut": lambda: feature_selection.RangeCut(1, -2),
        "line": baseline.LinearCorrection,
        "norris": lambda: derivative.NorrisWilliams(3, 3, deriv=1),
    }[name]()


@settings(max_examples=25)
@given(st.lists(STEPS, max_size=3), st.sampled_from([None, "snv", "emsc"]), st.lists(STEPS, max_size=2), st.integers(0, 2))
def test_steps_in_any_order_agree(first, row_wise, second, deriv):
    chosen = {None: [], "snv": [ours.StandardNormalVariate()], "emsc": [ours.ExtendedMultiplicativeScatter(1)]}[row_wise]
    steps = [*(step_named(name, deriv) for name in first), *chosen, *(step_named(name, deriv) for name in second)]
    agrees(make_pipeline(*steps, PLSRegression(3, scale=False)))


def test_t2_and_q_are_of_the_regressions_own_scores():
    pipeline = make_pipeline(ours.StandardNormalVariate(), ours.SavitzkyGolay(9, 1), PLSRegression(4, scale=False))
    model = agrees(pipeline)
    regression, features = pipeline[-1], pipeline[:-1].transform(SPECTRA)
    scores = regression.transform(features)
    out = predict_absorbance(model, SPECTRA)
    domain = model.domain
    knots = np.linspace(*domain.darkness, len(domain.stretch))
    stretch = np.interp(SPECTRA.mean(1), knots, domain.stretch)
    np.testing.assert_allclose(out["t2"], stretch * ((scores / scores.std(0, ddof=1)) ** 2).sum(1), rtol=1e-8)
    rest = features - features.mean(0) - scores @ regression.x_loadings_.T
    np.testing.assert_allclose(out["q"], (rest**2).sum(1), rtol=1e-6)
    strange = predict_absorbance(model, SPECTRA[:, ::-1].copy())
    assert (strange["q"] > model.domain.q_limit).all()
    assert ((out["q"] <= model.domain.q_limit) & (out["t2"] <= model.domain.t2_limit)).mean() > 0.95


def test_residuals_are_of_refits_without_the_fruits_group():
    pipeline = make_pipeline(ours.StandardNormalVariate(), PLSRegression(4)).fit(SPECTRA, BRIX)
    model = compile_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS, ["ssc_brix"])
    residuals = []
    for group in range(4):
        out = group == GROUPS
        again = make_pipeline(ours.StandardNormalVariate(), PLSRegression(4)).fit(SPECTRA[~out], BRIX[~out])
        residuals.append(BRIX[out] - again.predict(SPECTRA[out]))
    np.testing.assert_allclose(model.targets[0].residuals, np.sort(np.concatenate(residuals)), atol=1e-10)


def test_wavelengths_cut_off_are_not_asked_for():
    from chemotools.feature_selection import RangeCut

    model = agrees(make_pipeline(RangeCut(10, 30), ours.StandardNormalVariate(), PLSRegression(3)))
    np.testing.assert_array_equal(model.wavelength_nm, NM[10:30])


def test_a_compiled_model_survives_its_bundle_and_tells_its_recipe(tmp_path):
    model = agrees(make_pipeline(ours.StandardNormalVariate(), ours.SavitzkyGolay(9), PLSRegression(4)))
    artefacts.save(tmp_path / "model", bundle.KIND, *bundle.to_artefact(model))
    again = bundle.from_artefact(artefacts.load(tmp_path / "model", bundle.KIND))
    assert predict_absorbance(again, NEW).tobytes() == predict_absorbance(model, NEW).tobytes()
    assert again.training["targets"]["ssc_brix"]["recipe"] == "StandardNormalVariate(), SavitzkyGolay(points=9)"
    assert again.training["groups"] == {str(k): 15 for k in range(4)}


def test_a_compiled_model_knows_the_fruit_it_was_made_from():
    model = agrees(make_pipeline(ours.StandardNormalVariate(), PLSRegression(4)))
    assert fingerprints.known(model.training, NM, np.vstack([SPECTRA[:3], NEW[:3]])).tolist() == [True] * 3 + [False] * 3


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([ours.StandardNormalVariate(), ours.MultiplicativeScatter(), PLSRegression(3)], "second row-wise"),
        ([FunctionTransformer(np.log1p), PLSRegression(3)], "'functiontransformer' .* neither affine"),
        ([StandardScaler(), ours.StandardNormalVariate(), PLSRegression(3)], "before 'standardnormalvariate' adds"),
        ([ours.StandardNormalVariate(), SVR()], "'svr' .* no straight line"),
    ],
)
def test_what_cannot_be_expressed_is_refused_by_name(steps, message):
    pipeline = make_pipeline(*steps).fit(SPECTRA, BRIX)
    with pytest.raises(CompileError, match=message):
        compile_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS)


def test_rounding_errors_scaled_up_to_features_are_told():
    from chemotools.baseline import LinearCorrection

    pipeline = make_pipeline(ours.StandardNormalVariate(), LinearCorrection(), PLSRegression(4)).fit(SPECTRA, BRIX)
    with pytest.raises(CompileError, match="but for rounding"):
        compile_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS)


def test_a_wrong_axis_and_wrong_names_are_refused():
    pipeline = make_pipeline(PLSRegression(3)).fit(SPECTRA, BRIX)
    with pytest.raises(CompileError, match="rising"):
        compile_pipeline(pipeline, NM[::-1], SPECTRA, BRIX)
    with pytest.raises(CompileError, match="name each"):
        compile_pipeline(pipeline, NM, SPECTRA, BRIX, names=("a", "b"))


def test_a_probe_finds_affine_maps_and_no_others():
    rng = np.random.default_rng(0)
    matrix, offset, rows = rng.standard_normal((5, 3)), rng.standard_normal(3), rng.standard_normal((9, 5))
    found = probe(lambda x: x @ matrix + offset, rows)
    assert found is not None
    np.testing.assert_allclose(found.matrix, matrix, atol=1e-14)
    both = then(found, unit(3))
    np.testing.assert_allclose(both.of(rows), rows @ matrix + offset, atol=1e-13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert probe(lambda x: np.log(x**2), rows) is None
    assert probe(np.abs, rows) is None
