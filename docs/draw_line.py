"""Draw the template's line to scale and what flows through it: ``python docs/draw_line.py`` writes docs/pictures/line.svg."""

from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyBboxPatch, Rectangle

from citrus_grade.config import LineConfig, load
from citrus_grade.report import style
from citrus_grade.templates import LINE

OUT = Path(__file__).with_name("pictures") / "line.svg"
BLUE, BELT = "#3b6ea5", "#efe7dc"
FRUIT = ("#ee7c1b", "#f5a623", "#d9480f", "#c3cf4a", "#f08c00")
EVERY_CUP = 3
"""Of the fruit that would lie on the belt, every third cup is drawn full: the stations stay readable."""


def main() -> None:
    """Write the picture as SVG."""
    config = load(LINE)
    with style.drawing():
        matplotlib.rcParams["svg.fonttype"] = "path"  # boxes are as wide as their words, so the words bring their shapes
        drawn = style.figure(11.0, 6.6)
        belt, flow = drawn.subplots(2, 1, height_ratios=[1, 1.6])
        _belt(belt, config)
        _flow(flow)
        OUT.parent.mkdir(exist_ok=True)
        drawn.savefig(OUT, format="svg", metadata={"Date": None})
    # matplotlib ends lines with blanks; git and editors would strip them.
    text = "\n".join(line.rstrip() for line in OUT.read_text(encoding="utf-8").splitlines())
    OUT.write_text(text + "\n", encoding="utf-8")


def _belt(axes: Axes, config: LineConfig) -> None:
    """The belt from above, to scale in both directions; x in pitches, lanes one pitch apart as in the template."""
    lanes, last = config.line.lanes, max(outlet.station for outlet in config.outlet) + 4
    axes.add_patch(Rectangle((-1, -0.5), last + 1, lanes, facecolor=BELT, edgecolor="none"))
    for lane in range(lanes):
        axes.plot([-1, last], [lane + 0.5] * 2, color="white", linewidth=0.8)
        for cup in range(lane % EVERY_CUP, int(last), EVERY_CUP):
            tone = FRUIT[(7 * cup + 3 * lane) % len(FRUIT)]
            axes.add_patch(Circle((cup, lane), 0.30, facecolor=tone, edgecolor="none", zorder=3))
    middle = (lanes - 1) / 2
    axes.annotate("", (last + 1.6, middle), (last + 0.1, middle), arrowprops={"arrowstyle": "-|>", "color": style.INK})
    _station(axes, 0.0, lanes, "loading", style.INK)
    for camera in config.camera:
        left = camera.station - 0.5
        seen: dict[str, Any] = {"facecolor": BLUE, "alpha": 0.16, "edgecolor": BLUE, "linewidth": 1.2}
        axes.add_patch(Rectangle((left, -0.62), camera.windows, lanes + 0.24, **seen))
        for window in range(1, camera.windows):
            axes.plot([left + window] * 2, [-0.62, lanes - 0.38], color=BLUE, linewidth=0.5, alpha=0.6)
        text = f"camera {camera.name!r}\n{camera.windows} windows a lane"
        axes.text(left + camera.windows / 2, lanes - 0.1, text, ha="center", va="bottom", color=BLUE)
    if config.spectrometer:
        _station(
            axes, config.spectrometer.station, lanes, f"spectrometers\n{config.spectrometer.scans} scans a fruit", style.SECOND
        )
    _station(axes, config.line.decision_station, lanes, "", style.WARNING)
    axes.text(config.line.decision_station, -0.8, "decision", ha="center", va="top", color=style.WARNING)
    for outlet in config.outlet:
        _station(axes, outlet.station, lanes, f"outlet {outlet.name}", style.ACCENT)
        drop = {"arrowstyle": "-|>", "color": style.ACCENT, "linewidth": 1.4}
        axes.annotate("", (outlet.station, -1.9), (outlet.station, -0.5), arrowprops=drop)
    axes.text(last + 0.3, lanes - 0.1, "end of belt:\ndefault outlet", ha="center", va="bottom")
    ticks = [0, *(c.station for c in config.camera), *((config.spectrometer.station,) if config.spectrometer else ())]
    ticks += [config.line.decision_station, *(outlet.station for outlet in config.outlet)]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    metres = last * config.line.pitch_mm / 1000
    axes.set_xlabel(
        f"station, in pitches of {config.line.pitch_mm:g} mm downstream of loading; the belt drawn is {metres:.1f} m long"
    )
    axes.set_yticks(range(lanes), [f"lane {lane}" for lane in range(lanes)])
    axes.set(xlim=(-1.2, last + 2.4), ylim=(-2.0, lanes + 1.9), aspect="equal")
    axes.set_title(f"The line from above, to scale: {lanes} lanes, {config.line.cups_per_s:g} cups a second a lane")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def _station(axes: Axes, station: float, lanes: int, text: str, colour: str) -> None:
    axes.plot([station] * 2, [-0.5, lanes - 0.35], color=colour, linewidth=1.6)
    axes.text(station, lanes - 0.1, text, ha="center", va="bottom", color=colour)


def _flow(axes: Axes) -> None:
    """Messages in, decisions out; each box names the module that does it."""
    axes.set(xlim=(0, 100), ylim=(0, 47))
    axes.set_axis_off()
    axes.set_title("What flows through it: messages in, Line.feed, decisions out")
    frame: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=1.2", "facecolor": "#fbf6ef", "edgecolor": style.LINE}
    axes.add_patch(FancyBboxPatch((31, 6), 38, 40, **frame))
    axes.text(50, 43.6, "Line.feed(message) → outputs", ha="center", weight="bold", fontsize=9.5)
    axes.text(50, 41.0, "line.py: no clock, file, socket, thread or random number inside", ha="center", fontsize=7.5)
    sources = (
        (36, "cameras", "Frame: raw Bayer, camera, seq, tick", BLUE),
        (28, "spectrometers", "Scans: counts, lane, tick", style.SECOND),
        (20, "encoder", "Pulse: the clock, once a pitch", style.INK),
        (12, "PLC, sensors, operator", "OutletReport, Reading, Command", style.INK),
    )
    steps = (
        (36, "imaging/imager.py", "every cup of a frame measured: Views", BLUE),
        (28, "line.py, place_scans", "scans put to the cup they saw", style.SECOND),
        (20, "imaging/join.py, spectra/kernel.py", "views of a cup joined; Brix and acid", style.INK),
        (12, "grading/decide.py", "size, rule of the plan, outlet, tick of the ejection", style.WARNING),
    )
    for y, device, message, colour in sources:
        _box(axes, 1, y, 21, device, message, colour)
        _arrow(axes, (22, y), (32.5, y))
    for y, module, text, colour in steps:
        _box(axes, 32.5, y, 35, module, text, colour)
    for y in (36, 28, 20):
        _arrow(axes, (50, y - 2.6), (50, y - 5.4))
    sinks = (
        (36, "Alarm", "an operator must know", style.INK),
        (28, "Ejection", "sent ahead to the PLC: outlet and tick", style.ACCENT),
        (20, "Decisions", "tables.DECISION: one row a cup", style.WARNING),
        (12, "run folder", "runlog/writer.py, lots.py, report/page.py", style.INK),
    )
    for y, name, text, colour in sinks:
        _box(axes, 78, y, 21, name, text, colour)
    for y in (36, 28, 20):
        _arrow(axes, (69, y), (78, y))
    _arrow(axes, (88.5, 17.4), (88.5, 14.6))
    axes.plot([88.5, 88.5, 26.5], [9.4, 1, 1], color=style.LINE, linewidth=1.4, linestyle=(0, (4, 3)))
    axes.plot([26.5, 26.5], [1, 12], color=style.LINE, linewidth=1.4, linestyle=(0, (4, 3)))
    again = "replay.py: the recorded messages through the same function, every field compared to the bit"
    axes.text(57, 2.0, again, ha="center", fontsize=7.5)


def _box(axes: Axes, x: float, y: float, width: float, name: str, text: str, colour: str) -> None:
    drawn: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=0.8",
        "facecolor": "white",
        "edgecolor": colour,
        "linewidth": 1.2,
    }
    axes.add_patch(FancyBboxPatch((x, y - 2.6), width, 5.2, **drawn))
    axes.text(x + width / 2, y + 0.95, name, ha="center", va="center", weight="bold", color=colour)
    axes.text(x + width / 2, y - 1.25, text, ha="center", va="center", fontsize=7)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "", end, start, arrowprops={"arrowstyle": "-|>", "color": style.INK, "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    )


if __name__ == "__main__":
    main()
