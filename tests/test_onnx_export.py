"""Bundles as ONNX graphs: another runtime says what the bundle says."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.ensemble import RandomForestRegressor
from sklearn.pipeline import make_pipeline

from citrus_grade import artefacts
from citrus_grade.cli import errors, main
from citrus_grade.models import estimators as ours
from citrus_grade.models import onnx_export
from citrus_grade.models.compile import compile_pipeline
from citrus_grade.models.onnx_export import OUTPUTS, ExportError, to_onnx
from citrus_grade.models.plug import plug_pipeline
from citrus_grade.spectra import bundle
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.predict import predict_absorbance

for package in ("onnxruntime", "onnx", "skl2onnx"):
    pytest.importorskip(package, reason=f"{package} of the extra 'onnx' is not installed")

NM = np.linspace(700.0, 1000.0, 48)
RNG = np.random.default_rng(3)
CAUSES = RNG.standard_normal((100, 2)) * (1.0, 0.2) + (11.0, 1.0)
SHAPES = np.exp(-0.5 * ((NM - np.array([[910.0], [840.0]])) / 20.0) ** 2) * [[0.02], [0.1]]
SPECTRA = RNG.uniform(0.8, 1.2, (100, 1)) * (1.5 + np.exp(-0.5 * ((NM - 970.0) / 30.0) ** 2) + CAUSES @ SHAPES)
SPECTRA += 1e-3 * RNG.standard_normal(SPECTRA.shape)
OLD, NEW = SPECTRA[:60], SPECTRA[60:]


def compiled(*steps, y=CAUSES[:60, 0], names=("ssc_brix",)):
    return compile_pipeline(make_pipeline(*steps).fit(OLD, y), NM, OLD, y, np.arange(60) % 4, names)


def said(onnx, absorbance):
    from onnxruntime import InferenceSession

    session = InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return dict(zip(OUTPUTS, session.run(list(OUTPUTS), {"absorbance": absorbance}), strict=True))


def agrees(model, onnx, absorbance, own):
    traits = predict_absorbance(model, own)
    found = said(onnx, absorbance)
    for name in OUTPUTS:
        wanted = traits[name].reshape(len(own), -1)[:, : found[name].shape[1]]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-9, atol=1e-9 * np.abs(wanted).max())


SCATTERS = (
    ours.StandardNormalVariate(),
    ours.MultiplicativeScatter(),
    ours.ExtendedMultiplicativeScatter(2),
    ours.SavitzkyGolay(7, 2),
)
REGRESSIONS = (PLSRegression(4), ours.ScoreGaussianProcess(5), ours.ScoreSupportVectors(5))


@pytest.mark.parametrize("first", SCATTERS, ids=str)
@pytest.mark.parametrize("regression", REGRESSIONS, ids=str)
def test_another_runtime_says_what_the_bundle_says(first, regression):
    model = compiled(first, ours.SavitzkyGolay(9, 1), regression)
    agrees(model, to_onnx(model), NEW, NEW)


def test_two_targets_and_a_lanes_correction():
    model = compiled(ours.StandardNormalVariate(), PLSRegression(5), y=CAUSES[:60], names=("ssc_brix", "ta_pct"))
    moved = replace(model, lanes=("3",), corrections=np.array([[[0.0, 1.0], [0.0, 1.0]], [[0.5, 1.1], [-0.1, 0.9]]]))
    agrees(moved, to_onnx(moved), NEW, NEW)
    found = said(to_onnx(moved, "3"), NEW)
    np.testing.assert_allclose(found["value"], predict_absorbance(moved, NEW, ["3"] * 40)["value"], rtol=1e-9)


def test_wavelengths_of_the_other_program_are_interpolated_inside():
    model = compiled(ours.StandardNormalVariate(), PLSRegression(4))
    fine = np.linspace(695.0, 1005.0, 187)
    spectra = NEW @ matrix_of(interpolation(NM, fine[(fine >= 700) & (fine <= 1000)]), 48)
    wide = np.pad(spectra, ((0, 0), (int((fine < 700).sum()), int((fine > 1000).sum()))), mode="edge")
    agrees(model, to_onnx(model, wavelength_nm=fine), wide, wide @ matrix_of(interpolation(fine, model.wavelength_nm), 187))
    with pytest.raises(ValueError, match="needed are 700 to 1000"):
        to_onnx(model, wavelength_nm=fine[20:])


def test_a_flat_spectrum_is_no_number_to_neither():
    model = compiled(ours.StandardNormalVariate(), PLSRegression(4))
    flat = np.ones((1, 48))
    np.testing.assert_allclose(said(to_onnx(model), flat)["value"], predict_absorbance(model, flat)["value"][:, :1], rtol=1e-9)


def test_what_does_not_agree_is_not_handed_out(monkeypatch):
    model = compiled(ours.StandardNormalVariate(), PLSRegression(4))
    true = onnx_export._value

    def wrong(draft, target, z):
        return true(draft, replace(target, intercept=target.intercept + 1e-6), z)

    monkeypatch.setattr(onnx_export, "_value", wrong)
    with pytest.raises(ExportError, match="the graph's value is off by up to 1e-06"):
        to_onnx(model)


def test_the_verb_writes_a_file_that_says_what_it_is(tmp_path, capsys):
    model = compiled(ours.StandardNormalVariate(), ours.ScoreGaussianProcess(5))
    artefacts.save(tmp_path / "model", bundle.KIND, *bundle.to_artefact(model))
    args = ["models", "export", str(tmp_path / "model"), "--onnx", str(tmp_path / "model.onnx")]
    assert main.main([*args, "--json"]) == errors.DONE
    assert json.loads(capsys.readouterr().out)["outputs"] == list(OUTPUTS)
    written = (tmp_path / "model.onnx").read_bytes()
    agrees(model, written, NEW, NEW)
    from onnxruntime import InferenceSession

    told = json.loads(InferenceSession(written).get_modelmeta().custom_metadata_map["citrus_grade"])
    assert (told["targets"], told["units"], len(told["wavelength_nm"])) == (["ssc_brix"], ["Brix"], 48)
    assert main.main(args) == errors.BAD_INPUT
    assert "exists already" in capsys.readouterr().err


def test_a_bundle_that_runs_a_graph_is_not_written_as_another():
    pipeline = make_pipeline(ours.StandardNormalVariate(), RandomForestRegressor(3, random_state=0)).fit(OLD, CAUSES[:60, 0])
    with pytest.raises(ExportError, match="the file it was imported from"):
        to_onnx(plug_pipeline(pipeline, NM, OLD, CAUSES[:60, 0], np.arange(60) % 4, ("ssc_brix",)))
