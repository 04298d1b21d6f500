"""A whole simulated line as one driver: belt, camera, spectrometers, encoder and PLC, merged in order of arrival."""

import heapq
from collections.abc import Iterator
from fractions import Fraction
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationError

from citrus_grade.config import CameraSection, ConfigError, LineConfig, Number, explain
from citrus_grade.drivers.sim.belt import CUP_DOUBLE, CUP_EMPTY, CUP_SINGLE, LOAD, Loading, SimEncoder, load, poses
from citrus_grade.drivers.sim.camera import Optics, SimCamera
from citrus_grade.drivers.sim.faults import Faults
from citrus_grade.drivers.sim.plc import SimPlc
from citrus_grade.drivers.sim.seen import seen
from citrus_grade.drivers.sim.spectrometer import SimSpectrometer
from citrus_grade.geometry import Ruler, Unwrapper
from citrus_grade.messages import Command, Ejection, Frame, Message, Position, Pulse, Reading, Scans, Shutter

SHUTTER_S = 0.15
"""How long a shutter is on its way."""


class SimOptions(Faults):
    """``[source]`` of a simulated line."""

    driver: str = "sim"
    seed: int = 1
    seconds: Annotated[float, BeforeValidator(lambda v: float(v) if isinstance(v, int) else v), Field(gt=0)] = 60.0
    season: int = 0
    lots: int = Field(default=1, ge=1)
    fill: Annotated[Number, Field(ge=0, le=1)] = 0.85
    doubles: Annotated[Number, Field(ge=0, le=1)] = 0.008
    bridging: Annotated[Number, Field(ge=0, le=1)] = 0.002
    empty_light: Annotated[Number, Field(gt=0, le=1)] = 1.0
    gauge_mm: Annotated[tuple[Number, ...], BeforeValidator(lambda v: tuple(v) if isinstance(v, list) else v)] = ()


def open_line(config: LineConfig, *, seed: int | None = None, seconds: float | None = None) -> "SimPlant":
    """Open the simulated line that ``[source]`` describes; ``seed`` and ``seconds`` take the place of its own.

    Raises
    ------
    ConfigError : naming each bad key of ``[source]``.
    """
    given = {"seed": seed, "seconds": seconds}
    try:
        options = SimOptions.model_validate(config.source | {key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        raise ConfigError("[source]", explain(error, SimOptions)) from None
    return SimPlant(config, options)


class SimPlant:
    """A simulated line; see `ports.Plant`."""

    truth_kind = "simulated"

    def __init__(self, config: LineConfig, options: SimOptions) -> None:
        self.config = config
        self.options = options
        line, ratio = config.line, config.encoder.ratio
        self._cups = max(int(options.seconds * line.cups_per_s), 1)
        loading = Loading(options.fill, options.doubles, options.bridging, stuck=options.stuck_cups, gauge_mm=options.gauge_mm)
        self.table = load(
            options.seed,
            line.lanes,
            self._cups,
            loading,
            pitch_mm=line.pitch_mm,
            roller_ratio=line.roller_ratio,
            season=options.season,
        )
        self._rng = np.random.default_rng([options.seed, 4])
        self._encoder = SimEncoder(ratio, config.encoder.bits, self._rng)
        self._unwrap = Unwrapper(config.encoder.bits)
        self._tick, self._now_ns = -1, 0
        self._watched = False
        station = np.array([[o.station + phase for o in config.outlet] for phase in config.phases]).reshape(line.lanes, -1)
        self._plc = SimPlc(self.table, station, ratio, Ruler.of(ratio).ticks(line.lead_ms / 1000 * line.cups_per_s))
        self._cameras = [SimCamera(optics(c), options.seed + i, c.lane_y_px) for i, c in enumerate(config.camera)]
        spectrometer, self._triggers = config.spectrometer, _triggers(config)
        if spectrometer:
            seen_nm, full_scale = spectrometer.axis_nm, spectrometer.full_scale
            self.spectrometer = SimSpectrometer(options.seed, line.lanes, seen_nm, full_scale, options.empty_light)
        self.positions = frozenset((Position.OPEN, Position.CLOSED, Position.ATTENUATOR))
        self._position = np.zeros(line.lanes, np.int64)
        self._moving: list[tuple[int, Shutter]] = []

    @property
    def line_s(self) -> float:
        """How long the line runs, in seconds of its own time, until the last cup has passed the last outlet."""
        last = max((o.station for o in self.config.outlet), default=self.config.line.decision_station)
        return (self._cups + last + 2) / self.config.line.cups_per_s

    def messages(self, between: range | None = None) -> Iterator[Message]:
        """Yield everything the line senses, in order of arrival; of a range of pitches, or of all."""
        arriving: list[tuple[int, int, Message]] = []
        serial, last = 0, {Frame: 0, Scans: 0, Pulse: 0, Reading: 0}
        for pitch in between or range(int(self.line_s * self.config.line.cups_per_s)):
            yield from self._lots(pitch)
            for arrival_ns, message in self._sense(pitch):
                # A device's own messages never overtake one another.
                last[type(message)] = arrival_ns = max(arrival_ns, last[type(message)])
                serial += 1
                heapq.heappush(arriving, (arrival_ns, serial, message))
            while arriving and arriving[0][0] <= self._t_ns(Fraction(pitch + 1)):
                _, _, message = heapq.heappop(arriving)
                if isinstance(message, Pulse):
                    yield from self._plc.run(message.tick, message.t_ns)
                yield message
        for _, _, message in sorted(arriving, key=lambda item: item[:2]):
            yield message

    def eject(self, ejections: list[Ejection]) -> None:
        """Hand ejections to the PLC."""
        self._plc.eject(ejections, self._tick, self._now_ns)

    def move(self, shutters: list[Shutter]) -> None:
        """Send shutters on their way."""
        self._moving += [(self._now_ns + int(SHUTTER_S * 1e9), shutter) for shutter in shutters]

    def truth(self) -> NDArray[Any]:
        """Return (lanes * cups,) of `belt.LOAD`: what lay in each cup, what was to be seen of it and where it fell."""
        if not self._watched:
            self._watch()
        return self.table.reshape(-1)

    def _watch(self) -> None:
        travelled = _travelled(self.config)
        if not travelled.shape[1]:
            return
        for lane, cups in zip(self.table, travelled, strict=True):
            alone = lane["load"] == CUP_SINGLE
            rows = lane[alone]
            pose = np.stack([poses(rows, 0, np.full(len(rows), at)) for at in cups], axis=1)
            lane["seen"][alone] = seen(rows["fruit"], pose)
        self._watched = True

    def close(self) -> None:
        """Nothing to let go of."""

    def _t_ns(self, belt_cups: Fraction) -> int:
        return int(float(belt_cups) / self.config.line.cups_per_s * 1e9)

    def _lots(self, pitch: int) -> Iterator[Command]:
        """Yield the lot whose first cup reaches the loading point in this pitch."""
        for lot in range(self.options.lots):
            if lot * self._cups // self.options.lots == pitch:
                yield Command(self._tick, self._t_ns(Fraction(pitch)), "lot", str(lot + 1))

    def _sense(self, pitch: int) -> Iterator[tuple[int, Message]]:
        """Yield what happens from one pitch to the next, each with its time of arrival in ns."""
        belt = Fraction(pitch)
        self._tick = tick = self._unwrap(self._encoder.raw(belt))
        self._now_ns = now = self._t_ns(belt)
        yield now, Pulse(tick, tick, now)
        yield from self._stand(tick, now)
        for index, camera in enumerate(self.config.camera):
            arrival = now + int(self._rng.uniform(0.4, 0.95) * camera.latency_ms * 1e6)
            yield arrival, Frame(index, pitch, tick, now, self._expose(index, camera, belt))
        if self.config.spectrometer:
            yield from self._scan(pitch)

    def _stand(self, tick: int, now_ns: int) -> Iterator[tuple[int, Reading]]:
        """Yield where shutters have come to stand."""
        arrived = [shutter for at_ns, shutter in self._moving if at_ns <= now_ns]
        self._moving = [(at_ns, shutter) for at_ns, shutter in self._moving if at_ns > now_ns]
        for shutter in arrived:
            self._position[shutter.lane] = shutter.position
            yield now_ns, Reading(tick, now_ns, shutter.lane, "shutter", float(shutter.position))

    def _expose(self, index: int, camera: CameraSection, belt: Fraction) -> NDArray[np.uint8]:
        cup_at_0 = float(belt) - camera.station
        cups = np.arange(int(np.floor(cup_at_0)) - camera.windows, int(np.ceil(cup_at_0)) + 2)
        cups = cups[(cups >= 0) & (cups < self._cups)]
        lane, cup = (grid.ravel() for grid in np.meshgrid(np.arange(self.config.line.lanes), cups, indexing="ij"))
        loads = self.table[lane, cup]
        drawn = [_drawn(loads, 0, loads["load"] != CUP_EMPTY), _drawn(loads, 1, loads["load"] == CUP_DOUBLE)]
        rows = np.concatenate([part for part, _ in drawn])
        which = np.concatenate([np.full(len(part), i) for i, (part, _) in enumerate(drawn)])
        fruit = np.concatenate([chosen for _, chosen in drawn])
        pick = np.arange(len(rows)), which
        phase = np.array(self.config.phases)[rows["lane"]]
        window = float(belt) - rows["cup"] - camera.station - phase
        x_mm = window * self.config.line.pitch_mm + rows["x_mm"][pick]
        # The configuration speaks of the plane of the fruits' centres, the renderer of the belt's.
        shrink = (camera.lens_height_mm - camera.fruit_plane_mm) / camera.lens_height_mm
        x_px = camera.width_px / 2 + (camera.window_x_px + camera.px_per_mm * x_mm - camera.width_px / 2) * shrink
        lane_y = np.array(camera.lane_y_px)[rows["lane"]] + camera.px_per_mm * rows["y_mm"][pick]
        y_px = camera.height_px / 2 + (lane_y - camera.height_px / 2) * shrink
        travelled = float(belt) - rows["cup"].astype(np.float64)
        pose = np.where((which == 0)[:, None, None], poses(rows, 0, travelled), poses(rows, 1, travelled))
        line_s = float(belt) / self.config.line.cups_per_s
        light, dirt = self.options.light(line_s), self.options.dirt(line_s)
        belt_mm = float(belt) * self.config.line.pitch_mm
        return self._cameras[index].expose(int(belt), belt_mm, fruit, x_px, y_px, pose, light=light, dirt=dirt)

    def _scan(self, pitch: int) -> Iterator[tuple[int, Message]]:
        """Yield the scans of this pitch as they happen, all lanes of one phase at a time."""
        spectrometer = self.config.spectrometer
        assert spectrometer is not None
        for after, phase, j, ahead in self._triggers:
            lanes = np.flatnonzero(np.array(self.config.phases) == phase)
            belt = Fraction(pitch) + after
            cup = round(float(belt) - spectrometer.station - phase - ahead)
            if not 0 <= cup < self._cups:
                continue
            rows = self.table[lanes, cup]
            seq = np.full(len(lanes), cup * spectrometer.scans + j, np.int32)
            offset = (rows["x_mm"][:, 0] + ahead * self.config.line.pitch_mm) / (0.5 * rows["fruit"]["diameter_mm"])
            age = self.options.age(float(belt) / self.config.line.cups_per_s)
            counts = self.spectrometer.scan(int(seq[0]), lanes, rows["fruit"], offset, rows["load"] != CUP_EMPTY, age)
            for position in (Position.CLOSED, Position.ATTENUATOR):
                if (behind := self._position[lanes] == position).any():
                    counts[behind] = self.spectrometer.look(int(seq[0]), lanes[behind], position, age)
            tick = np.full(len(lanes), Unwrapper(self.config.encoder.bits, self._tick)(self._encoder.raw(belt)), np.int64)
            t_ns = self._t_ns(belt)
            arrival = t_ns + int(self._rng.uniform(0.5, 0.95) * spectrometer.latency_ms * 1e6)
            yield arrival, Scans(t_ns, lanes.astype(np.int32), seq, tick, counts)


def _travelled(config: LineConfig) -> NDArray[np.float64]:
    """Return how far a cup of each lane has travelled when each of its views is taken, (n_lanes, n_views) pitches.

    Frames are taken at whole pitches, and a cup lies at most half a pitch from the middle of its window.
    """
    first = [[np.ceil(c.station + phase - 0.5) + w for c in config.camera for w in range(c.windows)] for phase in config.phases]
    return np.array(first, np.float64).reshape(config.line.lanes, -1)


def _triggers(config: LineConfig) -> list[tuple[Fraction, float, int, float]]:
    """Return each trigger of a pitch in order: after how much of it, for lanes of which phase, which scan, where in the chord."""
    spectrometer = config.spectrometer
    if spectrometer is None:
        return []
    places = [spectrometer.chord_cups * ((j + 0.5) / spectrometer.scans - 0.5) for j in range(spectrometer.scans)]
    phases = sorted(set(config.phases))
    return sorted(
        (_exact(spectrometer.station + phase + ahead) % 1, phase, j, ahead) for phase in phases for j, ahead in enumerate(places)
    )


def _exact(cups: float) -> Fraction:
    return Fraction(round(cups * 1_000_000), 1_000_000)


def _drawn(loads: NDArray[Any], index: int, present: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[Any]]:
    rows = loads[present]
    return rows, rows["fruit" if index == 0 else "second"]


def optics(camera: CameraSection) -> Optics:
    """Return the renderer's optics of a configured camera."""
    shrink = (camera.lens_height_mm - camera.fruit_plane_mm) / camera.lens_height_mm
    return Optics(camera.width_px, camera.height_px, camera.px_per_mm * shrink, camera.lens_height_mm, camera.bayer)


__all__ = ["LOAD", "SimOptions", "SimPlant", "open_line", "optics"]
