"""Pictures of what training has made."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from citrus_grade.imaging.colour import LEVELS
from citrus_grade.models.colour import Baked
from citrus_grade.report import style
from citrus_grade.tables import COLOURS
from citrus_grade.words import N_


def colour_picture(baked: Baked, out: Path) -> None:
    """Draw which name held-out pixels got, and the table on slices of equal brightness."""
    style.save(lambda: _colours(baked), out)


def _colours(baked: Baked) -> Figure:
    drawn = style.figure(style.FULL_INCH, 3.4)
    confusion, slices = drawn.subplots(1, 2, width_ratios=[1.25, 1])
    used = np.flatnonzero(baked.confusion.sum(axis=0) + baked.confusion.sum(axis=1))
    shares = baked.confusion[np.ix_(used, used)]
    percent = 100 * shares / np.maximum(shares.sum(axis=1, keepdims=True), 1)
    confusion.imshow(percent, cmap="Oranges", vmin=0, vmax=100)
    names = [style.name(COLOURS[k]) for k in used]
    confusion.set_xticks(range(len(used)), names, rotation=45, ha="right")
    confusion.set_yticks(range(len(used)), [f"{name}, n = {n}" for name, n in zip(names, shares.sum(axis=1), strict=True)])
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:
            ink = "white" if value > 60 else style.INK
            confusion.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=ink)
    confusion.set(xlabel=style.say(N_("named by the table")), ylabel=style.say(N_("labelled")))
    confusion.set_title(style.say(N_("held-out pixels, %")))
    _slices(slices, baked)
    return drawn


def _slices(axes: Axes, baked: Baked) -> None:
    """Show the table over red share and green share of a pixel, dark and light."""
    total = LEVELS.sum(axis=1)
    light = (total > 1.2) & (total < 1.9)
    red, green = LEVELS[light, 0] / total[light], LEVELS[light, 1] / total[light]
    colour = [style.SKIN[COLOURS[k]] for k in baked.lut[light]]
    axes.scatter(red, green, c=colour, s=4, marker="s", linewidths=0)
    axes.set(xlabel=style.say(N_("red / (red + green + blue)")), ylabel=style.say(N_("green / (red + green + blue)")))
    axes.set_title(style.say(N_("the table, pixels of middle brightness")))
