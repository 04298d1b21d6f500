"""All fruit of one photograph, measured: found, gauged by the line's kernel, in millimetres and grams where a scale is known."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from citrus_grade.measure.find import Found, find
from citrus_grade.measure.gauge import Gauged, gauge
from citrus_grade.measure.photo import Photo, load
from citrus_grade.measure.scale import Board, Known, Scale
from citrus_grade.words import Refused, _

QUANTITIES = (
    "x_px", "y_px", "diameter_px", "height_px", "diameter_mm", "height_mm", "mass_g", "green_pct", "blemish_pct",
    "blemish_count", "stem_x_px", "stem_y_px", "stylar_x_px", "stylar_y_px",
)  # fmt: skip
COLUMNS = ("file", "fruit", *(name + end for name in QUANTITIES for end in ("", "_sigma")))
"""Columns of the table, one row a fruit; ``fruit`` is its number in the photograph."""
DENSITY_G_PER_ML, DENSITY_SIGMA = 0.90, 0.03
"""Density of satsuma mandarins and its spread from fruit to fruit."""

Row = dict[str, str | int | float]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """A photograph's fruit with their ``rows`` of `COLUMNS`, NaN where nothing was measured; fruit ``cut`` by its edge, others
    ``unclear`` to the kernel; ``problems`` say what is wrong and what to do. ``photo`` is None where it cannot be read."""

    path: Path
    photo: Photo | None = None
    scale: Scale | None = None
    fruit: tuple[Gauged, ...] = ()
    rows: tuple[Row, ...] = ()
    cut: tuple[Found, ...] = ()
    unclear: tuple[Found, ...] = ()
    problems: tuple[str, ...] = ()


def measure(path: Path, scale: Known | Board | None = None, density_g_per_ml: float = DENSITY_G_PER_ML) -> Measured:
    """Measure all fruit of a photograph; what goes wrong with it is said in the result."""
    try:
        photo = load(path)
    except Refused as refused:
        return Measured(path, problems=(str(refused),))
    problems, known = [], None
    try:
        known = scale.find(photo.rgb) if isinstance(scale, Board) else scale
    except Refused as refused:
        problems.append(_("{path}: {problem}; its sizes are in pixels only").format(path=path, problem=refused))
    found = find(photo.rgb, coloured=photo.coloured)
    whole = [one for one in found if not one.cut]
    gauged = [gauge(photo.rgb, one, [other for other in found if other is not one], coloured=photo.coloured) for one in whole]
    fruit = tuple(one for one in gauged if one)
    cut, unclear = [one for one in found if one.cut], [one for one, it in zip(whole, gauged, strict=True) if it is None]
    if not fruit:
        problems.append(_nothing(path, bool(cut), bool(unclear)))
    return Measured(
        path,
        photo,
        known,
        fruit,
        rows=tuple(_row(path, k + 1, one, known, density_g_per_ml) for k, one in enumerate(fruit)),
        cut=tuple(cut),
        unclear=tuple(unclear),
        problems=tuple(problems),
    )


def _nothing(path: Path, cut: bool, unclear: bool) -> str:
    """Say why nothing was measured, and what to do."""
    if unclear:
        return _("{path}: no single round fruit; lay the fruit apart and show them sharp").format(path=path)
    if cut:
        return _("{path}: every fruit is cut by the picture's edge; take it from further away").format(path=path)
    return _("{path}: no fruit found; show it sharp, evenly lit, on a ground of another colour").format(path=path)


def _row(path: Path, number: int, one: Gauged, scale: Scale | None, density_g_per_ml: float) -> Row:
    """Return one row of the table."""
    value, sigma = dict(one.value), dict(one.sigma)
    mm, share = scale.at(value["x_px"], value["y_px"]) if scale else (np.nan, np.nan)
    for name in ("diameter", "height"):
        length, own = value[name + "_px"], sigma[name + "_px"]
        value[name + "_mm"], sigma[name + "_mm"] = mm * length, mm * float(np.hypot(own, share * length))
    value["mass_g"] = density_g_per_ml * np.pi / 6 * value["diameter_mm"] ** 2 * value["height_mm"] / 1000
    # The scale's error is in all three lengths of a volume alike.
    parts = (
        DENSITY_SIGMA / density_g_per_ml,
        2 * sigma["diameter_px"] / value["diameter_px"],
        sigma["height_px"] / value["height_px"],
        3 * share,
    )
    sigma["mass_g"] = value["mass_g"] * float(np.linalg.norm(parts))
    row: Row = {"file": str(path), "fruit": number}
    for name in QUANTITIES:
        row[name], row[name + "_sigma"] = round(float(value[name]), 3), round(float(sigma[name]), 3)
    return row
