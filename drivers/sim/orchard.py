"""An orchard: fruit whose every property is known, drawn from one seed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.nir_physics import CULTIVARS, SPREAD, YEAR

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
        ("cultivar", "<i8"),
        ("solids_pct", "<f8"),
        ("band_shift_nm", "<f8"),
        ("dryness", "<f8"),
        ("air_gap_cm", "<f8"),
        ("peel_oil_pct", "<f8"),
        ("pigment_per_cm", "<f8"),
        ("anthocyanin_per_cm", "<f8"),
        ("film_cm", "<f8"),
        ("brix_rise", "<f8", (3,)),
        ("ta_rise_pct", "<f8", (3,)),
    ]
)
"""One row a fruit. Directions are unit vectors in the fruit's own frame: +z the stem end, -z the stylar end.

Of what only the spectrometers meet: ``cultivar`` counts in `CULTIVAR_NAMES`; ``solids_pct`` is cell wall in the flesh;
``band_shift_nm`` says how far its water absorbs beside free water, toward the blue; ``dryness`` is the share of the flesh that is
granulated; ``air_gap_cm`` lies under a puffed peel; ``film_cm`` is water on a wet skin; ``brix_rise`` and ``ta_rise_pct`` say how
much more sugar and acid there is one radius from the middle, along x, y and z. ``ssc_brix`` and ``ta_pct`` are of the whole
fruit's juice.
"""

# Spread of a satsuma orchard: sizes as graded in Japan (2S..2L), Brix and acid of early satsuma,
# optical scatter of citrus flesh and peel. Sources are listed in docs/simulator.md.
DIAMETER_MM = (62.0, 6.0)
SHAPE = (0.84, 0.045)
DENSITY = (0.90, 0.018)
SSC_BRIX = (11.2, 1.2)
TA_PCT = (0.95, 0.18)
BLEMISHES_A_FRUIT = 0.6
CULTIVAR_NAMES = tuple(CULTIVARS)


def grow(seed: int, n: int, *, season: int = 0, cultivar: str = "satsuma", temperature_c: float | None = None) -> NDArray[Any]:
    """Grow ``n`` fruit.

    Parameters
    ----------
    seed : the orchard's seed; the same seed grows the same fruit, to the bit.
    n : number of fruit.
    season : shifts the means of sugar, acid, size, scatter and temperature together, as years do, and what else the spectra
        show (`nir_physics.Year`).
    cultivar : one of `CULTIVAR_NAMES`.
    temperature_c : of a lot kept at one temperature; drawn by season if not given.

    Returns
    -------
    (n,) array of `TRUTH`.

    Raises
    ------
    ValueError : a cultivar that is not known.
    """
    if cultivar not in CULTIVARS:
        raise ValueError(f"cultivar {cultivar!r} is not known; use one of {', '.join(CULTIVAR_NAMES)}")
    rng = np.random.default_rng([seed, 1])
    year = np.random.default_rng([season, 2]).standard_normal(5) * (season != 0)
    fruit = np.zeros(n, TRUTH)
    fruit["fruit"] = np.arange(n)
    fruit["seed"] = rng.integers(0, 2**32, n, dtype=np.uint32)
    _size(fruit, rng, year)
    _inside(fruit, rng, year)
    _skin(fruit, rng)
    own = np.random.default_rng([seed, 9])  # a stream of its own: what cameras see stays as it was
    _flesh(fruit, own, np.random.default_rng([season, 10]).standard_normal(7) * (season != 0))
    _gradients(fruit, own)
    _change_cultivar(fruit, cultivar)
    if temperature_c is not None:
        fruit["pulp_temperature_c"] = temperature_c + SPREAD.lot_temperature_c * own.standard_normal(n)
    return fruit


def _normal(rng: np.random.Generator, n: int, mean: float, sd: float, low: float, high: float) -> NDArray[np.float64]:
    return np.clip(mean + sd * rng.standard_normal(n), low, high)


def _size(fruit: NDArray[Any], rng: np.random.Generator, year: NDArray[np.float64]) -> None:
    n = len(fruit)
    fruit["diameter_mm"] = _normal(rng, n, DIAMETER_MM[0] + 1.5 * year[0], DIAMETER_MM[1], 42.0, 88.0)
    fruit["height_mm"] = fruit["diameter_mm"] * _normal(rng, n, *SHAPE, 0.70, 0.97)
    fruit["volume_ml"] = np.pi / 6 * fruit["diameter_mm"] ** 2 * fruit["height_mm"] / 1000
    density = _normal(rng, n, *DENSITY, 0.83, 0.97)  # puffy peel makes a satsuma lighter than water
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


def _flesh(fruit: NDArray[Any], rng: np.random.Generator, year: NDArray[np.float64]) -> None:
    """Draw what only the spectrometers meet; each season has spectra of its own."""
    own = np.clip(rng.standard_normal((7, len(fruit))), -3.0, 3.0)
    shift = np.array(YEAR) * year
    density = fruit["mass_g"] / fruit["volume_ml"]
    light = np.clip((DENSITY[0] - density) / DENSITY[1], -3.0, 3.0)
    fruit["scatter_b"] += shift[0]
    fruit["solids_pct"] = SPREAD.solids_pct[0] + shift[1] + SPREAD.solids_pct[1] * own[1]
    fruit["band_shift_nm"] = shift[2] + SPREAD.band_shift_nm * own[2]
    fruit["peel_oil_pct"] = SPREAD.peel_oil_pct[0] + shift[3] + SPREAD.peel_oil_pct[1] * own[3]
    fruit["pigment_per_cm"] = _log_normal(SPREAD.pigment_per_cm, shift[4], own[4])
    fruit["dryness"] = np.minimum(_log_normal(SPREAD.dryness, shift[5], own[5]), 0.8)
    fruit["air_gap_cm"] = np.minimum(_log_normal(SPREAD.air_gap_cm, shift[6], 0.6 * light + 0.8 * own[6]), 0.5)


def _log_normal(median_and_sd: tuple[float, float], shift: float, deviate: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(median_and_sd[0] * np.exp(shift + median_and_sd[1] * deviate), np.float64)


def _gradients(fruit: NDArray[Any], rng: np.random.Generator) -> None:
    own = rng.standard_normal((2, 3, len(fruit)))
    for name, (mean, sd), side, draw in (
        ("brix_rise", SPREAD.stylar_brix, SPREAD.side_brix, own[0]),
        ("ta_rise_pct", SPREAD.stylar_ta_pct, SPREAD.side_ta_pct, own[1]),
    ):
        fruit[name] = np.stack([side * draw[0], side * draw[1], -(mean + sd * draw[2])], axis=1)  # the stylar end is at -z


def _change_cultivar(fruit: NDArray[Any], cultivar: str) -> None:
    """Make another cultivar of satsumas; satsumas stay as they are, to the bit."""
    kind = CULTIVARS[cultivar]
    fruit["cultivar"] = CULTIVAR_NAMES.index(cultivar)
    for name, factor in (
        ("diameter_mm", kind.size), ("height_mm", kind.size), ("volume_ml", kind.size**3), ("mass_g", kind.size**3),
        ("peel_cm", kind.peel), ("scatter_a_per_cm", kind.scatter), ("air_gap_cm", kind.air_gap),
        ("peel_oil_pct", kind.peel_oil), ("pigment_per_cm", kind.pigment),
    ):  # fmt: skip
        fruit[name] *= factor
    for name, shift in (("ssc_brix", kind.ssc_brix), ("ta_pct", kind.ta_pct), ("solids_pct", kind.solids_pct)):
        fruit[name] += shift
    fruit["anthocyanin_per_cm"] = kind.anthocyanin_per_cm * np.exp(0.5 * fruit["maturity"])


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
