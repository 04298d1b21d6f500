"""The watch over lamps and spectra: what it says, when it keeps quiet, and what a refresh does about it."""

from collections.abc import Iterable

import numpy as np
import pytest

from citrus_grade.config.references import ReferencesSection
from citrus_grade.messages import Alarm, Decisions, Output, References
from citrus_grade.report.labels import label, remedy
from citrus_grade.rundir import Loaded
from citrus_grade.spectra import watch
from citrus_grade.spectra.watch import AVERAGED, COLOUR, KINDS, LEARNT, LEVEL, T2, Q
from citrus_grade.tables import DECISION, EMPTY, FRUIT_SEEN, Table, empty, stack
from tests.test_references import Bed

FULL, PIXELS, BINS = 65000, 64, 4
DARK, WHITE = np.full((1, PIXELS), 600.0), np.full((1, PIXELS), 50600.0)
LIMITS, MOST = watch.limits_of(ReferencesSection()), np.array([100.0, 1.0])
OF_TRAINING = (20.0, 0.1)


class Lane:
    """One lane's watch, shown one cup after the other."""

    def __init__(self) -> None:
        self.watched = watch.nothing_yet(1)
        self.watched.memory[:, T2:, watch.REFERENCE] = OF_TRAINING
        self.ended: list[str] = []

    def _show(self, rows: Table, counts: np.ndarray, received: bool) -> list[str]:
        turned, seen = np.empty((1, len(KINDS)), np.int8), np.full((1, BINS), received)
        watched = self.watched
        told = watch.watch(watched.memory, watched.told, rows, counts, seen, DARK, WHITE, FULL, LIMITS, MOST, turned)
        assert told == np.abs(turned).sum()
        self.ended += [KINDS[kind] for kind in np.flatnonzero(turned[0] < 0)]
        return [KINDS[kind] for kind in np.flatnonzero(turned[0] > 0)]

    def empty_cup(self, short: float, long: float, received: bool = True) -> list[str]:
        row, counts = empty(DECISION, 1), np.empty((1, BINS, PIXELS), np.uint16)
        row["state"] = EMPTY
        counts[..., : PIXELS // 2], counts[..., PIXELS // 2 :] = short, long
        return self._show(row, counts, received)

    def fruit(self, t2: float, q: float) -> list[str]:
        row = empty(DECISION, 1)
        row["state"], row["t2"], row["q"] = FRUIT_SEEN, t2, q
        return self._show(row, np.zeros((1, BINS, PIXELS), np.uint16), True)

    def learn(self) -> None:
        for _ in range(LEARNT[LEVEL]):
            assert self.empty_cup(20600, 20600) == []


def test_a_lamp_that_shines_as_at_first_is_not_talked_about() -> None:
    lane = Lane()
    lane.learn()
    assert not any(lane.empty_cup(20600 + wobble, 20600 + wobble) for wobble in (900, -900) * 200)
    np.testing.assert_allclose(lane.watched.memory[0, LEVEL, watch.MEAN], 0.4, rtol=0.01)


def test_a_lamp_that_fades_is_told_once_and_again_only_after_it_has_ended_for_it_was_well() -> None:
    lane = Lane()
    lane.learn()
    assert [kind for _ in range(300) for kind in lane.empty_cup(17600, 17600)] == ["lamp_level"]
    assert not lane.ended
    assert [kind for _ in range(300) for kind in lane.empty_cup(20600, 20600)] == []
    assert lane.ended == ["lamp_level"]
    assert [kind for _ in range(300) for kind in lane.empty_cup(17600, 17600)] == ["lamp_level"]


def test_a_lamp_that_cools_changes_its_colour() -> None:
    lane = Lane()
    lane.learn()
    assert [kind for _ in range(300) for kind in lane.empty_cup(19800, 20800)] == ["lamp_colour"]
    assert watch.change_pct(lane.watched, 0, COLOUR) == pytest.approx(5.2, abs=0.1)


def test_empty_cups_that_clip_or_have_no_scans_tell_nothing() -> None:
    lane = Lane()
    for _ in range(300):
        assert lane.empty_cup(FULL, 20600) == []
        assert lane.empty_cup(20600, 20600, received=False) == []
    assert lane.watched.memory[0, LEVEL, watch.SAMPLES] == 0


def test_new_references_begin_the_averages_anew() -> None:
    lane = Lane()
    lane.learn()
    watch.average_anew(lane.watched, 0)
    few = AVERAGED[LEVEL] // 2 - 1
    assert not any(lane.empty_cup(10600, 10600) for _ in range(few))
    assert lane.empty_cup(10600, 10600) == ["lamp_level"]


@pytest.mark.parametrize(("t2", "q", "kind"), [(60.0, 0.1, "fruit_unlike"), (20.0, 0.4, "spectra_unlike")])
def test_spectra_unlike_the_models_own_are_told(t2: float, q: float, kind: str) -> None:
    lane = Lane()
    assert not any(lane.fruit(*OF_TRAINING) for _ in range(600))
    assert [told for _ in range(1500) for told in lane.fruit(t2, q)] == [kind]
    assert label(kind) != kind
    assert "lane 0" in remedy(kind, "lane 0 change +150.0")


def test_one_odd_fruit_counts_for_no_more_than_the_models_limit() -> None:
    lane = Lane()
    assert not any(lane.fruit(*OF_TRAINING) for _ in range(600))
    assert lane.fruit(1e9, 1e9) == []
    assert lane.watched.memory[0, T2, watch.MEAN] == pytest.approx(20.0, rel=0.02)
    assert lane.watched.memory[0, Q, watch.MEAN] == pytest.approx(0.1, rel=0.02)


def test_a_models_training_rows_lie_well_within_its_domain(loaded: Loaded) -> None:
    assert loaded.model is not None
    t2, q = watch.training(loaded.model)
    domain = loaded.model.domain
    # Scores of unit variance, stretched where a spectrum is bright.
    assert 0.95 * domain.n_scores < t2 < 0.5 * domain.t2_limit
    assert 0 < q < domain.q_limit


@pytest.fixture(scope="module")
def bed(loaded: Loaded) -> Bed:
    return Bed(loaded, loaded.config, loaded.calibration)


def alarms(outputs: Iterable[Output]) -> list[Alarm]:
    return [output for output in outputs if isinstance(output, Alarm)]


def apart(outputs: Iterable[Output], calm: Iterable[Output], trait: int) -> tuple[np.ndarray, Table]:
    """How far a trait lies from what a line that does not age says of the same fruit; and the decisions."""
    rows, well = (stack([o.rows for o in given if isinstance(o, Decisions)], DECISION) for given in (outputs, calm))
    return rows["trait"][:, trait] - well["trait"][:, trait], rows


def test_a_dark_that_has_drifted_biases_brix_until_it_is_taken_anew(bed: Bed) -> None:
    """SIMULATED: the detectors have warmed up for a day."""
    still = {"nir_dark_speed": 0.0, "nir_lamp_speed": 0.0, "nir_dust_speed": 0.0}
    _, calm = bed.run(bed.plant(20.0, **still), {})
    warm = still | {"nir_dark_speed": 24.0, "nir_late_h": 1.0}
    _, outputs = bed.run(bed.plant(20.0, **warm), {90: [("dark_refresh", "")]})
    off, rows = apart(outputs, calm, 0)
    before, after = off[rows["reference_id"] == 0], off[rows["reference_id"] > 0]
    assert abs(np.nanmean(before)) > 0.1
    assert abs(np.nanmean(after)) < 0.02


def test_lamps_that_fade_are_told_and_a_white_takes_the_bias_away(bed: Bed) -> None:
    """SIMULATED: half a minute in which the lamps burn for 400 hours, seen through a grey flap in empty cups."""
    still = {"empty_light": 0.03, "fill": 0.5, "nir_dark_speed": 0.0, "nir_lamp_speed": 0.0, "nir_dust_speed": 0.0}
    _, calm = bed.run(bed.plant(40.0, **still), {})
    fading = still | {"nir_lamp_speed": 36000.0}
    _, outputs = bed.run(bed.plant(40.0, **fading), {420: [("white_refresh", "")]})
    first = {alarm.where.split()[1]: alarm for alarm in reversed(alarms(outputs)) if alarm.kind == "lamp_level"}
    assert set(first) == {str(lane) for lane in range(6)}
    taken = min(output.tick for output in outputs if isinstance(output, References))
    assert max(alarm.tick for alarm in first.values()) < taken
    assert "wipe the window" in remedy("lamp_level", first["0"].where)
    off, rows = apart(outputs, calm, 1)
    late = (rows["reference_id"] == 0) & (rows["tick"] > 0.8 * taken)
    assert abs(np.nanmean(off[late])) > 0.05
    assert abs(np.nanmean(off[rows["reference_id"] > 0])) < 0.02


def test_a_line_as_it_comes_says_nothing_of_lamps_and_spectra(bed: Bed) -> None:
    _, outputs = bed.run(bed.plant(30.0, empty_light=0.03, fill=0.7), {})
    assert alarms(outputs) == []
