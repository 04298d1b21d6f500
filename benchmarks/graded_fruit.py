"""SIMULATED fruit with grades: what a line measures of an orchard, and what two people who look at it call each fruit."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim import orchard
from citrus_grade.grading.features import FEATURES
from citrus_grade.tables import COLOURS

Floats = NDArray[np.float64]

GRADES = ("A", "B", "C")
SLIPS = 0.06
"""Share of fruit that a grader calls one grade off for no reason at all."""


class Graded(NamedTuple):
    """``x`` (n, n_features) as `features.FEATURES`, ``grade`` and ``second`` (n,) indices into `GRADES` by two people,
    ``lot`` (n,)."""

    x: Floats
    grade: NDArray[np.int64]
    second: NDArray[np.int64]
    lot: NDArray[np.int64]


def graded_fruit(seed: int, n: int, lots: int = 6) -> Graded:
    """Grow ``lots`` lots of two seasons, ``n`` fruit in all, measure them as a line does, and have them graded twice."""
    lot = np.arange(n) % lots
    fruit = np.empty(n, orchard.TRUTH)
    for k in range(lots):
        own = lot == k
        fruit[own] = orchard.grow(1000 * seed + k, int(own.sum()), season=k % 2)
    rng = np.random.default_rng([seed, 7])
    return Graded(measured(fruit, rng), _looked_at(fruit, rng), _looked_at(fruit, rng), lot)


def measured(fruit: NDArray[Any], rng: np.random.Generator) -> Floats:
    """Return the feature vectors (n, n_features) of fruit, with errors like a line's; spectra of 2 in 100 are lost."""
    n = len(fruit)

    def about(value: Floats, sd: float) -> Floats:
        return np.asarray(value + sd * rng.standard_normal(n), np.float64)

    green = np.clip(about(100 * fruit["green_share"], 1.0), 0, 100)
    marks, share = _marks(fruit)
    column: dict[str, Any] = {
        "diameter_mm": about(fruit["diameter_mm"], 0.6),
        "height_mm": about(fruit["height_mm"], 0.7),
        "green_pct": green,
        "blemish_pct": np.maximum(about(share, 0.3), 0),
        "blemish_count": rng.binomial(marks, 0.9),
        "largest_blemish_mm": np.where(marks > 0, about(2 * _radius(fruit).max(axis=1), 0.5), 0),
        "coverage_pct": rng.uniform(88, 96, n),
        "diameter_sigma_mm": rng.uniform(0.5, 0.7, n),
        "height_sigma_mm": rng.uniform(0.6, 0.8, n),
        "mass_sigma_g": rng.uniform(4, 6, n),
        "ssc_brix": about(fruit["ssc_brix"], 0.5),
        "ta_pct": about(fruit["ta_pct"], 0.12),
        "ssc_brix_sigma": rng.uniform(0.45, 0.55, n),
        "ta_pct_sigma": rng.uniform(0.11, 0.13, n),
    }
    column["shape_index"] = column["height_mm"] / column["diameter_mm"]
    column["volume_ml"] = np.pi / 6000 * column["diameter_mm"] ** 2 * column["height_mm"]
    column["mass_g"] = 0.9 * column["volume_ml"]
    hue = 40 + 0.4 * green - 4 * fruit["maturity"]
    column |= {f"hue_q{q}_deg": about(hue + off, 2.0) for q, off in ((10, -5), (50, 0), (90, 6))}
    column |= {f"skin_{name}_pct": np.zeros(n) for name in COLOURS}
    column |= {
        "skin_yellow_green_pct": green,
        "skin_orange_pct": 0.8 * (100 - green),
        "skin_yellow_orange_pct": 0.2 * (100 - green),
    }
    lost = rng.random(n) < 0.02
    for name in ("ssc_brix", "ta_pct", "ssc_brix_sigma", "ta_pct_sigma"):
        column[name] = np.where(lost, np.nan, column[name])
    column["maturity_index"] = column["ssc_brix"] / column["ta_pct"]
    return np.column_stack([column[name] for name in FEATURES])


def _radius(fruit: NDArray[Any]) -> Floats:
    there = np.arange(orchard.MAX_BLEMISHES) < fruit["n_blemishes"][:, None]
    return np.where(there, fruit["blemish_radius_mm"], 0.0)


def _marks(fruit: NDArray[Any]) -> tuple[NDArray[np.int64], Floats]:
    """How many blemishes each fruit has, and what share of its skin they are, in percent."""
    area = (np.pi * _radius(fruit) ** 2 * fruit["blemish_strength"]).sum(axis=1)
    return fruit["n_blemishes"], 100 * area / (np.pi * fruit["diameter_mm"] * fruit["height_mm"])


def _looked_at(fruit: NDArray[Any], rng: np.random.Generator) -> NDArray[np.int64]:
    """Grade by size, skin, colour and taste as one person sees them; the worst of the four counts."""
    n = len(fruit)
    size = np.abs(fruit["diameter_mm"] - 63 + rng.normal(0, 1, n))
    skin = _marks(fruit)[1] * np.exp(rng.normal(0, 0.3, n))
    green = 100 * fruit["green_share"] * np.exp(rng.normal(0, 0.3, n))
    taste = 11.0 - fruit["ssc_brix"] + rng.normal(0, 0.3, n)
    cuts = ((size, (8, 13)), (skin, (1.0, 3.5)), (green, (15, 45)), (taste, (0.0, 1.5)))
    worst = np.max([np.digitize(value, cut) for value, cut in cuts], axis=0)
    slip = np.where(rng.random(n) < SLIPS, rng.choice([-1, 1], n), 0)
    return np.asarray(np.clip(worst + slip, 0, len(GRADES) - 1), np.int64)
