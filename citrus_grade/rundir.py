"""The run folder: one line's run with all it takes to replay it.

``line.toml`` the configuration; ``plans/ID.toml``, ``models/ID/``, ``calibrations/ID/``, ``classifiers/ID/`` every artefact
used; ``run.json`` which were live at the start; ``log/*.mcap`` the messages and decisions; ``fruit.parquet`` one row a cup.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_grade import __version__, artefacts, config
from citrus_grade.artefacts import ArtefactError
from citrus_grade.calibration_set import KIND as CALIBRATION
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.grading import classifier as classifiers
from citrus_grade.grading import plan as plans
from citrus_grade.grading.classifier import GradeModel
from citrus_grade.grading.features import names
from citrus_grade.grading.plan import Plan
from citrus_grade.line import Artefacts, Line
from citrus_grade.runlog.errors import LogError
from citrus_grade.spectra import bundle as bundles
from citrus_grade.spectra.model import SpectralModel
from citrus_grade.spectra.predict import rehearse
from citrus_grade.words import _

_REACH_NM = 0.5
"""A model may ask for so much beyond the outermost pixels."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration with the artefacts it names."""

    config: LineConfig
    plan: Plan
    plan_text: str
    model: SpectralModel | None
    model_id: str
    calibration: CalibrationSet
    model_path: Path | None
    calibration_path: Path | None
    classifier: GradeModel | None = None
    classifier_id: str = ""
    classifier_path: Path | None = None
    shadow: SpectralModel | None = None
    shadow_id: str = ""
    shadow_path: Path | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """What the spectral model predicts."""
        return self.model.names if self.model else ()

    @property
    def residuals(self) -> dict[str, NDArray[np.float64]]:
        """Residuals of each of them, (n,) sorted."""
        return self.model.residuals if self.model else {}

    @property
    def ids(self) -> dict[str, str]:
        """Ids of the artefacts in use, "" where there is none."""
        named = {"plan": self.plan.id, "model": self.model_id, "calibration": self.calibration.id}
        return named | {"classifier": self.classifier_id, "shadow": self.shadow_id}

    def line(self) -> Line:
        """Return a new line at tick 0."""
        return Line(self.config, self.artefacts(), **self.ids)

    def artefacts(self) -> Artefacts:
        """Return the artefacts as the line looks them up."""
        both = ((self.model_id, self.model), (self.shadow_id, self.shadow))
        models = {model_id: model for model_id, model in both if model}
        classifiers = {self.classifier_id: self.classifier} if self.classifier else {}
        return Artefacts({self.plan.id: self.plan}, models, {self.calibration.id: self.calibration}, classifiers)


def load_line(
    path: Path,
    *,
    text: str | None = None,
    plan: Path | None = None,
    model: Path | None = None,
    calibration: Path | None = None,
    classifier: Path | None = None,
) -> Loaded:
    """Load ``line.toml`` and the artefacts beside it.

    ``text`` takes the place of the file's own; ``plan``, ``model``, ``calibration`` and ``classifier`` that of the artefacts it
    names.

    Raises
    ------
    ConfigError, ArtefactError : naming what is wrong, where, and what to do.
    """
    line = config.parse(text, str(path)) if text is not None else config.load(path)
    model_path = model or (path.parent / line.files.model if line.files.model else None)
    calibration_path = calibration or (path.parent / line.files.calibration if line.files.calibration else None)
    spectral, model_id = load_model(model_path, line) if model_path else (None, "")
    targets = spectral.names if spectral else ()
    plan_path = plan or path.parent / line.files.plan
    classifier_path = classifier or (path.parent / line.files.classifier if line.files.classifier else None)
    graded_by, classifier_id = load_classifier(classifier_path, targets) if classifier_path else (None, "")
    residuals = spectral.residuals if spectral else {}
    compiled = plans.load(plan_path, targets, line.outlet_names[:-1], graded_by, residuals)
    measured = load_calibration(calibration_path, line) if calibration_path else CalibrationSet.nominal(line)
    plan_text = plan_path.read_text(encoding="utf-8")
    measures = (spectral, model_id, measured, model_path, calibration_path)
    # What another model would have said of a run is asked without the one that was on trial then.
    shadow_path = path.parent / line.files.shadow if line.files.shadow and model is None else None
    shadow, shadow_id = load_shadow(shadow_path, line, targets) if shadow_path else (None, "")
    grades = (graded_by, classifier_id, classifier_path)
    return Loaded(line, compiled, plan_text, *measures, *grades, shadow, shadow_id, shadow_path)


def load_model(path: Path, line: LineConfig) -> tuple[SpectralModel, str]:
    """Load a model bundle and check that it fits the line's spectrometers; return it with its id."""
    artefact = artefacts.load(path, bundles.KIND)
    try:
        model = bundles.from_artefact(artefact)
    except ValueError as error:
        raise ArtefactError(f"{path}: {error}") from error
    seen = line.spectrometer.axis_nm if line.spectrometer else np.zeros(0)
    wanted = model.wavelength_nm
    if not len(seen) or wanted[0] < seen[0] - _REACH_NM or wanted[-1] > seen[-1] + _REACH_NM:
        there = f"{seen[0]:g}-{seen[-1]:g} nm" if len(seen) else _("no spectrometers")
        raise ArtefactError(
            _("{path}: needs {first:g}-{last:g} nm, the line has {there}; train it on this line").format(
                path=path, first=wanted[0], last=wanted[-1], there=there
            )
        )
    if model.graph is not None:
        rehearse(model)
    return model, artefact.id


def load_shadow(path: Path, line: LineConfig, targets: tuple[str, ...]) -> tuple[SpectralModel, str]:
    """Load a model on trial and check that it can stand beside the live one; return it with its id."""
    model, model_id = load_model(path, line)
    if model.names != targets:
        raise ArtefactError(
            _("{path}: predicts {found}, the live model {wanted}; a model on trial must predict the same, in that order").format(
                path=path, found=", ".join(model.names), wanted=", ".join(targets) or "-"
            )
        )
    return model, model_id


def load_classifier(path: Path, targets: tuple[str, ...]) -> tuple[GradeModel, str]:
    """Load a grade classifier and check that the line measures what it looks at; return it with its id."""
    artefact = artefacts.load(path, classifiers.KIND)
    model = classifiers.from_artefact(artefact, path)
    classifiers.bind(model, names(targets), path)
    return model, artefact.id


def load_calibration(path: Path, line: LineConfig) -> CalibrationSet:
    """Load a calibration set and check that it fits the line's lanes and spectrometers."""
    measured = CalibrationSet.of(artefacts.load(path, CALIBRATION))
    pixels = line.spectrometer.pixels if line.spectrometer else 0
    wanted = (line.line.lanes, pixels)
    if measured.white.shape != wanted or measured.dark.shape != wanted or measured.scale.shape != (line.line.lanes, 2):
        raise ArtefactError(
            _("{path}: made for {made} lanes and pixels, the line has {wanted}; calibrate this line").format(
                path=path, made=measured.white.shape, wanted=wanted
            )
        )
    per_lane, cameras = (len(line.camera), line.line.lanes), len(line.camera)
    for name, shape in (
        ("lens", (cameras, 5)),
        ("lane_y_px", per_lane),
        ("cup_x_px", per_lane),
        ("colour", (1 << 15,)),
        ("wavelength_nm", wanted),
        ("transmission", wanted),
        ("integration_us", (line.line.lanes,)),
    ):
        found = getattr(measured, name)
        if found is not None and found.shape != shape:
            raise ArtefactError(
                _("{path}: {name} is of {made} cameras and lanes, the line has {wanted}; calibrate this line").format(
                    path=path, name=name, made=found.shape, wanted=shape
                )
            )
    if not all(np.isfinite(array).all() for array in measured.arrays().values()) or not (measured.white > measured.dark).all():
        raise ArtefactError(
            _(
                "{path}: holds values that are no numbers, or a white no brighter than its dark; measure the references again"
            ).format(path=path)
        )
    if measured.transmission is not None and not (measured.transmission > 0).all():
        raise ArtefactError(
            _("{path}: transmission: the attenuator lets nothing through at some pixels; measure it again").format(path=path)
        )
    return measured


def create(run_dir: Path, loaded: Loaded, *, seed: int | None, profile: str, config_text: str) -> None:
    """Lay out a new run folder with copies of everything the run uses.

    Raises
    ------
    FileExistsError : if the folder holds something already; a run is never written over.
    """
    if run_dir.exists() and any(run_dir.iterdir()):
        raise FileExistsError(17, "the folder holds something already; name a new one", str(run_dir))
    (run_dir / "log").mkdir(parents=True)
    (run_dir / "plans").mkdir()
    (run_dir / "plans" / f"{loaded.plan.id}.toml").write_text(loaded.plan_text, encoding="utf-8")
    for kind, artefact_id, path in (
        ("models", loaded.model_id, loaded.model_path),
        ("models", loaded.shadow_id, loaded.shadow_path),
        ("calibrations", loaded.calibration.id, loaded.calibration_path),
        ("classifiers", loaded.classifier_id, loaded.classifier_path),
    ):
        # A model on trial beside itself is one folder.
        if path is not None and not (run_dir / kind / artefact_id).exists():
            shutil.copytree(path, run_dir / kind / artefact_id)
    text = point_at(
        config_text,
        plan=f"plans/{loaded.plan.id}.toml",
        model=f"models/{loaded.model_id}" if loaded.model_path else None,
        shadow=f"models/{loaded.shadow_id}" if loaded.shadow_path else None,
        calibration=f"calibrations/{loaded.calibration.id}" if loaded.calibration_path else None,
        classifier=f"classifiers/{loaded.classifier_id}" if loaded.classifier_path else None,
    )
    (run_dir / "line.toml").write_text(text, encoding="utf-8")
    start = {
        "software": __version__, "profile": profile, "seed": seed, **loaded.ids, "targets": list(loaded.targets),
        "classes": list(loaded.plan.classes), "grades": list(loaded.plan.grades), "outlets": list(loaded.config.outlet_names),
    }  # fmt: skip
    (run_dir / "run.json").write_text(json.dumps(start, indent=2), encoding="utf-8")


def start_of(run_dir: Path) -> dict[str, Any]:
    """Return what ``run.json`` says was live at the start.

    Raises
    ------
    LogError : if the folder is no run.
    """
    try:
        start: dict[str, Any] = json.loads((run_dir / "run.json").read_text(encoding="utf-8"))
        if not isinstance(start, dict):
            raise ValueError
    except (OSError, ValueError) as error:
        raise LogError(
            _("{run}: no run.json to read; name the folder that `citrus-grade run` wrote").format(run=run_dir)
        ) from error
    return start


def reopen(
    run_dir: Path,
    *,
    plan: Path | None = None,
    model: Path | None = None,
    calibration: Path | None = None,
    classifier: Path | None = None,
) -> Loaded:
    """Load a run's line again, with other artefacts in place of its own if given."""
    start_of(run_dir)
    return load_line(run_dir / "line.toml", plan=plan, model=model, calibration=calibration, classifier=classifier)


def point_at(
    text: str,
    *,
    plan: str,
    model: str | None,
    calibration: str | None,
    classifier: str | None = None,
    shadow: str | None = None,
) -> str:
    """Return a ``line.toml`` whose ``[files]`` name these artefacts."""
    paths = {"plan": plan, "model": model, "shadow": shadow, "calibration": calibration, "classifier": classifier}
    return with_section(text, "files", {key: path for key, path in paths.items() if path})


def with_section(text: str, name: str, values: Mapping[str, str | int]) -> str:
    """Return a TOML text with one section put in place of its own, everything else and its comments kept."""
    lines = [f"[{name}]", *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items())]
    without = re.sub(rf"(?ms)^\[{name}\].*?(?=^\[|\Z)", "", text).rstrip()
    return "\n".join([without, "", *lines, ""])


def with_value(text: str, section: str, key: str, value: str | None) -> str:
    """Return a TOML text with one text value of one section set, or taken out with None, everything else kept."""
    head, found, rest = text.partition(f"\n[{section}]")
    body, following = re.split(r"(?m)^(?=\[)", rest, maxsplit=1) if re.search(r"(?m)^\[", rest) else (rest, "")
    title, *lines = body.split("\n")
    kept = [line for line in lines if not re.match(rf"{key}\s*=", line)]
    own = [] if value is None else [f"{key} = {json.dumps(value, ensure_ascii=False)}"]
    return head + found + "\n".join([title, *own, *kept]) + following
