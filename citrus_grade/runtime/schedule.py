"""The commands of ``line.toml``, given to a running line in their time."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

from citrus_grade.config.references import CommandSection
from citrus_grade.messages import Command, Message, Pulse

NS_PER_MIN = 60e9


class Schedule:
    """What is still to be asked of a line.

    Minutes count from ``begun_ns``, or from the first pulse it is shown; what was due before ``from_ns`` has been asked already.
    """

    def __init__(self, commands: Sequence[CommandSection], begun_ns: int | None = None, from_ns: int = 0) -> None:
        self._commands = commands
        self._begun_ns, self._from_ns = begun_ns, from_ns
        self._due: list[tuple[int, int]] | None = None

    def due(self, pulse: Pulse) -> Iterator[Command]:
        """Yield the commands whose time has come with a pulse."""
        if self._due is None:
            begun_ns = pulse.t_ns if self._begun_ns is None else self._begun_ns
            firsts = [_next(begun_ns + round(own.at_min * NS_PER_MIN), own.every_min, self._from_ns) for own in self._commands]
            self._due = [(at_ns, index) for index, at_ns in enumerate(firsts) if at_ns is not None]
            heapq.heapify(self._due)
        while self._due and self._due[0][0] <= pulse.t_ns:
            at_ns, index = heapq.heappop(self._due)
            own = self._commands[index]
            yield Command(pulse.tick, pulse.t_ns, own.kind, own.value)
            # What a standing line has missed is given once.
            again_ns = _next(at_ns, own.every_min, pulse.t_ns + 1)
            if again_ns is not None:
                heapq.heappush(self._due, (again_ns, index))


def _next(at_ns: int, every_min: float | None, from_ns: int) -> int | None:
    """Return when something due at ``at_ns``, and again every so many minutes, is due at or after ``from_ns``; None if never."""
    if at_ns >= from_ns:
        return at_ns
    if every_min is None:
        return None
    every_ns = max(round(every_min * NS_PER_MIN), 1)
    return at_ns + -((at_ns - from_ns) // every_ns) * every_ns


def scheduled(commands: Sequence[CommandSection], messages: Iterable[Message]) -> Iterator[Message]:
    """Yield the messages of a line, each command before the first pulse at or after its time."""
    schedule = Schedule(commands)
    for message in messages:
        if isinstance(message, Pulse):
            yield from schedule.due(message)
        yield message
