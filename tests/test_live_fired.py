"""Orders that outlets answer, and outlets that answer none."""

from citrus_grade.messages import Alarm, Ejection, OutletReport, OutletState
from citrus_grade.runtime.live.fired import IN_A_ROW, KIND, PAST_CUPS, Orders
from tests.modbus_line import TICKS, ahead, emulated

SILENT = "lane 2 outlet 1"


def _order(cup: int, lane: int = 2, outlet: int = 1) -> Ejection:
    return Ejection(lane, cup, outlet, cup * TICKS)


def _says(cup: int, state: OutletState = "fired", lane: int = 2, outlet: int = 1) -> OutletReport:
    return OutletReport(cup * TICKS, 0, lane, outlet, state, cup)


def _run(orders: Orders, cups: range, answered: bool) -> list[Alarm]:
    """Order a fruit a cup and let the belt run until the last of them was due long ago."""
    orders.sent(_order(cup) for cup in cups)
    told = []
    for cup in range(cups.start, cups.stop + PAST_CUPS + 1):
        told += orders.look([_says(cup)] if answered and cup in cups else [], cup * TICKS)
    return told


def test_outlets_that_answer_are_not_spoken_of() -> None:
    orders = Orders(TICKS)
    assert _run(orders, range(100), answered=True) == []
    assert orders.unanswered == 0


def test_an_outlet_that_answers_none_of_several_orders_is_told_once_and_ends_with_its_first_answer() -> None:
    orders = Orders(TICKS)
    told = _run(orders, range(3 * IN_A_ROW), answered=False)
    assert [(alarm.kind, alarm.where, alarm.count) for alarm in told] == [(KIND, SILENT, 1)]
    assert told[0].tick == (IN_A_ROW - 1 + PAST_CUPS + 1) * TICKS
    assert orders.unanswered == 3 * IN_A_ROW
    told = _run(orders, range(100, 103), answered=True)
    assert [(alarm.kind, alarm.where, alarm.is_over) for alarm in told] == [(KIND, SILENT, True)]


def test_a_report_lost_now_and_then_is_counted_and_no_alarm() -> None:
    orders = Orders(TICKS)
    for start in range(0, 200, 20):
        assert _run(orders, range(start, start + IN_A_ROW - 1), answered=False) == []
        assert _run(orders, range(start + 10, start + 12), answered=True) == []
    assert orders.unanswered == 10 * (IN_A_ROW - 1)


def test_a_late_or_jammed_outlet_has_answered_and_a_word_about_no_fruit_has_not() -> None:
    orders = Orders(TICKS)
    orders.sent([_order(1), _order(2), _order(3)])
    orders.look([_says(1, "late"), _says(2, "jammed"), _says(-1, "jammed"), _says(-1, "clear")], 0)
    orders.look([], 100 * TICKS)
    assert orders.unanswered == 1


def test_another_outlets_answer_is_none() -> None:
    orders = Orders(TICKS)
    for cup in range(IN_A_ROW):
        orders.sent([_order(cup), _order(cup, lane=3)])
    told = [alarm for cup in range(30) for alarm in orders.look([_says(cup, lane=3)] if cup < IN_A_ROW else [], cup * TICKS)]
    assert [alarm.where for alarm in told] == [SILENT]


def test_orders_whose_reports_were_lost_expect_no_answer() -> None:
    orders = Orders(TICKS)
    orders.sent(_order(cup) for cup in range(IN_A_ROW))
    orders.forget()
    assert orders.look([], 100 * TICKS) == []
    assert orders.unanswered == 0


def test_a_plc_that_acknowledges_and_never_fires_is_found_out_over_the_wire() -> None:
    """The emulated PLC takes every order; the reports of one outlet's coil are left out, as where its output is dead."""
    orders, told = Orders(TICKS), []
    with emulated() as line:
        plc = line.open()
        plc.poll()
        for cup in range(2 * IN_A_ROW):
            taken = [ahead(line, 5, lane=lane, outlet=1, cup=cup) for lane in (1, 2)]
            assert plc.eject(taken) == len(taken)
            orders.sent(taken)
            for _ in range(4):
                line.go(3)
                said = plc.poll().reports
                told += orders.look([report for report in said if report.lane != 2], line.tick())
    assert [(alarm.kind, alarm.where) for alarm in told] == [(KIND, SILENT)]
    assert orders.unanswered == 2 * IN_A_ROW
