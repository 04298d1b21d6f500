"""Pictures of fruit: the contact sheet of one, a frame of the whole line with what was measured drawn in, and the packout."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

from citrus_grade.imaging.marks import BLEMISH, STEM, STYLAR
from citrus_grade.lots import columns
from citrus_grade.report import charts, style
from citrus_grade.report.rundata import GRADED, Run, read
from citrus_grade.report.seen import Seen, Spectra, absorbance, look_up
from citrus_grade.report.unroll import Map, unroll
from citrus_grade.rundir import Loaded, reopen
from citrus_grade.words import N_

_ROWS = (
    ("diameter_mm", "diameter_sigma_mm", ".1f"), ("height_mm", "height_sigma_mm", ".1f"), ("mass_g", "mass_sigma_g", ".0f"),
    ("green_pct", None, ".1f"), ("blemish_pct", None, ".2f"),
    ("blemish_count", None, "d"), ("largest_blemish_mm", None, ".1f"), ("coverage_pct", None, ".0f"),
)  # fmt: skip


def show(run_dir: Path, lane: int, cup: int, out: Path) -> Path:
    """Write a contact sheet of all that was recorded of one fruit; return ``out``.

    A full run shows every view with its measured outline and diameter, a normal run its spectrum and measurements only.

    Raises
    ------
    LogError : if the run has no such lane or cup.
    """
    loaded = reopen(run_dir)
    seen = look_up(run_dir, loaded, lane, cup)
    style.save(lambda: contact_sheet(seen, loaded), out)
    return out


def packout_picture(run_dir: Path, out: Path) -> Path:
    """Write the packout of a run as a picture; return ``out``."""
    run = read(run_dir)
    style.save(lambda: style.stamped(charts.packout_chart(run), run.simulated), out)
    return out


def contact_sheet(seen: Seen, loaded: Loaded) -> Figure:
    """Return the contact sheet of a fruit: views, measurements and decision, spectrum."""
    rows = -(-len(seen.views) // 4)
    whole = [view for view in seen.views if view.root is not None]
    drawn = style.figure(style.FULL_INCH, 2.9 + 1.6 * rows + (2.4 if whole else 0))
    style.stamped(drawn, loaded.config.source.get("driver", "sim") == "sim")
    heights = [*([1.6 * rows] if rows else []), *([2.4] if whole else []), 2.7]
    parts = drawn.subfigures(len(heights), 1, height_ratios=heights, hspace=0.02, squeeze=False)[:, 0]
    if rows:
        _views(parts[0].subplots(rows, 4, squeeze=False).ravel().tolist(), seen)
    if whole:
        _map(parts[1].subplots(), unroll(whole, loaded.config))
    table, spectrum = parts[-1].subplots(1, 2, width_ratios=[1, 1.15])
    _measurements(table, seen, loaded)
    _spectrum(spectrum, absorbance(seen, loaded))
    return drawn


def _views(places: list[Axes], seen: Seen) -> None:
    for at, view in zip(places, sorted(seen.views, key=lambda view: view.index), strict=False):
        at.imshow(view.tile)
        if view.outline is not None and view.widest is not None:
            at.plot(*view.outline.T, color="#ffffff", linewidth=1.0)
            at.plot(*view.widest.T, color="#7fe0ff", linewidth=1.0)
            at.set_title(f"{view.index}: {view.major_px:.1f} px", fontsize=7, loc="center", weight="normal", pad=2)
    for at in places:
        at.set_axis_off()


_MARKS = {
    STEM: ("#39e75f", N_("stem end")),
    STYLAR: ("#5ad1ff", N_("stylar end")),
    BLEMISH: ("#ff3b30", N_("blemish")),
}


def _map(axes: Axes, unrolled: Map) -> None:
    """Show the whole skin unrolled, with what was found on it."""
    axes.imshow(np.where(unrolled.seen[..., None], unrolled.picture, 235), extent=(0, 360, -90, 90))
    for kind, (colour, what) in _MARKS.items():
        own = [mark for mark in unrolled.marks if mark.kind == kind]
        for mark in own:
            height = 2 * mark.radius_deg + 6
            width = min(height / max(np.cos(np.radians(mark.latitude_deg)), 0.15), 120)
            at = (mark.longitude_deg, mark.latitude_deg)
            axes.add_patch(Ellipse(at, width, height, fill=False, edgecolor=colour, linewidth=1.2))
        if own:
            axes.plot([], [], "o", markerfacecolor="none", markeredgecolor=colour, label=f"{style.say(what)}, n = {len(own)}")
    axes.set_xlabel(style.say(N_("around the fruit, °; grey was not seen")))
    axes.set_ylabel(style.say(N_("latitude, °")))
    axes.set(xlim=(0, 360), ylim=(-90, 90), xticks=range(0, 361, 60), yticks=(-90, -45, 0, 45, 90))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _measurements(axes: Axes, seen: Seen, loaded: Loaded) -> None:
    axes.set_axis_off()
    assert seen.decision is not None
    plan = loaded.plan
    words = columns(np.array([seen.decision]), loaded.targets, plan.grades, loaded.config.outlet_names, plan.classes)
    fruit = {key: column[0] for key, column in words.items()}
    lines = [(style.say(N_("lane, cup")), f"{seen.lane}, {seen.cup}")]
    targets = [(target, f"{target}_sigma", ".2f") for target in loaded.targets]
    for key, sigma, form in (*_ROWS, *targets):
        if np.isfinite(fruit[key]):
            lines.append((style.name(key), format(fruit[key], form) + (f" ± {format(fruit[sigma], form)}" if sigma else "")))
    lines += [
        (style.say(N_("views with a fruit")), f"{fruit['fruit_views']} / {fruit['views']}"),
        (style.say(N_("scans used")), f"{fruit['scans_kept']} / {fruit['scans_received']}"),
        (style.say(N_("grade")), style.name(fruit["grade"]) + _likely(fruit["rule_probability"])),
    ]
    if fruit["missed_grade"]:
        lines.append((style.say(N_("missed")), style.name(fruit["missed_grade"]) + _likely(fruit["missed_probability"])))
    lines += [
        (style.say(N_("outlet")), style.name(fruit["outlet"])),
        (style.say(N_("reason")), style.name(fruit["reason"])),
    ]
    for k, (what, value) in enumerate(lines):
        y = 1 - (k + 0.5) / max(len(lines) + 1, 16)
        axes.text(0, y, what, transform=axes.transAxes, va="center", fontsize=7.5)
        axes.text(1, y, value, transform=axes.transAxes, va="center", ha="right", fontsize=7.5, weight="bold")
    if not seen.views:
        note = style.say(N_("no pictures: the frames were not recorded (log profile {profile})")).format(profile=seen.profile)
        axes.text(0, 0, note, transform=axes.transAxes, va="bottom", fontsize=7, style="italic")


def _likely(probability: float) -> str:
    """How sure a grade is, where the plan asks."""
    return f", P = {probability:.2f}" if np.isfinite(probability) else ""


def _spectrum(axes: Axes, spectra: Spectra | None) -> None:
    if spectra is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, style.say(N_("no scans")), transform=axes.transAxes, ha="center", fontsize=7.5, style="italic")
        return
    for scan, clipped in zip(spectra.scans, spectra.clipped, strict=True):
        axes.plot(spectra.wavelength_nm, scan, color=style.UNGRADED, linewidth=0.7, linestyle=":" if clipped else "-")
    n, n_clipped = len(spectra.scans), int(spectra.clipped.sum())
    every = style.say(N_("scans, n = {n}, clipped (dotted): {clipped}")).format(n=n, clipped=n_clipped)
    axes.plot([], [], color=style.UNGRADED, label=every)
    if np.isfinite(spectra.used).all():
        used = style.say(N_("what the model was given"))
        axes.plot(spectra.used_nm, spectra.used, color=style.ACCENT, linewidth=1.6, label=used)
    axes.set(xlabel=style.say(N_("wavelength, nm")), ylabel=style.say(N_("absorbance")))
    axes.legend(loc="best")
    style.grid(axes)


def example(run: Run) -> tuple[int, int] | None:
    """Return lane and cup of an early fruit that was fully seen and graded, the best grade first; None if there is none."""
    seen = run.fruit["fruit_views"] == run.fruit["fruit_views"].max()
    good = seen & (run.fruit["reason"] == GRADED) & (run.fruit["cup"] < 200)
    for grade in run.grades:
        at = np.flatnonzero(good & (run.fruit["grade"] == grade))
        if len(at):
            return int(run.fruit["lane"][at[0]]), int(run.fruit["cup"][at[0]])
    return None
