"""Training spectra of the master and a few samples of the slave in one regression that their difference does not disturb.

Three blocks, each centred on itself, are stacked: the training spectra; the samples' slave spectra with their references; and the
samples' differences slave minus master, whose answer is zero. The last is Tikhonov regularisation by differences: it minimises
|y - X b|^2 + penalty |D b|^2, so any regression can do it. Centring each block by itself is a free intercept for each instrument.
Source: Kalivas, Siano, Andries and Goicoechea 2009, Applied Spectroscopy 63, 800, transfer by Tikhonov regularisation.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.pls import Path, fit_path

Floats = NDArray[np.float64]

PENALTY: Final = 1.0
"""A difference counts as much as a training spectrum does: no other value was better on all the real sets."""


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """What a regression is to be fitted to, ``x`` (n + 2 m, n_wavelengths) and ``y`` (n + 2 m,), and where the slave's zero lies:
    prediction = ``mean`` + (spectrum - ``centre``) @ b."""

    x: Floats
    y: Floats
    centre: Floats
    mean: float


def joint_rows(x: Floats, y: Floats, master: Floats, slave: Floats, reference: Floats, penalty: float = PENALTY) -> Rows:
    """Stack training spectra, the slave's samples and their differences.

    Parameters
    ----------
    x : (n, n_wavelengths) training spectra of the master, preprocessed. y : (n,).
    master, slave : (m, n_wavelengths) the samples on both, preprocessed alike, on the master's axis.
    reference : (m,) the laboratory's or, where there is none, the old model's values of the samples' master spectra.
    penalty : weight of a squared difference beside that of a squared error.
    """
    difference = slave - master
    blocks = (x, slave, np.sqrt(penalty) * difference)
    answers = np.concatenate((y - y.mean(), reference - reference.mean(), np.zeros(len(master))))
    return Rows(np.vstack([own - own.mean(0) for own in blocks]), answers, slave.mean(0), float(reference.mean()))


def fit_joint(
    x: Floats, y: Floats, master: Floats, slave: Floats, reference: Floats, n_components: int, penalty: float = PENALTY
) -> Path:
    """Fit PLS models of the slave's spectra to `joint_rows`."""
    rows = joint_rows(x, y, master, slave, reference, penalty)
    path = fit_path(rows.x, rows.y, n_components)
    return Path(path.coefs, rows.mean - path.coefs @ rows.centre)


def stand_ins(centre: Floats, mean: float, coefs: Floats, spans: Floats, n: int) -> tuple[Floats, Floats]:
    """Return spectra (2 k, n_wavelengths) and values (2 k,) that stand for the ``n`` training spectra of a model no one kept.

    Sums of squares and products are those of the training spectra as far as the model's k components describe them, and a
    regression uses nothing else of them: so a model moves with its own arrays alone.

    Parameters
    ----------
    centre : (n_wavelengths,) mean training spectrum, preprocessed. mean : of the training references. coefs : (n_wavelengths,).
    spans : (k, n_wavelengths) loadings times the standard deviation of their scores.
    """
    half = np.sqrt(n / 2) * spans
    offsets = np.vstack([half, -half])
    return centre + offsets, mean + offsets @ coefs
