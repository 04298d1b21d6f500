"""Alarms: which stand, which have ended, and that no kind of them leaves people without cause and remedy."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from citrus_grade.alarms import ACTIVE, PLACES, QUIET_S, STANDING, AlarmBook, Alarms, severity
from citrus_grade.cli.alarms import once, telling
from citrus_grade.imaging import health
from citrus_grade.messages import Alarm, over
from citrus_grade.report import labels
from citrus_grade.report.causes import cause, meaning
from citrus_grade.report.labels import remedy
from citrus_grade.runtime.live import fired
from citrus_grade.runtime.live.observer import OUTLETS, SHED
from citrus_grade.spectra import watch
from citrus_grade.state import TROUBLES

SOURCES = Path(__file__).parents[1] / "citrus_grade"
WHERE = "camera 0 lane 2 window 1 outlet 3 measured 5 limit 6 change +7.0 position 1 other 4"


def _written() -> Iterator[tuple[str, str]]:
    """Yield what makes alarms and the kinds that stand in the sources as words."""
    for path in SOURCES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                made = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                place = {"Alarm": 1, "Refusal": 0, "Trouble": 0, "alarm": 0, "trouble": 0}.get(made)
                if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                    yield made, node.args[place].value


COMPOSED = {"outlet_late", *OUTLETS, "plc_gone", "core_gone", "dark_few", "white_few", "scale_gone", "device", fired.KIND}
KINDS = sorted({*(kind for _, kind in _written()), *TROUBLES, *health.KINDS, *watch.KINDS, *SHED, *COMPOSED})


def test_kinds_are_found_where_they_are_made() -> None:
    assert {made for made, _ in _written()} == {"Alarm", "Refusal", "Trouble", "alarm", "trouble"}
    assert len(KINDS) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_name_a_cause_and_a_remedy(kind: str) -> None:
    assert kind in labels._LABELS
    assert cause(kind)
    assert remedy(kind, WHERE)
    assert severity(kind) in ("stop", "warning", "note")


@pytest.mark.parametrize("kind", sorted({kind for made, kind in _written() if made == "Trouble"} | {*OUTLETS, "plc_gone"}))
def test_every_trouble_of_a_lane_says_what_it_means_for_its_fruit(kind: str) -> None:
    assert meaning(kind)
    assert kind in STANDING


def test_an_alarm_of_all_lanes_says_so() -> None:
    assert "lane all, outlet 3 (the first is 0)" in remedy("outlet_jammed", "lane -1 outlet 3")


def test_an_outlet_is_called_by_its_name() -> None:
    assert "lane 2, outlet gift:" in remedy("outlet_jammed", "lane 2 outlet 1", ("1", "gift"))
    assert "outlet 2 (the first is 0):" in remedy("outlet_full", "lane -1 outlet 2", ("1", "gift"))


def test_an_alarm_told_again_is_the_same_until_it_has_been_quiet() -> None:
    book = AlarmBook()
    assert book.tell(Alarm(5, "scan_gap", "sensors", 2), 0.0)
    assert not book.tell(Alarm(9, "scan_gap", "sensors", 3), QUIET_S - 1)
    assert book.gone_quiet(QUIET_S + 1) == []
    (ended,) = book.gone_quiet(2 * QUIET_S)
    assert (ended.count, ended.tick, ended.ended_s) == (5, 5, 2 * QUIET_S)
    assert book.tell(Alarm(20, "scan_gap", "sensors"), 2 * QUIET_S)


def test_what_stands_ends_when_its_reason_is_gone_and_not_before() -> None:
    book = AlarmBook()
    book.tell(Alarm(1, "outlet_jammed", "lane 1 outlet 0"), 0.0)
    assert book.gone_quiet(1e6) == []
    assert book.end("outlet_jammed", "lane 1 outlet 0", 2e6) != []
    assert book.end("outlet_jammed", "lane 1 outlet 0", 2e6) == []
    assert [one.kind for one in book.ended] == ["outlet_jammed"]


@pytest.mark.parametrize("kind", ["log_disk", "table_disk", "not_realtime", "scale_gone"])
def test_what_costs_no_fruit_is_no_reason_to_stop(kind: str) -> None:
    assert severity(kind) == "warning"


def test_the_end_of_alarms_in_a_place_takes_all_of_that_kind_there_off_the_list_and_no_other() -> None:
    book, counted = AlarmBook(), Alarms()
    wheres = ["lane 1 change +5.1", "lane 1 change +6.0", "lane 11 change +5.1"]
    for alarm in [*(Alarm(1, "lamp_level", where) for where in wheres), Alarm(1, "lamp_colour", wheres[0])]:
        book.tell(alarm, 0.0)
    assert [one.where for one in book.end("lamp_level", "lane 1", 9.0)] == wheres[:2]
    assert list(book.active) == [("lamp_level", wheres[2]), ("lamp_colour", wheres[0])]
    counted.add(over(9, "lamp_level", "lane 1"))
    assert not counted.times


def test_an_alarm_that_comes_back_after_its_end_is_told_anew(capsys: pytest.CaptureFixture[str]) -> None:
    told, dirty = once(telling()), Alarm(1, "lens_dirty", "camera 0 lane 2 window 1")
    for alarm in (dirty, dirty, over(2, "lens_dirty", "camera 0"), Alarm(3, "lens_dirty", "camera 0 lane 2 window 1")):
        told(alarm)
    assert capsys.readouterr().err.count("clean the lens") == 2


def test_lists_of_alarms_are_bounded_however_many_places_there_are() -> None:
    book, counted = AlarmBook(), Alarms()
    for n in range(3 * ACTIVE):
        alarm = Alarm(n, "dark_few", f"lane 0 measured {n} limit 32")
        book.tell(alarm, 0.0)
        counted.add(alarm)
    book.gone_quiet(1.0)
    assert len(book.active) == ACTIVE
    assert ("dark_few", f"lane 0 measured {3 * ACTIVE - 1} limit 32") in book.active
    assert (counted.times["dark_few"], len(counted.places["dark_few"])) == (3 * ACTIVE, PLACES)


def test_words_of_a_device_may_be_any() -> None:
    words = "plc: look where the cable is"
    assert remedy("device", words) == words
