"""The density of a variety from fruit weighed after they have passed the line."""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import CalibrationError, refuse
from citrus_grade.words import _

Floats = NDArray[np.float64]

COLUMNS = ("lane", "cup", "mass_g")
LEAST_FRUIT = 20
WORST_OUTLIERS = 0.2
OUTLIER_SIGMAS = 4.0
LIKELY_G_PER_ML = (0.6, 1.1)
"""Citrus floats, puffy satsumas high; beyond these masses and fruit do not belong together."""
WORST_SPREAD_PCT = 8.0
LEAST_SIGMA_PCT = 0.5


@dataclass(frozen=True, slots=True, eq=False)
class Weighed:
    """Fruit on the scales: ``lane``, ``cup`` (n,), ``mass_g`` (n,)."""

    lane: NDArray[np.int64]
    cup: NDArray[np.int64]
    mass_g: Floats


@dataclass(frozen=True, slots=True, eq=False)
class DensityFit:
    """``mean`` and ``sigma`` between fruit in g/ml; of all weighed fruit their ``ratio`` (n,) and whether it was ``kept``."""

    mean: float
    sigma: float
    ratio: Floats
    kept: NDArray[np.bool_]


def read_weighed(path: Path) -> Weighed:
    """Read ``lane,cup,mass_g`` rows.

    Raises
    ------
    CalibrationError : missing columns, values that are none, or a fruit weighed twice; each with its row. OSError : no such file.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            text = _("{path}: no column {names}; the first row names them: {wanted}")
            raise CalibrationError(text.format(path=path, names=", ".join(missing), wanted=",".join(COLUMNS)))
        rows, problems = {}, []
        for number, row in enumerate(reader, 2):
            try:
                key, mass_g = (int(row["lane"]), int(row["cup"])), float(row["mass_g"])
                usable = 0 < mass_g < np.inf and min(key) >= 0
            except (TypeError, ValueError):
                usable = False
            if not usable:
                given = ",".join(str(row[name]) for name in COLUMNS)
                problems.append(
                    _("{path} row {row}: {given} is no lane, cup and mass above zero").format(path=path, row=number, given=given)
                )
            elif key in rows:
                text = _("{path} row {row}: lane {lane}, cup {cup} was weighed before; keep one of the rows")
                problems.append(text.format(path=path, row=number, lane=key[0], cup=key[1]))
            else:
                rows[key] = mass_g
    refuse(problems)
    keys = np.array(list(rows), np.int64).reshape(-1, 2)
    return Weighed(keys[:, 0], keys[:, 1], np.array(list(rows.values()), np.float64))


def fit_density(mass_g: Floats, volume_ml: Floats, volume_sigma_ml: Floats) -> DensityFit:
    """Return mean and spread of the density of weighed fruit.

    Fruit further off the median than `OUTLIER_SIGMAS` robust standard deviations are left out. What the volumes' own errors add
    to the spread is taken off: the line adds them itself when it states a mass's sigma.

    Raises
    ------
    CalibrationError : too few fruit, or masses that do not belong to these fruit.
    """
    n = len(mass_g)
    if n < LEAST_FRUIT:
        text = _("{n} weighed fruit were measured whole by the line; at least {least} are needed, 50 are good")
        raise CalibrationError(text.format(n=n, least=LEAST_FRUIT))
    ratio = mass_g / volume_ml
    middle = float(np.median(ratio))
    spread = 1.4826 * float(np.median(np.abs(ratio - middle)))
    kept = np.abs(ratio - middle) <= max(OUTLIER_SIGMAS * spread, 1e-3 * middle)
    mean, raw = float(ratio[kept].mean()), float(ratio[kept].std(ddof=1))
    own = float(np.mean(np.square(ratio[kept] * volume_sigma_ml[kept] / volume_ml[kept])))
    sigma = max(np.sqrt(max(raw**2 - own, 0.0)), LEAST_SIGMA_PCT / 100 * mean)
    problems = []
    if not LIKELY_G_PER_ML[0] <= mean <= LIKELY_G_PER_ML[1]:
        text = _("a density of {mean:.2f} g/ml is none of citrus ({low} to {high}); are the masses in g, the diameters in mm?")
        problems.append(text.format(mean=mean, low=LIKELY_G_PER_ML[0], high=LIKELY_G_PER_ML[1]))
    share = 1 - float(kept.mean())
    if 100 * raw / mean > WORST_SPREAD_PCT or share > WORST_OUTLIERS:
        text = _(
            "densities scatter by {pct:.1f} % (at most {limit:g} % are good) and {share:.0%} are far off; do lanes and cups"
            " belong to these masses?"
        )
        problems.append(text.format(pct=100 * raw / mean, limit=WORST_SPREAD_PCT, share=share))
    refuse(problems)
    return DensityFit(mean, float(sigma), ratio, kept)
