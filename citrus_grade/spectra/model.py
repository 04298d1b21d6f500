"""A spectral model as plain arrays: what it holds, how it is applied, how it becomes an artefact and comes back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra import kernel
from citrus_grade.spectra.traits import MAX_TARGETS, OK, TRAITS

Floats = NDArray[np.float64]
Plan = tuple[Floats, Floats, Floats, Floats, Floats, Floats, Floats]
Json = Any  # a JSON value; its shape is the card's affair

KIND: Final = "spectral-model"


@dataclass(frozen=True, slots=True, eq=False)
class SpectralModel:
    """SNV over a window, Savitzky-Golay derivative and PLS, folded.

    With z the SNV row (n_window,): value = z @ coefs + intercept; scores t = z @ score_weights + score_offsets, scaled to
    unit variance, so T2 = |t|^2; Q = |SG(z) - centre - t @ loadings|^2.

    Attributes
    ----------
    targets, units : name and unit of each target, one or two.
    wavelength_nm : (n_pixels,) axis of the spectrometer the model was made on.
    start, stop : the window's pixels, ``start:stop``; n_window of them.
    coefs : (n_targets, n_window). intercepts, sigma : (n_targets,), in the target's unit.
    score_weights : (k, n_window). score_offsets : (k,).
    sg_taps : (n_taps, n_window), each pixel's derivative weights. centre : (n_window,). loadings : (k, n_window).
    t2_limit, q_limit : beyond either a fruit is out of domain.
    training : what the model was made from, as JSON values.
    plan : the same arrays, laid out for the kernel.
    """

    targets: tuple[str, ...]
    units: tuple[str, ...]
    wavelength_nm: Floats
    start: int
    stop: int
    coefs: Floats
    intercepts: Floats
    sigma: Floats
    score_weights: Floats
    score_offsets: Floats
    sg_taps: Floats
    centre: Floats
    loadings: Floats
    t2_limit: float
    q_limit: float
    training: Mapping[str, Json]
    plan: Plan = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "plan", _plan(self))


def _check(model: SpectralModel) -> None:
    n, k, targets = model.stop - model.start, len(model.loadings), len(model.targets)
    if not 1 <= targets <= MAX_TARGETS or len(model.units) != targets:
        raise ValueError(f"a model has 1 or {MAX_TARGETS} targets, each with a unit; got {model.targets} with {model.units}")
    if not 0 <= model.start < model.stop <= len(model.wavelength_nm):
        raise ValueError(f"window {model.start}:{model.stop} lies outside the {len(model.wavelength_nm)} pixels of wavelength_nm")
    shapes = {
        "coefs": (targets, n),
        "intercepts": (targets,),
        "sigma": (targets,),
        "score_weights": (k, n),
        "score_offsets": (k,),
        "sg_taps": (len(model.sg_taps), n),
        "centre": (n,),
        "loadings": (k, n),
    }
    for name, shape in shapes.items():
        array = getattr(model, name)
        if array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; the model needs float64 {shape}")
    if len(model.sg_taps) % 2 == 0 or len(model.sg_taps) > n:
        raise ValueError(f"sg_taps has {len(model.sg_taps)} rows; it needs an odd number, at most the window's {n} pixels")


def _plan(model: SpectralModel) -> Plan:
    """The model's arrays as the kernel wants them; a missing second target is NaN."""
    n_targets, n = model.coefs.shape
    columns = np.zeros((n, MAX_TARGETS + len(model.loadings)))
    columns[:, :n_targets] = model.coefs.T
    columns[:, MAX_TARGETS:] = model.score_weights.T
    offsets, sigma = np.full(columns.shape[1], np.nan), np.full(MAX_TARGETS, np.nan)
    offsets[:n_targets], offsets[MAX_TARGETS:], sigma[:n_targets] = model.intercepts, model.score_offsets, model.sigma
    limits = np.array([model.t2_limit, model.q_limit])
    taps, centre, loadings = (np.ascontiguousarray(a) for a in (model.sg_taps, model.centre, model.loadings))
    return columns, offsets, sigma, taps, centre, loadings, limits


def empty_traits(n: int) -> NDArray[np.void]:
    """Room for the traits of ``n`` fruit."""
    return np.zeros(n, TRAITS)


def predict(
    model: SpectralModel,
    counts: NDArray[np.uint16],
    received: NDArray[np.bool_],
    dark: Floats,
    white: Floats,
    full_scale: int,
    out: NDArray[np.void],
) -> None:
    """Raw counts of a pitch -> traits.

    Parameters
    ----------
    counts : (n, n_bins, n_pixels), C-contiguous as all inputs, one row a fruit; bins not received may hold anything.
    received : (n, n_bins).
    dark, white : (n, n_pixels) counts, the references of each row's lane.
    full_scale : a scan with a pixel of the window at or above it is clipped.
    out : (n,) of `TRAITS`, written.
    """
    n, n_bins, n_pixels = counts.shape
    row = (n, n_pixels)
    given = (n_pixels, received.shape, dark.shape, white.shape, len(out))
    if given != (len(model.wavelength_nm), (n, n_bins), row, row, n):
        raise ValueError(
            f"counts {counts.shape}, received {received.shape}, dark {dark.shape}, white {white.shape}, out {out.shape} "
            f"do not fit together or do not fit the model's {len(model.wavelength_nm)} pixels"
        )
    kernel.predict_counts(counts, received, dark, white, model.start, full_scale, *model.plan, out)


def predict_absorbance(model: SpectralModel, absorbance: Floats, out: NDArray[np.void]) -> None:
    """Absorbance (n, n_pixels) -> traits, for spectra that were averaged elsewhere; the scan columns stay empty."""
    if absorbance.shape != (len(out), len(model.wavelength_nm)):
        raise ValueError(f"absorbance is {absorbance.shape}; the model needs ({len(out)}, {len(model.wavelength_nm)})")
    window = np.array(absorbance[:, model.start : model.stop], np.float64, order="C")
    out[:] = np.zeros(1, TRAITS)
    out["scan_spread"] = np.nan
    out["status"] = OK
    kernel.apply(window, *model.plan, out)


_ARRAYS: Final = (
    "wavelength_nm",
    "coefs",
    "intercepts",
    "sigma",
    "score_weights",
    "score_offsets",
    "sg_taps",
    "centre",
    "loadings",
)


def to_artefact(model: SpectralModel) -> tuple[dict[str, Json], dict[str, Floats]]:
    """Card and arrays of a model, for `artefacts.save` with `KIND`."""
    card = {
        "targets": list(model.targets),
        "units": list(model.units),
        "window": [model.start, model.stop],
        "t2_limit": model.t2_limit,
        "q_limit": model.q_limit,
        "training": dict(model.training),
    }
    return card, {name: getattr(model, name) for name in _ARRAYS}


class Stored(Protocol):
    """What an artefact store gives back."""

    @property
    def card(self) -> Mapping[str, Json]: ...

    @property
    def arrays(self) -> Mapping[str, NDArray[Any]]: ...


def from_artefact(stored: Stored) -> SpectralModel:
    """The model that `to_artefact` took apart.

    Raises
    ------
    ValueError : the card or the arrays are not those of a spectral model; the message names what is missing or does not fit.
    """
    card, arrays = stored.card, stored.arrays
    wanted = {"targets", "units", "window", "t2_limit", "q_limit", "training"}
    if missing := sorted((wanted - card.keys()) | (set(_ARRAYS) - arrays.keys())):
        raise ValueError(f"not a spectral model: {', '.join(missing)} missing from its card or arrays; save it again")
    start, stop = card["window"]
    return SpectralModel(
        targets=tuple(card["targets"]),
        units=tuple(card["units"]),
        start=int(start),
        stop=int(stop),
        t2_limit=float(card["t2_limit"]),
        q_limit=float(card["q_limit"]),
        training=card["training"],
        **{name: arrays[name] for name in _ARRAYS},
    )
