"""The picture of control charts, a panel a lane."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from citrus_grade.calibration.control import LIMIT
from citrus_grade.report import style
from citrus_grade.report.control_words import state
from citrus_grade.runtime.checks import Charts, LaneChart
from citrus_grade.words import N_

ACROSS = 2
HIGHEST = 8.0
"""In sigma: what lies farther out is drawn at the edge."""


def control_picture(charts: Charts, out: Path) -> None:
    """Draw every lane's samples and the two sums that watch them."""
    style.save(lambda: _picture(charts), out)


def _picture(charts: Charts) -> Figure:
    across = min(ACROSS, len(charts.lanes))
    down = -(-len(charts.lanes) // across)
    drawn = style.figure(style.FULL_INCH, 0.6 + 2.0 * down)
    panels = drawn.subplots(down, across, squeeze=False, sharey=True)
    for axes in panels.flat[len(charts.lanes) :]:
        axes.remove()
    for axes, one in zip(panels.flat, charts.lanes, strict=False):
        _lane(axes, one)
    for row in panels:
        row[0].set_ylabel(style.say(N_("reference minus NIR, in s")))
    handles, names = panels[0, 0].get_legend_handles_labels()
    drawn.legend(handles, names, loc="outside lower center", ncols=len(names))
    title = style.name(charts.target) + f"; s = {charts.lanes[0].sigma:.2g} {charts.unit}".rstrip()
    drawn.suptitle(f"{style.SIMULATED}   {title}" if charts.simulated else title, fontsize=8.5, weight="bold",
                   color=style.WARNING if charts.simulated else style.INK)  # fmt: skip
    return drawn


def _lane(axes: Axes, one: LaneChart) -> None:
    at = np.arange(1, len(one.checks) + 1)
    far = np.clip(one.deviation / one.sigma, -HIGHEST, HIGHEST)
    up, down = np.clip(one.sums, 0, HIGHEST).T
    axes.scatter(at, far, s=9, color=style.LINE, zorder=2, label=style.say(N_("sample")))
    axes.plot(at, up, color=style.ACCENT, linewidth=1.2, label=style.say(N_("sum of what NIR reads too low")))
    axes.plot(at, -down, color=style.SECOND, linewidth=1.2, label=style.say(N_("too high")))
    for limit in (-LIMIT, LIMIT):
        axes.axhline(limit, color=style.WARNING, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.axhline(0, color=style.INK, linewidth=0.8)
    hit = [signal.row for signal in one.signals]
    side = [up[row] if signal.size > 0 else -down[row] for row, signal in zip(hit, one.signals, strict=True)]
    axes.scatter(at[hit], side, marker="x", s=26, color=style.WARNING, linewidths=1.2, zorder=4, label=style.say(N_("signal")))
    if one.out_since is not None:
        axes.axvspan(one.out_since - 0.5, len(one.checks) + 0.5, color=style.WARNING, alpha=0.08, linewidth=0)
    axes.set(ylim=(-HIGHEST - 0.5, HIGHEST + 0.5), xlim=(0.5, len(one.checks) + 0.5), xlabel=style.say(N_("sample")))
    axes.locator_params(axis="x", integer=True)
    where = style.say(N_("lane {lane}")).format(lane=one.lane) if one.lane else style.say(N_("all lanes"))
    axes.set_title(f"{where}: {state(one, style.say)}, n = {len(one.checks)}")
    style.grid(axes)
