"""A model to play with, made from simulated fruit. Every figure it reports is SIMULATED."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.models.passages import Passages, train_passages
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import align, predict
from citrus_grade.spectra.traits import MISSING, OUT_OF_DOMAIN, SATURATED, empty_traits

Floats = NDArray[np.float64]

TARGETS = ("ssc_brix", "ta_pct")
REFERENCE_ERROR = (0.15, 0.03)
SEASONS = (1, 2, 3)
NEW_SEASON = 4
LOTS_A_SEASON, FRUIT_A_LOT = 2, 100
N_NEW = 240
SCANS = 8
REACH = 0.5
"""Scans are triggered within this much of the fruit's radius, either side of its centre."""


def fit_demo(seed: int, wavelength_nm: Floats, n_lanes: int) -> tuple[SpectralModel, dict[str, Any]]:
    """Fit on three simulated seasons, two lots each, and try the model on a fourth.

    Cross-validation leaves whole seasons out, so ``sigma`` holds for a season the model has not seen.

    Returns
    -------
    The model, and a report: per target ``rmsep``, ``bias``, ``sep``, ``rpd`` in the target's unit, and the shares of fruit
    without a value and out of domain. All SIMULATED.
    """
    spectrometer = SimSpectrometer(seed, n_lanes, wavelength_nm)
    lots = [(season, lot) for season in SEASONS for lot in range(LOTS_A_SEASON)]
    grown = [orchard.grow(seed + 1000 * season + lot, FRUIT_A_LOT, season=season) for season, lot in lots]
    groups = np.repeat([f"season {season}" for season, _ in lots], FRUIT_A_LOT)
    fruit = np.concatenate(grown)
    counts, dark, white = pass_fruit(spectrometer, fruit, first_seq=0)
    reference = _laboratory(fruit, np.random.default_rng([seed, 3]))
    passages = Passages(counts, dark, white, wavelength_nm, full_scale=spectrometer.full_scale)
    model = train_passages(
        passages, reference, groups, TARGETS, families=("pls",), reference_error=REFERENCE_ERROR, story={"SIMULATED": True}
    ).model
    return model, _try(model, spectrometer, orchard.grow(seed + 1000 * NEW_SEASON, N_NEW, season=NEW_SEASON), len(fruit))


def pass_fruit(
    spectrometer: SimSpectrometer, fruit: NDArray[Any], first_seq: int, n_scans: int = SCANS
) -> tuple[NDArray[np.uint16], Floats, Floats]:
    """Carry ``fruit`` (n,) past the spectrometers, lane after lane in turn.

    Returns
    -------
    counts (n, n_scans, n_pixels), and each row's dark and white (n, n_pixels).
    """
    lanes = np.arange(len(fruit)) % spectrometer.n_lanes
    counts = np.empty((len(fruit), n_scans, len(spectrometer.wavelength_nm)), np.uint16)
    seq = first_seq
    for i in range(0, len(fruit), spectrometer.n_lanes):
        row = slice(i, i + spectrometer.n_lanes)
        present = np.ones(len(lanes[row]), np.bool_)
        for b, offset in enumerate(np.linspace(-REACH, REACH, n_scans)):
            counts[row, b] = spectrometer.scan(seq, lanes[row], fruit[row], np.full(len(present), offset), present)
            seq += 1
    return counts, spectrometer.dark()[lanes], spectrometer.white()[lanes]


def _laboratory(fruit: NDArray[Any], rng: np.random.Generator) -> Floats:
    """What the refractometer and the burette say, (n, 2)."""
    true = np.column_stack([fruit[target] for target in TARGETS])
    return np.asarray(true + np.array(REFERENCE_ERROR) * rng.standard_normal(true.shape), np.float64)


def _try(model: SpectralModel, spectrometer: SimSpectrometer, fruit: NDArray[Any], n_fitted: int) -> dict[str, Any]:
    counts, dark, white = pass_fruit(spectrometer, fruit, first_seq=10_000_000)
    traits = empty_traits(len(fruit))
    received = np.ones(counts.shape[:2], np.bool_)
    aligned = align(np.tile(spectrometer.wavelength_nm, (len(fruit), 1)), model.wavelength_nm)
    predict(model, aligned, counts, received, dark, white, spectrometer.full_scale, traits)
    status = traits["status"]
    known = (status != MISSING) & (status != SATURATED)
    report: dict[str, Any] = {
        "SIMULATED": True,
        "n_fitted": n_fitted,
        "n_new_season": len(fruit),
        "share_without_value": float(1 - known.mean()),
        "share_out_of_domain": float((status == OUT_OF_DOMAIN).mean()),
        "mean_scans_kept": float(traits["scans_kept"].mean()),
    }
    for i, target in enumerate(TARGETS):
        error = traits["value"][known, i] - fruit[target][known]
        report[target] = _errors(error, fruit[target][known]) | {
            "components": model.training["targets"][target]["components"],
            "rmsecv": model.targets[i].sigma,
        }
    return report


def _errors(error: Floats, true: Floats) -> dict[str, float]:
    sep = float(error.std(ddof=1))
    return {
        "rmsep": float(np.sqrt((error**2).mean())),
        "bias": float(error.mean()),
        "sep": sep,
        "rpd": float(true.std(ddof=1)) / sep,
    }
