"""Simulated spectrometers, one a lane: a lamp, a fruit, a slit, a detector. Figures made with them are SIMULATED.

The parameters and their sources stand in `nir_physics`, the fruit's light in `nir_light`, the counting in `nir_detector`;
docs/simulator_nir.md holds the table and says what is left out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim import nir_detector, nir_light
from citrus_grade.drivers.sim import nir_physics as physics
from citrus_grade.drivers.sim.nir_detector import Age
from citrus_grade.messages import Position

Floats = NDArray[np.float64]

SLOTS = 1024
GRADIENTS = ("brix_rise", "ta_rise_pct")
DARK_MARK, WHITE_MARK = 2**62, 2**62 + 1


class SimSpectrometer:
    """The spectrometers of all lanes.

    Parameters
    ----------
    seed : draws the lanes as `nir_physics.LaneSpread` says, and how fast dust settles on each window.
    n_lanes : number of lanes.
    wavelength_nm : (n_pixels,) nominal axis, rising, within 640-1060 nm. A lane really sits a little beside it.
    full_scale : counts at which the detector clips.
    empty_light : share of the lamp's straight light that an empty cup lets through; less than 1 where a grey flap hangs into the
        light, which fruit push aside.

    Notes
    -----
    A scan is a function of (seed, seq, lane, fruit, offset, age): the order of calls and the company of other lanes
    do not matter. How a fruit lies is drawn from (seed, fruit, lane): it rolls to another side on its way to another lane.
    Fruit spectra are kept in a ring of `SLOTS`; a fruit that fell out of it is worked out again, to the same bits.

    Exposure is set as on a real line: by the brightest fruit of an ordinary season, not by the middle one. Of an
    ordinary season about 2 % then have fewer than three unclipped scans, small ones with clear flesh; the median fruit peaks at
    `nir_physics.MEDIAN_PEAK` of full scale in the middle of its passage.
    """

    def __init__(self, seed: int, n_lanes: int, wavelength_nm: Floats, full_scale: int = 65000, empty_light: float = 1.0) -> None:
        nm = np.asarray(wavelength_nm, np.float64)
        if nm.ndim != 1 or nm[0] < 640.0 or nm[-1] > 1060.0 or np.any(np.diff(nm) <= 0):
            raise ValueError(f"wavelength_nm must rise within 640-1060 nm, where the fruit is known; got {nm[0]}-{nm[-1]}")
        if not 0 < full_scale <= 65535:
            raise ValueError(f"full_scale = {full_scale} does not fit in 16 bits; use 1 to 65535")
        self.wavelength_nm, self.n_lanes, self.full_scale = nm, n_lanes, full_scale
        self._seed, self._empty_light = seed, empty_light
        fine_nm = np.arange(nm[0] - physics.MARGIN_NM, nm[-1] + physics.MARGIN_NM, physics.FINE_STEP_NM)
        self._basis = nir_light.absorbers(fine_nm)
        self._draw_lanes(fine_nm)
        self._peak_counts = physics.MEDIAN_PEAK * full_scale
        self._exposure = self._expose(fine_nm)
        self._slot_of: dict[bytes, int] = {}
        self._key_of: list[bytes | None] = [None] * SLOTS
        self._next = 0
        self._spectra, self._places = np.zeros((SLOTS, 3, len(nm))), np.zeros((SLOTS, 3))

    def _draw_lanes(self, fine_nm: Floats) -> None:
        rng = np.random.default_rng([self._seed, 7])
        spread, nm = physics.LANES, self.wavelength_nm
        middle_nm = nm.mean()
        draw = np.clip(rng.standard_normal((self.n_lanes, 7)), -2.5, 2.5)
        seen_nm = nm + spread.shift_nm * draw[:, 0:1] + spread.stretch * draw[:, 1:2] * (nm - middle_nm)
        fwhm_nm = spread.fwhm_nm[0] + spread.fwhm_nm[1] * draw[:, 2]
        slits = [nir_detector.slits(seen, fwhm, fine_nm) for seen, fwhm in zip(seen_nm, fwhm_nm, strict=True)]
        self._first = np.stack([first for first, _ in slits])
        self._slit = np.stack([slit for _, slit in slits])
        gain, bend = 1.0 + spread.gain * draw[:, 5], spread.bend * np.abs(draw[:, 4])
        stray = spread.stray[0] * np.exp(spread.stray[1] * draw[:, 3])
        self._dials = np.column_stack([gain, stray, bend, np.zeros(self.n_lanes)])
        slope = spread.lamp_slope_per_200_nm * draw[:, 6:7] * (nm - middle_nm) / 200.0
        self._lamp = nir_detector.lamp_shape(nm) * (1.0 + slope)
        pattern = 40.0 * rng.standard_normal((self.n_lanes, 1)) + 8.0 * rng.standard_normal((self.n_lanes, len(nm)))
        self._dark = physics.DETECTOR.dark_counts + pattern
        self._draw_ageing(rng)

    def _draw_ageing(self, rng: np.random.Generator) -> None:
        ageing, nm = physics.AGEING, self.wavelength_nm
        self._dust_per_h = ageing.dust_per_h * np.exp(ageing.dust_log_sd * rng.standard_normal(self.n_lanes))
        self._lamp_fade_per_h = ageing.lamp_fade_per_h + ageing.lamp_k_per_h * nir_detector.lamp_fall_per_k(nm)
        self._dust_fade_per_h = self._dust_per_h[:, None] * (800.0 / nm)

    def _expose(self, fine_nm: Floats) -> float:
        """Counts of full light at which the median fruit peaks at `nir_physics.MEDIAN_PEAK` of full scale."""
        light, by_a, by_path = np.empty((3, len(fine_nm)))
        nir_light.shine(np.array(nir_light.MEDIAN), self._basis, physics.TISSUE, light, by_a, by_path)
        seen = np.interp(self.wavelength_nm, fine_nm, light) * nir_detector.lamp_shape(self.wavelength_nm)
        return float(self._peak_counts / seen.max())

    def _aged(self, age_h: float | Age) -> tuple[Floats, Floats, Floats]:
        """Return lamp and dark (n_lanes, n_pixels) and dials, after so many hours."""
        age = age_h if isinstance(age_h, Age) else Age(age_h, age_h, age_h)
        dials = self._dials.copy()
        dials[:, nir_detector.VEIL] = physics.AGEING.dust_veil * self._dust_per_h * age.dust_h
        fade = age.lamp_h * self._lamp_fade_per_h + age.dust_h * self._dust_fade_per_h
        return self._lamp * np.exp(-fade), self._dark + physics.DETECTOR.dark_counts_per_h * age.dark_h, dials

    def _reference(self, light: Floats, mark: int, age_h: float | Age) -> Floats:
        out = np.empty_like(light)
        _, dark, dials = self._aged(age_h)
        nir_detector.refer(self._seed, mark, light, dark, dials, float(self.full_scale), physics.DETECTOR, out)
        return out

    def _attenuated(self, age_h: float | Age) -> Floats:
        return np.asarray(physics.WHITE_PEAK * self.full_scale * self._aged(age_h)[0], np.float64)

    def dark(self, age_h: float | Age = 0.0) -> Floats:
        """Mean of 100 scans behind the shutter, (n_lanes, n_pixels) counts."""
        return self._reference(np.zeros_like(self._lamp), DARK_MARK, age_h)

    def white(self, age_h: float | Age = 0.0) -> Floats:
        """Mean of 100 scans of the lamp through the grey attenuator and the window's dust, (n_lanes, n_pixels) counts."""
        return self._reference(self._attenuated(age_h), WHITE_MARK, age_h)

    def look(self, seq: int, lanes: NDArray[np.int64], position: Position, age_h: float | Age = 0.0) -> NDArray[np.uint16]:
        """One integration in each of ``lanes`` behind the shutter or through the grey attenuator, (n, n_pixels) counts."""
        light = self._attenuated(age_h) if position == Position.ATTENUATOR else np.zeros_like(self._lamp)
        out = np.empty((len(lanes), len(self.wavelength_nm)), np.uint16)
        _, dark, dials = self._aged(age_h)
        seqs = np.full(len(lanes), seq, np.int64)
        nir_detector.look(self._seed, seqs, lanes, light, dark, dials, float(self.full_scale), physics.DETECTOR, out)
        return out

    def prepare(self, fruit: NDArray[Any], lanes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Work out the spectra of fruit not yet known, all at once; (n,) slots. `scan` calls it; n is at most `SLOTS`."""
        fruit, size = np.ascontiguousarray(fruit), fruit.dtype.itemsize
        rows = fruit.tobytes()
        keys = [rows[i * size : (i + 1) * size] + lane.to_bytes(2) for i, lane in enumerate(lanes.tolist())]
        slots = np.array([self._slot_of.get(key, -1) for key in keys], np.int64)
        if (slots < 0).any():
            self._fill(fruit, lanes, keys, slots)
        return slots

    def _fill(self, fruit: NDArray[Any], lanes: NDArray[np.int64], keys: list[bytes], slots: NDArray[np.int64]) -> None:
        held = {int(slot) for slot in slots if slot >= 0}
        new = np.flatnonzero(slots < 0)
        for i in new:
            known = self._slot_of.get(keys[i])  # the same fruit may stand twice in one call
            slots[i] = self._claim(keys[i], held) if known is None else known
        rows = fruit[new]
        optics = np.column_stack([rows[name] for name in nir_light.OPTICS])
        gradients = np.stack([rows[name] for name in GRADIENTS], axis=1)
        seeds, where = rows["seed"].astype(np.int64), (self._first, self._slit, self._spectra, self._places)
        nir_light.prepare(
            self._seed, slots[new], seeds, lanes[new], optics, gradients, self._basis, physics.TISSUE, physics.PASSAGE, *where
        )

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
        seq: int | NDArray[np.int64],
        lanes: NDArray[np.int64],
        fruit: NDArray[Any],
        offset: Floats,
        present: NDArray[np.bool_],
        age_h: float | Age = 0.0,
    ) -> NDArray[np.uint16]:
        """One integration in each of ``lanes``.

        Parameters
        ----------
        seq : number of the integration, one for all or (n,); gives the noise, with the lane.
        lanes : (n,) lane of each row.
        fruit : (n,) rows of `TRUTH`; rows of empty cups are not looked at.
        offset : (n,) along the belt, centre of the fruit minus optical axis, in fruit radii: under the fruit below 1.
        present : (n,) False for an empty cup, where the lamp shines straight in.
        age_h : hours since dark and white were taken and the windows wiped.

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
        lamp, dark, dials = self._aged(age_h) if age_h else (self._lamp, self._dark, self._dials)
        full_scale, parts = float(self.full_scale), (physics.PASSAGE, physics.DETECTOR)
        exposure = (self._peak_counts, self._exposure, full_scale, self._empty_light)
        where = (np.zeros(len(lanes), np.int64) + seq, lanes, slots, np.asarray(offset, np.float64), present)
        nir_detector.scan(self._seed, *where, lamp, dark, dials, *exposure, *parts, self._spectra, self._places, out)
        return out
