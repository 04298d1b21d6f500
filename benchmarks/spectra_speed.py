"""How fast raw counts become traits: a pitch of six lanes, eight scans of 256 pixels each, one thread, by turns with the peer."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from chemotools.derivative import SavitzkyGolay
from chemotools.scatter import StandardNormalVariate
from numpy.typing import NDArray
from sklearn.cross_decomposition import PLSRegression
from sklearn.pipeline import make_pipeline

from benchmarks.plain_spectra import N_LANES, TARGETS, WAVELENGTH_NM, Lot
from citrus_grade.models.passages import WINDOW_NM, Passages, absorbance, train_passages
from citrus_grade.models.score_models import Kernel, gaussian_process
from citrus_grade.models.train import Trained
from citrus_grade.spectra import scatter
from citrus_grade.spectra.bands import matrix_of
from citrus_grade.spectra.model import Gaussians, SpectralModel
from citrus_grade.spectra.predict import align, predict
from citrus_grade.spectra.traits import OK, empty_traits

Floats = NDArray[np.float64]

PITCHES = 400
GPR_POINTS, GPR_SCORES = 1500, 15


def measure(calibration: Lot, groups: NDArray[Any]) -> dict[str, Any]:
    """Return microseconds a pitch of PLS and of a Gaussian process, the ratio to the peer, and the largest difference."""
    trained = train_passages(passages_of(calibration), calibration.reference, groups, TARGETS, families=("pls",))
    model = trained.model
    heavy = with_gaussians(model)
    counts, dark, white = calibration.counts, calibration.dark, calibration.white
    n = len(counts) // N_LANES
    rows = [slice(N_LANES * (k % n), N_LANES * (k % n + 1)) for k in range(PITCHES)]
    peer = peer_of(calibration)
    own_us, gpr_us, peer_us = [], [], []
    line, heavy_line = on_line(model, calibration.full_scale), on_line(heavy, calibration.full_scale)
    for k, part in enumerate(rows):
        own_us.append(timed(lambda part=part: line(counts[part], dark[part], white[part])))
        gpr_us.append(timed(lambda part=part: heavy_line(counts[part], dark[part], white[part])))
        if k % 4 == 0:
            peer_us.append(timed(lambda part=part: peer(counts[part], dark[part], white[part])))
    own = float(np.median(own_us))
    return {
        "us_per_pitch": own,
        "x_sklearn_pipeline": float(np.median(peer_us)) / own,
        "peer_us_per_pitch": float(np.median(peer_us)),
        "gpr_us_per_pitch": float(np.median(gpr_us)),
        "fused_max_abs_diff": max(difference(one, calibration) for one in (model, heavy)),
        "window_pixels": len(model.wavelength_nm),
        "components": [one.components for one in trained.chosen],
    }


def passages_of(lot: Lot) -> Passages:
    """Return a lot as `models.passages` takes it."""
    return Passages(lot.counts, lot.dark, lot.white, WAVELENGTH_NM, full_scale=lot.full_scale)


def on_line(model: SpectralModel, full_scale: int) -> Callable[[Any, Floats, Floats], Any]:
    """Return what the line does at every pitch."""
    aligned = align(np.tile(WAVELENGTH_NM, (N_LANES, 1)), model.wavelength_nm)
    out = empty_traits(N_LANES)

    def pitch(counts: Any, dark: Floats, white: Floats) -> Any:
        predict(model, aligned, counts, np.ones(counts.shape[:2], np.bool_), dark, white, full_scale, out)
        return out

    return pitch


def with_gaussians(model: SpectralModel) -> SpectralModel:
    """Return the model with a Gaussian process of `GPR_POINTS` fruit on `GPR_SCORES` scores for its first target."""
    from dataclasses import replace

    rng = np.random.default_rng(0)
    scores = rng.standard_normal((GPR_POINTS, GPR_SCORES))
    kernel = Kernel(0.2, 0.8, 0.1, np.full(GPR_SCORES, 0.2))
    made = gaussian_process(scores, scores[:, 0] + np.sin(scores[:, 1]), kernel)
    k = min(GPR_SCORES, len(model.domain.weights))
    weights = np.zeros((GPR_SCORES, model.domain.weights.shape[1]))
    weights[:k] = 0.2 * model.domain.weights[:k]
    offsets = np.zeros(GPR_SCORES)
    offsets[:k] = 0.2 * model.domain.offsets[:k]
    first = replace(model.targets[0], gaussians=Gaussians(weights, offsets, made.points, made.gamma, made.heights))
    return replace(model, targets=(first, *model.targets[1:]))


def peer_of(lot: Lot) -> Callable[[Any, Floats, Floats], Any]:
    """Return the peer's pitch: the same scans averaged, chemotools' SNV and derivative, scikit-learn's PLS, Brix alone."""
    window = (WINDOW_NM[0] <= WAVELENGTH_NM) & (WINDOW_NM[1] >= WAVELENGTH_NM)
    pipeline = make_pipeline(StandardNormalVariate(), SavitzkyGolay(window_length=13, polyorder=2, deriv=1),
                             PLSRegression(15, scale=False))  # fmt: skip

    def spectra(counts: Any, dark: Floats, white: Floats) -> Floats:
        share = (counts.mean(1) - dark)[:, window] / (white - dark)[:, window]
        return np.asarray(-np.log10(np.maximum(share, 1e-6)), np.float64)

    pipeline.fit(spectra(lot.counts, lot.dark, lot.white), lot.reference[:, 0])
    return lambda counts, dark, white: pipeline.predict(spectra(counts, dark, white))


def difference(model: SpectralModel, lot: Lot) -> float:
    """Return the largest difference of values from the model done step by step in NumPy."""
    spectra, traits = absorbance(passages_of(lot), model.wavelength_nm)
    good = traits["status"] == OK
    line = on_line(model, lot.full_scale)
    n = len(lot.counts) // N_LANES * N_LANES
    said = np.concatenate([
        line(lot.counts[k : k + N_LANES], lot.dark[k : k + N_LANES], lot.white[k : k + N_LANES])["value"].copy()
        for k in range(0, n, N_LANES)
    ])  # fmt: skip
    made = model.preprocessing
    z = scatter.rows(spectra @ matrix_of(made.before, spectra.shape[1]), made.scatter, made.shapes)
    plain = np.column_stack([unfused(target, z) for target in model.targets])
    return float(np.abs(said - plain[:n])[good[:n]].max())


def unfused(target: Any, z: Floats) -> Floats:
    """Return a target's values without the kernel."""
    value = z @ target.coefs + target.intercept
    if target.gaussians is not None:
        g = target.gaussians
        scores = z @ g.weights.T + g.offsets
        square = ((scores[:, None] - g.points[None]) ** 2).sum(2)
        value = value + np.exp(-g.gamma * square) @ g.heights
    return np.asarray(value, np.float64)


def timed(call: Callable[[], Any]) -> float:
    """Return microseconds of a call."""
    begun = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - begun)


def train_times(calibration: Lot, groups: NDArray[Any], many: tuple[Floats, Floats, Floats, NDArray[Any]]) -> dict[str, float]:
    """Return seconds to make a model of 300 fruit, everything searched, and of 20,000 spectra (nm, absorbance, y, groups)."""
    from citrus_grade.models.search import Samples
    from citrus_grade.models.train import train

    rows = np.arange(0, len(calibration.counts), max(1, len(calibration.counts) // 300))[:300]
    some = calibration.rows(rows)
    found: list[Trained] = []
    first = timed(lambda: found.append(train_passages(passages_of(some), some.reference, groups[rows], TARGETS))) / 1e6
    nm, spectra, y, lots = many
    second = timed(lambda: found.append(train(Samples(nm, spectra, y[:, None], lots), ("ssc_brix",)))) / 1e6
    return {"train_300_s": first, "train_20000_s": second}
