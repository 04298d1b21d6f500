"""Where a line's stations are and what lies between them: the configuration as the line's compiled functions take it."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.geometry import MILLI, Ruler, milli
from citrus_grade.grading.decide import Routes
from citrus_grade.imaging import surface


class Stations(NamedTuple):
    """``scan_milli`` (n_lanes,) the optical axes, ``chord_milli`` the length scans lie in, in thousandths of a pitch.

    ``routes`` the outlets; ``optics`` (3,) px_per_mm, lens height and fruit plane in mm; ``pitch_px`` and ``turn_px`` how far a
    cup and a roller's surface move from view to view, ``travel`` as of `surface.travel_of`.
    """

    scan_milli: NDArray[np.int64]
    chord_milli: int
    routes: Routes
    optics: NDArray[np.float64]
    pitch_px: float
    turn_px: float
    travel: NDArray[np.float64]

    @classmethod
    def of(cls, config: LineConfig, ruler: Ruler) -> "Stations":
        """Return the stations of a line."""
        spectrometer, camera = config.spectrometer, config.camera[0] if config.camera else None
        optics = np.array([camera.px_per_mm, camera.lens_height_mm, camera.fruit_plane_mm] if camera else [1.0, 1000.0, 31.0])
        pitch_px = float(optics[0] * config.line.pitch_mm)
        return cls(
            milli((spectrometer.station if spectrometer else 0.0) + phase for phase in config.phases),
            round(spectrometer.chord_cups * MILLI) if spectrometer else 1,
            _routes(config, ruler),
            optics,
            pitch_px,
            config.line.roller_ratio * pitch_px,
            surface.travel_of(config),
        )


def _routes(config: LineConfig, ruler: Ruler) -> Routes:
    stations = [milli(outlet.station + phase for outlet in config.outlet) for phase in config.phases]
    per_minute = ruler.ticks(60 * config.line.cups_per_s)
    intervals = [round(per_minute / o.capacity_per_min) if o.capacity_per_min else 0 for o in config.outlet]
    return Routes(
        station_milli=np.array(stations).reshape(config.line.lanes, -1),
        interval_ticks=np.array(intervals, np.int64),
        min_gap_cups=np.array([o.min_gap_cups for o in config.outlet], np.int64),
        num=ruler.num,
        den=ruler.den,
        lead_ticks=ruler.ticks(config.line.lead_ms / 1000 * config.line.cups_per_s),
    )
