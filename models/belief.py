"""Probabilities made honest: what a classifier says against what fruit that it had not seen turned out to be."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from citrus_grade.grading import walk
from citrus_grade.grading.classifier import CALIBRATIONS, arrays
from citrus_grade.models.agreement import log_loss

Floats = NDArray[np.float64]
Grades = NDArray[np.int64]

LEAST_ISOTONIC = 200
"""Fruit that each class must have before its table of steps is trusted."""
KNOTS = ("knot_x", "knot_y", "first")


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """One of `classifier.CALIBRATIONS` and its arrays, as `classifier.GradeModel` holds them."""

    kind: str
    knots: dict[str, NDArray[Any]]

    def __call__(self, p: Floats) -> Floats:
        """Return probabilities (n, k) calibrated by the code of the line."""
        out = np.array(p, np.float64, order="C")
        knots = self.knots
        walk.calibrate_all(CALIBRATIONS.index(self.kind), knots["knot_x"], knots["knot_y"], knots["first"], out)
        return out


def kinds_for(grade: Grades, k: int) -> tuple[str, ...]:
    """Return what can be learnt from so many fruit, the simplest first."""
    enough = np.bincount(grade, minlength=k).min() >= LEAST_ISOTONIC
    return CALIBRATIONS if enough else CALIBRATIONS[:-1]


def fit(kind: str, p: Floats, grade: Grades) -> Calibration:
    """Learn a calibration from probabilities (n, k) of fruit the model had not seen."""
    made = {"none": _none, "temperature": _temperature, "sigmoid": _sigmoid, "isotonic": _isotonic}[kind](p, grade)
    held = arrays(**made)
    return Calibration(kind, {name: held[name] for name in KNOTS})


def _none(_p: Floats, _grade: Grades) -> dict[str, Any]:
    return {}


def _temperature(p: Floats, grade: Grades) -> dict[str, Any]:
    def loss(factor: float) -> float:
        return log_loss(Calibration("temperature", arrays(knot_x=[factor]))(p), grade)

    return {"knot_x": [float(minimize_scalar(loss, bounds=(0.05, 5.0), method="bounded").x)]}


def _sigmoid(p: Floats, grade: Grades) -> dict[str, Any]:
    """Fit a logistic regression of each class on its own log odds."""
    clipped = np.clip(p, walk.LEAST, 1 - walk.LEAST)
    odds = np.log(clipped / (1 - clipped))
    slope, shift = np.ones(p.shape[1]), np.zeros(p.shape[1])
    for k in range(p.shape[1]):
        if len(np.unique(grade == k)) == 2:
            fitted = LogisticRegression(C=10.0).fit(odds[:, [k]], grade == k)
            slope[k], shift[k] = max(fitted.coef_[0, 0], 0.0), fitted.intercept_[0]  # never turns an opinion round
    return {"knot_x": slope, "knot_y": shift}


def _isotonic(p: Floats, grade: Grades) -> dict[str, Any]:
    knot_x, knot_y, first = [], [], [0]
    least = 1 / (len(grade) + 2)  # no fruit seen does not mean none possible
    for k in range(p.shape[1]):
        table = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(p[:, k], grade == k)
        knot_x.append(table.X_thresholds_)
        knot_y.append(table.y_thresholds_)
        first.append(first[-1] + len(table.X_thresholds_))
    return {"knot_x": np.concatenate(knot_x), "knot_y": np.concatenate(knot_y), "first": first}
