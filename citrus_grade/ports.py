"""What the core asks of the world: each port is a handful of verbs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from citrus_grade.messages import Ejection, Message, OutletReport, Position, Shutter


class Source(Protocol):
    """Everything a line senses, already merged in order of arrival."""

    def messages(self) -> Iterator[Message]:
        """Yield messages until the line stops."""
        ...


class Outlets(Protocol):
    """The PLC's ejection queue."""

    def eject(self, ejections: list[Ejection]) -> None:
        """Queue ejections, each at least its lead ahead."""
        ...


@runtime_checkable
class Shutters(Protocol):
    """The shutters of the lanes' spectrometers, of a plant or a PLC that has them.

    ``positions`` is what it can put into the light of every lane. A plant tells by a `Reading` where one has come to stand,
    before any scan behind it; a PLC by its `PlcState`.
    """

    positions: frozenset[Position]

    def move(self, shutters: list[Shutter]) -> None:
        """Send shutters on their way, without waiting until they stand.

        Raises
        ------
        DeviceGone : if a PLC does not answer; where its shutters are to stand it must be told anew.
        """
        ...


class Plant(Source, Outlets, Protocol):
    """A whole line as one driver: what `config` names under ``[source]``."""

    truth_kind: str
    """What `truth` is: "simulated", or what a driver of real data says of it."""

    @property
    def line_s(self) -> float:
        """How long the line will run, in seconds of its own time; 0 where nobody knows."""
        ...

    def truth(self) -> NDArray[Any] | None:
        """Return what really lay in each cup and where it fell, where the driver knows it (a simulator does)."""
        ...

    def close(self) -> None:
        """Let go of the devices."""
        ...


class DeviceError(RuntimeError):
    """A device that cannot be used as configured: says which, what is wrong with it, and what to do. Trying again is no use."""


class DeviceBusy(DeviceError):
    """A device that another program drives at the moment."""


class DeviceGone(RuntimeError):
    """A device that does not answer any more, or not yet: whoever drives it closes it and opens it again after a pause."""


class Found(NamedTuple):
    """A device that was looked at, with nothing in it changed: who it says it is, what of it should be seen to, and where a PLC
    can have shutters stand.

    A driver may offer ``look`` beside what opens its device, with the same arguments: it returns a `Found`, and raises as opening
    does where a run could not use the device, `DeviceBusy` where another program does.
    """

    identity: str
    cautions: tuple[str, ...] = ()
    positions: frozenset[Position] = frozenset()


@dataclass(frozen=True, slots=True, eq=False)
class Exposure:
    """A frame as a camera hands it over.

    ``count`` is the device's own number of the frame, unwrapped, so that a gap in it is a lost frame; ``device_ns`` its own
    clock; ``t_ns`` the host's `time.monotonic_ns` at arrival. ``mosaic`` (height, width) uint8 is valid until the next
    `Camera.grab`. ``transit_ns`` is what lies between its trigger and its arrival at least, as far as the driver knows.
    """

    count: int
    device_ns: int
    t_ns: int
    mosaic: NDArray[np.uint8]
    transit_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """An integration as a spectrometer hands it over: ``counts`` (n_pixels,) uint16; the rest as in `Exposure`.

    ``transit_ns`` begins with the middle of the integration.
    """

    count: int
    device_ns: int
    t_ns: int
    counts: NDArray[np.uint16]
    transit_ns: int = 0


class Camera(Protocol):
    """One camera, open and triggered. Opening is the driver's: `citrus_grade.cameras` names ``open(options) -> Camera``."""

    identity: str
    """Maker, model and serial number, as the device says."""

    def grab(self, timeout_s: float) -> Exposure | None:
        """Return the next frame, or None after ``timeout_s`` without one.

        Raises
        ------
        DeviceGone : if the camera does not answer.
        """
        ...

    def close(self) -> None:
        """Let go of the camera; a second call does nothing."""
        ...


class Spectrometer(Protocol):
    """One spectrometer, open and triggered."""

    identity: str
    wavelength_nm: NDArray[np.float64]
    """(n_pixels,) from the device's own coefficients."""

    def grab(self, timeout_s: float) -> Spectrum | None:
        """Return the next integration, or None after ``timeout_s`` without one.

        Raises
        ------
        DeviceGone : if the spectrometer does not answer.
        """
        ...

    def close(self) -> None:
        """Let go of the spectrometer; a second call does nothing."""
        ...


@runtime_checkable
class Dropping(Protocol):
    """A camera or spectrometer that counts how often it had to drop what came: broken bytes, a frame twice."""

    @property
    def dropped(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PlcState:
    """One look at the PLC: ``count`` is the raw encoder counter at the host's ``t_ns``; ``reports`` what outlets did since the
    last look, with the ticks still raw; ``index_counts`` the raw counter at each flag that passed a lane's cup-index sensor;
    ``boot`` another number after each start of the PLC, where it tells: its counter begins anew then; ``lost`` how many
    reports were written over since the last look, before anybody had read them; ``shutters`` the lane of each that has moved
    since the last look (of all at the first), where it stands, and the raw counter since when; ``report`` the number of the
    last report read, where they are numbered; ``pitches`` how many whole pitches the PLC has counted since its start, -1 where
    it counts none; ``emergency`` whether an emergency stop is pressed."""

    t_ns: int
    count: int
    reports: tuple[OutletReport, ...]
    index_counts: tuple[tuple[int, int], ...]
    running: bool
    heartbeat_ok: bool
    boot: int = 0
    lost: int = 0
    shutters: tuple[tuple[int, Position, int], ...] = ()
    report: int = -1
    pitches: int = -1
    emergency: bool = False


@runtime_checkable
class Drive(Protocol):
    """A PLC that lets the belt run only while it is permitted."""

    def drive(self, *, run: bool, cups_per_s: float) -> None:
        """Permit the belt to run, ``cups_per_s`` being the speed wanted, or have it stop. The PLC has the last word.

        Raises
        ------
        DeviceGone : if the PLC does not answer.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """A PLC that numbers its reports: a new connection goes on with those after the last that one before it has read."""

    def resume(self, boot: int, report: int) -> None:
        """Go on after ``report``, read while the PLC's `PlcState.boot` was ``boot``, and tell at the next look how every outlet
        stands."""
        ...


class Plc(Protocol):
    """The PLC that counts the belt and fires the outlets; one that moves the spectrometers' shutters is `Shutters`, too."""

    identity: str

    def poll(self) -> PlcState:
        """Look once, and show that this side is alive.

        Raises
        ------
        DeviceGone : if the PLC does not answer.
        """
        ...

    def eject(self, ejections: list[Ejection]) -> int:
        """Queue ejections; return how many of the first were taken, the rest found the queue full.

        Raises
        ------
        DeviceGone : if the PLC does not answer; nothing is sent a second time unasked.
        """
        ...

    def close(self) -> None:
        """Let go of the PLC; what is queued in it stays queued."""
        ...


class Weight(Protocol):
    """A reading of a scale: at the host's ``t_ns`` it was ``mass_g``, "stable", "moving" or an "overload"."""

    @property
    def t_ns(self) -> int: ...

    @property
    def mass_g(self) -> float: ...

    @property
    def state(self) -> str: ...


class Scale(Protocol):
    """A scale that sends what lies on it without being asked."""

    identity: str

    def read(self, timeout_s: float) -> Weight | None:
        """Return the newest reading, or None after ``timeout_s`` without one.

        Raises
        ------
        DeviceGone : if the scale does not answer. DeviceError : if what comes is no reading.
        """
        ...

    def close(self) -> None:
        """Let go of the scale; a second call does nothing."""
        ...
