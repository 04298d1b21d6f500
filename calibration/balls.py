"""Gauge balls as the line saw them: which of the known sizes each one is, and whether they fit what they should measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import refuse
from citrus_grade.calibration.scale import fit_scale
from citrus_grade.words import _

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LEAST_SIZES = 3
LEAST_OF_A_SIZE = 3
LEAST_STEP_MM = 5.0
MISMATCH = 0.4
"""Share of the smallest step between sizes by which a ball may be off and still be told from the next size."""
WORST_SIGMA_MM = 0.25
WORST_RESIDUAL_MM = 0.6
WORST_SLOPE_PCT = 10.0
WORST_ASIDE_MM = 10.0
UNKNOWN = -1


@dataclass(frozen=True, slots=True, eq=False)
class Balls:
    """Balls in the order of their lanes and cups.

    ``lane``, ``cup`` (n,); ``nominal_mm`` (n,) what the optics alone say; ``aside_mm`` (n, 2) the centre beside its cup's,
    downstream and across; ``view_ball``, ``view_window`` (m,) and ``view_mm`` (m,) the single views; ``crowded`` (k, 2) lane and
    cup of what was no single ball.
    """

    lane: Ints
    cup: Ints
    nominal_mm: Floats
    aside_mm: Floats
    view_ball: Ints
    view_window: Ints
    view_mm: Floats
    crowded: Ints

    def measured_mm(self, scale: Floats) -> Floats:
        """Return the diameters under lanes' scales (n_lanes, 2)."""
        return np.asarray(scale[self.lane, 0] + scale[self.lane, 1] * self.nominal_mm)


@dataclass(frozen=True, slots=True, eq=False)
class ScaleFit:
    """Lanes' scales from balls: ``scale`` (n_lanes, 2), ``sigma_mm`` (n_lanes,), and of each ball its ``known_mm`` (n,)."""

    balls: Balls
    sizes_mm: tuple[float, ...]
    known_mm: Floats
    scale: Floats
    sigma_mm: Floats

    @property
    def residual_mm(self) -> Floats:
        """Measured less known, (n,)."""
        return self.balls.measured_mm(self.scale) - self.known_mm

    @property
    def view_residual_mm(self) -> Floats:
        """The same of every single view, (m,)."""
        ball = self.balls.view_ball
        scale = self.scale[self.balls.lane[ball]]
        return np.asarray(scale[:, 0] + scale[:, 1] * self.balls.view_mm - self.known_mm[ball])


def name_sizes(balls: Balls, present_mm: Floats, sizes_mm: Sequence[float]) -> Floats:
    """Return which of the sizes each ball is, (n,) mm.

    Parameters
    ----------
    present_mm : (n,) what the balls measure now. sizes_mm : in the order in which the balls follow one another in every lane.

    Raises
    ------
    CalibrationError : a ball that is none of the sizes, or one that comes out of turn.
    """
    sizes = np.array(sizes_mm, np.float64)
    limit_mm = MISMATCH * float(np.min(np.diff(np.sort(sizes)))) if len(sizes) > 1 else 3.0
    which = _nearest(present_mm, sizes, limit_mm)
    if (which == UNKNOWN).any():
        factor = _common_factor(present_mm, sizes)
        again = _nearest(present_mm / factor, sizes, limit_mm)
        which = which if (again == UNKNOWN).any() else again
    names = ", ".join(f"{size:g}" for size in sizes)
    text = _("lane {lane}, cup {cup}: a ball of {mm:.1f} mm is none of {sizes} mm; give the sizes that were laid on the belt")
    strangers = np.flatnonzero(which == UNKNOWN)
    problems = [
        text.format(lane=balls.lane[i], cup=balls.cup[i], mm=present_mm[i], sizes=names)
        for i in strangers[np.unique(balls.lane[strangers], return_index=True)[1]]
    ]
    refuse(problems)
    refuse(_out_of_turn(balls, which, sizes))
    return sizes[which]


def _nearest(mm: Floats, sizes: Floats, limit_mm: float) -> Ints:
    apart = np.abs(mm[:, None] - sizes[None, :])
    return np.where(apart.min(axis=1) <= limit_mm, apart.argmin(axis=1), UNKNOWN).astype(np.int64)


def _common_factor(mm: Floats, sizes: Floats) -> float:
    """Return by what factor all balls look too large, as if as many of each size were there."""
    groups = np.array_split(np.sort(mm), len(sizes))
    return float(np.median([np.median(group) / size for group, size in zip(groups, np.sort(sizes), strict=True) if len(group)]))


def _out_of_turn(balls: Balls, which: Ints, sizes: Floats) -> list[str]:
    """Name the first ball of each lane that does not follow its predecessor's size."""
    problems = []
    for lane in np.unique(balls.lane):
        own = balls.lane == lane
        crowded = balls.crowded[balls.crowded[:, 0] == lane, 1]
        cups = np.concatenate([balls.cup[own], crowded])
        order = np.argsort(cups)
        turn = np.concatenate([which[own], np.full(len(crowded), UNKNOWN)])[order]
        place = np.arange(len(turn))
        known = turn != UNKNOWN
        start = int(np.bincount((turn[known] - place[known]) % len(sizes)).argmax())
        due = (place + start) % len(sizes)
        wrong = np.flatnonzero(known & (turn != due))
        if len(wrong):
            text = _(
                "lane {lane}, cup {cup}: a ball of {found:g} mm where one of {due:g} mm was to follow ({n} of {all} out of turn);"
                " lay the balls in the order of --balls-mm"
            )
            found, wanted = sizes[turn[wrong[0]]], sizes[due[wrong[0]]]
            problems.append(
                text.format(lane=lane, cup=cups[order][wrong[0]], found=found, due=wanted, n=len(wrong), all=int(known.sum()))
            )
    return problems


def fit_balls(balls: Balls, present: Floats, sizes_mm: Sequence[float], n_lanes: int) -> ScaleFit:
    """Fit the lanes' scales to balls of known sizes; ``present`` (n_lanes, 2) are the scales in use.

    Raises
    ------
    CalibrationError : too few sizes or balls, balls out of turn, or residuals, slopes or places that no gauge ball gives.
    """
    refuse(_sizes_that_fix_no_line(sizes_mm))
    refuse(_lanes_without_balls(balls, n_lanes))
    known_mm = name_sizes(balls, balls.measured_mm(present), sizes_mm)
    refuse(_too_few(balls, known_mm, sizes_mm, n_lanes))
    scale, sigma_mm = fit_scale(balls.nominal_mm, known_mm, balls.lane, n_lanes, WORST_SIGMA_MM)
    fit = ScaleFit(balls, tuple(sizes_mm), known_mm, scale, sigma_mm)
    refuse(_unlikely(fit))
    return fit


def _sizes_that_fix_no_line(sizes_mm: Sequence[float]) -> list[str]:
    ordered = sorted(sizes_mm)
    if len(ordered) >= LEAST_SIZES and all(b - a >= LEAST_STEP_MM for a, b in pairwise(ordered)):
        return []
    text = _("--balls-mm {sizes}: at least {least} sizes, {step:g} mm apart or more, are needed to fix a scale")
    return [text.format(sizes=",".join(f"{size:g}" for size in sizes_mm), least=LEAST_SIZES, step=LEAST_STEP_MM)]


def _lanes_without_balls(balls: Balls, n_lanes: int) -> list[str]:
    text = _("lane {lane}: no ball was seen; lay balls in every lane, and check lane_y_px, window_x_px and threshold")
    return [text.format(lane=lane) for lane in range(n_lanes) if not (balls.lane == lane).any()]


def _too_few(balls: Balls, known_mm: Floats, sizes_mm: Sequence[float], n_lanes: int) -> list[str]:
    text = _("lane {lane}: {n} balls of {mm:g} mm were seen; at least {least} of each size are needed")
    counts = {(lane, mm): int(((balls.lane == lane) & (known_mm == mm)).sum()) for lane in range(n_lanes) for mm in sizes_mm}
    return [text.format(lane=lane, n=n, mm=mm, least=LEAST_OF_A_SIZE) for (lane, mm), n in counts.items() if n < LEAST_OF_A_SIZE]


def _unlikely(fit: ScaleFit) -> list[str]:
    balls, residual = fit.balls, fit.residual_mm
    problems = []
    worst = int(np.argmax(np.abs(residual)))
    if abs(residual[worst]) > WORST_RESIDUAL_MM:
        text = _(
            "lane {lane}, cup {cup}: a ball of {known:g} mm measures {off:+.2f} mm more, at most {limit} mm are good; clean it,"
            " or measure the ball with a calliper"
        )
        where = {"lane": balls.lane[worst], "cup": balls.cup[worst], "known": fit.known_mm[worst]}
        problems.append(text.format(**where, off=residual[worst], limit=WORST_RESIDUAL_MM))
    for lane, (_offset, slope) in enumerate(fit.scale):
        if abs(slope - 1) > WORST_SLOPE_PCT / 100:
            text = _("lane {lane}: balls are {pct:+.0f} % larger than px_per_mm makes them; correct px_per_mm in line.toml first")
            problems.append(text.format(lane=lane, pct=100 * (slope - 1)))
        aside = balls.aside_mm[balls.lane == lane].mean(axis=0)
        if np.abs(aside).max() > WORST_ASIDE_MM:
            text = _(
                "lane {lane}: balls lie {along:+.0f} mm downstream and {across:+.0f} mm across of where their cups are thought to"
                " be; measure lanes and cups with --empty, or correct lane_y_px, window_x_px and station"
            )
            problems.append(text.format(lane=lane, along=aside[0], across=aside[1]))
    return problems
