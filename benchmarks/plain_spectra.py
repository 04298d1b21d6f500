"""Plain practice on simulated fruit: the anchor of every gain that is claimed on the simulated spectrometers. SIMULATED.

An ordinary packhouse calibrates one lane on one season, gives the same model to all six lanes, and grades the next season with
it, without upkeep: mean of the scans of a passage that are neither clipped nor far brighter than the rest, dark and white,
absorbance, SNV, Savitzky-Golay derivative (13 points, quadratic) on 700-960 nm, PLS with the components of a 10-fold
cross-validation. Published errors on moving fruit (Brix 0.45-0.65, acid 0.15-0.22 %) are where it has to land.

    python -m benchmarks.plain_spectra [--seeds 5] [--json]
"""

import argparse
import json
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from sklearn.cross_decomposition import PLSRegression
from sklearn.model_selection import KFold

from benchmarks.machine import machine
from citrus_grade.drivers.sim import orchard
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer

Floats = NDArray[np.float64]

TARGETS = ("ssc_brix", "ta_pct")
LAB_SD = (0.15, 0.03)
N_LANES, N_SCANS = 6, 8
WAVELENGTH_NM = np.linspace(650.0, 1010.0, 256)
"""Of the line's template."""
REACH_MM = 20.0
"""Scans run from one end of the template's chord of 0.4 cups to the other: 0.65 radii of the median fruit either side, 0.5 of the
largest, 0.9 of the smallest. The belt fires them, not the fruit, so the outer scans of small fruit see the lamp past them."""
SEAT_MM = 1.5
"""Sd of the place along the belt; as `drivers.sim.belt`."""
N_CALIBRATION, N_NEW = 300, 600
BRIGHT = 2.5
WINDOW_NM = (700.0, 960.0)
MAX_COMPONENTS = 20


@dataclass(frozen=True, slots=True)
class Lot:
    """Fruit that have passed the spectrometers, and what is known of them.

    ``counts`` (n, n_scans, n_pixels); ``dark``, ``white`` (n, n_pixels) counts of each fruit's lane; ``reference``, ``truth``
    (n, 2) in the order of `TARGETS`, as the laboratory reads them and as they are; ``lane`` (n,); ``temperature_c`` (n,);
    ``fruit`` (n,) of `orchard.TRUTH`.
    """

    counts: NDArray[np.uint16]
    dark: Floats
    white: Floats
    reference: Floats
    truth: Floats
    lane: NDArray[np.int64]
    temperature_c: Floats
    fruit: NDArray[Any]
    season: int
    full_scale: int

    def __len__(self) -> int:
        return len(self.counts)

    def rows(self, chosen: NDArray[Any]) -> "Lot":
        """Return the lot of the chosen rows, a mask or indices."""
        per_fruit = [f.name for f in fields(self) if f.name not in ("season", "full_scale")]
        return replace(self, **{name: getattr(self, name)[chosen] for name in per_fruit})


def past_seasons(seed: int) -> tuple[int, int, int]:
    """Return the seasons a packhouse has seen; plain practice knows the last of them."""
    return 10 * seed + 1, 10 * seed + 2, 10 * seed + 3


def new_season(seed: int) -> int:
    """Return the season that is graded."""
    return 10 * seed + 4


@lru_cache(maxsize=4)
def spectrometers(seed: int) -> SimSpectrometer:
    """Return the line of ``seed``: six lanes."""
    return SimSpectrometer(seed, N_LANES, WAVELENGTH_NM)


def season_lot(
    seed: int,
    season: int,
    n: int,
    *,
    lot: int = 0,
    lanes: tuple[int, ...] = tuple(range(N_LANES)),
    cultivar: str = "satsuma",
    temperature_c: float | None = None,
    film_cm: float = 0.0,
    age_h: float = 0.0,
) -> Lot:
    """Grow ``n`` fruit and pass them, dealt out to ``lanes`` in turn.

    Parameters
    ----------
    seed : the line, see `spectrometers`; with ``season`` and ``lot`` (below 1000 each) also the fruit.
    cultivar, temperature_c : see `orchard.grow`.
    film_cm : of water on every skin: 0.03 is a fruit that comes wet from the washer.
    age_h : hours since dark and white were taken.
    """
    spectrometer, name = spectrometers(seed), 1000 * season + lot + 1
    fruit = orchard.grow(1_000_003 * seed + name, n, season=season, cultivar=cultivar, temperature_c=temperature_c)
    fruit["film_cm"] = film_cm
    lane = np.asarray(lanes, np.int64)[np.arange(n) % len(lanes)]
    rng = np.random.default_rng([seed, season, lot, 11])
    counts = _pass(spectrometer, fruit, lane, SEAT_MM * rng.standard_normal(n), name * 1_000_000, age_h)
    truth = np.column_stack([fruit[target] for target in TARGETS])
    return Lot(
        counts=counts, dark=spectrometer.dark()[lane], white=spectrometer.white()[lane],
        reference=truth + np.array(LAB_SD) * rng.standard_normal(truth.shape), truth=truth, lane=lane,
        temperature_c=fruit["pulp_temperature_c"].copy(), fruit=fruit, season=season, full_scale=spectrometer.full_scale,
    )  # fmt: skip


def _pass(
    spectrometer: SimSpectrometer, fruit: NDArray[Any], lane: NDArray[np.int64], seat_mm: Floats, first_seq: int, age_h: float
) -> NDArray[np.uint16]:
    counts = np.empty((len(fruit), N_SCANS, len(WAVELENGTH_NM)), np.uint16)
    radius_mm, block = 0.5 * fruit["diameter_mm"], 500  # fewer than the spectrometers remember
    for start in range(0, len(fruit), block):
        row = slice(start, start + block)
        seq = first_seq + np.arange(len(fruit))[row] * N_SCANS
        for j, place_mm in enumerate(np.linspace(-REACH_MM, REACH_MM, N_SCANS)):
            offset = (seat_mm[row] + place_mm) / radius_mm[row]
            counts[row, j] = spectrometer.scan(seq + j, lane[row], fruit[row], offset, np.ones(len(seq), np.bool_), age_h)
    return counts


def darkened(lot: Lot) -> Lot:
    """Return the lot as seen while the lamps are off: dark counts, read noise, no fruit."""
    rng = np.random.default_rng([lot.season, len(lot), 12])
    counts = lot.dark[:, None] + 3.0 * rng.standard_normal(lot.counts.shape)
    return replace(lot, counts=np.maximum(counts + 0.5, 0.0).astype(np.uint16))


def swapped(lot: Lot) -> Lot:
    """Return the lot as read with its wavelengths in the wrong order."""
    return replace(lot, counts=lot.counts[..., ::-1].copy(), dark=lot.dark[:, ::-1].copy(), white=lot.white[:, ::-1].copy())


def mean_absorbance(lot: Lot) -> tuple[Floats, NDArray[np.bool_]]:
    """Return absorbance (n, n_window) of the mean of the scans that pass the simple gate, and which fruit (n,) have any."""
    window = slice(*np.searchsorted(WAVELENGTH_NM, WINDOW_NM))
    light = lot.counts.mean(axis=2)
    clipped = (lot.counts >= lot.full_scale).any(axis=2)
    second_darkest = np.partition(np.where(clipped, np.inf, light), 1, axis=1)[:, 1:2]
    kept = ~clipped & (light <= BRIGHT * second_darkest)
    has = kept.any(axis=1)
    total = (lot.counts[..., window] * kept[..., None]).sum(axis=1) / np.maximum(kept.sum(axis=1), 1)[:, None]
    share = np.maximum(total - lot.dark[:, window], 0.5) / (lot.white - lot.dark)[:, window]
    return -np.log10(share), has


def derivative(absorbance: Floats) -> Floats:
    """Return the SNV of each row, then its Savitzky-Golay first derivative."""
    snv = (absorbance - absorbance.mean(axis=1, keepdims=True)) / absorbance.std(axis=1, keepdims=True)
    return np.asarray(savgol_filter(snv, 13, 2, deriv=1, axis=1), np.float64)


def fit_plain(x: Floats, y: Floats) -> PLSRegression:
    """Fit PLS with the number of components that random 10-fold cross-validation likes best."""
    error = np.zeros(MAX_COMPONENTS)
    for train, test in KFold(10, shuffle=True, random_state=0).split(x):
        largest = PLSRegression(MAX_COMPONENTS, scale=False).fit(x[train], y[train])
        scores = (x[test] - x[train].mean(axis=0)) @ largest.x_rotations_
        predicted = y[train].mean() + np.cumsum(scores * largest.y_loadings_, axis=1)  # of 1, 2, ... components
        error += np.sum((predicted - y[test, None]) ** 2, axis=0)
    return PLSRegression(int(np.argmin(error)) + 1, scale=False).fit(x, y)


def plain_practice(seed: int) -> dict[str, Any]:
    """Calibrate lane 0 on one season, grade the next on all lanes; return errors, all SIMULATED.

    ``*_rmsep`` is against the laboratory, ``*_rmsep_true`` against the fruit, ``*_bias`` of all lanes, ``*_lane_spread`` the
    sd of the lanes' biases; ``without_value`` the share of fruit whose scans all clip.
    """
    first = season_lot(seed, past_seasons(seed)[-1], N_CALIBRATION, lanes=(0,))
    new = season_lot(seed, new_season(seed), N_NEW)
    (x, known), (x_new, known_new) = mean_absorbance(first), mean_absorbance(new)
    x, first, x_new, new = derivative(x[known]), first.rows(known), derivative(x_new[known_new]), new.rows(known_new)
    report: dict[str, Any] = {"SIMULATED": True, "seed": seed, "without_value": round(float(1 - known_new.mean()), 4)}
    for i, name in enumerate(("brix", "ta")):
        model = fit_plain(x, first.reference[:, i])
        predicted = np.ravel(model.predict(x_new))
        report |= {f"{name}_{key}": value for key, value in _errors(predicted, new, i).items()}
        report[f"{name}_components"] = int(model.n_components)
    return report


def _errors(predicted: Floats, lot: Lot, i: int) -> dict[str, float]:
    off, true_off = predicted - lot.reference[:, i], predicted - lot.truth[:, i]
    lanes = np.array([off[lot.lane == lane].mean() for lane in np.unique(lot.lane)])
    error = {
        "rmsep": np.sqrt(np.mean(off**2)),
        "rmsep_true": np.sqrt(np.mean(true_off**2)),
        "bias": off.mean(),
        "sep": off.std(ddof=1),
        "lane_spread": lanes.std(ddof=1),
        "r2": 1.0 - np.mean(off**2) / lot.reference[:, i].var(),
    }
    return {key: round(float(value), 4) for key, value in error.items()}


def anchor(seeds: int) -> dict[str, Any]:
    """Return the mean over seeds 1, 2, ... of the root mean square errors, and each seed's report."""
    each = [plain_practice(seed) for seed in range(1, seeds + 1)]
    names = [f"{target}_{kind}" for target in ("brix", "ta") for kind in ("rmsep", "rmsep_true")]
    mean = {f"plain_{name}": round(float(np.mean([report[name] for report in each])), 4) for name in names}
    return {"SIMULATED": True, **mean, "seeds": each}


def main() -> None:
    """Print the anchor."""
    parser = argparse.ArgumentParser(description="Plain practice on simulated fruit (SIMULATED).")
    parser.add_argument("--seeds", type=int, default=5, help="how many seeds, from 1 on")
    parser.add_argument("--json", action="store_true", help="one JSON object as the last line")
    given = parser.parse_args()
    report = anchor(given.seeds)
    for each in report["seeds"]:
        print("SIMULATED", *(f"{key} {value}" for key, value in each.items() if key != "SIMULATED"))
    if given.json:
        print(json.dumps(report | {"machine": machine()}))
    else:
        print("SIMULATED", *(f"{key} {value}" for key, value in report.items() if key.startswith("plain")))


if __name__ == "__main__":
    main()
