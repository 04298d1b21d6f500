"""What flows through the line: sensor and operator messages in; decisions, ejections and alarms out."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

OutletState = Literal["fired", "late", "jammed", "full", "clear"]
ReadingKind = Literal["cup_index", "pulp_temperature_c", "mass_g", "shutter", "integration_us"]
ArtefactKind = Literal["plan", "model", "calibration", "classifier"]
CommandKind = Literal["lot", ArtefactKind, "lane_on", "lane_off", "dark_refresh", "white_refresh"]


class Position(IntEnum):
    """What stands in the light of a lane's spectrometer: nothing but fruit, the shutter (or a wall of the carrier that blocks
    the lamp), the known attenuator; ``BETWEEN``: it is on its way, or nobody knows. A shutter is never sent there."""

    OPEN = 0
    CLOSED = 1
    ATTENUATOR = 2
    BETWEEN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One exposure of one camera: ``mosaic`` is (height, width) uint8, raw Bayer."""

    camera: int
    seq: int
    tick: int
    t_ns: int
    mosaic: NDArray[np.uint8]


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A frame after imaging: feeding it equals feeding the frame.

    ``rows`` is an array of `tables.VIEW`; ``clarity`` (n_lanes * n_windows,) of `tables.CLARITY` what the frame shows of lens and
    light, lane by lane; empty where nobody looked.
    """

    camera: int
    seq: int
    tick: int
    t_ns: int
    rows: NDArray[Any]
    clarity: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Measurements of whole fruit, all views joined: the seam where a replay without pixels enters. ``rows``: `tables.FRUIT`."""

    rows: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Scans:
    """One integration of one or more lanes' spectrometers.

    ``lane``, ``seq`` (n,) int32, ``tick`` (n,) int64 at mid exposure, ``counts`` (n, n_pixels) uint16.
    """

    t_ns: int
    lane: NDArray[np.int32]
    seq: NDArray[np.int32]
    tick: NDArray[np.int64]
    counts: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class Pulse:
    """The clock, once a pitch, and the moment to decide; ``head_tick`` is the encoder when the pulse was handed over."""

    tick: int
    head_tick: int
    t_ns: int


@dataclass(frozen=True, slots=True)
class OutletReport:
    """What the PLC says of an outlet: fired, late, jammed, full or clear. ``cup`` is -1 where no fruit is meant."""

    tick: int
    t_ns: int
    lane: int
    outlet: int
    state: OutletState
    cup: int = -1


@dataclass(frozen=True, slots=True)
class Reading:
    """A slow value of a lane (-1: the whole line).

    ``cup_index`` marks the tick at which a cup's flag passed the index sensor; ``shutter`` is the `Position` of a spectrometer's
    shutter from that tick on, told before any scan behind it; ``integration_us`` how long its scans are exposed.
    """

    tick: int
    t_ns: int
    lane: int
    kind: ReadingKind
    value: float


@dataclass(frozen=True, slots=True)
class Command:
    """An operator's act. ``value``: lot number, lane, or the id of an artefact that the shell has loaded before; of a refresh,
    the lane, "" for all."""

    tick: int
    t_ns: int
    kind: CommandKind
    value: str


Message = Frame | Views | Joined | Scans | Pulse | OutletReport | Reading | Command


class Reason(IntEnum):
    """Why a fruit went where it went."""

    GRADED = 0
    EMPTY = 1
    DOUBLE = 2
    BRIDGING = 3
    MISSING_VIEW = 4
    MISSING_SPECTRUM = 5
    SATURATED = 6
    OUT_OF_DOMAIN = 7
    LATE = 8
    OUTLET_FULL = 9
    OUTLET_FAULT = 10
    NO_RULE = 11
    LANE_OFF = 12


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """One decision a cup and lane: ``rows`` is an array of `tables.DECISION`."""

    rows: NDArray[Any]


@dataclass(frozen=True, slots=True)
class Ejection:
    """Sent ahead to the PLC: fire ``outlet`` on ``lane`` when the encoder reads ``fire_tick``."""

    lane: int
    cup: int
    outlet: int
    fire_tick: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must know; ``kind`` is a stable word, ``where`` the device or lane, ``count`` how often at once.

    A ``count`` of 0 says that what stood has gone: all of the ``kind`` in the place that ``where`` names.
    """

    tick: int
    kind: str
    where: str
    count: int = 1

    @property
    def is_over(self) -> bool:
        """Whether it says that what it tells of has gone."""
        return self.count == 0


def over(tick: int, kind: str, place: str) -> Alarm:
    """Return the message that alarms of a kind in a place have ended."""
    return Alarm(tick, kind, place, 0)


@dataclass(frozen=True, slots=True)
class Shutter:
    """Sent to a lane's spectrometer: put this into its light; a `Reading` of kind ``shutter`` says when it stands."""

    lane: int
    position: Position


@dataclass(frozen=True, slots=True, eq=False)
class References:
    """A lane's spectral references from here on, named by the ``reference_id`` of its decisions: ``dark``, ``white`` (n_pixels,)
    counts."""

    tick: int
    lane: int
    reference_id: int
    dark: NDArray[np.float64]
    white: NDArray[np.float64]


Output = Decisions | Ejection | Alarm | Shutter | References
