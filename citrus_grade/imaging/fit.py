"""Constant matrices of the two least-squares fits: a fruit's outline and its shading, solved once for all fruit.

An ellipse around a known centre is linear in ``1 / r**2 = c0 + c1 cos a + c2 sin a + c3 cos 2a + c4 sin 2a``, and rays leave at
fixed angles, so the fit is one constant pseudo-inverse. The same holds for a quadratic shading surface on fixed polar samples.
"""

import numpy as np
from numpy.typing import NDArray

N_RAYS = 64
_ANGLE_RAD = 2 * np.pi * np.arange(N_RAYS) / N_RAYS
RAY_COS: NDArray[np.float64] = np.cos(_ANGLE_RAD)
RAY_SIN: NDArray[np.float64] = np.sin(_ANGLE_RAD)
OUTLINE: NDArray[np.float64] = np.stack(
    [np.ones(N_RAYS), RAY_COS, RAY_SIN, np.cos(2 * _ANGLE_RAD), np.sin(2 * _ANGLE_RAD)], axis=1
)
"""(n_rays, 5) design of the outline."""
OUTLINE_INVERSE: NDArray[np.float64] = np.ascontiguousarray(np.linalg.pinv(OUTLINE).T)
"""(n_rays, 5): the coefficients are the sum over rays of ``inverse[ray] * value[ray]``."""

_RINGS = (0.18, 0.42, 0.62, 0.80)
_SPOKES = 20
_SPOKE_RAD = 2 * np.pi * (np.arange(_SPOKES)[None, :] + 0.5 * (np.arange(len(_RINGS))[:, None] % 2)) / _SPOKES
SHADE_X: NDArray[np.float64] = np.ascontiguousarray((np.array(_RINGS)[:, None] * np.cos(_SPOKE_RAD)).ravel())
SHADE_Y: NDArray[np.float64] = np.ascontiguousarray((np.array(_RINGS)[:, None] * np.sin(_SPOKE_RAD)).ravel())
N_SHADE = len(SHADE_X)
_R4 = (SHADE_X**2 + SHADE_Y**2) ** 2
SHADE: NDArray[np.float64] = np.stack(
    [np.ones(N_SHADE), SHADE_X, SHADE_Y, SHADE_X**2, SHADE_X * SHADE_Y, SHADE_Y**2, _R4], axis=1
)
"""(n_samples, 7) design of the shading: a quadratic and a radial fourth power for the limb, on the unit disc."""
SHADE_INVERSE: NDArray[np.float64] = np.ascontiguousarray(np.linalg.pinv(SHADE).T)

LOG: NDArray[np.float32] = np.log(np.arange(1024, dtype=np.float32) + 1.0)
"""Natural logarithm of ``sum of counts + 1``."""
