"""A live line one of whose spectrometers hands over each time the spectrum of the cup before."""

from pathlib import Path

import numpy as np
import pytest

from citrus_grade.config import load
from citrus_grade.drivers.sim.fault_plan import Fault
from citrus_grade.messages import Reason
from tests.test_live_faults import Failed

# Real time: one such line at a time, or each is late for the other.
pytestmark = pytest.mark.xdist_group("live")

BEGINS, ENDS, NOTICED = 6.0, 96.0, 70
"""Cups from when everything works: the fault, and by when it must have been noticed."""


@pytest.mark.fault
def test_spectra_out_of_step_are_noticed_and_grade_nothing(line_toml: Path, loop: Path, tmp_path: Path) -> None:
    spectrometer = load(line_toml).spectrometer
    assert spectrometer is not None
    failed = Failed(line_toml, loop, tmp_path, [Fault("spectra_late", BEGINS, ENDS, 2, float(spectrometer.scans))])
    assert failed.ended.alarm_places["spectra_out_of_step"] == ["lane 2"]
    began, ended = failed.faults[0].from_cup, failed.faults[0].until_cup
    passed = failed.rows["cup"] + failed.shift + spectrometer.station  # where the belt was when the cup passed the spectrometer
    during = failed.rows[(passed > began + NOTICED) & (passed < ended - 1)]
    ungraded = (Reason.MISSING_SPECTRUM, Reason.EMPTY, Reason.DOUBLE, Reason.BRIDGING, Reason.MISSING_VIEW)
    assert len(during) > 100
    assert np.all(np.isin(during["reason"][during["lane"] == 2], ungraded))
    assert np.any(during["reason"][during["lane"] == 2] == Reason.MISSING_SPECTRUM)
    assert np.any(during["reason"][during["lane"] != 2] == Reason.GRADED)
