"""What the PLC process does about the shutters of the spectrometers: the core says where each is to stand, the PLC moves it, and
what it says goes back to the core.

Where they are to stand is written on the board, not sent: whichever process dies meanwhile, the last word holds.
"""

from collections.abc import Callable, Iterator, Sequence

from citrus_grade.config import LineConfig
from citrus_grade.config.references import SHUTTER_OF
from citrus_grade.messages import Position, Reading, Shutter
from citrus_grade.ports import DeviceError, Plc, PlcState, Shutters
from citrus_grade.runtime.live.board import Board
from citrus_grade.runtime.live.clock import BeltClock
from citrus_grade.runtime.live.work import CORE
from citrus_grade.words import _


def refused(config: LineConfig, there: frozenset[Position]) -> Iterator[str]:
    """Say which commands of a line need shutters that its PLC does not move; ``there`` is what it can put into the light."""
    for index, command in enumerate(config.command):
        if SHUTTER_OF.get(command.kind, Position.OPEN) in {*there, Position.OPEN}:
            continue
        text = _("command.{index}: {kind!r} needs shutters, and this PLC moves none; take it out, or see docs/plc.md, Shutters")
        if there:
            text = _("command.{index}: {kind!r} needs white attenuators, and this PLC has none; take it out, or see docs/plc.md")
        yield text.format(index=index, kind=command.kind)


def positions(plc: Plc) -> frozenset[Position]:
    """Return where a PLC can have shutters stand; nowhere if it moves none."""
    return plc.positions if isinstance(plc, Shutters) else frozenset()


class Mover:
    """Has the PLC of a line move shutters as the core wants them, and tells the core where they stand."""

    def __init__(self, config: LineConfig, board: Board) -> None:
        self._config, self._board, self._lanes = config, board, config.line.lanes
        self._core = board.station(CORE)
        self._epoch = self._core.epoch
        self._sent: list[Position] = []
        self._stands: dict[int, Position] = {}
        self._untold: list[Reading] = []

    def opened(self, plc: Plc) -> None:
        """Begin with a PLC that was just opened.

        Raises
        ------
        DeviceError : if the line asks for shutters that it does not move.
        """
        if problems := list(refused(self._config, positions(plc))):
            raise DeviceError("\n".join(problems))
        self._sent = []
        self._board.shared["moves_shutters"] = self._config.spectrometer is not None and bool(positions(plc))

    def move(self, plc: Plc) -> None:
        """Send shutters where the core wants them, if that is elsewhere than where they were sent last."""
        wanted = [Position(to) for to in self._board.shared["shutter"][0, : self._lanes].tolist()]
        if wanted != self._sent:
            self._send(plc, wanted)

    def let_go(self, plc: Plc) -> None:
        """Leave all shutters open when the line ends."""
        self._send(plc, [Position.OPEN] * self._lanes)

    def _send(self, plc: Plc, wanted: list[Position]) -> None:
        if self._board.shared["moves_shutters"][0] and isinstance(plc, Shutters):
            moves = [Shutter(lane, to) for lane, to in enumerate(wanted) if not self._sent or to != self._sent[lane]]
            if moves:
                plc.move(moves)
        self._sent = wanted

    def told(self, state: PlcState, near: Callable[[int], int], clock: BeltClock, t_ns: int) -> Sequence[Reading]:
        """Return where shutters have come to stand; of all to a core that is new, and again until `heard`.

        A scan's tick is late by up to the spectrometer's latency. So each reading is dated as much later: no scan that was taken
        while the shutter moved counts as one from behind it, or of fruit. ``near`` makes ticks of the PLC's raw counts.
        """
        spectrometer = self._config.spectrometer
        if spectrometer is None:
            return ()
        late = round(max(clock.ticks_per_s, 0.0) * spectrometer.latency_ms / 1000)
        moved = state.shutters
        if self._core.epoch != self._epoch:
            self._epoch = self._core.epoch
            moved = (*((lane, position, state.count) for lane, position in self._stands.items()), *moved)
        for lane, position, count in moved:
            self._stands[lane] = position
            self._untold.append(Reading(near(count) + late, t_ns, lane, "shutter", float(position)))
        return self._untold

    def heard(self) -> None:
        """Take in that the core has been sent all that `told` returned."""
        self._untold.clear()
