"""Pictures of calibrations: how far each measurement lies from what it should be, where, and of how many."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from citrus_grade.calibration.balls import ScaleFit
from citrus_grade.calibration.belt import BeltFit
from citrus_grade.calibration.density import DensityFit
from citrus_grade.calibration.drift import DRIFTED, WITHIN
from citrus_grade.calibration.lens import LensFit
from citrus_grade.config import CameraSection
from citrus_grade.report import style
from citrus_grade.runtime.calibrating import Checked, Geometry
from citrus_grade.words import N_

_ROW_INCH = 2.9
_VERDICTS = {WITHIN: style.SECOND, DRIFTED: style.WARNING}


def geometry_picture(done: Geometry, png: Path) -> None:
    """Draw what was measured: corners of the board, edges of the lanes, residuals of balls by size and by place in the field."""
    style.save(lambda: _geometry(done), png)


def check_picture(done: Checked, png: Path) -> None:
    """Draw the interval of every lane's and size's mean error."""
    style.save(lambda: _check(done), png)


def density_picture(fit: DensityFit, variety: str, png: Path, *, simulated: bool) -> None:
    """Draw the densities of weighed fruit."""
    style.save(lambda: _density(fit, variety, simulated), png)


def _geometry(done: Geometry) -> Figure:
    panels: list[Callable[[Axes], None]] = []
    panels += [partial(_corners, camera, lens) for camera, lens in zip(done.line.camera, done.lenses, strict=False)]
    panels += [partial(_lanes, camera, belt) for camera, belt in zip(done.line.camera, done.belts, strict=False)]
    if done.scale is not None:
        panels += [partial(_sizes, done.scale), partial(_field, done.scale)]
    rows = (len(panels) + 1) // 2
    drawn = style.figure(style.FULL_INCH if len(panels) > 1 else style.HALF_INCH, rows * _ROW_INCH)
    axes = np.atleast_1d(drawn.subplots(rows, min(len(panels), 2))).ravel()
    for draw, at in zip(panels, axes, strict=False):
        draw(at)
    for at in axes[len(panels) :]:
        at.set_axis_off()
    return style.stamped(drawn, done.simulated)


def _corners(camera: CameraSection, fit: LensFit, axes: Axes) -> None:
    """Show where corners were seen and, a hundredfold, how far they lie off."""
    seen, off = fit.seen_px, fit.residual_px
    axes.quiver(*seen.T, *off.T, angles="xy", scale_units="xy", scale=0.01, color=style.ACCENT, width=0.003)
    axes.plot(*fit.lens[:2], "+", color=style.INK, markersize=9)
    axes.set(xlim=(0, camera.width_px), ylim=(camera.height_px, 0), aspect="equal", ylabel="y, px")
    axes.set_xlabel(style.say(N_("x, px; corners of the board, n = {n:,}, residuals a hundredfold")).format(n=len(seen)))
    axes.set_title(style.say(N_("Lens of camera {camera}: {rms:.2f} px RMS")).format(camera=camera.name, rms=fit.rms_px))


def _lanes(camera: CameraSection, fit: BeltFit, axes: Axes) -> None:
    """Show how much each row of the picture varies along the belt, with the lanes' edges and middles."""
    rows = np.arange(len(fit.liveliness))
    axes.plot(fit.liveliness, rows, color=style.SECOND, linewidth=0.8)
    for edge in fit.edges_px:
        axes.axhline(edge, color=style.ACCENT, linewidth=0.9)
    for lane, middle in enumerate(fit.lane_y_px):
        axes.axhline(middle, color=style.INK, linewidth=0.7, linestyle=(0, (4, 3)))
        axes.text(0.99, middle, f"{lane}", transform=axes.get_yaxis_transform(), ha="right", va="bottom", fontsize=7)
    axes.set(ylim=(len(rows), 0), xlabel=style.say(N_("variation along the belt, counts")), ylabel="y, px")
    axes.set_title(style.say(N_("Lanes under camera {camera}, n = {n} frames")).format(camera=camera.name, n=fit.frames))


def _sizes(fit: ScaleFit, axes: Axes) -> None:
    """Show every ball's residual at its size, lanes side by side."""
    lanes, residual = len(fit.scale), fit.residual_mm
    step = 0.7 * min(np.diff(np.sort(fit.sizes_mm)), default=5.0) / lanes
    for lane in range(lanes):
        own = fit.balls.lane == lane
        at = fit.known_mm[own] + (lane - (lanes - 1) / 2) * step
        axes.plot(
            at, residual[own], "o", markersize=2.5, color=style.GRADES[lane % len(style.GRADES)], label=f"{lane}", alpha=0.8
        )
    axes.axhline(0, color=style.INK, linewidth=0.8)
    reach = 1.25 * max(float(np.abs(residual).max()), 0.1)
    axes.set(ylim=(-1.5 * reach, reach), xlabel=style.say(N_("ball, mm; lanes side by side")))
    axes.set(ylabel=style.say(N_("measured less known, mm")))
    axes.set_xticks(sorted(fit.sizes_mm), [f"{size:g}" for size in sorted(fit.sizes_mm)])
    axes.legend(title=style.say(N_("lane")), ncols=lanes, loc="lower center", handletextpad=0.1, columnspacing=0.6, fontsize=6.5)
    rms = float(np.sqrt(np.mean(np.square(residual))))
    axes.set_title(style.say(N_("Balls: {rms:.3f} mm RMS, n = {n:,}")).format(rms=rms, n=len(residual)))
    style.grid(axes)


def _field(fit: ScaleFit, axes: Axes) -> None:
    """Show the mean residual of single views, by lane and by window of the camera."""
    residual, ball = fit.view_residual_mm, fit.balls.view_ball
    lane, window = fit.balls.lane[ball], fit.balls.view_window
    lanes, windows = len(fit.scale), int(window.max()) + 1
    mean = np.full((lanes, windows), np.nan)
    for place in np.ndindex(lanes, windows):
        own = (lane == place[0]) & (window == place[1])
        mean[place] = residual[own].mean() if own.any() else np.nan
    reach = max(float(np.nanmax(np.abs(mean))), 0.1)
    shown = axes.imshow(mean, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect="auto")
    for (row, column), value in np.ndenumerate(mean):
        if np.isfinite(value):
            ink = "white" if abs(value) > 0.6 * reach else style.INK
            axes.text(column, row, f"{value:+.2f}", ha="center", va="center", fontsize=6, color=ink)
    axes.set(xlabel=style.say(N_("window of the camera, downstream")), ylabel=style.say(N_("lane")))
    axes.set_xticks(range(windows))
    axes.set_yticks(range(lanes))
    axes.figure.colorbar(shown, ax=axes, label=style.say(N_("measured less known, mm")))
    axes.set_title(style.say(N_("Single views, mean, n = {n:,}")).format(n=len(residual)))


def _check(done: Checked) -> Figure:
    lanes = done.line.line.lanes
    drawn = style.figure(style.FULL_INCH, 2.9)
    axes = drawn.subplots()
    axes.axhspan(-done.within_mm, done.within_mm, color=style.SECOND, alpha=0.12, linewidth=0)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    sizes = sorted({drift.size_mm for drift in done.drifts})
    for drift in done.drifts:
        at = drift.lane + 0.22 * (sizes.index(drift.size_mm) - (len(sizes) - 1) / 2)
        colour = _VERDICTS.get(drift.verdict, style.ACCENT)
        high, low = drift.high_mm - drift.mean_mm, drift.mean_mm - drift.low_mm
        axes.errorbar(at, drift.mean_mm, [[low], [high]], fmt="o", markersize=3.5, capsize=2, color=colour)
        axes.annotate(f"{drift.size_mm:g}", (at, drift.high_mm), (0, 3), textcoords="offset points", ha="center", fontsize=6)
    axes.set(xlabel=style.say(N_("lane; above each interval the ball's diameter, mm")))
    axes.set(ylabel=style.say(N_("measured less known, mm")))
    axes.set_xticks(range(lanes))
    axes.margins(y=0.15)
    text = style.say(N_("Gauge balls against the calibration in use, intervals of 95 %, band: within {mm:g} mm, n = {n:,}"))
    axes.set_title(text.format(mm=done.within_mm, n=len(done.known_mm)))
    style.grid(axes)
    return style.stamped(drawn, done.simulated)


def _density(fit: DensityFit, variety: str, simulated: bool) -> Figure:
    drawn = style.figure(style.HALF_INCH, 2.5)
    axes = drawn.subplots()
    bins = np.histogram_bin_edges(fit.ratio, "fd").tolist()
    axes.hist([fit.ratio[fit.kept], fit.ratio[~fit.kept]], bins, stacked=True, color=[style.ACCENT, style.UNGRADED])
    axes.axvline(fit.mean, color=style.INK, linewidth=1)
    axes.axvspan(fit.mean - fit.sigma, fit.mean + fit.sigma, color=style.SECOND, alpha=0.15, linewidth=0)
    axes.set(xlabel=style.say(N_("mass over measured volume, g/ml")), ylabel=style.say(N_("fruit")))
    text = style.say(N_("{variety} {mean:.3f} ± {sigma:.3f} g/ml, n = {n}"))
    axes.set_title(text.format(variety=variety, mean=fit.mean, sigma=fit.sigma, n=int(fit.kept.sum())).strip())
    return style.stamped(drawn, simulated)
