"""What two instruments measure in common."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.calibration.errors import refuse
from citrus_grade.words import _

Floats = NDArray[np.float64]

LEAST_SHARED: Final = 20


def overlap(master_nm: Floats, slave_nm: Floats) -> NDArray[np.bool_]:
    """Return which of the master's wavelengths (n_master,) lie inside the slave's range.

    Raises
    ------
    CalibrationError : wavelengths that do not increase, or too few in common.
    """
    text = _("wavelengths of the {who} do not increase at channel {channel}: {before:g} nm, then {after:g} nm")
    refuse(
        text.format(who=who, channel=int(i) + 1, before=nm[i], after=nm[i + 1])
        for who, nm in ((_("master"), master_nm), (_("slave"), slave_nm))
        for i in np.flatnonzero(~(np.diff(nm) > 0))[:1]
    )
    inside = np.asarray((master_nm >= slave_nm[0]) & (master_nm <= slave_nm[-1]))
    if inside.sum() < LEAST_SHARED:
        text = _(
            "master measures {m0:g} to {m1:g} nm, slave {s0:g} to {s1:g} nm: {n} wavelengths in common;"
            " at least {least} are needed"
        )
        ends = {"m0": master_nm[0], "m1": master_nm[-1], "s0": slave_nm[0], "s1": slave_nm[-1]}
        refuse([text.format(n=int(inside.sum()), least=LEAST_SHARED, **ends)])
    return inside
