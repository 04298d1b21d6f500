"""Which turns a fruit's views are joined by."""

import numpy as np
import pytest

from citrus_grade.config import parse
from citrus_grade.drivers.sim.belt import CUP_SINGLE
from citrus_grade.drivers.sim.plant import SimOptions, SimPlant
from citrus_grade.imaging.imager import Imager
from citrus_grade.imaging.join import join
from citrus_grade.imaging.surface import room, travel_of
from citrus_grade.messages import Frame
from citrus_grade.tables import DID_NOT_TURN, FRUIT, VIEW, empty
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


def test_turns_are_measured_where_there_is_a_blemish_to_count_and_only_there(turning):
    measured = np.isfinite(turning["turn_score"])
    assert measured[turning["blemish_count"] > 0].mean() > 0.9
    assert 0.1 < measured.mean() < 0.9
