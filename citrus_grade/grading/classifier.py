"""A grade classifier as plain arrays: what it holds, how it is applied, how it becomes an artefact and comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from citrus_grade.artefacts import Artefact, ArtefactError
from citrus_grade.grading import walk
from citrus_grade.grading.features import FEATURE_VERSION
from citrus_grade.grading.forest import laid_out
from citrus_grade.grading.walk import Floats, Trees, Walk
from citrus_grade.words import _

Json = Any  # a JSON value; its shape is the card's affair

KIND: Final = "grade-classifier"
KINDS: Final = ("logistic", "mlp", "forest", "boosting")
ACTIVATIONS: Final = ("identity", "relu", "tanh", "logistic")
LINKS: Final = ("shares", "sigmoid", "softmax")
CALIBRATIONS: Final = ("none", "temperature", "sigmoid", "isotonic")

ARRAYS: Final[Mapping[str, type]] = {
    "fill": np.float64, "size": np.int64, "weight": np.float64, "bias": np.float64,
    "threshold": np.float64, "child": np.int32, "feature": np.int32, "value": np.float64, "root": np.int64, "output": np.int64,
    "base": np.float64, "knot_x": np.float64, "knot_y": np.float64, "first": np.int64,
}  # fmt: skip
"""Every model has all of them, empty where its kind has no use for one; see `walk.Walk`."""


@dataclass(frozen=True, slots=True, eq=False)
class GradeModel:
    """A classifier of fruit.

    Attributes
    ----------
    kind : one of `KINDS`. classes : names, in the order of the grades. features : names of `features.FEATURES`.
    arrays : `ARRAYS`. activation, link, calibration : of `ACTIVATIONS`, `LINKS`, `CALIBRATIONS`.
    single : whether trees compare float32. training : what the model was made from, as JSON values.
    walk : the same arrays laid out for the compiled loop, for vectors that hold the model's features in order.

    Raises
    ------
    ValueError : arrays that do not fit one another.
    """

    kind: str
    classes: tuple[str, ...]
    features: tuple[str, ...]
    arrays: Mapping[str, NDArray[Any]]
    link: str
    activation: str = "identity"
    calibration: str = "none"
    single: bool = False
    training: Mapping[str, Json] = field(default_factory=dict)
    walk: Walk = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "walk", _walk(self))


def arrays(**given: ArrayLike) -> dict[str, NDArray[Any]]:
    """Return `ARRAYS` with what is given, the rest empty."""
    all_of_them: dict[str, ArrayLike] = dict.fromkeys(ARRAYS, ()) | {"value": np.zeros((0, 1))} | given
    return {name: np.ascontiguousarray(all_of_them[name], dtype) for name, dtype in ARRAYS.items()}


def predict_proba(model: GradeModel, x: ArrayLike) -> Floats:
    """Return the probability of each class, (n, n_classes), of fruit (n, n_features) in the order of ``model.features``.

    Raises
    ------
    ValueError : another number of features.
    """
    x = np.ascontiguousarray(x, np.float64)
    if x.ndim != 2 or x.shape[1] != len(model.features):
        raise ValueError(f"features are {x.shape}; the model looks at (n, {len(model.features)})")
    out = np.empty((len(x), len(model.classes)))
    walk.classify_all(x, model.walk, out)
    return out


def bind(model: GradeModel, names: tuple[str, ...], where: Path | str) -> Walk:
    """Return the model's loop for vectors that hold ``names``.

    Raises
    ------
    ArtefactError : a feature the model looks at is not among them.
    """
    if missing := [name for name in model.features if name not in names]:
        raise ArtefactError(
            _(
                "{path}: the classifier looks at {features}, which this line does not measure; train it on what this line does"
            ).format(path=where, features=", ".join(missing))
        )
    return model.walk._replace(column=_kept(np.array([names.index(name) for name in model.features], np.int64)))


def nobody() -> Walk:
    """Return the loop of a line without a classifier: no class at all."""
    none = GradeModel("logistic", (), (), arrays(), "shares")
    return none.walk


def to_artefact(model: GradeModel) -> tuple[dict[str, Json], dict[str, NDArray[Any]]]:
    """Card and arrays of a model, for `artefacts.save` with `KIND`."""
    card = {
        "feature_version": FEATURE_VERSION,
        "kind": model.kind,
        "classes": list(model.classes),
        "features": list(model.features),
        "link": model.link,
        "activation": model.activation,
        "calibration": model.calibration,
        "single": model.single,
        "training": dict(model.training),
    }
    return card, dict(model.arrays)


def from_artefact(stored: Artefact, where: Path) -> GradeModel:
    """The model that `to_artefact` took apart.

    Raises
    ------
    ArtefactError : made for another version of the features, or card and arrays are not those of a grade classifier.
    """
    card = stored.card
    version = card.get("feature_version")
    if version != FEATURE_VERSION:
        raise ArtefactError(
            _("{path}: made for version {made} of the fruit features, this program has version {own}; train it again").format(
                path=where, made=version, own=FEATURE_VERSION
            )
        )
    try:
        return GradeModel(
            kind=card["kind"],
            classes=tuple(card["classes"]),
            features=tuple(card["features"]),
            arrays=stored.arrays,
            link=card["link"],
            activation=card["activation"],
            calibration=card["calibration"],
            single=bool(card["single"]),
            training=card["training"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtefactError(
            _("{path}: is no whole grade classifier ({why}); copy or train it again").format(path=where, why=error)
        ) from error


def _check(model: GradeModel) -> None:
    for name, value, known in (
        ("kind", model.kind, KINDS),
        ("link", model.link, LINKS),
        ("activation", model.activation, ACTIVATIONS),
        ("calibration", model.calibration, CALIBRATIONS),
    ):
        if value not in known:
            raise ValueError(f"{name} is {value!r}, none of {', '.join(known)}")
    for name, dtype in ARRAYS.items():
        if model.arrays[name].dtype != dtype:
            raise ValueError(f"{name} is {model.arrays[name].dtype}, not {np.dtype(dtype)}")
    k, f, a = len(model.classes), len(model.features), model.arrays
    n_raw = 1 if model.link == "sigmoid" else k
    if model.link == "sigmoid" and k != 2:
        raise ValueError(f"one score tells 2 classes apart, not {k}")
    size = a["size"]
    layers = list(zip(size[:-1].tolist(), size[1:].tolist(), strict=True))
    shapes: dict[str, tuple[int, ...]]
    shapes = {"fill": (f,), "base": (n_raw,), "weight": (sum(i * o for i, o in layers),), "bias": (sum(o for _i, o in layers),)}
    shapes |= dict.fromkeys(("threshold", "child", "feature"), (len(a["value"]),))
    shapes["output"] = a["root"].shape
    shapes |= _knots(model.calibration, k, a)
    for name, shape in shapes.items():
        if a[name].shape != shape:
            raise ValueError(f"{name} is {a[name].shape}; the model needs {shape}")
    if layers and (size[0] != f or size[-1] != n_raw or size.min() < 1):
        raise ValueError(f"layers {size.tolist()} do not lead from {f} features to {n_raw} scores")
    width = a["value"].shape[1]
    if len(a["root"]) and not (a["output"].min() >= 0 and a["output"].max() + width <= n_raw):
        raise ValueError("a tree adds to a score that is not there")


def _knots(calibration: str, k: int, a: Mapping[str, NDArray[Any]]) -> dict[str, tuple[int, ...]]:
    if calibration == "isotonic":
        first = a["first"]
        if first.shape != (k + 1,) or first[0] != 0 or (np.diff(first) < 1).any():
            raise ValueError(f"first is {first.tolist()}; each of {k} classes needs a knot")
        return {"knot_x": (int(first[-1]),), "knot_y": (int(first[-1]),)}
    n = {"none": 0, "temperature": 1, "sigmoid": k}[calibration]
    return {"knot_x": (n,), "knot_y": (n if calibration == "sigmoid" else 0,)}


def _kept(array: NDArray[Any]) -> NDArray[Any]:
    """Return a view that cannot be written through: the loop is compiled once for such arrays, wherever they came from."""
    view = array.view()
    view.setflags(write=False)
    return view


def _walk(model: GradeModel) -> Walk:
    a = model.arrays
    trees = laid_out(a, len(model.features), single=model.single)
    a = {name: _kept(array) for name, array in a.items()}
    return Walk(
        n_classes=len(model.classes),
        column=_kept(np.arange(len(model.features))),
        fill=a["fill"],
        size=a["size"],
        weight=a["weight"],
        bias=a["bias"],
        activation=ACTIVATIONS.index(model.activation),
        trees=Trees(*map(_kept, trees)),
        base=a["base"],
        link=LINKS.index(model.link),
        calibration=CALIBRATIONS.index(model.calibration),
        knot_x=a["knot_x"],
        knot_y=a["knot_y"],
        first=a["first"],
    )
