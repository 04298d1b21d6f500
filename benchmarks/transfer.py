"""Ways of moving a model to another spectrometer, on published sets: root mean square error of prediction on samples left out.

``python -m benchmarks.transfer [--data DIR] [--splits N] [--json]``. Every way chooses its preprocessing, its own number and its
components on the transfer samples alone; ``alone`` is a model made of them and nothing else; ``chosen`` what `transfer` takes;
``bundle`` the same where the master's training spectra are gone and only its model is left.
"""

import argparse
import json
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.signal import savgol_filter
from sklearn.cross_decomposition import PLSRegression

from benchmarks.machine import machine, one_core
from citrus_grade.calibration.axis import overlap
from citrus_grade.calibration.joint import stand_ins
from citrus_grade.calibration.pls import fit_path
from citrus_grade.calibration.transfer import METHODS, Spectra, Transferred, Values, transfer
from citrus_grade.spectra.bands import interpolation, matrix_of

Floats = NDArray[np.float64]

WIDTHS = (7, 13)
CORN = ((0, "moisture", "mp5"), (0, "moisture", "mp6"), (3, "starch", "mp5"), (3, "starch", "mp6"))


def _options(absorbance: Floats) -> dict[str, Floats]:
    """First derivatives by Savitzky and Golay, of plain spectra and of standardised rows."""
    rows = (absorbance - absorbance.mean(1, keepdims=True)) / absorbance.std(1, keepdims=True)
    given = {"": absorbance, "snv ": rows}
    return {f"{name}sg {w}": savgol_filter(own, w, 2, deriv=1, axis=1) for name, own in given.items() for w in WIDTHS}


def _error(found: Transferred, slave: Mapping[str, Floats], y: Floats) -> float:
    return float(np.sqrt(np.mean((slave[found.option] @ found.coefs + found.intercept - y) ** 2)))


def _split(master: Mapping[str, Floats], slave: Mapping[str, Floats], y: Floats, n_samples: int, n_tests: int, seed: int
           ) -> dict[str, float]:  # fmt: skip
    order = np.random.default_rng(seed).permutation(len(y))
    train, samples, tests = order[:-n_tests], order[:n_samples], order[-n_tests:]
    values = Values(y[train], y[samples], np.arange(n_samples))
    options = {name: Spectra(master[name][train], master[name][samples], slave[name][samples]) for name in master}
    seen = {name: own[tests] for name, own in slave.items()}
    errors = {method: _error(transfer(options, values, (method,)), seen, y[tests]) for method in METHODS}
    own = {name: Spectra(part.slave, part.slave, part.slave) for name, part in options.items()}
    alone = transfer(own, Values(y[samples], y[samples], np.arange(n_samples)), ("none",))
    left = {name: _bundle(own.train, y[train]) for name, own in options.items()}
    gone = {name: Spectra(left[name][0], own.master, own.slave) for name, own in options.items()}
    errors |= {"alone": _error(alone, seen, y[tests]), "chosen": _error(transfer(options, values), seen, y[tests])}
    first = min(gone, key=lambda name: transfer({name: gone[name]}, _of(left[name][1], values)).rmse["joint"])
    return errors | {"bundle": _error(transfer({first: gone[first]}, _of(left[first][1], values)), seen, y[tests])}


def _of(train: Floats, values: Values) -> Values:
    return Values(train, values.samples, np.full(len(values.samples), -1))


def _bundle(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Stand-ins of the training spectra, from a model of as many components as 10 folds say."""
    fold = np.arange(len(y)) % 10
    guesses = np.empty((len(y), 15))
    for k in range(10):
        guesses[fold == k] = fit_path(x[fold != k], y[fold != k], 15).predict(x[fold == k])
    rmse = np.sqrt(np.square(guesses - y[:, None]).mean(0))
    model = PLSRegression(int(np.argmax(rmse <= 1.03 * rmse.min())) + 1, scale=False).fit(x, y)
    spans = (model.x_loadings_ * model.x_scores_.std(0)).T
    return stand_ins(x.mean(0), float(y.mean()), model.coef_.ravel(), spans, len(y))


def _task(master: Floats, slave: Floats, y: Floats, n_samples: int, n_tests: int, splits: int) -> dict[str, float]:
    made = _options(master), _options(slave)
    errors = [_split(*made, y, n_samples, n_tests, seed) for seed in range(splits)]
    return {name: float(np.mean([own[name] for own in errors])) for name in errors[0]}


def measure(nir: Path, splits: int) -> dict[str, dict[str, float]]:
    """Return the mean error of every way, by task."""
    figures = {}
    with np.load(nir / "corn_transfer" / "corn.npz") as file:
        corn = {name: file[name].astype(np.float64) for name in ("m5", "mp5", "mp6", "y")}
    for column, trait, slave in CORN:
        figures[f"corn {trait}, m5 to {slave}"] = _task(corn["m5"], corn[slave], corn["y"][:, column], 25, 25, splits)
    with np.load(nir / "sugarcane_instruments" / "sugarcane.npz") as file:
        names = ("F750", "F750_wl", "Scio", "Scio_wl", "ref")
        f750, f750_nm, scio, scio_nm, reference = (file[name].astype(np.float64) for name in names)
    known, shared = np.isfinite(reference[:, 0]), overlap(f750_nm, scio_nm)
    on_axis = scio[known] @ matrix_of(interpolation(scio_nm, f750_nm[shared]), len(scio_nm))
    figures["sugarcane sugar, F750 to SCiO"] = _task(f750[known][:, shared], on_axis, reference[known, 0], 30, 15, splits)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CITRUS_GRADE_DATA", "../shared/data")))
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    if not (options.data / "nir").is_dir():
        parser.error(f"{options.data}/nir: there is no such folder; give the folder of data with --data")
    one_core()
    figures = measure(options.data / "nir", options.splits)
    for task, errors in figures.items():
        print(task + ":", ", ".join(f"{name} {error:.3f}" for name, error in errors.items()))
    if options.json:
        print(json.dumps(figures | {"ran_on": machine()}))


if __name__ == "__main__":
    main()
