"""Random numbers out of a counter: the same key and index give the same number, whatever was drawn before."""

from typing import Any

import numpy as np
from numba import njit

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
MIX_A, MIX_B = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
LOW_16 = np.uint64(0xFFFF)
B16, B27, B30, B31, B32, B48 = (np.uint64(b) for b in (16, 27, 30, 31, 32, 48))


@njit(cache=True, nogil=True)
def mix(state: Any) -> Any:
    """Return splitmix64's finaliser of 64 bits (Steele, Lea and Flood 2014)."""
    state = (state ^ (state >> B30)) * MIX_A
    state = (state ^ (state >> B27)) * MIX_B
    return state ^ (state >> B31)


@njit(cache=True, nogil=True)
def normal(key: Any, index: int) -> float:
    """Nearly normal deviate number ``index`` of the stream ``key``: four 16-bit uniforms added, tails end at 3.5 sd."""
    bits = mix(key + np.uint64(index + 1) * GOLDEN)
    total = (bits & LOW_16) + ((bits >> B16) & LOW_16) + ((bits >> B32) & LOW_16) + (bits >> B48)
    return ((float(total) + 2.0) / 65536.0 - 2.0) * 1.7320508075688772


@njit(cache=True, nogil=True)
def key_of(seed: int, a: int, b: int) -> Any:
    """Return the key of the stream that (seed, a, b) names."""
    return mix(mix(mix(np.uint64(seed) + GOLDEN) + np.uint64(a)) + np.uint64(b))
