"""How each lane of a live line fares: on, degraded or off, and why. One lane's trouble is not the others'.

Two witnesses: what the devices' processes say of their devices, and what has become of the last fruit; so a device that answers
and sends nothing is seen too.
"""

from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from citrus_grade.config import LineConfig
from citrus_grade.messages import Reason
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.carry import Outlook
from citrus_grade.runtime.live.memory import Decided
from citrus_grade.runtime.live.work import CORE, PLC, SPECTRA, camera_role
from citrus_grade.tables import DECISION, Table, stack

LAST_CUPS = 32
LEAST_FRUIT = 8
"""Fewer fruit among the last cups tell nothing."""
State = Literal["on", "degraded", "off"]


class Trouble(NamedTuple):
    """Why a lane is not quite on: the ``kind`` of alarm it is, and ``where``."""

    kind: str
    where: str


@dataclass(frozen=True, slots=True)
class Lane:
    """A lane: of its last ``fruit``, so many were ``graded``."""

    lane: int
    state: State
    troubles: tuple[Trouble, ...]
    fruit: int
    graded: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain data."""
        return asdict(self) | {"troubles": [trouble._asdict() for trouble in self.troubles]}


def lanes_of(
    config: LineConfig, board: Board, last: Table, outlook: Outlook | None, unsure: Collection[int] = ()
) -> tuple[Lane, ...]:
    """Return how the lanes fare by the decisions of the ``last`` cups and by what the core knows of lanes and outlets.

    ``unsure`` : lanes of whose last fruit some passed in a trouble that is over: what those lacked says nothing of now.
    """
    shared = tuple(_of_all_lanes(config, board))
    lanes = []
    for lane in range(config.line.lanes):
        fruit = last[(last["lane"] == lane) & (last["reason"] != Reason.EMPTY)]
        devices = (*shared, *_spectrometer(lane, config, board))
        lacked = () if devices or lane in unsure else tuple(_lacked(lane, config, fruit))
        lanes.append(_lane(lane, (*devices, *lacked), fruit, outlook))
    return tuple(lanes)


def _lane(lane: int, troubles: tuple[Trouble, ...], fruit: Table, outlook: Outlook | None) -> Lane:
    off = outlook is not None and not outlook.lane_on[lane]
    switched = (Trouble("lane_off", f"lane {lane}"),) if off else ()
    told = (*switched, *troubles, *_outlets(lane, outlook))
    state: State = "off" if off else "degraded" if told else "on"
    return Lane(lane, state, told, len(fruit), int(np.sum(fruit["reason"] == Reason.GRADED)))


def _of_all_lanes(config: LineConfig, board: Board) -> Iterator[Trouble]:
    """Yield what is the trouble of every lane."""
    for role in (CORE, PLC):
        if not board.station(role).works:
            yield Trouble(f"{role}_gone", role)
    for camera in range(len(config.camera)):
        if not board.station(camera_role(camera)).works:
            yield Trouble("camera_gone", f"camera {camera}")


def _spectrometer(lane: int, config: LineConfig, board: Board) -> Iterator[Trouble]:
    if config.spectrometer is not None:
        station = board.station(SPECTRA)
        if not station.is_ready or station.is_gone(lane):
            yield Trouble("spectrometer_gone", f"lane {lane}")


def _lacked(lane: int, config: LineConfig, fruit: Table) -> Iterator[Trouble]:
    """Yield what most of the last fruit lacked, though every device answers."""
    if len(fruit) < LEAST_FRUIT or np.all(fruit["reason"] == Reason.LANE_OFF):
        return
    if 2 * np.sum(fruit["reason"] == Reason.MISSING_VIEW) > len(fruit):
        yield Trouble("views_missing", f"lane {lane}")
    if config.spectrometer is not None and 2 * np.sum(fruit["scans_received"] == 0) > len(fruit):
        yield Trouble("spectra_missing", f"lane {lane}")


def _outlets(lane: int, outlook: Outlook | None) -> Iterator[Trouble]:
    if outlook is None:
        return
    for kind, sound in (("outlet_jammed", outlook.outlet_sound), ("outlet_full", outlook.outlet_open)):
        for outlet in np.flatnonzero(~sound[lane]).tolist():
            yield Trouble(kind, f"lane {lane} outlet {outlet}")


def last_decisions(decided: Decided, last_cup: int) -> Table:
    """Return the decisions of the last `LAST_CUPS` cups."""
    rows = [rows for cup in range(max(last_cup - LAST_CUPS + 1, 0), last_cup + 1) if (rows := decided.get(cup)) is not None]
    return stack(rows, DECISION)
