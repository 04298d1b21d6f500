"""Marks of a fruit: spots of its views at one place are one mark, named by what all views say, and what overlaps is one."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade.imaging import unite
from citrus_grade.imaging.disc import CELL_COLUMN, CELL_ROW, CELL_X, CELL_Y, SPOT
from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.marks import BLEMISH, NOTHING, STEM, STYLAR, Marks, marks
from citrus_grade.imaging.surface import rolled
from citrus_grade.tables import GRID, N_SPOTS

N_VIEWS = 8
FINE_QUADS = 80.0
TURNS = np.zeros((N_VIEWS, 3, 3))
for view in range(N_VIEWS):
    rolled(view * np.pi / 4, 0.0, 0.0, TURNS[view])
SURE_STEM, SURE_STYLAR, SURE_BLEMISH, UNSURE_STYLAR = (0.9, 0.03, 0.02), (0.03, 0.9, 0.03), (0.02, 0.05, 0.8), (0.0, 0.6, 0.35)


def seen_as(places: list[tuple[Any, float, tuple[float, float, float]]], least_z: float = 0.45) -> tuple[Marks, int]:
    """Return the marks of a fruit with spots at directions, of a radius and of chances each, in every view that faces them."""
    spots, spot = np.zeros(N_VIEWS, np.int64), np.zeros((N_VIEWS, N_SPOTS, 6), np.float32)
    for at, radius, chances in places:
        for v in range(N_VIEWS):
            x, y, z = TURNS[v] @ (np.array(at) / np.linalg.norm(at))
            if z > least_z:
                spot[v, spots[v]] = (x, y, radius, *chances)
                spots[v] += 1
    found = marks(N_VIEWS)
    return found, int(fuse(spots, spot, TURNS, N_VIEWS, FINE_QUADS, found))


def kinds(found: Marks, n: int) -> list[int]:
    return found.kind[:n].tolist()


def test_opposite_ends_are_the_ends_and_the_rest_is_blemish() -> None:
    found, n = seen_as([((0, 0, 1), 0.1, SURE_STEM), ((0, 0, -1), 0.05, SURE_STYLAR), ((1, 0.3, 0), 0.1, SURE_BLEMISH)])
    assert sorted(kinds(found, n)) == [STEM, STYLAR, BLEMISH]


def test_of_two_scars_the_one_opposite_to_the_stem_is_the_end_and_the_other_a_dark_spot() -> None:
    places = [((1, 0.1, 0), 0.05, UNSURE_STYLAR), ((0, 0, 1), 0.1, SURE_STEM), ((0, 0.1, -1), 0.05, UNSURE_STYLAR)]
    found, n = seen_as(places)
    told = {tuple(np.round(found.where[k]).astype(int).tolist()): kinds(found, n)[k] for k in range(n)}
    assert told == {(1, 0, 0): BLEMISH, (0, 0, 1): STEM, (0, 0, -1): STYLAR}


def test_there_is_one_stem_at_most() -> None:
    found, n = seen_as([((0, 0, 1), 0.1, SURE_STEM), ((1, 0, 0), 0.1, (0.6, 0.0, 0.1))])
    assert sorted(kinds(found, n)) == [NOTHING, STEM]


def test_what_most_views_do_not_show_is_nothing() -> None:
    found, n = seen_as([((0, 0, 1), 0.05, (0.0, 0.0, 0.4))], least_z=0.999)
    assert kinds(found, n) == [NOTHING]


def patches(regions: list[tuple[int, int, Any]]) -> NDArray[np.uint32]:
    """Return patches with a spot (view, place in its list) wherever a test of the direction from the fruit's centre says so."""
    skin = np.zeros((N_VIEWS, GRID, GRID), np.uint32)
    disc = np.stack([CELL_X, CELL_Y, np.sqrt(1 - CELL_X**2 - CELL_Y**2)])
    for v, s, inside in regions:
        own = inside(*(TURNS[v].T @ disc))
        skin[v, CELL_ROW[own], CELL_COLUMN[own]] = (s + 1) << 8 * SPOT
    return skin


def united(skin: NDArray[np.uint32], of: list[tuple[int, int, int]], n: int) -> Marks:
    """Return ``n`` blemishes, of which views (view, place in its list, mark) tell, united."""
    found = marks(N_VIEWS)
    found.of[:] = -1
    found.kind[:n], found.area[:n] = BLEMISH, 0.05
    found.where[:n] = (0, 0, 1)
    for v, s, mark in of:
        found.of[v, s + 1] = mark
    assert unite.start(found, n, N_VIEWS, FINE_QUADS)
    for v in range(N_VIEWS):
        unite.lay(skin[v], v, TURNS[v], found)
    unite.unite(found, n, N_VIEWS, FINE_QUADS)
    return found


def streak(y: float, x_from: float, x_to: float) -> Any:
    return lambda x, y_, z: (z > 0) & (abs(y_ - y) < 0.08) & (x > x_from) & (x < x_to)


def test_two_parts_that_another_view_shows_whole_are_one_blemish() -> None:
    skin = patches([(0, 0, streak(0, -0.5, -0.15)), (0, 1, streak(0, 0.15, 0.5)), (1, 0, streak(0, -0.5, 0.5))])
    found = united(skin, [(0, 0, 0), (0, 1, 1), (1, 0, 2)], 3)
    assert kinds(found, 3) == [BLEMISH, NOTHING, NOTHING]
    assert [found.of[v, s + 1] for v, s in ((0, 0), (0, 1), (1, 0))] == [0, 0, 0]
    assert np.linalg.norm(found.where[0]) == pytest.approx(1)
    assert 0.05 <= found.area[0] <= 0.15


def test_neighbours_that_do_not_overlap_stay_two() -> None:
    skin = patches([(v, s, streak(y, -0.4, 0.4)) for v in (0, 1) for s, y in ((0, -0.25), (1, 0.25))])
    found = united(skin, [(v, s, s) for v in (0, 1) for s in (0, 1)], 2)
    assert kinds(found, 2) == [BLEMISH, BLEMISH]
    assert [found.of[v, s + 1] for v in (0, 1) for s in (0, 1)] == [0, 1, 0, 1]


def test_ends_are_never_part_of_a_blemish() -> None:
    skin = patches([(0, 0, streak(0, -0.5, 0.5)), (1, 0, streak(0, -0.5, 0.5)), (2, 0, streak(0.5, 0.0, 0.9))])
    found = marks(N_VIEWS)
    found.of[:] = -1
    found.kind[:3] = STEM, BLEMISH, BLEMISH
    for v in range(3):
        found.of[v, 1] = v
    assert unite.start(found, 3, N_VIEWS, FINE_QUADS)
    for v in range(N_VIEWS):
        unite.lay(skin[v], v, TURNS[v], found)
    unite.unite(found, 3, N_VIEWS, FINE_QUADS)
    assert kinds(found, 3) == [STEM, BLEMISH, BLEMISH]


def test_one_blemish_needs_no_uniting() -> None:
    found = marks(N_VIEWS)
    found.kind[:2] = STEM, BLEMISH
    assert not unite.start(found, 2, N_VIEWS, FINE_QUADS)


def test_united_marks_do_not_depend_on_what_was_there_before() -> None:
    skin = patches([(0, 0, streak(0, -0.5, 0.0)), (1, 0, streak(0, -0.3, 0.5))])
    first = united(skin, [(0, 0, 0), (1, 0, 1)], 2)
    again = united(skin, [(0, 0, 0), (1, 0, 1)], 2)
    assert np.array_equal(first.kind, again.kind)
    assert first.area[0] == again.area[0]
