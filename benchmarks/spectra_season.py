"""What the whole chain gains over plain practice on a new season, and what it knows of its own limits. All SIMULATED."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.plain_spectra import (
    N_LANES,
    TARGETS,
    Lot,
    darkened,
    new_season,
    past_seasons,
    plain_practice,
    season_lot,
    swapped,
)
from benchmarks.spectra_speed import passages_of
from citrus_grade.calibration.harmony import harmonise
from citrus_grade.models.passages import absorbance, train_passages
from citrus_grade.models.upkeep import upkeep
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra.traits import OK, OUT_OF_DOMAIN

Floats = NDArray[np.float64]

LOTS_A_SEASON, FRUIT_A_LOT = 2, 200
N_NEW = 1800
UPKEEP_A_LANE = 20
FAMILIES = ("pls", "gpr")
TEMPERATURES_C = (5.0, 12.0, 20.0, 28.0)
STRANGE_CULTIVARS = ("navel", "tarocco")
FILM_CM = 0.1


def joined(lots: list[Lot]) -> Lot:
    """Return several lots as one."""
    per_fruit = [f.name for f in fields(lots[0]) if f.name not in ("season", "full_scale")]
    return replace(lots[0], **{name: np.concatenate([getattr(lot, name) for lot in lots]) for name in per_fruit})


def calibration(seed: int, temperatures_c: tuple[float | None, ...] = (None,)) -> tuple[Lot, NDArray[Any]]:
    """Return the fruit a model is made from, of three seasons and all lanes, and their seasons."""
    lots = [
        season_lot(
            seed, season, FRUIT_A_LOT, lot=1 + k, temperature_c=temperatures_c[(i * LOTS_A_SEASON + k) % len(temperatures_c)]
        )
        for i, season in enumerate(past_seasons(seed))
        for k in range(LOTS_A_SEASON)
    ]
    return joined(lots), np.repeat([str(lot.season) for lot in lots], FRUIT_A_LOT)


def model_of(seed: int, temperatures_c: tuple[float | None, ...] = (None,)) -> SpectralModel:
    """Return the model that a grader would make of those fruit."""
    lot, seasons = calibration(seed, temperatures_c)
    return train_passages(passages_of(lot), lot.reference, seasons, TARGETS, families=FAMILIES).model


def told(model: SpectralModel, lot: Lot) -> tuple[Floats, NDArray[Any], NDArray[np.bool_]]:
    """Return absorbance, traits and which fruit have a value."""
    spectra, scans = absorbance(passages_of(lot), model.wavelength_nm)
    return spectra, predict_absorbance(model, spectra, [str(lane) for lane in lot.lane]), np.asarray(scans["status"] == OK)


def season(seed: int, model: SpectralModel) -> tuple[dict[str, Any], SpectralModel]:
    """Return plain practice's errors and ours after upkeep, on the fruit that upkeep did not see, and the model it made."""
    plain = plain_practice(seed)
    new = season_lot(seed, new_season(seed), N_NEW)
    spectra, _traits, good = told(model, new)
    spectra, new = spectra[good], new.rows(good)
    seen = np.zeros(len(new), np.bool_)
    for lane in range(N_LANES):
        seen[np.flatnonzero(new.lane == lane)[:UPKEEP_A_LANE]] = True
    lanes = [str(lane) for lane in new.lane]
    samples, rest = np.flatnonzero(seen), np.flatnonzero(~seen)
    kept, done = upkeep(model, spectra[samples], [new.reference[samples, j] for j in range(2)], [lanes[i] for i in samples])
    traits = predict_absorbance(kept, spectra[rest], [lanes[i] for i in rest])
    reference, truth, lane = new.reference[rest], new.truth[rest], new.lane[rest]
    report: dict[str, Any] = {}
    for j, name in enumerate(("brix", "ta")):
        inside = (traits["low90"][:, j] <= reference[:, j]) & (reference[:, j] <= traits["high90"][:, j])
        report |= {
            f"plain_{name}_rmsep": plain[f"{name}_rmsep"],
            f"plain_{name}_rmsep_true": plain[f"{name}_rmsep_true"],
            f"{name}_rmsep": rms(traits["value"][:, j] - reference[:, j]),
            f"{name}_rmsep_true": rms(traits["value"][:, j] - truth[:, j]),
            f"{name}_before_upkeep": rms(predict_absorbance(model, spectra[rest])["value"][:, j] - reference[:, j]),
            f"{name}_cover90": [float(inside[lane == own].mean()) for own in range(N_LANES)],
            f"{name}_upkeep": done[j].chosen,
        }
    report |= {
        "in_domain_false": float((traits["status"] == OUT_OF_DOMAIN).mean()),
        "without_value": float(1 - good.mean()),
    }
    return report, kept


def domain(seed: int, model: SpectralModel) -> dict[str, float]:
    """Return the share of strange fruit that are flagged, or without a value, by kind."""
    this = new_season(seed)
    ordinary = season_lot(seed, this, 240, lot=7)
    kinds = {name: season_lot(seed, this, 240, lot=8, cultivar=name) for name in STRANGE_CULTIVARS}
    kinds |= {
        "wet": season_lot(seed, this, 240, lot=9, film_cm=FILM_CM),
        "dark": darkened(ordinary),
        "swapped": swapped(ordinary),
    }
    flagged = {}
    for name, lot in kinds.items():
        _spectra, traits, good = told(model, lot)
        flagged[name] = float(np.mean((traits["status"] == OUT_OF_DOMAIN) | ~good))
    return flagged


def warmth(seed: int) -> dict[str, float]:
    """Return the bias of Brix at each temperature, of a model whose lots were measured at all of them."""
    model = model_of(seed, TEMPERATURES_C)
    last = past_seasons(seed)[-1]
    found = {}
    for k, celsius in enumerate(TEMPERATURES_C):
        lot = season_lot(seed, last, 300, lot=20 + k, temperature_c=celsius)
        _spectra, traits, good = told(model, lot)
        found[f"{celsius:g}"] = float((traits["value"][good, 0] - lot.reference[good, 0]).mean())
    return found


def lanes(seed: int, model: SpectralModel, lots: int, per_lane: int = 600) -> tuple[Floats, Floats]:
    """Return errors of the lanes' offsets (lots, n_lanes) found without a reference, and whether their intervals hold."""
    this = new_season(seed)
    truth = _true_offsets(seed, model)
    errors, holds = np.empty((2, lots, N_LANES))
    for k in range(lots):
        lot = season_lot(seed, this, per_lane * N_LANES, lot=100 + k)
        _spectra, traits, good = told(model, lot)
        found = harmonise(traits["value"][good, 0], lot.lane[good], N_LANES, 0.15)
        errors[k] = found.offset - truth
        holds[k] = (found.low <= truth) & (truth <= found.high)
    return errors, holds


def _true_offsets(seed: int, model: SpectralModel) -> Floats:
    """What each lane adds to the same fruit, less the mean of the lanes."""
    means = []
    for lane in range(N_LANES):
        lot = season_lot(seed, new_season(seed), 3000, lot=99, lanes=(lane,))
        _spectra, traits, good = told(model, lot)
        means.append(np.where(good, traits["value"][:, 0], np.nan))
    values = np.array(means)
    values = values[:, np.isfinite(values).all(0)].mean(1)
    return np.asarray(values - values.mean(), np.float64)


def rms(error: Floats) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.mean(np.square(error))))
