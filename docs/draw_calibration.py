"""Draws docs/pictures/calibration.png: a simulated line calibrated as calibration.md says.

Run it from the repository's root: python docs/draw_calibration.py
"""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from citrus_grade import config
from citrus_grade.drivers.sim.board import BoardCamera, Lens
from citrus_grade.report.calibration import geometry_picture
from citrus_grade.rundir import with_section
from citrus_grade.runtime.calibrating import calibrate_geometry
from citrus_grade.templates import LINE, PLAN

SIZES_MM = (45.0, 62.0, 80.0)
OUT = Path(__file__).with_name("pictures") / "calibration.png"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        text = LINE.read_text(encoding="utf-8")
        (folder / "plan.toml").write_text(PLAN.read_text(encoding="utf-8"), encoding="utf-8")
        sources = {
            "line": {"driver": "sim"},
            "balls": {"driver": "sim", "seed": 5, "seconds": 3.0, "gauge_mm": list(SIZES_MM)},
            "empty": {"driver": "sim", "seed": 5, "seconds": 1.0, "fill": 0.0, "doubles": 0.0, "bridging": 0.0},
        }
        for kind, source in sources.items():
            (folder / f"{kind}.toml").write_text(with_section(text, "source", source), encoding="utf-8")
        _board(folder / "board", Lens(511.5, 383.5, 1496.3))
        done = calibrate_geometry(
            folder / "line.toml",
            folder / "calibration",
            board=(folder / "board",),
            empty=folder / "empty.toml",
            balls=folder / "balls.toml",
            sizes_mm=SIZES_MM,
        )
        geometry_picture(done, OUT)


def _board(folder: Path, lens: Lens) -> None:
    folder.mkdir()
    eye, rng = BoardCamera(config.load(LINE).camera[0], lens), np.random.default_rng(3)
    for i in range(14):
        tilt, aside = rng.uniform(-0.55, 0.55, 3) * (1, 1, 0.5), rng.uniform(-1, 1, 2) * (190, 140)
        cv2.imwrite(str(folder / f"{i:02}.png"), eye.take(tuple(tilt), (*aside, rng.uniform(900, 1150))))


if __name__ == "__main__":
    main()
