"""A camera's frames turned into views: the geometry of `config.CameraSection` bound to the kernel."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.geometry import Ruler, milli
from citrus_grade.imaging import colour
from citrus_grade.imaging.kernel import measure_frame
from citrus_grade.messages import Frame, Views
from citrus_grade.tables import VIEW, Table, empty, fresh

SMALLEST_FRUIT_MM = 20.0
_BLUE = {"RGGB": (1, 8), "BGGR": (0, 0), "GRBG": (1, 0), "GBRG": (0, 8)}


@dataclass(frozen=True, slots=True)
class Imager:
    """One camera's kernel arguments. Call it with a frame; the result is the same `Views` in every process."""

    height_px: int
    width_px: int
    ruler: Ruler
    station_milli: NDArray[np.int64]
    optics: NDArray[np.float64]
    lane_y_px: NDArray[np.float64]
    whole: NDArray[np.int64]
    lut: NDArray[np.uint16]
    blank: Table

    @classmethod
    def of(cls, config: LineConfig, camera: CameraSection, colours: NDArray[np.uint8] | None = None) -> "Imager":
        """Bind a camera; ``colours`` (2**15,) are the named colours of a calibration set, those of the rules if it has none."""
        pitch_px = camera.px_per_mm * config.line.pitch_mm
        focal_px = camera.px_per_mm * (camera.lens_height_mm - camera.fruit_plane_mm)
        least_quads = int(np.pi / 4 * (SMALLEST_FRUIT_MM * camera.px_per_mm / 2) ** 2)
        return cls(
            height_px=camera.height_px,
            width_px=camera.width_px,
            ruler=Ruler.of(config.encoder.ratio),
            station_milli=milli(camera.station + phase for phase in config.phases),
            optics=np.array([pitch_px, camera.window_x_px, camera.width_px / 2, camera.height_px / 2, focal_px]),
            lane_y_px=np.array(camera.lane_y_px, np.float64),
            whole=np.array(
                [camera.windows, camera.tile_px, *_BLUE[camera.bayer], camera.threshold, least_quads, camera.first_view], np.int64
            ),
            lut=colour.table() if colours is None else colour.table_of(colours),
            blank=empty(VIEW, config.line.lanes * camera.windows),
        )

    def accepts(self, mosaic: NDArray[Any]) -> bool:
        """Say whether a mosaic has this camera's size and depth."""
        return mosaic.shape == (self.height_px, self.width_px) and mosaic.dtype == np.uint8

    def __call__(self, frame: Frame, offset: int = 0) -> Views:
        """Measure all cups of a frame.

        ``offset`` is the line's encoder correction in ``1/den`` ticks; the frame must be one that `accepts`.
        """
        rows = fresh(self.blank)
        words = np.ascontiguousarray(frame.mosaic).view(np.uint16)
        n = measure_frame(
            words,
            frame.tick,
            offset,
            self.station_milli,
            self.ruler.num,
            self.ruler.den,
            self.optics,
            self.lane_y_px,
            self.whole,
            self.lut,
            rows,
        )
        rows = rows[:n]
        rows.setflags(write=False)
        return Views(frame.camera, frame.seq, frame.tick, frame.t_ns, rows)
