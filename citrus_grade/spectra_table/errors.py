"""What is said of a table that cannot be used: several problems in one message, each with its place."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from citrus_grade.words import Refused, _

MOST_PROBLEMS: Final = 5
MOST_NAMES: Final = 12


class SpectraTableError(Refused):
    """A table of spectra that cannot be used; the message says which file and row, what is wrong and what to do."""


def refuse(path: Path, problems: Sequence[str]) -> None:
    """Raise `SpectraTableError` if there are problems: one on the path's own line, several one a line, the first few of many."""
    if not problems:
        return
    shown = list(problems[:MOST_PROBLEMS])
    if len(problems) > MOST_PROBLEMS:
        shown.append(_("... and {n} more like these").format(n=len(problems) - MOST_PROBLEMS))
    raise SpectraTableError(f"{path}: {shown[0]}" if len(shown) == 1 else "\n  ".join([f"{path}:", *shown]))


def unknown(name: str, there: Sequence[str]) -> str:
    """Say that a column is not there, and which one may have been meant."""
    folded = {own.casefold(): own for own in reversed(there)}
    near = [folded[match] for match in get_close_matches(name.casefold(), list(folded), n=1, cutoff=0.6)]
    near = near or [own for own in there if name and own.casefold().startswith(name.casefold())]
    listed = ", ".join(there[:MOST_NAMES]) + (", ..." if len(there) > MOST_NAMES else "")
    if near:
        return _("has no column {name!r}; did you mean {near!r}? There are {there}").format(name=name, near=near[0], there=listed)
    return _("has no column {name!r}; there are {there}").format(name=name, there=listed or _("none but wavelengths"))
