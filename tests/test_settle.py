"""Which turns a fruit's views are joined by."""

import numpy as np
import pytest

from citrus_grade.config import parse
from citrus_grade.drivers.sim.belt import CUP_SINGLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.join import join
from citrus_grade.imaging.settle import settle_turns
from citrus_grade.imaging.size import onto_sphere
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


PER_PITCH_RAD = 1.03
MANNERS = [(0.0, 0.0, 0.0), (0.1, 0.0, 0.0), (-0.08, 0.03, 0.12), (0.06, -0.03, -0.05)]


def turned(n, slip, yaw_rad, skew_rad):
    """Turns, fruit to view, of a fruit that slips and yaws on rollers that stand askew."""

    def about_z(angle):
        return np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])

    for k in range(n):
        turn = np.empty((3, 3))
        rolled(k * PER_PITCH_RAD * (1 + slip), 0.0, 0.0, turn)
        yield about_z(skew_rad + k * yaw_rad) @ turn @ about_z(-skew_rad)


def off_deg(views, true):
    """How far settled turns are from true ones."""
    n, work, out = len(views), room(len(views)), empty(FRUIT, 1)
    for k in range(n):
        rolled(k * PER_PITCH_RAD, 0.0, 0.0, work.turns[k])
        work.order[k] = k
    out["diameter_px"], out["flags"] = 80.0, 0
    settle_turns(views, work, n, np.arange(float(n)), PER_PITCH_RAD, out[0])
    return [np.degrees(np.arccos(np.clip((np.trace(a.T @ b) - 1) / 2, -1, 1))) for a, b in zip(true, work.turns, strict=True)]


def views_of(true, marks, height_px):
    """Views of a fruit of 80 px with marks on it, its stem at its first view's +x."""
    views = empty(VIEW, len(true))
    views["state"], views["sight_x"], views["sight_y"], views["spots"] = FRUIT_SEEN, 0.0, 0.0, 0
    shape = np.diag([height_px, 80.0, 80.0]) ** 2
    for view, turn in zip(views, true, strict=True):
        square, axes = np.linalg.eigh((turn @ shape @ turn.T)[:2, :2])
        view["major_px"], view["minor_px"], view["angle_rad"] = *np.sqrt(square[::-1]), np.arctan2(axes[1, 1], axes[0, 1])
        for q in marks @ turn.T:
            if q[2] > 0.45:
                view["spot"][view["spots"]] = (q[0], q[1], 0.06, 0.0, 0.1, 0.8)
                view["spots"] += 1
    return views


@pytest.mark.parametrize("manner", MANNERS)
def test_how_a_ball_turned_is_told_by_its_spots(manner):
    marks = np.array([[0.6, 0.5, 0.62], [-0.7, -0.3, -0.65], [0.1, -0.8, 0.6]])
    true = list(turned(8, *manner))
    assert max(off_deg(views_of(true, marks / np.linalg.norm(marks, axis=1, keepdims=True), 80.0), true)) < 8


@pytest.mark.parametrize("manner", MANNERS)
def test_how_a_flat_fruit_turned_is_told_by_its_outlines(manner):
    true = list(turned(8, *manner))
    views = views_of(true, np.array([[0.0, 0.6, 0.8]]), 66.0)
    views["spots"][1:] = 0
    on_sphere = np.array(true)
    onto_sphere(on_sphere, len(true), np.array([1.0, 0.0, 0.0]), 66.0 / 80.0)
    assert max(off_deg(views, on_sphere)) < 4
