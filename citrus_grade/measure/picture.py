"""A photograph with what was measured drawn in."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade.measure.gauge import Gauged
from citrus_grade.measure.measure import Measured, Row
from citrus_grade.report import style
from citrus_grade.words import N_

Floats = NDArray[np.float64]
LONG_INCH = 9.0
OUTLINE, WIDEST, BLEMISH, STEM, STYLAR, LEFT_OUT = "#00d5ff", "#ffffff", "#ff2fa0", "#39ff5a", "#ffe600", "#d9d9d9"
_CASED = [patheffects.withStroke(linewidth=2.2, foreground="#000000b0")]


def write(measured: Measured, path: Path) -> Path:
    """Write the annotated photograph as PNG and return its path."""
    style.save(lambda: draw(measured), path)
    return path


def draw(measured: Measured) -> Figure:
    """Draw outlines, diameters, blemishes and ends over a photograph, with a legend, a scale bar and the number of fruit."""
    assert measured.photo is not None
    rgb = measured.photo.rgb
    height, width = rgb.shape[:2]
    inch_per_px = LONG_INCH / max(height, width)
    shrink = min(LONG_INCH * style.DPI / max(height, width), 1.0)
    size = (max(round(width * shrink), 1), max(round(height * shrink), 1))
    drawn = style.figure(max(width * inch_per_px, 4.5), height * inch_per_px + 0.75)
    axes = drawn.subplots()
    axes.imshow(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
    for one, row in zip(measured.fruit, measured.rows, strict=True):
        _draw_fruit(axes, one, row, 72 * inch_per_px)
    for found in (*measured.cut, *measured.unclear):
        _line(axes, found.outline(), LEFT_OUT, 1.2, (0, (4, 3)))
    _scale_bar(axes, measured, width, height)
    _legend(drawn, axes, measured)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    axes.set_title(style.say(N_("{file}: n = {n} fruit")).format(file=measured.path.name, n=len(measured.fruit)))
    return drawn


def _line(axes: Axes, points: Floats, colour: str, width: float, dashes: object = "-") -> None:
    axes.plot(*np.vstack((points, points[:1])).T, color=colour, linewidth=width, linestyle=dashes, path_effects=_CASED)


def _draw_fruit(axes: Axes, one: Gauged, row: Row, points_per_px: float) -> None:
    fruit = one.fruit
    _line(axes, fruit.outline(), OUTLINE, 1.4)
    _, axis = np.linalg.eigh(fruit.root)
    ends = (fruit.x_px, fruit.y_px) + np.array([[-1.0], [1.0]]) * axis[:, 1] * fruit.diameter_px / 2
    axes.plot(*ends.T, color=WIDEST, linewidth=0.9, marker="o", markersize=2, path_effects=_CASED)
    for blemish in one.blemishes:
        _line(axes, blemish, BLEMISH, 1.0)
    for end, colour, marker in (("stem", STEM, "^"), ("stylar", STYLAR, "D")):
        at = (one.value[end + "_x_px"], one.value[end + "_y_px"])
        axes.plot(*at, marker=marker, markersize=6, linestyle="", path_effects=_CASED, **_hollow(colour))
    font = float(np.clip(0.13 * fruit.diameter_px * points_per_px, 3.5, 8.5))
    axes.text(
        fruit.x_px,
        _free_y(one),
        f"{row['fruit']}: {_size(row)}",
        fontsize=font,
        color="white",
        ha="center",
        va="center",
        path_effects=_CASED,
    )


def _hollow(colour: str) -> dict[str, Any]:
    """Return the style of a mark that does not hide what it marks."""
    return {"color": colour, "markerfacecolor": "none", "markeredgecolor": colour, "markeredgewidth": 1.4}


def _free_y(one: Gauged) -> float:
    """Return the height of a fruit's number: below its middle, or above it if an end lies below."""
    ends = [one.value[end + "_y_px"] for end in ("stem", "stylar")]
    below = any(end > one.fruit.y_px for end in ends)  # NaN is not
    return one.fruit.y_px + (-0.30 if below else 0.30) * one.value["height_px"]


def _size(row: Row) -> str:
    if np.isfinite(float(row["diameter_mm"])):
        return f"{row['diameter_mm']:.1f} ± {row['diameter_mm_sigma']:.1f} mm"
    return f"{row['diameter_px']:.1f} ± {row['diameter_px_sigma']:.1f} px"


def _scale_bar(axes: Axes, measured: Measured, width: int, height: int) -> None:
    """Draw a bar a tenth to a fifth of the picture long, in millimetres where they are known, at the scale of its middle."""
    mm_per_px = measured.scale.at(width / 2, height / 2)[0] if measured.scale else 1.0
    lengths = [bar * 10.0**k for k in range(-1, 5) for bar in (1, 2, 5)]
    bar = max((length for length in lengths if length <= 0.22 * width * mm_per_px), default=lengths[0])
    x, y = 0.03 * width, 0.965 * height
    axes.plot([x, x + bar / mm_per_px], [y, y], color="white", linewidth=2.5, solid_capstyle="butt", path_effects=_CASED)
    text = f"{bar:g} mm" if measured.scale else f"{bar:g} px"
    at = (x + bar / mm_per_px / 2, y - 0.012 * height)
    axes.text(*at, text, color="white", fontsize=8, ha="center", va="bottom", path_effects=_CASED)


def _legend(drawn: Figure, axes: Axes, measured: Measured) -> None:
    """Name what is to be seen, and nothing else."""
    entries = [(N_("outline"), OUTLINE, "", "-", True), (N_("widest diameter ± sigma"), "#8a8a8a", "o", "-", True)]
    seen = {end: any(np.isfinite(one.value[end + "_x_px"]) for one in measured.fruit) for end in ("stem", "stylar")}
    entries += [
        (N_("blemish"), BLEMISH, "", "-", any(one.blemishes for one in measured.fruit)),
        (N_("stem end"), "#18b83a", "^", "", seen["stem"]),
        (N_("stylar end"), "#c9b000", "D", "", seen["stylar"]),
        (N_("not measured: cut by the edge or not one round fruit"), "#9a9a9a", "", "--", bool(measured.cut or measured.unclear)),
    ]
    for text, colour, marker, line, there in entries:
        if there and (measured.fruit or line == "--"):
            axes.plot([], [], marker=marker, linestyle=line, markersize=5, **_hollow(colour), label=style.say(text))
    if axes.get_legend_handles_labels()[0]:
        drawn.legend(loc="outside lower center", ncols=3, fontsize=7)
