"""Models of any make as bundles with an ONNX graph: what the original says, in any batch, and refused where it differs."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVR

from citrus_grade import artefacts
from citrus_grade.artefacts import Artefact
from citrus_grade.cli import errors, main
from citrus_grade.models import estimators as ours
from citrus_grade.models import refit
from citrus_grade.models.compile import CompileError, compile_pipeline
from citrus_grade.models.plug import PlugError, plug, plug_pipeline
from citrus_grade.models.recipes import Recipe, features, preprocessing
from citrus_grade.models.search import Samples
from citrus_grade.models.upkeep import upkeep
from citrus_grade.replay import replay
from citrus_grade.rundir import start_of, with_value
from citrus_grade.runtime.session import run_line
from citrus_grade.spectra import bundle, graph
from citrus_grade.spectra.predict import align, predict, predict_absorbance, rehearse
from citrus_grade.spectra.traits import MISSING, OK, OUT_OF_DOMAIN, empty_traits

for package in ("onnxruntime", "onnx", "skl2onnx"):
    pytest.importorskip(package, reason=f"{package} of the extra 'onnx' is not installed")

P = 48
NM = np.linspace(700.0, 1000.0, P)
GROUPS = np.arange(80) % 4


def fruit(n, seed):
    """Spectra whose sugar bends: what a straight line cannot say."""
    rng = np.random.default_rng(seed)
    causes = rng.standard_normal((n, 2)) * (1.0, 0.2) + (11.0, 1.0)
    shapes = np.exp(-0.5 * ((NM - np.array([[910.0], [840.0]])) / 20.0) ** 2) * [[0.02], [0.1]]
    base = 1.5 + np.exp(-0.5 * ((NM - 970.0) / 30.0) ** 2) + causes @ shapes
    offset, path = rng.normal(0.0, 0.05, (n, 1)), rng.uniform(0.8, 1.2, (n, 1))
    return path * base + offset + 1e-3 * rng.standard_normal((n, P)), causes


SPECTRA, CAUSES = fruit(80, seed=1)
NEW, NEW_CAUSES = fruit(40, seed=2)
BRIX = CAUSES[:, 0]
FOREST = make_pipeline(
    ours.StandardNormalVariate(), ours.SavitzkyGolay(9, 1), StandardScaler(), RandomForestRegressor(20, random_state=0)
).fit(SPECTRA, BRIX)
MODEL = plug_pipeline(FOREST, NM, SPECTRA, BRIX, GROUPS, ("ssc_brix",))


def of(estimator, kind=np.float32):
    """An estimator as another program would hand it on: the bytes of an ONNX file."""
    from skl2onnx import to_onnx

    return to_onnx(estimator, np.zeros((1, estimator.n_features_in_), kind)).SerializeToString()


def stored(model):
    card, arrays = bundle.to_artefact(model)
    return Artefact("0" * 16, bundle.KIND, card, arrays)


# A pipeline with its original at hand


@pytest.mark.parametrize(
    ("regression", "within"),
    [(RandomForestRegressor(20, random_state=0), 1e-4), (SVR(C=10.0), 1e-4), (GaussianProcessRegressor(alpha=0.1), 1e-9)],
    ids=str,
)
def test_what_cannot_be_compiled_says_what_its_pipeline_says(regression, within):
    pipeline = make_pipeline(ours.StandardNormalVariate(), ours.SavitzkyGolay(9, 1), StandardScaler(), regression)
    pipeline.fit(SPECTRA, BRIX)
    with pytest.raises(CompileError):
        compile_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS, ("ssc_brix",))
    model = plug_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS, ("ssc_brix",))
    np.testing.assert_allclose(predict_absorbance(model, NEW)["value"][:, 0], pipeline.predict(NEW), rtol=0, atol=within)


def test_steps_that_bend_go_into_the_graph_those_before_are_folded():
    pipeline = make_pipeline(ours.StandardNormalVariate(), ours.SavitzkyGolay(9, 1), PolynomialFeatures(2), SVR()).fit(
        SPECTRA, BRIX
    )
    model = plug_pipeline(pipeline, NM, SPECTRA, BRIX, GROUPS, ("ssc_brix",))
    assert len(model.graph.offset) == P
    np.testing.assert_allclose(predict_absorbance(model, NEW)["value"][:, 0], pipeline.predict(NEW), rtol=0, atol=1e-3)


def test_two_targets_and_their_intervals_are_of_fruit_left_out():
    pipeline = make_pipeline(ours.StandardNormalVariate(), RandomForestRegressor(20, random_state=0)).fit(SPECTRA, CAUSES)
    model = plug_pipeline(pipeline, NM, SPECTRA, CAUSES, GROUPS, ("ssc_brix", "ta_pct"))
    out = predict_absorbance(model, NEW)
    np.testing.assert_allclose(out["value"], pipeline.predict(NEW), rtol=0, atol=1e-4)
    inside = (out["low90"] <= NEW_CAUSES) & (out["high90"] >= NEW_CAUSES)
    assert (inside.mean(0) > 0.75).all()
    trained_on = np.sqrt(((pipeline.predict(SPECTRA) - CAUSES) ** 2).mean(0))
    assert all(target.sigma > 1.3 * own for target, own in zip(model.targets, trained_on, strict=True))


def test_strange_fruit_are_out_of_domain_and_flat_ones_have_no_value():
    out = predict_absorbance(MODEL, NEW)
    assert (out["status"] == OK).mean() > 0.9
    assert (predict_absorbance(MODEL, NEW[:, ::-1].copy())["status"] == OUT_OF_DOMAIN).all()
    nothing = predict_absorbance(MODEL, np.full((1, P), np.nan))
    assert np.isnan(nothing["value"]).all()
    assert nothing["status"] == OUT_OF_DOMAIN


# Bits


@settings(max_examples=20)
@given(st.permutations(range(12)))
def test_row_alone_equals_row_in_any_batch_to_the_bit(order):
    whole = predict_absorbance(MODEL, NEW[:12])
    assert predict_absorbance(MODEL, NEW[order]).tobytes() == whole[list(order)].tobytes()
    assert predict_absorbance(MODEL, NEW[order[:1]]).tobytes() == whole[order[:1]].tobytes()


def test_lanes_are_corrected_by_their_own():
    moved = replace(MODEL, lanes=("2",), corrections=np.array([[[0.0, 1.0]], [[0.5, 1.1]]]))
    plain, own = predict_absorbance(moved, NEW, ["0"] * 40), predict_absorbance(moved, NEW, ["2"] * 40)
    np.testing.assert_allclose(own["value"][:, 0], 0.5 + 1.1 * plain["value"][:, 0])
    np.testing.assert_allclose(own["high90"] - own["value"], plain["high90"] - plain["value"], atol=1e-12)


def test_counts_of_a_pitch_give_what_their_absorbance_gives():
    rehearse(MODEL)
    white, dark = np.full((3, P), 40000.0), np.full((3, P), 100.0)
    light = (white - dark) * 10.0 ** -NEW[:3] + dark
    counts = np.repeat(light.round().astype(np.uint16)[:, None], 4, 1)
    received = np.ones((3, 4), bool)
    received[1] = False
    out = empty_traits(3)
    predict(MODEL, align(np.tile(NM, (3, 1)), NM), counts, received, dark, white, 65000, out)
    seen = -np.log10((counts[:, 0] - dark) / (white - dark))
    np.testing.assert_allclose(out["value"][[0, 2]], predict_absorbance(MODEL, seen)["value"][[0, 2]], atol=1e-4)
    assert out["status"][1] == MISSING
    assert np.isnan(out["value"][1]).all()


# The bundle


def test_the_graph_is_part_of_the_bundle_and_of_its_id(tmp_path):
    model_id = artefacts.save(tmp_path / "model", bundle.KIND, *bundle.to_artefact(MODEL))
    again = bundle.from_artefact(artefacts.load(tmp_path / "model", bundle.KIND))
    assert predict_absorbance(again, NEW).tobytes() == predict_absorbance(MODEL, NEW).tobytes()
    card, arrays = bundle.to_artefact(MODEL)
    other = {**arrays, "graph_onnx": arrays["graph_onnx"][::-1]}
    assert artefacts.save(tmp_path / "other", bundle.KIND, card, other) != model_id


def test_a_bundle_whose_graph_says_something_else_here_is_refused():
    card, arrays = bundle.to_artefact(MODEL)
    arrays["graph_said"] = arrays["graph_said"] + 0.01
    with pytest.raises(ValueError, match=r"by up to 0\.01, where 0\.001"):
        bundle.from_artefact(Artefact("0" * 16, bundle.KIND, card, arrays))


def test_without_the_runtime_the_bundle_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ValueError, match=r"pip install 'citrus-grade\[onnx\]'"):
        bundle.from_artefact(stored(MODEL))


def test_upkeep_corrects_it_by_a_bias_and_keeps_the_graph():
    kept, done = upkeep(MODEL, NEW, [NEW_CAUSES[:, 0] + 1.0], None)
    assert done[0].chosen in ("bias", "slope")
    assert kept.graph is MODEL.graph
    assert "only the program that made the graph" in refit.hindrance(kept)
    assert abs((predict_absorbance(kept, NEW)["value"][:, 0] - NEW_CAUSES[:, 0] - 1.0).mean()) < 0.2


# On a line


def test_a_line_grades_with_it_and_replays_to_the_bit(line_toml, loaded, tmp_path):
    rows = loaded.model.rows
    pipeline = make_pipeline(ours.StandardNormalVariate(), RandomForestRegressor(5, max_depth=6, random_state=0))
    pipeline.fit(rows.absorbance.astype(float), rows.reference)
    model = plug_pipeline(pipeline, rows.wavelength_nm, rows.absorbance, rows.reference, rows.groups, loaded.model.names)
    folder = shutil.copytree(line_toml.parent, tmp_path / "line")
    model_id = artefacts.save(folder / "forest", bundle.KIND, *bundle.to_artefact(model))
    text = with_value((folder / "line.toml").read_text(encoding="utf-8"), "files", "model", "forest")
    (folder / "line.toml").write_text(text, encoding="utf-8")
    run_line(folder / "line.toml", tmp_path / "run", profile="normal", seconds=2.0)
    made = parquet.read_table(tmp_path / "run" / "fruit.parquet")
    assert np.isfinite(made.column("ssc_brix").to_numpy()).any()
    assert start_of(tmp_path / "run")["model"] == model_id
    report = replay(tmp_path / "run")
    assert report.compared > 0
    assert report.diff_fields == 0


# A graph from elsewhere


RAW = preprocessing(Recipe(700.0, 1000.0, "snv", 1, 9), NM, SPECTRA)
FEATURES = features(RAW, SPECTRA)
ELSEWHERE = RandomForestRegressor(20, random_state=0).fit(FEATURES, BRIX)
FRESH = Samples(NM, NEW, NEW_CAUSES[:, :1], np.arange(40) % 4)
SAID = ELSEWHERE.predict(features(RAW, NEW))[:, None]


def test_a_graph_from_elsewhere_is_checked_against_what_its_original_said():
    model = plug(of(ELSEWHERE), RAW, FRESH, ("ssc_brix",), SAID, {"original": "forest"})
    np.testing.assert_allclose(predict_absorbance(model, NEW)["value"][:, 0], SAID[:, 0], rtol=0, atol=1e-4)
    assert model.training["original"] == "forest"
    assert model.targets[0].sigma == pytest.approx(np.sqrt(((SAID - NEW_CAUSES[:, :1]) ** 2).mean()))
    wrong = SAID.copy()
    wrong[7] += 0.05
    with pytest.raises(PlugError, match="something else here than its original did"):
        plug(of(ELSEWHERE), RAW, FRESH, ("ssc_brix",), wrong)


def test_without_the_originals_word_it_is_held_to_its_own():
    model = plug(of(ELSEWHERE), RAW, FRESH, ("ssc_brix",))
    np.testing.assert_allclose(model.graph.said, model.graph.values(model.graph.rows), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("onnx", "told"),
    [
        (b"not a graph", "cannot run this graph"),
        (of(RandomForestRegressor(2).fit(FEATURES[:, 1:], BRIX)), "takes None x 47; .* with 48 values"),
        (of(RandomForestRegressor(2).fit(FEATURES, CAUSES)), "gives 2 values for a fruit, not 1"),
    ],
    ids=["rubbish", "narrower", "two targets"],
)
def test_a_graph_that_does_not_fit_is_refused_with_the_reason(onnx, told):
    with pytest.raises(PlugError, match=told):
        plug(onnx, RAW, FRESH, ("ssc_brix",))


def test_weights_in_a_file_of_their_own_are_not_read(tmp_path, monkeypatch):
    import onnx

    monkeypatch.chdir(tmp_path)
    weights = onnx.numpy_helper.from_array(np.ones((P, 1), np.float32), "w")
    given, gives = (onnx.helper.make_tensor_value_info(name, 1, [None, size]) for name, size in (("x", P), ("y", 1)))
    made = onnx.helper.make_graph([onnx.helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [given], [gives], [weights])
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    whole = model.SerializeToString()
    onnx.save_model(model, "apart.onnx", save_as_external_data=True, location="apart.data", size_threshold=0)
    assert plug(whole, RAW, FRESH, ("ssc_brix",)).graph is not None
    with pytest.raises(PlugError, match=r"cannot run this graph: .*External data"):
        plug((tmp_path / "apart.onnx").read_bytes(), RAW, FRESH, ("ssc_brix",))


@pytest.mark.parametrize(
    ("told", "shape"),
    [((None, 48), (1, 48)), (("n", 1, 48), (1, 1, 48)), ((1, "p"), (1, 48)), ((None, None), (1, 48)), ((-1, 6, 8), (1, 6, 8))],
)
def test_shapes_of_one_fruit(told, shape):
    assert graph.shape_of(told, 48) == shape


@pytest.mark.parametrize("told", [(32, 48), (None, 47), (48,), (None, None, None), (None, 5, None)])
def test_shapes_that_do_not_fit_are_refused(told):
    with pytest.raises(ValueError, match="any number of fruit with 48 values"):
        graph.shape_of(told, 48)


def table(path, says=SAID):
    """A table of the fresh fruit with what the original says of them."""
    columns = [f"{nm:.6f}" for nm in NM]
    rows = [",".join(["lot", "ssc_brix", "says", *columns])]
    for lot, brix, (own,), row in zip(FRESH.groups, FRESH.reference[:, 0], says.tolist(), NEW, strict=True):
        rows.append(",".join([f"L{lot}", f"{brix:.6f}", f"{own:.9f}", *(f"{value:.9f}" for value in row)]))
    path.write_text("\n".join(rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def onnx_file(tmp_path):
    path = tmp_path / "forest.onnx"
    path.write_bytes(of(ELSEWHERE))
    return str(path)


WAY = ("--scatter", "snv", "--points", "9", "--derivative", "1", "--target", "ssc_brix", "--group", "lot")


def test_the_verb_takes_a_file_in_and_the_others_know_it(onnx_file, tmp_path, capsys):
    model, spectra = str(tmp_path / "model"), table(tmp_path / "fruit.csv")
    args = ["models", "import", onnx_file, spectra, *WAY, "--original", "says", "--out", model, "--json"]
    assert main.main(args) == errors.DONE
    told = json.loads(capsys.readouterr().out)
    assert told["checked_against"] == ["says"]
    assert told["rmse"]["ssc_brix"] == pytest.approx(np.sqrt(((SAID - NEW_CAUSES[:, :1]) ** 2).mean()), rel=1e-3)
    assert main.main(["models", "show", model, "--json"]) == errors.DONE
    card = json.loads(capsys.readouterr().out)
    assert (card["model_id"], card["story"]["graph"]) == (told["model_id"], "forest.onnx")
    assert main.main(["predict", model, spectra, "--out", str(tmp_path / "said.csv")]) == errors.DONE
    said = np.genfromtxt(tmp_path / "said.csv", delimiter=",", names=True)["value"]
    np.testing.assert_allclose(said, SAID[:, 0], atol=1e-3)


def test_wavelengths_of_the_graph_may_be_others_than_the_tables(onnx_file, tmp_path, capsys):
    spectra, axis = table(tmp_path / "fruit.csv"), tmp_path / "axis.txt"
    np.savetxt(axis, NM)
    for named, to in ((str(axis), "a"), (f"700:1000:{300 / 47}", "b")):
        args = ["models", "import", onnx_file, spectra, *WAY, "--wavelengths", named, "--out", str(tmp_path / to)]
        assert main.main(args) == errors.DONE
        assert "compared with nothing but itself" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--original", "says"), "something else here than its original did"),
        (("--original", "lot"), "no column 'lot' of numbers"),
        (("--wavelengths", "700:1000:2"), "takes None x 48; it must take any number of fruit with 151 values each"),
        (("--wavelengths", "1000:700"), "no axis such as 700:1000:2"),
        (("--wavelengths", "600:1000:8"), "the spectra reach from 700 to 1000 nm"),
        (("--points", "4"), "must be odd and at least 5"),
        (("--points", "49"), "a filter over 49 points needs as many wavelengths; there are 48"),
    ],
    ids=str,
)
def test_what_the_verb_cannot_use_is_refused_and_nothing_is_written(onnx_file, tmp_path, capsys, more, told):
    args = ["models", "import", onnx_file, table(tmp_path / "fruit.csv", SAID + 0.1), *WAY, *more, "--out", str(tmp_path / "m")]
    assert main.main(args) == errors.BAD_INPUT
    assert told in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m").exists()
