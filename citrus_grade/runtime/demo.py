"""A first line from nothing: a model and a calibration from simulated batches, then a simulated minute. All figures are
SIMULATED."""

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from citrus_grade import artefacts
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig, load
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame
from citrus_grade.models.demo import fit_demo
from citrus_grade.rundir import point_at, with_section
from citrus_grade.runtime.gauge import gauge_balls
from citrus_grade.runtime.session import Progress, RunSummary, run_line
from citrus_grade.spectra import bundle as bundles
from citrus_grade.templates import DEMO_PLAN, LINE

GAUGE_MM = (45.0, 62.0, 78.0)
GAUGE_S = 3.0
DENSITY_G_PER_ML = (0.90, 0.02)
"""Of satsumas, mean and standard deviation between fruit: what weighing a sample of the variety gives."""
NEW_SEASON = 4


def run_demo(
    run_dir: Path,
    *,
    seed: int = 1,
    seconds: float = 60.0,
    progress: Progress | None = None,
    compiled: Callable[[], None] = lambda: None,
) -> RunSummary:
    """Fit a first model, calibrate, run ``seconds`` of the simulated line and keep it all in ``run_dir``; ``compiled`` as in
    `set_up`."""
    with tempfile.TemporaryDirectory() as folder:
        line_toml = set_up(Path(folder), seed, compiled)
        return run_line(line_toml, run_dir, seconds=seconds, progress=progress)


def set_up(folder: Path, seed: int, compiled: Callable[[], None] = lambda: None) -> Path:
    """Write a calibrated simulated line with a first model into ``folder``; return its ``line.toml``.

    ``compiled`` is called before views are joined for the first time.
    """
    shutil.copy(DEMO_PLAN, folder / "plan.toml")
    shutil.copy(LINE, folder / "line.toml")
    config = load(folder / "line.toml")
    assert config.spectrometer is not None
    model, _ = fit_demo(seed, config.spectrometer.axis_nm, config.line.lanes)
    artefacts.save(folder / "model", bundles.KIND, *bundles.to_artefact(model))
    for index, camera in enumerate(config.camera):  # imaging compiles here, where it has not yet
        Imager.of(config, camera)(Frame(index, 0, 0, 0, np.zeros((camera.height_px, camera.width_px), np.uint8)), 0)
    compiled()
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
    scale, sigma_mm = gauge_balls(config, plant.messages(), plant.table["fruit"]["diameter_mm"])
    return replace(
        CalibrationSet.nominal(config),
        scale=scale,
        scale_sigma_mm=sigma_mm,
        density_g_per_ml=np.array(DENSITY_G_PER_ML),
        dark=plant.spectrometer.dark(),
        white=plant.spectrometer.white(),
    )
