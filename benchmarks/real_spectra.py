"""Real spectra through `models.train` and `models.transfer`, no set tuned for: error on fruit, grain and meat not trained on.

``python -m benchmarks.real_spectra [--data DIR] [--splits N] [--json]``; the last line is one JSON object. DIR holds ``nir/``
with the published sets as their READMEs describe them. Every figure is root mean square error of prediction on real samples,
or, ``cover90``, the share of them whose interval of 90 % holds.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold

from benchmarks.machine import machine, one_core
from citrus_grade.models.batch import labelled
from citrus_grade.models.search import Samples
from citrus_grade.models.train import train
from citrus_grade.models.transfer import Pairs, move
from citrus_grade.spectra.bands import interpolation, matrix_of
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import predict_absorbance
from citrus_grade.spectra_table import SpectraTable, read

Floats = NDArray[np.float64]

TEST_SHARE_OF_SUGARCANE = 0.25
PEACH_DRAWINGS = 5


def rmse(model: SpectralModel, nm: Floats, absorbance: Floats, y: Floats) -> float:
    """Error of a model on spectra at any wavelengths."""
    at = absorbance @ matrix_of(interpolation(nm, model.wavelength_nm), len(nm))
    return float(np.sqrt(np.mean((predict_absorbance(model, at)["value"][:, 0] - y) ** 2)))


def cover90(model: SpectralModel, nm: Floats, absorbance: Floats, y: Floats) -> float:
    """Share of spectra at any wavelengths whose reference lies in its interval."""
    told = predict_absorbance(model, absorbance @ matrix_of(interpolation(nm, model.wavelength_nm), len(nm)))
    return float(((told["low90"][:, 0] <= y) & (y <= told["high90"][:, 0])).mean())


def made(nm: Floats, absorbance: Floats, y: Floats, families: tuple[str, ...] = ("pls", "gpr", "svr", "mean"),
         range_nm: tuple[float, float] | None = None) -> SpectralModel:  # fmt: skip
    """Train as `citrus-grade train spectra` does on a table without groups."""
    return train(Samples(nm, absorbance, y[:, None], None), ("y",), range_nm=range_nm, families=families).model


def cassava(nir: Path) -> dict[str, float]:
    """Dry matter, study A -> study B, 600-1100 nm."""
    batch = labelled(read(nir / "cassava_fresh_dm" / "data.parquet"), "DMC.oven", "study.name", range_nm=(600.0, 1100.0))
    first = batch.groups == "C16Mcal"
    model = made(batch.wavelength_nm, batch.absorbance[first], batch.reference[first])
    return {"cassava_rmsep": rmse(model, batch.wavelength_nm, batch.absorbance[~first], batch.reference[~first])}


def peach(nir: Path) -> dict[str, float]:
    """Brix, 10-fold, everything chosen anew in every fold; mean of several drawings of folds: fifty fruit hang on the draw."""
    batch = labelled(read(nir / "peach_brix" / "data.parquet"), "brix")
    nm, y = batch.wavelength_nm, batch.reference
    errors = []
    for seed in range(PEACH_DRAWINGS):
        squares = []
        for rest, out in KFold(10, shuffle=True, random_state=seed).split(y):
            error = rmse(made(nm, batch.absorbance[rest], y[rest]), nm, batch.absorbance[out], y[out])
            squares += [error**2] * len(out)
        errors.append(float(np.sqrt(np.mean(squares))))
    whole = train(Samples(nm, batch.absorbance, y[:, None], None), ("y",))
    told = {"peach_rmse_least": min(errors), "peach_rmse_most": max(errors), "peach_rmsecv_of_the_choice": whole.chosen[0].rmse}
    return {"peach_rmse": float(np.mean(errors)), **told}


def tecator(nir: Path) -> dict[str, float]:
    """Fat, the published split: 172 to train, 43 to test."""
    batch = labelled(read(nir / "tecator_meat" / "tecator.npz"), "fat")
    nm, part = batch.wavelength_nm, slice(172)
    model = made(nm, batch.absorbance[part], batch.reference[part])
    return {"tecator_rmse": rmse(model, nm, batch.absorbance[172:215], batch.reference[172:215])}


def corn(nir: Path, splits: int) -> dict[str, float]:
    """Moisture by the model of m5 on mp5 and mp6: 25 of its 55 training samples are measured on the other too, 25 test."""
    table = read(nir / "corn_transfer" / "corn.npz", "m5")
    y, nm = _moisture(table), table.wavelength_nm
    found: dict[str, list[float]] = {"mp5": [], "mp6": []}
    held: dict[str, list[float]] = {"mp5": [], "mp6": []}
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(y))
        rest, samples, tests = order[:55], order[:25], order[55:]
        model = made(nm, table.spectra[rest], y[rest], ("pls",))
        for name, errors in found.items():
            slave = read(nir / "corn_transfer" / "corn.npz", name).spectra
            moved, _found = move(model, Pairs(nm, table.spectra[samples], nm, slave[samples], [y[samples]]))
            errors.append(rmse(moved, nm, slave[tests], y[tests]))
            held[name].append(cover90(moved, nm, slave[tests], y[tests]))
    shares = {f"corn_{name}_cover90": float(np.mean(own)) for name, own in held.items()}
    return {f"corn_{name}_rmsep": float(np.mean(errors)) for name, errors in found.items()} | shares


def _moisture(table: SpectraTable) -> Floats:
    name = next(own for own in table.columns if own.lower().startswith("moisture"))
    return table.numbers(name)


def sugarcane(nir: Path, splits: int) -> dict[str, float]:
    """Total sugar, F750 -> SCiO by 30 samples on both, beside a model made of the 30 on SCiO alone; a quarter is left to test."""
    with np.load(nir / "sugarcane_instruments" / "sugarcane.npz") as file:
        names = ("F750", "F750_wl", "Scio", "Scio_wl", "ref")
        f750, f750_nm, scio, scio_nm, reference = (np.asarray(file[name], np.float64) for name in names)
    known = np.isfinite(reference[:, 0])
    f750, scio, y = f750[known], scio[known], reference[known, 0]
    n_test = round(TEST_SHARE_OF_SUGARCANE * len(y))
    moved_errors, alone_errors, held = [], [], []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(y))
        rest, samples, tests = order[:-n_test], order[:30], order[-n_test:]
        model = made(f750_nm, f750[rest], y[rest], ("pls",))
        moved, _found = move(model, Pairs(f750_nm, f750[samples], scio_nm, scio[samples], [y[samples]]))
        moved_errors.append(rmse(moved, scio_nm, scio[tests], y[tests]))
        held.append(cover90(moved, scio_nm, scio[tests], y[tests]))
        alone_errors.append(rmse(made(scio_nm, scio[samples], y[samples]), scio_nm, scio[tests], y[tests]))
    moved_error, alone_error = float(np.mean(moved_errors)), float(np.mean(alone_errors))
    return {
        "sugarcane_ratio": moved_error / alone_error,
        "sugarcane_rmsep": moved_error,
        "sugarcane_alone_rmsep": alone_error,
        "sugarcane_cover90": float(np.mean(held)),
    }


def main() -> None:
    """Measure all sets and print them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("CITRUS_GRADE_DATA", "../shared/data")))
    parser.add_argument("--splits", type=int, default=50)
    parser.add_argument("--only", default="", help="some of cassava,peach,tecator,corn,sugarcane")
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    options = parser.parse_args()
    nir = options.data / "nir" if (options.data / "nir").is_dir() else options.data
    if not (nir / "tecator_meat").is_dir():
        parser.error(f"{options.data}: holds no folder nir with the published sets; give it with --data")
    one_core()
    tasks: dict[str, Callable[[], dict[str, float]]] = {
        "cassava": lambda: cassava(nir),
        "peach": lambda: peach(nir),
        "tecator": lambda: tecator(nir),
        "corn": lambda: corn(nir, options.splits),
        "sugarcane": lambda: sugarcane(nir, options.splits),
    }
    wanted = [name for name in tasks if not options.only or name in options.only.split(",")]
    figures: dict[str, Any] = {}
    for name in wanted:
        begun = time.perf_counter()
        own = tasks[name]()
        figures |= own
        told = ", ".join(f"{key} {value:.3f}" for key, value in own.items())
        print(f"{told}  ({time.perf_counter() - begun:.0f} s)", flush=True)
    if options.json:
        print(json.dumps(figures | {"splits": options.splits, "ran_on": machine()}))


if __name__ == "__main__":
    main()
