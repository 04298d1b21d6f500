"""What is asked of a mark and of two of them, by all views of a fruit seen coarsely, and what follows."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from citrus_grade.imaging import unite, weigh
from citrus_grade.imaging.fuse import fuse
from citrus_grade.imaging.marks import BLEMISH, N_PAIR_FEATURES, NOTHING, STEM, STYLAR, Marks, marks
from citrus_grade.imaging.surface import rolled
from citrus_grade.tables import N_SPOTS

N_VIEWS, COARSE_QUADS = 8, 20.0
TURNS = np.zeros((N_VIEWS, 3, 3))
for view in range(N_VIEWS):
    rolled(view * np.pi / 4, 0.0, 0.0, TURNS[view])
SURE_STEM, SURE_STYLAR, SURE_BLEMISH, UNSURE, LIKELY = (
    (0.95, 0.02, 0.02),
    (0.02, 0.95, 0.02),
    (0.01, 0.02, 0.95),
    (0.02, 0.05, 0.2),
    (0.02, 0.05, 0.8),
)
Place = tuple[Any, float, tuple[float, float, float]]


def seen_as(places: list[Place], shown: Any = lambda v, z: z > 0.45, found: Marks | None = None) -> tuple[Marks, int]:
    """Return the marks of a fruit with spots at directions, of a radius and of chances each, in every view that shows them."""
    spots, spot = np.zeros(N_VIEWS, np.int64), np.zeros((N_VIEWS, N_SPOTS, 6), np.float32)
    for at, radius, chances in places:
        for v in range(N_VIEWS):
            x, y, z = TURNS[v] @ (np.array(at) / np.linalg.norm(at))
            if shown(v, z):
                spot[v, spots[v]] = (x, y, radius, *chances)
                spots[v] += 1
    found = marks(N_VIEWS) if found is None else found
    return found, int(fuse(spots, spot, TURNS, N_VIEWS, COARSE_QUADS, found))


def kinds(found: Marks, n: int) -> list[int]:
    return found.kind[:n].tolist()


def asked_of_both(found: Marks, a: int, b: int) -> NDArray[np.float32]:
    out = np.zeros(N_PAIR_FEATURES, np.float32)
    weigh.pair(found, a, b, N_VIEWS, COARSE_QUADS, out)
    return out


def test_what_is_asked_of_a_mark_is_what_the_views_show() -> None:
    found, n = seen_as([((0, 0, 1), 0.1, SURE_BLEMISH), ((0, 1, 0.1), 0.05, UNSURE)], lambda v, z: z > 0.45 and v != 1)
    first = found.feature[0]
    assert n == 1  # the other lies at the limb of every view
    assert first[weigh.TOLD] == 2
    assert first[weigh.EXPECTED] == 3
    assert first[weigh.FACED] == pytest.approx(1)
    assert first[weigh.FACING] == pytest.approx((1 + np.sqrt(0.5)) / 2)
    assert first[[weigh.SHOWN, weigh.UNSHOWN, weigh.SHARE]] == pytest.approx([1.5, 0.5, 0.75])
    assert first[weigh.MEAN : weigh.MEAN + 3] == pytest.approx(SURE_BLEMISH)
    assert first[[weigh.RADIUS, weigh.LARGEST]] == pytest.approx([np.sqrt((0.01 + 0.01 * np.sqrt(0.5)) / 1.5), 0.1])
    assert first[weigh.SPREAD] == pytest.approx(0, abs=1e-6)
    assert first[weigh.NEAREST] == -1


def test_two_marks_are_asked_alike_whichever_comes_first() -> None:
    found, n = seen_as([((0, 0, 1), 0.1, SURE_BLEMISH), ((0, 0.6, 1), 0.05, SURE_BLEMISH)])
    assert n == 2
    out = asked_of_both(found, 0, 1)
    assert np.array_equal(out, asked_of_both(found, 1, 0))
    assert out[0] == pytest.approx(np.arctan(0.6), abs=1e-6)
    assert out[10] == 3  # of the five views, that show one of them, those that show both


def test_ends_and_a_blemish_that_all_views_agree_on_are_told() -> None:
    found, n = seen_as([((0, 0.3, 1), 0.1, SURE_STEM), ((0, -0.3, -1), 0.04, SURE_STYLAR), ((1, 0.2, 0), 0.1, SURE_BLEMISH)])
    assert sorted(kinds(found, n)) == [STEM, STYLAR, BLEMISH]


def test_a_mark_that_all_views_tell_of_is_likelier_a_blemish_than_one_that_most_do_not_show() -> None:
    often, n = seen_as([((1, 0, 1), 0.06, LIKELY)])
    once, m = seen_as([((1, 0, 1), 0.06, LIKELY)], lambda v, z: z > 0.99)
    assert n == m == 1
    assert kinds(often, n) == [BLEMISH]
    assert often.tally[0, 3] > once.tally[0, 3]


def test_what_no_view_takes_for_anything_is_nothing_and_keeps_the_mean_of_its_chances() -> None:
    found, n = seen_as([((0, 0.2, 1), 0.06, (0.01, 0.02, 0.03))])
    assert kinds(found, n) == [NOTHING]
    assert found.tally[0, 1:4] == pytest.approx([0.01, 0.02, 0.03])


def test_a_small_part_beside_a_large_blemish_belongs_to_it_and_a_far_one_does_not() -> None:
    found, n = seen_as([((0, 0, 1), 0.3, SURE_BLEMISH), ((0, 0.5, 1), 0.08, LIKELY), ((-1, 0.2, -0.6), 0.1, SURE_BLEMISH)])
    assert n == 3
    whole, part, far = np.argsort(-found.where[:n, 2]).tolist()
    assert weigh.are_one(found, whole, part, N_VIEWS, COARSE_QUADS)
    assert not weigh.are_one(found, whole, far, N_VIEWS, COARSE_QUADS)


def test_nothing_depends_on_the_fruit_before() -> None:
    places = [((0, 0.3, 1), 0.1, SURE_STEM), ((1, 0.2, 0), 0.1, SURE_BLEMISH), ((0.6, 0.2, 0.6), 0.05, UNSURE)]
    alone, n = seen_as(places)
    used, _ = seen_as([((1, 0.4, 1), 0.3, SURE_BLEMISH), *places, ((0, -0.3, -1), 0.04, SURE_STYLAR)])
    again, m = seen_as(places, found=used)
    assert n == m
    assert np.array_equal(alone.feature[:n], again.feature[:n])
    assert np.array_equal(alone.tally[:n], again.tally[:n])
    assert kinds(alone, n) == kinds(again, n)


def test_blemishes_that_are_one_are_united_and_keep_their_spots() -> None:
    found, n = seen_as([((0, 0, 1), 0.3, SURE_BLEMISH), ((0, 0.5, 1), 0.08, LIKELY), ((-1, 0.2, -0.6), 0.1, SURE_BLEMISH)])
    assert kinds(found, n) == [BLEMISH] * 3
    first, before = found.where[:n].copy(), found.of.copy()
    assert unite.start(found, n, N_VIEWS, COARSE_QUADS)
    unite.unite(found, n, N_VIEWS, COARSE_QUADS)
    assert sorted(kinds(found, n)) == [NOTHING, BLEMISH, BLEMISH]
    whole, part = sorted(k for k in range(n) if first[k, 2] > 0)
    assert (found.of[before == part] == whole).all()


def test_which_blemishes_are_one_does_not_depend_on_the_fruit_before() -> None:
    found, n = seen_as([((0, 0, 1), 0.3, SURE_BLEMISH), ((0, 0.5, 1), 0.08, LIKELY)])
    assert unite.start(found, n, N_VIEWS, COARSE_QUADS)
    again, m = seen_as([((0, 0.3, 1), 0.1, SURE_STEM), ((0, -0.3, -1), 0.04, SURE_STYLAR)], found=found)
    assert not unite.start(again, m, N_VIEWS, COARSE_QUADS)
    assert not again.one[:m, :m].any()
