"""Draws docs/pictures/watch.jpg: a lens that gets dirty on a simulated line, and when the line says so.

Run it from the repository's root: python docs/draw_watch.py
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
from matplotlib.patches import Rectangle

from citrus_grade.config import load
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging import health
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.report import style
from citrus_grade.runlog.export import demosaic
from citrus_grade.templates import LINE

OUT = Path(__file__).with_name("pictures") / "watch.jpg"
SECONDS, DIRT_FROM_S, DIRT_PCT_PER_MIN = 80, 30.0, 15.0


def main() -> None:
    config = load(LINE)
    camera, per_s = config.camera[0], config.line.cups_per_s
    source = SimOptions(seconds=SECONDS, dirt_from_s=DIRT_FROM_S, dirt_pct_per_min=DIRT_PCT_PER_MIN)
    plant, imager = SimPlant(config, source), Imager.of(config, camera)
    (memory,), (told,) = health.nothing_yet(config)
    new, changes, at = np.empty(len(health.KINDS), np.bool_), [], (0.0, 0, 0)
    picture = np.empty(0)
    pitches = range(12, int(SECONDS * per_s))
    for pitch in pitches:
        frame = Frame(0, pitch, pitch * 4096, 0, plant._expose(0, camera, Fraction(pitch)))
        place = health.watch(memory, told, imager(frame).clarity.reshape(memory.shape[:2]), new)
        changes.append(100 * (memory[:, :, health.LEVEL, health.MEAN] / memory[:, :, health.LEVEL, health.REFERENCE] - 1))
        if new.any():
            at, picture = (pitch / per_s, *place), demosaic(frame.mosaic, camera.bayer)[:, :, ::-1]
    with style.drawing():
        drawn = style.figure(11.0, 3.4)
        left, right = drawn.subplots(1, 2, width_ratios=[1, 1.35])
        second, lane, window = at
        left.imshow(picture)
        left.set_axis_off()
        pitch_px, half = camera.px_per_mm * config.line.pitch_mm, camera.tile_px / 2
        corner = (camera.window_x_px + window * pitch_px - half, camera.lane_y_px[lane] - half)
        left.add_patch(Rectangle(corner, 2 * half, 2 * half, fill=False, edgecolor="white", linewidth=1.6))
        left.set_title(f"The frame of the alarm (SIMULATED): camera 0 lane {lane} window {window}")
        times, curves = np.array(pitches) / per_s, np.reshape(changes, (len(changes), -1))
        right.plot(times, curves, color=style.LINE, linewidth=0.7)
        right.plot(times, curves[:, lane * camera.windows + window], color=style.ACCENT, linewidth=1.6)
        right.axhline(100 * health.LIMIT[0], color=style.WARNING, linewidth=0.9, linestyle=(0, (4, 3)))
        right.axvline(DIRT_FROM_S, color=style.INK, linewidth=0.9, linestyle=(0, (1, 2)))
        right.plot(second, 100 * health.LIMIT[0], "o", color=style.WARNING)
        right.annotate("dirt begins", (DIRT_FROM_S, 8.5), (4, 0), textcoords="offset points")
        right.annotate("lens_dirty", (second, 100 * health.LIMIT[0]), (-8, 6), textcoords="offset points", ha="right")
        right.set(xlabel="time of the line, s", ylabel="gap beside the lane against its reference, %", ylim=(-3, 10))
        right.set_title("Every window of every lane; the worst one in colour")
        drawn.savefig(OUT, format="jpg", dpi=130, pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
