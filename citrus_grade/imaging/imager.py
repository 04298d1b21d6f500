"""A camera's frames turned into views: the geometry of `config.CameraSection` bound to the kernel.

All frames enter here as a mosaic: of a frame with three colours a pixel, each pixel keeps the one a Bayer sensor would have seen;
a frame without colour becomes one of grey quads, and what it says of colour is unmeasured.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.geometry import Ruler, milli
from citrus_grade.imaging import colour, health, kernel
from citrus_grade.imaging.scene import Scene
from citrus_grade.messages import Frame, Views
from citrus_grade.tables import CLARITY, VIEW, Table

SMALLEST_FRUIT_MM = 20.0
_BLUE = {"RGGB": (1, 8), "BGGR": (0, 0), "GRBG": (1, 0), "GBRG": (0, 8), "rgb": (1, 8), "mono": (1, 8)}


@dataclass(frozen=True, slots=True)
class Imager:
    """One camera's kernel arguments. Call it with a frame; the result is the same `Views` in every process."""

    height_px: int
    width_px: int
    scene: Scene
    gap: NDArray[np.int64]
    format: str
    measure: Callable[..., int]

    @classmethod
    def of(
        cls,
        config: LineConfig,
        camera: CameraSection,
        calibration: CalibrationSet | None = None,
        *,
        engine: Literal["kernel", "twin"] = "kernel",
    ) -> "Imager":
        """Bind a camera; lens, lanes and cups are the configuration's where no calibration has measured them.

        ``engine = "twin"`` measures with the kernel's plain twin: some hundred times slower, to compare.
        """
        optics, lane_y_px, ahead_cups = _places(config, camera, calibration)
        least_quads = int(np.pi / 4 * (SMALLEST_FRUIT_MM * camera.px_per_mm / 2) ** 2)
        learnt = calibration.colour if calibration else None
        ruler = Ruler.of(config.encoder.ratio)
        scene = Scene(
            station_milli=milli(camera.station + np.array(config.phases) - ahead_cups),
            num=ruler.num,
            den=ruler.den,
            optics=optics,
            lane_y_px=lane_y_px,
            whole=np.array(
                [camera.windows, camera.tile_px, *_BLUE[camera.bayer], camera.threshold, least_quads, camera.first_view], np.int64
            ),
            lut=colour.table() if learnt is None else colour.table_of(learnt),
        )
        return cls(
            height_px=camera.height_px,
            width_px=camera.width_px,
            scene=scene,
            gap=health.gaps(camera, optics, lane_y_px),
            format=camera.bayer,
            measure=_twin() if engine == "twin" else kernel.measure_frame,
        )

    def accepts(self, mosaic: NDArray[Any]) -> bool:
        """Say whether a frame has this camera's size and depth: (height, width) uint8, with ``rgb`` (height, width, 3)."""
        shape = (self.height_px, self.width_px, 3) if self.format == "rgb" else (self.height_px, self.width_px)
        return mosaic.shape == shape and mosaic.dtype == np.uint8

    def __call__(self, frame: Frame, offset: int = 0) -> Views:
        """Measure all cups of a frame.

        ``offset`` is the line's encoder correction in ``1/den`` ticks; the frame must be one that `accepts`.
        """
        lanes, windows = len(self.scene.lane_y_px), int(self.scene.whole[0])
        rows, clarity = np.empty(lanes * windows, VIEW), np.empty((lanes, windows), CLARITY)
        words = _WORDS.get(self.format, _words)(frame.mosaic)
        rows = rows[: self.measure(words, frame.tick, offset, self.scene, rows)]
        health.look(words, frame.tick, offset, self.scene, self.gap, rows, clarity)
        if self.format == "mono":
            _forget_colour(rows)
        rows.setflags(write=False)
        clarity.setflags(write=False)
        return Views(frame.camera, frame.seq, frame.tick, frame.t_ns, rows, clarity.ravel())


def _places(
    config: LineConfig, camera: CameraSection, calibration: CalibrationSet | None
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the kernel's optics, the lanes' middles, and how far (n_lanes,) cups are ahead of where the configuration has them.

    A lens that was not measured is drawn as it should be: axis in the middle, focal length from scale and height, no distortion.
    """
    pitch_px = camera.px_per_mm * config.line.pitch_mm
    focal_px = camera.px_per_mm * (camera.lens_height_mm - camera.fruit_plane_mm)
    drawn = (camera.width_px / 2, camera.height_px / 2, focal_px, 0.0, 0.0)
    lens, lane_y_px, ahead_cups = np.array(drawn), np.array(camera.lane_y_px, np.float64), np.zeros(config.line.lanes)
    if calibration is not None:
        index = config.camera.index(camera) if camera in config.camera else 0
        lens = lens if calibration.lens is None else calibration.lens[index]
        lane_y_px = lane_y_px if calibration.lane_y_px is None else calibration.lane_y_px[index]
        if calibration.cup_x_px is not None:
            ahead_cups = (calibration.cup_x_px[index] - camera.window_x_px) / pitch_px
    return np.concatenate([[pitch_px, camera.window_x_px], lens]), lane_y_px, ahead_cups


def _twin() -> Callable[..., int]:
    from citrus_grade.imaging import twin  # a line never does, and starts the faster

    return twin.measure_frame


def _words(mosaic: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Return a frame as the kernel reads it: two pixels a word."""
    return np.ascontiguousarray(mosaic).view(np.uint16)


def _words_of_rgb(rgb: NDArray[np.uint8]) -> NDArray[np.uint16]:
    mosaic = np.empty(rgb.shape[:2], np.uint8)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[y::2, x::2] = rgb[y::2, x::2, channel]
    return _words(mosaic)


def _words_of_grey(grey: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """Give all pixels of a quad their mean: then it has no colour, and no edge is displaced."""
    import cv2  # lines of colour cameras need not load it

    mean = cv2.resize(grey, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)  # exact: rounded halves up
    return np.repeat(mean.astype(np.uint16) * np.uint16(257), 2, axis=0)


_WORDS = {"rgb": _words_of_rgb, "mono": _words_of_grey}


def _forget_colour(rows: Table) -> None:
    """Leave the colours of views as nobody measured them: levels NaN, none counted, the rest blank."""
    for name in ("red", "green", "blue"):
        rows[name] = np.nan
    for name in ("colour_cells", "colour", "hue"):
        rows[name] = 0
