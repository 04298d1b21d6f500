"""What a line of files needs before its first run: a model of the table's training rows, and the line's own calibration."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from citrus_grade import artefacts
from citrus_grade.calibration.scale import CalibrationError
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.drivers.files import FilesPlant
from citrus_grade.drivers.files_options import FilesOptions, options_of, problem
from citrus_grade.drivers.files_spectra import references, samples
from citrus_grade.models.search import MAX_FOLDS, Samples
from citrus_grade.models.train import train
from citrus_grade.runtime.gauge import gauge_fruit
from citrus_grade.spectra import bundle as bundles
from citrus_grade.spectra.model import SpectralModel

GAUGE_SEED: Final = 1_000_003
"""Cups filled otherwise than those of any run with a seed in use."""
GAUGE_S: Final = 4.0


def prepare(config: LineConfig, folder: Path) -> None:
    """Make the model and the calibration that ``[files]`` of a line of files names and that do not exist yet.

    Parameters
    ----------
    folder : where the configuration lies; its paths start there.

    Raises
    ------
    ConfigError : if ``[source]`` or the data it names cannot be used. ArtefactError : if a folder to be made cannot be.
    """
    made = config.files
    model = folder / made.model if made.model and config.spectrometer else None
    calibration = folder / made.calibration if made.calibration else None
    if model and not model.exists():
        artefacts.save(model, bundles.KIND, *bundles.to_artefact(fit(config, options_of(config))))
    if calibration and not calibration.exists():
        card = {"made_from": "the pictures' own outlines under the assumed scale", "simulated": False}
        artefacts.save(calibration, CALIBRATION, card, calibrate(config, options_of(config)).arrays())


def fit(config: LineConfig, options: FilesOptions) -> SpectralModel:
    """Fit on the training rows of ``[source.spectra]``, over the whole range of the line's spectrometers.

    The table names no lots, so cross-validation leaves out blocks of neighbouring rows.

    Raises
    ------
    ConfigError : if the table has too few training rows.
    """
    assert config.spectrometer is not None
    assert options.spectra is not None
    chosen, (first, last) = options.spectra, config.spectrometer.wavelength_nm
    rows = samples(config, options, chosen.train)
    n = len(rows.row)
    groups = np.array([f"block {i * MAX_FOLDS // n + 1}" for i in range(n)])
    try:
        batch = Samples(rows.wavelength_nm, rows.absorbance, rows.reference[:, None], groups)
        return train(batch, (chosen.target,), range_nm=(first, last)).model
    except ValueError as error:
        raise problem(f"spectra: no model can be fitted to {chosen.train!r} of {chosen.table}: {error}") from error


def calibrate(config: LineConfig, options: FilesOptions) -> CalibrationSet:
    """Take the lanes' references, and their scale from the fruit themselves: their cut-outs say how large they are.

    Raises
    ------
    ConfigError : if the fruit do not give a scale.
    """
    nominal = CalibrationSet.nominal(config)
    by_eye = config.model_copy(update={"spectrometer": None})
    plant = FilesPlant(by_eye, options.model_copy(update={"seed": GAUGE_SEED, "seconds": GAUGE_S, "fill": 1.0}), None)
    try:
        scale, sigma_mm = gauge_fruit(by_eye, plant.messages(), plant.table["fruit"]["diameter_mm"])
    except CalibrationError as error:
        raise problem(f"pictures: they give no scale: {error}") from error
    calibrated = replace(nominal, scale=scale, scale_sigma_mm=sigma_mm)
    if config.spectrometer is None:
        return calibrated
    dark, white = references(config.line.lanes, config.spectrometer)
    return replace(calibrated, dark=dark, white=white)
