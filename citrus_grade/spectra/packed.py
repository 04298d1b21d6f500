"""A model's arrays in two: handing thirty to a compiled function takes longer than working on them."""

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.spectra.bands import Band
from citrus_grade.spectra.expansion import Expansion

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Plan(NamedTuple):
    """A model laid out for the kernel.

    An absorbance row goes through ``before``, is normalised by ``scatter`` (kind), ``shapes`` and ``solver``, and gives
    ``found = z @ weights + offsets``: `MAX_TARGETS` values, then ``n_scores`` scores of unit variance, whatever else
    ``loadings`` take off, and the scores of ``expansions``. What ``after`` makes of z, less ``centre`` and the loadings' parts,
    is the rest: Q.
    ``limits`` (2,) of T2 and Q; ``sigma`` (2,); ``interval`` (2, 2) of each target, low and high, from its value;
    ``stretch`` (m,) of T2 at mean absorbances evenly between the two of ``darkness``.
    """

    before: Band
    scatter: int
    shapes: Floats
    solver: Floats
    weights: Floats
    offsets: Floats
    expansions: tuple[Expansion, Expansion]
    after: Band
    centre: Floats
    n_scores: int
    loadings: Floats
    limits: Floats
    sigma: Floats
    interval: Floats
    darkness: Floats
    stretch: Floats


class Packed(NamedTuple):
    """``floats``: every array of a plan, each from a cache line on. ``ints``: its whole numbers, where each array begins and its
    two sizes, then the arrays of whole numbers."""

    floats: Floats
    ints: Ints


_NUMBERS: Final = 8
"""scatter, n_scores, two columns, the lengths of four arrays of whole numbers."""
_ARRAYS: Final = 21
_WHOLE: Final = _NUMBERS + 3 * _ARRAYS
_LINE: Final = 8
"""Floats of a cache line; every array begins on one."""


def _on_lines(n: int) -> Floats:
    """Return zeros that begin where a cache line does: reading across lines takes twice as long."""
    room = np.zeros(n + _LINE)
    begun = -(room.ctypes.data // room.itemsize) % _LINE
    return room[begun : begun + n]


def pack(plan: Plan) -> Packed:
    """Return a plan in two arrays; `unpack` undoes it."""
    first, second = plan.expansions
    arrays: list[Any] = [
        plan.before.taps, plan.shapes, plan.solver, plan.weights, plan.offsets, plan.after.taps, plan.centre, plan.loadings,
        plan.limits, plan.sigma, plan.interval,
        first.slope, first.start, first.gamma, first.weight, second.slope, second.start, second.gamma, second.weight,
        plan.darkness, plan.stretch,
    ]  # fmt: skip
    whole = [plan.before.first, plan.before.run, plan.after.first, plan.after.run]
    tables = [np.atleast_2d(array) for array in arrays]
    starts = np.cumsum([0, *(-(-table.size // _LINE) * _LINE for table in tables)])
    numbers = [plan.scatter, plan.n_scores, first.column, second.column, *(len(own) for own in whole)]
    places = [(start, *table.shape) for start, table in zip(starts, tables, strict=False)]
    floats = _on_lines(int(starts[-1]))
    for start, table in zip(starts, tables, strict=False):
        floats[start : start + table.size] = table.ravel()
    ints = np.concatenate([numbers, np.ravel(places), *whole]).astype(np.int64)
    floats.setflags(write=False)
    ints.setflags(write=False)
    return Packed(floats, ints)


@njit(cache=True, nogil=True)
def _matrix(packed: Packed, k: int) -> Any:
    at = _NUMBERS + 3 * k
    start, rows, columns = packed.ints[at], packed.ints[at + 1], packed.ints[at + 2]
    return packed.floats[start : start + rows * columns].reshape((rows, columns))


@njit(cache=True, nogil=True)
def _vector(packed: Packed, k: int) -> Any:
    at = _NUMBERS + 3 * k
    start = packed.ints[at]
    return packed.floats[start : start + packed.ints[at + 1] * packed.ints[at + 2]]


@njit(cache=True, nogil=True)
def _whole(packed: Packed, k: int) -> Any:
    start = _WHOLE
    for before in range(k):
        start += packed.ints[4 + before]
    return packed.ints[start : start + packed.ints[4 + k]]


@njit(cache=True, nogil=True)
def unpack(packed: Packed) -> Plan:
    """Return the plan again, its arrays views of the two."""
    first = Expansion(packed.ints[2], _matrix(packed, 11), _vector(packed, 12), _vector(packed, 13), _vector(packed, 14))
    second = Expansion(packed.ints[3], _matrix(packed, 15), _vector(packed, 16), _vector(packed, 17), _vector(packed, 18))
    return Plan(
        Band(_matrix(packed, 0), _whole(packed, 0), _whole(packed, 1)),
        packed.ints[0],
        _matrix(packed, 1),
        _matrix(packed, 2),
        _matrix(packed, 3),
        _vector(packed, 4),
        (first, second),
        Band(_matrix(packed, 5), _whole(packed, 2), _whole(packed, 3)),
        _vector(packed, 6),
        packed.ints[1],
        _matrix(packed, 7),
        _vector(packed, 8),
        _vector(packed, 9),
        _matrix(packed, 10),
        _vector(packed, 19),
        _vector(packed, 20),
    )
