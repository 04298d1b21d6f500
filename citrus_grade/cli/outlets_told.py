"""What people and programs are told of outlets that were fired for a test."""

import math
from typing import TYPE_CHECKING, Any

from citrus_grade.cli import out
from citrus_grade.words import N_, _

if TYPE_CHECKING:
    from citrus_grade.calibration.outlets import OutletFit
    from citrus_grade.config import OutletSection
    from citrus_grade.runtime.outlets import Measured

WITHIN_MS = 2.0
"""A delay this near to the one in ``line.toml`` is the same: 2 ms are 2 mm at 1 m/s."""
WITHIN_CUPS = 0.03
"""A way this near to the one in ``line.toml`` is the same: 3 mm of a pitch of 100 mm."""
_VERDICTS = {"as configured": N_("as configured"), "differs": N_("differs from line.toml"), "misses": N_("misses")}


def told(found: "Measured") -> dict[str, Any]:
    """Return what was measured as plain data."""
    rows = [_row(section, fit) for section, fit in zip(found.config.outlet, found.fits, strict=True)]
    return {"simulated": found.simulated, "late": found.late, "reports_lost": found.lost, "outlets": rows}


def _row(section: "OutletSection", fit: "OutletFit") -> dict[str, Any]:
    missing = {lane: int(n) for lane, n in enumerate(fit.missed) if n}
    further_cups = fit.way_cups - section.way_cups
    in_place = not abs(further_cups) > WITHIN_CUPS  # nor is it out of place where one speed tells nothing of it
    in_time = abs(fit.latency_ms - section.latency_ms) <= WITHIN_MS
    same = in_place and in_time and fit.min_gap_cups <= section.min_gap_cups
    return {
        "outlet": section.name,
        "drops": fit.drops,
        "latency_ms": fit.latency_ms,
        "latency_sigma_ms": fit.latency_sigma_ms,
        "configured_latency_ms": section.latency_ms,
        "way_cups": fit.way_cups,
        "configured_way_cups": section.way_cups,
        "new_station": None if in_place else round(section.station - further_cups, 3),
        "min_gap_cups": fit.min_gap_cups,
        "configured_min_gap_cups": section.min_gap_cups,
        "fired_a_lane": [int(n) for n in fit.fired],
        "missed_in_lane": missing,
        "verdict": "misses" if missing else "as configured" if same else "differs",
    }


def show(told: dict[str, Any]) -> None:
    """Print a table, and what to change in ``line.toml``."""
    if told["simulated"]:
        out.text("SIMULATED", "bold red")
    out.table(
        _("Outlets, from test firings"),
        (
            _("outlet"),
            _("drops"),
            "latency_ms",
            "line.toml",
            _("way, cups"),
            "line.toml",
            "min_gap_cups",
            "line.toml",
            _("missed"),
            _("verdict"),
        ),
        (
            (
                row["outlet"],
                row["drops"],
                f"{row['latency_ms']:.1f} ± {row['latency_sigma_ms']:.1f}",
                f"{row['configured_latency_ms']:g}",
                "-" if math.isnan(row["way_cups"]) else f"{row['way_cups']:+.3f}",
                f"{row['configured_way_cups']:g}",
                row["min_gap_cups"],
                row["configured_min_gap_cups"],
                sum(row["missed_in_lane"].values()),
                _(_VERDICTS[row["verdict"]]),
            )
            for row in told["outlets"]
        ),
    )
    if told["late"]:
        text = _("{n} firings reached the PLC too late and are left out; on a slow connection try a lower speed")
        out.text(text.format(n=told["late"]), "yellow")
    if told["reports_lost"]:
        text = _("{n} firings are left out: the PLC's reports of them were written over before they were read")
        out.text(text.format(n=told["reports_lost"]), "yellow")
    for row in told["outlets"]:
        if row["new_station"] is not None:
            text = _("outlet {outlet}: write station = {station} and way_cups = {way:.3f} into line.toml")
            out.text(text.format(outlet=row["outlet"], station=row["new_station"], way=row["way_cups"]), "yellow")
        for lane, n in row["missed_in_lane"].items():
            text = _("outlet {outlet}, lane {lane}: {n} of {of} firings let nothing fall; see to valve, air and drop sensor")
            out.text(text.format(outlet=row["outlet"], lane=lane, n=n, of=row["fired_a_lane"][lane]), "yellow")
