"""Decisions on their way from shared memory to the table: what was written over before it could be kept is counted, once."""

from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.memory import DECIDED_CUPS, NEXT_CUPS, Decided
from citrus_grade.runtime.live.store import Store
from citrus_grade.runtime.live.work import RECORDER


def keep(store: Store, decided: Decided, board: Board, first: int) -> int:
    """Add to the table what was decided from cup ``first`` on; return the next cup.

    ``lost_cup`` on the board is the last cup known to be lost: what could not be committed is taken again, and whoever takes
    it, also another recorder, counts no loss twice.

    Raises
    ------
    sqlite3.Error : as `Store.add`.
    """
    last = int(board.shared["decided_cup"][0])
    cups = decided.cups(first, last)
    if len(cups) > DECIDED_CUPS - NEXT_CUPS:
        cups = cups[NEXT_CUPS - DECIDED_CUPS :]
        _lost(board, first, cups[0] - 1)
    for cup in cups:
        rows = decided.get(cup)
        if rows is None:
            _lost(board, cup, cup)
        else:
            store.add(rows)
    return last + 1


def give_up(decided: Decided, board: Board, first: int) -> None:
    """Count as lost what was decided from cup ``first`` on: the line has ended and the disk does not take it."""
    last = int(board.shared["decided_cup"][0])
    cups = decided.cups(max(first, int(board.shared["lost_cup"][0]) + 1), last)
    board.station(RECORDER).count("shed_decisions", len(cups))
    board.shared["lost_cup"] = last


def _lost(board: Board, first: int, last: int) -> None:
    before = int(board.shared["lost_cup"][0])
    if last > before:
        board.station(RECORDER).count("shed_decisions", last - max(first - 1, before))
        board.shared["lost_cup"] = last
