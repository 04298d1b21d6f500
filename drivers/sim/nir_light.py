"""A fruit in the light: how much of each wavelength comes through, and how that changes along the passage.

The parameters and their sources stand in `nir_physics`.
"""

from math import exp, expm1, log, log1p, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import make_smoothing_spline

from citrus_grade.drivers.sim import nir_physics as physics
from citrus_grade.drivers.sim.counter import key_of, normal
from citrus_grade.drivers.sim.nir_physics import Passage, Tissue

Floats = NDArray[np.float64]

OPTICS = (
    "ssc_brix",
    "ta_pct",
    "diameter_mm",
    "scatter_a_per_cm",
    "scatter_b",
    "peel_cm",
    "chlorophyll_per_cm",
    "pulp_temperature_c",
    "solids_pct",
    "band_shift_nm",
    "dryness",
    "air_gap_cm",
    "peel_oil_pct",
    "pigment_per_cm",
    "anthocyanin_per_cm",
    "film_cm",
)
"""What of `orchard.TRUTH` the light meets, beside the two gradients."""
MEDIAN = (11.2, 0.95, 62.0, 7.5, 0.8, 0.30, 0.25, 15.0, 1.2, 0.0, 0.03, 0.02, 1.0, 0.010, 0.0, 0.0)


@njit(cache=True, nogil=True)
def _log_sinh(x: float) -> float:
    return x + log1p(-exp(-2.0 * x))  # less ln 2, which cancels in a ratio


@njit(cache=True, nogil=True)
def _coth(x: float) -> float:
    return 1.0 + 2.0 / expm1(2.0 * x)


@njit(cache=True, nogil=True)
def _slab(mu_a: float, mu_s: float, path_cm: float, boundary: float) -> tuple[float, float, float]:
    """Log transmittance of a slab of flesh, and its change per 1/cm of absorption and per cm of path.

    Diffusion with extrapolated boundaries (Contini, Martelli and Zaccanti 1997).
    """
    diffusion = 1.0 / (3.0 * (mu_a + mu_s))
    mu_eff = sqrt(mu_a / diffusion)
    inward, whole = (2.0 * boundary + 3.0) * diffusion, path_cm + 4.0 * boundary * diffusion
    log_t = _log_sinh(mu_eff * inward) - _log_sinh(mu_eff * whole)
    by_eff = inward * _coth(mu_eff * inward) - whole * _coth(mu_eff * whole)
    eff_by_a = 1.5 * (2.0 * mu_a + mu_s) / mu_eff
    # Absorption also shortens both extrapolated lengths, by D's own slope of -3 D^2.
    by_diffusion = mu_eff * ((2.0 * boundary + 3.0) * _coth(mu_eff * inward) - 4.0 * boundary * _coth(mu_eff * whole))
    return log_t, by_eff * eff_by_a - 3.0 * diffusion * diffusion * by_diffusion, -mu_eff


@njit(cache=True, nogil=True)
def shine(optics: Floats, basis: Floats, tissue: Tissue, light: Floats, by_a: Floats, by_path: Floats) -> None:
    """Transmittance of a fruit across its middle, and the change of its log per 1/cm of absorption and per cm of path.

    ``optics`` (16,) in the order of `OPTICS`; ``basis`` (10, n_fine) of `absorbers`; the outputs (n_fine,).
    """
    brix, ta, diameter_mm, a_per_cm, b, peel_cm, chlorophyll, celsius = optics[:8]
    solids, shift_nm, dryness, gap_cm, oil, pigment, anthocyanin, film_cm = optics[8:]
    warm = celsius - tissue.water_c
    shift_nm = shift_nm + tissue.shift_nm_per_c * warm
    solids += tissue.dry_solids_pct * dryness
    wet = tissue.water_share - tissue.displaced_per_brix * brix - tissue.displaced_per_acid_pct * ta
    wet -= tissue.displaced_per_solid_pct * solids
    juice = 1.0 - tissue.dry_water * dryness
    path_cm = tissue.path_share * diameter_mm / 10.0
    kept = exp(-tissue.gap_loss * (1.0 - exp(-gap_cm / tissue.gap_cm)))
    for w in range(basis.shape[1]):
        water = (basis[1, w] + shift_nm * basis[2, w]) * (1.0 + tissue.rise_per_c * warm)
        dissolved = brix * basis[3, w] + ta * basis[4, w] + anthocyanin * basis[8, w]
        mu_a = juice * (wet * water + dissolved) + solids * basis[5, w] + pigment * basis[7, w]
        scatter = exp(-b * basis[0, w]) * a_per_cm
        log_t, slope_a, slope_path = _slab(mu_a, (1.0 + tissue.dry_scatter * dryness) * scatter, path_cm, tissue.boundary)
        peel_a = tissue.peel_water * water + chlorophyll * basis[6, w] + pigment * basis[7, w] + oil * basis[9, w]
        peel_t = exp(-2.0 * sqrt(3.0 * peel_a * (peel_a + tissue.peel_scatter * scatter)) * peel_cm)
        film_t = exp(-2.0 * film_cm * water)
        flesh = exp(log_t) * kept * peel_t * film_t
        light[w] = flesh + tissue.gap_pipe_per_cm * gap_cm * peel_t * film_t + tissue.film_pipe_per_cm * film_cm * film_t
        share = flesh / light[w]
        by_a[w], by_path[w] = share * juice * slope_a, share * slope_path


@njit(cache=True, nogil=True)
def see(fine: Floats, first: NDArray[np.int64], slit: Floats, out: Floats) -> None:
    """What the pixels of one lane see of a fine spectrum: ``slit`` (n_pixels, n_taps) weights from index ``first``."""
    for p in range(len(first)):
        total = 0.0
        for k in range(slit.shape[1]):
            total += slit[p, k] * fine[first[p] + k]
        out[p] = total


@njit(cache=True, nogil=True)
def _lie(key: Any, gradients: Floats, out: Floats) -> None:
    """Turn two vectors (2, 3) of the fruit's own frame into the lane's, by a rotation drawn from ``key``."""
    w, x, y, z = normal(key, 4), normal(key, 5), normal(key, 6), normal(key, 7)
    size = sqrt(w * w + x * x + y * y + z * z) + 1e-12
    w, x, y, z = w / size, x / size, y / size, z / size
    for i in range(2):
        a, b, c = gradients[i]
        out[i, 0] = (1 - 2 * (y * y + z * z)) * a + 2 * (x * y - w * z) * b + 2 * (x * z + w * y) * c
        out[i, 1] = 2 * (x * y + w * z) * a + (1 - 2 * (x * x + z * z)) * b + 2 * (y * z - w * x) * c
        out[i, 2] = 2 * (x * z - w * y) * a + 2 * (y * z + w * x) * b + (1 - 2 * (x * x + y * y)) * c


@njit(cache=True, nogil=True)
def prepare(
    seed: Any, slots: Any, fruit_seeds: Any, lanes: Any, optics: Floats, gradients: Floats, basis: Floats, tissue: Tissue,
    passage: Passage, first: Any, slit: Floats, spectra: Floats, places: Floats,
) -> None:  # fmt: skip
    """Fill the slots of fruit not seen before; every row by itself, so a batch changes nothing.

    ``gradients`` (n, 2, 3): rise of Brix and of acid a radius, in the fruit's frame. ``spectra`` (n_slots, 3, n_pixels): log
    transmittance, its change per cm of path, and per radius along the belt. ``places`` (n_slots, 3): seat and limb in radii, path
    in cm.
    """
    light, by_a, by_path = np.empty(basis.shape[1]), np.empty(basis.shape[1]), np.empty(basis.shape[1])
    rise = np.empty((2, 3))
    for i in range(len(slots)):
        slot, lane = slots[i], lanes[i]
        own = key_of(seed, fruit_seeds[i], 0x5EA7 + lane)
        seat = passage.seat * normal(own, 2)
        _lie(own, gradients[i], rise)
        met = optics[i].copy()
        for j in range(2):
            met[j] += tissue.sight_depth * rise[j, 2] + seat * rise[j, 1]
        places[slot, 0], places[slot, 1] = seat, passage.limb + passage.limb_spread * normal(own, 3)
        places[slot, 2] = tissue.path_share * met[2] / 10.0
        shine(met, basis, tissue, light, by_a, by_path)
        see(light, first[lane], slit[lane], spectra[slot, 0])
        see(by_path, first[lane], slit[lane], spectra[slot, 1])
        for w in range(len(by_a)):
            sugar = basis[3, w] - tissue.displaced_per_brix * basis[1, w]
            acid = basis[4, w] - tissue.displaced_per_acid_pct * basis[1, w]
            by_a[w] *= rise[0, 0] * sugar + rise[1, 0] * acid
        see(by_a, first[lane], slit[lane], spectra[slot, 2])
        for p in range(spectra.shape[2]):
            spectra[slot, 0, p] = log(spectra[slot, 0, p])


def _bumps(nm: Floats, bands: tuple[tuple[float, float, float], ...]) -> Floats:
    total = np.zeros_like(nm)
    for centre_nm, sd_nm, strength in bands:
        total += strength * np.exp(-0.5 * ((nm - centre_nm) / sd_nm) ** 2)
    return total


def absorbers(fine_nm: Floats) -> Floats:
    """Return (10, n_fine): log of wavelength/800, water, its slope per nm, then per unit: sugar, acid, solids, chlorophyll, tail,
    anthocyanin, oil."""
    table_nm, table = np.array(physics.WATER).T
    log_water = make_smoothing_spline(table_nm, np.log(table), lam=physics.WATER_SMOOTHING)
    water = np.exp(log_water(fine_nm))
    from_nm, e_nm = physics.TAIL_NM
    bands = (physics.SUGAR_PER_BRIX, physics.ACID_PER_PCT, physics.SOLIDS_PER_PCT, physics.CHLOROPHYLL)
    rows = [np.log(fine_nm / 800.0), water, water * log_water(fine_nm, 1), *(_bumps(fine_nm, band) for band in bands)]
    rows.append(np.exp((from_nm - fine_nm) / e_nm))
    return np.stack([*rows, _bumps(fine_nm, physics.ANTHOCYANIN), _bumps(fine_nm, physics.OIL_PER_PCT)])
