"""The decision: measurements of a batch of cups to size, mass, grade, outlet and the tick to fire at."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from citrus_grade.grading.chance import Chances, weigh
from citrus_grade.grading.features import fill
from citrus_grade.grading.walk import Room, Walk, classify, room
from citrus_grade.messages import Reason
from citrus_grade.tables import BRIDGING, DOUBLE, EMPTY, UNSEEN

_EMPTY, _DOUBLE, _BRIDGING, _MISSING_VIEW = int(Reason.EMPTY), int(Reason.DOUBLE), int(Reason.BRIDGING), int(Reason.MISSING_VIEW)
_MISSING_SPECTRUM, _SATURATED, _OUT_OF_DOMAIN = int(Reason.MISSING_SPECTRUM), int(Reason.SATURATED), int(Reason.OUT_OF_DOMAIN)
_LATE, _FULL, _FAULT, _NO_RULE, _LANE_OFF = (
    int(Reason.LATE),
    int(Reason.OUTLET_FULL),
    int(Reason.OUTLET_FAULT),
    int(Reason.NO_RULE),
    int(Reason.LANE_OFF),
)


class Rules(NamedTuple):
    """A plan's arrays, see `plan.Plan`, with its ``chances`` bound to the model in use."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    allowed: NDArray[np.bool_]
    needs_spectrum: bool
    chances: Chances


class Scale(NamedTuple):
    """Pixels to millimetres to grams: ``optics`` is px_per_mm, lens height and fruit plane in mm; the rest is the
    calibration's."""

    optics: NDArray[np.float64]
    scale: NDArray[np.float64]
    scale_sigma_mm: NDArray[np.float64]
    density_g_per_ml: NDArray[np.float64]


class Routes(NamedTuple):
    """The outlets: ``station_milli`` (n_lanes, n_outlets), ``interval_ticks`` a fruit takes of an outlet's capacity (0:
    unlimited), ``min_gap_cups``."""

    station_milli: NDArray[np.int64]
    interval_ticks: NDArray[np.int64]
    min_gap_cups: NDArray[np.int64]
    num: int
    den: int
    lead_ticks: int


class OutletBooks(NamedTuple):
    """What the outlets have been given so far: ``due_tick`` (n_outlets,) when the capacity given out is used up, ``open``
    and ``sound`` (n_lanes, n_outlets) as the PLC reports, ``last_cup`` (n_lanes, n_outlets)."""

    due_tick: NDArray[np.int64]
    open: NDArray[np.bool_]
    sound: NDArray[np.bool_]
    last_cup: NDArray[np.int64]


BURST = 8
"""How many fruit more than its steady capacity an outlet takes at once."""


@njit(cache=True, nogil=True)
def magnification(nominal_mm: Any, shape: Any, optics: NDArray[np.float64]) -> Any:
    """Return what to multiply a nominal size by, for a fruit is not at the height the scale is given for.

    The widest silhouette of a fruit that turns lies ``z = (d + h) / 4`` above the rollers on average, and a larger fruit,
    nearer the lens, looks larger still: ``d = d0 * H / (H - plane + d0 * (1 + shape) / 4)`` solves the pinhole camera's
    ``d = d0 * (H - z) / (H - plane)``. Works on numbers and arrays; ``shape`` is height over diameter.
    """
    return optics[1] / (optics[1] - optics[2] + 0.25 * (1.0 + shape) * nominal_mm)


@njit(cache=True, nogil=True)
def measure(row: Any, scale: Scale) -> None:
    """Fill size, volume and mass of one decision from its pixels."""
    px_per_mm, lane = scale.optics[0], row.lane
    nominal = row.diameter_px / px_per_mm
    magnified = magnification(nominal, row.height_px / row.diameter_px, scale.optics)
    row.diameter_mm = scale.scale[lane, 0] + scale.scale[lane, 1] * nominal * magnified
    row.height_mm = scale.scale[lane, 0] + scale.scale[lane, 1] * row.height_px / px_per_mm * magnified
    sigma = scale.scale_sigma_mm[lane]
    row.diameter_sigma_mm = np.sqrt((row.diameter_sigma_px / px_per_mm) ** 2 + sigma**2)
    row.height_sigma_mm = np.sqrt((row.height_sigma_px / px_per_mm) ** 2 + sigma**2)
    row.shape_index = row.height_mm / row.diameter_mm
    row.volume_ml = np.pi / 6000 * row.diameter_mm**2 * row.height_mm
    row.mass_g = scale.density_g_per_ml[0] * row.volume_ml
    row.largest_blemish_mm = row.largest_blemish_share * row.diameter_mm
    relative = (
        (2 * row.diameter_sigma_mm / row.diameter_mm) ** 2
        + (row.height_sigma_mm / row.height_mm) ** 2
        + (scale.density_g_per_ml[1] / scale.density_g_per_ml[0]) ** 2
    )
    row.mass_sigma_g = row.mass_g * np.sqrt(relative)


@njit(cache=True, nogil=True)
def grade_class(row: Any, values: NDArray[np.float64], classifier: Walk, work: Room) -> None:
    """Fill class and probability of one fruit, and behind its features what `plan.Plan` bounds of them."""
    k = classifier.n_classes
    n = len(values) - 2 * k
    best = classify(values[:n], classifier, work, values[n : n + k])
    row.grade_class, row.grade_probability = best, values[n + best]
    for c in range(k):
        values[n + k + c] = 1.0 if c == best else 0.0


@njit(cache=True, nogil=True)
def _holds(values: NDArray[np.float64], rules: Rules, rule: int) -> bool:
    """Whether a rule's bounds on these values hold (half-open); an unmeasured value satisfies none."""
    for k in range(len(values)):
        low, high = rules.low[rule, k], rules.high[rule, k]
        if (low > -np.inf or high < np.inf) and not low <= values[k] < high:
            return False
    return True


@njit(cache=True, nogil=True)
def first_rule(values: NDArray[np.float64], rules: Rules) -> int:
    """Return the first rule whose every bound holds, -1 if none does."""
    for rule in range(len(rules.low)):
        if _holds(values, rules, rule):
            return rule
    return -1


@njit(cache=True, nogil=True)
def tightest(values: NDArray[np.float64], rules: Rules, rule: int) -> float:
    """Return the probability that clears a rule's by the least, or misses it by the most; NaN where the rule asks for none."""
    found, least = np.nan, np.inf
    for k in range(len(values) - len(rules.chances.trait), len(values)):
        asked = rules.low[rule, k]
        if asked > -np.inf and values[k] - asked < least:
            found, least = values[k], values[k] - asked
    return found


@njit(cache=True, nogil=True)
def sort(row: Any, values: NDArray[np.float64], rules: Rules) -> int:
    """Fill the rule of one fruit, the first rule before it that only a probability kept the fruit from, and how likely either
    was; return the rule."""
    rule = row.rule = first_rule(values, rules)
    if rule >= 0:
        row.rule_probability = tightest(values, rules, rule)
    measured = values[: len(values) - len(rules.chances.trait)]
    for missed in range(rule if rule >= 0 else len(rules.low)):
        if _holds(measured, rules, missed):
            row.missed_rule, row.missed_probability = missed, tightest(values, rules, missed)
            break
    return rule


@njit(cache=True, nogil=True)
def obstacles(row: Any, status: int, least_views: int, lane_on: bool, needs_spectrum: bool) -> int:
    """Return the reasons, as bits, why a cup can't be graded."""
    if row.state == EMPTY:
        return 1 << _EMPTY
    if not lane_on:
        return 1 << _LANE_OFF
    bits = 0
    if row.state == DOUBLE:
        bits |= 1 << _DOUBLE
    elif row.state == BRIDGING:
        bits |= 1 << _BRIDGING
    if row.state == UNSEEN or row.views < least_views or row.fruit_views == 0:
        bits |= 1 << _MISSING_VIEW
    if needs_spectrum and status > 0:
        bits |= 1 << (_MISSING_SPECTRUM if status == 1 else _SATURATED if status == 2 else _OUT_OF_DOMAIN)
    return bits


@njit(cache=True, nogil=True)
def fire_tick(cup: int, station_milli: int, num: int, den: int, offset: int) -> int:
    """Return the encoder count, rounded up, at which ``cup`` reaches a station."""
    return -((offset * 1000 - (cup * 1000 + station_milli) * num) // (den * 1000))


@njit(cache=True, nogil=True)
def route(row: Any, rule: int, rules: Rules, routes: Routes, books: OutletBooks, tick: int, head_tick: int, offset: int) -> int:
    """Choose the least loaded outlet that the rule allows and fill outlet and tick; return the reasons that kept it from one."""
    best, bits = -1, 0
    for outlet in range(len(routes.interval_ticks)):
        if not rules.allowed[rule, outlet]:
            continue
        if not books.sound[row.lane, outlet]:
            bits |= 1 << _FAULT
            continue
        interval = routes.interval_ticks[outlet]
        crowded = row.cup - books.last_cup[row.lane, outlet] <= routes.min_gap_cups[outlet]
        if not books.open[row.lane, outlet] or crowded or (interval and books.due_tick[outlet] - tick > BURST * interval):
            bits |= 1 << _FULL
            continue
        if (
            fire_tick(row.cup, routes.station_milli[row.lane, outlet], routes.num, routes.den, offset) - head_tick
            < routes.lead_ticks
        ):
            bits |= 1 << _LATE
            continue
        if best < 0 or books.due_tick[outlet] < books.due_tick[best]:
            best = outlet
    if best < 0:
        return bits
    row.outlet = best
    row.fire_tick = fire_tick(row.cup, routes.station_milli[row.lane, best], routes.num, routes.den, offset)
    books.due_tick[best] = max(books.due_tick[best], tick) + max(routes.interval_ticks[best], 1)
    books.last_cup[row.lane, best] = row.cup
    return 0


@njit(cache=True, nogil=True)
def decide(
    rows: Any,
    status: NDArray[np.uint8],
    lane_on: NDArray[np.bool_],
    least_views: int,
    scale: Scale,
    rules: Rules,
    routes: Routes,
    books: OutletBooks,
    classifier: Walk,
    tick: int,
    head_tick: int,
    offset: int,
) -> int:
    """Decide a batch: fill each `tables.DECISION` in lane order, keep the outlets' books; return how many are ejected.

    ``status`` (n,) is `traits.TRAITS`'s: 0 good, 1 missing, 2 saturated, 3 out of domain. ``classifier`` may have no class.
    """
    n_classes = classifier.n_classes
    values = np.empty(rules.low.shape[1])
    n_measured = len(values) - len(rules.chances.trait)
    work = room(classifier)
    default, ejected = len(routes.interval_ticks), 0
    for i in range(len(rows)):
        row = rows[i]
        row.grade_class, row.rule, row.missed_rule, row.outlet, row.fire_tick = -1, -1, -1, default, -1
        if row.fruit_views > 0:
            measure(row, scale)
        bits = obstacles(row, status[i], least_views, lane_on[row.lane], rules.needs_spectrum)
        if bits == 0:
            fill(row, values[: n_measured - 2 * n_classes])
            if n_classes:
                grade_class(row, values[:n_measured], classifier, work)
            weigh(row.trait, rules.chances, values[n_measured:])
            rule = sort(row, values, rules)
            bits = route(row, rule, rules, routes, books, tick, head_tick, offset) if rule >= 0 else 1 << _NO_RULE
        row.reasons = bits
        row.reason = 0
        for reason in range(1, _LANE_OFF + 1):
            if bits >> reason & 1:
                row.reason = reason
                break
        ejected += row.outlet != default
    return ejected
