"""Conformal prediction: how far a value may be off, read from the errors at fruit of lots or seasons that were left out.

Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005; ranks as in Lei et al. 2018, J. Am. Stat. Assoc. 113,
1094.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def interval(residuals: Floats, share: float = 0.9) -> tuple[float, float]:
    """Return what to add to a value for the ends of the interval that holds the truth in ``share`` of the fruit.

    Parameters
    ----------
    residuals : (n,) sorted, reference minus value of fruit the model had not seen. share : 0..1.

    Fewer fruit than the share asks for (19 for 0.9) give the widest residuals; none give an unbounded interval.
    """
    n = len(residuals)
    if n == 0:
        return -math.inf, math.inf
    tail = (1.0 - share) / 2.0
    rank = min(max(math.floor((n + 1) * tail), 1), n)
    return float(residuals[rank - 1]), float(residuals[n - rank])
