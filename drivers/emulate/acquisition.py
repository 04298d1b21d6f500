"""When an emulated spectrometer has which spectrum, and what goes wrong with it; the same for every protocol."""

from collections import deque
from collections.abc import Callable
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.drivers.emulate.spectra import Spectra

Fault = Literal["bad_checksum", "garbage", "short", "closed", "frozen", "slow", "silent", "refused"]
SLOW_NS: Final = 300_000_000
BUFFER_NS: Final = 2_000_000_000
"""Triggers longer ago are gone from the buffer."""


class Taken(NamedTuple):
    """A spectrum: when it can be sent, its number, and when its integration began. Triggers are numbered, missed ones too."""

    due_ns: int
    number: int
    began_ns: int
    counts: NDArray[np.uint16]
    fault: Fault | None


class Acquisition:
    """Integrates what `Spectra` shows, one spectrum at a time, from now or from the next trigger on.

    ``faults`` holds what befalls the next spectra, one each; ``plan`` says what befalls one that was begun at a time in ns.
    """

    def __init__(self, spectra: Spectra, integration_us: int = 2000) -> None:
        self._spectra = spectra
        self.integration_us, self.hardware = integration_us, False
        self.faults: deque[Fault] = deque()
        self.plan: Callable[[int], Fault | None] = lambda _t_ns: None
        self._free_ns, self._taken = 0, 0
        self._first: int | None = None
        self._last: NDArray[np.uint16] | None = None

    def take(self, t_ns: int, *, buffered: bool = False) -> Taken:
        """Return the spectrum that is asked for at ``t_ns``.

        One that is ``buffered`` may have been taken before: the device itself follows the triggers, as long as its buffer lasts.
        """
        oldest_ns = t_ns - BUFFER_NS if buffered and self.hardware and self._free_ns else t_ns
        ask_ns = max(oldest_ns, self._free_ns)
        number, trigger_ns = self._spectra.next_trigger(ask_ns)
        began_ns = trigger_ns if self.hardware else ask_ns
        self._free_ns = began_ns + self.integration_us * 1000
        self._first = number if self._first is None else self._first
        fault = self.faults.popleft() if self.faults else self.plan(began_ns)
        counts = self._last if fault == "frozen" and self._last is not None else self._spectra.counts(number)
        self._last = counts
        late_ns = SLOW_NS if fault == "slow" else 0
        self._taken = number - self._first if self.hardware else self._taken + 1
        return Taken(self._free_ns + late_ns, self._taken, began_ns, counts, fault)

    def stop(self) -> None:
        """Give up what is under way."""
        self._free_ns = 0
