"""Exponential and logarithm, the same on every processor, and many at a time where a loop takes them one after the other.

Only additions, products, quotients and shifts, each rounded as IEEE 754 says: the library's own functions differ between
machines, and no loop with them becomes vector instructions.
"""

from typing import Any, Final

from numba import njit, types
from numba.extending import intrinsic

LOG2_E: Final = 1.4426950408889634
LN2_HIGH: Final = 0.6931471803691238
LN2_LOW: Final = 1.9082149292705877e-10
MAGIC: Final = 6755399441055744.0
"""1.5 * 2**52: a number of moderate size added to it is rounded to a whole one, which its lowest bits then hold."""
MAGIC_BITS: Final = 0x4338000000000000
"""Of `MAGIC`: a whole number added to them is, less `MAGIC`, that number as a float."""
ROOT_HALF_BITS: Final = 0x3FE6A09E667F3BCD
ONE_BITS: Final = 0x3FF0000000000000
LEAST: Final = -600.0


def _same_bits(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    return builder.bitcast(args[0], context.get_value_type(signature.return_type))


def _to_bits(_typing: Any, _value: Any) -> Any:
    return types.int64(types.float64), _same_bits


def _from_bits(_typing: Any, _value: Any) -> Any:
    return types.float64(types.int64), _same_bits


_bits: Any = intrinsic(_to_bits)
"""A float's bits as a whole number."""
_float: Any = intrinsic(_from_bits)
"""The float that has these bits."""


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def exponential(value: float) -> Any:
    """Return exp(value) of a value of at most 0 or a little more; below -600 it stays as it is there, still a normal number.

    exp(x) = 2^n * exp(r): n is rounded by an addition and shifted into the exponent bits, exp(r) is its series to r^12.
    """
    x = value if value > LEAST else LEAST  # max() asks about NaN and signs, a comparison is one instruction
    turned = x * LOG2_E + MAGIC
    n = turned - MAGIC
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    series = 1.0 / 39916800.0 + r * (1.0 / 479001600.0)
    series = 1.0 / 3628800.0 + r * series
    series = 1.0 / 362880.0 + r * series
    series = 1.0 / 40320.0 + r * series
    series = 1.0 / 5040.0 + r * series
    series = 1.0 / 720.0 + r * series
    series = 1.0 / 120.0 + r * series
    series = 1.0 / 24.0 + r * series
    series = 1.0 / 6.0 + r * series
    series = 0.5 + r * series
    return (1.0 + (r + (r * r) * series)) * _float((_bits(turned) << 52) + ONE_BITS)


@njit(cache=True, nogil=True, error_model="numpy", forceinline=True)
def logarithm(value: float) -> Any:
    """Return ln(value) of a positive value.

    ln(x) = e * ln(2) + 2 * artanh(s), s = (m - 1) / (m + 1), with m within a root of 2 about 1; the series goes to s^21.
    """
    bits = _bits(value)
    power = (bits - ROOT_HALF_BITS) >> 52
    m = _float(bits - (power << 52))
    e = _float(power + MAGIC_BITS) - MAGIC
    s = (m - 1.0) / (m + 1.0)
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
    return e * LN2_HIGH + (2.0 * (s + s * z * series) + e * LN2_LOW)
