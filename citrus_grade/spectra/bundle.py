"""A spectral model as an artefact's card and arrays, and back."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra.bands import Band, band
from citrus_grade.spectra.graph import Graph
from citrus_grade.spectra.model import Domain, Gaussians, Preprocessing, Rows, SpectralModel, Target
from citrus_grade.spectra.scatter import FITTED, NONE, SNV
from citrus_grade.words import _

Json = Any  # a JSON value; its shape is the card's affair

KIND: Final = "spectral-model"
SCATTER: Final = {"none": NONE, "snv": SNV, "fitted": FITTED}
_DOMAIN: Final = ("weights", "offsets", "centre", "loadings", "darkness", "stretch")
_GRAPH: Final = ("onnx", "offset", "rows", "said")
_GAUSSIANS: Final = ("weights", "offsets", "points", "gamma", "heights")


class Stored(Protocol):
    """What an artefact store gives back."""

    @property
    def card(self) -> Mapping[str, Json]: ...

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...


def to_artefact(model: SpectralModel) -> tuple[dict[str, Json], dict[str, NDArray[Any]]]:
    """Return card and arrays of a model, for `artefacts.save` with `KIND`."""
    card = {
        "targets": [
            {"name": t.name, "unit": t.unit, "intercept": t.intercept, "sigma": t.sigma, "gaussians": t.gaussians is not None}
            for t in model.targets
        ],
        "scatter": next(name for name, kind in SCATTER.items() if kind == model.preprocessing.scatter),
        "domain": {"n_scores": model.domain.n_scores, "t2_limit": model.domain.t2_limit, "q_limit": model.domain.q_limit},
        "lanes": list(model.lanes),
        "training": dict(model.training),
    }
    return card, dict(_arrays(model))


def _arrays(model: SpectralModel) -> Iterator[tuple[str, NDArray[Any]]]:
    made = model.preprocessing
    yield "wavelength_nm", made.wavelength_nm
    yield "shapes", made.shapes
    for name, of in (("before", made.before), ("after", made.after)):
        yield f"{name}_taps", of.taps
        yield f"{name}_first", of.first
    for name in _DOMAIN:
        yield f"domain_{name}", getattr(model.domain, name)
    yield "corrections", model.corrections
    for j, target in enumerate(model.targets):
        yield f"target{j}_coefs", target.coefs
        yield f"target{j}_residuals", target.residuals
        if target.gaussians is not None:
            for name in _GAUSSIANS:
                yield f"target{j}_gaussian_{name}", getattr(target.gaussians, name)
    if model.rows is not None:
        yield from _rows_arrays(model.rows)
    if model.graph is not None:
        for name in _GRAPH:
            yield f"graph_{name}", getattr(model.graph, name)


def _rows_arrays(rows: Rows) -> Iterator[tuple[str, NDArray[Any]]]:
    yield "rows_nm", rows.wavelength_nm
    yield "rows_absorbance", rows.absorbance
    yield "rows_reference", rows.reference
    if rows.groups is not None:
        yield "rows_group", rows.groups


def from_artefact(stored: Stored) -> SpectralModel:
    """Return the model that `to_artefact` took apart.

    Raises
    ------
    ValueError : the card or the arrays are not those of a spectral model, or its ONNX graph does not run here as it did where it
        was made; the message names what is missing or does not fit.
    """
    card, arrays = stored.card, stored.arrays
    try:
        made = Preprocessing(
            arrays["wavelength_nm"], _band(arrays, "before"), SCATTER[card["scatter"]], arrays["shapes"], _band(arrays, "after")
        )
        targets = tuple(_target(j, told, arrays) for j, told in enumerate(card["targets"]))
        parts = {name: arrays[f"domain_{name}"] for name in _DOMAIN}
        domain = Domain(
            n_scores=int(card["domain"]["n_scores"]),
            t2_limit=float(card["domain"]["t2_limit"]),
            q_limit=float(card["domain"]["q_limit"]),
            **parts,
        )
        rows = _rows(arrays) if "rows_absorbance" in arrays else None
        graph = Graph(**{name: arrays[f"graph_{name}"] for name in _GRAPH}) if "graph_onnx" in arrays else None
        return SpectralModel(made, targets, domain, tuple(card["lanes"]), arrays["corrections"], card["training"], rows, graph)
    except KeyError as error:
        raise ValueError(
            _("not a spectral model of this version: {name} is missing from its card or arrays; train it again").format(
                name=error.args[0]
            )
        ) from error


def _rows(arrays: Mapping[str, NDArray[Any]]) -> Rows:
    return Rows(arrays["rows_nm"], arrays["rows_absorbance"], arrays["rows_reference"], arrays.get("rows_group"))


def _band(arrays: Mapping[str, NDArray[Any]], name: str) -> Band:
    return band(arrays[f"{name}_taps"], np.asarray(arrays[f"{name}_first"], np.int64))


def _target(j: int, told: Mapping[str, Json], arrays: Mapping[str, NDArray[Any]]) -> Target:
    gaussians = Gaussians(**{name: arrays[f"target{j}_gaussian_{name}"] for name in _GAUSSIANS}) if told["gaussians"] else None
    return Target(
        name=str(told["name"]),
        unit=str(told["unit"]),
        coefs=arrays[f"target{j}_coefs"],
        intercept=float(told["intercept"]),
        sigma=float(told["sigma"]),
        residuals=arrays[f"target{j}_residuals"],
        gaussians=gaussians,
    )
