"""Rotations as the kernels use them: products, logarithms and exponentials, every sum in the same order."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def rotation_by(w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation by a vector's length about its direction (Rodrigues)."""
    angle = float(np.linalg.norm(w)) or 1.0
    cross = np.array([[0, -w[2], w[1]], [w[2], 0, -w[0]], [-w[1], w[0], 0]]) / angle
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


@njit(cache=True, nogil=True)
def multiply(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill ``out`` with ``a @ b``; it may be neither of them."""
    for i in range(3):
        for j in range(3):
            out[i, j] = a[i, 0] * b[0, j] + a[i, 1] * b[1, j] + a[i, 2] * b[2, j]


@njit(cache=True, nogil=True)
def between(a: NDArray[np.float64], b: NDArray[np.float64], out: NDArray[np.float64]) -> None:
    """Fill ``out`` with ``b @ a.T``, the rotation from ``a`` to ``b``."""
    for i in range(3):
        for j in range(3):
            out[i, j] = b[i, 0] * a[j, 0] + b[i, 1] * a[j, 1] + b[i, 2] * a[j, 2]


@njit(cache=True, nogil=True)
def exponential(x: float, y: float, z: float, out: NDArray[np.float64]) -> None:
    """Fill ``out`` with the rotation by a vector (Rodrigues)."""
    t = np.sqrt(x * x + y * y + z * z)
    s = np.sin(t) / t if t > 1e-9 else 1.0
    d = (1.0 - np.cos(t)) / (t * t) if t > 1e-9 else 0.5
    out[0, 0], out[0, 1], out[0, 2] = 1.0 - d * (y * y + z * z), d * x * y - s * z, d * x * z + s * y
    out[1, 0], out[1, 1], out[1, 2] = d * x * y + s * z, 1.0 - d * (x * x + z * z), d * y * z - s * x
    out[2, 0], out[2, 1], out[2, 2] = d * x * z - s * y, d * y * z + s * x, 1.0 - d * (x * x + y * y)


@njit(cache=True, nogil=True)
def logarithm(turn: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the vector of a rotation by less than pi."""
    x, y, z = turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]
    s = np.sqrt(x * x + y * y + z * z)
    f = np.arctan2(s, turn[0, 0] + turn[1, 1] + turn[2, 2] - 1.0) / s if s > 1e-9 else 0.5
    return f * x, f * y, f * z


@njit(cache=True, nogil=True)
def half_of(turn: NDArray[np.float64], root: NDArray[np.float64]) -> float:
    """Fill half of a rotation; return by how much it turns about y."""
    x, y, z = logarithm(turn)
    exponential(0.5 * x, 0.5 * y, 0.5 * z, root)
    return y


@njit(cache=True, nogil=True)
def solve_in_place(a: NDArray[np.float64], b: NDArray[np.float64]) -> None:
    """Solve a symmetric positive definite system in place (Cholesky), in a fixed order; the answer is left in ``b``."""
    m = len(b)
    for i in range(m):
        for j in range(i + 1):
            value = a[i, j]
            for k in range(j):
                value -= a[i, k] * a[j, k]
            a[i, j] = np.sqrt(value) if i == j else value / a[j, j]
        value = b[i]
        for k in range(i):
            value -= a[i, k] * b[k]
        b[i] = value / a[i, i]
    for i in range(m - 1, -1, -1):
        value = b[i]
        for k in range(i + 1, m):
            value -= a[k, i] * b[k]
        b[i] = value / a[i, i]
