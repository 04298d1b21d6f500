"""Draw what `measure` says of a SIMULATED photograph: ``PYTHONPATH=. python docs/draw_measure.py``, docs/pictures/measure.jpg."""

import tempfile
from pathlib import Path

import cv2
import numpy as np

from benchmarks.photos import board, photograph
from citrus_grade.measure import picture
from citrus_grade.measure.measure import measure
from citrus_grade.measure.scale import Board

OUT = Path(__file__).with_name("pictures") / "measure.jpg"
WIDTH_PX = 1100
PLACES = (
    (560, 150),
    (812, 170),
    (1066, 190),
    (600, 430),
    (860, 440),
    (1190, 470),
    (200, 740),
    (470, 730),
    (790, 720),
    (1040, 750),
)


def main() -> None:
    """Write the picture."""
    taken = photograph(26, "wood", PLACES, under=board(4, 5, 80))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "SIMULATED.png"
        cv2.imwrite(str(path), taken.rgb[..., ::-1])
        written = picture.write(measure(path, Board(4, 5, 20.0)), Path(folder) / "drawn.png")
        drawn = np.asarray(cv2.imread(str(written)))
    height = round(drawn.shape[0] * WIDTH_PX / drawn.shape[1])
    cv2.imwrite(str(OUT), cv2.resize(drawn, (WIDTH_PX, height), interpolation=cv2.INTER_AREA), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    main()
