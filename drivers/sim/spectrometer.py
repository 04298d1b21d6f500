"""Simulated spectrometers, one a lane: a lamp, a satsuma, a slit, a detector. Figures made with it are SIMULATED.

Sources of the physics; docs/simulator_nir.md holds the table and says what is left out.

- Water: Palmer and Williams 1974, J. Opt. Soc. Am. 64, 1107 (690-1099 nm, 27 C); below 690 nm
  Hale and Querry 1973, Appl. Opt. 12, 555.
- Water and temperature, places of the sugar bands: Golic, Walsh and Lawson 2003, Appl. Spectrosc. 57, 139;
  Pegau, Gray and Zaneveld 1997, Appl. Opt. 36, 6035.
- Light through a scattering slab: Contini, Martelli and Zaccanti 1997, Appl. Opt. 36, 4587.
- Band strengths of sugar and acid, path share, leak and lane spreads: our estimates, marked as such below.
"""

from math import exp, log1p, sqrt
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator

Floats = NDArray[np.float64]

# fmt: off
WATER = (
    (600, 0.0023), (625, 0.0028), (650, 0.0032), (675, 0.00415), (690, 0.0049), (702, 0.0069), (714, 0.0098), (725, 0.0134),
    (735, 0.0238), (746, 0.0275), (752, 0.0281), (758, 0.0272), (769, 0.0251), (781, 0.023), (794, 0.021), (806, 0.0195),
    (813, 0.0191), (820, 0.0199), (833, 0.0308), (847, 0.0387), (862, 0.0428), (877, 0.0506), (893, 0.0609), (909, 0.075),
    (926, 0.119), (935, 0.158), (943, 0.214), (952, 0.322), (962, 0.471), (973, 0.514), (980, 0.502), (990, 0.469),
    (1000, 0.416), (1010, 0.351), (1020, 0.285), (1031, 0.231), (1042, 0.19), (1053, 0.164), (1070, 0.148), (1087, 0.166),
    (1099, 0.192),
)
# fmt: on
"""(wavelength nm, natural-log absorption coefficient of water at 27 C, 1/cm)."""

WATER_C = 27.0
WATER_SHIFT_NM_PER_C = 0.05  # toward shorter wavelengths when warmer; near 0.1 for free water, less for water bound to sugar
WATER_RISE_PER_C = 0.0002  # so that 984 nm falls with warmth while 960 nm rises, as Golic 2003 saw
WATER_SHARE = 0.985  # of the flesh's volume, before sugar and acid take their place
DISPLACED_PER_BRIX = 0.0062
DISPLACED_PER_ACID_PCT = 0.006

# (centre nm, sd nm, 1/cm). Places: C-H third overtone near 910, sugar O-H near 984, weaker O-H at 750 and 840 (Golic 2003).
# Strengths: our estimate, from the density of C-H and O-H bonds against those of fat (0.13/cm at 930 nm) and of water.
SUGAR_PER_BRIX = ((912.0, 16.0, 4.2e-4), (986.0, 28.0, 1.0e-3), (746.0, 14.0, 5.0e-5), (838.0, 16.0, 6.0e-5))
ACID_PER_PCT = ((905.0, 18.0, 3.5e-4), (960.0, 45.0, 6.0e-4))
CHLOROPHYLL = ((672.0, 14.0, 1.0),)  # lies in the peel
PIGMENT_TAIL_PER_CM = 0.010  # at 650 nm, falls by e in 60 nm

PATH_SHARE = 0.45  # of the diameter: source and detector sit on the same half of the fruit
PEEL_SCATTER = 2.2  # times the flesh's
PEEL_WATER = 0.75
BOUNDARY = 2.95  # Contini's A for a refractive index of 1.4

# The truth is the whole fruit's juice; one line of sight meets a part of it.
SIGHT_BRIX = 0.20
SIGHT_TA_PCT = 0.07
SEAT = 0.12  # sd of the sideways seat in the cup, in fruit radii

FINE_STEP_NM = 2.0
MARGIN_NM = 30.0
MEDIAN_PEAK = 0.46  # of full scale, for the median fruit
WHITE_PEAK = 0.80
DIRECT = 30.0  # lamp straight through, times the median fruit's peak
LIMB, LIMB_WIDTH = 0.88, 0.035  # where light begins to leak past the fruit, in fruit radii
JITTER = 0.05
ELECTRONS_PER_COUNT = 15.0  # a cooled, back-thinned array binned down its columns: a million electrons at full scale
READ_NOISE_COUNTS = 3.0
DARK_COUNTS = 600.0
DARK_COUNTS_PER_H = 3.0
LAMP_FADE_PER_H = 0.002
LAMP_COLOUR_PER_H = 0.002  # change of slope over 200 nm
AVERAGED = 100  # scans behind a dark or a white reference

SLOTS = 1024
OPTICS = (
    "ssc_brix",
    "ta_pct",
    "diameter_mm",
    "scatter_a_per_cm",
    "scatter_b",
    "peel_cm",
    "chlorophyll_per_cm",
    "pulp_temperature_c",
)
MEDIAN_OPTICS = (11.2, 0.95, 62.0, 7.5, 0.8, 0.30, 0.25, 15.0)

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_A, MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
LOW_16 = np.uint64(0xFFFF)
B16, B27, B30, B31, B32, B48 = (np.uint64(b) for b in (16, 27, 30, 31, 32, 48))


@njit(cache=True, nogil=True)
def _mix(state: Any) -> Any:
    """Splitmix64's finaliser (Steele, Lea and Flood 2014): a number out of a counter, whatever was drawn before it."""
    state = (state ^ (state >> B30)) * MIX_A
    state = (state ^ (state >> B27)) * MIX_B
    return state ^ (state >> B31)


@njit(cache=True, nogil=True)
def _normal(key: Any, index: int) -> float:
    """Nearly normal deviate number ``index`` of the stream ``key``: four 16-bit uniforms added, tails end at 3.5 sd."""
    bits = _mix(key + np.uint64(index + 1) * GOLDEN)
    total = (bits & LOW_16) + ((bits >> B16) & LOW_16) + ((bits >> B32) & LOW_16) + (bits >> B48)
    return ((float(total) + 2.0) / 65536.0 - 2.0) * 1.7320508075688772


@njit(cache=True, nogil=True)
def _key(seed: int, a: int, b: int) -> Any:
    return _mix(_mix(_mix(np.uint64(seed) + GOLDEN) + np.uint64(a)) + np.uint64(b))


@njit(cache=True, nogil=True)
def _log_sinh(x: float) -> float:
    return x + log1p(-exp(-2.0 * x))  # less ln 2, which cancels in a ratio


@njit(cache=True, nogil=True)
def _light(optics: Floats, basis: Floats, log_t: Floats, slope: Floats) -> None:
    """Log transmittance of a fruit across its middle, and its change per cm of path, on the fine grid.

    ``optics`` (8,) in the order of `OPTICS`; ``basis`` (7, n_fine): log wavelength/800, water, its slope per nm,
    sugar, acid, chlorophyll, tail; both outputs (n_fine,).
    """
    brix, ta, diameter_mm, a_per_cm, b, peel_cm, chlorophyll, celsius = optics
    path_cm = PATH_SHARE * diameter_mm / 10.0
    warm = celsius - WATER_C
    wet = WATER_SHARE - DISPLACED_PER_BRIX * brix - DISPLACED_PER_ACID_PCT * ta
    for w in range(basis.shape[1]):
        water = (basis[1, w] + WATER_SHIFT_NM_PER_C * warm * basis[2, w]) * (1.0 + WATER_RISE_PER_C * warm)
        mu_a = wet * water + brix * basis[3, w] + ta * basis[4, w] + basis[6, w]
        mu_s = a_per_cm * exp(-b * basis[0, w])
        diffusion = 1.0 / (3.0 * (mu_a + mu_s))
        mu_eff = sqrt(mu_a / diffusion)
        beyond = 2.0 * BOUNDARY * diffusion
        entry = _log_sinh(mu_eff * (beyond + 3.0 * diffusion))
        through = _log_sinh(mu_eff * (path_cm + 2.0 * beyond))
        peel_a = PEEL_WATER * water + chlorophyll * basis[5, w] + basis[6, w]
        peel_eff = sqrt(3.0 * peel_a * (peel_a + PEEL_SCATTER * mu_s))
        log_t[w] = entry - through - 2.0 * peel_eff * peel_cm
        slope[w] = -mu_eff


@njit(cache=True, nogil=True)
def _see(fine: Floats, first: NDArray[np.int64], slit: Floats, out: Floats) -> None:
    """What the pixels of one lane see of a fine spectrum: ``slit`` (n_pixels, n_taps) weights from index ``first``."""
    for p in range(len(first)):
        total = 0.0
        for k in range(slit.shape[1]):
            total += slit[p, k] * fine[first[p] + k]
        out[p] = total


@njit(cache=True, nogil=True)
def _prepare(
    seed: Any, slots: Any, fruit_seeds: Any, lanes: Any, optics: Floats, basis: Floats, first: Any, slit: Floats,
    log_t: Floats, slope: Floats, seat: Floats, path_cm: Floats,
) -> None:  # fmt: skip
    """Fill the slots of fruit not seen before; every row by itself, so a batch changes nothing."""
    fine_t, fine_slope = np.empty(basis.shape[1]), np.empty(basis.shape[1])
    for i in range(len(slots)):
        slot, lane, own = slots[i], lanes[i], _key(seed, fruit_seeds[i], 0x5EA7)
        seen = optics[i].copy()
        seen[0] += SIGHT_BRIX * _normal(own, 0)
        seen[1] += SIGHT_TA_PCT * _normal(own, 1)
        seat[slot] = SEAT * _normal(own, 2)
        path_cm[slot] = PATH_SHARE * seen[2] / 10.0
        _light(seen, basis, fine_t, fine_slope)
        _see(fine_slope, first[lane], slit[lane], slope[slot])
        for w in range(len(fine_t)):
            fine_t[w] = exp(fine_t[w])
        _see(fine_t, first[lane], slit[lane], log_t[slot])
        for p in range(log_t.shape[1]):
            log_t[slot, p] = np.log(log_t[slot, p])


@njit(cache=True, nogil=True)
def _detect(key: Any, light: Floats, lane_dark: Floats, stray: float, bend: float, noise: float, full_scale: float,
            out: Floats) -> None:  # fmt: skip
    """Light in counts -> counts as read: stray light, nonlinearity, dark, shot and read noise, clipping; not rounded."""
    peak = 0.0
    for p in range(len(light)):
        peak = max(peak, light[p])
    for p in range(len(light)):
        count = min(light[p] + stray * peak, 2.0 * full_scale)
        sd = sqrt(count / ELECTRONS_PER_COUNT + READ_NOISE_COUNTS**2)
        count += lane_dark[p] - bend * count * count / full_scale
        out[p] = min(max(count + noise * sd * _normal(key, p), 0.0), full_scale)


@njit(cache=True, nogil=True)
def _scan(
    seed: Any, seq: int, lanes: Any, slots: Any, offset: Floats, present: Any, lamp: Floats, dark: Floats, lane_dials: Floats,
    exposure: float, full_scale: float, log_t: Floats, slope: Floats, seat: Floats, path_cm: Floats, out: Any,
) -> None:  # fmt: skip
    light = np.empty(lamp.shape[1])
    for i in range(len(lanes)):
        lane, slot = lanes[i], slots[i]
        key = _key(seed, seq, lane)
        gain = lane_dials[lane, 0] * (1.0 + JITTER * _normal(key, -2))
        direct = gain * DIRECT * MEDIAN_PEAK * full_scale
        leak, short_cm = 1.0, 0.0
        if present[i]:
            radius = sqrt(offset[i] ** 2 + seat[slot] ** 2)
            leak = 1.0 / (1.0 + exp(-(radius - LIMB) / LIMB_WIDTH))
            short_cm = path_cm[slot] * (sqrt(max(1.0 - radius * radius, 0.02)) - 1.0)
        for p in range(lamp.shape[1]):
            through = exposure * gain * exp(log_t[slot, p] + slope[slot, p] * short_cm) if present[i] else 0.0
            light[p] = lamp[lane, p] * ((1.0 - leak) * through + leak * direct)
        _detect(key, light, dark[lane], lane_dials[lane, 1], lane_dials[lane, 2], 1.0, full_scale, light)
        for p in range(lamp.shape[1]):
            out[i, p] = np.uint16(light[p] + 0.5)


@njit(cache=True, nogil=True)
def _refer(seed: Any, mark: int, light: Floats, dark: Floats, lane_dials: Floats, noise: float, full_scale: float,
           out: Floats) -> None:  # fmt: skip
    for lane in range(len(light)):
        _detect(
            _key(seed, mark, lane),
            light[lane],
            dark[lane],
            lane_dials[lane, 1],
            lane_dials[lane, 2],
            noise,
            full_scale,
            out[lane],
        )


def _bumps(nm: Floats, bands: tuple[tuple[float, float, float], ...]) -> Floats:
    total = np.zeros_like(nm)
    for centre_nm, sd_nm, strength in bands:
        total += strength * np.exp(-0.5 * ((nm - centre_nm) / sd_nm) ** 2)
    return total


def _basis(fine_nm: Floats) -> Floats:
    water = PchipInterpolator(*np.array(WATER).T)
    tail = PIGMENT_TAIL_PER_CM * np.exp(-(fine_nm - 650.0) / 60.0)
    rows = (np.log(fine_nm / 800.0), water(fine_nm), water(fine_nm, 1))
    return np.stack([*rows, _bumps(fine_nm, SUGAR_PER_BRIX), _bumps(fine_nm, ACID_PER_PCT), _bumps(fine_nm, CHLOROPHYLL), tail])


def _lamp(nm: Floats) -> Floats:
    """Photons of a 2900 K halogen lamp times a silicon detector that fades beyond 950 nm; peak 1. Shape only."""
    photons = nm**-4.0 / np.expm1(1.4388e7 / (nm * 2900.0))
    shape = photons / (1.0 + np.exp((nm - 985.0) / 28.0))
    return np.asarray(shape / shape.max(), np.float64)


def _slits(seen_nm: Floats, fwhm_nm: float, fine_nm: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Gaussian slit of each pixel, cut at 3 sd: (n_pixels,) first fine index and (n_pixels, n_taps) weights."""
    sd_nm = fwhm_nm / 2.3548
    half = int(np.ceil(3.0 * 6.0 / FINE_STEP_NM))  # taps enough for the widest lane, FWHM 14 nm
    centre = np.rint((seen_nm - fine_nm[0]) / FINE_STEP_NM).astype(np.int64)
    first = centre - half
    taps = fine_nm[first[:, None] + np.arange(2 * half + 1)]
    weights = np.exp(-0.5 * ((taps - seen_nm[:, None]) / sd_nm) ** 2)
    return first, weights / weights.sum(1, keepdims=True)


class SimSpectrometer:
    """The spectrometers of all lanes.

    Parameters
    ----------
    seed : draws the lanes: wavelength shift (sd 0.35 nm) and stretch (6e-4), slit (9 +- 1 nm), stray light, nonlinearity
        (1 %), lamp slope (5 % over 200 nm), gain (3 %), dark pattern.
    n_lanes : number of lanes.
    wavelength_nm : (n_pixels,) nominal axis, rising, within 640-1060 nm. A lane really sits a little beside it.
    full_scale : counts at which the detector clips.

    Notes
    -----
    A scan is a function of (seed, seq, lane, fruit, offset, age): the order of calls and the company of other lanes
    do not matter. Fruit spectra are kept in a ring of `SLOTS`; a fruit that fell out of it is worked out again, to the same bits.
    """

    def __init__(self, seed: int, n_lanes: int, wavelength_nm: Floats, full_scale: int = 65000) -> None:
        nm = np.asarray(wavelength_nm, np.float64)
        if nm.ndim != 1 or nm[0] < 640.0 or nm[-1] > 1060.0 or np.any(np.diff(nm) <= 0):
            raise ValueError(f"wavelength_nm must rise within 640-1060 nm, where the fruit is known; got {nm[0]}-{nm[-1]}")
        if not 0 < full_scale <= 65535:
            raise ValueError(f"full_scale = {full_scale} does not fit in 16 bits; use 1 to 65535")
        self.wavelength_nm, self.n_lanes, self.full_scale = nm, n_lanes, full_scale
        self._seed = seed
        fine_nm = np.arange(nm[0] - MARGIN_NM, nm[-1] + MARGIN_NM, FINE_STEP_NM)
        self._basis = _basis(fine_nm)
        self._draw_lanes(fine_nm)
        self._exposure = self._expose(fine_nm)
        self._slot_of: dict[bytes, int] = {}
        self._key_of: list[bytes | None] = [None] * SLOTS
        self._next = 0
        self._log_t, self._slope = np.zeros((2, SLOTS, len(nm)))
        self._seat, self._path_cm = np.zeros((2, SLOTS))

    def _draw_lanes(self, fine_nm: Floats) -> None:
        rng = np.random.default_rng([self._seed, 7])
        nm, shape = self.wavelength_nm, (self.n_lanes, len(self.wavelength_nm))
        middle_nm = nm.mean()
        draw = np.clip(rng.standard_normal((self.n_lanes, 7)), -2.5, 2.5)
        seen_nm = nm + 0.35 * draw[:, 0:1] + 6e-4 * draw[:, 1:2] * (nm - middle_nm)
        slits = [_slits(seen_nm[i], 9.0 + draw[i, 2], fine_nm) for i in range(self.n_lanes)]
        self._first = np.stack([first for first, _ in slits])
        self._slit = np.stack([slit for _, slit in slits])
        stray, bend = 2e-4 * np.exp(0.4 * draw[:, 3]), 0.01 * np.abs(draw[:, 4])
        self._dials = np.column_stack([1.0 + 0.03 * draw[:, 5], stray, bend])
        self._lamp = _lamp(nm) * (1.0 + 0.05 * draw[:, 6:7] * (nm - middle_nm) / 200.0)
        self._dark = DARK_COUNTS + 40.0 * rng.standard_normal((self.n_lanes, 1)) + 8.0 * rng.standard_normal(shape)

    def _expose(self, fine_nm: Floats) -> float:
        """Counts of full light at which the median fruit peaks at `MEDIAN_PEAK` of full scale."""
        log_t, slope = np.empty((2, len(fine_nm)))
        _light(np.array(MEDIAN_OPTICS), self._basis, log_t, slope)
        seen = np.exp(np.interp(self.wavelength_nm, fine_nm, log_t)) * _lamp(self.wavelength_nm)
        return float(MEDIAN_PEAK * self.full_scale / seen.max())

    def _aged_lamp(self, age_h: float) -> Floats:
        colour = LAMP_COLOUR_PER_H * age_h * (self.wavelength_nm - self.wavelength_nm.mean()) / 200.0
        return np.asarray(self._lamp * (1.0 - LAMP_FADE_PER_H * age_h) * (1.0 + colour), np.float64)

    def _reference(self, light: Floats, mark: int, age_h: float) -> Floats:
        out = np.empty_like(light)
        dark = self._dark + DARK_COUNTS_PER_H * age_h
        _refer(self._seed, mark, light, dark, self._dials, AVERAGED**-0.5, float(self.full_scale), out)
        return out

    def dark(self, age_h: float = 0.0) -> Floats:
        """Mean of 100 scans behind the shutter, (n_lanes, n_pixels) counts."""
        return self._reference(np.zeros_like(self._lamp), 2**62, age_h)

    def white(self, age_h: float = 0.0) -> Floats:
        """Mean of 100 scans of the lamp through the grey attenuator, (n_lanes, n_pixels) counts."""
        return self._reference(WHITE_PEAK * self.full_scale * self._aged_lamp(age_h), 2**62 + 1, age_h)

    def prepare(self, fruit: NDArray[Any], lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Work out the spectra of fruit not yet known, all at once; (n,) slots. `scan` calls it; n is at most `SLOTS`."""
        table = np.column_stack([fruit["fruit"], fruit["seed"], lanes, *(fruit[name] for name in OPTICS)])
        keys = [row.tobytes() for row in table]
        slots = np.array([self._slot_of.get(key, -1) for key in keys], np.int64)
        if (slots < 0).any():
            slots = self._fill(table, keys, slots)
        return slots

    def _fill(self, table: Floats, keys: list[bytes], slots: NDArray[np.int64]) -> NDArray[np.int64]:
        held = {int(slot) for slot in slots if slot >= 0}
        new = np.flatnonzero(slots < 0)
        for i in new:
            known = self._slot_of.get(keys[i])  # the same fruit may stand twice in one call
            slots[i] = self._claim(keys[i], held) if known is None else known
        rows = table[new]
        fruit_seeds, lanes = rows[:, 1].astype(np.int64), rows[:, 2].astype(np.int64)
        where = (self._log_t, self._slope, self._seat, self._path_cm)
        optics = np.ascontiguousarray(rows[:, 3:])
        _prepare(self._seed, slots[new], fruit_seeds, lanes, optics, self._basis, self._first, self._slit, *where)
        return slots

    def _claim(self, key: bytes, held: set[int]) -> int:
        """Take the oldest slot that this call does not use."""
        while self._next in held:
            self._next = (self._next + 1) % SLOTS
        slot, self._next = self._next, (self._next + 1) % SLOTS
        old, self._key_of[slot] = self._key_of[slot], key
        if old is not None:
            del self._slot_of[old]
        self._slot_of[key] = slot
        held.add(slot)
        return slot

    def scan(
        self,
        seq: int,
        lanes: NDArray[np.int64],
        fruit: NDArray[Any],
        offset: Floats,
        present: NDArray[np.bool_],
        age_h: float = 0.0,
    ) -> NDArray[np.uint16]:
        """One integration in each of ``lanes``.

        Parameters
        ----------
        seq : number of the integration; gives the noise.
        lanes : (n,) lane of each row.
        fruit : (n,) rows of `TRUTH`; rows of empty cups are not looked at.
        offset : (n,) along the belt, centre of the fruit minus optical axis, in fruit radii: under the fruit below 1.
        present : (n,) False for an empty cup, where the lamp shines straight in.
        age_h : hours since dark and white were taken.

        Returns
        -------
        (n, n_pixels) counts.
        """
        lanes = np.asarray(lanes, np.int64)
        present = np.asarray(present, np.bool_)
        slots = np.zeros(len(lanes), np.int64)
        if present.any():
            slots[present] = self.prepare(fruit[present], lanes[present])
        out = np.empty((len(lanes), len(self.wavelength_nm)), np.uint16)
        lamp, dark = self._lamp, self._dark
        if age_h:
            lamp, dark = self._aged_lamp(age_h), dark + DARK_COUNTS_PER_H * age_h
        where = (self._log_t, self._slope, self._seat, self._path_cm)
        dials = (lamp, dark, self._dials, self._exposure, float(self.full_scale))
        _scan(self._seed, seq, lanes, slots, np.asarray(offset, np.float64), present, *dials, *where, out)
        return out
