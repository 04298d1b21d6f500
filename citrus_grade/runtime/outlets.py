"""Test firings of every outlet, at one speed after another."""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.outlets import ALONE_CUPS, FIRING, OutletFit, fit_outlets
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.modbus.client import ModbusPlc
from citrus_grade.geometry import Unwrapper
from citrus_grade.messages import Ejection
from citrus_grade.ports import DeviceError, DeviceGone
from citrus_grade.runtime.live.devices import PLCS, opener
from citrus_grade.words import _

LOOK_S: Final = 0.02
GAPS_CUPS: Final = (1, 2, 3, 4)
AHEAD_CUPS: Final = 24
"""How far ahead firings are sent at most: enough for the slowest look."""
TOGETHER, IN_TURN = 8, 64
"""So many valves fire at one moment, and so many in the same cups: the PLC has room for 128 reports until they are read, and for
some hundred firings."""
AFTER_CUPS: Final = 4
"""What has not dropped so long after it was due does not drop."""
SETTLE_S: Final = 30.0
NEAR: Final = 0.03
"""A belt whose speed is this near to the one asked for runs as asked."""


class Fired(NamedTuple):
    """Test firings: ``rows`` (n,) of `calibration.outlets.FIRING`, and how many were left out because they came ``late``, or
    because reports were ``lost`` while they were due."""

    rows: NDArray[Any]
    late: int
    lost: int


class Measured(NamedTuple):
    """A line's outlets: a fit each, whether the PLC is an emulated one, and how many firings were left out as in `Fired`."""

    config: LineConfig
    fits: tuple[OutletFit, ...]
    simulated: bool
    late: int
    lost: int


def fire_outlets(config: LineConfig, plc: ModbusPlc, speeds_cups_per_s: Sequence[float], repeats: int) -> Fired:
    """Fire every outlet of every lane, alone and soon after itself.

    Raises
    ------
    CalibrationError : if the belt does not come to a speed, or nothing could be fired in time.
    DeviceGone, DeviceError : as `ModbusPlc.poll`.
    """
    tests = _Tests(config, plc)
    for cups_per_s in speeds_cups_per_s:
        tests.speed(cups_per_s)
        tests.fire(repeats)
    kept = [tuple(row) for number, row in enumerate(tests.rows) if number not in tests.late | tests.lost]
    if not kept:
        raise CalibrationError(
            _(
                "of {n} firings {late} reached the PLC too late, and of {lost} its reports were lost; try a lower speed, or a"
                " quicker connection"
            ).format(n=len(tests.rows), late=len(tests.late), lost=len(tests.lost))
        )
    return Fired(np.array(kept, FIRING), len(tests.late), len(tests.lost))


def measure_outlets(line_toml: Path, url: str | None, speeds_cups_per_s: Sequence[float], repeats: int) -> Measured:
    """Open the PLC of a line, fire its outlets and fit them.

    ``url`` : of another PLC than that of ``line.toml``, over Modbus.

    Raises
    ------
    ConfigError : of ``line.toml`` or the url. CalibrationError : where nothing can be measured; saying what to do.
    """
    config = _with_plc(load(line_toml), url)
    try:
        with _opened(config) as plc:
            fired = fire_outlets(config, plc, speeds_cups_per_s, repeats)
    except (DeviceError, DeviceGone) as error:
        raise CalibrationError(str(error)) from error
    fits = fit_outlets(fired.rows, len(config.outlet), config.line.lanes, config.encoder.ratio)
    return Measured(config, fits, plc.simulated, fired.late, fired.lost)


def _with_plc(config: LineConfig, url: str | None) -> LineConfig:
    """Return the line with its PLC elsewhere; what else ``[plc]`` says of a PLC over Modbus holds there, too."""
    if url is None:
        if not config.is_live:
            raise CalibrationError(_("line.toml names no PLC; add [plc], or give --plc tcp://HOST:PORT"))
        return config
    own = config.plc if config.plc.get("driver") == "modbus" else {}
    return config.model_copy(update={"plc": own | {"driver": "modbus", "url": url}})


@contextmanager
def _opened(config: LineConfig) -> Iterator[ModbusPlc]:
    """Look at the PLC, which nobody else may drive meanwhile, and open it; at the end its belt stands, or people are told."""
    open_ = opener(PLCS, config.plc, "plc")
    if look := getattr(sys.modules[open_.__module__], "look", None):
        look(config)
    plc = open_(config)
    try:
        if not isinstance(plc, ModbusPlc):
            raise CalibrationError(_("plc.driver: {name!r} has no drop sensors to be asked").format(name=config.plc["driver"]))
        yield plc
    finally:
        try:
            if isinstance(plc, ModbusPlc):
                plc.halt()
        except (DeviceError, DeviceGone) as error:
            raise CalibrationError(_("THE BELT STILL RUNS: stop it at the panel. {why}").format(why=error)) from error
        finally:
            plc.close()


class _Tests:
    """The firings so far; ``rows`` one each, whose number the PLC is told as its cup; ``late`` those that came too late to be
    fired, ``lost`` those whose reports may be among some that were written over: both are no outlet's fault."""

    def __init__(self, config: LineConfig, plc: ModbusPlc) -> None:
        self._config, self._plc = config, plc
        self._per_cup = float(config.encoder.ratio)
        self._unwrap = Unwrapper(config.encoder.bits)
        self._tick = self._now_ns = 0
        self._ahead = min(AHEAD_CUPS, (1 << config.encoder.bits >> 1) / self._per_cup - 2) * self._per_cup
        self._due: dict[int, int] = {}
        self.rows: list[list[float]] = []
        self.late: set[int] = set()
        self.lost: set[int] = set()
        self._look()

    def speed(self, cups_per_s: float) -> None:
        """Let the belt run, and wait until it is as fast as asked."""
        self._plc.drive(run=True, cups_per_s=cups_per_s)
        until, found = time.monotonic() + SETTLE_S, 0.0
        while time.monotonic() < until:
            found = self._measured() / self._per_cup
            if abs(found - cups_per_s) <= NEAR * cups_per_s:
                return
        raise CalibrationError(
            _(
                "the belt runs at {found:.2f} cups/s, not at {asked:g}; let the PLC follow run and speed_setpoint, or ask for"
                " another speed"
            ).format(found=found, asked=cups_per_s)
        )

    def fire(self, repeats: int) -> None:
        """Fire at one speed, and wait until the last fruit has dropped."""
        waiting = sorted(self._planned(self._look() + self._ahead, repeats), key=lambda e: e.fire_tick)
        last = waiting[-1].fire_tick + AFTER_CUPS * self._per_cup
        first_ns, first_tick = self._now_ns, self._tick
        while waiting:
            ahead = self._look() + self._ahead
            due = [e for e in waiting if e.fire_tick <= ahead]
            taken = self._plc.eject(due)
            self._due |= {e.cup: e.fire_tick for e in due[:taken]}
            waiting = due[taken:] + waiting[len(due) :]
            time.sleep(LOOK_S)
        while self._look() < last:
            time.sleep(LOOK_S)
        measured = (self._tick - first_tick) / (self._now_ns - first_ns) * 1e9
        for row in self.rows:
            if np.isnan(row[3]):
                row[3] = measured

    def _planned(self, start: float, repeats: int) -> Iterator[Ejection]:
        """Yield the firings, and note a row for each."""
        gaps = [gap for _repeat in range(repeats) for soon in GAPS_CUPS for gap in (ALONE_CUPS, soon)]
        valves = [(lane, outlet) for lane in range(self._config.line.lanes) for outlet in range(len(self._config.outlet))]
        for index, (lane, outlet) in enumerate(valves):
            turn, place = divmod(index, IN_TURN)
            first = turn * (sum(gaps) + ALONE_CUPS) + place // TOGETHER
            for gap, cups in zip(gaps, np.cumsum(gaps), strict=True):
                number = len(self.rows)
                self.rows.append([lane, outlet, gap, np.nan, np.nan, np.nan])
                yield Ejection(lane, number, outlet, round(start + (first + cups) * self._per_cup))

    def _measured(self) -> float:
        """Return the speed over a few looks, in ticks/s."""
        tick, at_ns = self._look(), self._now_ns
        time.sleep(10 * LOOK_S)
        return (self._look() - tick) / (self._now_ns - at_ns) * 1e9

    def _look(self) -> int:
        """Look at the PLC, note what was fired and what dropped; return where the belt is."""
        state = self._plc.poll()
        before, self._tick, self._now_ns = self._tick, self._unwrap(state.count), state.t_ns
        for report in state.reports:
            if report.state == "fired" and 0 <= report.cup < len(self.rows):
                self.rows[report.cup][4] = self._near(report.tick)
            elif report.state == "late":
                self.late.add(report.cup)
        for drop in self._plc.drops():
            if 0 <= drop.cup < len(self.rows):
                self.rows[drop.cup][5] = self._near(drop.at)
        if state.lost:
            self.lost |= self._unsettled(before)
        return self._tick

    def _unsettled(self, before: int) -> set[int]:
        """Return the firings that were due since ``before`` or a little earlier, and have not dropped as far as is known."""
        first, last = before - AFTER_CUPS * self._per_cup, self._tick + self._per_cup
        return {n for n, due in self._due.items() if first <= due <= last and np.isnan(self.rows[n][5])}

    def _near(self, count: int) -> int:
        """Return a raw count unwrapped, beside where the belt is."""
        return Unwrapper(self._config.encoder.bits, self._tick)(count)
