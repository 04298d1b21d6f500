"""The report's charts. Each takes a run and returns a figure; every axis has its unit, every chart its n."""

import itertools
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade.grading.chance import readings
from citrus_grade.report import style
from citrus_grade.report.rundata import Run, of_grade, packout, true_values
from citrus_grade.runtime.accuracy import SIZE_LIMITS_MM
from citrus_grade.tables import COLOURS
from citrus_grade.words import N_

SIZES = ("3S", "2S", "S", "M", "L", "2L", "3L")
MOST_POINTS = 6000
"""More points than this only cover one another: a scatter takes every k-th fruit."""


def packout_chart(run: Run) -> Figure:
    """Bars of each grade's share, parted by outlet."""
    rows, colours = packout(run), style.grade_colours(run.grades)
    grades = [grade for grade in (*run.grades, "ungraded") if any(row["grade"] == grade for row in rows)]
    drawn = style.figure(style.FULL_INCH, 0.75 + 0.36 * len(grades))
    axes = drawn.subplots()
    for y, grade in enumerate(grades):
        left = 0.0
        own = [row for row in rows if row["grade"] == grade]
        for row in own:
            axes.barh(y, row["pct"], left=left, height=0.68, color=colours[grade], edgecolor="white", linewidth=1.2)
            if row["pct"] > 2.5:
                outlet = "–" if row["outlet"] == run.start["outlets"][-1] else row["outlet"]
                axes.text(left + row["pct"] / 2, y, outlet, ha="center", va="center", fontsize=8, color=style.INK, weight="bold")
            left += row["pct"]
        n, kg = sum(row["n"] for row in own), sum(row["kg"] for row in own)
        axes.text(left + 0.6, y, f"{left:.1f} %   n = {n:,}   {kg:,.1f} kg", va="center", fontsize=7.5)
    axes.set_yticks(range(len(grades)), [style.name(grade) for grade in grades])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.32 * max((sum(row["pct"] for row in rows if row["grade"] == grade) for grade in grades), default=100.0))
    axes.set_xlabel(style.say(N_("share of fruit, %; in the bars: outlet, – is the end of the belt")))
    axes.tick_params(axis="y", length=0)
    style.grid(axes, "x")
    return drawn


def diameter_chart(run: Run) -> Figure:
    """Diameters, with the Japanese size classes marked."""
    values = _known(run, "diameter_mm")
    drawn = style.figure(style.FULL_INCH, 2.35)
    axes = drawn.subplots()
    edges = np.arange(np.floor(np.min(values, initial=46.0)), np.ceil(np.max(values, initial=84.0)) + 1.0)
    tone = np.linspace(0.35, 1.0, len(SIZES))
    counts, _ = np.histogram(values, edges)
    which = np.digitize(edges[:-1] + 0.5, SIZE_LIMITS_MM)
    axes.bar(edges[:-1] + 0.5, counts, width=0.94, color=[(0.91, 0.44, 0.04, tone[k]) for k in which])
    top = max(counts.max(), 1) * 1.28
    share = 100 * np.bincount(np.digitize(values, SIZE_LIMITS_MM), minlength=len(SIZES)) / max(len(values), 1)
    bounds = [edges[0], *SIZE_LIMITS_MM, edges[-1]]
    for k, (low, high) in enumerate(itertools.pairwise(bounds)):
        axes.text((low + high) / 2, top * 0.99, SIZES[k], ha="center", va="top", weight="bold", fontsize=8.5)
        axes.text((low + high) / 2, top * 0.90, f"{share[k]:.1f} %", ha="center", va="top", fontsize=7)
    style.mark(axes, SIZE_LIMITS_MM)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, top), xlabel=style.name("diameter_mm"), ylabel=style.say(N_("fruit a mm")))
    axes.set_xticks([bounds[0], *SIZE_LIMITS_MM, bounds[-1]])
    axes.set_title(style.say(N_("Size, with the Japanese size classes, n = {n:,}")).format(n=len(values)))
    return drawn


def trait_chart(run: Run) -> Figure:
    """Histograms of the spectral traits with the plan's cuts and, of two, the scatter coloured by grade."""
    targets = run.targets
    drawn = style.figure(style.FULL_INCH, 2.7)
    widths = [1, 1, 1.25] if len(targets) > 1 else [1]
    axes = np.atleast_1d(drawn.subplots(1, len(widths), width_ratios=widths))
    for at, target in zip(axes, targets, strict=False):
        values = _known(run, target)
        low, high = np.percentile(values, [0.2, 99.8])
        at.hist(values, np.linspace(low, high, 32).tolist(), color=style.ACCENT, alpha=0.85)
        style.mark(at, _cuts(run, target), named=True)
        at.set(xlabel=style.name(target), ylabel=style.say(N_("fruit")))
        at.set_title(_middle(values), pad=14)
    if len(targets) > 1:
        _trait_scatter(run, axes[2], targets)
    return drawn


def _trait_scatter(run: Run, axes: Axes, targets: tuple[str, ...]) -> None:
    x, y = run.fruit[targets[0]], run.fruit[targets[1]]
    for grade, colour in style.grade_colours(run.grades).items():
        chosen = np.flatnonzero(of_grade(run, grade) & np.isfinite(x) & np.isfinite(y))
        if len(chosen):
            few = chosen[:: 1 + len(x) // MOST_POINTS]
            label = f"{style.name(grade)}, {len(chosen):,}"
            axes.scatter(x[few], y[few], s=6, color=colour, alpha=0.75, linewidths=0, rasterized=True, label=label)
    style.mark(axes, _cuts(run, targets[0]))
    for cut in _cuts(run, targets[1]):
        axes.axhline(cut, color=style.INK, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set(xlabel=style.name(targets[0]), ylabel=style.name(targets[1]))
    title = style.say(N_("grade, n"))
    axes.legend(title=title, title_fontsize=7.5, markerscale=2, handletextpad=0.1, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def lane_chart(run: Run) -> Figure:
    """Median of every lane with its 95 % interval: lanes see the same fruit, so they must agree."""
    names = ("diameter_mm", *run.targets)
    drawn = style.figure(style.FULL_INCH, 2.0)
    axes = np.atleast_1d(drawn.subplots(1, len(names)))
    for at, name in zip(axes, names, strict=True):
        at.set(xlabel=style.say(N_("lane")), title=style.name(name))
        rows = lane_medians(run, name)
        if not rows:
            continue
        lanes, medians, half = (np.array([row[key] for row in rows]) for key in ("lane", "median", "half_95"))
        everyone = float(np.median(_known(run, name)))
        at.axhline(everyone, color=style.LINE, linewidth=1.2)
        at.errorbar(lanes, medians, half, fmt="o", color=style.SECOND, markersize=4.5, capsize=2.5, linewidth=1.1)
        reach = 1.25 * max(float(np.max(np.abs(medians - everyone) + half)), 1e-6)
        at.set_ylim(everyone - reach, everyone + reach)
        at.set_xticks(lanes)
    return drawn


def lane_medians(run: Run, name: str) -> list[dict[str, Any]]:
    """Return each lane's n, median and the half width of its 95 % interval."""
    rows = []
    for lane in np.unique(run.fruit["lane"]).tolist():
        values = run.fruit[name][run.fruit["lane"] == lane]
        values = values[np.isfinite(values)]
        if len(values):
            spread = 1.4826 * float(np.median(np.abs(values - np.median(values))))
            half = 1.96 * 1.2533 * spread / np.sqrt(len(values))
            rows.append({"lane": lane, "n": len(values), "median": float(np.median(values)), "half_95": float(half)})
    return rows


def skin_chart(run: Run) -> Figure:
    """Mean share of every named colour, and how many fruit have how much green and blemish."""
    drawn = style.figure(style.FULL_INCH, 2.45)
    colours, green, blemish = drawn.subplots(1, 3, width_ratios=[1.3, 1, 1])
    shares = [float(np.nanmean(run.fruit[f"skin_{colour}_pct"])) for colour in COLOURS]
    colours.barh(range(len(COLOURS)), shares, color=[style.SKIN[colour] for colour in COLOURS], height=0.8)
    for y, share in enumerate(shares):
        colours.text(share + 0.6, y, f"{share:.1f}", va="center", fontsize=7)
    colours.set_yticks(range(len(COLOURS)), [style.name(colour) for colour in COLOURS])
    colours.invert_yaxis()
    colours.set(xlabel=style.say(N_("share of all skin, %")), xlim=(0, 1.15 * max(shares)))
    colours.tick_params(axis="y", length=0)
    _shares(run, green, "green_pct", 100.0, style.SKIN["green"])
    _shares(run, blemish, "blemish_pct", max(float(np.nanpercentile(run.fruit["blemish_pct"], 99.5)), 1.0), style.SKIN["brown"])
    return drawn


def _shares(run: Run, axes: Axes, name: str, top: float, colour: str) -> None:
    values = _known(run, name)
    axes.hist(np.clip(values, 0, top), np.linspace(0, top, 26).tolist(), color=colour)
    style.mark(axes, [cut for cut in _cuts(run, name) if cut < top], named=True)
    axes.set(xlabel=style.name(name), ylabel=style.say(N_("fruit")), xlim=(0, top))
    axes.set_title(_middle(values), pad=14)


def truth_chart(run: Run) -> Figure:
    """Measured against true values, where the driver knows them."""
    names = ("diameter_mm", *run.targets)
    drawn = style.figure(style.FULL_INCH, 2.6)
    axes = np.atleast_1d(drawn.subplots(1, len(names)))
    for at, name in zip(axes, names, strict=True):
        true, measured = true_values(run, name)
        if len(true):
            _scatter(at, true, measured)
        else:
            at.set_title("n = 0", fontsize=7.5)
        at.set(xlabel=style.say(N_("true: ")) + style.name(name), ylabel=style.say(N_("measured")))
        at.set_aspect("equal", "datalim")
    return drawn


def _scatter(at: Axes, true: NDArray[np.floating], measured: NDArray[np.floating]) -> None:
    """Draw measured over true values, the line where they agree, and what they come to."""
    few = slice(None, None, 1 + len(true) // MOST_POINTS)
    low, high = float(min(true.min(), measured.min())), float(max(true.max(), measured.max()))
    at.plot([low, high], [low, high], color=style.INK, linewidth=0.8)
    at.scatter(true[few], measured[few], s=5, color=style.SECOND, alpha=0.6, linewidths=0, rasterized=True)
    rmse = float(np.sqrt(np.mean((measured - true) ** 2)))
    bias = style.say(N_("bias"))
    at.set_title(f"RMSE {rmse:.2f}, {bias} {np.mean(measured - true):+.2f}, n = {len(true):,}", fontsize=7.5)


def size_confusion(run: Run) -> NDArray[np.int64]:
    """Return (7, 7) fruit by true and by measured Japanese size class."""
    true, measured = true_values(run, "diameter_mm")
    table = np.zeros((len(SIZES), len(SIZES)), np.int64)
    np.add.at(table, (np.digitize(true, SIZE_LIMITS_MM), np.digitize(measured, SIZE_LIMITS_MM)), 1)
    return table


def confusion_chart(run: Run) -> Figure:
    """Size classes: true against measured, in fruit."""
    table = size_confusion(run)
    drawn = style.figure(style.HALF_INCH, 3.1)
    axes = drawn.subplots()
    share = table / np.maximum(table.sum(1, keepdims=True), 1)
    axes.imshow(share, cmap="Oranges", vmin=0, vmax=1.15)
    for i, j in np.argwhere(table > 0).tolist():
        axes.text(
            j, i, f"{table[i, j]:,}", ha="center", va="center", fontsize=7.5, color="white" if share[i, j] > 0.6 else style.INK
        )
    axes.set_xticks(range(len(SIZES)), SIZES)
    axes.set_yticks(range(len(SIZES)), SIZES)
    axes.set(xlabel=style.say(N_("measured class")), ylabel=style.say(N_("true class")))
    axes.set_title(f"n = {table.sum():,}")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return drawn


def _known(run: Run, name: str) -> NDArray[np.float64]:
    values = np.asarray(run.fruit[name], np.float64)
    return values[np.isfinite(values)]


def _middle(values: NDArray[np.float64]) -> str:
    word = style.say(N_("median"))
    return f"n = {len(values):,}, {word} {np.median(values):.2f}"


def _cuts(run: Run, name: str) -> list[float]:
    """Return where the plan cuts a feature, guard bands folded in, and those that its probabilities come to."""
    plan = run.loaded.plan
    if name not in plan.features:
        return []
    at = plan.features.index(name)
    sure = [readings(chance, run.loaded.residuals[name]) for chance in plan.chances if chance.target == name]
    bounds = np.concatenate([plan.low[:, at], plan.high[:, at], *sure])
    return sorted(set(np.round(bounds[np.isfinite(bounds)], 6).tolist()))
