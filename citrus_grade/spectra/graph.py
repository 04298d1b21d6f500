"""A regression that is none of our families, kept as an ONNX graph and run outside the kernel, one fruit at a time.

A graph's arithmetic is its runtime's: another version or processor may round otherwise. So it carries fruit with what its
original said of them, and is not used where it says something else.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.bands import pass_through
from citrus_grade.spectra.packed import Packed, unpack
from citrus_grade.spectra.scatter import normalise
from citrus_grade.spectra.traits import OK, OUT_OF_DOMAIN
from citrus_grade.words import _

Floats = NDArray[np.float64]
Run = Callable[[Floats], Floats]

AGREE: Final = 1e-4
"""How far a graph may be from its original, in the size of the target's largest value: 0.001 Brix of 12."""
_KINDS: Final = {"tensor(float)": np.float32, "tensor(double)": np.float64}


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """An ONNX graph and the proof that it runs here as it did where it was made.

    ``onnx`` (n_bytes,) uint8; ``offset`` (n_out,) is added to the features before they enter it; ``rows`` (m, n_out) features
    and ``said`` (m, n_targets) what the original makes of them.

    Raises
    ------
    ValueError : no runtime, a graph that it cannot run or that takes something else, or values farther off than `AGREE`.
    """

    onnx: NDArray[np.uint8]
    offset: Floats
    rows: Floats
    said: Floats
    run: Run = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "run", opened(self.onnx.tobytes(), len(self.offset), self.said.shape[1]))
        prove(self.values(self.rows), self.said)

    def values(self, features: Floats) -> Floats:
        """Return what it says (n, n_targets) of features (n, n_out); NaN where that is no number."""
        said = np.array([self.run(row) for row in features + self.offset]).reshape(-1, self.said.shape[1])
        return np.where(np.isfinite(said), said, np.nan)


def prove(found: Floats, said: Floats) -> None:
    """Refuse values (n, n_targets) that differ from those of the original.

    Raises
    ------
    ValueError : by more than `AGREE`.
    """
    off, size = np.abs(found - said).max(0), np.abs(said).max(0)
    if not (off <= AGREE * size).all():  # NaN is no agreement
        j = int(np.argmax(np.where(np.isnan(off), np.inf, off / np.maximum(size, 1e-300))))
        raise ValueError(
            _(
                "the ONNX graph says something else here than its original did, by up to {off:.2g}, where {most:.2g} is allowed;"
                " take the version of onnxruntime that its card names, or make it again"
            ).format(off=off[j], most=AGREE * size[j])
        )


def opened(onnx: bytes, n_features: int, n_targets: int) -> Run:
    """Return a graph as a function of one fruit: (n_features,) -> (n_targets,).

    Raises
    ------
    ValueError : no runtime, or a graph that does not load or takes or gives something else.
    """
    session = _session(onnx)
    given = session.get_inputs()
    if len(given) != 1 or given[0].type not in _KINDS:
        told = ", ".join(f"{one.name} {one.type}" for one in given)
        raise ValueError(_("the ONNX graph takes {told}; it must take one tensor of float or double").format(told=told))
    name, kind, shape = given[0].name, _KINDS[given[0].type], shape_of(given[0].shape, n_features)
    wanted = [session.get_outputs()[0].name]

    def run(row: Floats) -> Floats:
        try:
            said = np.asarray(session.run(wanted, {name: row.reshape(shape).astype(kind)})[0], np.float64).reshape(-1)
        except Exception as error:  # the runtime's errors have no common ancestor
            raise _cannot(error) from error
        if len(said) != n_targets:
            raise ValueError(
                _("the ONNX graph gives {found} values for a fruit, not {wanted}").format(found=len(said), wanted=n_targets)
            )
        return said

    return run


def shape_of(told: Sequence[int | str | None], n_features: int) -> tuple[int, ...]:
    """Return the shape of one fruit for a graph that takes this one: its own first axis 1, one unknown axis the features.

    Raises
    ------
    ValueError : the graph takes batches of a fixed size, or another number of values.
    """
    free = [axis for axis, size in enumerate(told) if not isinstance(size, int) or size < 1]
    shape = [size if isinstance(size, int) and size > 0 else 1 for size in told]
    others = [axis for axis in free if axis > 0]
    if len(others) == 1:
        shape[others[0]] = n_features // int(np.prod(shape))
    if len(shape) < 2 or shape[0] != 1 or int(np.prod(shape)) != n_features:
        raise ValueError(
            _("the ONNX graph takes {told}; it must take any number of fruit with {n} values each").format(
                told=" x ".join(map(str, told)), n=n_features
            )
        )
    return tuple(shape)


def _session(onnx: bytes) -> Any:
    try:
        import onnxruntime  # optional, and only for such models
    except ImportError as error:
        text = _("this needs the package {name}, which is not installed: pip install 'citrus-grade[onnx]'")
        raise ValueError(text.format(name=error.name)) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # What the runtime fuses beyond this it fuses for the processor it finds, and rounds otherwise.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    # Weights in files of their own are no part of a bundle and of its id: none is found in a folder that cannot be.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", os.devnull)
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise _cannot(error) from error


def _cannot(error: Exception) -> ValueError:
    reason = str(error).partition("\n")[0]
    return ValueError(_("onnxruntime cannot run this graph: {reason}").format(reason=reason))


@njit(cache=True, nogil=True)
def _features(absorbance: Floats, model: Packed, out: Floats) -> None:
    plan = unpack(model)
    normal, share = np.empty(len(plan.weights)), np.empty(len(plan.shapes))
    for i in range(len(absorbance)):
        pass_through(plan.before.taps, plan.before.first, plan.before.run, absorbance[i], normal)
        normalise(normal, plan.scatter, plan.shapes, plan.solver, share)
        pass_through(plan.after.taps, plan.after.first, plan.after.run, normal, out[i])


def add_values(graph: Graph, model: Packed, absorbance: Floats, corrections: Floats, out: NDArray[Any]) -> None:
    """Add to traits what a graph says, each value corrected; a fruit it gives no number for is out of domain.

    Parameters
    ----------
    model : what the graph's features are made with. absorbance : (n, n_in) at its wavelengths.
    corrections : (n, MAX_TARGETS, 2). out : (n,) of `traits.TRAITS`, in which the kernel has left the values at their intercepts.
    """
    rows = np.flatnonzero((out["status"] == OK) | (out["status"] == OUT_OF_DOMAIN))
    features = np.empty((len(rows), len(graph.offset)))
    _features(absorbance[rows], model, features)
    said = graph.values(features)
    for j, told in enumerate(said.T):
        for name in ("value", "low90", "high90"):
            out[name][rows, j] += corrections[rows, j, 1] * told
    out["status"][rows[np.isnan(said).any(1)]] = OUT_OF_DOMAIN
