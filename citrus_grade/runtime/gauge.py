"""A line's scale from objects of known diameter, measured by the line itself."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.scale import fit_scale
from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import LineConfig
from citrus_grade.grading import plan as plans
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Decisions, Message, Scans
from citrus_grade.tables import DECISION, Table, stack

Floats = NDArray[np.float64]


def gauge(config: LineConfig, messages: Iterable[Message], known_mm: Floats) -> tuple[Floats, Floats]:
    """Run objects of known diameter over the line and fit each lane's scale.

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
