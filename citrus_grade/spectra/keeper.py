"""What a line does about its spectral references and lamps: a few functions of `references` and `watch`, put together."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.config.references import ReferencesSection
from citrus_grade.messages import Alarm, Command, Output, Position, Reading, References, over
from citrus_grade.spectra import references, watch
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.references import ASKED_BY, Memory
from citrus_grade.spectra.watch import KINDS, Watched

READINGS = ("shutter", "integration_us")
"""Kinds of reading that tell of a spectrometer."""


@dataclass(frozen=True, slots=True, eq=False)
class Keeper:
    """Keeps the references of a line with these artefacts; what it remembers is the line's `Memory` and `Watched`."""

    section: ReferencesSection
    full_scale: int
    calibration: CalibrationSet
    limits: NDArray[np.float64]
    most: NDArray[np.float64]
    turned: NDArray[np.int8]

    @classmethod
    def of(cls, config: LineConfig, calibration: CalibrationSet, model: SpectralModel | None) -> "Keeper | None":
        """Return the keeper of a line, None if it has no spectrometers."""
        if config.spectrometer is None:
            return None
        turned = np.empty((config.line.lanes, len(KINDS)), np.int8)
        limits, most = watch.limits_of(config.references), watch.most(model)
        return cls(config.references, config.spectrometer.full_scale, calibration, limits, most, turned)

    def command(self, memory: Memory, command: Command, next_cup: int) -> list[Output] | None:
        """Begin a refresh; return None if the command is none, or names no lane."""
        lane = int(command.value) if command.value.isdecimal() and len(command.value) < 10 else -1
        if command.kind not in ASKED_BY or (command.value and not 0 <= lane < len(memory.lanes)):
            return None
        lanes = [lane] if command.value else list(range(len(memory.lanes)))
        return references.ask(memory, lanes, ASKED_BY[command.kind], next_cup + self.section.patience_cups, command.tick)

    def reading(self, memory: Memory, reading: Reading, next_cup: int) -> list[Output] | None:
        """Take in where a shutter stands, or an exposure; return None if there is no such lane or place."""
        if not -1 <= reading.lane < len(memory.lanes):
            return None
        if reading.kind == "integration_us":
            return references.exposed(memory, reading, self.calibration)
        if reading.value not in tuple(Position):
            return None
        return references.moved(memory, reading, next_cup + self.section.patience_cups)

    def settle(self, memory: Memory, watched: Watched, tick: int, next_cup: int) -> list[Output]:
        """Judge the references that have been collected; what is new holds from ``next_cup`` on."""
        told = references.settle(memory, tick, next_cup, self.section, self.calibration, self.full_scale)
        for output in told:
            if isinstance(output, References):
                watch.average_anew(watched, output.lane)
        return told

    def watch(self, memory: Memory, watched: Watched, rows: NDArray[Any], counts: Any, received: Any, tick: int) -> list[Output]:
        """Take a pitch into what is watched, see `watch.watch`; return the alarms that begin and those that end."""
        scans = (counts, received, memory.dark, memory.white, self.full_scale)
        if not watch.watch(watched.memory, watched.told, rows, *scans, self.limits, self.most, self.turned):
            return []
        begun, ended = np.argwhere(self.turned > 0).tolist(), np.argwhere(self.turned < 0).tolist()
        return [
            *(
                Alarm(tick, KINDS[kind], f"lane {lane} change {watch.change_pct(watched, lane, kind):+.1f}")
                for lane, kind in begun
            ),
            *(over(tick, KINDS[kind], f"lane {lane}") for lane, kind in ended),
        ]
