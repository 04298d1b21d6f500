"""Draws docs/pictures/spots.jpg: what the program makes of single views of simulated fruit, from the raw tile to named spots.

Run it from the repository's root: python docs/draw_spots.py
"""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.patches import Circle, Ellipse

from citrus_grade.config import load
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.disc import BLUE, DARK, GREEN, INNER, SPOT
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.report import style
from citrus_grade.runlog.export import demosaic
from citrus_grade.tables import CHANCE_STEM, FRUIT_SEEN, GRID, SPOT_RADIUS, SPOT_X, SPOT_Y
from citrus_grade.templates import LINE

OUT = Path(__file__).with_name("pictures") / "spots.jpg"
KINDS = ("stem end", "stylar end", "blemish")
PLANES = ((DARK, "lightness"), (BLUE, "share of blue"), (GREEN, "green over red"))


def views() -> list[tuple[Any, Any]]:
    """Return a view with a likely stem end, one with a stylar end and one with a blemish: tile (n, n, 3) and `tables.VIEW`."""
    config = load(LINE)
    camera = config.camera[0]
    plant, imager = SimPlant(config, SimOptions(seed=3, seconds=6.0)), Imager.of(config, camera)
    best: dict[int, tuple[float, Any, Any]] = {}
    for pitch in range(12, 60):
        mosaic = plant._expose(0, camera, Fraction(pitch))
        for row in imager(Frame(0, pitch, pitch * 4096, 0, mosaic)).rows:
            if row["state"] != FRUIT_SEEN or not 1 <= row["spots"] <= 4:
                continue
            x = camera.window_x_px + row["view_index"] * camera.px_per_mm * config.line.pitch_mm
            left, top = (int(at) - camera.tile_px // 2 for at in (x, camera.lane_y_px[row["lane"]]))
            for kind in range(3):
                chance = float(row["spot"][: row["spots"], CHANCE_STEM + kind].max())
                if chance > best.get(kind, (0.0, None, None))[0]:
                    tile = demosaic(mosaic, camera.bayer)[top : top + camera.tile_px, left : left + camera.tile_px, ::-1]
                    best[kind] = chance, tile, row.copy()
    return [(best[kind][1], best[kind][2]) for kind in range(3)]


def draw_tile(axes: Any, tile: Any, row: Any) -> None:
    middle = len(tile) / 2
    axes.imshow(tile)
    where = row["x_px"] + middle - 0.5, row["y_px"] + middle - 0.5
    outline = Ellipse(where, row["major_px"], row["minor_px"], angle=np.degrees(row["angle_rad"]), fill=False, color="white")
    axes.add_patch(outline)


def draw_spots(axes: Any, row: Any) -> None:
    owner = row["skin"] >> 8 * SPOT
    axes.imshow(np.where(owner > 0, 1.0, np.nan), extent=(-1, 1, 1, -1), cmap="autumn", vmin=0, vmax=2)
    for spot in row["spot"][: row["spots"]]:
        kind = int(np.argmax(spot[CHANCE_STEM : CHANCE_STEM + 3]))
        axes.add_patch(Circle((spot[SPOT_X], spot[SPOT_Y]), spot[SPOT_RADIUS], fill=False, color=style.INK))
        text = f"{KINDS[kind]} {spot[CHANCE_STEM + kind]:.2f}"
        axes.annotate(text, (spot[SPOT_X], spot[SPOT_Y] + spot[SPOT_RADIUS] + 0.14), ha="center", fontsize=8)
    axes.set(xlim=(-1, 1), ylim=(1, -1))


def main() -> None:
    with style.drawing():
        drawn = style.figure(12.0, 7.4)
        grid = drawn.subplots(3, 5)
        for line, (tile, row) in zip(grid, views(), strict=True):
            planes = row["skin"].view(np.int8).reshape(GRID, GRID, 4).astype(float)
            axis = (2 * np.arange(GRID) + 1) / GRID - 1
            planes[axis[:, None] ** 2 + axis**2 > INNER] = np.nan
            draw_tile(line[0], tile, row)
            for axes, (plane, _) in zip(line[1:4], PLANES, strict=True):
                shown = axes.imshow(planes[..., plane], extent=(-1, 1, 1, -1), cmap="RdBu", vmin=-40, vmax=40)
            draw_spots(line[4], row)
            for axes in line:
                axes.set_xticks([])
                axes.set_yticks([])
            for axes in line[1:]:
                axes.add_patch(Circle((0, 0), 1, fill=False, color=style.INK, linewidth=0.6))
        for axes, title in zip(
            grid[0], ("tile (SIMULATED) and outline", *(t for _, t in PLANES), "spots, likeliest kind"), strict=True
        ):
            axes.set_title(title, fontsize=9)
        bar = drawn.colorbar(shown, ax=grid[:, 1:4], shrink=0.5, pad=0.02, orientation="horizontal")
        bar.set_label("against what is usual on the fruit, 1/100 natural logarithm: -40 is a third less")
        drawn.savefig(OUT, format="jpg", dpi=110, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    main()
