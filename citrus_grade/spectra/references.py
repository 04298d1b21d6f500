"""A lane's dark and white, taken anew while the line runs: collected behind the shutter, judged, and only then believed.

A refresh of a lane: a command asks for it, the line tells the shutter where to go, a reading says that it stands there, the
scans from that tick on are kept; at the first cup boundary with enough of them, or when patience ends, they are judged. What is
refused leaves the old reference, and an alarm says what was measured. From the command until the shutter is open again the
lane's fruit have no spectrum.
"""

from hashlib import sha256
from math import copysign, fsum, isnan, sqrt
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config.references import ReferencesSection
from citrus_grade.messages import Alarm, Output, Position, Reading, References, Shutter, over

Floats = NDArray[np.float64]

DARK, WHITE = 1, 2
"""Bits of what is asked of a lane."""
ASKED_BY: Final = {"dark_refresh": DARK, "white_refresh": WHITE}
NEVER: Final = 1 << 62
BLOCK: Final = 16
"""Pixels a white's shape is judged by at a time."""
ODD: Final = 6.0
"""A scan whose level lies this many median deviations from the median level is left out."""

SAME: Final = 0.001
"""Exposures that differ by less than this share are one."""

LANE: Final = np.dtype(
    [
        ("asked", "u1"),
        ("position", "u1"),
        ("n", "<i4"),
        ("since_tick", "<i8"),
        ("until_cup", "<i8"),
        ("integration_us", "<f8"),
        ("reference_id", "<u8"),
    ]
)
"""What is going on in a lane: what is asked, where the shutter stands since when, scans collected, the cup at which patience ends
(with the shutter, and with what was asked), exposure (NaN: nobody said)."""


class Memory(NamedTuple):
    """The references of a line.

    ``lanes`` (n_lanes,) of `LANE`; ``light_from`` (n_lanes,) the tick from which on scans are of fruit, `NEVER` while something
    stands in the light; ``dark``, ``white`` (n_lanes, n_pixels) counts in use; ``scans`` (n_lanes, n_scans, n_pixels) collected;
    ``busy`` (1,) how many lanes' light is blocked.
    """

    lanes: NDArray[Any]
    light_from: NDArray[np.int64]
    dark: Floats
    white: Floats
    scans: NDArray[np.uint16]
    busy: NDArray[np.int64]


class Mean(NamedTuple):
    """``counts`` (n_pixels,) mean of the ``n`` scans that agree; ``noise_counts`` their sd, over all pixels; ``peak``."""

    counts: Floats
    n: int
    noise_counts: float
    peak: int


class Refusal(NamedTuple):
    """Why a reference is not believed: a kind of alarm, what was measured, and the limit it broke."""

    kind: str
    measured: float
    limit: float


def nothing_yet(n_lanes: int, n_pixels: int, n_scans: int) -> Memory:
    """Return the memory of a line without references; see `take`."""
    lanes = np.zeros(n_lanes, LANE)
    lanes["integration_us"] = np.nan
    empty = np.zeros((n_lanes, n_pixels))
    scans = np.zeros((n_lanes, n_scans if n_pixels else 0, n_pixels), np.uint16)
    return Memory(lanes, np.full(n_lanes, -NEVER, np.int64), empty, empty.copy(), scans, np.zeros(1, np.int64))


def take(memory: Memory, calibration: CalibrationSet) -> None:
    """Begin with a calibration's references."""
    memory.dark[:], memory.white[:] = calibration.dark, calibration.white
    memory.lanes["reference_id"] = 0


def ask(memory: Memory, lanes: list[int], what: int, until_cup: int, tick: int) -> list[Output]:
    """Ask for a new reference of ``what`` kind (`DARK` or `WHITE`) in lanes; return where their shutters are to go.

    A shutter that was stuck is tried anew, so that it is stuck has ended.
    """
    moves: list[Output] = []
    for lane in lanes:
        own = memory.lanes[lane]
        if _is_stuck(memory, lane):
            moves.append(over(tick, "shutter_stuck", f"lane {lane}"))
        before = _wanted(int(own["asked"]))
        own["asked"] |= what
        if _wanted(int(own["asked"])) != before:
            moves.append(_go(memory, lane, until_cup))
        memory.light_from[lane] = NEVER
    _count(memory)
    return moves


def moved(memory: Memory, reading: Reading, until_cup: int) -> list[Output]:
    """Take in where a shutter stands, in all lanes where the reading names none; return which are stuck no more."""
    position, told = int(reading.value), list[Output]()
    for lane in range(len(memory.lanes)) if reading.lane < 0 else [reading.lane]:
        own = memory.lanes[lane]
        own["position"], own["since_tick"], own["n"] = position, reading.tick, 0
        if position != Position.OPEN and memory.light_from[lane] != NEVER:
            memory.light_from[lane], own["until_cup"] = NEVER, until_cup
        elif position == Position.OPEN and not own["asked"]:
            if _is_stuck(memory, lane):
                told.append(over(reading.tick, "shutter_stuck", f"lane {lane}"))
            memory.light_from[lane] = reading.tick
    _count(memory)
    return told


def _is_stuck(memory: Memory, lane: int) -> bool:
    """Say whether it was told that a lane's shutter does not open."""
    return bool(memory.light_from[lane] == NEVER and memory.lanes[lane]["until_cup"] == NEVER)


def exposed(memory: Memory, reading: Reading, calibration: CalibrationSet) -> list[Output]:
    """Take in how long scans are exposed, in all lanes where the reading names none; say where references were not exposed so,
    and where they are again."""
    lanes = range(len(memory.lanes)) if reading.lane < 0 else [reading.lane]
    told: list[Output] = []
    for lane in lanes:
        before = float(memory.lanes[lane]["integration_us"])
        memory.lanes[lane]["integration_us"] = reading.value
        if (refused := _judge_exposure(reading.value, lane, calibration)) is not None:
            told.append(_alarm(reading.tick, lane, refused))
        elif _judge_exposure(before, lane, calibration) is not None:
            told.append(over(reading.tick, "integration_differs", f"lane {lane}"))
    return told


def agreed(memory: Memory, before: CalibrationSet, after: CalibrationSet, tick: int) -> list[Output]:
    """Return that exposures differ no more, of lanes whose exposure is that of a new calibration and was not that of the old."""
    exposed_us = enumerate(memory.lanes["integration_us"].tolist())
    return [
        over(tick, "integration_differs", f"lane {lane}")
        for lane, own_us in exposed_us
        if _judge_exposure(own_us, lane, before) is not None and _judge_exposure(own_us, lane, after) is None
    ]


def _judge_exposure(integration_us: float, lane: int, calibration: CalibrationSet) -> Refusal | None:
    if calibration.integration_us is None or isnan(integration_us):
        return None
    wanted = float(calibration.integration_us[lane])
    return Refusal("integration_differs", integration_us, wanted) if abs(integration_us - wanted) > SAME * wanted else None


def _alarm(tick: int, lane: int, refused: Refusal) -> Alarm:
    measured, limit = (f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}" for value in refused[1:])
    return Alarm(tick, refused.kind, f"lane {lane} measured {measured} limit {limit}")


def _wanted(asked: int) -> Position:
    """Return where a shutter is to stand: dark goes first, for a white is counted from it."""
    return Position.CLOSED if asked & DARK else Position.ATTENUATOR if asked & WHITE else Position.OPEN


def _go(memory: Memory, lane: int, until_cup: int) -> Shutter:
    own = memory.lanes[lane]
    own["n"], own["until_cup"] = 0, until_cup
    return Shutter(lane, _wanted(int(own["asked"])))


def _count(memory: Memory) -> None:
    memory.busy[0] = np.count_nonzero(memory.light_from == NEVER)


@njit(cache=True, nogil=True)
def collect(
    lane: NDArray[np.int32], tick: NDArray[np.int64], counts: NDArray[np.uint16], lanes: Any, scans: NDArray[np.uint16]
) -> None:
    """Keep the scans taken behind what was asked for; ``lanes`` and ``scans`` of a `Memory` are written."""
    for i in range(len(lane)):
        if not 0 <= lane[i] < len(lanes) or counts.shape[1] != scans.shape[2]:
            continue
        own = lanes[lane[i]]
        wanted = 1 if own.asked & 1 else 2
        if own.asked and own.position == wanted and tick[i] >= own.since_tick and own.n < scans.shape[1]:
            scans[lane[i], own.n] = counts[i]
            own.n += 1


def settle(
    memory: Memory, tick: int, next_cup: int, limits: ReferencesSection, calibration: CalibrationSet, full_scale: int
) -> list[Output]:
    """Judge what is collected, at a cup boundary; return new references, refusals, and where the shutters are to go.

    Parameters
    ----------
    next_cup : the first that the new references hold for.
    """
    told: list[Output] = []
    for lane in np.flatnonzero(memory.light_from == NEVER).tolist():
        own = memory.lanes[lane]
        if own["asked"]:
            if own["n"] >= memory.scans.shape[1] or next_cup > own["until_cup"]:
                told += _finish(memory, lane, tick, next_cup + limits.patience_cups, limits, calibration, full_scale)
        elif next_cup > own["until_cup"]:
            own["until_cup"] = NEVER  # told once
            told.append(Alarm(tick, "shutter_stuck", f"lane {lane} position {own['position']}"))
    return told


def _finish(
    memory: Memory, lane: int, tick: int, until_cup: int, limits: ReferencesSection, calibration: CalibrationSet, full_scale: int
) -> list[Output]:
    own = memory.lanes[lane]
    what = DARK if own["asked"] & DARK else WHITE
    own["asked"] &= ~what & 0xFF
    found = _judge(memory, lane, what, limits, calibration, full_scale)
    told = _alarm(tick, lane, found) if isinstance(found, Refusal) else _believe(memory, lane, tick, what, found, calibration)
    if not own["asked"] and own["position"] == Position.OPEN:
        memory.light_from[lane] = tick  # the shutter has never moved
        _count(memory)
    return [told, _go(memory, lane, until_cup)]


def _judge(
    memory: Memory, lane: int, what: int, limits: ReferencesSection, calibration: CalibrationSet, full_scale: int
) -> Mean | Refusal:
    own = memory.lanes[lane]
    if (differs := _judge_exposure(float(own["integration_us"]), lane, calibration)) is not None:
        return differs
    found = mean_of(memory.scans[lane, : own["n"]])
    if own["n"] < limits.scans or 2 * found.n < limits.scans:
        return Refusal("dark_few" if what == DARK else "white_few", found.n, limits.scans)
    dark, white = calibration.dark[lane], calibration.white[lane]
    if what == DARK:
        return judge_dark(found, dark, white, limits, full_scale) or found
    return judge_white(found, _light(memory, lane, found, calibration), white - dark, limits, full_scale) or found


def _light(memory: Memory, lane: int, found: Mean, calibration: CalibrationSet) -> Floats:
    """Return the light of a white, as it would be at the level of the calibration's."""
    light = found.counts - memory.dark[lane]
    return light if calibration.transmission is None else np.asarray(light / calibration.transmission[lane], np.float64)


def _believe(memory: Memory, lane: int, tick: int, what: int, found: Mean, calibration: CalibrationSet) -> References:
    if what == DARK:
        # A white is read on top of the dark of its time: its light stays, the dark below it moves.
        memory.white[lane] += found.counts - memory.dark[lane]
        memory.dark[lane] = found.counts
    else:
        memory.white[lane] = memory.dark[lane] + _light(memory, lane, found, calibration)
    dark, white = memory.dark[lane].copy(), memory.white[lane].copy()
    reference_id = int.from_bytes(sha256(dark.tobytes() + white.tobytes()).digest()[:8], "big")
    memory.lanes[lane]["reference_id"] = reference_id
    return References(tick, lane, reference_id, dark, white)


def mean_of(scans: NDArray[np.uint16]) -> Mean:
    """Return the mean of scans (n, n_pixels) without those whose level lies apart.

    Sums are of whole numbers, so no order of summation matters.
    """
    if not len(scans):
        return Mean(np.zeros(scans.shape[1]), 0, 0.0, 0)
    level = scans.sum(axis=1, dtype=np.int64)
    away = np.abs(level - np.median(level))
    # A count a pixel is no disagreement, however quiet the rest is.
    agree = scans[away <= ODD * np.median(away) + scans.shape[1]].astype(np.int64)
    n, total = len(agree), agree.sum(axis=0)
    square = int((n * (agree**2).sum(axis=0) - total**2).sum())
    return Mean(total / n, n, sqrt(square / (n * max(n - 1, 1) * scans.shape[1])), int(agree.max()))


def judge_dark(found: Mean, dark: Floats, white: Floats, limits: ReferencesSection, full_scale: int) -> Refusal | None:
    """Say why these scans are no dark: light in them, as a share of the calibration's white, or noise, as one of full scale."""
    light_pct = 100 * fsum((found.counts - dark).tolist()) / fsum((white - dark).tolist())
    if light_pct > limits.dark_light_pct:
        return Refusal("dark_bright", light_pct, limits.dark_light_pct)
    noise_pct = 100 * found.noise_counts / full_scale
    return Refusal("dark_noisy", noise_pct, limits.dark_noise_pct) if noise_pct > limits.dark_noise_pct else None


def judge_white(found: Mean, light: Floats, known: Floats, limits: ReferencesSection, full_scale: int) -> Refusal | None:
    """Say why these scans are no white: clipped, too far from the calibration's level, of another colour, or noisy.

    Parameters
    ----------
    light, known : (n_pixels,) of the new white and of the calibration's, both above their dark.
    """
    if found.peak >= full_scale:
        return Refusal("white_clipped", found.peak, full_scale)
    share = fsum(light.tolist()) / fsum(known.tolist())
    if abs(share - 1) > limits.white_change_pct / 100:
        return Refusal("white_level", 100 * share, 100 + copysign(limits.white_change_pct, share - 1))
    apart_pct = 100 * max(abs(part / share - 1) for part in _parts(light, known))
    if apart_pct > limits.white_shape_pct:
        return Refusal("white_shape", apart_pct, limits.white_shape_pct)
    noise_pct = 100 * found.noise_counts * len(light) / fsum(light.tolist())
    return Refusal("white_noisy", noise_pct, limits.white_noise_pct) if noise_pct > limits.white_noise_pct else None


def _parts(light: Floats, known: Floats) -> list[float]:
    starts = range(0, max(len(light) - BLOCK + 1, 1), BLOCK)
    return [fsum(light[s : s + BLOCK].tolist()) / fsum(known[s : s + BLOCK].tolist()) for s in starts]
