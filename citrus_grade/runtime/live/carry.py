"""What a core leaves to the one that takes its place: the few things of its state that no sensor tells again, and what it has
learnt of lenses, lamps and spectra, lest a dirty lens become the reference and a lane not to be believed be believed again.

Rings are not among them: views and scans of fruit on the belt went with the core, and those fruit say so in their rows.
"""

import json
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.line import Line
from citrus_grade.spectra.references import NEVER
from citrus_grade.state import State

_WORDS = ("next_cup", "offset", "plan_id", "model_id", "shadow_id", "calibration_id", "classifier_id")
_FED = "fed_ns"
_ARRAYS = ("outlet_open", "outlet_sound", "last_cup", "due_tick", "lane_on", "lot_from", "lot", "watched", "watch_told")
_WATCHED = ("spectra_watched", "spectra_step")
_REFERENCES = ("lanes", "light_from", "dark", "white", "busy")


class Outlook(NamedTuple):
    """What the core knows: which outlets take fruit and which work, (n_lanes, n_outlets), and which lanes are on, (n_lanes,)."""

    outlet_open: NDArray[np.bool_]
    outlet_sound: NDArray[np.bool_]
    lane_on: NDArray[np.bool_]


class Carrier:
    """Packs the state of a line, pulse after pulse.

    References that are being taken are not carried half-way: the successor has those in use before, and may be asked again.
    """

    def __init__(self, line: Line) -> None:
        self._references = _bytes(_references(line.state))

    def pack(self, state: State, fed_ns: int) -> bytes:
        """Return what to keep once a pulse of ``fed_ns`` has been fed."""
        memory = state.references
        if not memory.busy.any() and not memory.lanes["asked"].any() and (memory.light_from != NEVER).all():
            self._references = _bytes(_references(state))
        words = json.dumps({name: getattr(state, name) for name in _WORDS} | {_FED: fed_ns}).encode()
        return b"\n".join([words, _bytes(_own(state)) + self._references])


def resumed(line: Line, carried: bytes, decided_cup: int) -> int:
    """Have a new line go on where one before had come to; return when the last pulse it was fed came, in ns."""
    state = line.state
    words, _, data = carried.partition(b"\n")
    found = json.loads(words)
    for name in _WORDS:
        setattr(state, name, found[name])
    at = 0
    for array in [*_own(state), *_references(state)]:
        array[...] = np.frombuffer(data, array.dtype, array.size, at).reshape(array.shape)
        at += array.nbytes
    state.next_cup = max(state.next_cup, decided_cup + 1)
    line.restore(line.snapshot())
    return int(found[_FED])


def outlook(config: LineConfig, carried: bytes) -> Outlook:
    """Return what a core that runs has left so far, for whoever watches it."""
    lanes, outlets = config.line.lanes, len(config.outlet)
    form = [
        ("outlet_open", np.bool_, (lanes, outlets)),
        ("outlet_sound", np.bool_, (lanes, outlets)),
        ("last_cup", np.int64, (lanes, outlets)),
        ("due_tick", np.int64, (outlets,)),
        ("lane_on", np.bool_, (lanes,)),
    ]
    found = np.frombuffer(carried, np.dtype(form), 1, carried.index(b"\n") + 1)[0]
    return Outlook(*(found[name] for name in Outlook._fields))


def _own(state: State) -> Iterator[NDArray[np.generic]]:
    """Yield what is carried pulse after pulse; `outlook` reads the first of it."""
    yield from (getattr(state, name) for name in _ARRAYS)
    for name in _WATCHED:
        yield from getattr(state, name)


def _references(state: State) -> list[NDArray[np.generic]]:
    return [getattr(state.references, name) for name in _REFERENCES]


def _bytes(arrays: Iterable[NDArray[np.generic]]) -> bytes:
    return b"".join(array.tobytes() for array in arrays)
