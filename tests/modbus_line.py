"""What the tests of the PLC share: a line, a clock that moves only when told, and a PLC served by it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from citrus_grade import templates
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.modbus.client import ModbusPlc, open_at
from citrus_grade.drivers.modbus.emulated import EmulatedPlc
from citrus_grade.drivers.modbus.server import PlcServer
from citrus_grade.messages import Ejection

CONFIG: LineConfig = load(templates.LINE)
TICKS = int(CONFIG.encoder.ratio)
CUPS_PER_S = 10
START_NS = 1_000_000_000
Row = tuple[int, int, int, int]


def with_encoder(ticks_per_cup: str | int, bits: int) -> LineConfig:
    """Return the line with another encoder."""
    encoder = CONFIG.encoder.model_copy(update={"ticks_per_cup": ticks_per_cup, "bits": bits})
    return CONFIG.model_copy(update={"encoder": encoder})


@dataclass
class Clock:
    """Host time and belt of one emulated line."""

    now_ns: int = START_NS
    cups_per_s: int = CUPS_PER_S
    moved: Fraction = Fraction(0)
    since_ns: int = START_NS

    def __call__(self) -> int:
        return self.now_ns

    def belt(self, at_ns: int) -> Fraction:
        return self.moved + Fraction(self.cups_per_s * (at_ns - self.since_ns), 1_000_000_000)

    def speed(self, cups_per_s: int) -> None:
        self.moved, self.since_ns, self.cups_per_s = self.belt(self.now_ns), self.now_ns, cups_per_s


@dataclass
class Emulated:
    """A served PLC, its clock, and what fell."""

    server: PlcServer
    clock: Clock
    config: LineConfig
    fell: list[Row]
    opened: list[ModbusPlc] = field(default_factory=list)

    @property
    def plc(self) -> EmulatedPlc:
        return self.server.plc

    def open(self, **section: Any) -> ModbusPlc:
        return self.open_at(self.server.url, **section)

    def open_at(self, url: str, **section: Any) -> ModbusPlc:
        plc = open_at({"driver": "modbus", "url": url, "timeout_ms": 300} | section, self.config)
        plc._beats_apart_ns = 0  # the clock of these PLCs runs ahead of the host's
        self.opened.append(plc)
        return plc

    def go(self, cups: float) -> None:
        """Let the belt move, in steps as coarse as a PLC's scan is fine."""
        until = self.clock.now_ns + round(cups / max(abs(self.clock.cups_per_s), 1) * 1e9)
        while self.clock.now_ns < until:
            self.clock.now_ns = min(self.clock.now_ns + 20_000_000, until)
            self.server.advance()

    def tick(self) -> int:
        return int(self.clock.belt(self.clock.now_ns) * self.config.encoder.ratio)


@contextmanager
def emulated(config: LineConfig = CONFIG, url: str = "tcp://127.0.0.1:0", base: int = 0, **faults: Any) -> Iterator[Emulated]:
    """Serve the PLC of a line."""
    clock = Clock()
    fell: list[Row] = []
    plc = EmulatedPlc(config, clock.belt, fell=lambda *row: fell.append(row), **faults)
    with PlcServer(plc, url, clock, base=base) as server:
        line = Emulated(server, clock, config, fell)
        try:
            yield line
        finally:
            for client in line.opened:
                client.close()


def ahead(line: Emulated, cups: float, *, lane: int = 0, outlet: int = 0, cup: int = 7) -> Ejection:
    """Return an ejection so many pitches ahead."""
    return Ejection(lane, cup, outlet, line.tick() + round(cups * line.config.encoder.ratio))
