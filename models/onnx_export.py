"""A spectral model written as an ONNX graph for other programs' runtimes: preprocessing, values, intervals, T2 and Q in doubles.

What a runtime makes of the graph is compared with the bundle itself before anything is handed out.
"""

import json
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra import scatter
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.interval import interval
from citrus_grade.spectra.model import Domain, Gaussians, Preprocessing, SpectralModel, Target
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.words import Refused, _

Floats = NDArray[np.float64]

AGREE: Final = 1e-9
"""How far a graph may be from its bundle, in the size of the largest value of each output."""
OPSET: Final = 17
IR: Final = 8
OUTPUTS: Final = ("value", "low90", "high90", "t2", "q")
MADE_UP: Final = 32
"""Spectra to compare on where a bundle holds none."""


class ExportError(Refused):
    """A bundle that cannot be written as a graph; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class _Draft:
    """A graph being written: what a node or a constant is called comes back, for the next node to take."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, array: Any) -> str:
        from onnx import numpy_helper

        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(array, np.float64), name))
        return name

    def node(self, kind: str, *inputs: Any, to: str = "", **attributes: Any) -> str:
        """Add a node; inputs that are no names are constants."""
        from onnx import helper

        named = [given if isinstance(given, str) else self.constant(given) for given in inputs]
        name = to or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, named, [name], **attributes))
        return name

    def affine(self, rows: str, matrix: Floats, offset: Any) -> str:
        return self.node("Add", self.node("MatMul", rows, matrix), offset)

    def squares(self, rows: str, weight: Floats, to: str = "") -> str:
        """The weighted sum of each row's squares, (n, 1)."""
        return self.node("MatMul", self.node("Mul", rows, rows), weight[:, None], to=to)


def to_onnx(model: SpectralModel, lane: str = "", wavelength_nm: Floats | None = None) -> bytes:
    """Return a model as the bytes of an ONNX file.

    It takes ``absorbance`` (n, p) double and gives `OUTPUTS`: ``value``, ``low90``, ``high90`` (n, n_targets), ``t2``, ``q``
    (n, 1). Targets, units, wavelengths and the limits of T2 and Q stand in its metadata as JSON.

    Parameters
    ----------
    lane : whose correction of the values is written in, "" for that of every other lane.
    wavelength_nm : (p,) of the spectra it is to take, the model's own by default.

    Raises
    ------
    ExportError : a model with a graph of its own, a package that is missing, or a runtime that says something else.
    ValueError : wavelengths that do not reach as far as the model's.
    """
    if model.graph is not None:
        raise ExportError(_("this bundle runs an ONNX graph of another make; hand on the file it was imported from"))
    nm = model.wavelength_nm if wavelength_nm is None else wavelength_nm
    axis = matrix_of(interpolation(nm, model.wavelength_nm), len(nm))
    try:
        onnx = _written(model, model.correction(lane)[: len(model.targets)], nm, axis)
        found = _run(onnx, spectra := _spectra(model, nm))
    except ImportError as error:
        text = _("this needs the package {name}, which is not installed: pip install 'citrus-grade[onnx]'")
        raise ExportError(text.format(name=error.name)) from error
    _prove(model, lane, spectra @ axis, found)
    return onnx


def _written(model: SpectralModel, correction: Floats, nm: Floats, axis: Floats) -> bytes:
    from onnx import TensorProto, checker, helper

    draft = _Draft()
    z = _normalised(draft, model.preprocessing, axis)
    said = [_value(draft, target, z) for target in model.targets]
    value = draft.node(
        "Add", draft.node("Mul", draft.node("Concat", *said, axis=1), correction[:, 1]), correction[:, 0], to="value"
    )
    for k, name in enumerate(("low90", "high90")):
        draft.node("Add", value, [interval(target.residuals)[k] for target in model.targets], to=name)
    stretch = _stretch(draft, model.domain, axis.mean(1)[:, None])
    _domain(draft, model.domain, matrix_of(model.preprocessing.after, len(model.preprocessing.before.first)), z, stretch)
    sizes = {name: 1 if name in ("t2", "q") else len(model.targets) for name in OUTPUTS}
    given = [helper.make_tensor_value_info("absorbance", TensorProto.DOUBLE, ["n", len(nm)])]
    gives = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n", size]) for name, size in sizes.items()]
    graph = helper.make_graph(draft.nodes, "spectral_model", given, gives, draft.constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="citrus-grade")
    told = {
        "targets": model.names, "units": model.units, "wavelength_nm": nm.tolist(), "t2_limit": model.domain.t2_limit,
        "q_limit": model.domain.q_limit, "SIMULATED": bool(model.training.get("SIMULATED")),
    }  # fmt: skip
    helper.set_model_props(made, {"citrus_grade": json.dumps(told)})
    checker.check_model(made)
    return bytes(made.SerializeToString())


def _normalised(draft: _Draft, made: Preprocessing, axis: Floats) -> str:
    z = draft.node("MatMul", "absorbance", axis @ matrix_of(made.before, axis.shape[1]))
    if made.scatter == scatter.SNV:
        centred = draft.node("Sub", z, draft.node("ReduceMean", z, axes=[1], keepdims=1))
        variance = draft.node("ReduceMean", draft.node("Mul", centred, centred), axes=[1], keepdims=1)
        # A flat row becomes zeros: it is divided by 1, not by its own 0.
        flat = draft.node("Equal", variance, 0.0)
        return draft.node("Div", centred, draft.node("Sqrt", draft.node("Where", flat, 1.0, variance)))
    if made.scatter == scatter.FITTED:
        solver = np.linalg.pinv(made.shapes)
        others = draft.node("MatMul", z, solver[:, 1:] @ made.shapes[1:])
        return draft.node("Div", draft.node("Sub", z, others), draft.node("MatMul", z, solver[:, :1]))
    return z


def _value(draft: _Draft, target: Target, z: str) -> str:
    straight = draft.affine(z, target.coefs[:, None], target.intercept)
    return straight if target.gaussians is None else draft.node("Add", straight, _bumps(draft, target.gaussians, z))


def _bumps(draft: _Draft, own: Gaussians, z: str) -> str:
    t = draft.affine(z, own.weights.T, own.offsets)
    square = draft.squares(t, np.ones(own.points.shape[1]))
    # -gamma |t - point|^2, its middle term and its last in one product
    cross = draft.affine(t, 2.0 * own.gamma * own.points.T, -own.gamma * (own.points**2).sum(1))
    exponent = draft.node("Sub", cross, draft.node("MatMul", square, own.gamma[None]))
    return draft.node("MatMul", draft.node("Exp", exponent), own.heights[:, None])


def _stretch(draft: _Draft, domain: Domain, mean: Floats) -> str:
    """What T2 is multiplied by: the first value, and of each step between values the part that the darkness has climbed."""
    (low, high), last = domain.darkness, len(domain.stretch) - 1
    place = draft.affine("absorbance", mean * last / (high - low), -low * last / (high - low))
    climbed = draft.node("Clip", draft.node("Sub", place, np.arange(float(last))), 0.0, 1.0)
    return draft.affine(climbed, np.diff(domain.stretch)[:, None], domain.stretch[0])


def _domain(draft: _Draft, domain: Domain, after: Floats, z: str, stretch: str) -> None:
    scores = draft.affine(z, domain.weights.T, domain.offsets)
    inside = draft.squares(scores, (np.arange(len(domain.loadings)) < domain.n_scores).astype(np.float64))
    draft.node("Mul", inside, stretch, to="t2")
    rest = draft.node("Sub", draft.affine(z, after, -domain.centre), draft.node("MatMul", scores, domain.loadings))
    draft.squares(rest, np.ones(after.shape[1]), to="q")


def _spectra(model: SpectralModel, nm: Floats) -> Floats:
    """Return spectra (n, p) to compare on: the bundle's own where they reach, else made up."""
    if model.rows is not None:
        own = model.rows.wavelength_nm
        if nm[0] >= own[0] and nm[-1] <= own[-1]:
            return np.asarray(model.rows.absorbance @ matrix_of(interpolation(own, nm), len(own)), np.float64)
    across = np.linspace(0.0, 1.0, len(nm))
    shapes = np.cos(np.pi * np.arange(MADE_UP // 4)[:, None] * across)
    return 1.0 + np.random.default_rng(0).normal(0.0, 0.1, (MADE_UP, len(shapes))) @ shapes


def _run(onnx: bytes, absorbance: Floats) -> list[Floats]:
    from onnxruntime import InferenceSession

    session = InferenceSession(onnx, providers=["CPUExecutionProvider"])
    return [np.asarray(out) for out in session.run(list(OUTPUTS), {"absorbance": absorbance})]


def _prove(model: SpectralModel, lane: str, absorbance: Floats, found: list[Floats]) -> None:
    own = predict_absorbance(model, np.ascontiguousarray(absorbance), [lane] * len(absorbance))
    for name, said in zip(OUTPUTS, found, strict=True):
        wanted = own[name].reshape(len(said), -1)[:, : said.shape[1]]
        off, size = float(np.abs(said - wanted).max()), float(np.abs(wanted).max())
        if not off <= AGREE * size:
            text = _("the graph's {name} is off by up to {off:.2g} where the bundle says up to {size:.3g}; it is not written")
            raise ExportError(text.format(name=name, off=off, size=size))
