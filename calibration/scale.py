"""Millimetres from gauge balls: the straight line, one a lane, from what the optics alone say to what the balls measure."""

import numpy as np
from numpy.typing import NDArray

LEAST_BALLS = 6
WORST_SIGMA_MM = 1.0


class CalibrationError(ValueError):
    """Measurements no calibration can be made from; the message says which lane, what is wrong, and what to do."""


def fit_scale(
    nominal_mm: NDArray[np.float64], known_mm: NDArray[np.float64], lane: NDArray[np.int_], n_lanes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit each lane's scale by least squares.

    Parameters
    ----------
    nominal_mm : (n,) diameters under the nominal calibration. known_mm : (n,) the balls'. lane : (n,).

    Returns
    -------
    scale : (n_lanes, 2) offset in mm and slope. sigma_mm : (n_lanes,) standard deviation of the residuals.

    Raises
    ------
    CalibrationError : a lane with too few balls, one size only, or residuals no gauge ball gives.
    """
    scale, sigma_mm = np.empty((n_lanes, 2)), np.empty(n_lanes)
    for k in range(n_lanes):
        good = (lane == k) & np.isfinite(nominal_mm)
        n, sizes = int(good.sum()), len(np.unique(known_mm[good]))
        if n < LEAST_BALLS or sizes < 2:
            raise CalibrationError(
                f"lane {k}: {n} balls of {sizes} sizes were seen; at least {LEAST_BALLS} of two sizes are needed"
            )
        slope, offset = np.polyfit(nominal_mm[good], known_mm[good], 1)
        residual = known_mm[good] - (offset + slope * nominal_mm[good])
        scale[k], sigma_mm[k] = (offset, slope), residual.std(ddof=2)
        if sigma_mm[k] > WORST_SIGMA_MM:
            raise CalibrationError(
                f"lane {k}: residuals of {sigma_mm[k]:.2f} mm, more than {WORST_SIGMA_MM} mm;"
                " clean the lens, check the order of the balls and lane_y_px"
            )
    return scale, sigma_mm
