"""The tables that flow through the line, one NumPy record type a stage.

One definition serves the compiled kernels, the run log's schema, the Parquet columns and the replay's comparison.
Records are packed and little-endian, so the bytes in memory are the bytes on disk.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Table = NDArray[Any]
"""An array of one of the record types below, read-only once made."""

COLOURS = (
    "deep_orange", "orange", "yellow_orange", "yellow", "yellow_green", "green", "dark_green", "brown", "grey", "black",
)  # fmt: skip
"""The named colours of skin, in the order of every ``colour`` field."""

N_TRAITS = 2

GRID = 40
"""Cells a side of the patch that stands for a view's skin, see `imaging.disc`; about a quad each at 1.28 px/mm."""

N_SPOTS = 16
"""Spots a view can tell of."""
SPOT_X, SPOT_Y, SPOT_RADIUS, CHANCE_STEM, CHANCE_STYLAR, CHANCE_BLEMISH = range(6)
"""Columns of a view's ``spot``: its centre and the radius of a disc of its area, in fruit radii, and what it may be."""

# State of a cup, as one view or all of them saw it.
UNSEEN, EMPTY, FRUIT_SEEN, DOUBLE, BRIDGING = range(5)

VIEW = np.dtype(
    [
        ("lane", "<i4"),
        ("cup", "<i8"),
        ("view_index", "<i4"),
        ("state", "u1"),
        ("sight_x", "<f8"),
        ("sight_y", "<f8"),
        ("x_px", "<f8"),
        ("y_px", "<f8"),
        ("major_px", "<f8"),
        ("minor_px", "<f8"),
        ("angle_rad", "<f8"),
        ("residual", "<f8"),
        ("skin_cells", "<i4"),
        ("blemish_cells", "<i4"),
        ("red", "<f8"),
        ("green", "<f8"),
        ("blue", "<f8"),
        ("colour_cells", "<i4", (len(COLOURS),)),
        ("skin", "<u4", (GRID, GRID)),
        ("colour", "u1", (GRID // 2, GRID // 2)),
        ("hue", "u1", (GRID // 2, GRID // 2)),
        ("spots", "<i4"),
        ("spot", "<f4", (N_SPOTS, 6)),
    ]
)
"""One view of one cup. Lengths in pixels, perspective taken out; ``x_px, y_px`` is the fruit's centre against its cup's,
``sight_x, sight_y`` the slope of the line from the lens to the cup; a quad
is one 2 x 2 Bayer cell; ``residual`` is the share of edge rays that do not lie on the ellipse. The rest is the skin, laid on
the grid of `imaging.disc`: ``skin`` its planes and spots, ``colour`` index and ``hue`` in degrees."""

CLARITY = np.dtype([("level", "<f4"), ("edge", "<f4")])
"""What one window of one lane shows of lens and light: ``level`` in counts of a quad beside the lane, ``edge`` how steeply a
fruit's outline rises, 1 where a step lies between two neighbouring quads; NaN where nothing was to be measured."""

_FRUIT: list[Any] = [
    ("lane", "<i4"),
    ("cup", "<i8"),
    ("state", "u1"),
    ("views", "u1"),
    ("fruit_views", "u1"),
    ("x_px", "<f8"),
    ("y_px", "<f8"),
    ("diameter_px", "<f8"),
    ("diameter_sigma_px", "<f8"),
    ("height_px", "<f8"),
    ("height_sigma_px", "<f8"),
    ("red", "<f8"),
    ("green", "<f8"),
    ("blue", "<f8"),
    ("colour_pct", "<f8", (len(COLOURS),)),
    ("green_pct", "<f8"),
    ("hue_deg", "<f8", (3,)),
    ("coverage_pct", "<f8"),
    ("blemish_pct", "<f8"),
    ("blemish_views_pct", "<f8"),
    ("blemish_count", "<i4"),
    ("largest_blemish_share", "<f8"),
    ("stem", "<f8", (3,)),
    ("stylar", "<f8", (3,)),
    ("turn_score", "<f8"),
    ("flags", "u1"),
]
FRUIT = np.dtype(_FRUIT)
"""One fruit, its views joined. ``colour_pct``, ``green_pct``, ``hue_deg`` (tenth, half and nine tenths of it below) and
``blemish_pct`` are of the seen surface, ``coverage_pct`` of the whole; ``blemish_views_pct`` is the plain mean over views, a
check. ``largest_blemish_share`` is its diameter over the fruit's; ``stem`` and ``stylar`` are directions from the fruit's centre
as its first view saw them, NaN where none was found; ``turn_score`` how well neighbouring views agree on the fruit's turning
(NaN: not looked at, the rollers' turn was taken). ``flags``: bits of `FLAGS`."""

FLAGS = ("views_disagree", "did_not_turn", "turn_unsure")
VIEWS_DISAGREE, DID_NOT_TURN, TURN_UNSURE = 1, 2, 4

DECISION = np.dtype(
    [
        *_FRUIT,
        ("tick", "<i8"),
        ("lot", "<i4"),
        ("diameter_mm", "<f8"),
        ("diameter_sigma_mm", "<f8"),
        ("height_mm", "<f8"),
        ("height_sigma_mm", "<f8"),
        ("shape_index", "<f8"),
        ("volume_ml", "<f8"),
        ("mass_g", "<f8"),
        ("mass_sigma_g", "<f8"),
        ("largest_blemish_mm", "<f8"),
        ("trait", "<f8", (N_TRAITS,)),
        ("trait_sigma", "<f8", (N_TRAITS,)),
        ("trait_low90", "<f8", (N_TRAITS,)),
        ("trait_high90", "<f8", (N_TRAITS,)),
        ("shadow_trait", "<f8", (N_TRAITS,)),
        ("t2", "<f8"),
        ("q", "<f8"),
        ("scans_received", "<i4"),
        ("scans_kept", "<i4"),
        ("clipped_scans", "<i4"),
        ("scan_spread", "<f8"),
        ("grade_class", "i1"),
        ("grade_probability", "<f8"),
        ("rule", "<i2"),
        ("rule_probability", "<f8"),
        ("missed_rule", "<i2"),
        ("missed_probability", "<f8"),
        ("outlet", "<i2"),
        ("reason", "u1"),
        ("reasons", "<u4"),
        ("fire_tick", "<i8"),
        ("model_id", "<u8"),
        ("shadow_model_id", "<u8"),
        ("calibration_id", "<u8"),
        ("reference_id", "<u8"),
        ("plan_id", "<u8"),
        ("classifier_id", "<u8"),
        ("software", "<u4"),
    ]
)
"""One decision: what was measured of the fruit in a cup, what followed, why, and by which artefacts.

``grade_class`` is the likeliest class of the grade classifier (-1: none was asked) and ``grade_probability`` how likely,
``rule`` is the row of the sort plan (-1: none) and ``rule_probability`` how likely a trait is what that rule asks (NaN: it asks
for no probability); ``missed_rule`` is the first rule before it that only a probability kept the fruit from (-1: none) and
``missed_probability`` how likely that was. ``outlet`` is the outlet ordered, ``reason`` the first `messages.Reason`, ``reasons``
all of them as bits, ``fire_tick`` the encoder count of the ejection (-1 at the default outlet). Ids are the first 64 bits of the
artefact's content hash; ``reference_id`` is that of the lane's dark and white where they were taken anew on the running line, 0
where they are the calibration's. ``trait`` holds what the model's targets name, ``trait_low90``
and ``trait_high90`` the ends of its interval. ``shadow_trait`` is what a model on trial says, which decides nothing; without one
it is NaN and ``shadow_model_id`` 0.
"""


def empty(dtype: np.dtype[Any], n: int) -> Table:
    """Return ``n`` records with every float NaN, every count 0: a value nobody measured is never a number."""
    table = np.zeros(n, dtype)
    for name in dtype.names or ():
        if dtype[name].base.kind == "f":
            table[name] = np.nan
    return table


def fresh(template: Table) -> Table:
    """Return a writable copy. NumPy copies records field by field; their bytes copy ten times as fast."""
    return template.view(np.uint8).copy().view(template.dtype)


def stack(parts: Sequence[Table], dtype: np.dtype[Any]) -> Table:
    """Return tables of one record type end to end, joined as bytes for the same reason."""
    return np.frombuffer(b"".join([part.tobytes() for part in parts]), dtype)


def differing_fields(a: Table, b: Table) -> tuple[str, ...]:
    """Return the fields in which two tables of one record type and length differ in any bit (all NaN are alike)."""
    names = a.dtype.names or ()
    return tuple(name for name in names if not np.array_equal(a[name], b[name], equal_nan=a.dtype[name].base.kind == "f"))


def fruit_of(decisions: Table) -> Table:
    """Return the joined measurements that decisions carry: a decision begins with the packed fields of a fruit."""
    prefix = np.ascontiguousarray(decisions).view(np.uint8).reshape(len(decisions), -1)[:, : FRUIT.itemsize]
    return np.ascontiguousarray(prefix).view(FRUIT).reshape(len(decisions))
