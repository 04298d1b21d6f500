"""Fingerprints of the fruit a model was made from, so that one is known again whatever it is called in another table.

A card's ``fingerprints`` is a list of sets, each of ``wavelength_nm``, where it was looked at, and ``rows``, the fingerprints end
to end, sorted.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.spectra.bands import interpolation, matrix_of

Floats = NDArray[np.float64]
Json = Any  # a JSON value; what a card holds is its kind's affair

KEY: Final = "fingerprints"
POINTS: Final = 12
"""Wavelengths looked at, spread evenly over a set's."""
STEP: Final = 1e-4
"""Absorbance is rounded to this: far below what tells two fruit apart, far above the last digit of a file."""
DIGITS: Final = 10
"""Hexadecimal digits of a fingerprint: two strange fruit share one in 10^12 pairs."""


def remember(training: Mapping[str, Json], wavelength_nm: Floats, absorbance: Floats) -> dict[str, Json]:
    """Return a model's story with the fruit of absorbance (n, p) added to those it was made from."""
    at = np.unique(np.linspace(0, len(wavelength_nm) - 1, POINTS).round().astype(np.int64))
    own = {"wavelength_nm": wavelength_nm[at].tolist(), "rows": "".join(sorted(_of(absorbance[:, at])))}
    return {**training, KEY: [*training.get(KEY, []), own]}


def tells(training: Mapping[str, Json]) -> bool:
    """Say whether a model's story tells which spectra it was made from."""
    return bool(training.get(KEY))


def known(training: Mapping[str, Json], wavelength_nm: Floats, absorbance: Floats) -> NDArray[np.bool_]:
    """Return of which rows of absorbance (n, p) on ``wavelength_nm`` (p,) the very spectrum went into a model.

    A fruit that was measured again, or whose spectrum was stored with fewer digits than `STEP` needs, is not known.
    """
    found = np.zeros(len(absorbance), np.bool_)
    for told in training.get(KEY, []):
        try:
            made = interpolation(wavelength_nm, np.array(told["wavelength_nm"]))
        except ValueError:
            continue  # a spectrum that does not reach so far was not among them
        rows = frozenset(_split(told["rows"]))
        found |= np.array([row in rows for row in _of(absorbance @ matrix_of(made, len(wavelength_nm)))], np.bool_)
    return found


def _of(absorbance: Floats) -> list[str]:
    rounded = np.rint(absorbance / STEP).astype("<i8")
    return [hashlib.blake2b(row.tobytes(), digest_size=DIGITS // 2).hexdigest() for row in rounded]


def _split(rows: str) -> Iterator[str]:
    return (rows[k : k + DIGITS] for k in range(0, len(rows), DIGITS))
