"""The picture of an accuracy card: predictions, residuals, lanes, coverage, domain, spectra, warmth."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade.models.evaluate import Part
from citrus_grade.models.judgement import PROMISED
from citrus_grade.report import style
from citrus_grade.runtime.evaluating import Evaluated
from citrus_grade.words import N_

MOST_SPECTRA, MOST_VECTOR, MOST_PARTS = 40, 1500, 24
SEEN = "#8d6a9f"


def accuracy_picture(found: Evaluated) -> Figure:
    """Draw three by three panels that fit a sheet of A4 beside the figures."""
    drawn = style.figure(style.FULL_INCH, 5.0)
    grid = drawn.add_gridspec(3, 3)
    _scatter(drawn.add_subplot(grid[0, 0]), found)
    _residual(drawn.add_subplot(grid[0, 1]), found)
    _sequence(drawn.add_subplot(grid[0, 2]), found)
    parts, of = (found.card.lanes, N_("lane")) if len(found.card.lanes) > 1 else (found.card.lots, N_("lot"))
    _bias(drawn.add_subplot(grid[1, 0]), found, parts, of)
    _coverage(drawn.add_subplot(grid[1, 1]), found, parts, of)
    _domain(drawn.add_subplot(grid[1, 2]), found)
    _spectra(drawn.add_subplot(grid[2, :2]), found)
    last = drawn.add_subplot(grid[2, 2])
    if found.card.temperature is None:
        _shape(last, found)
    else:
        _warmth(last, found)
    return style.stamped(drawn, found.simulated)


def _dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64]) -> None:
    axes.scatter(x, y, s=5, color=style.ACCENT, linewidths=0, alpha=0.6, rasterized=len(x) > MOST_VECTOR)


def _unit(found: Evaluated) -> str:
    return f", {found.unit}" if found.unit else ""


def _scatter(axes: Axes, found: Evaluated) -> None:
    told, one = found.told, found.card.overall.accuracy
    ends = np.array([min(told.reference.min(), told.predicted.min()), max(told.reference.max(), told.predicted.max())])
    axes.plot(ends, ends, color=style.INK, linewidth=0.8, label=style.say(N_("equal")))
    _dots(axes, told.predicted, told.reference)
    if np.isfinite(one.slope):
        line = np.array([told.predicted.min(), told.predicted.max()])
        fitted = one.intercept + one.slope * line
        axes.plot(line, fitted, color=style.SECOND, linewidth=1, linestyle="--", label=style.say(N_("fitted")))
    axes.set(xlabel=style.say(N_("predicted")) + _unit(found), ylabel=style.say(N_("reference")) + _unit(found))
    axes.set_title(f"RMSEP {one.rmsep:.3g}, n = {one.n:,}")
    axes.legend(loc="upper left")


def _residual(axes: Axes, found: Evaluated) -> None:
    told, one = found.told, found.card.overall.accuracy
    _dots(axes, told.reference, told.residual)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.axhline(one.bias, color=style.SECOND, linewidth=1, linestyle="--")
    axes.set(xlabel=style.say(N_("reference")) + _unit(found), ylabel=style.say(N_("residual")))
    axes.set_title(style.say(N_("bias {bias}")).format(bias=f"{one.bias:+.3g}"))


def _sequence(axes: Axes, found: Evaluated) -> None:
    """Residuals one after the other between the limits that the model's own error sets."""
    residual, sigma = found.told.residual[found.order], found.card.basis.error
    at = np.arange(1, len(residual) + 1, dtype=np.float64)
    _dots(axes, at, residual)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    for times, dash in ((2, (0, (4, 3))), (3, "-")):
        for side in (-times, times):
            axes.axhline(side * sigma, color=style.WARNING, linewidth=0.7, linestyle=dash)
    rows = [row for signals in found.signals.values() for row in (one.row for one in signals)]
    axes.scatter(at[rows], residual[rows], marker="x", s=22, color=style.WARNING, linewidths=1)
    in_time = style.say(N_("in the order of {column}")).format(column=found.time)
    axes.set(
        xlabel=in_time if found.time else style.say(N_("in the order of the table")),
        ylabel=style.say(N_("residual")),
    )
    text = style.say(N_("2 s, 3 s; CUSUM signals: {n}")) if found.time else style.say(N_("limits: 2 s, 3 s"))
    axes.set_title(text.format(n=len(rows)))


def _shown(parts: Mapping[str, Part]) -> dict[str, Part]:
    """The parts that fit into a panel, those with most fruit."""
    most = sorted(parts, key=lambda name: -parts[name].accuracy.n)[:MOST_PARTS]
    return {name: part for name, part in parts.items() if name in most}


def _names(axes: Axes, names: list[str], of: str) -> None:
    steep = len(names) > 8 or max(map(len, names)) > 4
    axes.set_xticks(range(len(names)), [name[:12] for name in names], rotation=90 if steep else 0)
    axes.set_xlabel(style.say(of))
    style.grid(axes)


def _bias(axes: Axes, found: Evaluated, parts: Mapping[str, Part], of: str) -> None:
    shown = _shown(parts) or {style.say(N_("all")): found.card.overall}
    bias = [part.accuracy.bias for part in shown.values()]
    limits = np.nan_to_num([part.accuracy.bias_limit for part in shown.values()])
    colours = [style.WARNING if part.accuracy.has_bias else style.ACCENT for part in shown.values()]
    axes.errorbar(range(len(bias)), bias, limits, fmt="none", ecolor=style.INK, elinewidth=0.9, capsize=2)
    axes.scatter(range(len(bias)), bias, s=16, color=colours, zorder=3)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    _names(axes, list(shown), of)
    axes.set_ylabel(style.say(N_("bias")) + _unit(found))
    axes.set_title(style.say(N_("bias with its interval of 95 %")))


def _coverage(axes: Axes, found: Evaluated, parts: Mapping[str, Part], of: str) -> None:
    shown = {style.say(N_("all")): found.card.overall, **_shown(parts)}
    told = [part.coverage for part in shown.values()]
    middle = np.array([100 * one.share for one in told])
    reach = np.array([[100 * (one.share - one.low) for one in told], [100 * (one.high - one.share) for one in told]])
    fits = [one.low <= PROMISED <= one.high for one in told]
    axes.errorbar(range(len(told)), middle, reach, fmt="none", ecolor=style.INK, elinewidth=0.9, capsize=2)
    axes.scatter(range(len(told)), middle, s=16, color=[style.ACCENT if fit else style.WARNING for fit in fits], zorder=3)
    axes.axhline(100 * PROMISED, color=style.SECOND, linewidth=1, linestyle="--")
    _names(axes, list(shown), of)
    axes.set_ylabel(style.say(N_("in interval, %")))
    axes.set_title(style.say(N_("intervals that hold, of 90 %")))


def _domain(axes: Axes, found: Evaluated) -> None:
    told, basis = found.told, found.card.basis
    t2, q = (np.maximum(v / limit, 1e-4) for v, limit in ((told.t2, basis.t2_limit), (told.q, basis.q_limit)))
    _dots(axes, t2, q)
    axes.set(xscale="log", yscale="log", xlabel=style.say(N_("T2 / limit")), ylabel=style.say(N_("Q / limit")))
    axes.axvline(1, color=style.WARNING, linewidth=0.8)
    axes.axhline(1, color=style.WARNING, linewidth=0.8)
    axes.set_title(style.say(N_("beyond: {share:.1f} %")).format(share=100 * found.card.beyond.share))


def _spectra(axes: Axes, found: Evaluated) -> None:
    batch, nm = found.batch, found.model.wavelength_nm
    rows = np.linspace(0, len(batch.ids) - 1, min(MOST_SPECTRA, len(batch.ids))).round().astype(int)
    colours = style.ramp(len(rows))
    for rank, row in enumerate(rows[np.argsort(batch.reference[rows], kind="stable")]):
        axes.plot(batch.wavelength_nm, batch.absorbance[row], color=colours[rank], linewidth=0.4)
    axes.axvspan(nm[0], nm[-1], color=style.LINE, alpha=0.25, linewidth=0)
    axes.set(xlabel=style.say(N_("wavelength, nm")), ylabel=style.say(N_("absorbance")))
    text = style.say(N_("{n} of {all:,} spectra, dark: high {target}; shaded: used"))
    axes.set_title(text.format(n=len(rows), all=len(batch.ids), target=batch.target))


def _shape(axes: Axes, found: Evaluated) -> None:
    """Residuals here and at the fruit left out in training, whose distribution makes the intervals."""
    here, there = found.told.residual, found.model.targets[found.j].residuals
    both = np.r_[here, there]
    bins = np.linspace(both.min(), both.max(), 25).tolist()
    for residuals, colour, name in ((here, style.ACCENT, N_("here")), (there, SEEN, N_("in training"))):
        if len(residuals):
            axes.hist(
                residuals, bins=bins, density=True, histtype="stepfilled", alpha=0.5, color=colour, label=style.say(name)
            )  # fmt: skip
    axes.set(xlabel=style.say(N_("residual")), yticks=[])
    axes.set_title(style.say(N_("distribution of residuals")))
    axes.legend(loc="upper left")


def _warmth(axes: Axes, found: Evaluated) -> None:
    warm, temperature_c = found.card.temperature, found.temperature_c
    assert warm is not None
    assert temperature_c is not None
    residual = found.told.residual
    known = np.isfinite(temperature_c)
    _dots(axes, temperature_c, residual)
    ends = np.array([warm.low, warm.high])
    middle = residual[known].mean() + warm.slope * (ends - temperature_c[known].mean())
    axes.plot(ends, middle, color=style.SECOND, linewidth=1, linestyle="--")
    axes.axhline(0, color=style.INK, linewidth=0.8)
    axes.set(xlabel=style.say(N_("{column}, °C")).format(column=found.temperature))
    axes.set_title(style.say(N_("{slope:+.3f} ± {half:.3f} per °C")).format(slope=warm.slope, half=warm.half))
