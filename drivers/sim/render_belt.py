"""The empty belt under the camera: dark rollers that travel, gaps between them, dividers between the lanes."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

ROLLER_PITCH_MM = 38.1
"""Rollers stand 1.5 inch apart, as on most sizer chains."""

BELT_RGB = np.array([0.86, 0.97, 1.17])
"""Rollers are a slightly bluish grey."""

_PERIOD = 8  # rollers after which the pattern repeats


def roll_out(seed: int, height_px: int, px_per_mm: float, lane_y_px: Sequence[float]) -> NDArray[np.float32]:
    """Return eight roller pitches of belt, (height_px, period_px) float32 counts of grey."""
    rng = np.random.default_rng([seed, 4])
    period = round(_PERIOD * ROLLER_PITCH_MM * px_per_mm)
    phase = (np.arange(period) * _PERIOD / period) % 1.0
    across = (phase - 0.5) / 0.43
    round_roller = np.sqrt(np.clip(1 - across**2, 0.0, None))
    glint = np.exp(-0.5 * ((phase - 0.36) / 0.035) ** 2)
    rollers = 4.0 + 22.0 * round_roller + 9.0 * glint
    own = 1 + 0.08 * rng.standard_normal(_PERIOD)  # rollers wear differently
    rollers *= own[(np.arange(period) * _PERIOD) // period]
    belt = rollers[None, :] * _waist(height_px, lane_y_px)[:, None]
    belt *= 1 + 0.10 * _smooth(rng.standard_normal(belt.shape))
    _divide(belt, px_per_mm, lane_y_px)
    return np.clip(belt, 1.0, 60.0).astype(np.float32)


def _waist(height_px: int, lane_y_px: Sequence[float]) -> NDArray[np.float64]:
    """Rollers are hollow in the middle of a lane, where less light reaches."""
    rows = np.arange(height_px)[:, None]
    away = np.abs(rows - np.asarray(lane_y_px, float)[None, :]).min(axis=1) if len(lane_y_px) else np.zeros(height_px)
    return np.asarray(0.8 + 0.25 * away / max(away.max(), 1.0), np.float64)


def _smooth(noise: NDArray[np.float64]) -> NDArray[np.float64]:
    """Blur periodic noise over three pixels each way and bring it back to unit spread."""
    for axis in (0, 1):
        noise = noise + np.roll(noise, 1, axis) + np.roll(noise, -1, axis)
    return np.asarray(noise / noise.std(), np.float64)


def _divide(belt: NDArray[np.float64], px_per_mm: float, lane_y_px: Sequence[float]) -> None:
    """Lay a bar with one bright edge half-way between lanes; bars do not travel, so every column is alike."""
    lanes = np.sort(np.asarray(lane_y_px, float))
    half = max(1, round(2.0 * px_per_mm))
    for middle in np.rint((lanes[1:] + lanes[:-1]) / 2).astype(int):
        belt[max(0, middle - half) : max(0, middle + half)] = 14.0
        belt[max(0, middle - half) : max(0, middle - half + 1)] = 44.0


@njit(cache=True, nogil=True)
def lay(
    frame: NDArray[np.float32], gain: NDArray[np.float32], mosaic: NDArray[np.int64], belt: NDArray[np.float32], shift_px: float
) -> None:
    """Fill a frame with the belt, moved ``shift_px`` towards higher columns, in each pixel's own colour."""
    height, width = frame.shape
    period = belt.shape[1]
    whole = int(np.floor(shift_px))
    part = np.float32(shift_px - whole)
    start = (-whole) % period
    for row in range(height):
        line = belt[row]
        for odd in range(2):
            tone = np.float32(BELT_RGB[mosaic[row & 1, odd]])
            a = (start + odd) % period
            before = (a + period - 1) % period
            for col in range(odd, width, 2):
                frame[row, col] = gain[row, col] * tone * (line[a] + part * (line[before] - line[a]))
                a, before = a + 2, before + 2
                if a >= period:
                    a -= period
                if before >= period:
                    before -= period
