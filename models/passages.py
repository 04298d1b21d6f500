"""Labelled passages of the line -> absorbance by the very code of the line -> a spectral model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from citrus_grade.models import recipes
from citrus_grade.models.search import FAMILIES, Samples, Step
from citrus_grade.models.train import Trained, TrainError, train
from citrus_grade.spectra.gate import MIN_SCANS
from citrus_grade.spectra.predict import absorbance as gated
from citrus_grade.spectra.predict import align
from citrus_grade.spectra.traits import OK, empty_traits
from citrus_grade.words import _

Floats = NDArray[np.float64]

WINDOW_NM: Final = (700.0, 960.0)
"""Below it the skin's colour speaks, above it too little light comes through."""
CHUNK: Final = 2000
"""Fruit whose scans are gated in one call."""


@dataclass(frozen=True, slots=True, eq=False)
class Passages:
    """Scans of fruit that passed a line.

    ``counts`` (n, n_scans, n_pixels) uint16; ``dark``, ``white`` (n, n_pixels) counts, the references of each row's lane;
    ``wavelength_nm`` (n_pixels,) of every lane, or (n_lanes, n_pixels) with ``lane`` (n,) of each row; ``received`` (n, n_scans),
    all by default.
    """

    counts: NDArray[np.uint16]
    dark: Floats
    white: Floats
    wavelength_nm: Floats
    lane: NDArray[np.int64] | None = None
    received: NDArray[np.bool_] | None = None
    full_scale: int = 65000
    lane_nm: Floats = field(init=False, repr=False)
    rows: NDArray[np.int64] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        several = self.wavelength_nm.ndim == 2
        object.__setattr__(self, "lane_nm", self.wavelength_nm if several else self.wavelength_nm[None])
        lane = self.lane if several and self.lane is not None else np.zeros(len(self.counts), np.int64)
        object.__setattr__(self, "rows", lane)


def absorbance(passages: Passages, want_nm: Floats) -> tuple[Floats, NDArray[Any]]:
    """Return absorbance (n, len(want_nm)) of the chosen scans' mean, and traits that say how it came about."""
    aligned = align(passages.lane_nm, want_nm)
    out, traits = np.empty((len(passages.counts), len(want_nm))), empty_traits(len(passages.counts))
    received = passages.received if passages.received is not None else np.ones(passages.counts.shape[:2], np.bool_)
    for start in range(0, len(out), CHUNK):
        part = slice(start, start + CHUNK)
        out[part], traits[part] = gated(
            aligned.of(passages.rows[part]), passages.counts[part], received[part], passages.dark[part], passages.white[part],
            passages.full_scale,
        )  # fmt: skip
    return out, traits


def train_passages(
    passages: Passages,
    reference: ArrayLike,
    groups: ArrayLike,
    names: Sequence[str],
    window_nm: tuple[float, float] = WINDOW_NM,
    *,
    families: Sequence[str] = FAMILIES,
    reference_error: Sequence[float] | None = None,
    story: dict[str, Any] | None = None,
    step: Step = lambda what: None,
) -> Trained:
    """Make a model from passages; fruit whose scans the gates refuse are left out and counted.

    Parameters
    ----------
    reference : (n, n_targets) of the laboratory. groups : (n,), lots or seasons. names : of the targets. The rest as in `train`.

    Raises
    ------
    TrainError : as `train`, or fewer than half of the fruit measurable.
    """
    nm = passages.lane_nm[0]
    want_nm = nm[(nm >= window_nm[0]) & (nm <= window_nm[1])]
    if len(want_nm) < recipes.LEAST_POINTS:
        raise TrainError(
            _("the range holds fewer than {least} wavelengths of the table; widen it").format(least=recipes.LEAST_POINTS)
        )
    spectra, traits = absorbance(passages, want_nm)
    good = np.asarray(traits["status"] == OK)
    if 2 * good.sum() < len(good):
        raise TrainError(
            _("only {good} of {n} fruit have {least} good scans; look at exposure and timing").format(
                good=good.sum(), n=len(good), least=MIN_SCANS
            )
        )
    labels = np.asarray(reference, np.float64).reshape(len(good), -1)
    batch = Samples(want_nm, spectra[good], labels[good], np.asarray(groups)[good])
    told = {"n_left_out_by_scan_gates": int((~good).sum())} | (story or {})
    return train(batch, names, range_nm=window_nm, families=families, reference_error=reference_error, story=told, step=step)
