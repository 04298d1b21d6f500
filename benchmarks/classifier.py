"""How fast and how exactly classifiers are walked: ``python -m benchmarks.classifier [--json] [--seed N]``.

A forest of 100 trees and boosting of 100 rounds as ``train grade`` grows them, and beside them as deep as scikit-learn grows
them by default; 6 fruit a call as a line of six lanes makes them, scikit-learn's own ``predict_proba`` of the same rows in
between. The fruit are SIMULATED.
"""

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from benchmarks.graded_fruit import GRADES, graded_fruit
from benchmarks.machine import machine, one_core
from citrus_grade.grading.classifier import predict_proba
from citrus_grade.grading.features import FEATURES
from citrus_grade.models.flatten import flatten
from citrus_grade.models.grades import estimator

LANES = 6
PITCHES = 600
N_TRAIN = 1500


def measure(seed: int) -> dict[str, Any]:
    """Return microseconds a fruit, median over pitches, of each kind and of scikit-learn, and the largest difference.

    ``classifier_us_per_fruit`` is that of the slower kind as ``train grade`` grows them.
    """
    fruit = graded_fruit(seed, N_TRAIN + LANES * PITCHES)
    figures: dict[str, Any] = {}
    for name, unfitted in (
        ("forest", estimator("forest")),
        ("boosting", estimator("boosting")),
        ("default_forest", RandomForestClassifier(100, random_state=seed)),
        ("default_boosting", HistGradientBoostingClassifier(max_iter=100, early_stopping=False, random_state=seed)),
    ):
        fitted = unfitted.fit(fruit.x[:N_TRAIN], fruit.grade[:N_TRAIN])
        figures |= {f"classifier_{name}_{key}": value for key, value in compare(fitted, fruit.x[N_TRAIN:]).items()}
    return {
        "classifier_us_per_fruit": max(figures["classifier_forest_us"], figures["classifier_boosting_us"]),
        "classifier_max_abs_diff": max(value for key, value in figures.items() if key.endswith("max_abs_diff")),
        **figures,
        "classifier_fruit": "SIMULATED",
    }


def compare(fitted: Any, x: NDArray[np.float64]) -> dict[str, float]:
    """Time the compiled loop and the estimator by turns on the same rows."""
    model = flatten(fitted, FEATURES, GRADES)
    pitches = x.reshape(PITCHES, LANES, -1)
    predict_proba(model, pitches[0])
    own_us, sklearn_us, diff = [], [], 0.0
    for k, rows in enumerate(pitches):
        us, said = timed(lambda rows=rows: predict_proba(model, rows))
        own_us.append(us)
        if k % 10 == 0:
            us, reference = timed(lambda rows=rows: np.asarray(fitted.predict_proba(rows)))
            sklearn_us.append(us)
            diff = max(diff, float(np.abs(said - reference).max()))
    own, other = float(np.median(own_us)) / LANES, float(np.median(sklearn_us)) / LANES
    return {"us": own, "sklearn_us": other, "x_sklearn": other / own, "max_abs_diff": diff}


def timed(call: Callable[[], NDArray[np.float64]]) -> tuple[float, NDArray[np.float64]]:
    """Return microseconds and result of a call."""
    began = time.perf_counter()
    result = call()
    return 1e6 * (time.perf_counter() - began), result


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.classifier", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    one_core()
    figures = measure(args.seed) | {"seed": args.seed, "ran_on": machine()}
    if args.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:40} {value}")


if __name__ == "__main__":
    main()
