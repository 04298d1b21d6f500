"""Shutters over Modbus: sent by a register a lane, told by a report and a register, and left alone by a PLC that has none."""

import time

import pytest

from citrus_grade.drivers.modbus import map as m
from citrus_grade.drivers.modbus.client import BEATS, ModbusPlc
from citrus_grade.drivers.sim.shutters import MOVE_NS, Shutters
from citrus_grade.messages import Position, Shutter
from citrus_grade.ports import DeviceError
from citrus_grade.ports import Shutters as Port
from tests.modbus_line import CONFIG, CUPS_PER_S, TICKS, Emulated, emulated

LANES = CONFIG.line.lanes
MOVE_CUPS = MOVE_NS / 1e9 * CUPS_PER_S
WATCHDOG_MS = 500
Stands = list[tuple[int, Position]]


def stands(plc: ModbusPlc) -> Stands:
    return [(lane, position) for lane, position, _count in plc.poll().shutters]


def opened(line: Emulated) -> ModbusPlc:
    plc = line.open()
    assert stands(plc) == [(lane, Position.OPEN) for lane in range(LANES)]
    return plc


def test_the_first_look_says_where_every_shutter_stands_and_the_next_nothing() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        plc = opened(line)
        assert isinstance(plc, Port)
        assert plc.positions == {Position.OPEN, Position.CLOSED, Position.ATTENUATOR}
        assert stands(plc) == []


def test_a_shutter_goes_where_it_is_sent_and_says_at_which_count_it_stands() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        plc = opened(line)
        line.go(1)
        plc.move([Shutter(2, Position.CLOSED), Shutter(4, Position.ATTENUATOR)])
        line.go(MOVE_CUPS / 2)
        assert stands(plc) == [(2, Position.BETWEEN), (4, Position.BETWEEN)]
        line.go(MOVE_CUPS)
        told = plc.poll().shutters
        assert [row[:2] for row in told] == [(2, Position.CLOSED), (4, Position.ATTENUATOR)]
        for _lane, _position, count in told:
            assert abs(count - (1 + MOVE_CUPS) * TICKS) <= 0.021 * CUPS_PER_S * TICKS  # a scan of the PLC
        plc.move([Shutter(2, Position.OPEN)])
        line.go(2 * MOVE_CUPS)
        assert stands(plc) == [(2, Position.BETWEEN), (2, Position.OPEN)]


def test_whoever_opens_the_plc_next_finds_where_shutters_stand_and_has_them_open() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        opened(line).move([Shutter(1, Position.CLOSED)])
        line.go(2 * MOVE_CUPS)
        line.plc.stuck.add(1)
        plc = line.open()
        assert (1, Position.CLOSED) in stands(plc)
        line.plc.stuck.clear()
        line.go(2 * MOVE_CUPS)
        assert stands(plc) == [(1, Position.BETWEEN), (1, Position.OPEN)]


def test_shutters_open_when_the_pc_is_silent_and_close_again_when_it_is_back() -> None:
    with emulated(shutters=Shutters(LANES), watchdog_ms=WATCHDOG_MS) as line:
        plc = opened(line)
        plc.move([Shutter(3, Position.CLOSED)])
        line.go(2 * MOVE_CUPS)
        assert stands(plc)[-1] == (3, Position.CLOSED)
        line.go(10)
        time.sleep(2 * WATCHDOG_MS / BEATS / 1000)  # the client shows that it lives by a clock of its own
        assert stands(plc) == [(3, Position.BETWEEN), (3, Position.OPEN), (3, Position.BETWEEN)]
        line.go(2 * MOVE_CUPS)
        assert stands(plc)[-1] == (3, Position.CLOSED)


def test_a_shutter_that_sticks_says_nothing() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        plc = opened(line)
        line.plc.stuck.add(0)
        plc.move([Shutter(0, Position.CLOSED), Shutter(1, Position.CLOSED)])
        line.go(2 * MOVE_CUPS)
        assert stands(plc) == [(1, Position.BETWEEN), (1, Position.CLOSED)]


def test_a_plc_without_shutters_has_none_and_says_nothing_of_them() -> None:
    with emulated() as line:
        plc = line.open()
        assert plc.positions == frozenset()
        assert plc.poll().shutters == ()


def test_a_plc_without_attenuators_has_shutters_only() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        line.plc.words[m.IDENTITY.at("attenuators")] = 0
        assert line.open().positions == {Position.OPEN, Position.CLOSED}


@pytest.mark.parametrize("name", ["shutters", "attenuators"])
def test_shutters_in_some_lanes_only_are_refused(name: str) -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        line.plc.words[m.IDENTITY.at(name)] = 3
        with pytest.raises(DeviceError, match=f"{name}: it has 3 for 6 lanes"):
            line.open()


@pytest.mark.parametrize(("lane", "position"), [(LANES, 1), (-1, 1), (0, 4)])
def test_a_report_of_a_shutter_that_cannot_be_is_an_error(lane: int, position: int) -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        plc = opened(line)
        line.plc._report(m.SHUTTER_STANDS, 0, lane, position)
        line.plc.advance(line.clock())
        with pytest.raises(DeviceError, match="has state 8"):
            plc.poll()


def test_a_register_that_holds_no_position_is_a_shutter_of_which_nobody_knows() -> None:
    with emulated(shutters=Shutters(LANES)) as line:
        line.plc.words[m.SHUTTER_AT.at("position", 5)] = 77
        assert (5, Position.BETWEEN) in stands(line.open())
