"""A PLC that is emulated: it counts a belt, executes its queue by an exact scheduler, and reports what its outlets do.

It knows registers and a clock, no network: `server` puts it on one.
"""

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final, NamedTuple

from citrus_grade.config import LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.sim.shutters import Shutters
from citrus_grade.messages import Position

Belt = Callable[[int], Fraction | float]
"""Host time in ns -> how many pitches the belt has moved; may be asked for any time up to the present."""
Fell = Callable[[int, int, int, int], None]
"""(lane, outlet, tick of the belt, cup as the PC named it or -1): a fruit was let fall."""
Drive = Callable[[int, bool, int], None]
"""(host time in ns, run, wanted ticks/s): what the belt is to do."""

QUEUE_ROOM: Final = 512
WATCHDOG_MS: Final = 2000
SPEED_OVER_NS: Final = 10_000_000
MOST_FLAGS: Final = 16
"""Flags reported at once after a pause: more would write over what outlets report."""


class Shot(NamedTuple):
    """A queued ejection: ``fire`` in ticks of the belt."""

    fire: int
    lane: int
    outlet: int
    hold: int
    cup: int


@dataclass(slots=True)
class Memory:
    """What a loss of power wipes. ``queue`` has one heap an outlet, ``falling`` (when in ns, what) what is about to drop,
    ``ready_ns`` when an outlet of a lane can fire again."""

    queue: list[list[Shot]]
    jammed: list[int]
    falling: list[tuple[int, Shot]] = field(default_factory=list)
    ready_ns: dict[tuple[int, int], int] = field(default_factory=dict)
    full: int = 0
    scans: int = 0
    ack: int = 0
    taken: int = 0
    head: int = 0
    now_ns: int = 0
    heard_ns: int = 0
    alive: bool = False

    @property
    def queued(self) -> int:
        """Entries that wait."""
        return sum(map(len, self.queue))


class EmulatedPlc:
    """The PLC of a line.

    Call `advance` now and then, with rising times; what happened between two calls is placed to the microsecond.

    Parameters
    ----------
    fell : told of every fruit an outlet lets fall. drive : told whether the belt is to run, and how fast, when that changes.
    delay_ms : what each outlet really takes from coil to drop; as configured if left out. way_cups : how far the belt moves on
        top of that, until the drop sensor sees the fruit. recover_ms : how soon each outlet can fire again on a lane.
    first_count : the encoder's counter where the belt has not moved yet. backwards : the encoder counts down.
    index_sensor : lane 0 has a sensor that a cup's flag passes at every whole pitch.
    shutters : of the lanes' spectrometers, where it moves any; those of lanes in ``stuck`` do not follow.
    """

    def __init__(
        self,
        config: LineConfig,
        belt: Belt,
        *,
        fell: Fell | None = None,
        drive: Drive | None = None,
        delay_ms: Sequence[float] | None = None,
        way_cups: Sequence[float] | None = None,
        recover_ms: Sequence[float] | None = None,
        first_count: int = 0,
        backwards: bool = False,
        drop_sensor: bool = False,
        index_sensor: bool = False,
        queue_room: int = QUEUE_ROOM,
        watchdog_ms: int = WATCHDOG_MS,
        shutters: Shutters | None = None,
    ) -> None:
        self._belt, self._fell, self._drive = belt, fell, drive
        ratio = config.encoder.ratio
        # A whole number is worked with ten times as fast as a fraction.
        self._ratio: Fraction | int = int(ratio) if ratio.denominator == 1 else ratio
        self._bits = min(config.encoder.bits, 32)
        self._lanes, self._outlets = config.line.lanes, len(config.outlet)
        self._delay_ns = [round(1e6 * ms) for ms in delay_ms or [outlet.latency_ms for outlet in config.outlet]]
        self._way = [round(cups * self._ratio) for cups in way_cups or [0.0] * self._outlets]
        self._recover_ns = [round(1e6 * ms) for ms in recover_ms or [0.0] * self._outlets]
        self._first_count, self._sign = first_count, -1 if backwards else 1
        self._steered = (False, 0)
        self._flags = math.floor(belt(0)) if index_sensor else None
        self._drop_sensor, self._room, self._watchdog_ms = drop_sensor, queue_room, watchdog_ms
        self.words = [0] * m.MAP_WORDS
        self.emergency_stop = False
        self._shutters = shutters
        self.stuck: set[int] = set()
        self._boot = 0
        self._memory = self._wiped()
        self._write_identity(config)

    def advance(self, now_ns: int) -> None:
        """Let everything happen that is due by ``now_ns``."""
        for shot in sorted(self._due(now_ns)):
            self._fire(shot, now_ns)
        while self._memory.falling and self._memory.falling[0][0] <= now_ns:
            self._drop(*heapq.heappop(self._memory.falling))
        if self._memory.alive and now_ns - self._memory.heard_ns > self._watchdog_ms * 1_000_000:
            self._memory.alive = False
            self.words[m.COMMAND.at("run")] = 0
            self._empty(now_ns)
        self._steer(now_ns)
        self._pass_flags(now_ns)
        if self._shutters:
            self._move_shutters(self._shutters, now_ns)
        self._memory.now_ns = now_ns
        self._write_status(now_ns)

    def write(self, now_ns: int, address: int, values: Sequence[int]) -> None:
        """Take what the PC writes."""
        heard = self.words[m.COMMAND.at("heartbeat")]
        self.words[address : address + len(values)] = values
        if self.words[m.COMMAND.at("heartbeat")] != heard:
            self._memory.alive, self._memory.heard_ns = True, now_ns
        self._steer(now_ns)
        if address == m.QUEUE.address:
            self._take_block(now_ns)
        self._write_status(now_ns)

    def set_full(self, outlet: int, full: bool) -> None:
        """Fill or empty the packing place of an outlet."""
        bit = 1 << outlet
        self._memory.full = self._memory.full | bit if full else self._memory.full & ~bit
        self._report(m.FULL if full else m.CLEAR, self._count(self._memory.now_ns), m.ALL_LANES, outlet)

    def set_jammed(self, lane: int, outlet: int, jammed: bool) -> None:
        """Jam or free one outlet of one lane."""
        bit = 1 << outlet
        self._memory.jammed[lane] = self._memory.jammed[lane] | bit if jammed else self._memory.jammed[lane] & ~bit
        self._report(m.JAM if jammed else m.CLEAR, self._count(self._memory.now_ns), lane, outlet)

    def pass_flag(self, lane: int, now_ns: int) -> None:
        """Let a cup's flag pass the cup-index sensor of a lane."""
        self._report(m.CUP_INDEX, self._count(now_ns), lane, 0)

    def restart(self, now_ns: int) -> None:
        """Lose power for a moment: the queue is gone and the counter begins at 0."""
        self._boot += 1
        self._memory = self._wiped()
        self._first_count = -self._sign * self._ticks(now_ns)
        self.words[m.COMMAND.address : m.REPORT.address] = [0] * (m.REPORT.address - m.COMMAND.address)
        self.advance(now_ns)

    def _wiped(self) -> Memory:
        return Memory([[] for _outlet in range(self._outlets)], [0] * self._lanes, ack=4096 * self._boot & 0xFFFF)

    def _ticks(self, at_ns: int) -> int:
        return int(self._belt(at_ns) * self._ratio)

    def _count(self, at_ns: int) -> int:
        return self._at(self._ticks(at_ns))

    def _at(self, ticks: int) -> int:
        """Return what the counter shows where the belt has moved so many ticks."""
        return (self._first_count + self._sign * ticks) % (1 << self._bits)

    def _speed(self, now_ns: int) -> Fraction | float:
        """Ticks a second."""
        return (self._belt(now_ns) - self._belt(now_ns - SPEED_OVER_NS)) * self._ratio * (1_000_000_000 // SPEED_OVER_NS)

    def _ahead(self, outlet: int, now_ns: int) -> int:
        """How many ticks before the fruit the coil goes on: its latency at the present speed."""
        latency_s = self.words[m.LATENCY.at("latency", outlet)] * m.LATENCY_UNIT_MS / 1000
        return round(latency_s * float(self._speed(now_ns)))

    def _due(self, now_ns: int) -> Iterator[Shot]:
        """Take from the queue whose coil goes on by ``now_ns``."""
        count = self._ticks(now_ns)
        for outlet, queue in enumerate(self._memory.queue):
            ahead = self._ahead(outlet, now_ns) if queue else 0
            while queue and queue[0].fire - ahead <= count:
                yield heapq.heappop(queue)

    def _fire(self, shot: Shot, now_ns: int) -> None:
        on_ns = self._when(shot.fire - self._ahead(shot.outlet, now_ns), now_ns)
        if self.emergency_stop:
            self._report(m.LATE, self._count(on_ns), shot.lane, shot.outlet, shot.cup)
            return
        if self._memory.jammed[shot.lane] >> shot.outlet & 1:
            self._report(m.JAM, self._count(on_ns), shot.lane, shot.outlet, shot.cup)
            return
        self._report(m.FIRED, self._count(on_ns), shot.lane, shot.outlet, shot.cup)
        place = shot.lane, shot.outlet
        if on_ns >= self._memory.ready_ns.get(place, on_ns):
            self._memory.ready_ns[place] = on_ns + self._recover_ns[shot.outlet]
            heapq.heappush(self._memory.falling, (on_ns + self._delay_ns[shot.outlet], shot))

    def _when(self, ticks: int, now_ns: int) -> int:
        """Return when the belt reached ``ticks``, to the microsecond."""
        early, late = self._memory.now_ns, now_ns
        while late - early > 1000:
            middle = (early + late) // 2
            early, late = (early, middle) if self._ticks(middle) >= ticks else (middle, late)
        return late

    def _drop(self, at_ns: int, shot: Shot) -> None:
        tick = self._ticks(at_ns)
        if self._drop_sensor:
            seen = self._count(at_ns) + self._sign * self._way[shot.outlet]
            self._report(m.DROP, seen % (1 << self._bits), shot.lane, shot.outlet, shot.cup)
        if self._fell:
            self._fell(shot.lane, shot.outlet, tick, shot.cup)
            # An outlet that is held longer than a pitch takes the fruit behind, too.
            for behind in range(1, int(shot.hold / self._ratio) + 1):
                self._fell(shot.lane, shot.outlet, tick + round(behind * self._ratio), m.NO_CUP)

    def _pass_flags(self, now_ns: int) -> None:
        pitch = math.floor(self._belt(now_ns))
        if self._flags is None or pitch <= self._flags:
            return
        for flag in range(max(self._flags + 1, pitch - MOST_FLAGS), pitch + 1):
            self._report(m.CUP_INDEX, self._at(int(flag * self._ratio)), 0, 0)
        self._flags = pitch

    def _steer(self, now_ns: int) -> None:
        """Let the belt run while the PC lives and permits it, and no emergency stop is pressed."""
        at = m.COMMAND.at("speed_setpoint")
        run = self._memory.alive and self.words[m.COMMAND.at("run")] == 1 and not self.emergency_stop
        wanted = run, m.join(self.words[at : at + 2])
        if self._drive and wanted != self._steered:
            self._drive(now_ns, *wanted)
        self._steered = wanted

    def _empty(self, now_ns: int) -> None:
        """Let all that is queued run to the default outlet."""
        for queue in self._memory.queue:
            for shot in sorted(queue):
                self._report(m.LATE, self._count(now_ns), shot.lane, shot.outlet, shot.cup)
            queue.clear()

    def _move_shutters(self, shutters: Shutters, now_ns: int) -> None:
        for lane in set(range(self._lanes)) - self.stuck:
            wanted = self.words[m.SHUTTER.at("wanted", lane)] if self._memory.alive else Position.OPEN
            if wanted < Position.BETWEEN and wanted != shutters.goes_to(lane):
                shutters.move(lane, Position(wanted), now_ns)
        for lane, position, since_ns in shutters.changed(now_ns):
            self.words[m.SHUTTER_AT.at("position", lane)] = position
            self._report(m.SHUTTER_STANDS, self._count(max(since_ns, self._memory.now_ns or now_ns)), lane, position)

    def _take_block(self, now_ns: int) -> None:
        sequence, entries = self.words[m.QUEUE.address], self.words[m.QUEUE.at("entries")]
        end = m.QUEUE_ENTRY.address + entries * m.QUEUE_ENTRY.words
        if not 1 <= entries <= m.QUEUE_ENTRIES or self.words[end] != sequence or sequence != self._memory.ack + 1 & 0xFFFF:
            return
        rows = [self.words[at : at + m.ENTRY_WORDS] for at in range(m.QUEUE_ENTRY.address, end, m.ENTRY_WORDS)]
        free = self._room - self._memory.queued if self._memory.alive else 0
        for row in rows[:free]:
            self._take(m.unpack(m.ENTRY, row), now_ns)
        self._memory.ack, self._memory.taken = sequence, min(len(rows), free)

    def _take(self, entry: dict[str, int], now_ns: int) -> None:
        lane, outlet, cup = entry["lane"], entry["outlet"], entry["cup"]
        half, span = 1 << self._bits >> 1, 1 << self._bits
        ahead = (entry["fire_count"] - self._count(now_ns) + half) % span - half
        if lane >= self._lanes or outlet >= self._outlets or ahead <= self._ahead(outlet, now_ns):
            self._report(m.LATE, self._count(now_ns), lane, outlet, cup)
        else:
            heapq.heappush(self._memory.queue[outlet], Shot(self._ticks(now_ns) + ahead, lane, outlet, entry["hold_ticks"], cup))

    def _report(self, state: int, count: int, lane: int, outlet: int, cup: int = m.NO_CUP) -> None:
        self._memory.head = self._memory.head + 1 & 0xFFFF
        at = m.REPORT.at("number", self._memory.head % m.REPORT_RING)
        self.words[at : at + m.REPORT.words] = m.pack(
            m.REPORT.registers, number=self._memory.head, state=state, count=count, lane=lane, outlet=outlet, cup=cup
        )

    def _write_identity(self, config: LineConfig) -> None:
        said = {
            "magic": m.MAGIC,
            "map_version": m.MAP_VERSION,
            "encoder_bits": self._bits,
            "lanes": self._lanes,
            "outlets": self._outlets,
            "ticks_per_cup": self._ratio.numerator,
            "ticks_per_cup_divisor": self._ratio.denominator,
            "watchdog_ms": self._watchdog_ms,
            "simulated": 1,
            "shutters": self._lanes if self._shutters else 0,
            "attenuators": self._lanes if self._shutters else 0,
        }
        words = [
            m.pack_text(config.line.name, r.words) if r.kind == "text" else m.split(said[r.name], r.words)
            for r in m.IDENTITY.registers
        ]
        self.words[m.IDENTITY.address : m.IDENTITY.address + m.IDENTITY.words] = [word for value in words for word in value]

    def _write_status(self, now_ns: int) -> None:
        self._memory.scans += 1
        count, speed = self._count(now_ns), self._sign * round(self._speed(now_ns))
        state = m.EMERGENCY_STOP if self.emergency_stop else m.RUNNING if speed else m.STOPPED
        status = m.pack(
            m.STATUS.registers,
            count=count,
            speed=speed,
            pitches=int(self._belt(now_ns)),
            state=state,
            heartbeat=self._memory.scans,
            boot=self._boot,
            queue_ack=self._memory.ack,
            queue_taken=self._memory.taken,
            queue_free=self._room - self._memory.queued,
            report_head=self._memory.head,
            full=self._memory.full,
            count_copy=count,
        )
        jammed = [word for lane in self._memory.jammed for word in m.split(lane, 2)]
        self.words[m.STATUS.address : m.STATUS.address + len(status) + len(jammed)] = [*status, *jammed]
