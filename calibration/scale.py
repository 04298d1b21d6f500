"""Millimetres from gauge balls: the straight line, one a lane, from what the optics alone say to what the balls measure."""

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import CalibrationError, refuse
from citrus_grade.words import _

__all__ = ["CalibrationError", "fit_scale"]

LEAST_BALLS = 6
WORST_SIGMA_MM = 1.0


def fit_scale(
    nominal_mm: NDArray[np.float64],
    known_mm: NDArray[np.float64],
    lane: NDArray[np.int_],
    n_lanes: int,
    worst_sigma_mm: float = WORST_SIGMA_MM,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit each lane's scale by least squares.

    Parameters
    ----------
    nominal_mm : (n,) diameters under the nominal calibration. known_mm : (n,) the balls'. lane : (n,).
    worst_sigma_mm : residuals above it are refused; of fruit they are larger than of balls.

    Returns
    -------
    scale : (n_lanes, 2) offset in mm and slope. sigma_mm : (n_lanes,) standard deviation of the residuals.

    Raises
    ------
    CalibrationError : lanes with too few balls, one size only, or residuals that are too large; all of them.
    """
    scale, sigma_mm = np.empty((n_lanes, 2)), np.empty(n_lanes)
    problems = []
    for k in range(n_lanes):
        good = (lane == k) & np.isfinite(nominal_mm)
        n, sizes = int(good.sum()), len(np.unique(known_mm[good]))
        if n < LEAST_BALLS or sizes < 2:
            text = _("lane {lane}: {n} balls of {sizes} sizes were seen; at least {least} of two sizes are needed")
            problems.append(text.format(lane=k, n=n, sizes=sizes, least=LEAST_BALLS))
            continue
        slope, offset = np.polyfit(nominal_mm[good], known_mm[good], 1)
        residual = known_mm[good] - (offset + slope * nominal_mm[good])
        scale[k], sigma_mm[k] = (offset, slope), residual.std(ddof=2)
        if sigma_mm[k] > worst_sigma_mm:
            text = _(
                "lane {lane}: residuals of {sigma:.2f} mm, more than {worst:g} mm; clean the lens and the balls, check their"
                " sizes and lane_y_px"
            )
            problems.append(text.format(lane=k, sigma=sigma_mm[k], worst=worst_sigma_mm))
    refuse(problems)
    return scale, sigma_mm
