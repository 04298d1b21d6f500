"""A PLC looked at: what it says of itself and of the belt, and nothing in it changed."""

import time
from typing import Final, NamedTuple, Protocol

from citrus_grade.config import LineConfig
from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.checks import check_line, check_map, reversed_encoder
from citrus_grade.messages import Position
from citrus_grade.ports import DeviceBusy, DeviceGone, Found
from citrus_grade.words import N_, _

TORN_READINGS: Final = 5
BEATS: Final = 8
"""So often the heartbeat rises within the time after which the PLC would miss it."""
LEAST_APART_S, MOST_APART_S = 0.25, 2.0
"""Between two readings: any PLC has gone through its program meanwhile, and whoever drives it has shown that it lives."""
REVERSE_CUPS: Final = 0.05
"""A belt that stands may tremble so far."""
STATES: Final = {m.STOPPED: N_("the belt stands"), m.RUNNING: N_("the belt runs"), m.EMERGENCY_STOP: N_("emergency stop")}


class Registers(Protocol):
    """The register map behind some wire; each verb raises `DeviceGone` or `DeviceError` and nothing else."""

    def read(self, address: int, words: int) -> list[int]:
        """Return registers."""
        ...

    def write(self, address: int, words: list[int]) -> None:
        """Set registers."""
        ...

    def connect(self) -> None:
        """Open the connection, anew if it is open."""
        ...

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...


class Status(NamedTuple):
    """One reading of the status: at the host's ``t_ns`` it was ``status``; ``jammed`` has one number a lane."""

    t_ns: int
    status: dict[str, int]
    jammed: tuple[int, ...]


def read_status(wire: Registers, lanes: int) -> Status | None:
    """Read the status until it was not changed while it was read; None if it always is."""
    for _reading in range(TORN_READINGS):
        before_ns = time.monotonic_ns()
        words = wire.read(m.STATUS.address, m.STATUS.words + lanes * m.JAMMED.words)
        t_ns = (before_ns + time.monotonic_ns()) // 2
        status = m.unpack(m.STATUS.registers, words)
        if status["count"] == status["count_copy"]:
            jammed = words[m.STATUS.words :]
            return Status(t_ns, status, tuple(m.join(jammed[i : i + 2]) for i in range(0, len(jammed), 2)))
    return None


def torn() -> str:
    """Say that no reading was whole, and what to do."""
    return _("{n} readings of its status were torn; let its program set count and count_copy together").format(n=TORN_READINGS)


def positions_of(said: dict[str, int]) -> frozenset[Position]:
    """Return where a PLC of this identity can have shutters stand."""
    if not said["shutters"]:
        return frozenset()
    return frozenset((Position.OPEN, Position.CLOSED, *((Position.ATTENUATOR,) if said["attenuators"] else ())))


def look_at(wire: Registers, url: str, config: LineConfig) -> Found:
    """Look at the PLC behind an open connection, and close it.

    Raises
    ------
    DeviceError : if it is not a PLC of this line, or its encoder runs backwards. DeviceBusy : if another program drives it.
    DeviceGone : if it does not answer.
    """
    try:
        words = wire.read(m.IDENTITY.address, m.IDENTITY.words)
        said = check_map(words, url)
        check_line(words, said, config, url)
        first, beat = _read(wire, url, config), _beat_of_pc(wire)
        time.sleep(_apart_s(said["watchdog_ms"]))
        second = _read(wire, url, config)
        if _beat_of_pc(wire) != beat:
            raise DeviceBusy(
                _("the PLC at {url}: another program drives it now; end that run first (`citrus-grade status RUN`)").format(
                    url=url
                )
            )
        _check_direction(first, second, config, url)
        return Found(_identity(said, second, config, url), _cautions(first, second), positions_of(said))
    finally:
        wire.close()


def _read(wire: Registers, url: str, config: LineConfig) -> dict[str, int]:
    found = read_status(wire, config.line.lanes)
    if found is None:
        raise DeviceGone(_("the PLC at {url} is gone: {why}").format(url=url, why=torn()))
    return found.status


def _apart_s(watchdog_ms: int) -> float:
    """Return how long to wait until a heartbeat of the PC must have risen."""
    return min(max(1.5 * watchdog_ms / 1000 / BEATS, LEAST_APART_S), MOST_APART_S)


def _beat_of_pc(wire: Registers) -> int:
    return wire.read(m.COMMAND.at("heartbeat"), 1)[0]


def _moved_ticks(first: dict[str, int], second: dict[str, int], bits: int) -> int:
    half = 1 << bits >> 1
    return (second["count"] - first["count"] + half) % (2 * half) - half


def _check_direction(first: dict[str, int], second: dict[str, int], config: LineConfig, url: str) -> None:
    """A counter may fall a little where the belt stands; one that falls while the belt runs is wired the wrong way."""
    running = first["state"] == second["state"] == m.RUNNING
    if running and _moved_ticks(first, second, config.encoder.bits) < -REVERSE_CUPS * config.encoder.ratio:
        raise reversed_encoder(url)


def _identity(said: dict[str, int], status: dict[str, int], config: LineConfig, url: str) -> str:
    marked = ", SIMULATED" if said["simulated"] else ""
    state = _(STATES[status["state"]]) if status["state"] in STATES else f"state {status['state']}"
    speed = f", {status['speed'] / float(config.encoder.ratio):.1f} cups/s" if status["state"] == m.RUNNING else ""
    return f"{config.line.name}, {url}, map {said['map_version']}{marked}; {state}{speed}"


def _cautions(first: dict[str, int], second: dict[str, int]) -> tuple[str, ...]:
    found = []
    if second["heartbeat"] == first["heartbeat"]:
        found.append(_("its heartbeat stands still: put the PLC into RUN, and see that its program is loaded"))
    if second["state"] == m.RUNNING and second["count"] == first["count"]:
        found.append(_("it says that the belt runs, but its counter stands; check the encoder and its cable"))
    if second["state"] == m.EMERGENCY_STOP:
        found.append(_("emergency stop: release it before the line is started"))
    return tuple(found)
