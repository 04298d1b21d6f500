"""What a line remembers between messages: a frozen list of arrays that a snapshot holds whole."""

import io
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from citrus_grade.config import LineConfig
from citrus_grade.imaging import health
from citrus_grade.spectra import references, step, watch
from citrus_grade.tables import FRUIT, VIEW, empty

_LOTS = 16
"""Lots that may lie on the belt at once."""
TROUBLES = ("views_outside_window", "frame_gap", "scans_outside_window", "scan_gap")
"""What is counted as messages come and told once a pulse."""


@dataclass(slots=True)
class State:
    """All that `feed` remembers. Rings lead with ``cup % ring``, so the lanes of one cup are one contiguous batch."""

    plan_id: str
    model_id: str
    shadow_id: str
    calibration_id: str
    classifier_id: str
    next_cup: int
    offset: int
    views: NDArray[Any]
    views_seen: NDArray[np.bool_]
    fruit: NDArray[Any]
    joined: NDArray[np.bool_]
    counts: NDArray[np.uint16]
    scans_seen: NDArray[np.bool_]
    due_tick: NDArray[np.int64]
    outlet_open: NDArray[np.bool_]
    outlet_sound: NDArray[np.bool_]
    last_cup: NDArray[np.int64]
    lane_on: NDArray[np.bool_]
    frame_seq: NDArray[np.int64]
    scan_seq: NDArray[np.int64]
    lot_from: NDArray[np.int64]
    lot: NDArray[np.int32]
    troubles: NDArray[np.int64]
    watched: NDArray[np.float64]
    watch_told: NDArray[np.bool_]
    references: references.Memory
    spectra_watched: watch.Watched
    spectra_step: step.Step
    ahead_cup: int
    ahead_pulses: int


_TABLES: Final[dict[str, Any]] = {
    "references": references.Memory,
    "spectra_watched": watch.Watched,
    "spectra_step": step.Step,
}
"""What is a tuple of arrays, each stored by itself."""


def initial(config: LineConfig, plan: str, model: str, calibration: str, classifier: str, shadow: str = "") -> State:
    lanes, outlets = config.line.lanes, len(config.outlet)
    ring = 1 << (config.line.decision_station + 8).bit_length()
    spectrometer = config.spectrometer
    bins, pixels = (spectrometer.bins, spectrometer.pixels) if spectrometer else (0, 0)
    watched, watch_told = health.nothing_yet(config)
    return State(
        plan_id=plan,
        model_id=model,
        shadow_id=shadow,
        calibration_id=calibration,
        classifier_id=classifier,
        next_cup=0,
        offset=0,
        views=empty(VIEW, ring * lanes * config.n_views).reshape(ring, lanes, config.n_views),
        views_seen=np.zeros((ring, lanes, config.n_views), np.bool_),
        fruit=empty(FRUIT, ring * lanes).reshape(ring, lanes),
        joined=np.zeros((ring, lanes), np.bool_),
        counts=np.zeros((ring, lanes, bins, pixels), np.uint16),
        scans_seen=np.zeros((ring, lanes, bins), np.bool_),
        due_tick=np.zeros(outlets, np.int64),
        outlet_open=np.ones((lanes, outlets), np.bool_),
        outlet_sound=np.ones((lanes, outlets), np.bool_),
        last_cup=np.full((lanes, outlets), -(1 << 40), np.int64),
        lane_on=np.ones(lanes, np.bool_),
        frame_seq=np.full(len(config.camera), -1, np.int64),
        scan_seq=np.full(lanes, -1, np.int64),
        lot_from=np.zeros(_LOTS, np.int64),
        lot=np.zeros(_LOTS, np.int32),
        troubles=np.zeros(len(TROUBLES), np.int64),
        watched=watched,
        watch_told=watch_told,
        references=references.nothing_yet(lanes, pixels, config.references.scans),
        spectra_watched=watch.nothing_yet(lanes),
        spectra_step=step.nothing_yet(lanes),
        ahead_cup=-1,
        ahead_pulses=0,
    )


def to_bytes(state: State) -> bytes:
    """Return the whole state as bytes; of the views, those that have been seen."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        item.name: np.asarray(getattr(state, item.name)) for item in fields(State) if item.name not in _TABLES
    }
    for name in _TABLES:
        arrays |= {f"{name}.{part}": array for part, array in getattr(state, name)._asdict().items()}
    arrays["views"] = _bytes_of(state.views)[state.views_seen]
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def of_bytes(snapshot: bytes) -> State:
    """Return the state that `to_bytes` took apart."""
    with np.load(io.BytesIO(snapshot), allow_pickle=False) as stored:
        values = {item.name: stored[item.name] for item in fields(State) if item.name not in _TABLES}
        tables = {name: made(**{part: stored[f"{name}.{part}"] for part in made._fields}) for name, made in _TABLES.items()}
    seen = values["views_seen"]
    views = empty(VIEW, seen.size).reshape(seen.shape)
    _bytes_of(views)[seen] = values["views"]
    values["views"] = views
    return State(**{name: value if value.ndim else value.item() for name, value in values.items()}, **tables)


def _bytes_of(views: NDArray[Any]) -> NDArray[np.uint8]:
    """Return records as rows of bytes: NumPy copies those ten times as fast."""
    return views.view(np.uint8).reshape(*views.shape, VIEW.itemsize)
