"""The picture of a grade classifier: what it calls fruit it has not seen, and how far its probabilities can be believed."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from citrus_grade.models.grades import GradeReport
from citrus_grade.report import style
from citrus_grade.words import N_

LEAST = 5
"""A bin of fewer fruit is not drawn: its share says nothing."""


def grade_picture(report: GradeReport, out: Path) -> None:
    """Draw confusion and reliability of a classifier on lots it had not seen."""
    style.save(lambda: _picture(report), out)


def _picture(report: GradeReport) -> Figure:
    drawn = style.figure(style.FULL_INCH, 3.4)
    confusion, reliability = drawn.subplots(1, 2)
    _confusion(confusion, report)
    _reliability(reliability, report)
    return style.stamped(drawn, report.simulated)


def _confusion(axes: Axes, report: GradeReport) -> None:
    counts = report.confusion
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(percent, cmap="Oranges", vmin=0, vmax=100)
    ticks = range(len(report.classes))
    axes.set_xticks(ticks, list(report.classes))
    axes.set_yticks(ticks, [f"{name}, n = {n}" for name, n in zip(report.classes, counts.sum(axis=1), strict=True)])
    for (row, column), value in np.ndenumerate(percent):
        if value >= 0.5:
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color="white" if value > 60 else style.INK)
    text = style.say(
        N_("classifier, as shares of the grader's class\nsame {same:.0f} %, adjacent {adjacent:.0f} %, farther off {skip:.0f} %")
    )
    shares = {"same": 100 * report.same, "adjacent": 100 * report.adjacent, "skip": 100 * report.skip}
    axes.set(xlabel=text.format(**shares), ylabel=style.say(N_("grader")))
    axes.set_title(style.say(N_("Fruit of lots it had not seen, n = {n:,}")).format(n=report.fruit))


def _reliability(axes: Axes, report: GradeReport) -> None:
    """Draw the share of fruit that are of a class over the probability the classifier gave it."""
    axes.plot([0, 100], [0, 100], color=style.LINE, linewidth=1, label=style.say(N_("as said")))
    for (name, colour), bins in zip(style.grade_colours(report.classes).items(), report.reliability, strict=False):
        enough = np.array(bins.n) >= LEAST
        said, seen = 100 * np.array(bins.said)[enough], 100 * np.array(bins.seen)[enough]
        axes.plot(said, seen, marker="o", markersize=3, linewidth=1.2, color=colour, label=name)
    axes.set(xlim=(0, 100), ylim=(0, 100))
    axes.set(xlabel=style.say(N_("probability given to the class, %")), ylabel=style.say(N_("fruit that are of it, %")))
    axes.set_title(
        style.say(N_("Brier score {brier:.2f}, bins of {least} fruit or more")).format(brier=report.brier, least=LEAST)
    )
    axes.legend(loc="upper left")
    style.grid(axes)
