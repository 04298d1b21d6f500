"""Doubles and fruit across two cups, on the simulated line: what the outline must not take for one round fruit (SIMULATED)."""

import numpy as np
import pytest

from citrus_grade.calibration_set import CalibrationSet
from citrus_grade.config import load
from citrus_grade.drivers.sim.belt import CUP_BRIDGING, CUP_DOUBLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.grading import plan as plans
from citrus_grade.line import Artefacts, Line
from citrus_grade.messages import Decisions
from citrus_grade.tables import BRIDGING, DECISION, DOUBLE, stack
from citrus_grade.templates import LINE


@pytest.mark.parametrize("seed", [21])
def test_doubles_and_bridging_fruit_are_told(seed: int) -> None:
    config = load(LINE)
    plan = plans.parse('name = "all"\n[[rule]]\ngrade = "all"\noutlets = ["1"]\n', (), config.outlet_names[:-1], "all")
    calibration = CalibrationSet.nominal(config)
    line = Line(config, Artefacts({plan.id: plan}, {}, {calibration.id: calibration}), plan=plan.id, calibration=calibration.id)
    plant = SimPlant(config, SimOptions(seed=seed, seconds=20.0, doubles=0.06, bridging=0.05))
    outputs = (output for message in plant.messages() for output in line.feed(message))
    rows = stack([output.rows for output in outputs if isinstance(output, Decisions)], DECISION)
    truth = plant.truth()
    load_of = np.full((config.line.lanes, int(truth["cup"].max()) + 1), -1)
    load_of[truth["lane"], truth["cup"]] = truth["load"]
    rows = rows[(rows["cup"] >= 0) & (rows["cup"] < load_of.shape[1])]
    true = load_of[rows["lane"], rows["cup"]]
    assert np.mean(rows["state"][true == CUP_DOUBLE] == DOUBLE) > 0.97
    assert (true == CUP_BRIDGING).sum() > 40
    assert np.mean(rows["state"][true == CUP_BRIDGING] == BRIDGING) > 0.92
