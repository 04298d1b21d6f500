"""Whether the belt may run: what the PLC process tells the PLC while the line is up."""

from citrus_grade.config import LineConfig
from citrus_grade.ports import Drive, Plc
from citrus_grade.runtime.live.board import Board


class Permission:
    """Permits the belt of a line to run once all of the line works, unless somebody wants it to stop; does nothing where the line
    does not drive it."""

    def __init__(self, config: LineConfig, board: Board) -> None:
        self._wanted, self._cups_per_s, self._board = config.live.drives_belt, config.line.cups_per_s, board
        self._sent: bool | None = None

    def keep(self, plc: Plc, *, anew: bool = False) -> None:
        """Say it to the PLC if it has changed; ``anew``: in any case, to a PLC that was just opened."""
        run = self._board.is_up and not self._board.wants_stop
        if anew or run != self._sent:
            self._say(plc, run)

    def waits(self, plc: Plc) -> bool:
        """Say whether the belt of this PLC stands because not all of the line works yet."""
        return self._wanted and isinstance(plc, Drive) and not self._board.is_up

    def end(self, plc: Plc) -> None:
        """Have the belt stop: from now on nobody looks at its fruit."""
        self._say(plc, False)

    def _say(self, plc: Plc, run: bool) -> None:
        if self._wanted and isinstance(plc, Drive):
            plc.drive(run=run, cups_per_s=self._cups_per_s)
        self._sent = run
