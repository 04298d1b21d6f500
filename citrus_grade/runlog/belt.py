"""Where the cups were while a log was recorded: the encoder's corrections followed as the line itself made them."""

import io
from dataclasses import dataclass

import numpy as np

from citrus_grade.config import LineConfig
from citrus_grade.geometry import MILLI, Ruler, locate
from citrus_grade.messages import Message, Reading
from citrus_grade.runlog.reader import Snapshot


@dataclass(slots=True)
class Belt:
    """Show it every snapshot and message in the order of the log, then ask it for cups."""

    ruler: Ruler
    offset: int = 0

    @classmethod
    def of(cls, config: LineConfig) -> "Belt":
        return cls(Ruler.of(config.encoder.ratio))

    def follow(self, entry: Snapshot | Message) -> None:
        """Take in what a snapshot or an index sensor says of the encoder."""
        if isinstance(entry, Snapshot):
            self.offset = _number(entry, "offset")
        elif isinstance(entry, Reading) and entry.kind == "cup_index":
            self.offset -= self.ruler.slip(entry.tick, self.offset)

    def at(self, tick: int, station: float) -> tuple[int, float]:
        """Return the cup nearest to a station and how far downstream of it that cup is, in pitches."""
        cup, ahead, unit = locate(tick, self.offset, round(station * MILLI), self.ruler.num, self.ruler.den)
        return int(cup), ahead / unit


def next_cup(snapshot: Snapshot) -> int:
    """Return the first cup that was not yet decided when a snapshot was taken."""
    return _number(snapshot, "next_cup")


def _number(snapshot: Snapshot, name: str) -> int:
    with np.load(io.BytesIO(snapshot.state), allow_pickle=False) as state:
        return int(state[name])
