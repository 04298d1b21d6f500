"""A slave's spectra made to look like the master's, by linear maps: direct and piecewise direct standardisation, and projection.

They act on derivative spectra: on raw ones baselines of the few samples are taken for differences of the instruments.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.pls import Path

Floats = NDArray[np.float64]

RANK_TOLERANCE: Final = 1e-8
RIDGE: Final = 1e-4
"""Of a window's mean variance: added to the diagonal, so that channels that move together share their weight."""


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """standardised = spectra @ ``matrix`` + ``offset``; (n_wavelengths, n_wavelengths) and (n_wavelengths,)."""

    matrix: Floats
    offset: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return spectra (n, n_wavelengths), standardised."""
        return np.asarray(x @ self.matrix + self.offset, np.float64)

    def fold(self, path: Path) -> Path:
        """Return the models that give of plain spectra what ``path`` gives of standardised ones."""
        return Path(path.coefs @ self.matrix.T, path.intercepts + path.coefs @ self.offset)


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """projected = spectra less what of them lies along ``directions`` (n_directions, n_wavelengths), which are orthonormal."""

    directions: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return spectra (n, n_wavelengths), projected."""
        return np.asarray(x - (x @ self.directions.T) @ self.directions, np.float64)

    @property
    def matrix(self) -> Floats:
        """The symmetric projector (n_wavelengths, n_wavelengths)."""
        return np.asarray(np.eye(self.directions.shape[1]) - self.directions.T @ self.directions, np.float64)

    def fold(self, path: Path) -> Path:
        """Return the models that give of plain spectra what ``path`` gives of projected ones."""
        return Path(self(path.coefs), path.intercepts)


def direct(master: Floats, slave: Floats) -> Map:
    """Direct standardisation: every master channel from all of the slave's, by least squares of least norm.

    Parameters
    ----------
    master, slave : (n, n_wavelengths) derivative spectra of the same samples.

    Source: Wang, Veltkamp and Kowalski 1991, Analytical Chemistry 63, 2750.
    """
    centre = slave.mean(0)
    matrix = np.linalg.pinv(slave - centre, rcond=RANK_TOLERANCE) @ (master - master.mean(0))
    return Map(matrix, master.mean(0) - centre @ matrix)


def piecewise(master: Floats, slave: Floats, half_points: int, ridge: float = RIDGE) -> Map:
    """Piecewise direct standardisation: every master channel from the slave's 2 * ``half_points`` + 1 around it, by ridge.

    At the ends the window stays whole and off the middle. Shapes and source as in `direct`.
    """
    n_channels = master.shape[1]
    width = min(2 * half_points + 1, n_channels)
    window = np.clip(np.arange(n_channels) - half_points, 0, n_channels - width)[:, None] + np.arange(width)
    centre = slave.mean(0)
    near = np.moveaxis((slave - centre)[:, window], 0, 1)
    square = near.transpose(0, 2, 1) @ near
    diagonal = ridge * np.trace(square, axis1=1, axis2=2) / width + np.finfo(np.float64).tiny
    towards = near.transpose(0, 2, 1) @ (master - master.mean(0)).T[:, :, None]
    weights = np.linalg.solve(square + diagonal[:, None, None] * np.eye(width), towards)[:, :, 0]
    matrix = np.zeros((n_channels, n_channels))
    matrix[window, np.arange(n_channels)[:, None]] = weights
    return Map(matrix, master.mean(0) - centre @ matrix)


def away_from(differences: Floats, n_directions: int) -> Projection:
    """External parameter orthogonalisation: the projector that takes the ``n_directions`` largest of ``differences`` out.

    Parameters
    ----------
    differences : (n, n_wavelengths) what should not matter: the same sample on two instruments, or `of_each` fruit at several
        temperatures.

    Source: Roger, Chauchard and Bellon-Maurel 2003, Chemometrics and Intelligent Laboratory Systems 66, 191.
    """
    return Projection(np.linalg.svd(differences, full_matrices=False)[2][:n_directions])


def of_each(spectra: Floats, fruit: NDArray[np.generic]) -> Floats:
    """Return spectra (n, n_wavelengths) less the mean of their own fruit (n,): what temperature does, or whatever was varied."""
    _names, own = np.unique(fruit, return_inverse=True)
    sums = np.zeros((own.max() + 1, spectra.shape[1]))
    np.add.at(sums, own, spectra)
    return np.asarray(spectra - (sums / np.bincount(own)[:, None])[own], np.float64)
