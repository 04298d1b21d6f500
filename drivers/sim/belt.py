"""The belt: which fruit lies in which cup, how the rollers turn it, and what the encoder counts."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.sim.orchard import TRUTH, grow
from citrus_grade.drivers.sim.seen import SEEN

ROOM = 0.96
"""Share of a cup's width that two fruit in it may take."""
CUP_EMPTY, CUP_SINGLE, CUP_DOUBLE, CUP_BRIDGING = range(4)

LOAD = np.dtype(
    [
        ("lane", "<i4"),
        ("cup", "<i8"),
        ("load", "u1"),
        ("fruit", TRUTH),
        ("second", TRUTH),
        ("seen", SEEN),
        ("x_mm", "<f8", (2,)),
        ("y_mm", "<f8", (2,)),
        ("start_pose", "<f8", (2, 3, 3)),
        ("turn_rad_per_cup", "<f8", (2,)),
        ("yaw_rad_per_cup", "<f8", (2,)),
        ("fell", "<i4"),
    ]
)
"""What lies in one cup. Index 1 of the pairs is the second fruit of a double; ``fell`` is the outlet it dropped at (-1: end
of belt); ``seen`` is of fruit alone in their cup."""


@dataclass(frozen=True, slots=True)
class Loading:
    """How fruit comes onto the belt. Shares are of all cups; slip is the relative spread of the rollers' turn; in stuck cups
    fruit does not turn at all."""

    fill: float = 0.85
    doubles: float = 0.008
    bridging: float = 0.002
    slip: float = 0.04
    stuck: float = 0.0
    gauge_mm: tuple[float, ...] = ()


def load(
    seed: int, lanes: int, cups: int, loading: Loading, *, pitch_mm: float, roller_ratio: float, season: int
) -> NDArray[Any]:
    """Fill ``cups`` cups of every lane; return (lanes, cups) of `LOAD`.

    With ``gauge_mm`` every cup holds a sphere of one of these diameters in turn, as at a calibration.
    """
    n = lanes * cups
    rng = np.random.default_rng([seed, 3])
    table = np.zeros(n, LOAD)
    table["lane"], table["cup"], table["fell"] = np.repeat(np.arange(lanes), cups), np.tile(np.arange(cups), lanes), -1
    fruit = grow(seed, 2 * n, season=season)
    table["fruit"], table["second"] = fruit[:n], fruit[n:]
    draw = rng.random(n)
    shares = np.cumsum([1 - loading.fill, loading.doubles, loading.bridging])
    table["load"] = np.select(list(draw[None, :] < shares[:, None]), [CUP_EMPTY, CUP_DOUBLE, CUP_BRIDGING], CUP_SINGLE)
    if loading.gauge_mm:
        _gauge(table, loading.gauge_mm)
    _fit_doubles(table, pitch_mm)
    _place(table, rng, pitch_mm)
    table["start_pose"] = _rotations(rng, 2 * n).reshape(n, 2, 3, 3)
    radius_mm = 0.5 * np.stack([table["fruit"]["diameter_mm"], table["second"]["diameter_mm"]], axis=1)
    slip = loading.slip * rng.standard_normal((n, 2))
    table["turn_rad_per_cup"] = roller_ratio * pitch_mm / radius_mm * (1 + slip)
    table["yaw_rad_per_cup"] = 0.03 * rng.standard_normal((n, 2))
    stuck = np.random.default_rng([seed, 8]).random(n) < loading.stuck
    table["turn_rad_per_cup"][stuck] = table["yaw_rad_per_cup"][stuck] = 0.0
    return table.reshape(lanes, cups)


def _gauge(table: NDArray[Any], gauge_mm: tuple[float, ...]) -> None:
    table["load"] = CUP_SINGLE
    ball = table["fruit"]
    ball["diameter_mm"] = ball["height_mm"] = np.array(gauge_mm)[table["cup"] % len(gauge_mm)]
    for name in ("n_blemishes", "green_share"):
        ball[name] = 0
    ball["stem_radius_mm"] = ball["stylar_radius_mm"] = 0.1


def _fit_doubles(table: NDArray[Any], pitch_mm: float) -> None:
    """Make the fruit of doubles small enough: two share a cup only where both fit between its rollers and dividers."""
    double = table["load"] == CUP_DOUBLE
    together_mm = table["fruit"]["diameter_mm"] + table["second"]["diameter_mm"]
    factor = np.where(double, np.minimum(1.0, ROOM * pitch_mm / together_mm), 1.0)
    for name in ("fruit", "second"):
        for field, power in (("diameter_mm", 1), ("height_mm", 1), ("volume_ml", 3), ("mass_g", 3)):
            table[name][field] *= factor**power


def _place(table: NDArray[Any], rng: np.random.Generator, pitch_mm: float) -> None:
    n = len(table)
    x_mm, y_mm = 1.5 * rng.standard_normal((n, 2)), 1.5 * rng.standard_normal((n, 2))
    double = table["load"] == CUP_DOUBLE
    apart_mm = 0.5 * (table["fruit"]["diameter_mm"] + table["second"]["diameter_mm"])
    angle = rng.uniform(0.25, 0.75, n) * np.pi
    for index, sign in ((0, 0.5), (1, -0.5)):
        x_mm[:, index] = np.where(double, sign * apart_mm * np.cos(angle), x_mm[:, index])
        y_mm[:, index] = np.where(double, sign * apart_mm * np.sin(angle), y_mm[:, index])
    bridging = table["load"] == CUP_BRIDGING
    x_mm[:, 0] = np.where(bridging, pitch_mm * rng.uniform(0.38, 0.5, n) * rng.choice((-1.0, 1.0), n), x_mm[:, 0])
    table["x_mm"], table["y_mm"] = x_mm, y_mm


def _rotations(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    """Return uniformly random rotations from random unit quaternions."""
    q = rng.standard_normal((n, 4))
    w, x, y, z = (q / np.linalg.norm(q, axis=1, keepdims=True)).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


def poses(load: NDArray[Any], index: int, travelled_cups: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the pose (n, 3, 3) of fruit ``index`` of each cup after the belt has carried it that far: rollers turn it about
    y."""
    turn, yaw = load["turn_rad_per_cup"][:, index] * travelled_cups, load["yaw_rad_per_cup"][:, index] * travelled_cups
    zero, one = np.zeros_like(turn), np.ones_like(turn)
    about_y = np.moveaxis(
        np.array([[np.cos(turn), zero, np.sin(turn)], [zero, one, zero], [-np.sin(turn), zero, np.cos(turn)]]), 2, 0
    )
    about_z = np.moveaxis(
        np.array([[np.cos(yaw), -np.sin(yaw), zero], [np.sin(yaw), np.cos(yaw), zero], [zero, zero, one]]), 2, 0
    )
    return np.asarray(about_z @ about_y @ load["start_pose"][:, index])


@dataclass(slots=True)
class SimEncoder:
    """Counts ticks of the belt, with jitter, wrapping as the real counter does."""

    ticks_per_cup: Fraction
    bits: int
    rng: np.random.Generator
    jitter_ticks: int = 2

    def raw(self, belt_cups: Fraction) -> int:
        """Return the counter where the belt has moved that many pitches."""
        exact = int(belt_cups * self.ticks_per_cup)
        return (exact + int(self.rng.integers(0, self.jitter_ticks + 1))) % (1 << self.bits)
