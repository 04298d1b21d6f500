"""What a line of files needs before its first run: a model of the table's training rows and the lanes' references."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from citrus_grade import artefacts
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.drivers.files_options import FilesOptions, options_of, problem
from citrus_grade.drivers.files_spectra import references, samples
from citrus_grade.models.fit import MAX_FOLDS, fit_absorbance
from citrus_grade.spectra import model as models
from citrus_grade.spectra.model import SpectralModel


def prepare(config: LineConfig, folder: Path) -> None:
    """Make the model and the calibration that ``[files]`` of a line of files names and that do not exist yet.

    Parameters
    ----------
    folder : where the configuration lies; its paths start there.

    Raises
    ------
    ConfigError : if ``[source]`` or the data it names cannot be used. ArtefactError : if a folder to be made cannot be.
    """
    if config.spectrometer is None:
        return
    options = options_of(config)
    made = config.files
    if made.model and not (folder / made.model).exists():
        artefacts.save(folder / made.model, models.KIND, *models.to_artefact(fit(config, options)))
    if made.calibration and not (folder / made.calibration).exists():
        dark, white = references(config.line.lanes, config.spectrometer)
        calibrated = replace(CalibrationSet.nominal(config), dark=dark, white=white)
        card = {"made_for": "a line whose pictures and spectra come from files; its scale is assumed"}
        artefacts.save(folder / made.calibration, CALIBRATION, card, calibrated.arrays())


def fit(config: LineConfig, options: FilesOptions) -> SpectralModel:
    """Fit on the training rows of ``[source.spectra]``, over the whole range of the line's spectrometers.

    The table names no lots, so cross-validation leaves out blocks of neighbouring rows.

    Raises
    ------
    ConfigError : if the table has too few training rows.
    """
    assert config.spectrometer is not None
    assert options.spectra is not None
    train = samples(config, options, options.spectra.train)
    n = len(train.row)
    groups = np.array([f"block {i * MAX_FOLDS // n + 1}" for i in range(n)])
    first, last = config.spectrometer.wavelength_nm
    try:
        return fit_absorbance(train.absorbance, train.reference, groups, train.wavelength_nm, (options.spectra.target,), (first, last))
    except ValueError as error:
        raise problem(f"spectra: no model can be fitted to {options.spectra.train!r} of {options.spectra.table}: {error}") from error
