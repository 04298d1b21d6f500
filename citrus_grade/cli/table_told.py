"""What is told of a table beside its results: rows left out, and what stands in it otherwise than it seems."""

from collections.abc import Sequence
from typing import Final

from citrus_grade.cli import out
from citrus_grade.words import _

MOST: Final = 5


def left_out(reasons: Sequence[str]) -> None:
    """Tell how many rows were left out, and of the first ones why."""
    if reasons:
        out.text(_("{n:,} rows were left out:").format(n=len(reasons)))
        some(reasons)


def some(notes: Sequence[str]) -> None:
    """Tell the first of many notes."""
    for note in notes[:MOST]:
        out.text(f"  {note}", "yellow")
    if len(notes) > MOST:
        out.text("  " + _("... and {n} more like these").format(n=len(notes) - MOST), "yellow")
