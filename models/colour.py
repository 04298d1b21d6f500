"""The named colours learnt from labelled pixels: any scikit-learn classifier of (red, green, blue), baked into one table.

A table costs the line the same whatever made it; the classifier itself never runs there.
"""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from citrus_grade.imaging.colour import LEVELS
from citrus_grade.tables import COLOURS
from citrus_grade.words import Refused, _

CLASSIFIERS = ("boosting", "logistic", "neighbours")
FOLDS = 5
LEAST_PIXELS = 20
MOST_PIXELS = 400
"""Pixels taken of one disc of a picture, spread evenly."""


class ColourError(Refused):
    """Labelled pixels no table can be made from; the message says which file and row, what is wrong, and what to do."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """Labelled pixels: ``rgb`` (n, 3) uint8 counts, ``colour`` (n,) index into `COLOURS`, ``group`` (n,) what each came from."""

    rgb: NDArray[np.uint8]
    colour: NDArray[np.int64]
    group: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Baked:
    """A table and how good it is: ``lut`` (2**15,) uint8, ``confusion`` (n_colours, n_colours) rows true, columns said, on
    groups that the classifier had not seen."""

    lut: NDArray[np.uint8]
    confusion: NDArray[np.int64]

    @property
    def accuracy(self) -> float:
        """Share of held-out pixels that got their own name."""
        return float(np.trace(self.confusion) / max(self.confusion.sum(), 1))


def classifier(name: str) -> Any:
    """Return one of `CLASSIFIERS`, unfitted."""
    if name == "logistic":
        return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    if name == "neighbours":
        return make_pipeline(StandardScaler(), KNeighborsClassifier(15))
    return HistGradientBoostingClassifier(max_iter=120, min_samples_leaf=10, random_state=0)


def read_pixels(path: Path) -> Pixels:
    """Read a CSV of labelled pixels.

    Either one pixel a row, ``red, green, blue, colour`` and if wanted ``group``; or one disc of a picture a row,
    ``file, x, y, r, colour``, the picture beside the CSV; then every picture is a group.

    Raises
    ------
    ColourError : a missing column, an unknown colour, a picture that cannot be read, too few pixels of a colour.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError) as error:
        raise ColourError(_("{path}: cannot be read as CSV ({error})").format(path=path, error=error)) from None
    names = set(rows[0]) if rows else set()
    if {"red", "green", "blue", "colour"} <= names:
        parts = [_pixel(path, k, row) for k, row in enumerate(rows, 2)]
    elif {"file", "x", "y", "r", "colour"} <= names:
        parts = [_disc(path, k, row) for k, row in enumerate(rows, 2)]
    else:
        raise ColourError(
            _("{path}: needs the columns red, green, blue, colour, or file, x, y, r, colour; it has {names}").format(
                path=path, names=", ".join(sorted(names)) or "-"
            )
        )
    groups = {name: k for k, name in enumerate(dict.fromkeys(group for _rgb, _c, group in parts))}
    pixels = Pixels(
        np.concatenate([rgb for rgb, _c, _g in parts]),
        np.concatenate([np.full(len(rgb), colour) for rgb, colour, _g in parts]),
        np.concatenate([np.full(len(rgb), groups[group]) for rgb, _c, group in parts]),
    )
    _enough(path, pixels)
    return pixels


def _enough(path: Path, pixels: Pixels) -> None:
    count = np.bincount(pixels.colour, minlength=len(COLOURS))
    poor = [f"{COLOURS[k]} ({n})" for k, n in enumerate(count.tolist()) if 0 < n < LEAST_PIXELS]
    if poor:
        raise ColourError(
            _("{path}: too few pixels of {colours}; label at least {n} of each colour or leave it out").format(
                path=path, colours=", ".join(poor), n=LEAST_PIXELS
            )
        )
    if np.count_nonzero(count) < 2:
        raise ColourError(_("{path}: only one colour is labelled; label at least two").format(path=path))


def _number(path: Path, line: int, row: dict[str, str], name: str, low: float, high: float) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = np.nan
    if not low <= value <= high:
        raise ColourError(
            _("{path}, line {line}: {name} = {value!r} is no number from {low:g} to {high:g}").format(
                path=path, line=line, name=name, value=row[name], low=low, high=high
            )
        )
    return value


def _colour(path: Path, line: int, row: dict[str, str]) -> int:
    name = (row["colour"] or "").strip()
    if name not in COLOURS:
        raise ColourError(
            _("{path}, line {line}: {name!r} is no named colour; use one of {names}").format(
                path=path, line=line, name=name, names=", ".join(COLOURS)
            )
        )
    return COLOURS.index(name)


def _pixel(path: Path, line: int, row: dict[str, str]) -> tuple[NDArray[np.uint8], int, str]:
    rgb = [_number(path, line, row, name, 0, 255) for name in ("red", "green", "blue")]
    return np.array([rgb], np.uint8), _colour(path, line, row), row.get("group") or str(line)


def _disc(path: Path, line: int, row: dict[str, str]) -> tuple[NDArray[np.uint8], int, str]:
    picture_path = path.parent / row["file"]
    data = np.fromfile(picture_path, np.uint8) if picture_path.is_file() else np.empty(0, np.uint8)
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    if picture is None:
        raise ColourError(
            _("{path}, line {line}: {picture} cannot be read as a picture").format(path=path, line=line, picture=picture_path)
        )
    x, y, r = (_number(path, line, row, name, 0, max(picture.shape)) for name in ("x", "y", "r"))
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    inside = np.flatnonzero((columns - x) ** 2 + (rows - y) ** 2 <= max(r, 0.5) ** 2)
    if not len(inside):
        raise ColourError(_("{path}, line {line}: the disc lies outside its picture").format(path=path, line=line))
    picked = inside[:: max(1, len(inside) // MOST_PIXELS)]
    return np.ascontiguousarray(picture.reshape(-1, 3)[picked][:, ::-1], np.uint8), _colour(path, line, row), row["file"]


def bake(estimator: Any) -> NDArray[np.uint8]:
    """Return what a fitted classifier of (red, green, blue) counts says of every cell of the table, (2**15,) uint8.

    Its classes are indices into `COLOURS`.
    """
    return np.asarray(estimator.predict(LEVELS * 255.0), np.uint8)


def fit_colour(pixels: Pixels, estimator: Any) -> Baked:
    """Fit a classifier, bake it, and judge it on groups (pictures, fruit) that it has not seen."""
    folds = GroupKFold(min(FOLDS, len(np.unique(pixels.group))))
    if folds.n_splits < 2:
        raise ColourError(_("all pixels come from one group; label pixels of at least two pictures or fruit"))
    said = cross_val_predict(clone(estimator), pixels.rgb.astype(float), pixels.colour, groups=pixels.group, cv=folds)
    confusion = np.zeros((len(COLOURS), len(COLOURS)), np.int64)
    np.add.at(confusion, (pixels.colour, said), 1)
    return Baked(bake(clone(estimator).fit(pixels.rgb.astype(float), pixels.colour)), confusion)
