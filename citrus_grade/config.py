"""``line.toml``: what the line is made of, checked as a whole before anything moves."""

import difflib
import math
import tomllib
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from citrus_grade.words import N_, _


class ConfigError(ValueError):
    """A configuration that cannot be run; ``problems`` names each place, value and remedy."""

    def __init__(self, path: str, problems: list[str]) -> None:
        self.problems = problems
        super().__init__("\n".join(f"{path}: {problem}" for problem in problems))


def _from_list(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _from_int(value: Any) -> Any:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Number = Annotated[float, BeforeValidator(_from_int), Field(allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(_from_int), Field(gt=0, allow_inf_nan=False)]
Numbers = Annotated[tuple[Number, ...], BeforeValidator(_from_list)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class LineSection(_Section):
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
        return _from_int(value)


class EncoderSection(_Section):
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


class CameraSection(_Section):
    """One camera over all lanes: ``windows`` cups in a row a lane, window 0 farthest upstream, downstream is +x."""

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
    device: dict[str, Any] = Field(default_factory=dict)


class SpectrometerSection(_Section):
    """The spectrometers, one a lane and alike: ``scans`` integrations inside ``chord_cups`` of a pitch."""

    pixels: int = Field(ge=16, le=8192)
    wavelength_nm: Numbers
    scans: int = Field(ge=1, le=64)
    bins: int = Field(default=16, ge=1, le=64)
    chord_cups: Positive = Field(default=0.4, le=1)
    station: Number
    full_scale: int = Field(default=65000, ge=255, le=65535)
    latency_ms: Positive = 20.0
    device: Annotated[tuple[dict[str, Any], ...], BeforeValidator(_from_list)] = ()

    @property
    def axis_nm(self) -> NDArray[np.float64]:
        """Wavelength of each pixel, (pixels,)."""
        return np.linspace(self.wavelength_nm[0], self.wavelength_nm[1], self.pixels)


class OutletSection(_Section):
    """A drop. The default outlet is the end of the belt and is never fired."""

    name: str
    station: Number
    capacity_per_min: Positive | None = None
    min_gap_cups: int = Field(default=0, ge=0)
    latency_ms: Annotated[float, BeforeValidator(_from_int), Field(ge=0)] = 30.0


class LogSection(_Section):
    """``full`` replays from pixels, ``normal`` from joined measurements, ``off`` keeps decisions only."""

    profile: Literal["full", "normal", "off"] = "normal"
    file_minutes: Positive = 10.0


class LiveSection(_Section):
    """How the processes of a live line share the machine. ``poll_ms`` is how often the PLC is looked at, ``ring_frames`` how many
    frames of each camera lie ready, ``stall_s`` how long a camera may be silent while the belt moves before it is opened anew.
    ``realtime`` asks for a fixed priority (SCHED_FIFO) of the core. At ``metrics_port`` Prometheus finds how the line fares.
    """

    poll_ms: Positive = Field(default=4.0, le=50)
    ring_frames: int = Field(default=16, ge=4, le=256)
    stall_s: Positive = Field(default=0.5, le=60)
    realtime: bool = False
    metrics_port: int | None = Field(default=None, ge=1, le=65535)


class FilesSection(_Section):
    """Artefacts, as paths beside ``line.toml``."""

    plan: str
    model: str | None = None
    shadow: str | None = None
    calibration: str | None = None
    classifier: str | None = None


class LineConfig(_Section):
    """Everything a line is; build it with `load` or `parse`."""

    line: LineSection
    encoder: EncoderSection
    camera: Annotated[tuple[CameraSection, ...], BeforeValidator(_from_list)] = ()
    spectrometer: SpectrometerSection | None = None
    outlet: Annotated[tuple[OutletSection, ...], BeforeValidator(_from_list)]
    default_outlet: str = "default"
    log: LogSection = LogSection()
    files: FilesSection
    source: dict[str, Any] = Field(default_factory=dict)
    plc: dict[str, Any] = Field(default_factory=dict)
    live: LiveSection = LiveSection()

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


def _lanes(config: LineConfig) -> list[str]:
    phases, lanes, encoder = config.line.lane_phase_cups, config.line.lanes, config.encoder
    problems = []
    if phases and len(phases) != lanes:
        return [
            _("line.lane_phase_cups: {n} values for {lanes} lanes; give one a lane or leave it out").format(
                n=len(phases), lanes=lanes
            )
        ]
    if any(abs(phase) >= 0.5 for phase in phases):
        problems.append(_("line.lane_phase_cups: {phases}; a phase is less than half a pitch").format(phases=list(phases)))
    if 4 * encoder.ratio >= 1 << encoder.bits:
        problems.append(
            _(
                "encoder.bits: a counter of {bits} bits turns over too soon for {ticks} ticks a cup; it must hold four cups"
            ).format(bits=encoder.bits, ticks=encoder.ticks_per_cup)
        )
    return problems


def _lost_views(config: LineConfig) -> list[str]:
    """A lane out of phase with the frames is seen between two windows: at one edge of the frame its fruit is cut."""
    furthest = max(map(abs, config.phases))
    least = config.line.min_views or config.n_views
    problems = []
    for index, camera in enumerate(config.camera):
        pitch_px = camera.px_per_mm * config.line.pitch_mm
        last_x = camera.window_x_px + (camera.windows - 1) * pitch_px
        room_px = min(camera.window_x_px, camera.width_px - last_x) - camera.tile_px / 2
        if furthest and furthest * pitch_px > room_px + 1 and least > config.n_views - 1:
            problems.append(
                _(
                    "line.lane_phase_cups: at a phase of {phase:g} camera {index} loses one of {views} views at the edge of the"
                    " frame; set line.min_views = {least}, or use a wider frame"
                ).format(phase=furthest, index=index, views=config.n_views, least=config.n_views - 1)
            )
    return problems


def _cameras(config: LineConfig) -> list[str]:
    problems = []
    for index, camera in enumerate(config.camera):
        where, half = f"camera.{index} ({camera.name})", camera.tile_px / 2
        pitch_px = camera.px_per_mm * config.line.pitch_mm
        last_x = camera.window_x_px + (camera.windows - 1) * pitch_px
        if camera.window_x_px < half or last_x + half > camera.width_px:
            problems.append(
                _(
                    "{where}.windows: {windows} windows reach from {first:.0f} to {last:.0f} px,"
                    " the frame is {width} px wide; fewer windows or another window_x_px"
                ).format(
                    where=where,
                    windows=camera.windows,
                    first=camera.window_x_px - half,
                    last=last_x + half,
                    width=camera.width_px,
                )
            )
        if len(camera.lane_y_px) != config.line.lanes:
            problems.append(
                _("{where}.lane_y_px: {n} values for {lanes} lanes").format(
                    where=where, n=len(camera.lane_y_px), lanes=config.line.lanes
                )
            )
        problems += _lane_rows(where, camera)
    if config.camera:
        turn_deg = math.degrees(
            config.n_views * config.line.roller_ratio * config.line.pitch_mm * 2 / config.line.largest_fruit_mm
        )
        if turn_deg < 360:
            problems.append(
                _(
                    "line.roller_ratio: a fruit of {mm:g} mm turns only {turn:.0f} degrees under {views} views;"
                    " at least 360 are needed: more windows or a faster roller"
                ).format(mm=config.line.largest_fruit_mm, turn=turn_deg, views=config.n_views)
            )
    return problems


def _several_cameras(config: LineConfig) -> list[str]:
    """Views of all cameras are joined to one fruit: each view has its own number, and a pixel is as long in all of them."""
    problems = []
    taken: dict[int, int] = {}
    for index, camera in enumerate(config.camera):
        where = f"camera.{index} ({camera.name})"
        views = range(camera.first_view, camera.first_view + camera.windows)
        shared = sorted({taken[view] for view in views if view in taken})
        if shared:
            problems.append(
                _("{where}.first_view: its views have the numbers of camera {other}'s; begin at {next}").format(
                    where=where, other=shared[0], next=config.n_views
                )
            )
        taken |= dict.fromkeys(views, index)
        for name in ("px_per_mm", "lens_height_mm", "fruit_plane_mm"):
            own, first = getattr(camera, name), getattr(config.camera[0], name)
            if own != first:
                problems.append(
                    _("{where}.{name}: {own:g}, but camera 0 has {first:g}; cameras of one line must agree").format(
                        where=where, name=name, own=own, first=first
                    )
                )
    return problems


def _lane_rows(where: str, camera: CameraSection) -> list[str]:
    problems, half = [], camera.tile_px / 2
    for lane, y in enumerate(camera.lane_y_px):
        if y < half or y + half > camera.height_px:
            problems.append(
                _("{where}.lane_y_px: lane {lane} at {y:g} px does not fit a frame of {height} px").format(
                    where=where, lane=lane, y=y, height=camera.height_px
                )
            )
    rows = sorted(zip(camera.lane_y_px, range(len(camera.lane_y_px)), strict=True))
    for (y, lane), (next_y, next_lane) in pairwise(rows):
        if next_y - y < half:
            problems.append(
                _("{where}.lane_y_px: lanes {lane} and {next_lane} lie on one another ({y:g} and {next_y:g} px)").format(
                    where=where, lane=lane, next_lane=next_lane, y=y, next_y=next_y
                )
            )
    return problems


def least_decision_station(config: LineConfig) -> int:
    """Return the first station, in whole pitches, at which all that was sensed of a cup has arrived."""
    ahead = max(map(abs, config.phases))
    ends = [c.station + c.windows - 0.5 + ahead for c in config.camera]
    latencies = [c.latency_ms for c in config.camera]
    if config.spectrometer:
        ends.append(config.spectrometer.station + config.spectrometer.chord_cups / 2 + ahead)
        latencies.append(config.spectrometer.latency_ms)
    return math.ceil(max(ends, default=0.0)) + math.ceil(max(latencies, default=0.0) * config.line.cups_per_s / 1000)


def _stations(config: LineConfig) -> list[str]:
    problems = []
    least = least_decision_station(config)
    if config.line.decision_station < least:
        problems.append(
            _("line.decision_station: {station} lies before the last datum arrives; at least {least}").format(
                station=config.line.decision_station, least=least
            )
        )
    lead = config.line.lead_ms * config.line.cups_per_s / 1000
    for index, outlet in enumerate(config.outlet):
        earliest = config.line.decision_station + 1 + lead + max(map(abs, config.phases))
        if outlet.station < earliest:
            problems.append(
                _(
                    "outlet.{index} ({name}).station: {station:g} is too near the decision;"
                    " with a lead of {lead:g} ms at least {least}"
                ).format(
                    index=index, name=outlet.name, station=outlet.station, lead=config.line.lead_ms, least=math.ceil(earliest)
                )
            )
    named = [("spectrometer", config.spectrometer.station)] if config.spectrometer else []
    named += [(f"camera.{i}", c.station) for i, c in enumerate(config.camera)]
    named += [(f"outlet.{i}", o.station) for i, o in enumerate(config.outlet)]
    problems += [
        _("{where}.station: {station} must be 0 or more, in thousandths of a pitch").format(where=where, station=station)
        for where, station in named
        if station < 0 or abs(station * 1000 - round(station * 1000)) > 1e-6
    ]
    if config.spectrometer and (len(config.spectrometer.wavelength_nm) != 2 or not _rising(config.spectrometer.wavelength_nm)):
        problems.append(_("spectrometer.wavelength_nm: give the first and the last wavelength, rising: [650, 1010]"))
    return problems


def _rising(values: tuple[float, ...]) -> bool:
    return all(a < b for a, b in pairwise(values))


def _devices(config: LineConfig) -> list[str]:
    """A line with a PLC has a device for every camera and every lane's spectrometer, and no ``[source]``."""
    if not config.is_live:
        return []
    problems = [
        _("camera.{index} ({name}).device: is missing; a line with [plc] needs the driver of each camera").format(
            index=index, name=camera.name
        )
        for index, camera in enumerate(config.camera)
        if not camera.device
    ]
    if config.spectrometer and len(config.spectrometer.device) != config.line.lanes:
        problems.append(
            _("spectrometer.device: {n} devices for {lanes} lanes; give one a lane, in the order of the lanes").format(
                n=len(config.spectrometer.device), lanes=config.line.lanes
            )
        )
    if config.source:
        problems.append(_("source: a line with [plc] is driven by its devices; take [source] out, or [plc]"))
    return problems


def _outlets(config: LineConfig) -> list[str]:
    names = config.outlet_names
    twice = sorted({name for name in names if names.count(name) > 1})
    return [_("outlet: the name {name!r} is used more than once").format(name=name) for name in twice]


def parse(text: str, path: str = "line.toml") -> LineConfig:
    """Read a configuration, or say everything that is wrong with it at once.

    Raises
    ------
    ConfigError : naming file, key, value and remedy of every problem.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(path, [_("not valid TOML: {error}").format(error=error)]) from error
    try:
        config = LineConfig.model_validate(data)
    except ValidationError as error:
        raise ConfigError(path, explain(error)) from None
    if problems := [
        *_lanes(config),
        *_cameras(config),
        *_several_cameras(config),
        *_lost_views(config),
        *_stations(config),
        *_outlets(config),
        *_devices(config),
    ]:
        raise ConfigError(path, problems)
    return config


def load(path: Path) -> LineConfig:
    """Read ``path``; see `parse`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(path), [_("cannot be read: {error}").format(error=error.strerror)]) from error
    except UnicodeDecodeError as error:
        raise ConfigError(str(path), [_("byte {at} is not UTF-8 text; save it as UTF-8").format(at=error.start)]) from error
    return parse(text, str(path))


def explain(error: ValidationError) -> list[str]:
    """Return one line for people a problem of a pydantic validation."""
    return [_explain(dict(problem)) for problem in error.errors()]


def _explain(problem: dict[str, Any]) -> str:
    loc = tuple(problem["loc"])
    where = ".".join(map(str, loc))
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(loc[-1]), _keys(LineConfig, loc[:-1]), n=1)
        hint = _("; did you mean {near!r}?").format(near=near[0]) if near else ""
        return _("{where}: unknown key").format(where=where) + hint
    if problem["type"] == "missing":
        return _("{where}: is missing").format(where=where)
    known = _SAID.get(problem["type"])
    message = _(known).format(**problem.get("ctx", {})) if known else str(problem["msg"]).removeprefix("Value error, ")
    return f"{where}: {problem['input']!r}: {message}"


_SAID = {
    "greater_than": N_("must be above {gt}"),
    "greater_than_equal": N_("must be at least {ge}"),
    "less_than": N_("must be below {lt}"),
    "less_than_equal": N_("must be at most {le}"),
    "multiple_of": N_("must be a multiple of {multiple_of}"),
    "finite_number": N_("must be a finite number"),
    "int_type": N_("must be a whole number, without quotes"),
    "float_type": N_("must be a number, without quotes"),
    "string_type": N_("must be text, in quotes"),
    "bool_type": N_("must be true or false"),
    "tuple_type": N_("must be a list in square brackets"),
    "dict_type": N_("must be a table"),
    "model_type": N_("must be a table"),
    "literal_error": N_("must be one of {expected}"),
    "too_short": N_("needs at least {min_length}"),
}
"""How people are told of pydantic's kinds of error."""


def _keys(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    for part in loc:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _section_of(field.annotation) if field else None
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _section_of(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for arg in getattr(annotation, "__args__", ()) if (found := _section_of(arg))), None)
