"""A spectral model as plain arrays: what it holds and how it is laid out for the kernel."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra.bands import Band
from citrus_grade.spectra.expansion import Expansion, expansion
from citrus_grade.spectra.graph import Graph
from citrus_grade.spectra.interval import interval
from citrus_grade.spectra.packed import Packed, Plan, pack
from citrus_grade.spectra.scatter import FITTED
from citrus_grade.spectra.sums import STEP
from citrus_grade.spectra.traits import MAX_TARGETS

Floats = NDArray[np.float64]
Json = Any  # a JSON value; its shape is the card's affair


@dataclass(frozen=True, slots=True, eq=False)
class Preprocessing:
    """What happens to absorbance before the model: a band, a row-wise normalisation, another band.

    ``wavelength_nm`` (n_in,) that spectra must have; ``before`` n_in -> n; ``scatter`` a kind of `spectra.scatter`, with its
    ``shapes`` (m, n); ``after`` n -> n_out, which only T2 and Q need, for the values have it folded in.
    """

    wavelength_nm: Floats
    before: Band
    scatter: int
    shapes: Floats
    after: Band


@dataclass(frozen=True, slots=True, eq=False)
class Gaussians:
    """Sums of Gaussians over scores ``z @ weights.T + offsets``.

    ``weights`` (k, n), ``offsets`` (k,); ``points`` (N, k), ``gamma`` (N,), ``heights`` (N,):
    ``sum heights * exp(-gamma * |t - point|^2)``.
    """

    weights: Floats
    offsets: Floats
    points: Floats
    gamma: Floats
    heights: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """What is predicted: ``value = z @ coefs + intercept``, and the Gaussians if there are any.

    ``sigma`` RMSE of fruit left out, in ``unit``; ``residuals`` (n,) sorted, their reference minus value.
    """

    name: str
    unit: str
    coefs: Floats
    intercept: float
    sigma: float
    residuals: Floats
    gaussians: Gaussians | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """The kind of spectra a model knows: scores ``z @ weights.T + offsets``, the first ``n_scores`` of unit variance.

    ``weights`` (k, n), ``offsets`` (k,); ``centre`` (n_out,), ``loadings`` (k, n_out). T2 = sum of the first scores' squares,
    stretched for fruit that let much light through, whose spectra are quiet and lie closer together; Q = |after(z) - centre -
    scores @ loadings|^2; beyond ``t2_limit`` or ``q_limit`` a fruit is out of domain.
    ``stretch`` (m,) holds at mean absorbances evenly from ``darkness[0]`` to ``darkness[1]``, in between on a straight line.
    """

    n_scores: int
    weights: Floats
    offsets: Floats
    centre: Floats
    loadings: Floats
    t2_limit: float
    q_limit: float
    darkness: Floats
    stretch: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a model was made from, or a representative part: enough to fit it anew with other fruit or for another instrument.

    ``wavelength_nm`` (p,), more than the model itself needs; ``absorbance`` (n, p) float32; ``reference`` (n, n_targets);
    ``groups`` (n,), None where nobody named any.
    """

    wavelength_nm: Floats
    absorbance: NDArray[np.float32]
    reference: Floats
    groups: NDArray[np.str_] | None


@dataclass(frozen=True, slots=True, eq=False)
class SpectralModel:
    """Preprocessing, one or two targets, a domain, corrections of lanes, and the story of how it was made.

    ``lanes`` names the lanes that have a correction of their own; ``corrections`` (1 + n_lanes, n_targets, 2) holds intercept and
    slope of each value, first those of every other lane. ``graph`` adds what it says of the features to the targets' values.
    """

    preprocessing: Preprocessing
    targets: tuple[Target, ...]
    domain: Domain
    lanes: tuple[str, ...]
    corrections: Floats
    training: Mapping[str, Json]
    rows: Rows | None = None
    graph: Graph | None = None
    packed: Packed = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        object.__setattr__(self, "packed", pack(_plan(self)))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the targets."""
        return tuple(target.name for target in self.targets)

    @property
    def residuals(self) -> dict[str, Floats]:
        """Residuals of each target, (n,) sorted."""
        return {target.name: target.residuals for target in self.targets}

    @property
    def units(self) -> tuple[str, ...]:
        """Units of the targets."""
        return tuple(target.unit for target in self.targets)

    @property
    def wavelength_nm(self) -> Floats:
        """Wavelengths that spectra must have, (n_in,)."""
        return self.preprocessing.wavelength_nm

    def correction(self, lane: str) -> Floats:
        """Return intercept and slope of each target on a lane, (MAX_TARGETS, 2)."""
        row = self.lanes.index(lane) + 1 if lane in self.lanes else 0
        out = np.tile([0.0, 1.0], (MAX_TARGETS, 1))
        out[: len(self.targets)] = self.corrections[row]
        return out


def no_corrections(n_targets: int) -> Floats:
    """Return the corrections of a model that has none."""
    return np.tile([0.0, 1.0], (1, n_targets, 1))


def _no_gaussians(n: int) -> Gaussians:
    return Gaussians(np.zeros((0, n)), np.zeros(0), np.zeros((0, 0)), np.zeros(0), np.zeros(0))


def _of(target: Target) -> Gaussians:
    return target.gaussians or _no_gaussians(len(target.coefs))


def _check(model: SpectralModel) -> None:
    targets, made = model.targets, model.preprocessing
    if not 1 <= len(targets) <= MAX_TARGETS:
        raise ValueError(f"a model has 1 or {MAX_TARGETS} targets; got {model.names}")
    n_in, n, n_out = len(made.wavelength_nm), made.before.taps.shape[1], made.after.taps.shape[1]
    domain = model.domain
    k = len(domain.loadings)
    wanted: dict[str, tuple[Floats, tuple[int, ...]]] = {
        "shapes": (made.shapes, (len(made.shapes), n)),
        "domain weights": (domain.weights, (k, n)),
        "domain offsets": (domain.offsets, (k,)),
        "centre": (domain.centre, (n_out,)),
        "loadings": (domain.loadings, (k, n_out)),
        "corrections": (model.corrections, (1 + len(model.lanes), len(targets), 2)),
    }
    for target in targets:
        g = _of(target)
        wanted[f"{target.name} coefs"] = (target.coefs, (n,))
        wanted[f"{target.name} points"] = (g.points, (len(g.gamma), len(g.weights)))
        wanted[f"{target.name} heights"] = (g.heights, (len(g.gamma),))
    if model.graph is not None:
        wanted["graph offset"] = (model.graph.offset, (n_out,))
        wanted["graph values"] = (model.graph.said, (len(model.graph.rows), len(targets)))
    for name, (array, shape) in wanted.items():
        if array.shape != shape or array.dtype != np.float64:
            raise ValueError(f"{name} is {array.dtype} {array.shape}; the model needs float64 {shape}")
    for name, made_band, size in (("before", made.before, n_in), ("after", made.after, n)):
        if len(made_band.first) and not 0 <= int(made_band.first.min()) <= int(made_band.first.max()) <= size - len(
            made_band.taps
        ):
            raise ValueError(f"the band {name!r} reaches outside its {size} inputs")
    if len(domain.darkness) != 2 or not domain.darkness[0] < domain.darkness[1] or len(domain.stretch) < 2:
        raise ValueError(f"the domain's stretch has {len(domain.stretch)} values from {domain.darkness}")
    if domain.n_scores > k:
        raise ValueError(f"the domain has {k} loadings, not {domain.n_scores}")


def _plan(model: SpectralModel) -> Plan:
    """Lay the arrays out for the kernel; a missing second target is NaN."""
    made, domain = model.preprocessing, model.domain
    n, k = made.before.taps.shape[1], len(domain.loadings)
    gaussians = [_of(target) for target in model.targets] + [_no_gaussians(n)] * (MAX_TARGETS - len(model.targets))
    starts = np.cumsum([MAX_TARGETS + k, *(len(g.weights) for g in gaussians)])
    n_found = -(-starts[-1] // STEP) * STEP
    weights, offsets = np.zeros((n, n_found)), np.full(n_found, np.nan)
    sigma, ends = np.full(MAX_TARGETS, np.nan), np.full((MAX_TARGETS, 2), np.nan)
    weights[:, MAX_TARGETS : starts[0]], offsets[MAX_TARGETS : starts[0]] = domain.weights.T, domain.offsets
    for j, target in enumerate(model.targets):
        weights[:, j], offsets[j], sigma[j], ends[j] = target.coefs, target.intercept, target.sigma, interval(target.residuals)
    for g, start in zip(gaussians, starts, strict=False):
        weights[:, start : start + len(g.weights)] = g.weights.T
        offsets[start : start + len(g.weights)] = g.offsets
    first, second = (_expansion(int(start), g) for start, g in zip(starts, gaussians, strict=False))
    solver = np.asarray(np.linalg.pinv(made.shapes) if made.scatter == FITTED else np.zeros((n, len(made.shapes))), np.float64)
    return Plan(
        made.before, made.scatter, _laid(made.shapes), _laid(solver), _laid(weights), _laid(offsets), (first, second),
        made.after, _laid(domain.centre), domain.n_scores, _laid(domain.loadings),
        _laid(np.array([domain.t2_limit, domain.q_limit])), _laid(sigma), _laid(ends), _laid(domain.darkness),
        _laid(domain.stretch),
    )  # fmt: skip


def _expansion(start: int, g: Gaussians) -> Expansion:
    return expansion(start, g.points, g.gamma, g.heights)


def _laid(array: Floats) -> Floats:
    laid = np.array(array, np.float64, order="C")
    laid.setflags(write=False)
    return laid
