"""A model applied: to the raw counts of a pitch on the line, or to absorbance from anywhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra import kernel
from citrus_grade.spectra.bands import Band, band, interpolation
from citrus_grade.spectra.graph import add_values
from citrus_grade.spectra.kernel import Lanes
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.traits import MAX_TARGETS, OK, TRAITS, empty_traits

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Aligned:
    """How the pixels of a line's lanes become a model's wavelengths: the window ``start:stop`` of them, and `kernel.Lanes`."""

    n_pixels: int
    start: int
    stop: int
    lanes: Lanes

    def of(self, rows: NDArray[np.int64]) -> "Aligned":
        """Return the same for rows of these lanes."""
        own = self.lanes
        lanes = _laid(own.taps[rows], own.first[rows], own.run[rows], own.correction[rows])
        return Aligned(self.n_pixels, self.start, self.stop, lanes)


def _laid(taps: Floats, first: NDArray[np.int64], run: NDArray[np.int64], correction: Floats) -> Lanes:
    lanes = Lanes(taps, first, run, correction)
    for part in lanes:
        part.setflags(write=False)
    return lanes


def align(lane_nm: Floats, want_nm: Floats, corrections: Floats | None = None) -> Aligned:
    """Find the pixels that give wavelengths ``want_nm`` (n_model,) on every lane.

    Parameters
    ----------
    lane_nm : (n_lanes, n_pixels), the wavelength of each pixel.
    corrections : (n_lanes, MAX_TARGETS, 2) of the values, none by default.

    Raises
    ------
    ValueError : a lane's wavelengths do not reach far enough.
    """
    bands = [interpolation(np.asarray(nm, np.float64), want_nm) for nm in lane_nm]
    start = min(int(made.first.min()) for made in bands)
    stop = max(int(made.first.max()) + len(made.taps) for made in bands)
    moved = [band(made.taps, made.first - start) for made in bands]
    return Aligned(lane_nm.shape[1], start, stop, _lanes(moved, corrections))


def _lanes(bands: Sequence[Band], corrections: Floats | None) -> Lanes:
    n_taps = max(len(made.taps) for made in bands)
    # A lane that needs no interpolation beside one that does: zeros for the taps it lacks, kept inside the window.
    padded = [made if len(made.taps) == n_taps else _widen(made, n_taps) for made in bands]
    if corrections is None:
        corrections = np.tile([0.0, 1.0], (len(bands), MAX_TARGETS, 1))
    return _laid(
        np.stack([made.taps for made in padded]),
        np.stack([made.first for made in padded]),
        np.stack([made.run for made in padded]),
        np.array(corrections, np.float64),
    )


def _widen(made: Band, n_taps: int) -> Band:
    taps = np.zeros((n_taps, made.taps.shape[1]))
    back = np.minimum(made.first, n_taps - 1)
    taps[back, np.arange(taps.shape[1])] = made.taps[0]
    return band(taps, made.first - back)


def absorbance(
    aligned: Aligned, counts: NDArray[np.uint16], received: NDArray[np.bool_], dark: Floats, white: Floats, full_scale: int
) -> tuple[Floats, NDArray[Any]]:
    """Return what a model is given of these counts, (n, n_model), and traits that say how it came about; see `predict`."""
    out, traits = np.empty((len(counts), aligned.lanes.taps.shape[2])), empty_traits(len(counts))
    scans = (_read_only(counts), _read_only(received), _read_only(dark), _read_only(white))
    kernel.gate(*scans, aligned.start, aligned.stop, full_scale, aligned.lanes, out, traits)
    return out, traits


def predict(
    model: SpectralModel,
    aligned: Aligned,
    counts: NDArray[np.uint16],
    received: NDArray[np.bool_],
    dark: Floats,
    white: Floats,
    full_scale: int,
    out: NDArray[np.void],
) -> None:
    """Raw counts of a pitch -> traits.

    Parameters
    ----------
    aligned : of this model and these rows' lanes.
    counts : (n, n_bins, n_pixels), C-contiguous as all inputs, one row a fruit; bins not received may hold anything.
    received : (n, n_bins).
    dark, white : (n, n_pixels) counts, the references of each row's lane.
    full_scale : a scan with a pixel of the window at or above it is clipped.
    out : (n,) of `TRAITS`, written.
    """
    n, n_bins, n_pixels = counts.shape
    row = (n, n_pixels)
    given = (n_pixels, len(aligned.lanes.taps), received.shape, dark.shape, white.shape, len(out))
    if given != (aligned.n_pixels, n, (n, n_bins), row, row, n):
        raise ValueError(
            f"counts {counts.shape}, received {received.shape}, dark {dark.shape}, white {white.shape}, out {out.shape} "
            f"do not fit together or do not fit the {len(aligned.lanes.taps)} lanes of {aligned.n_pixels} pixels"
        )
    if model.graph is not None:
        spectra, out[:] = absorbance(aligned, counts, received, dark, white, full_scale)
        _apply(model, spectra, aligned.lanes.correction, out)
        return
    scans = (counts, received, dark, white, aligned.start, aligned.stop, full_scale)
    kernel.predict_counts(*scans, aligned.lanes, model.packed, out)


def predict_absorbance(model: SpectralModel, absorbance: Floats, lanes: Sequence[str] | None = None) -> NDArray[Any]:
    """Absorbance (n, n_in) at the model's wavelengths -> traits (n,) of `TRAITS`; the scan columns stay empty.

    ``lanes`` (n,) names the lane of each row, for its correction.
    """
    n = len(absorbance)
    if absorbance.shape != (n, len(model.wavelength_nm)):
        raise ValueError(f"absorbance is {absorbance.shape}; the model needs ({n}, {len(model.wavelength_nm)})")
    out = np.zeros(n, TRAITS)
    out["scan_spread"], out["status"] = np.nan, OK
    known = {lane: model.correction(lane) for lane in {"", *(lanes or ())}}
    corrections = np.array([known[lane] for lane in lanes or [""] * n]).reshape(n, MAX_TARGETS, 2)
    rows = np.ascontiguousarray(absorbance, np.float64)
    _apply(model, rows, corrections, out)
    return out


def _apply(model: SpectralModel, absorbance: Floats, corrections: Floats, out: NDArray[Any]) -> None:
    kernel.apply(_read_only(absorbance), _read_only(corrections), model.packed, out)
    if model.graph is not None:
        add_values(model.graph, model.packed, absorbance, corrections, out)


def _read_only(array: NDArray[Any]) -> NDArray[Any]:
    """Return it as a kernel sees all its inputs: those that may be written and those that may not share one compilation."""
    seen = array.view()
    seen.flags.writeable = False
    return seen


def rehearse(model: SpectralModel) -> None:
    """Predict from clipped scans, so that what a model with a graph runs is compiled before the first fruit comes."""
    nm = model.wavelength_nm
    counts, dark = np.zeros((1, 1, len(nm)), np.uint16), np.zeros((1, len(nm)))
    predict(model, align(nm[None], nm), counts, np.ones((1, 1), np.bool_), dark, dark, 0, empty_traits(1))
