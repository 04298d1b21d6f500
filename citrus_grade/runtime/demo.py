"""A first line from nothing: a model and a calibration from simulated batches, then a simulated minute. All figures are
SIMULATED."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from citrus_grade import artefacts
from citrus_grade.calibration.scale import fit_scale
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading.decide import magnification
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.models.demo import fit_demo
from citrus_grade.rundir import point_at, with_section
from citrus_grade.runtime.session import Progress, RunSummary, run_line
from citrus_grade.spectra import model as models
from citrus_grade.tables import FRUIT_SEEN, VIEW, Table, stack
from citrus_grade.templates import DEMO_PLAN, LINE

GAUGE_MM = (45.0, 62.0, 78.0)
GAUGE_S = 3.0
DENSITY_G_PER_ML = (0.90, 0.02)
"""Of satsumas, mean and standard deviation between fruit: what weighing a sample of the variety gives."""
NEW_SEASON = 4


def run_demo(run_dir: Path, *, seed: int = 1, seconds: float = 60.0, progress: Progress | None = None) -> RunSummary:
    """Fit a first model, calibrate, run ``seconds`` of the simulated line and keep it all in ``run_dir``."""
    with tempfile.TemporaryDirectory() as folder:
        line_toml = set_up(Path(folder), seed)
        return run_line(line_toml, run_dir, seconds=seconds, progress=progress)


def set_up(folder: Path, seed: int) -> Path:
    """Write a calibrated simulated line with a first model into ``folder``; return its ``line.toml``."""
    shutil.copy(DEMO_PLAN, folder / "plan.toml")
    shutil.copy(LINE, folder / "line.toml")
    config = load(folder / "line.toml")
    assert config.spectrometer is not None
    model, _ = fit_demo(seed, config.spectrometer.axis_nm, config.line.lanes)
    artefacts.save(folder / "model", models.KIND, *models.to_artefact(model))
    calibrated = calibrate(config, seed)
    card = {"gauge_mm": list(GAUGE_MM), "simulated": True}
    artefacts.save(folder / "calibration", CALIBRATION, card, calibrated.arrays())
    text = point_at(LINE.read_text(encoding="utf-8"), plan="plan.toml", model="model", calibration="calibration")
    text = with_section(text, "source", {"driver": "sim", "seed": seed, "season": NEW_SEASON})
    (folder / "line.toml").write_text(text, encoding="utf-8")
    return folder / "line.toml"


def calibrate(config: LineConfig, seed: int) -> CalibrationSet:
    """Run gauge balls of three sizes over every lane and read the spectrometers' references."""
    plant = SimPlant(config, SimOptions(seed=seed, seconds=GAUGE_S, gauge_mm=GAUGE_MM))
    imager = Imager.of(config, config.camera[0])
    frames = [imager(message).rows for message in plant.messages() if isinstance(message, Frame)]
    lane, cup, nominal_mm = _gauge_sizes(stack(frames, VIEW), config)
    known_mm = plant.table["fruit"]["diameter_mm"][lane, cup]
    scale, sigma_mm = fit_scale(nominal_mm, known_mm, lane, config.line.lanes)
    return CalibrationSet(
        id=CalibrationSet.nominal(config).id, scale=scale, scale_sigma_mm=sigma_mm, density_g_per_ml=np.array(DENSITY_G_PER_ML),
        dark=plant.spectrometer.dark(), white=plant.spectrometer.white(),
    )  # fmt: skip


def _gauge_sizes(views: Table, config: LineConfig) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Return lane, cup and nominal diameter in mm of each ball.

    A ball has no longest axis: noise alone makes one, so its size is the mean of both.
    """
    camera = config.camera[0]
    seen = views[(views["state"] == FRUIT_SEEN) & (views["cup"] >= 0)]
    keys, group = np.unique(np.stack([seen["lane"], seen["cup"]], axis=1), axis=0, return_inverse=True)
    size_px = np.sqrt(seen["major_px"] * seen["minor_px"])
    nominal = np.array([np.median(size_px[group == k]) for k in range(len(keys))]) / camera.px_per_mm
    optics = np.array([camera.px_per_mm, camera.lens_height_mm, camera.fruit_plane_mm])
    return keys[:, 0], keys[:, 1], nominal * magnification(nominal, 1.0, optics)
