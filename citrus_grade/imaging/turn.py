"""How a fruit turned between its views, told by its own skin.

Rollers slip, so where a view lies on the fruit is measured, not assumed. On the unit disc of `imaging.disc` two views of a fruit
differ by a rotation. Every two neighbours are surveyed on a grid of rotations around the expected one (Albiol et al., Sensors
21, 2232, 2021, correlate points of a sphere so); what all of a fruit's pairs like best narrows what each of them may be; each
is then refined to a part of a cell, and so are views that meet again after a whole turn. Least squares joins them all. A pair
that shows no texture has no say in it.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.imaging.rotation import between, exponential, half_of, logarithm, multiply, solve_in_place
from citrus_grade.imaging.skin_match import REACH, STEP_RAD, SURVEY, Skin, compare, survey

GATE = 4.0
"""Evidence (natural logarithm of odds) that chance reaches somewhere on the survey's grid; a pair needs more to have a say."""
USUAL_GATE = 2.0
"""Evidence by which a usual turn must be likelier than the expected one to replace it; noise gets there in 1 fruit of 100."""
FRUIT_SPREAD = ((0.03, 0.25), (0.06, 0.12), (0.03, 0.13))
"""Standard deviation of a fruit's usual turn from the expected one, by axis: in rad, and in parts of the turn."""
PAIR_SPREAD = ((0.06, 0.06), (0.10, 0.06), (0.05, 0.05))
"""Standard deviation of a single turn from the fruit's usual one."""
CLOSE_COS = 0.6
"""Views at least three apart whose axes meet at less than the angle with this cosine show the same skin again."""

USUAL_SCORE = 0.6
"""Pairs that agree this well tell how far the rollers turn fruit, see `usual_turn`."""

_REFINE_ROUNDS, _JOIN_ROUNDS, _LARGEST_RAD = 3, 3, 0.08


@njit(cache=True, nogil=True)
def _widen(
    chances: NDArray[np.float64], reach: tuple[int, int, int], spread: NDArray[np.float64], total: NDArray[np.float64]
) -> None:
    """Add to ``total`` the evidence for every usual turn, given that of single turns that may deviate from it by ``spread``."""
    now = chances.copy()
    for axis in range(3):
        before, cost = now.copy(), 0.5 * (STEP_RAD / spread[axis]) ** 2
        for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
            for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
                for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                    at = (i, j, k)[axis]
                    best = 0.0
                    for m in range(REACH[axis] - reach[axis], REACH[axis] + reach[axis] + 1):
                        there = before[m, j, k] if axis == 0 else (before[i, m, k] if axis == 1 else before[i, j, m])
                        best = max(best, there - cost * (m - at) * (m - at))
                    now[i, j, k] = best
    total += now


@njit(cache=True, nogil=True)
def _likeliest(
    chances: NDArray[np.float64], reach: tuple[int, int, int], usual: NDArray[np.float64], spread: NDArray[np.float64],
    found: NDArray[np.float64],
) -> float:  # fmt: skip
    """Fill ``found`` with the likeliest deviation from ``usual``, known to within ``spread``; return its odds, in logarithms."""
    best = -np.inf
    for i in range(REACH[0] - reach[0], REACH[0] + reach[0] + 1):
        for j in range(REACH[1] - reach[1], REACH[1] + reach[1] + 1):
            for k in range(REACH[2] - reach[2], REACH[2] + reach[2] + 1):
                x, y, z = STEP_RAD * (i - REACH[0]), STEP_RAD * (j - REACH[1]), STEP_RAD * (k - REACH[2])
                off = ((x - usual[0]) / spread[0]) ** 2 + ((y - usual[1]) / spread[1]) ** 2 + ((z - usual[2]) / spread[2]) ** 2
                if chances[i, j, k] - 0.5 * off > best:
                    best = chances[i, j, k] - 0.5 * off
                    found[0], found[1], found[2] = x, y, z
    return best


class Tie(NamedTuple):
    """What ties views ``u`` and ``v``: near rotation ``at`` a turn by e more costs ``e @ firm @ e / 2 - pull @ e``."""

    views: NDArray[np.int64]
    at: NDArray[np.float64]
    firm: NDArray[np.float64]
    pull: NDArray[np.float64]


@njit(cache=True, nogil=True)
def _hold(
    root: NDArray[np.float64],
    usual: NDArray[np.float64],
    spread: NDArray[np.float64],
    at: NDArray[np.float64],
    firm: NDArray[np.float64],
) -> None:
    """Fill the tie of what is expected: the turn ``usual`` from ``root @ root`` to within ``spread``."""
    right = np.empty((3, 3))
    exponential(usual[0], usual[1], usual[2], firm)
    multiply(firm, root, right)
    multiply(root, right, at)
    for i in range(3):
        for j in range(3):
            firm[i, j] = 0.0
            for k in range(3):
                firm[i, j] += root[i, k] * root[j, k] / (spread[k] * spread[k])


@njit(cache=True, nogil=True)
def _around(tie: Tie, e: int, turn: NDArray[np.float64], firm: NDArray[np.float64], pull: NDArray[np.float64]) -> None:
    """Fill what a tie costs around another rotation: ``firm`` is the same, the ``pull`` less what it has already given in to."""
    more = np.empty((3, 3))
    between(tie.at[e], turn, more)
    given = logarithm(more)
    for i in range(3):
        pull[i] = tie.pull[e, i]
        for j in range(3):
            firm[i, j] = tie.firm[e, i, j]
            pull[i] -= firm[i, j] * given[j]


@njit(cache=True, nogil=True)
def _further(step: NDArray[np.float64], largest: float, turn: NDArray[np.float64]) -> None:
    """Turn ``turn`` further by a vector, at most by ``largest``."""
    length = np.sqrt(step[0] * step[0] + step[1] * step[1] + step[2] * step[2])
    part, more, before = min(1.0, largest / (length + 1e-12)), np.empty((3, 3)), turn.copy()
    exponential(part * step[0], part * step[1], part * step[2], more)
    multiply(more, before, turn)


@njit(cache=True, nogil=True)
def _refine(skin: Skin, ties: Tie, held: int, e: int) -> None:
    """Refine tie ``e`` from where it is at, held by tie ``held`` (Gauss-Newton), and fill it."""
    u, v = ties.views[e]
    firm, pull, turn = np.empty((3, 3)), np.empty(3), ties.at[e]
    for _ in range(_REFINE_ROUNDS):
        compare(skin.fine[u], skin.fine[v], turn, ties.firm[e], ties.pull[e])
        _around(ties, held, turn, firm, pull)
        firm += ties.firm[e]
        pull += ties.pull[e]
        solve_in_place(firm, pull)
        _further(pull, _LARGEST_RAD, turn)
    compare(skin.fine[u], skin.fine[v], turn, ties.firm[e], ties.pull[e])


@njit(cache=True, nogil=True)
def _join(ties: Tie, n_ties: int, turns: NDArray[np.float64], n: int) -> None:
    """Turn all views but the first so that their ties cost least."""
    m = 3 * (n - 1)
    turn, firm, pull, bent = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.empty((3, 3))
    for _ in range(_JOIN_ROUNDS):
        a, b = np.zeros((m, m)), np.zeros(m)
        for e in range(n_ties):
            u, v = ties.views[e]
            between(turns[u], turns[v], turn)
            _around(ties, e, turn, firm, pull)
            multiply(firm, turn, bent)
            for i in range(3):
                at = 3 * (v - 1) + i
                b[at] += pull[i]
                for j in range(3):
                    a[at, 3 * (v - 1) + j] += firm[i, j]
                    if u > 0:
                        a[at, 3 * (u - 1) + j] -= bent[i, j]
                        b[3 * (u - 1) + i] -= turn[j, i] * pull[j]
                        for k in range(3):
                            a[3 * (u - 1) + i, 3 * (u - 1) + j] += turn[k, i] * bent[k, j]
        solve_in_place(a, b)
        for v in range(1, n):
            _further(b[3 * (v - 1) : 3 * v], 4 * _LARGEST_RAD, turns[v])


@njit(cache=True, nogil=True)
def _spread(by_axis: tuple[tuple[float, float], ...], angle: float) -> NDArray[np.float64]:
    spread = np.empty(3)
    for axis in range(3):
        spread[axis] = by_axis[axis][0] + by_axis[axis][1] * angle
    return spread


@njit(cache=True, nogil=True)
def _reach(x: float, y: float, z: float) -> tuple[int, int, int]:
    """Return the steps to either side that a survey takes for these angles."""
    return min(int(x / STEP_RAD), REACH[0]), min(int(y / STEP_RAD), REACH[1]), min(int(z / STEP_RAD), REACH[2])


@njit(cache=True, nogil=True)
def _start(root: NDArray[np.float64], found: NDArray[np.float64], ties: Tie, views: tuple[int, int], e: int) -> None:
    ties.views[e, 0], ties.views[e, 1] = views
    node, right = np.empty((3, 3)), np.empty((3, 3))
    exponential(found[0], found[1], found[2], node)
    multiply(node, root, right)
    multiply(root, right, ties.at[e])


@njit(cache=True, nogil=True)
def _tie_neighbours(
    skin: Skin,
    n: int,
    roots: NDArray[np.float64],
    times: NDArray[np.float64],
    reach: tuple[int, int, int],
    usual: NDArray[np.float64],
    spread: NDArray[np.float64],
    turns: NDArray[np.float64],
    ties: Tie,
    score: NDArray[np.float64],
) -> int:
    """Tie neighbours by what is expected and, past the gate, by what their skin says; turn them so; return the number of ties.

    ``times`` (n - 1,): how many usual turns lie between two neighbours. ``score`` (n - 1,) is 1 past the gate, else 0.
    """
    n_ties, found = n - 1, np.empty(3)
    for k in range(n - 1):
        likely, width = times[k] * usual, max(abs(times[k]), 1.0) * spread
        ties.views[k, 0], ties.views[k, 1] = k, k + 1
        _hold(roots[k], likely, width, ties.at[k], ties.firm[k])
        tie, score[k] = k, 0.0
        if _likeliest(skin.chances[k], reach, likely, width, found) > GATE:
            tie, score[k] = n_ties, 1.0
            _start(roots[k], found, ties, (k, k + 1), tie)
            _refine(skin, ties, k, tie)
            n_ties += 1
        multiply(ties.at[tie], turns[k], turns[k + 1])
    return n_ties


@njit(cache=True, nogil=True)
def _close(skin: Skin, n: int, turns: NDArray[np.float64], spread: NDArray[np.float64], ties: Tie, n_ties: int) -> int:
    """Tie views that show the same skin again after a whole turn; return the number of ties."""
    turn, root, found, none = np.empty((3, 3)), np.empty((3, 3)), np.empty(3), np.zeros(3)
    for u in range(n - 3):
        for v in range(u + 3, n):
            between(turns[u], turns[v], turn)
            if turn[2, 2] < CLOSE_COS:
                continue
            half_of(turn, root)
            # Errors of single turns add up on the way round.
            wide = np.sqrt(float(v - u)) * spread
            reach = _reach(2 * wide[0], 2 * wide[1], 2 * wide[2])
            survey(skin, (u, v), root, reach, skin.chances[n - 1])
            if _likeliest(skin.chances[n - 1], reach, none, wide, found) < GATE:
                continue
            _start(root, found, ties, (u, v), n_ties)
            held = len(ties.views) - 1
            _hold(root, found, 0.5 * wide, ties.at[held], ties.firm[held])
            _refine(skin, ties, held, n_ties)
            n_ties += 1
    return n_ties


@njit(cache=True, nogil=True)
def measure_turns(skin: Skin, n: int, turns: NDArray[np.float64], score: NDArray[np.float64]) -> None:
    """Measure how a fruit's ``n`` views are turned.

    Parameters
    ----------
    skin : as `look` took it.
    turns : (n_views, 3, 3) rotations, fruit to view, by travel: those expected are replaced by those measured; the first stays.
    score : (n_views - 1,) filled with the correlation of each two neighbours' skin (-1..1), 0 where it has no say.
    """
    if n < 2:
        return
    turn, roots, angles = np.empty((3, 3)), np.empty((n - 1, 3, 3)), np.empty(n - 1)
    for k in range(n - 1):
        between(turns[k], turns[k + 1], turn)
        angles[k] = half_of(turn, roots[k])
    angle = np.sort(angles)[(n - 2) // 2]
    # Neighbours further apart, a view missing between them, deviate by as much more; sights differ by less than a half.
    times = np.ones(n - 1)
    for k in range(n - 1):
        if abs(angles[k] - angle) > 0.5 * abs(angle) > 0.0:
            times[k] = angles[k] / angle
    angle = abs(angle)
    reach = _reach(0.12 + 0.35 * angle, np.pi, 0.10 + 0.16 * angle)
    spread, total, usual = _spread(PAIR_SPREAD, angle), np.zeros(SURVEY), np.empty(3)
    for k in range(n - 1):
        survey(skin, (k, k + 1), roots[k], reach, skin.chances[k])
        if times[k] == 1.0:
            _widen(skin.chances[k], reach, spread, total)
    if _likeliest(total, reach, np.zeros(3), _spread(FRUIT_SPREAD, angle), usual) < total[REACH] + USUAL_GATE:
        usual[:] = 0.0
    most = 2 * n + n * n // 2
    ties = Tie(np.zeros((most, 2), np.int64), np.zeros((most, 3, 3)), np.zeros((most, 3, 3)), np.zeros((most, 3)))
    n_ties = _tie_neighbours(skin, n, roots, times, reach, usual, spread, turns, ties, score)
    n_ties = _close(skin, n, turns, spread, ties, n_ties)
    _join(ties, n_ties, turns, n)
    for k in range(n - 1):
        if score[k] > 0.0:
            between(turns[k], turns[k + 1], turn)
            score[k] = compare(skin.fine[k], skin.fine[k + 1], turn, np.empty((3, 3)), np.empty(3))


def usual_turn(steps: NDArray[np.float64], score: NDArray[np.float64]) -> float:
    """Return how far fruit usually turns about y from one view to the next, in rad: the median over pairs that agree well.

    ``steps`` (n, 3, 3) rotations between neighbours of any fruit, ``score`` (n,) as `measure_turns` gives it.
    """
    sure = steps[score >= USUAL_SCORE]
    return float(np.median(np.arctan2(sure[:, 0, 2] - sure[:, 2, 0], sure[:, 0, 0] + sure[:, 2, 2])))
