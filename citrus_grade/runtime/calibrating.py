"""Pictures, runs and weighed fruit in, a new calibration set out; or the present one checked."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from citrus_grade import __version__, artefacts, config
from citrus_grade.calibration.balls import Balls, ScaleFit, fit_balls, name_sizes
from citrus_grade.calibration.belt import BeltFit, BeltFrame, fit_belt
from citrus_grade.calibration.density import DensityFit, fit_density, read_weighed
from citrus_grade.calibration.drift import Drift, drifts
from citrus_grade.calibration.errors import CalibrationError, refuse
from citrus_grade.calibration.grey import grey_of
from citrus_grade.calibration.lens import BoardSpec, LensFit, find_board, fit_lens, straighten
from citrus_grade.calibration_set import KIND, CalibrationSet
from citrus_grade.config import CameraSection, LineConfig
from citrus_grade.geometry import Ruler, locate, milli
from citrus_grade.grading.decide import Scale, measure
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Decisions, Frame, Message
from citrus_grade.rundir import Loaded, load_line, start_of
from citrus_grade.runlog import LogReader, files
from citrus_grade.runlog.reader import Fed
from citrus_grade.runtime.gauge import frames_of, see_balls
from citrus_grade.runtime.session import open_plant
from citrus_grade.tables import DECISION, EMPTY, Table, fresh, stack
from citrus_grade.words import _

Floats = NDArray[np.float64]

PICTURES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")
MOST_FRAMES = 48
MOST_FRUIT = 0.02
"""Share of cups with fruit at which a belt is no longer empty."""
MOST_CUT = 0.08
"""Share of a tile by which lanes and cups may be looked for beside their middles where the picture ends."""
WORST_HEIGHT = 0.03


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """What `calibrate_geometry` measured, per camera where it is of cameras, and the set it wrote."""

    line: LineConfig
    before: CalibrationSet
    after: CalibrationSet
    lenses: tuple[LensFit, ...]
    belts: tuple[BeltFit, ...]
    scale: ScaleFit | None
    advice: tuple[str, ...]
    simulated: bool


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """Balls measured by the line as it is calibrated now."""

    line: LineConfig
    calibration_id: str
    balls: Balls
    known_mm: Floats
    measured_mm: Floats
    drifts: tuple[Drift, ...]
    within_mm: float
    simulated: bool


def calibrate_geometry(
    line_toml: Path,
    out: Path,
    *,
    board: Sequence[Path] = (),
    spec: BoardSpec | None = None,
    empty: Path | None = None,
    balls: Path | None = None,
    sizes_mm: Sequence[float] = (),
    seconds: float | None = None,
) -> Geometry:
    """Measure lens, lanes and cups, and scale, each from what is given for it; write a set with the rest as it was.

    Parameters
    ----------
    board : pictures, or folders of them. empty, balls : see `sensed`. sizes_mm : the balls' in the order in which they pass.

    Raises
    ------
    CalibrationError, ConfigError, ArtefactError, LogError : what cannot be used, why, and what to do; nothing is written then.
    """
    loaded = load_line(line_toml)
    line, before = loaded.config, loaded.calibration
    _needs_cameras(line_toml, line)
    draft, scale = before, None
    lenses: tuple[LensFit, ...] = ()
    belts: tuple[BeltFit, ...] = ()
    advice: list[str] = []
    if board:
        lenses = tuple(_lens(camera, board, spec or BoardSpec(), len(line.camera)) for camera in line.camera)
        draft = replace(draft, lens=np.array([fit.lens for fit in lenses]))
    if empty is not None:
        belts = _belts(line, sensed(empty, seconds), draft)
        draft = _with_places(line, draft, belts)
    if balls is not None:
        seen = see_balls(line, sensed(balls, seconds), draft)
        if empty is not None:
            seen, draft = _onto_balls(line, seen, draft, belts)
        scale = fit_balls(seen, before.scale, sizes_mm, line.line.lanes)
        draft = replace(draft, scale=scale.scale, scale_sigma_mm=scale.sigma_mm)
    if empty is not None:
        draft, advice = _inside(line, draft)
    advice += _advice(line, lenses, scale)
    simulated = any(path is not None and _is_simulated(path) for path in (empty, balls))
    card = _card(loaded) | {"geometry": _told(lenses, belts, scale, before.id) | {"simulated": simulated}}
    after = replace(draft, id=artefacts.save(out, KIND, card, draft.arrays()))
    return Geometry(line, before, after, lenses, belts, scale, tuple(advice), simulated)


def check(line_toml: Path, balls: Path, sizes_mm: Sequence[float], *, within_mm: float, seconds: float | None = None) -> Checked:
    """Measure gauge balls with the line's present calibration and say of every lane whether it has drifted.

    Raises
    ------
    As `calibrate_geometry`.
    """
    loaded = load_line(line_toml)
    line, calibration = loaded.config, loaded.calibration
    _needs_cameras(line_toml, line)
    seen = see_balls(line, sensed(balls, seconds), calibration)
    measured = seen.measured_mm(calibration.scale)
    known = name_sizes(seen, measured, sizes_mm) if len(measured) else measured
    found = drifts(seen.lane, known, measured, within_mm, line.line.lanes)
    return Checked(line, calibration.id, seen, known, measured, tuple(found), within_mm, _is_simulated(balls))


def calibrate_density(line_toml: Path, weighed: Path, run: Path, out: Path, variety: str) -> tuple[DensityFit, bool]:
    """Fit the density of a variety to weighed fruit of a run and write a set with it, the rest as it was.

    Returns the fit and whether the run was simulated.

    The run's outlines are measured with the line's present scale, whatever the run itself was recorded with.

    Raises
    ------
    As `calibrate_geometry`.
    """
    loaded = load_line(line_toml)
    line, before = loaded.config, loaded.calibration
    table = read_weighed(weighed)
    rows = _measured_again(line, before, _decisions(run))
    place = {key: i for i, key in enumerate(zip(rows["lane"].tolist(), rows["cup"].tolist(), strict=True))}
    keys = list(zip(table.lane.tolist(), table.cup.tolist(), strict=True))
    unseen = [key for key in keys if key not in place or not np.isfinite(rows["volume_ml"][place[key]])]
    if len(unseen) > 0.2 * len(keys):
        text = _(
            "{run}: {n} of {all} weighed fruit did not pass in it (first: lane {lane}, cup {cup}); name the run they passed in"
        )
        raise CalibrationError(text.format(run=run, n=len(unseen), all=len(keys), lane=unseen[0][0], cup=unseen[0][1]))
    chosen = np.array([key not in set(unseen) for key in keys], np.bool_)
    fruit = rows[[place[key] for key in keys if key not in set(unseen)]]
    fit = fit_density(table.mass_g[chosen], fruit["volume_ml"], _volume_sigma_ml(fruit))
    told = {"variety": variety, "fruit": int(fit.kept.sum()), "left_out": int((~fit.kept).sum()), "from": before.id}
    simulated = _is_simulated(run)
    arrays = replace(before, density_g_per_ml=np.array([fit.mean, fit.sigma])).arrays()
    artefacts.save(out, KIND, _card(loaded) | {"density": told | {"simulated": simulated}}, arrays)
    return fit, simulated


def sensed(source: Path, seconds: float | None = None) -> Iterator[Message]:
    """Yield what a line sensed or senses: of a run recorded in full, or of the driver that a ``line.toml`` names.

    Raises
    ------
    CalibrationError : a run without its frames.
    """
    if source.suffix == ".toml":
        plant = open_plant(config.load(source), seconds=seconds)
        try:
            yield from plant.messages()
        finally:
            plant.close()
        return
    profile = start_of(source).get("profile")
    if profile != "full":
        text = _("{run}: was recorded with profile {profile}, without its frames; record it again with --profile full")
        raise CalibrationError(text.format(run=source, profile=profile))
    for path in files(source):
        for entry in LogReader(path):
            if isinstance(entry, Fed):
                yield from entry.messages


def _is_simulated(source: Path) -> bool:
    toml = source if source.suffix == ".toml" else source / "line.toml"
    return bool(config.load(toml).source.get("driver", "sim") == "sim")


def _needs_cameras(line_toml: Path, line: LineConfig) -> None:
    text = _("{path}: the line has no camera; its geometry is that of its pictures")
    refuse([text.format(path=line_toml)] if not line.camera else [])


def _lens(camera: CameraSection, board: Sequence[Path], spec: BoardSpec, cameras: int) -> LensFit:
    where = _("camera {name}").format(name=camera.name)
    size = (camera.width_px, camera.height_px)
    return fit_lens(
        where, (find_board(path.name, _picture(path, camera), spec) for path in _pictures(camera, board, cameras)), size
    )


def _pictures(camera: CameraSection, board: Sequence[Path], cameras: int) -> list[Path]:
    """Return the pictures of one camera; where there are several, each has a folder of its name."""
    found: list[Path] = []
    for path in board:
        folder = path / camera.name if cameras > 1 or (path / camera.name).is_dir() else path
        found += [folder] if folder.is_file() else sorted(p for p in folder.glob("*") if p.suffix.lower() in PICTURES)
    if not found:
        text = _("{path}: no pictures of the board (PNG, TIFF or BMP as the camera gives them; of several cameras a folder each)")
        raise CalibrationError(text.format(path=", ".join(map(str, board))))
    return found


def _picture(path: Path, camera: CameraSection) -> NDArray[np.float32]:
    picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None:
        raise CalibrationError(_("{path}: is no picture that can be read").format(path=path))
    if picture.shape[:2] != (camera.height_px, camera.width_px):
        text = _("{path}: {width} x {height} px, camera {name} has {own_width} x {own_height}; give its whole, unscaled pictures")
        raise CalibrationError(
            text.format(
                path=path,
                width=picture.shape[1],
                height=picture.shape[0],
                name=camera.name,
                own_width=camera.width_px,
                own_height=camera.height_px,
            )
        )
    return grey_of(picture[..., :3] if picture.ndim == 3 else picture, camera.bayer)


def _belts(line: LineConfig, messages: Iterable[Message], draft: CalibrationSet) -> tuple[BeltFit, ...]:
    """Fit the belt under every camera; all its frames must show it empty."""
    imagers = [Imager.of(line, camera, draft) for camera in line.camera]
    frames: list[list[BeltFrame]] = [[] for _camera in imagers]
    cups = full = 0
    for frame, offset in frames_of(line, messages):
        rows = imagers[frame.camera](frame, offset).rows
        cups, full = cups + len(rows), full + int((rows["state"] > EMPTY).sum())
        if len(frames[frame.camera]) < MOST_FRAMES:
            frames[frame.camera].append(_belt_frame(line, frame, offset, draft))
        elif all(len(own) >= MOST_FRAMES for own in frames):
            break
    if full > MOST_FRUIT * cups:
        text = _("--empty: {share:.0%} of the cups hold something; run the belt empty and clean")
        raise CalibrationError(text.format(share=full / cups))
    return tuple(_belt(line, camera, own) for camera, own in zip(line.camera, frames, strict=True))


def _belt_frame(line: LineConfig, frame: Frame, offset: int, draft: CalibrationSet) -> BeltFrame:
    camera, ruler = line.camera[frame.camera], Ruler.of(line.encoder.ratio)
    stations = milli(camera.station + phase for phase in line.phases)
    located = (locate(frame.tick, offset, int(station), ruler.num, ruler.den) for station in stations)
    grey = grey_of(frame.mosaic, camera.bayer)
    straight = grey if draft.lens is None else straighten(grey, draft.lens[frame.camera])
    return BeltFrame(straight, np.array([ahead / unit for _cup, ahead, unit in located]))


def _belt(line: LineConfig, camera: CameraSection, frames: list[BeltFrame]) -> BeltFit:
    where = _("camera {name}").format(name=camera.name)
    pitch_px = camera.px_per_mm * line.line.pitch_mm
    return fit_belt(where, frames, np.array(camera.lane_y_px, np.float64), camera.window_x_px, pitch_px)


def _with_places(line: LineConfig, draft: CalibrationSet, belts: tuple[BeltFit, ...]) -> CalibrationSet:
    """Return the set with lanes and cups where the belts have them; cups that nothing marks stay where they were."""
    drawn = np.array([[camera.window_x_px] * line.line.lanes for camera in line.camera], np.float64)
    ahead = np.array([belt.ahead_px for belt in belts])
    cup_x = np.where(np.isfinite(ahead), drawn + ahead, drawn if draft.cup_x_px is None else draft.cup_x_px)
    return replace(draft, lane_y_px=np.array([belt.lane_y_px for belt in belts]), cup_x_px=cup_x)


def _onto_balls(line: LineConfig, seen: Balls, draft: CalibrationSet, belts: tuple[BeltFit, ...]) -> tuple[Balls, CalibrationSet]:
    """Take cups that nothing on the belt marks, and lanes with an edge out of the picture, from where balls lie in them."""
    assert draft.cup_x_px is not None
    assert draft.lane_y_px is not None
    aside = seen.aside_mm.copy()
    places = draft.cup_x_px.copy(), draft.lane_y_px.copy()
    unsure = np.isnan([belt.ahead_px for belt in belts]), ~np.array([belt.bounding for belt in belts])
    for axis, (place, open_) in enumerate(zip(places, unsure, strict=True)):
        for lane in set(np.flatnonzero(open_.any(axis=0))) & set(seen.lane.tolist()):
            own = seen.lane == lane
            off_mm = float(seen.aside_mm[own, axis].mean())
            place[open_[:, lane], lane] += off_mm * line.camera[0].px_per_mm
            aside[own, axis] -= off_mm
    return replace(seen, aside_mm=aside), replace(draft, cup_x_px=places[0], lane_y_px=places[1])


def _inside(line: LineConfig, draft: CalibrationSet) -> tuple[CalibrationSet, list[str]]:
    """Return the set with all tiles inside their pictures, and what to tell of those that would have left it.

    A tile is where a fruit is looked for: a few pixels beside its middle do no harm, a tile cut by the picture's edge is no view.

    Raises
    ------
    CalibrationError : where it is more than a few pixels.
    """
    if draft.lane_y_px is None or draft.cup_x_px is None:
        return draft, []
    lane_y, cup_x = draft.lane_y_px.copy(), draft.cup_x_px.copy()
    told: list[str] = []
    problems: list[str] = []
    for index, camera in enumerate(line.camera):
        half, reach = camera.tile_px / 2, (camera.windows - 1) * camera.px_per_mm * line.line.pitch_mm
        for places, last, what in (
            (lane_y[index], camera.height_px - half, "lane_y_px"),
            (cup_x[index], camera.width_px - half - reach, "window_x_px"),
        ):
            kept = np.clip(places, half, last)
            for lane, off in enumerate(places - kept):
                if abs(off) > 1:
                    text = _("camera {name}, lane {lane}: {what} is {px:.1f} px too near the picture's edge; move the camera")
                    (problems if abs(off) > MOST_CUT * camera.tile_px else told).append(
                        text.format(name=camera.name, lane=lane, what=what, px=abs(off))
                    )
            places[:] = kept
    refuse(problems)
    return replace(draft, lane_y_px=lane_y, cup_x_px=cup_x), told


def _advice(line: LineConfig, lenses: tuple[LensFit, ...], scale: ScaleFit | None) -> list[str]:
    """Return what people should know of a calibration that is good enough to be written."""
    told = []
    for camera, fit in zip(line.camera, lenses, strict=False):
        height_mm = fit.lens[2] / camera.px_per_mm + camera.fruit_plane_mm
        if abs(height_mm / camera.lens_height_mm - 1) > WORST_HEIGHT:
            text = _("camera {name}: by its focal length the lens hangs at {mm:.0f} mm, lens_height_mm is {config:g}; measure it")
            told.append(text.format(name=camera.name, mm=height_mm, config=camera.lens_height_mm))
    if lenses and scale is None:
        told.append(_("the scale is that of the lens before; lay gauge balls next: --balls"))
    return told


def _told(lenses: tuple[LensFit, ...], belts: tuple[BeltFit, ...], scale: ScaleFit | None, before: str) -> dict[str, Any]:
    """Return what the new set's card says of how it was measured."""
    told: dict[str, Any] = {"software": __version__, "from": before}
    if lenses:
        told["lens"] = [{"views": fit.views, "corners": len(fit.seen_px), "rms_px": round(fit.rms_px, 4)} for fit in lenses]
    if belts:
        told["belt"] = [{"frames": fit.frames, "edges_px": np.round(fit.edges_px, 2).tolist()} for fit in belts]
    if scale is not None:
        rms_mm = float(np.sqrt(np.mean(np.square(scale.residual_mm))))
        told["balls"] = {"n": len(scale.known_mm), "sizes_mm": list(scale.sizes_mm), "rms_mm": round(rms_mm, 4)}
    return told


def _card(loaded: Loaded) -> dict[str, Any]:
    return dict(artefacts.load(loaded.calibration_path, KIND).card) if loaded.calibration_path else {}


def _decisions(run: Path) -> Table:
    """Return a run's decisions, the last one of each cup."""
    parts = [entry.rows for path in files(run) for entry in LogReader(path, frames=False) if isinstance(entry, Decisions)]
    return stack(parts, DECISION)


def _measured_again(line: LineConfig, calibration: CalibrationSet, decisions: Table) -> Table:
    """Return decisions with sizes and masses under a calibration; those without a measured outline keep NaN."""
    camera = line.camera[0]
    optics = np.array([camera.px_per_mm, camera.lens_height_mm, camera.fruit_plane_mm])
    scale = Scale(optics, calibration.scale, calibration.scale_sigma_mm, calibration.density_g_per_ml)
    rows = fresh(decisions)
    for row in rows:
        if row["fruit_views"] > 0:
            measure(row, scale)
    return rows


def _volume_sigma_ml(rows: Table) -> Floats:
    """Return what the sizes' own errors make of the volumes'."""
    diameter, height = rows["diameter_sigma_mm"] / rows["diameter_mm"], rows["height_sigma_mm"] / rows["height_mm"]
    return np.asarray(rows["volume_ml"] * np.hypot(2 * diameter, height), np.float64)
