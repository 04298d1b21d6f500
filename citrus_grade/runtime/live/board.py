"""The board of a live line: what each process writes down for the others, in memory that outlives any of them."""

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.messages import Reason
from citrus_grade.runtime.live.memory import LINE_BYTES, mapped

BINS = 160
"""Bins of a histogram of times, 8 an octave from `BIN_0_US`."""
BIN_0_US = 10.0
COUNTERS = (
    "messages",
    "frames",
    "frames_torn",
    "scans",
    "pulses",
    "ejections",
    "ejections_refused",
    "ejections_late",
    "decisions",
    "shed_frames",
    "shed_scans",
    "shed_messages",
    "shed_words",
    "shed_decisions",
    "bad_messages",
    "reports_lost",
    "slow_polls",
    "reopened",
    "commits",
    "weights",
    "frames_lost",
    "frames_unplaced",
    "scans_unplaced",
    "ejections_unanswered",
)
"""What only rises."""
LEVELS = ("devices_gone", "queue_bytes", "ring_newest", "ring_looked", "ring_lag_most")
"""What rises and falls."""
STAGES = ("decide", "queue", "eject", "margin", "wait", "poll", "commit")
STATION = np.dtype(
    [
        ("pid", "<i8"),
        ("beat_ns", "<i8"),
        ("ready", "<i8"),
        ("epoch", "<i8"),
        ("gone", "<u8"),
        ("counter", "<i8", (len(COUNTERS) + len(LEVELS),)),
        ("times", "<i8", (len(STAGES), BINS)),
        ("pad", "u1", (LINE_BYTES,)),
    ]
)
CLOCK = np.dtype(
    [("written", "<i8"), ("tick", "<i8", (2,)), ("t_ns", "<i8", (2,)), ("ticks_per_s", "<f8", (2,)), ("pad", "u1", (LINE_BYTES,))]
)


def carry_bytes(lanes: int, pixels: int, windows: int) -> int:
    """Return the room for what a core leaves to its successor: mostly the dark and white of every lane, and what is watched in
    each of its ``windows``, of all cameras, and against the other lanes."""
    return 64 * 1024 + lanes * (16 * pixels + 48 * (windows + lanes) + 512)


SHARED = np.dtype(
    [
        ("stop", "<i8"),
        ("decided_cup", "<i8"),
        ("committed_cup", "<i8"),
        ("lost_cup", "<i8"),
        ("up", "<i8"),
        ("wants_stop", "<i8"),
        ("origin", "<i8"),
        ("count", "<i8"),
        ("origin_known", "<i8"),
        ("boot", "<i8"),
        ("report", "<i8"),
        ("pitches", "<i8"),
        ("moves_shutters", "<i8"),
        ("shutter", "u1", (32,)),
        ("carries", "<i8"),
        ("carry_bytes", "<i8", (2,)),
        ("reasons", "<i8", (len(Reason),)),
        ("mass_g", "<f8"),
        ("mass_t_ns", "<i8"),
        ("pad", "u1", (LINE_BYTES,)),
    ]
)


class Board:
    """What each process writes down for the others: that it lives, what it counted, how long things took; and the belt's clock.

    Each field has one writer. The board outlives any process but the supervisor, so counters go on after a restart.
    """

    def __init__(self, fd: int, roles: tuple[str, ...], carry_bytes: int) -> None:
        self.roles, self._carry_bytes = roles, carry_bytes
        self._map = mapped(fd)
        n = len(roles)
        self.stations: NDArray[Any] = np.frombuffer(self._map, STATION, n)
        self.clock: NDArray[Any] = np.frombuffer(self._map, CLOCK, 1, n * STATION.itemsize)
        self.shared: NDArray[Any] = np.frombuffer(self._map, SHARED, 1, n * STATION.itemsize + CLOCK.itemsize)
        self._carried: NDArray[np.uint8] = np.frombuffer(
            self._map, np.uint8, 2 * carry_bytes, n * STATION.itemsize + CLOCK.itemsize + SHARED.itemsize
        ).reshape(2, carry_bytes)

    @staticmethod
    def n_bytes(n_roles: int, carry_bytes: int) -> int:
        """Return the size of a board for so many processes."""
        return n_roles * STATION.itemsize + CLOCK.itemsize + SHARED.itemsize + 2 * carry_bytes

    def station(self, role: str) -> "Station":
        """Return the place of one process."""
        return Station(self.stations[self.roles.index(role)])

    def set_clock(self, tick: int, t_ns: int, ticks_per_s: float) -> None:
        """Write where the belt is: encoder count ``tick`` at the host's ``t_ns``."""
        clock, number = self.clock, int(self.clock["written"][0]) + 1
        for name, value in (("tick", tick), ("t_ns", t_ns), ("ticks_per_s", ticks_per_s)):
            clock[name][0, number % 2] = value
        clock["written"] = number

    def belt(self) -> tuple[int, int, float] | None:
        """Return what `set_clock` wrote last, None before that; one that stands still half-way leaves what it wrote before."""
        clock = self.clock
        while number := int(clock["written"][0]):
            slot = number % 2
            read = int(clock["tick"][0, slot]), int(clock["t_ns"][0, slot]), float(clock["ticks_per_s"][0, slot])
            if int(clock["written"][0]) == number:  # else this place may be written again by now
                return read
        return None

    def carry(self, state: bytes) -> None:
        """Keep what the core's successor must know.

        Raises
        ------
        ValueError : if it is more than there is room for.
        """
        if len(state) > self._carry_bytes:
            raise ValueError(f"{len(state)} bytes to carry, there is room for {self._carry_bytes}")
        number = int(self.shared["carries"][0]) + 1
        self._carried[number % 2, : len(state)] = np.frombuffer(state, np.uint8)
        self.shared["carry_bytes"][0, number % 2] = len(state)
        self.shared["carries"] = number

    def carried(self) -> bytes | None:
        """Return what a core has kept last, None if there was none; one killed while it wrote leaves what it wrote before."""
        number = int(self.shared["carries"][0])
        return self._carried[number % 2, : int(self.shared["carry_bytes"][0, number % 2])].tobytes() if number else None

    def set_kept(self, cup: int, reasons: Mapping[int, int]) -> None:
        """Write down to which cup decisions are safe on disk, and how many of each reason."""
        self.shared["committed_cup"] = cup
        for reason, n in reasons.items():
            self.shared["reasons"][0, reason] = n

    @property
    def is_up(self) -> bool:
        """Whether the line has started: all its processes have begun to work."""
        return bool(self.shared["up"][0])

    @property
    def wants_stop(self) -> bool:
        """Whether the core asks for the belt to be stopped, for its decisions can't be kept."""
        return bool(self.shared["wants_stop"][0])

    @property
    def stop_step(self) -> int:
        """How far the line has been told to stop: 0 not at all; see `work.STOPS_IN`."""
        return int(self.shared["stop"][0])

    @property
    def stopping(self) -> bool:
        """Whether the line has been told to stop."""
        return self.stop_step > 0


class Station:
    """One process's own place on the board."""

    def __init__(self, row: Any) -> None:
        self._row = row
        self._counter = row["counter"]
        self._times = row["times"]

    def begin(self) -> None:
        """Write who does this work from now on."""
        self._row["pid"], self._row["ready"] = os.getpid(), 0
        self._row["epoch"] += 1
        self._row["gone"] = 0
        self.set("devices_gone", 0)
        self.beat()

    def count_start(self) -> None:
        """Have the place waiting for a process that was just started."""
        self._row["ready"] = 0
        self.beat()

    def beat(self) -> None:
        """Show that the process lives."""
        self._row["beat_ns"] = time.monotonic_ns()

    def ready(self) -> None:
        """Show that it works."""
        self._row["ready"] = 1
        self.beat()

    @property
    def is_ready(self) -> bool:
        return bool(self._row["ready"])

    @property
    def works(self) -> bool:
        """Whether the process is there, and so are its devices."""
        return self.is_ready and not self._row["gone"]

    def is_gone(self, device: int) -> bool:
        """Say whether one of the process's devices, by its number, does not answer."""
        return bool(int(self._row["gone"]) >> device & 1)

    def set_gone(self, device: int, gone: bool) -> None:
        """Write whether a device answers."""
        others = int(self._row["gone"]) & ~(1 << device)
        self._row["gone"] = others | gone << device
        self.set("devices_gone", int(self._row["gone"]).bit_count())

    @property
    def epoch(self) -> int:
        """How many processes have done this work."""
        return int(self._row["epoch"])

    @property
    def silent_s(self) -> float:
        """Seconds since the last `beat`."""
        return (time.monotonic_ns() - int(self._row["beat_ns"])) / 1e9

    def count(self, name: str, n: int = 1) -> None:
        """Add to one of `COUNTERS`."""
        self._counter[_COUNTER[name]] += n

    def set(self, name: str, value: int) -> None:
        """Set one of `LEVELS`."""
        self._counter[_COUNTER[name]] = value

    def counted(self) -> dict[str, int]:
        """Return all `COUNTERS`."""
        return dict(zip(COUNTERS, self._counter.tolist(), strict=False))

    def levels(self) -> dict[str, int]:
        """Return all `LEVELS`."""
        return dict(zip(LEVELS, self._counter[len(COUNTERS) :].tolist(), strict=True))

    def looked(self, number: int) -> None:
        """Write, for the core on a camera's place, which frame it looks at, and how many newer ones lie in the ring at most."""
        lag = int(self._counter[_COUNTER["ring_newest"]]) - number
        self.set("ring_looked", number)
        self.set("ring_lag_most", max(lag, int(self._counter[_COUNTER["ring_lag_most"]])))

    def took(self, stage: str, ns: int) -> None:
        """Add a time to the histogram of a stage."""
        octaves = np.log2(max(ns / 1000 / BIN_0_US, 1.0))
        self._times[_STAGE[stage], min(int(8 * octaves), BINS - 1)] += 1

    def times(self, stage: str) -> NDArray[np.int64]:
        """Return the histogram of a stage, (`BINS`,)."""
        return np.array(self._times[_STAGE[stage]])


_COUNTER = {name: k for k, name in enumerate((*COUNTERS, *LEVELS))}
_STAGE = {name: k for k, name in enumerate(STAGES)}


def least_us(histogram: NDArray[np.int64]) -> float:
    """Return the least time of a histogram, in us: the lower edge of its bin, 0 of the first; NaN of an empty one."""
    found = np.flatnonzero(histogram)
    return float("nan") if not len(found) else float(BIN_0_US * 2 ** (found[0] / 8)) if found[0] else 0.0


def quantile_us(histogram: NDArray[np.int64], share: float) -> float:
    """Return the time below which a share of a histogram lies, in us; the upper edge of its bin, NaN of an empty one."""
    total = int(histogram.sum())
    if not total:
        return float("nan")
    index = int(np.searchsorted(np.cumsum(histogram), share * total))
    return float(BIN_0_US * 2 ** ((index + 1) / 8))
