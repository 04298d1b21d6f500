"""A line whose camera sees published pictures of real fruit and whose spectrometers see a published table of spectra.

Real are the skin, the shape, the turn between views and the spectra. Assumed are the scale of the pictures, the belt around the
fruit, the lanes' lamps, and which spectrum goes with which fruit: no published set holds both of one citrus fruit.
"""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.drivers.files_camera import PictureCamera
from citrus_grade.drivers.files_options import FilesOptions, options_of
from citrus_grade.drivers.files_pictures import Patch, RealFruit, load_fruit, pick_views, spare_views
from citrus_grade.drivers.files_spectra import Samples, TableSpectrometer, samples, trait_fields
from citrus_grade.drivers.sim.belt import CUP_EMPTY, CUP_SINGLE
from citrus_grade.drivers.sim.plc import SimPlc
from citrus_grade.geometry import Ruler
from citrus_grade.messages import Command, Ejection, Frame, Message, Pulse, Scans

SEAT_MM = 1.5
"""Standard deviation of where a fruit sits in its cup, along and across."""


def open_line(config: LineConfig, *, seed: int | None = None, seconds: float | None = None) -> "FilesPlant":
    """Open the line that ``[source]`` describes; ``seed`` and ``seconds`` take the place of its own.

    Raises
    ------
    ConfigError : naming each bad key, or the file that is missing or unusable.
    """
    options = options_of(config, seed=seed, seconds=seconds)
    held_out = samples(config, options, options.spectra.held_out) if options.spectra else None
    return FilesPlant(config, options, held_out)


class FilesPlant:
    """A line of files; see `ports.Plant`.

    Nothing is late here: what is sensed at a moment is handed over at that moment.
    """

    truth_kind = "real pictures and spectra, assumed scale"

    def __init__(self, config: LineConfig, options: FilesOptions, held_out: Samples | None) -> None:
        self.config = config
        self.options = options
        line, self._ratio = config.line, config.encoder.ratio
        self._cups = max(int(options.seconds * line.cups_per_s), 1)
        self._fruit = [load_fruit(options.data_folder, options.pictures, camera.px_per_mm) for camera in config.camera]
        self.table = _load(config, options, self._cups, self._fruit, held_out)
        station = np.array([[o.station + phase for o in config.outlet] for phase in config.phases]).reshape(line.lanes, -1)
        self._plc = SimPlc(self.table, station, self._ratio, Ruler.of(self._ratio).ticks(line.lead_ms / 1000 * line.cups_per_s))
        self._cameras = [PictureCamera(camera, options.seed + i) for i, camera in enumerate(config.camera)]
        if config.spectrometer and held_out:
            reflectance = 10.0**-held_out.absorbance
            self._spectrometer = TableSpectrometer(line.lanes, config.spectrometer, reflectance, options.seed)
        self._belt = Fraction(0)

    @property
    def line_s(self) -> float:
        """How long the line runs, in seconds of its own time, until the last cup has passed the last outlet."""
        last = max((o.station for o in self.config.outlet), default=self.config.line.decision_station)
        return (self._cups + last + 2) / self.config.line.cups_per_s

    def messages(self) -> Iterator[Message]:
        """Yield everything the line senses, in order of arrival."""
        yield Command(-1, 0, "lot", "1")
        for pitch in range(int(self.line_s * self.config.line.cups_per_s)):
            self._belt = belt = Fraction(pitch)
            tick, t_ns = self._clock(belt)
            yield from self._plc.run(tick, t_ns)
            yield Pulse(tick, tick, t_ns)
            for index, camera in enumerate(self.config.camera):
                yield Frame(index, pitch, tick, t_ns, self._expose(index, camera, pitch))
            if self.config.spectrometer:
                yield from self._scan(pitch)

    def eject(self, ejections: list[Ejection]) -> None:
        """Hand ejections to the PLC."""
        self._plc.eject(ejections, *self._clock(self._belt))

    def truth(self) -> NDArray[Any]:
        """Return a row a cup: ``lane``, ``cup``, ``load``, ``fell``, and as ``fruit`` what is known or assumed of it."""
        return self.table.reshape(-1)

    def close(self) -> None:
        """Nothing to let go of."""

    def _clock(self, belt: Fraction) -> tuple[int, int]:
        """Return encoder count and nanoseconds where the belt has moved so many pitches."""
        return int(belt * self._ratio), int(float(belt) / self.config.line.cups_per_s * 1e9)

    def _expose(self, index: int, camera: CameraSection, pitch: int) -> NDArray[np.uint8]:
        seen = (view for lane in range(self.config.line.lanes) for view in self._in_view(index, camera, lane, pitch))
        return self._cameras[index].expose(pitch, pitch * self.config.line.pitch_mm, seen)

    def _in_view(self, index: int, camera: CameraSection, lane: int, pitch: int) -> Iterator[tuple[Patch, float, float]]:
        """Yield the fruit of one lane before a camera, and where each lies in the frame."""
        station = camera.station + self.config.phases[lane]
        newest = int(np.ceil(pitch - station))
        for cup in range(max(newest - camera.windows, 0), min(newest + 2, self._cups)):
            row = self.table[lane, cup]
            if row["load"] == CUP_EMPTY:
                continue
            window = pitch - station - cup
            views = self._fruit[index][row["fruit"]["object"]].views
            picked = pick_views(len(views), self.config.n_views, int(row["first_picture"]))
            nearest = min(max(round(window), 0), camera.windows - 1) + camera.first_view
            x_px = camera.window_x_px + camera.px_per_mm * (window * self.config.line.pitch_mm + float(row["seat_x_mm"]))
            yield views[picked[nearest]], x_px, camera.lane_y_px[lane] + camera.px_per_mm * float(row["seat_y_mm"])

    def _scan(self, pitch: int) -> Iterator[Scans]:
        """Yield the scans of the cups that pass the spectrometers in this pitch, all lanes of one phase at a time."""
        for belt, phase, cup, seq in sorted(self._passing(pitch)):
            lanes = np.flatnonzero(np.array(self.config.phases) == phase)
            rows = self.table[lanes, cup]
            counts = self._spectrometer.scan(seq, lanes, np.where(rows["load"] == CUP_EMPTY, -1, rows["held_out"]))
            tick, t_ns = self._clock(belt)
            n = len(lanes)
            yield Scans(t_ns, lanes.astype(np.int32), np.full(n, seq, np.int32), np.full(n, tick, np.int64), counts)

    def _passing(self, pitch: int) -> Iterator[tuple[Fraction, float, int, int]]:
        """Yield where the belt is at each scan of this pitch, whose lanes' phase it is, the cup, and the scan's number."""
        spectrometer = self.config.spectrometer
        assert spectrometer is not None
        chord, scans = _exact(spectrometer.chord_cups), spectrometer.scans
        for phase in set(self.config.phases):
            for j in range(scans):
                # A scan lies in the middle of its share of the chord.
                at = _exact(spectrometer.station + phase) + chord * (Fraction(2 * j + 1, 2 * scans) - Fraction(1, 2))
                belt = pitch + at % 1
                cup = int(belt - at)
                if 0 <= cup < self._cups:
                    yield belt, phase, cup, cup * scans + j


def _exact(cups: float) -> Fraction:
    """Return a length in pitches as thousandths, which is how the line reads stations."""
    return Fraction(round(cups * 1000), 1000)


def _load(
    config: LineConfig, options: FilesOptions, cups: int, fruit: list[list[RealFruit]], held_out: Samples | None
) -> NDArray[Any]:
    """Fill ``cups`` cups of every lane with fruit and spectra drawn at random; return (lanes, cups)."""
    known = np.dtype([("diameter_mm", "<f8"), ("object", "<i4"), *trait_fields(options)])
    fields = [("lane", "<i4"), ("cup", "<i8"), ("load", "u1"), ("fell", "<i4"), ("first_picture", "<i4"), ("held_out", "<i4")]
    lanes, rng = config.line.lanes, np.random.default_rng([options.seed, 3])
    n = lanes * cups
    table = np.zeros(n, [*fields, ("seat_x_mm", "<f8"), ("seat_y_mm", "<f8"), ("fruit", known)])
    table["lane"], table["cup"], table["fell"] = np.repeat(np.arange(lanes), cups), np.tile(np.arange(cups), lanes), -1
    table["load"] = np.where(rng.random(n) < options.fill, CUP_SINGLE, CUP_EMPTY)
    table["seat_x_mm"], table["seat_y_mm"] = (SEAT_MM * rng.standard_normal((2, n))).clip(-3 * SEAT_MM, 3 * SEAT_MM)
    if fruit:
        chosen = rng.integers(0, len(fruit[0]), n)
        spare = np.array([spare_views(len(one.views), config.n_views) for one in fruit[0]])
        table["first_picture"] = rng.integers(0, spare[chosen] + 1)
        table["fruit"]["object"] = chosen
        table["fruit"]["diameter_mm"] = np.array([one.diameter_mm for one in fruit[0]])[chosen]
    if held_out and options.spectra:
        table["held_out"] = drawn = rng.integers(0, len(held_out.row), n)
        table["fruit"]["sample"] = held_out.row[drawn]
        table["fruit"][options.spectra.target] = held_out.reference[drawn]
    return table.reshape(lanes, cups)
