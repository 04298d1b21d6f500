"""Exponentials and logarithms of many numbers at once, the same on every processor.

Only additions, products, quotients and shifts, each rounded as IEEE 754 says: the library's own functions differ between
machines, and are taken one number at a time.
"""

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LOG2_E: Final = 1.4426950408889634
LN2_HIGH: Final = 0.6931471803691238
LN2_LOW: Final = 1.9082149292705877e-10
MAGIC: Final = 6755399441055744.0
"""1.5 * 2**52: a number of moderate size added to it is rounded to a whole one, which its lowest bits then hold."""
MAGIC_BITS: Final = 0x4338000000000000
"""Of `MAGIC`: a whole number added to them is, less `MAGIC`, that number as a float."""
ROOT_HALF_BITS: Final = 0x3FE6A09E667F3BCD
LEAST: Final = -700.0
BIAS: Final = 1023


@njit(cache=True, nogil=True)
def exponentials(values: Floats, scale: Floats) -> None:
    """Put exp(value) in place of every value of at most 0 or a little more; ``scale``, as long, is to work in.

    exp(x) = 2^n * exp(r): n is rounded by an addition and shifted into the exponent bits, exp(r) is its series to r^13.
    """
    bits: Any = scale.view(np.int64)
    for i in range(len(values)):
        scale[i] = max(values[i], LEAST) * LOG2_E + MAGIC
    for i in range(len(values)):
        n = scale[i] - MAGIC
        r = (max(values[i], LEAST) - n * LN2_HIGH) - n * LN2_LOW
        series = 1.0 + r * (1.0 / 13.0)
        series = 1.0 + r * (1.0 / 12.0) * series
        series = 1.0 + r * (1.0 / 11.0) * series
        series = 1.0 + r * (1.0 / 10.0) * series
        series = 1.0 + r * (1.0 / 9.0) * series
        series = 1.0 + r * (1.0 / 8.0) * series
        series = 1.0 + r * (1.0 / 7.0) * series
        series = 1.0 + r * (1.0 / 6.0) * series
        series = 1.0 + r * (1.0 / 5.0) * series
        series = 1.0 + r * (1.0 / 4.0) * series
        series = 1.0 + r * (1.0 / 3.0) * series
        series = 1.0 + r * (1.0 / 2.0) * series
        values[i] = 1.0 + r * series
    for i in range(len(values)):
        bits[i] = (bits[i] + BIAS) << 52
    for i in range(len(values)):
        values[i] *= scale[i]


@njit(cache=True, nogil=True)
def logarithms(values: Floats, exponent: Floats, factor: float) -> None:
    """Put ``factor`` * ln(value) in place of every value, which is positive; ``exponent``, as long, is to work in.

    ln(x) = e * ln(2) + 2 * artanh(s), s = (m - 1) / (m + 1), with m within a root of 2 about 1; the series goes to s^21.
    """
    bits: Any = values.view(np.int64)
    exponent_bits: Any = exponent.view(np.int64)
    for i in range(len(values)):
        e = (bits[i] - ROOT_HALF_BITS) >> 52
        exponent_bits[i] = e + MAGIC_BITS
        bits[i] -= e << 52
    for i in range(len(values)):
        e = exponent[i] - MAGIC
        s = (values[i] - 1.0) / (values[i] + 1.0)
        z = s * s
        series = 1.0 / 19.0 + z * (1.0 / 21.0)
        series = 1.0 / 17.0 + z * series
        series = 1.0 / 15.0 + z * series
        series = 1.0 / 13.0 + z * series
        series = 1.0 / 11.0 + z * series
        series = 1.0 / 9.0 + z * series
        series = 1.0 / 7.0 + z * series
        series = 1.0 / 5.0 + z * series
        series = 1.0 / 3.0 + z * series
        values[i] = factor * (e * LN2_HIGH + (2.0 * (s + s * z * series) + e * LN2_LOW))
