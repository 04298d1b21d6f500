"""The picture of a spectral model just made: predicted against reference, what was tried, the spectra."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from citrus_grade.models.batch import Batch
from citrus_grade.models.search import FAMILIES, Tried
from citrus_grade.models.train import Trained
from citrus_grade.report import style
from citrus_grade.words import N_

MOST_SPECTRA = 60


def training_picture(trained: Trained, batches: Sequence[Batch], out: Path) -> None:
    """Draw how well fruit left out were told, per target, and what the model was chosen from."""
    style.save(lambda: _picture(trained, batches), out)


def _picture(trained: Trained, batches: Sequence[Batch]) -> Figure:
    n = len(batches)
    drawn = style.figure(style.FULL_INCH, 2.9 * (n + 1))
    axes = drawn.subplots(n + 1, 2, squeeze=False)
    for j, batch in enumerate(batches):
        _scatter(axes[j, 0], trained, j, batch)
        _tried(axes[j, 1], trained.tried[j], trained.chosen[j], batch.target)
    _spectra(axes[n, 0], batches[0], trained)
    _weights(axes[n, 1], trained)
    return style.stamped(drawn, bool(trained.model.training.get("SIMULATED")))


def _scatter(axes: Axes, trained: Trained, j: int, batch: Batch) -> None:
    target, said = trained.model.targets[j], trained.said[:, j]
    low, high = float(min(batch.reference.min(), said.min())), float(max(batch.reference.max(), said.max()))
    axes.plot([low, high], [low, high], color=style.LINE, linewidth=1)
    below, above = np.quantile(target.residuals, [0.05, 0.95])
    line = np.array([low, high])
    axes.fill_between(
        line, line - above, line - below, color=style.ACCENT, alpha=0.12, linewidth=0, label=style.say(N_("90 of 100 fruit"))
    )
    axes.scatter(batch.reference, said, s=6, color=style.ACCENT, linewidths=0, alpha=0.7)
    marked = trained.suspects
    if marked:
        axes.scatter(
            batch.reference[marked], said[marked], s=26, facecolors="none", edgecolors=style.WARNING, linewidths=0.9,
            label=style.say(N_("reference to look at, n = {n}")).format(n=len(marked)),
        )  # fmt: skip
    unit = f", {target.unit}" if target.unit else ""
    axes.set(xlabel=style.say(N_("reference")) + unit, ylabel=style.say(N_("predicted, fruit left out")) + unit)
    axes.set_title(f"{target.name}: RMSE {target.sigma:.3g}, n = {len(said):,}")
    axes.legend(loc="upper left")
    style.grid(axes)


def _tried(axes: Axes, tried: Sequence[Tried], chosen: Tried, target: str) -> None:
    colours = dict(zip(FAMILIES, (style.SECOND, style.ACCENT, "#8d6a9f", "#5b8e9b"), strict=True))
    for family in FAMILIES:
        own = sorted(one.rmse for one in tried if one.family == family)
        if own:
            axes.plot(
                range(1, len(own) + 1), own, "o", markersize=3, color=colours[family], label=f"{family.upper()}, n = {len(own)}"
            )
    axes.axhline(chosen.rmse, color=style.INK, linewidth=0.8, linestyle=":")
    axes.set(xlabel=style.say(N_("recipes tried, best first")), ylabel=style.say(N_("RMSE of fruit left out")))
    axes.set_title(style.say(N_("chosen: {family}, {k} components")).format(family=chosen.family.upper(), k=chosen.components))
    axes.legend(loc="upper left")
    style.grid(axes)


def _spectra(axes: Axes, batch: Batch, trained: Trained) -> None:
    rows = np.linspace(0, len(batch.ids) - 1, min(MOST_SPECTRA, len(batch.ids))).round().astype(int)
    order = np.argsort(batch.reference[rows])
    colours = style.ramp(len(rows))
    for rank, row in enumerate(rows[order]):
        axes.plot(batch.wavelength_nm, batch.absorbance[row], color=colours[rank], linewidth=0.5)
    first, last = trained.model.wavelength_nm[0], trained.model.wavelength_nm[-1]
    axes.axvspan(first, last, color=style.LINE, alpha=0.25, linewidth=0)
    axes.set(xlabel=style.say(N_("wavelength, nm")), ylabel=style.say(N_("absorbance")))
    text = style.say(N_("{n} of {all:,} spectra, dark: high {target}; shaded: used"))
    axes.set_title(text.format(n=len(rows), all=len(batch.ids), target=batch.target))


def _weights(axes: Axes, trained: Trained) -> None:
    for target, colour in zip(trained.model.targets, (style.ACCENT, style.SECOND), strict=False):
        scale = max(float(np.abs(target.coefs).max()), 1e-300)
        axes.plot(trained.model.wavelength_nm, target.coefs / scale, color=colour, linewidth=0.9, label=target.name)
    axes.axhline(0, color=style.LINE, linewidth=0.8)
    axes.set(xlabel=style.say(N_("wavelength, nm")), ylabel=style.say(N_("weight, largest = 1")))
    axes.set_title(style.say(N_("what the straight part of the model looks at")))
    axes.legend(loc="upper left")
    style.grid(axes)
