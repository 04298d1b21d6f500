"""A line's scale from objects of known diameter, measured by the line itself."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.scale import fit_scale
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.grading import plan as plans
from citrus_grade.grading.decide import magnification
from citrus_grade.imaging.imager import Imager
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Decisions, Frame, Message, Scans
from citrus_grade.tables import DECISION, FRUIT_SEEN, VIEW, Table, stack

Floats = NDArray[np.float64]


def gauge_balls(config: LineConfig, messages: Iterable[Message], known_mm: Floats) -> tuple[Floats, Floats]:
    """Run balls of known diameter over the line and fit each lane's scale.

    A ball has no longest axis, noise alone makes one: its size is the mean of both, in the median view.

    Parameters, Returns and Raises as `gauge_fruit`.
    """
    camera = config.camera[0]
    imager = Imager.of(config, camera)
    views = stack([imager(message).rows for message in messages if isinstance(message, Frame)], VIEW)
    seen = views[(views["state"] == FRUIT_SEEN) & (views["cup"] >= 0) & (views["cup"] < known_mm.shape[1])]
    keys, group = np.unique(np.stack([seen["lane"], seen["cup"]], axis=1), axis=0, return_inverse=True)
    size_px = np.sqrt(seen["major_px"] * seen["minor_px"])
    nominal = np.array([np.median(size_px[group == k]) for k in range(len(keys))]) / camera.px_per_mm
    optics = np.array([camera.px_per_mm, camera.lens_height_mm, camera.fruit_plane_mm])
    lane, cup = keys[:, 0], keys[:, 1]
    return fit_scale(nominal * magnification(nominal, 1.0, optics), known_mm[lane, cup], lane, config.line.lanes)


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
