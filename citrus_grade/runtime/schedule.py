"""The commands of ``line.toml``, given to a running line in their time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from citrus_grade.config.references import CommandSection
from citrus_grade.messages import Command, Message, Pulse

NS_PER_MIN = 60e9


class Schedule:
    """What is still to be asked of a line; minutes count from the first pulse it is shown."""

    def __init__(self, commands: Sequence[CommandSection]) -> None:
        self._commands = commands
        self._due: list[tuple[int, int]] | None = None

    def due(self, pulse: Pulse) -> Iterator[Command]:
        """Yield the commands whose time has come with a pulse."""
        if self._due is None:
            self._due = [(pulse.t_ns + round(own.at_min * NS_PER_MIN), index) for index, own in enumerate(self._commands)]
            heapq.heapify(self._due)
        while self._due and self._due[0][0] <= pulse.t_ns:
            at_ns, index = heapq.heappop(self._due)
            own = self._commands[index]
            yield Command(pulse.tick, pulse.t_ns, own.kind, own.value)
            if own.every_min is not None:
                every_ns = max(round(own.every_min * NS_PER_MIN), 1)
                # What a standing line has missed is given once.
                heapq.heappush(self._due, (at_ns + ((pulse.t_ns - at_ns) // every_ns + 1) * every_ns, index))


def scheduled(commands: Sequence[CommandSection], messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages of a line, each command before the first pulse at or after its time."""
    schedule = Schedule(commands)
    for message in messages:
        if isinstance(message, Pulse):
            yield from schedule.due(message)
        yield message
