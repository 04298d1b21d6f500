"""The PLC that counts the belt and fires the outlets, over Modbus; see `ports.Plc` and ``docs/plc.md``."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

from citrus_grade.config import LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.checks import check_line, check_map, reversed_encoder
from citrus_grade.drivers.modbus.look import BEATS, Registers, Status, look_at, positions_of, read_status, torn
from citrus_grade.drivers.modbus.options import options_of
from citrus_grade.drivers.modbus.reports import Drop, Reports
from citrus_grade.drivers.modbus.wire import Wire
from citrus_grade.geometry import Unwrapper
from citrus_grade.messages import Ejection, Position, Shutter
from citrus_grade.ports import DeviceGone, Found, PlcState
from citrus_grade.words import _

REVERSE_CUPS: Final = 2
REVERSE_CUPS_PER_S: Final = 0.5
"""A belt that starts or stops may roll back a little; so far or so fast it runs the wrong way."""
ACK_PAUSE_S: Final = 0.0005
DROPS_KEPT: Final = 1024


class PlcOptions(Protocol):
    """What the client wants to know of any PLC."""

    @property
    def url(self) -> str:
        """Where it is, for messages."""
        ...

    @property
    def timeout_ms(self) -> float:
        """How long it may take to acknowledge."""
        ...

    @property
    def hold_cups(self) -> float:
        """How long a coil stays on."""
        ...


def open_plc(config: LineConfig) -> "ModbusPlc":
    """Open the PLC that ``[plc]`` of a line names; see `open_at`."""
    return open_at(config.plc, config)


def look(config: LineConfig) -> Found:
    """Look at the PLC that ``[plc]`` of a line names; see `ports.Found`."""
    options = options_of(config.plc)
    wire = Wire(options)
    wire.connect()
    return look_at(wire, options.url, config)


def open_at(section: dict[str, Any], config: LineConfig) -> "ModbusPlc":
    """Open the PLC that a section of ``line.toml`` names, and check that it is this line's.

    Raises
    ------
    ConfigError : naming each bad key of the section.
    DeviceError : if it is not a PLC of this line; saying what to change, there or in ``line.toml``.
    DeviceGone : if nothing answers.
    """
    options = options_of(section)
    wire = Wire(options)
    wire.connect()
    return connect(wire, options, config)


def connect(wire: Registers, options: PlcOptions, config: LineConfig) -> "ModbusPlc":
    """Make the PLC of an open connection; closes it where that fails. Raises as `open_plc`."""
    try:
        words = wire.read(m.IDENTITY.address, m.IDENTITY.words)
        said = check_map(words, options.url)
        check_line(words, said, config, options.url)
        wire.write(m.LATENCY.address, [round(outlet.latency_ms / m.LATENCY_UNIT_MS) for outlet in config.outlet])
        return ModbusPlc(wire, options, config, said)
    except Exception:
        wire.close()
        raise


class ModbusPlc:
    """A PLC with the register map of ``docs/plc.md``, behind Modbus or another wire; see `ports.Plc`.

    Ticks of ejections count as `PlcState.count` does, unwrapped: modulo the counter's range they are what it will show.
    ``lost`` counts reports that the PLC wrote over before they were read; after a loss, and at the first look, the present
    state of every outlet is reported anew. ``simulated`` : the PLC says that it is an emulated one. ``positions`` : of the
    spectrometers' shutters, none where it moves none; see `ports.Shutters`.
    """

    def __init__(self, wire: Registers, options: PlcOptions, config: LineConfig, said: dict[str, int]) -> None:
        self._wire, self._options = wire, options
        self._lanes, self._ratio, self._bits = config.line.lanes, config.encoder.ratio, config.encoder.bits
        self._hold_ticks = round(options.hold_cups * self._ratio)
        self._watchdog_ns = said["watchdog_ms"] * 1_000_000
        self._beats_apart_ns = self._watchdog_ns // BEATS
        self.simulated = said["simulated"] != 0
        marked = ", SIMULATED" if self.simulated else ""
        self.identity = f"{config.line.name}, {options.url}, map {m.MAP_VERSION}{marked}"
        # A block that a connection before this one has written and the PLC not taken, it must not take later.
        wire.write(m.QUEUE.address, [self._look().status["queue_ack"], 0])
        look = self._look()
        self._boot = look.status["boot"]
        self._sequence = look.status["queue_ack"]
        self.positions = positions_of(said)
        self._wanted = [int(Position.OPEN)] * self._lanes
        known = options.url, config.line.lanes, len(config.outlet), look.status["report_head"]
        self._reports = Reports(wire.read, *known, shutters=bool(self.positions))
        self._unwrap = Unwrapper(self._bits)
        self._highest = self._unwrap(look.status["count"])
        self._beat, self._beat_ns = look.status["heartbeat"], look.t_ns
        if self.positions:
            self.move([])  # what another has left there must not move them once this side shows that it lives
        # A beat that the PLC has seen already would not show that this side is alive.
        self._heartbeat = wire.read(m.COMMAND.at("heartbeat"), 1)[0]
        self._shown_ns = 0
        self._driven: list[int] = []
        self._show_alive()
        self._drops: deque[Drop] = deque(maxlen=DROPS_KEPT)
        if look.status["state"] == m.RUNNING and look.status["speed"] < -REVERSE_CUPS_PER_S * self._ratio:
            raise reversed_encoder(options.url)

    @property
    def lost(self) -> int:
        """Reports that were never read."""
        return self._reports.lost

    def resume(self, boot: int, report: int) -> None:
        """Go on after ``report``, the last that was of use, in the PLC's life ``boot``, and report the present state of every
        outlet anew; see `ports.Resumable`. After a restart that is every report since."""
        self._reports.resume(report if boot == self._boot else 0)

    def poll(self) -> PlcState:
        """Look once, and show that this side is alive.

        Raises
        ------
        DeviceGone : if the PLC does not answer, or has restarted.
        DeviceError : if it does not keep to the map, or its encoder runs backwards.
        """
        self._show_alive()
        look = self._look()
        status = look.status
        self._check_boot(status)
        self._check_direction(look)
        if status["heartbeat"] != self._beat:
            self._beat, self._beat_ns = status["heartbeat"], look.t_ns
        self._sequence = status["queue_ack"]
        lost = self._reports.lost
        news = self._reports.read(look.t_ns, status, look.jammed)
        self._drops += news.drops
        return PlcState(
            t_ns=look.t_ns,
            count=status["count"],
            reports=news.reports,
            index_counts=news.index_counts,
            running=status["state"] == m.RUNNING,
            emergency=status["state"] == m.EMERGENCY_STOP,
            heartbeat_ok=look.t_ns - self._beat_ns <= self._watchdog_ns,
            boot=self._boot,
            lost=self._reports.lost - lost,
            shutters=news.shutters,
            report=self._reports.tail,
            pitches=status["pitches"] or -1,  # a PLC that leaves the register free, or has just begun, says nothing by it
        )

    def eject(self, ejections: list[Ejection]) -> int:
        """Queue ejections; return how many of the first were taken, the rest found the queue full.

        Where an answer is lost, the PLC is asked what it took last; only what it did not take is sent again, under the same
        sequence, which a PLC never takes twice.

        Raises
        ------
        DeviceGone : if the PLC does not answer, or takes nothing.
        """
        taken = 0
        while taken < len(ejections):
            block = ejections[taken : taken + m.QUEUE_ENTRIES]
            took = self._send(block)
            taken += took
            if took < len(block):
                break
        return taken

    def move(self, shutters: list[Shutter]) -> None:
        """Say where shutters are to stand; the others are told anew where they are to.

        Raises
        ------
        DeviceGone : if the PLC does not answer.
        """
        for shutter in shutters:
            self._wanted[shutter.lane] = int(shutter.position)
        self._wire.write(m.SHUTTER.address, self._wanted)

    def drive(self, *, run: bool, cups_per_s: float) -> None:
        """Permit the belt to run, or have it stop; ``cups_per_s`` is the speed wanted. The PLC has the last word.

        Raises
        ------
        DeviceGone : if the PLC does not answer.
        """
        self._driven = [int(run), *m.split(round(cups_per_s * self._ratio), 2)]
        self._wire.write(m.COMMAND.at("run"), self._driven)

    def halt(self) -> None:
        """Have the belt stop, over a new connection where this one is closed; nothing but an answer makes sure of it.

        Raises
        ------
        DeviceGone : if the PLC does not answer either way.
        """
        self._driven = [0] * 3
        try:
            self._wire.write(m.COMMAND.at("run"), self._driven)
        except DeviceGone:
            self._wire.connect()
            self._wire.write(m.COMMAND.at("run"), self._driven)

    def drops(self) -> list[Drop]:
        """Return what the drop sensors saw since the last call, as far as looks have brought it."""
        taken = list(self._drops)
        self._drops.clear()
        return taken

    def close(self) -> None:
        """Let go of the PLC; what is queued in it stays queued until its watchdog misses this side."""
        self._wire.close()

    def _show_alive(self) -> None:
        """Let the heartbeat rise, if it is time: a request a look less, for a PLC that may have few to give. With it goes
        what the belt is to do, which a PLC that missed this side has forgotten."""
        now_ns = time.monotonic_ns()
        if now_ns - self._shown_ns < self._beats_apart_ns:
            return
        self._heartbeat, self._shown_ns = self._heartbeat + 1 & 0xFFFF, now_ns
        self._wire.write(m.COMMAND.at("heartbeat"), [self._heartbeat, *self._driven])

    def _look(self) -> Status:
        found = read_status(self._wire, self._lanes)
        if found is None:
            raise self._gone(torn())
        return found

    def _check_boot(self, status: dict[str, int]) -> None:
        if status["boot"] != self._boot:
            raise self._gone(_("it has restarted: its queue is empty and its counter began anew"))

    def _check_direction(self, look: Status) -> None:
        count = self._unwrap(look.status["count"])
        if look.status["state"] != m.RUNNING:
            self._highest = count
        self._highest = max(self._highest, count)
        if count < self._highest - REVERSE_CUPS * self._ratio:
            self._wire.close()
            raise reversed_encoder(self._options.url)

    def _send(self, block: Sequence[Ejection]) -> int:
        sequence = self._sequence + 1 & 0xFFFF
        words = self._block(sequence, block)
        try:
            self._wire.write(m.QUEUE.address, words)
        except DeviceGone:
            self._wire.connect()
            status = self._look().status
            self._check_boot(status)
            if status["queue_ack"] != sequence:
                self._wire.write(m.QUEUE.address, words)
        return self._acknowledged(sequence, len(block))

    def _block(self, sequence: int, block: Sequence[Ejection]) -> list[int]:
        words = m.pack(m.QUEUE.registers, sequence=sequence, entries=len(block))
        for e in block:
            fire = e.fire_tick % (1 << self._bits)
            words += m.pack(m.ENTRY, lane=e.lane, outlet=e.outlet, fire_count=fire, hold_ticks=self._hold_ticks, cup=e.cup)
        return [*words, sequence]

    def _acknowledged(self, sequence: int, entries: int) -> int:
        """Wait until the PLC has taken a block; return how many of its entries found room."""
        until = time.monotonic() + self._options.timeout_ms / 1000
        while True:
            status = self._look().status
            self._check_boot(status)
            if status["queue_ack"] == sequence and status["queue_taken"] <= entries:
                self._sequence = sequence
                return status["queue_taken"]
            if time.monotonic() >= until:
                raise self._gone(
                    _("it takes no ejections, its queue_ack stays at {ack}; see that its program runs").format(
                        ack=status["queue_ack"]
                    )
                )
            time.sleep(ACK_PAUSE_S)

    def _gone(self, why: str) -> DeviceGone:
        self._wire.close()
        return DeviceGone(_("the PLC at {url} is gone: {why}").format(url=self._options.url, why=why))
