"""Names of what is measured and decided, for people."""

from citrus_grade.words import N_, _

_LABELS = {
    "graded": N_("graded"),
    "empty": N_("empty cup"),
    "double": N_("two fruit in a cup"),
    "bridging": N_("fruit across two cups"),
    "missing_view": N_("view missing"),
    "missing_spectrum": N_("spectrum missing"),
    "saturated": N_("spectrum saturated"),
    "out_of_domain": N_("unlike any fruit the model knows"),
    "late": N_("decided too late"),
    "outlet_full": N_("outlet full"),
    "outlet_fault": N_("outlet faulty"),
    "no_rule": N_("no rule takes it"),
    "lane_off": N_("lane switched off"),
    "ungraded": N_("ungraded"),
    "ssc_brix": N_("sugar (SSC), °Brix"),
    "ta_pct": N_("acid (TA), citric acid %"),
    "pixels": N_("pixels"),
    "imaging seam": N_("joined measurements of each fruit"),
}


def label(name: str) -> str:
    """Return the label of ``name`` in the language set, or the name itself where there is none."""
    return _(_LABELS[name]) if name in _LABELS else name
