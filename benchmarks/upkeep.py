"""What upkeep reaches on made-up fruit (SIMULATED): lane offsets without a reference, corrections from sample fruit, and
intervals that follow sample fruit.

``python -m benchmarks.upkeep [--cases N] [--seed N] [--json]``.
"""

import argparse
import json
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.machine import machine, one_core
from citrus_grade.calibration.correction import correct
from citrus_grade.calibration.harmony import harmonise
from citrus_grade.calibration.level import follow, start
from citrus_grade.spectra.interval import interval

Floats = NDArray[np.float64]
Rng = np.random.Generator

LANES: Final = 6
SD_BRIX: Final = 1.2
TOLERANCE_BRIX: Final = 0.15
OWN_BRIX: Final = 0.15
ERROR_BRIX: Final = 0.35
HARMONY: Final[dict[str, dict[str, Any]]] = {
    "600 fruit a lane, normal": {},
    "and a covariate that explains half": {"explained": 0.5},
    "heavy tails": {"freedom": 4},
    "two kinds of fruit": {"apart": 1.8},
    "60 a lane": {"per_lane": 60},
    "8 lots of 100 a lane": {"per_lane": 100, "lots": 8},
    "6 lots of 200 a lane, wandering": {"per_lane": 200, "lots": 6, "wander": 0.1},
}
CORRECTION: Final = {
    "nothing wrong": (0.0, 0.0, 1.0),
    "bias 0.1, lanes differ by 0.1": (0.1, 0.1, 1.0),
    "bias 0.3, lanes differ by 0.1": (0.3, 0.1, 1.0),
    "lanes differ by 0.2": (0.0, 0.2, 1.0),
    "slope 0.85, bias 0.3, lanes differ by 0.1": (0.3, 0.1, 0.85),
}
"""Common bias, SD of lanes' own, slope."""
LEVEL: Final = {
    "errors as at first": (1.0, 0.0),
    "twice as wide": (2.0, 0.0),
    "moved by one sigma": (1.0, 1.0),
    "half as wide": (0.5, 0.0),
}
"""Width and shift of the errors after `CHANGE` sample fruit of a lane, in sigma."""
CHANGE: Final = 100
SPANS: Final = {"1 to 50": slice(CHANGE, CHANGE + 50), "51 to 500": slice(CHANGE + 50, CHANGE + 500)}


def _fruit(rng: Rng, n: int, explained: float, freedom: float, apart: float) -> tuple[Floats, Floats]:
    """Values of standard deviation 1, and a covariate."""
    rest = rng.standard_t(freedom, n) / np.sqrt(freedom / (freedom - 2)) if freedom else rng.standard_normal(n)
    rest = (rest + apart * rng.choice([-1.0, 1.0], n)) / np.sqrt(1 + apart**2)
    covariate = rng.standard_normal(n)
    return np.sqrt(explained) * covariate + np.sqrt(1 - explained) * rest, covariate


def offsets(
    rng: Rng,
    cases: int,
    per_lane: int = 600,
    lots: int = 1,
    wander: float = 0.0,
    explained: float = 0.0,
    freedom: float = 0.0,
    apart: float = 0.0,
) -> dict[str, float]:
    """Return RMS error of lane offsets in Brix and the share of interval of 90 %s that hold."""
    errors, held = [], []
    for _case in range(cases):
        own = rng.normal(0, OWN_BRIX, LANES)
        n = per_lane * LANES * lots
        lane, lot = rng.integers(0, LANES, n), np.repeat(np.arange(lots), n // lots)
        value, covariate = _fruit(rng, n, explained, freedom, apart)
        shift = own + wander * rng.standard_normal((lots, LANES))
        predicted = rng.normal(11, 1, lots)[lot] + shift[lot, lane] + SD_BRIX * value
        found = harmonise(predicted, lane, LANES, TOLERANCE_BRIX, covariate if explained else None, lot)
        true = own - own.mean()
        errors.append(found.offset - true)
        held.append((found.low <= true) & (true <= found.high))
    return {"error_brix": float(np.sqrt(np.mean(np.square(errors)))), "cover90": float(np.mean(held))}


def corrections(rng: Rng, cases: int, bias: float, between: float, slope: float, lanes: int) -> dict[str, float]:
    """Return the error in Brix on fresh fruit, uncorrected and corrected from 20 sample fruit a lane."""
    plain, corrected = [], []
    for _case in range(cases):
        own = rng.normal(0, between, lanes)

        def season(lane: NDArray[np.int64], own: Floats = own) -> tuple[Floats, Floats]:
            predicted = rng.normal(11, SD_BRIX, len(lane))
            true = 11 + slope * (predicted - 11) + bias + own[lane]
            return predicted, true + rng.normal(0, ERROR_BRIX, len(lane))

        samples, fresh = np.tile(np.arange(lanes), 20), np.tile(np.arange(lanes), 300)
        line = correct(*season(samples), samples, lanes).line
        predicted, reference = season(fresh)
        plain.append(np.sqrt(np.mean((predicted - reference) ** 2)))
        corrected.append(np.sqrt(np.mean((line(predicted, fresh) - reference) ** 2)))
    return {"none_brix": float(np.mean(plain)), "chosen_brix": float(np.mean(corrected))}


def levels(rng: Rng, cases: int, width: float, shift: float) -> dict[str, float]:
    """Return the share of sample fruit inside a fixed and a following interval of 90 %, so many fruit after a change."""
    n = CHANGE + 500
    fixed, following = np.empty((cases, n), np.bool_), np.empty((cases, n), np.bool_)
    later = np.arange(n) >= CHANGE
    for case in range(cases):
        residuals = np.sort(rng.standard_normal(300))
        error = np.where(later, shift + width * rng.standard_normal(n), rng.standard_normal(n))
        low, high = interval(residuals)
        fixed[case] = (low <= error) & (error <= high)
        following[case] = follow(start(1), residuals, np.zeros(n, np.int64), error)[1]
    return {
        f"{name} {span}": float(inside[:, rows].mean())
        for span, rows in SPANS.items()
        for name, inside in (("fixed", fixed), ("following", following))
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    one_core()
    figures = {name: offsets(np.random.default_rng(options.seed), options.cases, **kind) for name, kind in HARMONY.items()}
    for lanes in (LANES, 1):
        for name, truth in CORRECTION.items():
            own = corrections(np.random.default_rng(options.seed), options.cases, *truth, lanes)
            figures[f"{name}; lanes: {lanes}"] = own
    for name, change in LEVEL.items():
        figures[f"interval, {name}"] = levels(np.random.default_rng(options.seed), options.cases, *change)
    print("SIMULATED")
    for name, own in figures.items():
        print(name + ":", ", ".join(f"{key} {value:.3f}" for key, value in own.items()))
    if options.json:
        print(json.dumps(figures | {"simulated": True, "ran_on": machine()}))


if __name__ == "__main__":
    main()
