"""One frame of the line with what was measured drawn in."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from citrus_grade import __version__
from citrus_grade.config import ConfigError
from citrus_grade.imaging.imager import Imager
from citrus_grade.messages import Frame, Message
from citrus_grade.report import style
from citrus_grade.report.geometry import outline, place_of
from citrus_grade.report.rundata import Run
from citrus_grade.runlog.belt import Belt
from citrus_grade.runlog.export import Walk, demosaic
from citrus_grade.runlog.reader import Snapshot
from citrus_grade.runtime.session import open_plant
from citrus_grade.tables import FRUIT_SEEN, Table
from citrus_grade.words import N_

AGREE_PX = 6.0
"""A frame made again whose diameters are further than this from the recorded ones, in the median, is not what was measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A frame (height, width, 3), red first, its views and the encoder's correction when it was taken."""

    frame: Frame
    picture: NDArray[np.uint8]
    imager: Imager
    offset: int
    rows: Table


def sample(run: Run) -> Sample | None:
    """Return a frame of a full belt: a recorded one, or the same one made again by its driver; None if there is neither."""
    if not run.loaded.config.camera:
        return None
    if run.start["profile"] == "full":
        return _measured(run, (item for _, item in Walk.of(run.run_dir).entries(frames=True)))
    if run.truth is None or run.start["software"] != __version__:
        return None
    made = _measured(run, _made_again(run, len(run.truth["lane"]) // run.loaded.config.line.lanes))
    return made if made is not None and _agrees(run, made) else None


def _made_again(run: Run, cups: int) -> Iterator[Message]:
    seconds = (cups + 0.5) / run.loaded.config.line.cups_per_s
    try:
        plant = open_plant(run.loaded.config, seed=run.start["seed"], seconds=seconds)
    except ConfigError:
        return
    try:
        yield from plant.messages()
    finally:
        plant.close()


def _measured(run: Run, items: Iterator[object]) -> Sample | None:
    """Return the first frame in which the last window has a cup, with a few pitches to spare where the run is long enough."""
    camera = run.loaded.config.camera[0]
    imager, belt = Imager.of(run.loaded.config, camera, run.loaded.calibration), Belt.of(run.loaded.config)
    wanted = int(camera.station + camera.windows) + 4
    last: Frame | None = None
    for item in items:
        if isinstance(item, Snapshot | Message):
            belt.follow(item)
        if isinstance(item, Frame) and item.camera == 0:
            last = item
            if belt.at(item.tick, 0.0)[0] >= wanted:
                break
    if last is None:
        return None
    picture = np.ascontiguousarray(demosaic(last.mosaic, camera.bayer)[:, :, ::-1])
    return Sample(last, picture, imager, belt.offset, imager(last, belt.offset).rows)


def _agrees(run: Run, made: Sample) -> bool:
    known = _table(run)
    rows = made.rows[made.rows["state"] == FRUIT_SEEN]
    pairs = [
        (row["major_px"], known[key]["diameter_px"]) for row in rows if (key := (int(row["lane"]), int(row["cup"]))) in known
    ]
    return bool(pairs) and float(np.median(np.abs(np.subtract(*np.array(pairs, np.float64).T)))) < AGREE_PX


def _table(run: Run) -> dict[tuple[int, int], dict[str, float | str]]:
    early = np.flatnonzero(run.fruit["cup"] < 400)
    names = ("diameter_px", "diameter_mm", "grade")
    fruit = {name: run.fruit[name][early].tolist() for name in ("lane", "cup", *names)}
    keys = zip(fruit["lane"], fruit["cup"], strict=True)
    return {key: {name: fruit[name][k] for name in names} for k, key in enumerate(keys)}


def sample_picture(run: Run, seen: Sample) -> Figure:
    """Draw a frame with outlines, diameters and grades."""
    height, width = seen.picture.shape[:2]
    drawn = style.figure(style.FULL_INCH, style.FULL_INCH * height / width + 0.45)
    axes = drawn.subplots()
    axes.imshow(seen.picture, interpolation="lanczos")
    colours, known = style.grade_colours(run.grades), _table(run)
    for row in seen.rows[seen.rows["state"] == FRUIT_SEEN]:
        fruit = known.get((int(row["lane"]), int(row["cup"])))
        if fruit is None:
            continue
        place = place_of(seen.imager, seen.frame.tick, seen.offset, int(row["lane"]), int(row["cup"]))
        points = outline(seen.imager, place, row)
        axes.plot(*points.T, color=colours[str(fruit["grade"])], linewidth=1.4)
        text = f"{fruit['diameter_mm']:.1f} mm"
        axes.text(place.x_px + row["x_px"], points[:, 1].max() + 3, text, color="white", fontsize=5.5, ha="center", va="top")
    used = [grade for grade in colours if any(fruit["grade"] == grade for fruit in known.values())]
    for grade in used:
        axes.plot([], [], color=colours[grade], linewidth=2, label=style.name(grade))
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
    axes.set_axis_off()
    drawn.legend(loc="outside lower center", ncols=len(used), fontsize=7.5)
    text = style.say(N_("one frame of the line: outlines by grade, equatorial diameters from all views"))
    if run.simulated:
        text = f"{style.SIMULATED}: {text}"
    axes.set_title(text, color=style.WARNING if run.simulated else style.INK)
    return drawn
