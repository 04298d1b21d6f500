"""The picture of upkeep: sample fruit before and after, lane by lane."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade.models.batch import Batch
from citrus_grade.models.upkeep import Kept
from citrus_grade.report import style
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.words import N_

Floats = NDArray[np.float64]


def upkeep_picture(model: SpectralModel, done: Sequence[Kept], batches: Sequence[Batch], out: Path) -> None:
    """Draw predictions of the sample fruit before and after, and each lane's correction."""
    style.save(lambda: _picture(model, done, batches), out)


def _picture(model: SpectralModel, done: Sequence[Kept], batches: Sequence[Batch]) -> Figure:
    drawn = style.figure(style.FULL_INCH, 2.9 * len(done))
    for row, (kept, batch) in zip(drawn.subplots(len(done), 3, squeeze=False), zip(done, batches, strict=True), strict=True):
        low = float(np.nanmin([batch.reference, kept.before, kept.after]))
        high = float(np.nanmax([batch.reference, kept.before, kept.after]))
        _scatter(row[0], batch.reference, kept.before, (low, high), style.say(N_("before")))
        _scatter(
            row[1], batch.reference, kept.after, (low, high), style.say(N_("after: {what}")).format(what=style.say(kept.chosen))
        )
        row[0].set_ylabel(kept.target + ", " + style.say(N_("predicted")))
        _candidates(row[2], kept)
    return style.stamped(drawn, bool(model.training.get("SIMULATED")))


def _scatter(axes: Axes, reference: Floats, said: Floats, limits: tuple[float, float], title: str) -> None:
    good = np.isfinite(said)
    error = said[good] - reference[good]
    axes.plot(limits, limits, color=style.LINE, linewidth=1)
    axes.scatter(reference[good], said[good], s=9, color=style.ACCENT, linewidths=0, alpha=0.8)
    axes.set(xlabel=style.say(N_("reference")))
    axes.set_title(
        f"{title}\nRMSE {np.sqrt(np.mean(error**2)):.3g}, " + style.say(N_("bias")) + f" {error.mean():+.3g}, n = {good.sum()}"
    )
    style.grid(axes)


def _candidates(axes: Axes, kept: Kept) -> None:
    names = list(kept.rmse)
    colours = [style.ACCENT if name == kept.chosen else style.LINE for name in names]
    axes.barh(range(len(names)), [kept.rmse[name] for name in names], color=colours)
    axes.set_yticks(range(len(names)), [style.say(name) for name in names])
    axes.invert_yaxis()
    axes.set(xlabel=style.say(N_("RMSE of fruit left out")))
    axes.set_title(style.say(N_("what was tried")))
