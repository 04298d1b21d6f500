"""The tables of ``line.toml``, one class each, and `LineConfig` that holds them all."""

from fractions import Fraction
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, field_validator

from citrus_grade.config.fields import Number, Numbers, Positive, Section, from_int, from_list
from citrus_grade.config.references import CommandSection, ReferencesSection
from citrus_grade.words import _


class LineSection(Section):
    """The mechanics: lanes, cups and rollers. Stations are pitches downstream of the loading point."""

    name: str
    lanes: int = Field(ge=1, le=32)
    pitch_mm: float = Field(ge=40, le=400)
    cups_per_s: Positive = Field(le=30)
    lane_phase_cups: Numbers = ()
    roller_ratio: Positive = Field(default=0.32, le=2)
    largest_fruit_mm: Positive = Field(default=80.0, le=200)
    decision_station: int = Field(ge=1, le=4000)
    lead_ms: Positive = Field(default=50.0)
    min_views: int | None = Field(default=None, ge=1)

    @field_validator("pitch_mm", mode="before")
    @classmethod
    def _float(cls, value: Any) -> Any:
        return from_int(value)


class EncoderSection(Section):
    """The clock. ``ticks_per_cup`` may be a ratio, ``"4096/7"``; the counter wraps at ``bits``."""

    ticks_per_cup: str | int
    bits: Literal[16, 32, 64] = 32

    @property
    def ratio(self) -> Fraction:
        """Ticks a cup, exactly."""
        return Fraction(self.ticks_per_cup)

    @field_validator("ticks_per_cup")
    @classmethod
    def _ratio(cls, value: str | int) -> str | int:
        try:
            ratio = Fraction(value)
        except (ValueError, ZeroDivisionError) as error:
            raise ValueError(_('must be a whole number or a ratio such as "4096/7"')) from error
        if not (8 <= ratio <= 1_000_000 and ratio.denominator <= 1000):
            raise ValueError(_("must lie between 8 and 1000000 with a denominator of at most 1000"))
        return value


class CameraSection(Section):
    """One camera over all lanes: ``windows`` cups in a row a lane, window 0 farthest upstream, downstream is +x.

    A frame comes ``transit_ms`` after its trigger at the soonest, ``latency_ms`` at the latest; left out, the first is what the
    driver knows of it.
    """

    name: str
    width_px: int = Field(ge=64, le=16384, multiple_of=2)
    height_px: int = Field(ge=64, le=16384, multiple_of=2)
    bayer: Literal["RGGB", "BGGR", "GRBG", "GBRG", "mono", "rgb"] = "RGGB"
    px_per_mm: Positive
    lens_height_mm: Positive = 1200.0
    fruit_plane_mm: Positive = 31.0
    station: Number
    windows: int = Field(ge=1, le=64)
    first_view: int = Field(default=0, ge=0)
    window_x_px: Number
    lane_y_px: Numbers
    tile_px: int = Field(default=128, ge=32, le=512, multiple_of=4)
    threshold: int = Field(default=120, ge=1, le=700)
    latency_ms: Positive = 30.0
    transit_ms: Annotated[Number, Field(ge=0)] | None = None
    device: dict[str, Any] = Field(default_factory=dict)


class SpectrometerSection(Section):
    """The spectrometers, one a lane and alike: ``scans`` integrations inside ``chord_cups`` of a pitch.

    ``transit_ms`` and ``latency_ms`` as of a camera, from the middle of an integration.
    """

    pixels: int = Field(ge=16, le=8192)
    wavelength_nm: Numbers
    scans: int = Field(ge=1, le=64)
    bins: int = Field(default=16, ge=1, le=64)
    chord_cups: Positive = Field(default=0.4, le=1)
    station: Number
    full_scale: int = Field(default=65000, ge=255, le=65535)
    latency_ms: Positive = 20.0
    transit_ms: Annotated[Number, Field(ge=0)] | None = None
    device: Annotated[tuple[dict[str, Any], ...], BeforeValidator(from_list)] = ()

    @property
    def axis_nm(self) -> NDArray[np.float64]:
        """Wavelength of each pixel, (pixels,)."""
        return np.linspace(self.wavelength_nm[0], self.wavelength_nm[1], self.pixels)


class OutletSection(Section):
    """A drop. The default outlet is the end of the belt and is never fired. ``way_cups`` is how far the belt moves between
    coil and drop on top of the latency, as it was measured: the station allows for it already."""

    name: str
    station: Number
    capacity_per_min: Positive | None = None
    min_gap_cups: int = Field(default=0, ge=0)
    latency_ms: Annotated[float, BeforeValidator(from_int), Field(ge=0)] = 30.0
    way_cups: Annotated[Number, Field(ge=-1, le=1)] = 0.0


class LogSection(Section):
    """``full`` replays from pixels, ``normal`` from joined measurements, ``off`` keeps decisions only. Of a live line's log the
    oldest finished files go when all are more than ``keep_gb`` (1e9 bytes); without it all stay."""

    profile: Literal["full", "normal", "off"] = "normal"
    file_minutes: Positive = 10.0
    keep_gb: Positive | None = None


class LiveSection(Section):
    """How the processes of a live line share the machine. ``poll_ms`` is how often the PLC is looked at, ``ring_frames`` how many
    frames of each camera lie ready, ``stall_s`` how long a camera or a spectrometer may be silent, beyond its
    latency, while the belt moves, before it is opened anew.
    ``realtime`` asks for a fixed priority (SCHED_FIFO) of the core. At ``metrics_port`` Prometheus finds how the line fares.
    ``drives_belt``: the PLC is permitted to let the belt run while the line is up, and is given its speed.
    """

    poll_ms: Positive = Field(default=4.0, le=50)
    ring_frames: int = Field(default=16, ge=4, le=256)
    stall_s: Positive = Field(default=0.5, le=60)
    realtime: bool = False
    drives_belt: bool = True
    metrics_port: int | None = Field(default=None, ge=1, le=65535)


class FilesSection(Section):
    """Artefacts, as paths beside ``line.toml``."""

    plan: str
    model: str | None = None
    shadow: str | None = None
    calibration: str | None = None
    classifier: str | None = None


class LineConfig(Section):
    """Everything a line is; build it with `reading.load` or `reading.parse`."""

    line: LineSection
    encoder: EncoderSection
    camera: Annotated[tuple[CameraSection, ...], BeforeValidator(from_list)] = ()
    spectrometer: SpectrometerSection | None = None
    outlet: Annotated[tuple[OutletSection, ...], BeforeValidator(from_list)]
    default_outlet: str = "default"
    log: LogSection = LogSection()
    files: FilesSection
    source: dict[str, Any] = Field(default_factory=dict)
    plc: dict[str, Any] = Field(default_factory=dict)
    scale: dict[str, Any] = Field(default_factory=dict)
    printer: dict[str, Any] = Field(default_factory=dict)
    live: LiveSection = LiveSection()
    emulation: str | None = None
    references: ReferencesSection = ReferencesSection()
    command: Annotated[tuple[CommandSection, ...], BeforeValidator(from_list)] = ()

    @property
    def is_live(self) -> bool:
        """Whether devices of their own drive the line: it names a PLC."""
        return bool(self.plc)

    @property
    def n_views(self) -> int:
        """Views a fruit is seen in, over all cameras."""
        return max((camera.first_view + camera.windows for camera in self.camera), default=0)

    @property
    def outlet_names(self) -> tuple[str, ...]:
        """Names of the fired outlets in order, the default outlet last."""
        return (*(outlet.name for outlet in self.outlet), self.default_outlet)

    @property
    def phases(self) -> tuple[float, ...]:
        """Phase of each lane, in pitches."""
        return self.line.lane_phase_cups or (0.0,) * self.line.lanes
