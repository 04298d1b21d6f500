"""Where a fruit's outline runs in a photograph: the closed way around it along which the picture changes most.

Lightness grows and falls towards a limb, so no level tells where a fruit ends; the steepest change does. It is sought in polar
coordinates of the outline known so far, as the way from angle to angle with the largest sum of changes (dynamic programming).
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
N_ANGLES = 180
N_RADII = 65
_BEND = 1
"""Steps in radius that the way may take from one angle to the next."""
TURN = np.linspace(0, 2 * np.pi, N_ANGLES, endpoint=False)


def trace(lab: Floats, centre: NDArray[np.float64], root: NDArray[np.float64], hidden: NDArray[np.bool_], band: float) -> Floats:
    """Return the outline's radius at each of `TURN`, (n_angles,), in radii of the ellipse ``centre``, ``root``.

    Parameters
    ----------
    lab : (n, n, 3) the picture. hidden : (n, n) where something else lies before the fruit or nothing is known.
    band : how far to either side of the ellipse the outline may run, in radii.
    """
    radii = np.linspace(1 - 1.5 * band, 1 + 1.5 * band, N_RADII)
    unit = np.stack((np.cos(TURN), np.sin(TURN)), axis=1)
    at = (centre + radii[None, :, None] * (unit @ root.T)[:, None]).astype(np.float32)
    seen = np.asarray(cv2.remap(lab, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)
    open_ = cv2.remap(hidden.astype(np.float32), at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderValue=1.0) < 0.5
    change = _change(seen)
    change[~open_] = 0.0
    # Neither end of the band has anything beyond it to compare with.
    edge = N_RADII // 6
    inner = change[:, edge:-edge]
    way = _way(inner / max(float(np.quantile(inner.max(axis=1), 0.5)), 1e-6)) + edge
    return np.asarray(np.interp(_steepest(change, way), np.arange(N_RADII), radii), np.float32)


def _change(seen: Floats) -> Floats:
    """Return how steeply the picture (n_angles, n_radii, 3) changes outwards."""
    smooth = cv2.GaussianBlur(_around(seen, 1.5), (0, 0), sigmaX=1.5, sigmaY=0.01)
    return np.asarray(np.linalg.norm(np.gradient(smooth, axis=1), axis=2), np.float32)


def _around(values: Floats, sigma: float) -> Floats:
    """Blur (n_angles, m, ...) along the angle, round and round."""
    pad = int(4 * sigma) + 1
    longer = np.concatenate((values[-pad:], values, values[:pad]))
    flat = cv2.GaussianBlur(longer.reshape(len(longer), -1), (1, 2 * pad + 1), sigmaX=0.01, sigmaY=sigma)
    return np.asarray(flat.reshape(longer.shape)[pad:-pad], np.float32)


def _way(gain: Floats) -> NDArray[np.int_]:
    """Return the closed way (n_angles,) through ``gain`` (n_angles, n) with the largest sum; it goes round twice to meet itself."""
    twice = np.concatenate((gain, gain))
    total, came = twice[0].copy(), np.zeros(twice.shape, np.int64)
    n = gain.shape[1]
    for k in range(1, len(twice)):
        padded = np.pad(total, _BEND, constant_values=-np.inf)
        options = np.stack([padded[d : d + n] - 0.02 * abs(d - _BEND) for d in range(2 * _BEND + 1)])
        best = options.argmax(axis=0)
        total, came[k] = options.max(axis=0) + twice[k], np.arange(n) + best - _BEND
    way = np.empty(len(twice), np.int64)
    way[-1] = int(total.argmax())
    for k in range(len(twice) - 1, 0, -1):
        way[k - 1] = came[k, way[k]]
    half = len(gain) // 2
    return np.roll(way[half : half + len(gain)], half)


def _steepest(change: Floats, way: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the way between the radii it was found on: the top of the parabola through three of them."""
    k = np.arange(len(way))
    a, b, c = change[k, way - 1], change[k, way], change[k, way + 1]
    bend = a - 2 * b + c
    shift = np.where(bend < -1e-6, 0.5 * (a - c) / np.minimum(bend, -1e-6), 0.0)
    return np.asarray(way + np.clip(shift, -1, 1), np.float64)
