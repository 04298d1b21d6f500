"""What the card of a compiled pipeline tells of how it was made."""

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade import __version__
from citrus_grade.models.evaluate import sd_within
from citrus_grade.models.normalisers import steps_of

Floats = NDArray[np.float64]


def story_of(
    pipeline: Any, names: Sequence[str], reference: Floats, said: Floats, groups: NDArray[Any] | None, components: int
) -> dict[str, Any]:
    """Return the training part of a card.

    Parameters
    ----------
    reference, said : (n, n_targets), what the laboratory and what refits without the fruit's group say. components : of scores.
    """
    *steps, (_name, regression) = steps_of(pipeline)
    recipe = ", ".join(_short(step) for _own, step in steps) or "as it is"
    lots = lots_of(groups)
    told = told_of({"recipe": recipe, "family": _short(regression), "components": components}, names, reference, said, lots)
    return {**told, "left_out": "whole groups" if lots is not None else "a tenth at random, for no groups were named"}


def lots_of(groups: NDArray[Any] | None) -> NDArray[np.str_] | None:
    """Return groups as their names."""
    return None if groups is None else np.asarray(groups).astype(np.str_)


def told_of(
    way: dict[str, Any], names: Sequence[str], reference: Floats, said: Floats, lots: NDArray[np.str_] | None
) -> dict[str, Any]:
    """Return what a card tells of fruit and what a model says of them; ``way``: recipe, family and components of each target."""
    counted = {} if lots is None else dict(zip(*np.unique(lots, return_counts=True), strict=True))
    return {
        "n": len(reference),
        "groups": {str(name): int(size) for name, size in counted.items()},
        "targets": {name: _target(reference[:, j], said[:, j], lots) | way for j, name in enumerate(names)},
        "suspect_rows": [],
        "versions": {"citrus-grade": __version__, "python": platform.python_version(), **_versions()},
    }


def _target(y: Floats, said: Floats, lots: NDArray[np.str_] | None) -> dict[str, Any]:
    rmse, within = float(np.sqrt(((y - said) ** 2).mean())), sd_within(y, lots)
    return {
        "rmsecv": rmse,
        "r2cv": float(1.0 - rmse**2 / y.var()),
        "best": {},
        "range": [float(y.min()), float(y.max())],
        "mean": float(y.mean()),
        "sd": float(y.std(ddof=1)),
        "sd_within": within if np.isfinite(within) else float(y.std(ddof=1)),
        "reference_error": None,
    }


def _short(step: Any) -> str:
    """Return an estimator with what was set otherwise than by default, arrays by their shape."""
    try:
        defaults = type(step)().get_params(deep=False)
    except TypeError:  # one that is made of others has no defaults
        return type(step).__name__
    own = {key: value for key, value in step.get_params(deep=False).items() if not _same(value, defaults.get(key))}
    told = ", ".join(f"{key}={f'array{value.shape}' if isinstance(value, np.ndarray) else value}" for key, value in own.items())
    return f"{type(step).__name__}({told})"


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and not isinstance(one, np.ndarray) and bool(one == other)


def _versions() -> dict[str, str]:
    found = {}
    for name in ("numpy", "scipy", "scikit-learn", "chemotools", "onnxruntime", "skl2onnx"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
