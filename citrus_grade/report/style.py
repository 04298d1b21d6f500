"""How pictures look: one palette, one type size, Chinese only where a font for it is installed."""

import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from citrus_grade.report import labels
from citrus_grade.words import _

INK, LINE = "#2b2118", "#cfc4b6"
ACCENT, SECOND = "#e8710a", "#2f6f4e"
GRADES = ("#d9480f", "#f08c00", "#f7c948", "#7fb069", "#4c956c", "#5b8e9b", "#8d6a9f", "#a47148")
UNGRADED = "#b3aca4"
SIMULATED, WARNING = "SIMULATED", "#b02a1c"
SKIN = {
    "deep_orange": "#d9480f", "orange": "#ee7c1b", "yellow_orange": "#f5a623", "yellow": "#f5d33f", "yellow_green": "#c3cf4a",
    "green": "#7a9a3a", "dark_green": "#3f5d2a", "brown": "#7a4a21", "grey": "#9a968f", "black": "#2a2724",
}  # fmt: skip
FULL_INCH, HALF_INCH, DPI = 7.2, 3.55, 200
_CJK = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
    "Microsoft YaHei", "SimHei", "PingFang SC", "Hiragino Sans GB", "Noto Sans CJK JP", "Droid Sans Fallback", "AR PL UMing CN",
)  # fmt: skip
_LATIN = ("Inter", "Source Sans 3", "Open Sans", "Noto Sans", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans")

_SETTINGS = {
    "font.size": 8,
    "text.color": INK,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": LINE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "figure.facecolor": "white",
    "grid.color": "#e8e1d8",
    "grid.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "citrus_grade",
}


@lru_cache(maxsize=1)
def fonts() -> tuple[str | None, tuple[str, ...]]:
    """Return the installed Chinese font, None if there is none, and the families to draw with."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    chinese = next((name for name in _CJK if name in there), None)
    latin = next((name for name in _LATIN if name in there), "DejaVu Sans")
    return chinese, (latin, *([chinese] if chinese else []))


def say(message: str) -> str:
    """Return ``message``, marked with `words.N_`, in the language set if pictures can show it, else in English."""
    return _(message) if fonts()[0] else message


def name(word: str) -> str:
    """Return the label of ``word`` as `say` does."""
    return labels.label(word) if fonts()[0] else labels.english(word)


def grade_colours(grades: tuple[str, ...]) -> dict[str, str]:
    """Return a colour a grade, the ungraded grey."""
    return {grade: GRADES[k % len(GRADES)] for k, grade in enumerate(grades)} | {"ungraded": UNGRADED}


def ramp(n: int) -> list[str]:
    """Return ``n`` colours from light to dark orange."""
    shades = matplotlib.colormaps["YlOrBr"]
    return [matplotlib.colors.to_hex(shades(0.25 + 0.7 * k / max(n - 1, 1))) for k in range(n)]


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the house style inside; nothing of matplotlib's settings is changed outside."""
    # Any, because matplotlib's stubs want each key as a literal.
    settings: Any = {"font.family": list(fonts()[1]), **_SETTINGS}
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # A plan's own words may be in letters that no installed font has; the browser has them.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def figure(width_inch: float, height_inch: float) -> Figure:
    """Return an empty figure that belongs to no window."""
    made = Figure(figsize=(width_inch, height_inch), layout="constrained")
    FigureCanvasAgg(made)
    return made


def stamped(drawn: Figure, simulated: bool) -> Figure:
    """Return a figure marked as one of simulated values, if it is; a picture goes further than the page it stands on."""
    if simulated:
        drawn.suptitle(SIMULATED, color=WARNING, weight="bold", fontsize=8.5)
    return drawn


def save(draw: Callable[[], Figure], png: Path) -> None:
    """Draw a picture and write it as PNG."""
    with drawing():
        _write(draw(), png)


def save_as_svg_too(draw: Callable[[], Figure], png: Path) -> str:
    """Draw a picture, write it as PNG and return it as SVG."""
    svg = io.StringIO()
    with drawing():
        drawn = draw()
        _write(drawn, png)
        _settle(drawn)
        drawn.savefig(svg, format="svg", metadata={"Date": None}, dpi=DPI)
    return svg.getvalue()


def _settle(drawn: Figure) -> None:
    """Keep the layout without the solver's last digits: both pictures lie alike, and the same run gives the same SVG."""
    drawn.set_layout_engine("none")
    for axes in drawn.axes:
        left, bottom, width, height = axes.get_position().bounds
        axes.set_position((round(left, 5), round(bottom, 5), round(width, 5), round(height, 5)))


def _write(drawn: Figure, png: Path) -> None:
    png.parent.mkdir(parents=True, exist_ok=True)
    partial = png.with_name(png.name + ".part")
    drawn.savefig(partial, format="png", dpi=DPI, pil_kwargs={"compress_level": 3})
    partial.replace(png)


def grid(axes: Axes, axis: str = "y") -> None:
    """Draw faint lines behind the data."""
    axes.grid(True, axis="y" if axis == "y" else "x")


def mark(axes: Axes, limits: Sequence[float], *, named: bool = False) -> None:
    """Mark limits with dashed lines and, if ``named``, their numbers above; neighbours give way to one another."""
    for k, limit in enumerate(limits):
        axes.axvline(limit, color=INK, linewidth=0.9, linestyle=(0, (4, 3)))
        if named:
            side = "center" if len(limits) == 1 else ("right", "left")[k % 2]
            at = (limit, 1)
            axes.annotate(f"{limit:g}", at, (0, 1), ("data", "axes fraction"), "offset points", va="bottom", ha=side, fontsize=7)
