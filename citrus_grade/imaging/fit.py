"""Constant matrices of the two least-squares fits: a fruit's outline and its shading, solved once for all fruit.

An ellipse around a known centre is linear in ``1 / r**2 = c0 + c1 cos a + c2 sin a + c3 cos 2a + c4 sin 2a``, and rays leave at
fixed angles, so the fit is one constant matrix. The same holds for a quadratic shading surface on fixed polar samples.

All of it is made with scalar arithmetic: vector units and linear algebra libraries round differently from one processor to
the next, and these numbers go into every decision.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_RAYS = 64
_ANGLES = [2 * math.pi * k / N_RAYS for k in sorted(range(N_RAYS), key=lambda k: k % 4)]
"""Every fourth ray first: the first quarter is an even circle too."""
RAY_COS: Floats = np.array([math.cos(a) for a in _ANGLES])
RAY_SIN: Floats = np.array([math.sin(a) for a in _ANGLES])
OUTLINE: Floats = np.array(
    [[f(k * a) for a in _ANGLES] for f, k in ((math.cos, 0), (math.cos, 1), (math.sin, 1), (math.cos, 2), (math.sin, 2))]
)
"""(5, n_rays) design of the outline."""
OUTLINE_INVERSE: Floats = np.zeros((N_RAYS, 8))
OUTLINE_INVERSE[:, :5] = (OUTLINE * np.array([[1.0], [2.0], [2.0], [2.0], [2.0]]) / N_RAYS).T
"""(n_rays, 8): a coefficient is the sum over rays of ``inverse * value``; the basis is orthogonal on even angles."""

_RINGS = (0.18, 0.42, 0.62, 0.80)
_SPOKES = 20
_SAMPLES = [
    (radius * math.cos(angle), radius * math.sin(angle))
    for ring, radius in enumerate(_RINGS)
    for angle in (2 * math.pi * (spoke + 0.5 * (ring % 2)) / _SPOKES for spoke in range(_SPOKES))
]
SHADE_X: Floats = np.array([x for x, _ in _SAMPLES])
SHADE_Y: Floats = np.array([y for _, y in _SAMPLES])
N_SHADE = len(_SAMPLES)
SHADE: Floats = np.array([[1.0, x, y, x * x, x * y, y * y, (x * x + y * y) ** 2] for x, y in _SAMPLES]).T.copy()
"""(7, n_samples) design of the shading: a quadratic and a radial fourth power for the limb, on the unit disc."""


def _solve(matrix: list[list[float]], right: list[list[float]]) -> list[list[float]]:
    """Solve ``matrix @ x = right`` for a positive definite matrix by elimination in a fixed order."""
    n = len(matrix)
    rows = [[*matrix[i], *right[i]] for i in range(n)]
    for k in range(n):
        rows[k] = [value / rows[k][k] for value in rows[k]]
        for i in range(n):
            if i != k:
                factor = rows[i][k]
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k], strict=True)]
    return [row[n:] for row in rows]


def _inverse(design: Floats) -> Floats:
    """Return the pseudo-inverse, (k, n), of a design of full rank, (k, n), from its normal equations."""
    rows = design.tolist()
    normal = [[math.fsum(a * b for a, b in zip(p, q, strict=True)) for q in rows] for p in rows]
    return np.array(_solve(normal, rows))


SHADE_INVERSE: Floats = np.zeros((N_SHADE, 8))
SHADE_INVERSE[:, : len(SHADE)] = _inverse(SHADE).T
"""(n_samples, 8): a coefficient is the sum over samples of ``inverse * value``."""
