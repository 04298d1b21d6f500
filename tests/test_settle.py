"""Which turns a fruit's views are joined by."""

import numpy as np
import pytest

from citrus_grade.config import parse
from citrus_grade.drivers.sim.belt import CUP_SINGLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.join import join
from citrus_grade.imaging.settle import settle_turns
from citrus_grade.imaging.surface import rolled, room, travel_of
from citrus_grade.messages import Frame
from citrus_grade.tables import DID_NOT_TURN, FRUIT, FRUIT_SEEN, VIEW, empty
from citrus_grade.templates import LINE

CONFIG = parse(LINE.read_text(encoding="utf-8"))


def fruit_of(**options):
    """Fruit of a short run, every view of which was seen, and whether each of them is alone in its cup."""
    plant = SimPlant(CONFIG, SimOptions(seed=5, seconds=1.0, fill=1.0, **options))
    eye = Imager.of(CONFIG, CONFIG.camera[0])
    rows = np.concatenate([eye(message).rows for message in plant.messages() if isinstance(message, Frame)])
    pitch_px = CONFIG.camera[0].px_per_mm * CONFIG.line.pitch_mm
    work, out = room(CONFIG.n_views), []
    for lane, cup in sorted({(int(row["lane"]), int(row["cup"])) for row in rows if row["cup"] >= 0}):
        views = empty(VIEW, CONFIG.n_views)
        own = rows[(rows["lane"] == lane) & (rows["cup"] == cup)]
        views[own["view_index"]] = own
        if cup >= plant.table.shape[1] or len(own) < CONFIG.n_views or plant.table[lane, cup]["load"] != CUP_SINGLE:
            continue
        fruit, seen, scratch = empty(FRUIT, 1), np.ones(len(views), bool), np.empty((2, len(views)))
        fruit["flags"] = 0
        turn_px = CONFIG.line.roller_ratio * pitch_px
        join(views, seen, pitch_px, travel_of(CONFIG), turn_px, work, scratch, fruit[0])
        out.append(fruit[0])
    return np.array(out, FRUIT)


@pytest.fixture(scope="module")
def turning():
    return fruit_of()


def test_a_fruit_on_a_stuck_roller_is_told_and_others_are_not(turning):
    stuck = fruit_of(stuck_cups=1.0)
    told = (stuck["flags"] & DID_NOT_TURN) > 0
    assert told.mean() > 0.4, "those that show a spot"
    assert stuck["coverage_pct"][told].max() < 60
    assert not (turning["flags"] & DID_NOT_TURN).any()
    assert turning["coverage_pct"].min() > 80


def test_skin_is_looked_at_only_where_many_blemishes_are_to_be_counted(turning):
    measured = np.isfinite(turning["turn_score"])
    assert measured.mean() < 0.2


@pytest.mark.parametrize(("slip", "yaw_rad"), [(0.0, 0.0), (0.1, 0.0), (-0.08, 0.04), (0.06, -0.06)])
def test_a_slip_and_a_yaw_are_found_from_spots(slip, yaw_rad):
    n, per_pitch_rad = 8, 1.03
    marks = np.array([[0.6, 0.5, 0.62], [-0.7, -0.3, -0.65], [0.1, -0.8, 0.6]])
    marks /= np.linalg.norm(marks, axis=1, keepdims=True)
    views, work = empty(VIEW, n), room(n)
    views["state"], views["sight_x"], views["sight_y"], views["spots"] = FRUIT_SEEN, 0.0, 0.0, 0
    true, c, s = [], np.cos, np.sin
    for k in range(n):
        a, b = k * per_pitch_rad * (1 + slip), k * yaw_rad
        yaw = np.array([[c(b), -s(b), 0], [s(b), c(b), 0], [0, 0, 1]])
        turn = yaw @ np.array([[c(a), 0, s(a)], [0, 1, 0], [-s(a), 0, c(a)]])
        true.append(turn)
        for q in marks @ turn.T:
            if q[2] > 0.45:
                views[k]["spot"][views[k]["spots"]] = (q[0], q[1], 0.06, 0.0, 0.1, 0.8)
                views[k]["spots"] += 1
        rolled(k * per_pitch_rad, 0.0, 0.0, work.turns[k])
        work.order[k] = k
    out = empty(FRUIT, 1)
    settle_turns(views, work, n, np.arange(float(n)), per_pitch_rad, out[0])
    off = [np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))) for a, b in zip(true, work.turns, strict=True)]
    assert max(off) < 8
