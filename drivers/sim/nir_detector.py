"""Lamp, slit and detector of the simulated spectrometers: from light to counts.

The parameters and their sources stand in `nir_physics`.
"""

from math import exp, sqrt
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.drivers.sim import nir_physics as physics
from citrus_grade.drivers.sim.counter import key_of, normal
from citrus_grade.drivers.sim.nir_physics import Detector, Passage

Floats = NDArray[np.float64]

PLANCK_NM_K = 1.4388e7
GAIN, STRAY, BEND, VEIL = range(4)
"""Columns of a lane's dials."""


class Age(NamedTuple):
    """Hours since dark and white were taken and the windows wiped, as lamp, dust and dark each count them."""

    lamp_h: float
    dust_h: float
    dark_h: float


@njit(cache=True, nogil=True)
def _detect(key: Any, light: Floats, dark: Floats, dials: Floats, noise: float, full_scale: float, detector: Detector,
            out: Floats) -> None:  # fmt: skip
    """Light in counts -> counts as read: stray light, nonlinearity, dark, shot and read noise, clipping; not rounded."""
    peak = 0.0
    for p in range(len(light)):
        peak = max(peak, light[p])
    for p in range(len(light)):
        count = min(light[p] + dials[STRAY] * peak, 2.0 * full_scale)
        sd = sqrt(count / detector.electrons_per_count + detector.read_noise_counts**2)
        count += dark[p] - dials[BEND] * count * count / full_scale
        out[p] = min(max(count + noise * sd * normal(key, p), 0.0), full_scale)


@njit(cache=True, nogil=True)
def scan(
    seed: Any, seq: Any, lanes: Any, slots: Any, offset: Floats, present: Any, lamp: Floats, dark: Floats, dials: Floats,
    peak_counts: float, exposure: float, full_scale: float, empty_light: float, passage: Passage, detector: Detector,
    spectra: Floats, places: Floats, out: Any,
) -> None:  # fmt: skip
    """One integration a row; ``spectra`` and ``places`` as `nir_light.prepare` filled them; an empty cup lets ``empty_light`` of
    the lamp's straight light through."""
    light = np.empty(lamp.shape[1])
    for i in range(len(lanes)):
        lane, slot = lanes[i], slots[i]
        key = key_of(seed, seq[i], lane)
        gain = dials[lane, GAIN] * (1.0 + passage.jitter * normal(key, -2))
        direct = gain * passage.direct * peak_counts
        leak, short_cm, along = empty_light, 0.0, offset[i]
        if present[i]:
            radius = sqrt(along**2 + places[slot, 0] ** 2)
            leak = 1.0 / (1.0 + exp((places[slot, 1] - radius) / passage.limb_width))
            short_cm = places[slot, 2] * (sqrt(max(1.0 - radius * radius, 0.02)) - 1.0)
        past = (leak + dials[lane, VEIL]) * direct
        open_share = (1.0 - leak) * exposure * gain
        log_t, by_path, by_radius = spectra[slot, 0], spectra[slot, 1], spectra[slot, 2]
        for p in range(lamp.shape[1]):
            through = exp(log_t[p] + by_path[p] * short_cm + by_radius[p] * along) if present[i] else 0.0
            light[p] = lamp[lane, p] * (open_share * through + past)
        _detect(key, light, dark[lane], dials[lane], 1.0, full_scale, detector, light)
        for p in range(lamp.shape[1]):
            out[i, p] = np.uint16(light[p] + 0.5)


@njit(cache=True, nogil=True)
def refer(seed: Any, mark: int, light: Floats, dark: Floats, dials: Floats, full_scale: float, detector: Detector,
          out: Floats) -> None:  # fmt: skip
    """Read a dark or a white reference in every lane, the mean of many scans."""
    for lane in range(len(light)):
        noise = detector.averaged**-0.5
        _detect(key_of(seed, mark, lane), light[lane], dark[lane], dials[lane], noise, full_scale, detector, out[lane])


@njit(cache=True, nogil=True)
def look(seed: Any, seq: Any, lanes: Any, light: Floats, dark: Floats, dials: Floats, full_scale: float, detector: Detector,
         out: Any) -> None:  # fmt: skip
    """One integration a row, of ``light`` (n_lanes, n_pixels) in place of a cup's."""
    read = np.empty(light.shape[1])
    for i in range(len(lanes)):
        lane = lanes[i]
        _detect(key_of(seed, seq[i], lane), light[lane], dark[lane], dials[lane], 1.0, full_scale, detector, read)
        for p in range(len(read)):
            out[i, p] = np.uint16(read[p] + 0.5)


def lamp_shape(nm: Floats) -> Floats:
    """Photons of a halogen lamp times a silicon detector that fades in the infrared; peak 1. Shape only."""
    middle_nm, width_nm = physics.SILICON_NM
    shape = nm**-4.0 / np.expm1(PLANCK_NM_K / (nm * physics.LAMP_K)) / (1.0 + np.exp((nm - middle_nm) / width_nm))
    return np.asarray(shape / shape.max(), np.float64)


def lamp_fall_per_k(nm: Floats) -> Floats:
    """Return how much of its light a lamp loses when it cools by 1 K (Planck's law), beyond what it loses at 800 nm."""

    def rise(at_nm: Any) -> Any:
        x = PLANCK_NM_K / (at_nm * physics.LAMP_K)
        return x / physics.LAMP_K / -np.expm1(-x)

    return np.asarray(rise(nm) - rise(800.0), np.float64)


def slits(seen_nm: Floats, fwhm_nm: float, fine_nm: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Gaussian slit of each pixel, cut at 3 sd: (n_pixels,) first fine index and (n_pixels, n_taps) weights."""
    sd_nm = fwhm_nm / 2.3548
    half = int(np.ceil(3.0 * 6.0 / physics.FINE_STEP_NM))  # taps enough for the widest lane, FWHM 14 nm
    centre = np.rint((seen_nm - fine_nm[0]) / physics.FINE_STEP_NM).astype(np.int64)
    first = centre - half
    taps = fine_nm[first[:, None] + np.arange(2 * half + 1)]
    weights = np.exp(-0.5 * ((taps - seen_nm[:, None]) / sd_nm) ** 2)
    return first, weights / weights.sum(1, keepdims=True)
