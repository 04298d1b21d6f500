"""The picture and the page of lanes that were compared."""

import base64
from datetime import datetime
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from citrus_grade import __version__
from citrus_grade.calibration.drift import DRIFTED, UNSURE, WITHIN
from citrus_grade.report import sheet, style
from citrus_grade.report.harmony_words import HEADS, VERDICTS, findings, rows, title
from citrus_grade.report.sheet import SIMULATED, escaped
from citrus_grade.runtime.harmony import Agreement, Harmonised
from citrus_grade.runtime.writing import write_whole
from citrus_grade.words import N_, _

COLOURS = {WITHIN: style.SECOND, UNSURE: style.ACCENT, DRIFTED: style.WARNING}


def harmony_picture(agreement: Agreement, out: Path) -> None:
    """Draw each lane's offset with its interval."""
    style.save(lambda: _picture(agreement), out)


def harmony_page(agreement: Agreement, page: Path, *, when: datetime) -> list[Path]:
    """Write the page and, beside it, its picture; return both paths."""
    picture = page.with_suffix(".png")
    svg = style.save_as_svg_too(lambda: _picture(agreement), picture)
    heads = [_(head) for head in HEADS]
    caption = escaped(_("Each lane against the mean of all, with the interval that holds the truth in 90 of 100 cases."))
    foot = _("Offsets by robust regression on lanes, without any reference. Written by citrus-grade {version}.")
    runs = ", ".join(run.resolve().name for run in agreement.runs)
    judged = f"{when:%Y-%m-%d %H:%M %z}"
    text = sheet.filled(
        "accuracy.html",
        _("Harmony of the lanes"),
        stamp=f'<div class="stamp">{SIMULATED}</div>' if agreement.simulated else "",
        facts=sheet.facts([(_("runs"), runs), (_("model"), agreement.model_id), (_("judged"), judged)]),
        figures="<div>"
        + "".join(sheet.section(title(one), sheet.table(heads, rows(one), left=1)) for one in agreement.targets)
        + "</div>",
        findings="".join(f"<li{f' class={kind}' if kind else ''}>{escaped(said)}</li>" for kind, said in findings(agreement)),
        picture=f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" alt="{caption}">',
        caption=caption,
        parts="",
        foot=escaped(foot.format(version=__version__)),
    )
    write_whole(page, text.encode("utf-8"))
    return [page, picture]


def _picture(agreement: Agreement) -> Figure:
    n = len(agreement.targets)
    drawn = style.figure(style.FULL_INCH if n > 1 else style.HALF_INCH * 1.3, 2.7)
    for axes, one in zip(drawn.subplots(1, n, squeeze=False)[0], agreement.targets, strict=True):
        _offsets(axes, one)
    dots = [Line2D([], [], linestyle="", marker="o", color=colour, label=style.say(VERDICTS[v])) for v, colour in COLOURS.items()]
    drawn.legend(handles=dots, loc="outside lower center", ncols=len(dots))
    return style.stamped(drawn, agreement.simulated)


def _offsets(axes: Axes, one: Harmonised) -> None:
    found, at = one.found, range(len(one.lanes))
    axes.axhspan(-one.tolerance, one.tolerance, color=style.SECOND, alpha=0.12, linewidth=0)
    axes.axhline(0, color=style.INK, linewidth=0.8)
    reach = [found.offset - found.low, found.high - found.offset]
    axes.errorbar(at, found.offset, reach, fmt="none", ecolor=style.INK, elinewidth=0.9, capsize=3)
    axes.scatter(at, found.offset, s=22, color=[COLOURS[verdict] for verdict in found.verdict], zorder=3)
    axes.set_xticks(at, [f"{lane}\nn {n:,}" for lane, n in zip(one.lanes, found.n.tolist(), strict=True)])
    axes.set(xlabel=style.say(N_("lane")), ylabel=style.say(N_("off the mean of all")) + (f", {one.unit}" if one.unit else ""))
    axes.set_xlim(-0.5, len(one.lanes) - 0.5)
    axes.set_title(
        style.say(N_("{name}; tolerated: ± {tolerance:.2g}")).format(name=style.name(one.target), tolerance=one.tolerance)
    )
    style.grid(axes)
