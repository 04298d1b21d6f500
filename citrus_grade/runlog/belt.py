"""Where the cups were while a log was recorded, and whose light was open: followed as the line itself did."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.geometry import MILLI, Ruler, locate
from citrus_grade.messages import Message, Position, Reading
from citrus_grade.runlog.reader import Snapshot


@dataclass(slots=True)
class Belt:
    """Show it every snapshot and message in the order of the log, then ask it for cups."""

    ruler: Ruler
    light_from: NDArray[np.int64]
    offset: int = 0

    @classmethod
    def of(cls, config: LineConfig) -> "Belt":
        return cls(Ruler.of(config.encoder.ratio), np.full(config.line.lanes, -_NEVER, np.int64))

    def follow(self, entry: Snapshot | Message) -> None:
        """Take in what a snapshot, an index sensor or a shutter says."""
        if isinstance(entry, Snapshot):
            self.offset = int(_array(entry, "offset"))
            self.light_from = _array(entry, "references.light_from")
        elif isinstance(entry, Reading) and entry.kind == "shutter":
            lanes = slice(None) if entry.lane < 0 else entry.lane
            self.light_from[lanes] = entry.tick if entry.value == Position.OPEN else _NEVER
        elif isinstance(entry, Reading) and entry.kind == "cup_index":
            self.offset -= self.ruler.slip(entry.tick, self.offset)

    def at(self, tick: int, station: float) -> tuple[int, float]:
        """Return the cup nearest to a station and how far downstream of it that cup is, in pitches."""
        cup, ahead, unit = locate(tick, self.offset, round(station * MILLI), self.ruler.num, self.ruler.den)
        return int(cup), ahead / unit

    def lit(self, lane: int, tick: int) -> bool:
        """Say whether a lane's scan saw a cup, not a shutter or an attenuator."""
        return bool(tick >= self.light_from[lane])


_NEVER = 1 << 62


def next_cup(snapshot: Snapshot) -> int:
    """Return the first cup that was not yet decided when a snapshot was taken."""
    return int(_array(snapshot, "next_cup"))


def references_of(snapshot: Snapshot) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the dark and white in use when a snapshot was taken, (n_lanes, n_pixels) each."""
    return _array(snapshot, "references.dark"), _array(snapshot, "references.white")


def _array(snapshot: Snapshot, name: str) -> NDArray[Any]:
    with np.load(io.BytesIO(snapshot.state), allow_pickle=False) as state:
        return np.asarray(state[name])
