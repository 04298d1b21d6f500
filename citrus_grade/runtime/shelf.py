"""What models there are in a folder or at a line, and what each one's card says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from citrus_grade import artefacts, config
from citrus_grade.artefacts import ArtefactError
from citrus_grade.models import fingerprints
from citrus_grade.runtime import journal, registry
from citrus_grade.spectra import bundle
from citrus_grade.spectra.model import SpectralModel

Json = Any  # a JSON value; its shape is the card's affair


@dataclass(frozen=True, slots=True)
class Listed:
    """A model in a list; ``mark`` is "live", "shadow" or "", ``since`` when the registry last made it live, "" if it never did;
    ``problem`` says why a bundle cannot be used."""

    id: str
    path: str
    mark: str
    targets: tuple[str, ...]
    n: int | None
    lots: int | None
    rmsecv: dict[str, float]
    made: str
    simulated: bool
    problem: str = ""
    since: str = ""


def models_in(folder: Path) -> list[Listed]:
    """Return the models of a folder: its own, and those of the folders in it."""
    return [_listed(path, {}) for path in [folder, *_folders(folder)] if _is_model(path)]


def models_of(line_toml: Path) -> list[Listed]:
    """Return the models of a line: those it names, wherever they lie, and those of its registry; each once."""
    files = config.load(line_toml).files
    named = [line_toml.parent / name for name in (files.model, files.shadow) if name]
    marks = {artefacts.load(path, bundle.KIND).id: mark for path, mark in reversed([*zip(named, _marks(files), strict=True)])}
    found: dict[str, Listed] = {}
    for path in [*_folders(line_toml.parent / registry.FOLDER), *named]:
        if _is_model(path):
            one = _listed(path, marks)
            found.setdefault(one.id, one)
    made_live = {
        event["model"]: event["time"]
        for event in journal.read(registry.log_of(line_toml)).events
        if event["event"] in registry.DONE.values()
    }
    return [replace(one, since=made_live.get(one.id, "")) for one in found.values()]


def _marks(files: config.FilesSection) -> list[str]:
    return [mark for mark, name in (("live", files.model), ("shadow", files.shadow)) if name]


def _folders(folder: Path) -> list[Path]:
    """Return the folders in a folder; hidden ones are drafts that a crash left."""
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".") if folder.is_dir() else []


def _is_model(path: Path) -> bool:
    """Say whether a folder looks like a spectral model, damaged or not; what is wrong with it is told where it is listed."""
    card = path / artefacts.CARD
    return card.is_file() and bundle.KIND in card.read_text(encoding="utf-8", errors="replace")


def _listed(path: Path, marks: Mapping[str, str]) -> Listed:
    made = datetime.fromtimestamp((path / artefacts.CARD).stat().st_mtime, UTC).isoformat(timespec="minutes")
    try:
        stored = artefacts.load(path, bundle.KIND)
        model = bundle.from_artefact(stored)
    except (ArtefactError, ValueError) as error:
        return Listed(path.name, str(path), "", (), None, None, {}, made, False, str(error))
    training = model.training
    groups = training.get("groups")
    return Listed(
        id=stored.id,
        path=str(path),
        mark=marks.get(stored.id, ""),
        targets=model.names,
        n=training.get("n"),
        lots=len(groups) if groups is not None else None,
        rmsecv={target.name: target.sigma for target in model.targets},
        made=made,
        simulated=bool(training.get("SIMULATED")),
    )


def card_of(path: Path) -> tuple[SpectralModel, dict[str, Json]]:
    """Return a model and what there is to say of it, as plain data.

    Raises
    ------
    ArtefactError : missing, damaged, of another kind or version.
    """
    stored = artefacts.load(path, bundle.KIND)
    try:
        model = bundle.from_artefact(stored)
    except ValueError as error:
        raise ArtefactError(f"{path}: {error}") from error
    story = {name: value for name, value in model.training.items() if name not in (fingerprints.KEY, "targets", "groups")}
    nm, domain = model.wavelength_nm, model.domain
    return model, {
        "model_id": stored.id,
        "path": str(path),
        "wavelength_nm": [float(nm[0]), float(nm[-1]), len(nm)],
        "targets": dict(_targets(model)),
        "lots": dict(model.training.get("groups") or {}),
        "t2_limit": domain.t2_limit,
        "q_limit": domain.q_limit,
        "lanes": list(model.lanes),
        "corrections": dict(_corrections(model)),
        "story": story,
    }


def _targets(model: SpectralModel) -> Iterator[tuple[str, dict[str, Json]]]:
    told = model.training.get("targets", {})
    for target in model.targets:
        yield target.name, {"unit": target.unit, "rmse_left_out": target.sigma, **told.get(target.name, {})}


def _corrections(model: SpectralModel) -> Iterator[tuple[str, dict[str, list[float]]]]:
    """Yield what each lane's values are corrected by, intercept and slope by target; what changes nothing is left out."""
    for lane, rows in zip(("", *model.lanes), model.corrections.tolist(), strict=True):
        if any(row != [0.0, 1.0] for row in rows):
            yield lane, dict(zip(model.names, rows, strict=True))
