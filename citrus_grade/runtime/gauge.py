"""A line's scale from objects of known diameter, measured by the line itself."""

from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.balls import Balls
from citrus_grade.calibration.errors import CalibrationError
from citrus_grade.calibration.scale import fit_scale
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.geometry import Ruler
from citrus_grade.grading import plan as plans
from citrus_grade.grading.decide import magnification
from citrus_grade.imaging.imager import Imager
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Decisions, Frame, Message, Reading, Scans
from citrus_grade.tables import DECISION, DOUBLE, FRUIT_SEEN, VIEW, Table, stack
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_SHARE = 0.5
"""A ball seen in fewer than this share of the windows was on its way in or out as the recording began or ended."""


def frames_of(config: LineConfig, messages: Iterable[Message]) -> Iterator[tuple[Frame, int]]:
    """Yield the frames, each with the encoder's correction as `line.Line` keeps it.

    Raises
    ------
    CalibrationError : a frame of no camera of the line, or of another size.
    """
    ruler, offset = Ruler.of(config.encoder.ratio), 0
    imagers = [Imager.of(config, camera) for camera in config.camera]
    for message in messages:
        if isinstance(message, Reading) and message.kind == "cup_index":
            offset -= ruler.slip(message.tick, offset)
        elif isinstance(message, Frame):
            if not 0 <= message.camera < len(imagers) or not imagers[message.camera].accepts(message.mosaic):
                text = _("camera {camera}: a frame of {size} is none of this line's; name a run of this line")
                raise CalibrationError(text.format(camera=message.camera, size=" x ".join(map(str, message.mosaic.shape))))
            yield message, offset


def see_balls(config: LineConfig, messages: Iterable[Message], calibration: CalibrationSet) -> Balls:
    """Return the balls that pass the cameras, under a calibration's lens, lanes and cups but without its scale.

    A ball has no longest axis, noise alone makes one: its size is the mean of both, in the median view.
    """
    imagers = [Imager.of(config, camera, calibration) for camera in config.camera]
    by_camera: list[list[Table]] = [[] for _camera in imagers]
    for frame, offset in frames_of(config, messages):
        by_camera[frame.camera].append(imagers[frame.camera](frame, offset).rows)
    tables = [stack(rows, VIEW) for rows in by_camera]
    views = stack(tables, VIEW)
    focal_px = np.repeat([imager.scene.optics[4] for imager in imagers], [len(table) for table in tables])
    full = (views["cup"] >= 0) & np.isin(views["state"], (FRUIT_SEEN, DOUBLE))
    views, focal_px = views[full], focal_px[full]
    keys, group = np.unique(np.stack([views["lane"], views["cup"]], axis=1).astype(np.int64), axis=0, return_inverse=True)
    group = group.reshape(-1)
    clear = views["state"] == FRUIT_SEEN
    n_all, n_clear = (np.bincount(group[chosen], minlength=len(keys)) for chosen in (slice(None), clear))
    ball = (n_clear >= LEAST_SHARE * config.n_views) & (2 * n_clear > n_all)
    crowded = (n_all >= LEAST_SHARE * config.n_views) & ~ball
    own = clear & ball[group]
    views, focal_px, group = views[own], focal_px[own], (np.cumsum(ball) - 1)[group[own]]
    view_mm = _nominal_mm(config, views)
    aside = _aside_mm(config, views, focal_px, view_mm)
    return Balls(
        lane=keys[ball, 0],
        cup=keys[ball, 1],
        nominal_mm=np.array([np.median(view_mm[group == k]) for k in range(int(ball.sum()))]),
        aside_mm=np.array([np.median(aside[group == k], axis=0) for k in range(int(ball.sum()))]).reshape(-1, 2),
        view_ball=group,
        view_window=views["view_index"].astype(np.int64),
        view_mm=view_mm,
        crowded=keys[crowded],
    )


def _nominal_mm(config: LineConfig, views: Table) -> Floats:
    camera = config.camera[0]
    nominal = np.sqrt(views["major_px"] * views["minor_px"]) / camera.px_per_mm
    optics = np.array([camera.px_per_mm, camera.lens_height_mm, camera.fruit_plane_mm])
    return np.asarray(nominal * magnification(nominal, 1.0, optics), np.float64)


def _aside_mm(config: LineConfig, views: Table, focal_px: Floats, view_mm: Floats) -> Floats:
    """Return where balls lie beside their cups, (n, 2): a ball's centre is not at the height that pixels are given for."""
    camera = config.camera[0]
    down_mm, plane_mm = camera.lens_height_mm - view_mm / 2, camera.lens_height_mm - camera.fruit_plane_mm
    along, across = (
        (views[sight] + views[place] / focal_px) * down_mm - views[sight] * plane_mm
        for sight, place in (("sight_x", "x_px"), ("sight_y", "y_px"))
    )
    return np.stack([along, across], axis=1)


def gauge_balls(config: LineConfig, messages: Iterable[Message], known_mm: Floats) -> tuple[Floats, Floats]:
    """Run balls of known diameter over the line and fit each lane's scale.

    Parameters, Returns and Raises as `gauge_fruit`.
    """
    balls = see_balls(config, messages, CalibrationSet.nominal(config))
    known = balls.cup < known_mm.shape[1]
    lane, cup = balls.lane[known], balls.cup[known]
    return fit_scale(balls.nominal_mm[known], known_mm[lane, cup], lane, config.line.lanes)


def gauge_fruit(config: LineConfig, messages: Iterable[Message], known_mm: Floats) -> tuple[Floats, Floats]:
    """Run fruit of known equatorial diameter over the line and fit each lane's scale.

    Parameters
    ----------
    messages : what the line senses meanwhile. known_mm : (lanes, cups), NaN where nothing of known size lies.

    Returns
    -------
    As `calibration.scale.fit_scale`: scale (lanes, 2) and sigma_mm (lanes,).

    Raises
    ------
    CalibrationError : too few objects, or measurements that do not lie on a line.
    """
    rows = _measure(config, messages)
    rows = rows[(rows["cup"] < known_mm.shape[1]) & (rows["fruit_views"] > 0)]
    known = known_mm[rows["lane"], rows["cup"]]
    rows, known = rows[np.isfinite(known)], known[np.isfinite(known)]
    return fit_scale(rows["diameter_mm"], known, rows["lane"], config.line.lanes)


def _measure(config: LineConfig, messages: Iterable[Message]) -> Table:
    """Return decisions made by the cameras alone, under the nominal calibration."""
    nominal = CalibrationSet.nominal(config)
    text = f'name = "measure only"\n[[rule]]\ngrade = "measured"\noutlets = ["{config.outlet_names[0]}"]\n'
    plan = plans.parse(text, (), config.outlet_names[:-1], "measure only")
    line = Line(config, Artefacts({plan.id: plan}, {}, {nominal.id: nominal}), plan=plan.id, calibration=nominal.id)
    outputs = (output for message in messages if not isinstance(message, Scans) for output in line.feed(message))
    return stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)
