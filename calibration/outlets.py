"""What an outlet takes from coil to drop, and how soon it can do so again, from test firings under a drop sensor.

Between coil and drop the belt moves ``way + delay * speed`` ticks: a way that is the mechanics' and a delay that is the valve's.
Firings at two speeds tell them apart. A firing too soon after another of the same lane lets nothing fall.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.words import _

FIRING: Final = np.dtype(
    [("lane", "<i4"), ("outlet", "<i4"), ("gap_cups", "<i4"), ("ticks_per_s", "<f8"), ("coil_tick", "<f8"), ("drop_tick", "<f8")]
)
"""A test firing: ``gap_cups`` since the one before on the lane and outlet; ticks are NaN where it did not happen."""
ALONE_CUPS: Final = 8
"""A firing so long after the one before has nothing to do with it."""
LEAST_DROPS: Final = 4
APART: Final = 1.2
"""Speeds that differ by this factor tell a way from a delay."""


@dataclass(frozen=True, slots=True, eq=False)
class OutletFit:
    """One outlet as measured; ``way_cups`` is NaN at a single speed, where ``latency_ms`` holds for that speed alone.

    ``missed`` and ``fired`` (n_lanes,) count firings that stood alone; ``min_gap_cups`` is as in ``line.toml``.
    """

    latency_ms: float
    latency_sigma_ms: float
    way_cups: float
    min_gap_cups: int
    drops: int
    fired: NDArray[np.int64]
    missed: NDArray[np.int64]


def fit_outlets(rows: NDArray[Any], outlets: int, lanes: int, ticks_per_cup: Fraction) -> tuple[OutletFit, ...]:
    """Fit each outlet to its firings.

    Parameters
    ----------
    rows : (n,) of `FIRING`.

    Raises
    ------
    CalibrationError : if no drop sensor has seen anything.
    """
    if not np.isfinite(rows["drop_tick"]).any():
        raise CalibrationError(
            _(
                "no outlet reported a drop: see that the belt carries fruit or test pieces, and that the PLC reports its drop"
                " sensors"
            )
        )
    return tuple(_fit(rows[rows["outlet"] == outlet], lanes, float(ticks_per_cup)) for outlet in range(outlets))


def _fit(rows: NDArray[Any], lanes: int, ticks_per_cup: float) -> OutletFit:
    alone, dropped = rows["gap_cups"] >= ALONE_CUPS, np.isfinite(rows["drop_tick"])
    delay_s, sigma_s, way_ticks = _delay(rows[alone & dropped])
    missed = np.bincount(rows["lane"][alone & ~dropped], minlength=lanes)
    # A lane that misses even alone says nothing of how soon is too soon.
    too_soon = ~alone & ~dropped & (missed[rows["lane"]] == 0)
    return OutletFit(
        latency_ms=1e3 * delay_s,
        latency_sigma_ms=1e3 * sigma_s,
        way_cups=way_ticks / ticks_per_cup,
        min_gap_cups=int(rows["gap_cups"][too_soon].max(initial=0)),
        drops=int(dropped.sum()),
        fired=np.bincount(rows["lane"][alone], minlength=lanes),
        missed=missed,
    )


def _delay(rows: NDArray[Any]) -> tuple[float, float, float]:
    """Return delay in s, its standard error, and way in ticks of firings that dropped."""
    if len(rows) < LEAST_DROPS:
        return np.nan, np.nan, np.nan
    moved, speed = rows["drop_tick"] - rows["coil_tick"], rows["ticks_per_s"]
    if speed.max() < APART * speed.min():
        each_s = moved / speed
        return float(np.median(each_s)), float(each_s.std(ddof=1) / np.sqrt(len(rows))), np.nan
    away = speed - speed.mean()
    delay_s = float((away * moved).sum() / (away * away).sum())
    way_ticks = float(moved.mean() - delay_s * speed.mean())
    rest = moved - way_ticks - delay_s * speed
    sigma_s = float(np.sqrt((rest * rest).sum() / (len(rows) - 2) / (away * away).sum()))
    return delay_s, sigma_s, way_ticks
