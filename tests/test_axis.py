"""What two instruments measure in common."""

import numpy as np
import pytest

from citrus_grade.calibration.axis import overlap
from citrus_grade.calibration.errors import CalibrationError

MASTER_NM, SLAVE_NM = np.arange(450.0, 1141, 3), np.arange(740.0, 1071)


def test_the_overlap_lies_inside_both():
    axis_nm = MASTER_NM[overlap(MASTER_NM, SLAVE_NM)]
    assert (axis_nm[0], axis_nm[-1], len(axis_nm)) == (741.0, 1068.0, 110)


def test_wavelengths_that_do_not_increase_or_do_not_meet_are_told():
    with pytest.raises(CalibrationError, match=r"slave do not increase at channel 3: 742 nm, then 742 nm"):
        overlap(MASTER_NM, np.concatenate((SLAVE_NM[:3], SLAVE_NM[2:])))
    with pytest.raises(CalibrationError, match=r"450 to 1140 nm, slave 1100 to 1400 nm: 14 wavelengths in common"):
        overlap(MASTER_NM, np.arange(1100.0, 1401))
