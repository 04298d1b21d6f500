"""An orchard: fruit whose every property is known, drawn from one seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BLEMISHES = 6
BLEMISH_KINDS = ("dark_spot", "scar", "russet", "stain", "rot")

TRUTH = np.dtype(
    [
        ("fruit", "<i8"),
        ("seed", "<u4"),
        ("diameter_mm", "<f8"),
        ("height_mm", "<f8"),
        ("volume_ml", "<f8"),
        ("mass_g", "<f8"),
        ("maturity", "<f8"),
        ("green_share", "<f8"),
        ("ssc_brix", "<f8"),
        ("ta_pct", "<f8"),
        ("pulp_temperature_c", "<f8"),
        ("stem_radius_mm", "<f8"),
        ("stylar_radius_mm", "<f8"),
        ("n_blemishes", "<i8"),
        ("blemish_kind", "<i8", (MAX_BLEMISHES,)),
        ("blemish_direction", "<f8", (MAX_BLEMISHES, 3)),
        ("blemish_radius_mm", "<f8", (MAX_BLEMISHES,)),
        ("blemish_aspect", "<f8", (MAX_BLEMISHES,)),
        ("blemish_strength", "<f8", (MAX_BLEMISHES,)),
        ("scatter_a_per_cm", "<f8"),
        ("scatter_b", "<f8"),
        ("peel_cm", "<f8"),
        ("chlorophyll_per_cm", "<f8"),
    ]
)
"""One row a fruit. Directions are unit vectors in the fruit's own frame: +z the stem end, -z the stylar end."""

# Spread of a satsuma orchard: sizes as graded in Japan (2S..2L), Brix and acid of early satsuma,
# optical scatter of citrus flesh and peel. Sources are listed in docs/simulator.md.
DIAMETER_MM = (62.0, 6.0)
SHAPE = (0.84, 0.045)
SSC_BRIX = (11.2, 1.2)
TA_PCT = (0.95, 0.18)
BLEMISHES_A_FRUIT = 0.6


def grow(seed: int, n: int, *, season: int = 0) -> NDArray[Any]:
    """Grow ``n`` fruit.

    Parameters
    ----------
    seed : the orchard's seed; the same seed grows the same fruit, to the bit.
    n : number of fruit.
    season : shifts the means of sugar, acid, size, scatter and temperature together, as years do.

    Returns
    -------
    (n,) array of `TRUTH`.
    """
    rng = np.random.default_rng([seed, 1])
    year = np.random.default_rng([season, 2]).standard_normal(5) * (season != 0)
    fruit = np.zeros(n, TRUTH)
    fruit["fruit"] = np.arange(n)
    fruit["seed"] = rng.integers(0, 2**32, n, dtype=np.uint32)
    _size(fruit, rng, year)
    _inside(fruit, rng, year)
    _skin(fruit, rng)
    return fruit


def _normal(rng: np.random.Generator, n: int, mean: float, sd: float, low: float, high: float) -> NDArray[np.float64]:
    return np.clip(mean + sd * rng.standard_normal(n), low, high)


def _size(fruit: NDArray[Any], rng: np.random.Generator, year: NDArray[np.float64]) -> None:
    n = len(fruit)
    fruit["diameter_mm"] = _normal(rng, n, DIAMETER_MM[0] + 1.5 * year[0], DIAMETER_MM[1], 42.0, 88.0)
    fruit["height_mm"] = fruit["diameter_mm"] * _normal(rng, n, *SHAPE, 0.70, 0.97)
    fruit["volume_ml"] = np.pi / 6 * fruit["diameter_mm"] ** 2 * fruit["height_mm"] / 1000
    density = _normal(rng, n, 0.90, 0.018, 0.83, 0.97)  # puffy peel makes a satsuma lighter than water
    fruit["mass_g"] = density * fruit["volume_ml"]


def _inside(fruit: NDArray[Any], rng: np.random.Generator, year: NDArray[np.float64]) -> None:
    n = len(fruit)
    maturity = rng.standard_normal(n)
    fruit["maturity"] = maturity
    own = rng.standard_normal((2, n))
    fruit["ssc_brix"] = np.clip(SSC_BRIX[0] + 0.5 * year[1] + SSC_BRIX[1] * (0.6 * maturity + 0.8 * own[0]), 7.0, 16.5)
    fruit["ta_pct"] = np.clip(TA_PCT[0] + 0.12 * year[2] - TA_PCT[1] * (0.6 * maturity + 0.8 * own[1]), 0.35, 2.0)
    fruit["pulp_temperature_c"] = _normal(rng, n, 15.0 + 3.0 * year[3], 2.0, 2.0, 32.0)
    fruit["scatter_a_per_cm"] = _normal(rng, n, 7.5 + 0.6 * year[4], 1.6, 3.5, 12.0)
    fruit["scatter_b"] = _normal(rng, n, 0.8, 0.12, 0.4, 1.2)
    fruit["peel_cm"] = _normal(rng, n, 0.30, 0.08, 0.18, 0.60)
    fruit["chlorophyll_per_cm"] = 0.25 * np.exp(-0.8 * maturity)


def _skin(fruit: NDArray[Any], rng: np.random.Generator) -> None:
    n = len(fruit)
    greenness = 1 / (1 + np.exp(2.2 + 1.6 * fruit["maturity"] + 0.5 * rng.standard_normal(n)))
    fruit["green_share"] = np.where(greenness < 0.02, 0.0, greenness)
    fruit["stem_radius_mm"] = _normal(rng, n, 3.6, 0.7, 2.2, 5.5)
    fruit["stylar_radius_mm"] = np.clip(np.exp(0.3 + 0.5 * rng.standard_normal(n)), 0.7, 4.0)
    shape = (n, MAX_BLEMISHES)
    fruit["n_blemishes"] = np.minimum(rng.poisson(BLEMISHES_A_FRUIT, n), MAX_BLEMISHES)
    fruit["blemish_kind"] = rng.choice(len(BLEMISH_KINDS), shape, p=(0.40, 0.25, 0.15, 0.17, 0.03))
    direction = rng.standard_normal((*shape, 3))
    fruit["blemish_direction"] = direction / np.linalg.norm(direction, axis=2, keepdims=True)
    kind = fruit["blemish_kind"]
    typical_mm = np.array((1.4, 3.5, 6.0, 5.0, 9.0))[kind]
    fruit["blemish_radius_mm"] = np.clip(typical_mm * np.exp(0.4 * rng.standard_normal(shape)), 0.8, 16.0)
    fruit["blemish_aspect"] = np.where((kind == 1) | (kind == 3), rng.uniform(1.5, 5.0, shape), rng.uniform(1.0, 1.5, shape))
    fruit["blemish_strength"] = rng.uniform(0.45, 0.95, shape)
