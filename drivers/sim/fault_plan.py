"""What goes wrong on a live line, and when: one plan that every simulated device obeys, by the belt's own count.

The same plan gives the same faults in any process: nothing of it is drawn while the line runs.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

CAMERA_FAULTS = (
    "camera_stalls",
    "frame_twice",
    "frames_swapped",
    "frame_half",
    "frames_black",
    "frames_white",
    "colours_swapped",
)
SPECTROMETER_FAULTS = (
    "spectrometer_gone",
    "spectra_frozen",
    "spectra_noise",
    "spectrum_short",
    "spectrum_bad_checksum",
    "spectra_late",
)
PLC_FAULTS = (
    "plc_gone",
    "plc_slow",
    "plc_stands",
    "plc_refuses",
    "plc_restarts",
    "encoder_stops",
    "encoder_jitters",
    "encoder_reverses",
    "outlet_jams",
    "outlet_full",
    "shutter_sticks",
)
DRAWN_VALUE = {"plc_slow": 20.0, "spectra_late": 8.0}
KINDS = (*CAMERA_FAULTS, *SPECTROMETER_FAULTS, *PLC_FAULTS)


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong while the belt moves from cup ``from_cup`` to ``until_cup``.

    ``lane`` is the lane or camera it happens to (-1: all), ``value`` how much: ms for ``plc_slow``, the outlet for
    ``outlet_...``, for ``spectra_late`` how many spectra back the one lies that is handed over. ``plc_stands``: it answers, its
    program does not run; ``plc_refuses``: it answers with an exception code, whatever it is asked. A PLC that restarts counts
    from 0 ever after, whatever ``until_cup`` says; a shutter that sticks goes where it was sent meanwhile when it is free again.
    """

    kind: str
    from_cup: float
    until_cup: float
    lane: int = -1
    value: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"no fault is called {self.kind!r}; there are {', '.join(KINDS)}")
        if not self.from_cup <= self.until_cup:
            raise ValueError(f"{self.kind}: ends at cup {self.until_cup} before it begins at {self.from_cup}")


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All that goes wrong."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()

    def at(self, kind: str, cup: float, lane: int = -1) -> Fault | None:
        """Return the fault of a kind that holds where the belt has moved ``cup`` pitches, at a lane or camera."""
        for fault in self.faults:
            if fault.kind == kind and fault.from_cup <= cup < fault.until_cup and fault.lane in (-1, lane):
                return fault
        return None

    def save(self, path: Path) -> None:
        """Write the plan as JSON."""
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        partial.replace(path)

    @staticmethod
    def load(path: Path) -> "FaultPlan":
        """Read what `save` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return FaultPlan(values["seed"], tuple(Fault(**fault) for fault in values["faults"]))


class Plan(Protocol):
    """A source of the plan that holds now."""

    @property
    def now(self) -> FaultPlan:
        """The plan."""
        ...


class PlanFile:
    """The plan in a file, from the moment there is one: it may be written when the line has begun to move."""

    def __init__(self, path: Path) -> None:
        self._path, self._plan = path, FaultPlan()
        self._read = False

    @property
    def now(self) -> FaultPlan:
        """The plan, empty before the file is there."""
        if not self._read and self._path.exists():
            self._plan, self._read = FaultPlan.load(self._path), True
        return self._plan


def draw(seed: int, cups: Iterable[int], kinds: Sequence[str], lanes: int, outlets: int, lasting_cups: float = 12.0) -> FaultPlan:
    """Return a plan with one fault at each of ``cups``, its kind, place and length drawn."""
    rng = np.random.default_rng([seed, 9])
    faults = []
    for cup in cups:
        kind = str(rng.choice(list(kinds)))
        lane = int(rng.integers(lanes)) if kind in SPECTROMETER_FAULTS or kind.startswith("outlet") else -1
        value = float(rng.integers(outlets)) if kind.startswith("outlet") else DRAWN_VALUE.get(kind, 0.0)
        faults.append(Fault(kind, cup, cup + float(rng.uniform(1.0, lasting_cups)), lane, value))
    return FaultPlan(seed, tuple(faults))
